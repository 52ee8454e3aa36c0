//! What functions are told of the media nodes: who is up, and in which order people of a region try them.

use std::collections::{BTreeMap, BTreeSet};

use locum_cluster::{NodeList, NodeRecord, ranked_media};
use locum_identity::RegionId;
use serde::Serialize;

/// Nodes that people of one region are told of. A client tries a handful; the rest would only be carried about.
const MAX_OFFERED: usize = 8;

/// The variable `media_nodes`, and what `/.well-known/locum.json` says of them.
#[derive(Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MediaNodes<'a> {
    /// The node list they are of; 0: there is none.
    version: u64,
    /// Every one that is up, best first for people of this host's region.
    nodes: Vec<MediaNode<'a>>,
    /// The best of them for people of each region, by id: a request may be answered in another region than it
    /// arrived in.
    by_region: BTreeMap<&'a RegionId, Vec<&'a str>>,
}

/// One that is up.
#[derive(Debug, Eq, PartialEq, Serialize)]
pub(crate) struct MediaNode<'a> {
    id: &'a str,
    region: &'a RegionId,
    /// Where clients connect, best first.
    urls: &'a [String],
    /// It takes no new calls.
    full: bool,
}

impl<'a> MediaNodes<'a> {
    /// Of a list, as seen from `region`.
    pub(crate) fn of(list: &'a NodeList, region: &RegionId) -> Self {
        let ranked = |region: &RegionId| {
            let nodes = ranked_media(list, region).into_iter();
            nodes.filter(|node| !node.addresses.is_empty()).collect::<Vec<_>>()
        };
        let best =
            |region| ranked(region).into_iter().take(MAX_OFFERED).map(|node| node.id.as_str()).collect();
        let regions: BTreeSet<_> = list.nodes.iter().map(|node| &node.region).collect();
        Self {
            version: list.version,
            nodes: ranked(region).into_iter().map(MediaNode::of).collect(),
            by_region: regions.into_iter().map(|region| (region, best(region))).collect(),
        }
    }

    /// The nodes to offer to people of this host's region.
    pub(crate) fn offered(mut self) -> Vec<MediaNode<'a>> {
        self.nodes.truncate(MAX_OFFERED);
        self.nodes
    }
}

impl<'a> MediaNode<'a> {
    fn of(node: &'a NodeRecord) -> Self {
        let NodeRecord { id, region, addresses, load, .. } = node;
        Self { id: id.as_str(), region, urls: addresses, full: load.is_full() }
    }
}

#[cfg(test)]
mod tests {
    use locum_cluster::{Load, NodeState};
    use locum_identity::Role;
    use serde_json::{Value, json};

    use super::*;

    fn media(id: &str, region: &str, sessions: u32) -> NodeRecord {
        NodeRecord {
            id: id.parse().unwrap(),
            role: Role::Media,
            region: region.parse().unwrap(),
            addresses: vec![format!("wss://{id}"), format!("wss://{id}-2")],
            jwks: None,
            mesh: Vec::new(),
            public: Vec::new(),
            load: Load { sessions, capacity: 100, cpu_permille: 0 },
            state: NodeState::Up,
        }
    }

    fn list(nodes: Vec<NodeRecord>) -> NodeList {
        NodeList { version: 7, issued_at_ms: 0, nodes }
    }

    #[test]
    fn each_region_has_its_own_order() {
        let edge = NodeRecord { role: Role::Edge, ..media("edge", "south", 0) };
        let down = NodeRecord { state: NodeState::Down, ..media("down", "west", 0) };
        let mute = NodeRecord { addresses: Vec::new(), ..media("mute", "west", 0) };
        let list = list(vec![media("m-east", "east", 0), media("m-west", "west", 70), edge, down, mute]);
        let told = serde_json::to_value(MediaNodes::of(&list, &"west".parse().unwrap())).unwrap();
        assert_eq!(
            told,
            json!({
                "version": 7,
                "nodes": [
                    {"id": "m-east", "region": "east", "urls": ["wss://m-east", "wss://m-east-2"], "full": false},
                    {"id": "m-west", "region": "west", "urls": ["wss://m-west", "wss://m-west-2"], "full": true},
                ],
                "byRegion": {
                    "east": ["m-east", "m-west"], "south": ["m-east", "m-west"], "west": ["m-east", "m-west"],
                },
            })
        );
    }

    #[test]
    fn people_are_offered_a_handful_and_the_rest_can_still_be_found() {
        let nodes = (0..20).map(|n| media(&format!("m-{n:02}"), if n < 10 { "east" } else { "west" }, n));
        let list = list(nodes.collect());
        let west = "west".parse().unwrap();
        let told = serde_json::to_value(MediaNodes::of(&list, &west)).unwrap();
        assert_eq!(told["nodes"].as_array().map(Vec::len), Some(20));
        let east: Vec<_> = (0..8).map(|n| Value::from(format!("m-{n:02}"))).collect();
        assert_eq!(told["byRegion"]["east"], Value::from(east));
        let offered: Vec<_> = MediaNodes::of(&list, &west).offered().iter().map(|node| node.id).collect();
        assert_eq!((offered.len(), offered[0]), (8, "m-10"));
    }
}
