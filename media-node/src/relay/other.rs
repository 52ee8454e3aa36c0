//! What this node knows of another one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::datagram::{number, track_and_layer};
use super::delivery::{Incoming, Outgoing};
use super::meeting::NodeName;
use super::messages::{Held, Meeting};
use super::repair::Arrived;
use crate::room::{RoomName, SessionId};
use crate::transport::{Layer, Mid};

/// Nodes of one room, and rooms, that are believed of one message.
const MAX_MEETINGS: usize = 4_096;
const MAX_NODES: usize = 64;

/// The way to a node.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Link {
    /// Not needed.
    #[default]
    None,
    /// Asked for.
    Wanted,
    /// There, since then.
    Up(Instant),
}

/// Another node.
#[derive(Debug, Default)]
pub(super) struct Other {
    pub life: Option<u64>,
    pub link: Link,
    pub heard_at: Option<Instant>,
    pub beat_at: Option<Instant>,
    pub needed_at: Option<Instant>,
    /// There is something to say.
    pub dirty: bool,
    /// The last beat held anything that has to be taken back when it holds no more.
    pub said_something: bool,
    /// Rooms in which it has people, and their revision.
    pub held: BTreeMap<RoomName, u64>,
    /// Of those, what is known of them here.
    pub known: BTreeMap<RoomName, u64>,
    /// Of the rooms here, what it was told on this link.
    pub told: BTreeMap<RoomName, u64>,
    /// Layers of its tracks that people here receive.
    pub receiving: BTreeMap<u32, Sink>,
    /// Of those, the ones that need a keyframe.
    pub keyframes: BTreeSet<u32>,
    pub outgoing: Outgoing,
    pub incoming: Incoming,
    /// Who meets in rooms, as it remembers for others.
    meetings: BTreeMap<RoomName, BTreeSet<NodeName>>,
}

/// Where a layer of another node goes here.
#[derive(Debug)]
pub(super) struct Sink {
    pub session: SessionId,
    pub mid: Mid,
    pub arrived: Arrived,
}

impl Other {
    pub(super) fn is_linked(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// A link that is there since `since` brought nothing back for so long.
    pub(super) fn is_silent(&self, now: Instant, since: Instant, limit: Duration) -> bool {
        let last = self.heard_at.map_or(since, |heard| heard.max(since));
        now.saturating_duration_since(last) >= limit
    }

    /// Whether something of this node's waits for it, or comes from it.
    pub(super) fn waits(&self) -> bool {
        !self.outgoing.is_empty() || !self.receiving.is_empty()
    }

    pub(super) fn link_up(&mut self, now: Instant) {
        self.link = Link::Up(now);
        self.told.clear();
        self.outgoing.begin();
        self.dirty = true;
    }

    /// Its process is this one.
    pub(super) fn begin(&mut self, life: u64) {
        if self.life != Some(life) {
            self.life = Some(life);
            self.incoming = Incoming::default();
            self.told.clear();
        }
        self.dirty = true;
    }

    /// Nothing counts any more of what it said. Returns the rooms in which it had people.
    pub(super) fn forget(&mut self) -> Vec<RoomName> {
        self.heard_at = None;
        self.held.clear();
        self.meetings.clear();
        self.told.clear();
        self.outgoing.drop_waiting();
        std::mem::take(&mut self.known).into_keys().collect()
    }

    /// Nobody here is in a room any more.
    pub(super) fn forget_room(&mut self, room: &RoomName) {
        self.known.remove(room);
        self.told.remove(room);
    }

    /// What it remembers of who meets. Returns the nodes that are new in any room.
    pub(super) fn meet(&mut self, meetings: &[Meeting]) -> BTreeSet<NodeName> {
        let node = |name: &String| name.parse().ok().map(NodeName::new);
        let read = |meeting: &Meeting| {
            let nodes = meeting.nodes.iter().take(MAX_NODES).filter_map(node).collect();
            Some((RoomName::parse(&meeting.room)?, nodes))
        };
        let told: BTreeMap<RoomName, BTreeSet<NodeName>> =
            meetings.iter().take(MAX_MEETINGS).filter_map(read).collect();
        let before = std::mem::replace(&mut self.meetings, told);
        let is_new = |room: &RoomName, node: &NodeName| before.get(room).is_none_or(|n| !n.contains(node));
        let new = self
            .meetings
            .iter()
            .flat_map(|(room, nodes)| nodes.iter().filter(move |node| is_new(room, node)));
        new.cloned().collect()
    }

    /// Whether it says that a node meets others in a room.
    pub(super) fn meets(&self, room: &RoomName, node: &NodeName) -> bool {
        self.meetings.get(room).is_some_and(|nodes| nodes.contains(node))
    }

    /// In which rooms it has people. Returns those of which something is known and that it has no more.
    pub(super) fn hold(&mut self, held: &[Held]) -> Vec<RoomName> {
        let read = |held: &Held| Some((RoomName::parse(&held.room)?, held.revision));
        self.held = held.iter().take(MAX_MEETINGS).filter_map(read).collect();
        let ended: Vec<_> =
            self.known.keys().filter(|room| !self.held.contains_key(*room)).cloned().collect();
        for room in &ended {
            self.known.remove(room);
        }
        ended
    }

    /// Rooms of which it knows more than is known here.
    pub(super) fn stale(&self) -> impl Iterator<Item = &RoomName> {
        self.held
            .iter()
            .filter(|(room, revision)| self.known.get(*room) != Some(revision))
            .map(|(room, _)| room)
    }

    /// A track of it goes to people here up to a layer, or does so no more.
    pub(super) fn receive(&mut self, track: u32, (session, mid): (SessionId, Mid), most: Option<Layer>) {
        for layer in Layer::ALL {
            let number = number(track, layer);
            let known = self.receiving.get(&number).map(|sink| sink.session);
            if most.is_some_and(|most| layer <= most) {
                if known != Some(session) {
                    self.receiving.insert(number, Sink { session, mid, arrived: Arrived::default() });
                }
            } else if known == Some(session) {
                self.receiving.remove(&number);
                self.keyframes.remove(&number);
            }
        }
    }

    /// The number of the layer that people here receive as this one.
    pub(super) fn received_as(&self, session: SessionId, mid: Mid, layer: Layer) -> Option<u32> {
        let is_it = |number: u32, sink: &Sink| {
            let is_layer = track_and_layer(number).is_some_and(|(_, known)| known == layer);
            sink.session == session && sink.mid == mid && is_layer
        };
        self.receiving.iter().find(|(number, sink)| is_it(**number, sink)).map(|(number, _)| *number)
    }
}
