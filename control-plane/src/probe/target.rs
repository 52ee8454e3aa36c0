//! What is probed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use locum_cluster::NodeRecord;
use locum_cluster::probe::MediaProbe;
use locum_identity::{NodeId, Role};

use crate::health::ProbeKind;
use crate::membership::Record;

/// A node, as far as a probe must know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    /// What it does.
    pub(crate) role: Role,
    /// Its public URLs, best first.
    pub(crate) urls: Vec<String>,
    /// Its own public addresses; none: its names lead to it.
    pub(crate) public: Vec<IpAddr>,
    /// Ids of the keys with which it signs tokens: what answers under its name must have them.
    pub(crate) key_ids: Vec<String>,
    /// Where it is called on the mesh.
    pub(crate) mesh: Vec<SocketAddr>,
    /// How to try whether media gets through.
    pub(crate) media: Option<MediaProbe>,
    /// Where it answers for names.
    pub(crate) dns: Vec<SocketAddr>,
}

/// Everybody who is probed.
pub(crate) type Targets = BTreeMap<NodeId, Target>;

impl Target {
    /// What of it can be probed.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = ProbeKind> {
        let is = |role: Role| self.role == role;
        let kinds = [
            (ProbeKind::Https, is(Role::Edge) && !self.urls.is_empty()),
            (ProbeKind::Records, is(Role::Edge) && !self.mesh.is_empty()),
            (ProbeKind::Signalling, is(Role::Media) && !self.urls.is_empty()),
            (ProbeKind::Ice, is(Role::Media) && self.media.is_some()),
            (ProbeKind::Dns, !self.dns.is_empty()),
        ];
        kinds.into_iter().filter(|(_, can)| *can).map(|(kind, _)| kind)
    }
}

/// Everybody of a record who does something for people.
pub(crate) fn targets(record: &Record) -> Targets {
    let target = |node: &NodeRecord| {
        let target = Target {
            role: node.role,
            urls: node.addresses.clone(),
            public: node.public.clone(),
            key_ids: node.jwks.iter().flat_map(|jwks| &jwks.keys).map(|key| key.kid.clone()).collect(),
            mesh: node.mesh.clone(),
            media: record.probes.get(&node.id).cloned(),
            dns: Vec::new(),
        };
        (node.id.clone(), target)
    };
    record.list.nodes.iter().filter(|node| node.role != Role::Control).map(target).collect()
}
