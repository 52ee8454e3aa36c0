//! What everybody who takes part in a round shares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use locum_identity::Role;
use reqwest::Client;
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::person::Door;
use crate::site::{Node, Site};

/// Clones are the same stage.
#[derive(Clone)]
pub(super) struct Stage {
    /// To which every name of the zone is this machine.
    pub client: Client,
    /// What was seen.
    pub log: Log,
    /// Cancelled when the round is over.
    pub over: CancellationToken,
    /// Everything that should run.
    pub expected: Arc<BTreeSet<String>>,
    /// Processes that are started again listen elsewhere.
    site: Arc<Mutex<Site>>,
}

impl Stage {
    /// Of one round.
    pub(super) fn new(client: &Client, site: Site) -> Self {
        let (log, over) = (Log::begin(), CancellationToken::new());
        let expected = Arc::new(site.nodes.keys().cloned().collect());
        Self { client: client.clone(), log, over, expected, site: Arc::new(Mutex::new(site)) }
    }

    /// The network as it was last looked at.
    pub(super) fn site(&self) -> Site {
        self.site.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the network again.
    pub(super) fn look_again(&self) -> Result<()> {
        let folder = self.site().folder;
        let fresh = Site::read(&folder)?;
        *self.site.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// One process, as it is now.
    pub(super) fn node(&self, name: &str) -> Option<Node> {
        self.site.lock().unwrap_or_else(PoisonError::into_inner).nodes.get(name).cloned()
    }

    /// An edge host's public side, as it is now.
    pub(super) fn door(&self, host: &str) -> Option<Door> {
        let site = self.site.lock().unwrap_or_else(PoisonError::into_inner);
        site.nodes.get(host).and_then(|edge| Door::of(&site, edge).ok())
    }

    /// Edge hosts and their regions.
    pub(super) fn hosts(&self) -> BTreeMap<String, String> {
        let site = self.site.lock().unwrap_or_else(PoisonError::into_inner);
        site.with_role(Role::Edge).map(|node| (node.name.clone(), node.region.clone())).collect()
    }

    /// All edge hosts' public sides, those of `region` first: the order in which its people ask.
    pub(super) fn doors_from(&self, region: &str) -> Vec<Door> {
        let hosts = self.hosts();
        let mut order: Vec<&String> = hosts.keys().collect();
        order.sort_by_key(|host| hosts[*host] != region);
        order.into_iter().filter_map(|host| self.door(host)).collect()
    }
}
