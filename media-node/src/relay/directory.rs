//! Who has people in which room, as far as this node was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::meeting::NodeName;
use crate::room::RoomName;

/// A registration that is not renewed is over after this.
pub const LEASE: Duration = Duration::from_secs(2);

/// Rooms that one node may register here.
const MAX_ROOMS_OF_A_NODE: usize = 4_096;

/// Registrations of rooms with this node.
#[derive(Debug, Default)]
pub(super) struct Directory {
    rooms: BTreeMap<RoomName, BTreeMap<NodeName, Instant>>,
}

impl Directory {
    /// A node says which rooms it has people in: these and no others. Returns the rooms whose nodes changed.
    pub(super) fn renew(
        &mut self,
        now: Instant,
        node: &NodeName,
        rooms: &BTreeSet<RoomName>,
    ) -> Vec<RoomName> {
        let mut changed = Vec::new();
        for (room, nodes) in &mut self.rooms {
            if !rooms.contains(room) && nodes.remove(node).is_some() {
                changed.push(room.clone());
            }
        }
        for room in rooms.iter().take(MAX_ROOMS_OF_A_NODE) {
            let nodes = self.rooms.entry(room.clone()).or_default();
            if nodes.insert(node.clone(), now + LEASE).is_none() {
                changed.push(room.clone());
            }
        }
        self.rooms.retain(|_, nodes| !nodes.is_empty());
        changed
    }

    /// Forgets what was not renewed. Returns the rooms whose nodes changed.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<RoomName> {
        let mut changed = Vec::new();
        for (room, nodes) in &mut self.rooms {
            let before = nodes.len();
            nodes.retain(|_, until| *until > now);
            if nodes.len() != before {
                changed.push(room.clone());
            }
        }
        self.rooms.retain(|_, nodes| !nodes.is_empty());
        changed
    }

    /// Nodes of a room.
    pub(super) fn nodes(&self, room: &RoomName) -> impl Iterator<Item = &NodeName> {
        self.rooms.get(room).into_iter().flat_map(BTreeMap::keys)
    }

    /// Rooms that a node shares with others, and all nodes of each.
    pub(super) fn meetings_of(&self, node: &NodeName) -> Vec<(&RoomName, Vec<&NodeName>)> {
        let shared = self.rooms.iter().filter(|(_, nodes)| nodes.len() > 1 && nodes.contains_key(node));
        shared.map(|(room, nodes)| (room, nodes.keys().collect())).collect()
    }

    /// Whether a node has registered anything.
    pub(super) fn knows(&self, node: &NodeName) -> bool {
        self.rooms.values().any(|nodes| nodes.contains_key(node))
    }

    /// Rooms registered.
    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_lease_that_is_not_renewed_ends_and_one_that_is_taken_back_ends_at_once() {
        let (mut directory, start) = (Directory::default(), Instant::now());
        let node = |name: &str| -> NodeName { Arc::new(name.parse().unwrap()) };
        let room = |name: &str| RoomName::parse(name).unwrap();
        let rooms = |names: &[&str]| names.iter().map(|name| room(name)).collect();
        let (a, b) = (node("a"), node("b"));
        assert_eq!(directory.renew(start, &a, &rooms(&["1", "2"])).len(), 2);
        assert!(directory.meetings_of(&a).is_empty(), "alone");
        assert_eq!(directory.renew(start, &b, &rooms(&["1"])), [room("1")]);
        assert_eq!(directory.meetings_of(&a).len(), 1);

        let later = start + LEASE / 2;
        assert!(directory.renew(later, &a, &rooms(&["1", "2"])).is_empty());
        assert_eq!(directory.expire(start + LEASE), [room("1")]);
        assert!(directory.knows(&a) && !directory.knows(&b));
        assert_eq!(directory.renew(later, &a, &rooms(&["2"])), [room("1")]);
        assert_eq!(directory.len(), 1);
        directory.expire(later + LEASE);
        assert_eq!(directory.len(), 0);
    }
}
