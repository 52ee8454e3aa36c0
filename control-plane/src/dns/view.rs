//! What the zone is made from: a plain value with a generation. It comes from the node list of the members' record.

use std::collections::BTreeMap;
use std::net::IpAddr;

use locum_cluster::{Load, NodeList, NodeRecord, NodeState};
use locum_identity::{NodeId, RegionId, Role, Zone};

/// For this long after a change, answers may be kept only briefly: more changes may follow.
pub(crate) const FRESH_MS: i64 = 5 * 60 * 1000;

/// Everything the zone's answers depend on that changes while the network runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ZoneView {
    /// Grows with each change. Also the serial number of the zone.
    pub(crate) generation: u64,
    /// Edges and media nodes, ordered by id.
    pub(crate) nodes: Vec<NodeView>,
    /// Texts under `_acme-challenge`, by the name's labels before the zone's.
    pub(crate) challenges: BTreeMap<String, Vec<String>>,
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeView {
    pub(crate) id: NodeId,
    pub(crate) role: Role,
    pub(crate) region: RegionId,
    /// Its public addresses, best first.
    pub(crate) addresses: Vec<IpAddr>,
    /// The host in its URL, without the zone, if it is in the zone.
    pub(crate) host: Option<String>,
    pub(crate) state: NodeState,
    pub(crate) load: Load,
    /// When its state or its addresses were last seen to change; milliseconds since 1970.
    pub(crate) changed_ms: Option<i64>,
}

impl NodeView {
    /// Whether a change is recent.
    pub(crate) fn is_fresh(&self, now_ms: i64) -> bool {
        self.changed_ms.is_some_and(|changed| now_ms.saturating_sub(changed) < FRESH_MS)
    }
}

/// Makes one view after the other, and remembers when what changed.
#[derive(Debug)]
pub(crate) struct Viewer {
    zone: Zone,
    last: Option<ZoneView>,
}

impl Viewer {
    /// Has seen nothing yet. What the first list that names anybody says is no change.
    pub(crate) fn new(zone: Zone) -> Self {
        Self { zone, last: None }
    }

    /// The view of a list at the moment it was heard of.
    pub(crate) fn see(&mut self, list: &NodeList, now_ms: i64) -> ZoneView {
        let first = self.last.as_ref().is_none_or(|last| last.nodes.is_empty());
        let last = self.last.take().unwrap_or_default();
        let known: BTreeMap<_, _> = last.nodes.iter().map(|node| (&node.id, node)).collect();
        let nodes = list.nodes.iter().filter(|node| node.role != Role::Control).map(|record| {
            let mut node = node(record, &self.zone);
            let before = known.get(&node.id);
            let same = before.is_some_and(|before| {
                before.state == node.state && before.addresses == node.addresses && before.host == node.host
            });
            node.changed_ms = match before {
                _ if first => None,
                Some(before) if same => before.changed_ms,
                _ => Some(now_ms),
            };
            node
        });
        let view = ZoneView { generation: list.version, nodes: nodes.collect(), challenges: BTreeMap::new() };
        self.last = Some(view.clone());
        view
    }
}

fn node(record: &NodeRecord, zone: &Zone) -> NodeView {
    let host = record.addresses.iter().find_map(|url| host(url));
    let literal = || record.addresses.iter().filter_map(|url| host_address(url));
    let addresses = if record.public.is_empty() { literal().collect() } else { record.public.clone() };
    let below = |host: String| {
        let host = host.to_ascii_lowercase();
        let labels = host.strip_suffix(zone.as_str())?.strip_suffix('.')?;
        labels.split('.').all(|label| label.parse::<NodeId>().is_ok()).then(|| labels.to_owned())
    };
    NodeView {
        id: record.id.clone(),
        role: record.role,
        region: record.region.clone(),
        addresses,
        host: host.and_then(below),
        state: record.state,
        load: record.load,
        changed_ms: None,
    }
}

/// The host of a URL.
fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.split(':').next()?,
    };
    Some(host.to_owned())
}

fn host_address(url: &str) -> Option<IpAddr> {
    host(url)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, url: &str, public: &[&str], state: NodeState) -> NodeRecord {
        NodeRecord {
            id: id.parse().unwrap(),
            role: Role::Media,
            region: "us-west".parse().unwrap(),
            addresses: vec![url.to_owned()],
            public: public.iter().map(|address| address.parse().unwrap()).collect(),
            jwks: None,
            mesh: Vec::new(),
            load: Load::default(),
            state,
        }
    }

    fn list(version: u64, nodes: Vec<NodeRecord>) -> NodeList {
        NodeList { version, issued_at_ms: 0, nodes }
    }

    #[test]
    fn a_change_is_dated_and_news_of_load_is_none() {
        let mut viewer = Viewer::new("locum.test".parse().unwrap());
        let one = |state| record("m1", "wss://media.us-west.locum.test:7880", &["192.0.2.1"], state);
        let first = viewer.see(&list(1, vec![one(NodeState::Up)]), 1_000);
        assert_eq!(first.nodes[0].changed_ms, None, "what was always so did not change");
        assert_eq!(first.nodes[0].host.as_deref(), Some("media.us-west"));
        let down = viewer.see(&list(2, vec![one(NodeState::Down)]), 2_000);
        assert_eq!(down.nodes[0].changed_ms, Some(2_000));
        let mut busy = one(NodeState::Down);
        busy.load.sessions = 5;
        let same = viewer.see(&list(3, vec![busy, record("m2", "ws://x", &[], NodeState::Up)]), 3_000);
        assert_eq!(same.nodes[0].changed_ms, Some(2_000));
        assert_eq!(same.nodes[1].changed_ms, Some(3_000), "a newcomer is a change");
        assert!(same.nodes[0].is_fresh(2_000 + FRESH_MS - 1) && !same.nodes[0].is_fresh(2_000 + FRESH_MS));
    }

    #[test]
    fn addresses_are_announced_or_stand_in_the_url() {
        let zone = "locum.test".parse().unwrap();
        let seen = |url, public: &[&str]| node(&record("m1", url, public, NodeState::Up), &zone);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(seen("wss://192.0.2.7:7880/x", &[]).addresses, [address("192.0.2.7")]);
        assert_eq!(seen("wss://[2001:db8::7]:7880", &[]).addresses, [address("2001:db8::7")]);
        assert_eq!(seen("wss://192.0.2.7", &["192.0.2.8"]).addresses, [address("192.0.2.8")]);
        for outside in ["wss://media.example", "wss://locum.test", "wss://a..locum.test", "wss://xlocum.test"]
        {
            assert_eq!(seen(outside, &[]).host, None, "{outside}");
        }
        assert_eq!(seen("wss://M1.Locum.test", &[]).host.as_deref(), Some("m1"));
    }
}
