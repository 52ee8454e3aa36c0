//! The event loop's side of the relay.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use metrics::{counter, gauge};

use crate::relay::links::Links;
use crate::relay::messages::Word;
use crate::relay::{MediaNodes, NodeName, Output, Relay};
use crate::room::{Now, Rooms, SessionId};
use crate::transport::{MediaPacket, Mid};

/// Datagrams of other nodes that may wait for the event loop: some 50 ms of the busiest node.
const MAX_DATAGRAMS: usize = 4_096;

/// What happened between this node and others.
pub enum RelayEvent {
    /// Rooms are shared with other nodes from now on.
    Begin(Box<Relay>, Box<Links>),
    /// The node list changed.
    Nodes(MediaNodes),
    /// The link to a node is there.
    LinkUp(NodeName),
    /// The link to a node is gone; it is made again.
    LinkDown(NodeName),
    /// A node said something.
    Heard(NodeName, Box<Word>),
}

/// Datagrams of other nodes on their way to the event loop. Too many: the oldest is of the least use.
#[derive(Default)]
pub(super) struct Arrivals(Mutex<VecDeque<(NodeName, Bytes)>>);

impl Arrivals {
    /// `true` when it is the first that waits: the event loop is to be woken.
    pub(super) fn push(&self, node: &NodeName, datagram: Bytes) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_DATAGRAMS {
            waiting.pop_front();
            counter!("locum_media_relay_dropped_total", "what" => "datagram").increment(1);
        }
        waiting.push_back((NodeName::clone(node), datagram));
        waiting.len() == 1
    }

    /// Swapped for `empty`, so that nobody waits while they are served.
    fn take(&self, empty: VecDeque<(NodeName, Bytes)>) -> VecDeque<(NodeName, Bytes)> {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), empty)
    }
}

/// The relay and its links.
pub(super) struct Relaying {
    pub(super) relay: Relay,
    links: Links,
    spare: VecDeque<(NodeName, Bytes)>,
}

impl Relaying {
    pub(super) fn new(relay: Relay, links: Links) -> Self {
        Self { relay, links, spare: VecDeque::new() }
    }

    pub(super) fn event(&mut self, now: Now, event: RelayEvent) {
        match event {
            RelayEvent::Begin(..) => {}
            RelayEvent::Nodes(nodes) => self.relay.set_nodes(now.at, nodes),
            RelayEvent::LinkUp(node) => self.relay.link_up(now.at, &node),
            RelayEvent::LinkDown(node) => self.relay.link_down(&node),
            RelayEvent::Heard(node, word) => self.relay.hear(now.at, &node, *word),
        }
    }

    pub(super) fn arrived(&mut self, now: Now, arrivals: &Arrivals) {
        let mut waiting = arrivals.take(std::mem::take(&mut self.spare));
        for (node, datagram) in waiting.drain(..) {
            self.relay.datagram(now.at, &node, &datagram);
        }
        self.spare = waiting;
    }

    /// Does what the relay decided. Returns what has to be forwarded, if anything.
    pub(super) fn next(&mut self, now: Now, rooms: &mut Rooms) -> Option<(SessionId, Mid, MediaPacket)> {
        while let Some(output) = self.relay.poll_output() {
            match output {
                Output::Connect(node) => self.links.connect(node),
                Output::Reconnect(node) => self.links.reconnect(&node),
                Output::Disconnect(node) => self.links.disconnect(&node),
                Output::Message(node, message) => self.links.message(&node, message),
                Output::Datagram(node, datagram) => self.links.datagram(&node, datagram),
                Output::People(room, node, people) => rooms.elsewhere(now, &room, node, people),
                Output::Data(room, channel, message, destinations) => {
                    rooms.data_from_elsewhere(now, &room, channel, &message, &destinations);
                }
                Output::Keyframe(session, mid, layer) => rooms.keyframe_wanted(now, session, mid, layer),
                Output::Wanted(session, mid, most) => rooms.wanted_elsewhere(now, session, mid, most),
                Output::Media(session, mid, packet) => return Some((session, mid, packet)),
            }
        }
        None
    }

    pub(super) fn publish(&self) {
        let (links, rooms) = self.relay.sizes();
        let as_f64 = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        gauge!("locum_media_relay_links").set(as_f64(links));
        gauge!("locum_media_relay_rooms").set(as_f64(rooms));
    }
}
