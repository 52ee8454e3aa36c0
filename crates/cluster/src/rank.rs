//! Which media node to try first.

use locum_identity::{RegionId, Role};

use crate::{NodeList, NodeRecord, NodeState};

/// The media nodes that take new people, best first: those with room before the full ones, `region`'s own
/// before others, then the less busy, then by id. The same list always gives the same order.
pub fn ranked_media<'a>(list: &'a NodeList, region: &RegionId) -> Vec<&'a NodeRecord> {
    let takes_people = |node: &&NodeRecord| node.role == Role::Media && node.state == NodeState::Up;
    let mut ranked: Vec<_> = list.nodes.iter().filter(takes_people).collect();
    ranked.sort_by(|a, b| {
        let key =
            |node: &NodeRecord| (node.load.is_full(), node.region != *region, node.load.used_permille());
        key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
    });
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Load;

    fn node(id: &str, role: Role, region: &str, sessions: u32, state: NodeState) -> NodeRecord {
        NodeRecord {
            id: id.parse().unwrap(),
            role,
            region: region.parse().unwrap(),
            addresses: Vec::new(),
            public: Vec::new(),
            jwks: None,
            mesh: None,
            load: Load { sessions, capacity: 100, cpu_permille: 0 },
            state,
        }
    }

    fn ranked(nodes: Vec<NodeRecord>) -> Vec<String> {
        let list = NodeList { version: 1, issued_at_ms: 0, nodes };
        ranked_media(&list, &"west".parse().unwrap()).iter().map(|node| node.id.to_string()).collect()
    }

    #[test]
    fn room_then_region_then_load_then_id() {
        use NodeState::Up;
        let nodes = vec![
            node("far-idle", Role::Media, "east", 0, Up),
            node("near-full", Role::Media, "west", 70, Up),
            node("near-busy", Role::Media, "west", 69, Up),
            node("near-b", Role::Media, "west", 5, Up),
            node("near-a", Role::Media, "west", 5, Up),
            node("far-full", Role::Media, "east", 90, Up),
        ];
        let expected = ["near-a", "near-b", "near-busy", "far-idle", "near-full", "far-full"];
        assert_eq!(ranked(nodes.clone()), expected);
        assert_eq!(ranked(nodes.into_iter().rev().collect()), expected, "the order given does not matter");
    }

    #[test]
    fn only_media_nodes_that_take_people() {
        let nodes = vec![
            node("edge", Role::Edge, "west", 0, NodeState::Up),
            node("draining", Role::Media, "west", 0, NodeState::Draining),
            node("down", Role::Media, "west", 0, NodeState::Down),
        ];
        assert!(ranked(nodes).is_empty());
    }
}
