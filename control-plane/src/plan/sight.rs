//! What the planner is shown.

use std::collections::{BTreeMap, BTreeSet};

use locum_identity::{NodeId, RegionId, Role};
use locum_replication::{Epoch, GroupId, VoterStatus};

use super::Patience;
use crate::health::Verdict;

/// A node that joined, and was heard from at least once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    /// Which.
    pub(crate) node: NodeId,
    /// What it does.
    pub(crate) role: Role,
    /// Where.
    pub(crate) region: RegionId,
}

/// A record group that is led, or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct GroupSight {
    /// Which.
    pub(crate) group: GroupId,
    /// The newest epoch that has a primary.
    pub(crate) epoch: Epoch,
    /// Its primary holds a lease.
    pub(crate) is_served: bool,
    /// Somebody asked for it to move, or an epoch is being prepared.
    pub(crate) is_moving: bool,
    /// Who leads the epoch.
    pub(crate) leads: Option<NodeId>,
    /// Its voters, preferred ones first.
    pub(crate) voters: Vec<VoterStatus>,
}

/// Everything at one moment.
#[derive(Debug)]
pub(crate) struct Sight<'a> {
    /// In the order of their names.
    pub(crate) places: &'a [Place],
    /// Whose standing should change.
    pub(crate) verdicts: &'a [Verdict],
    /// The record groups, in the order of their names.
    pub(crate) groups: &'a [GroupSight],
    /// Whether a host's copies answer canaries; who is not here was not asked.
    pub(crate) records: &'a BTreeMap<NodeId, bool>,
    /// Which groups should be left alone for now.
    pub(crate) patience: &'a Patience,
}

impl GroupSight {
    /// Who leads, as a voter.
    pub(crate) fn primary(&self) -> Option<&VoterStatus> {
        let leads = self.leads.as_ref()?;
        self.voters.iter().find(|voter| voter.node == *leads)
    }
}

impl Sight<'_> {
    /// Where a node is.
    pub(crate) fn place(&self, node: &NodeId) -> Option<&Place> {
        self.places.iter().find(|place| place.node == *node)
    }

    /// Every region that has nodes, once, by name.
    pub(crate) fn regions(&self) -> BTreeSet<&RegionId> {
        self.places.iter().map(|place| &place.region).collect()
    }

    /// Whether canaries of this host's copies are answered, as far as anybody asked.
    pub(crate) fn serves_records(&self, node: &NodeId) -> bool {
        self.records.get(node).copied().unwrap_or(true)
    }

    /// Whether a host holds what it should of each group that is led, and canaries say so too. Of a group that
    /// nobody leads nothing can be asked.
    pub(crate) fn has_caught_up(&self, node: &NodeId) -> bool {
        let its_own = |group: &&GroupSight| group.voters.iter().any(|voter| voter.node == *node);
        let groups: Vec<_> = self.groups.iter().filter(its_own).collect();
        let is_current =
            |group: &&GroupSight| group.voters.iter().any(|voter| voter.node == *node && voter.is_current);
        let led = || groups.iter().copied().filter(|group| group.is_served);
        led().all(|group| is_current(&group))
            && (led().count() < groups.len() || groups.is_empty() || self.serves_records(node))
    }
}
