//! Where the nodes of a room meet: rendezvous hashing over the media nodes of the node list.
//!
//! A room is registered with the first two of the nodes as the list names them now, and with the first two as it named
//! them before, so that two nodes, one of which holds an older list, still meet. Health is ignored: nodes agree on a
//! list, not on who is alive. Only in addition the first two that are not down are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use locum_identity::NodeId;
use ring::digest::{SHA256, digest};

/// Of each view of the nodes so many are asked.
const FIRST: usize = 2;

/// A node's name; cheap to copy.
pub type NodeName = Arc<NodeId>;

/// The media nodes of a node list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MediaNodes {
    /// Version of the list.
    pub generation: u64,
    /// Their names, and whether they are thought to be there.
    pub nodes: BTreeMap<NodeName, bool>,
}

/// The nodes now and before.
#[derive(Debug, Default)]
pub struct Views {
    now: MediaNodes,
    before: BTreeSet<NodeName>,
}

impl Views {
    /// A newer list. An older one is none.
    pub fn set(&mut self, nodes: MediaNodes) {
        if nodes.generation < self.now.generation {
            return;
        }
        let others = !nodes.nodes.keys().eq(self.now.nodes.keys());
        let old = std::mem::replace(&mut self.now, nodes);
        if others && !old.nodes.is_empty() {
            self.before = old.nodes.into_keys().collect();
        }
    }

    /// Version of the newest list.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.now.generation
    }

    /// Where the nodes of a room meet.
    #[must_use]
    pub fn of(&self, room: &str) -> BTreeSet<NodeName> {
        let alive = self.now.nodes.iter().filter(|(_, up)| **up).map(|(name, _)| name);
        let mut meet = first(room, self.now.nodes.keys());
        meet.extend(first(room, self.before.iter()));
        meet.extend(first(room, alive));
        meet
    }
}

fn first<'a>(room: &str, nodes: impl Iterator<Item = &'a NodeName>) -> BTreeSet<NodeName> {
    let mut ranked: Vec<_> = nodes.map(|node| (weight(room, node), node)).collect();
    ranked.sort_unstable();
    ranked.into_iter().rev().take(FIRST).map(|(_, node)| Arc::clone(node)).collect()
}

/// Must stay as it is: nodes of two releases meet by it.
fn weight(room: &str, node: &NodeId) -> [u8; 32] {
    let hash = digest(&SHA256, format!("{room}\n{node}").as_bytes());
    let mut weight = [0; 32];
    weight.copy_from_slice(hash.as_ref());
    weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(generation: u64, names: &[(&str, bool)]) -> MediaNodes {
        let node = |(name, up): &(&str, bool)| (Arc::new(name.parse().unwrap()), *up);
        MediaNodes { generation, nodes: names.iter().map(node).collect() }
    }

    fn views(lists: &[MediaNodes]) -> Views {
        let mut views = Views::default();
        lists.iter().for_each(|list| views.set(list.clone()));
        views
    }

    #[test]
    fn rooms_spread_and_everybody_reckons_the_same() {
        let all: Vec<(String, bool)> = (0..10).map(|i| (format!("media-{i}"), true)).collect();
        let all: Vec<(&str, bool)> = all.iter().map(|(name, up)| (name.as_str(), *up)).collect();
        let view = views(&[nodes(1, &all)]);
        let mut rooms: BTreeMap<NodeName, usize> = BTreeMap::new();
        for room in 0..1_000 {
            let meet = view.of(&room.to_string());
            assert_eq!(meet.len(), 2);
            meet.into_iter().for_each(|node| *rooms.entry(node).or_default() += 1);
        }
        assert!(rooms.len() == 10 && rooms.values().all(|count| (120..280).contains(count)), "{rooms:?}");
        let stays = views(&[nodes(1, &[("a", true), ("b", true), ("c", true)])]).of("room");
        assert_eq!(stays.iter().map(|n| n.as_str()).collect::<Vec<_>>(), ["a", "c"], "releases agree");
    }

    #[test]
    fn a_node_with_the_list_before_is_met() {
        let old = nodes(7, &[("a", true), ("b", true), ("c", true), ("d", true)]);
        for new in [
            nodes(8, &[("a", true), ("b", true), ("c", true), ("d", true), ("e", true), ("f", true)]),
            nodes(8, &[("c", true), ("d", true)]),
            nodes(8, &[("x", true), ("y", true)]),
        ] {
            let (behind, ahead) = (views(std::slice::from_ref(&old)), views(&[old.clone(), new]));
            for room in 0..200 {
                let room = room.to_string();
                assert!(behind.of(&room).is_subset(&ahead.of(&room)), "room {room}");
            }
        }
    }

    #[test]
    fn lists_that_name_the_same_nodes_keep_the_view_before_and_older_ones_are_not_taken() {
        let (old, new) = (nodes(1, &[("a", true), ("b", true)]), nodes(2, &[("c", true), ("d", true)]));
        let again = nodes(3, &[("c", true), ("d", false)]);
        let view = views(&[old.clone(), new, again, old]);
        assert_eq!(view.of("room").len(), 4);
        assert_eq!(view.generation(), 3);
    }

    #[test]
    fn a_room_whose_meeting_nodes_are_down_is_also_looked_for_elsewhere() {
        let all = nodes(1, &[("a", true), ("b", true), ("c", true), ("d", true)]);
        let down: Vec<NodeName> = views(std::slice::from_ref(&all)).of("room").into_iter().collect();
        let mut half = all;
        half.generation = 2;
        down.iter().for_each(|node| *half.nodes.get_mut(node).unwrap() = false);
        let meet = views(&[half]).of("room");
        assert_eq!(meet.len(), 4, "those down are still asked: others may think that they are up");
    }
}
