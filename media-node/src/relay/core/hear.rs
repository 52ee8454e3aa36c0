//! What other nodes say, and what they send.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use metrics::counter;

use super::{Output, REPAIR_TICK, Relay};
use crate::relay::datagram::{self, Datagram};
use crate::relay::meeting::NodeName;
use crate::relay::messages::{Beat, Data, Envelope, RoomData, State, Want, Word};
use crate::room::{RemotePerson, RoomName};
use crate::transport::Channel;

impl Relay {
    /// A node said something on its link to this one.
    pub fn hear(&mut self, now: Instant, node: &NodeName, word: Word) {
        if *node == self.own {
            return;
        }
        self.tick_soon(now);
        let other = self.others.entry(NodeName::clone(node)).or_default();
        other.heard_at = Some(now);
        match word {
            Word::Hello(hello) => {
                if other.life.is_some_and(|life| life != hello.life) {
                    self.forget(node);
                }
                self.others.entry(NodeName::clone(node)).or_default().begin(hello.life);
            }
            Word::Beat(beat) => self.beat(now, node, beat),
            Word::State(state) => self.state(node, state),
            Word::Want(want) => {
                if let Some(room) = RoomName::parse(&want.room) {
                    other.told.remove(&room);
                    other.dirty = true;
                }
            }
            Word::Data(data) => self.data(node, data),
            Word::Long(datagram) => self.datagram(now, node, &datagram),
        }
    }

    /// A node sent a datagram on its link to this one.
    pub fn datagram(&mut self, now: Instant, node: &NodeName, datagram: &Bytes) {
        let Some(other) = self.others.get_mut(node) else { return };
        match datagram::parse(datagram) {
            Some(Datagram::Media(number, packet)) => {
                let Some(sink) = other.receiving.get_mut(&number) else { return };
                if sink.arrived.accept(now, packet.sequence) {
                    self.outputs.push_back(Output::Media(sink.session, sink.mid, packet));
                }
                if !sink.arrived.is_whole() {
                    let soon = now + REPAIR_TICK;
                    self.next_tick = Some(self.next_tick.map_or(soon, |at| at.min(soon)));
                }
            }
            Some(Datagram::Lost(number, sequences)) => {
                let layer = self.sources.by_number(number).filter(|layer| layer.receivers.contains(node));
                let Some(layer) = layer else { return };
                let again: Vec<_> = sequences.into_iter().filter_map(|s| layer.kept.get(s)).collect();
                counter!("locum_media_relay_repaired_total").increment(again.len() as u64);
                let again = again.into_iter().map(|packet| Output::Datagram(NodeName::clone(node), packet));
                self.outputs.extend(again);
            }
            Some(Datagram::Data(packet)) => self.deliver(packet, Channel::Lossy),
            None => counter!("locum_media_relay_dropped_total", "what" => "malformed").increment(1),
        }
    }

    fn beat(&mut self, now: Instant, node: &NodeName, beat: Beat) {
        let leases: BTreeSet<_> = beat.leases.iter().filter_map(|name| RoomName::parse(name)).collect();
        let changed = self.directory.renew(now, node, &leases);
        self.meetings_changed(&changed);
        let Some(other) = self.others.get_mut(node) else { return };
        other.outgoing.confirm(now, beat.delivered);
        let new = other.meet(&beat.meetings);
        let ended = other.hold(&beat.held);
        let stale: Vec<_> =
            other.stale().filter(|room| self.rooms.contains_key(*room)).map(RoomName::to_string).collect();
        if other.is_linked() {
            let wants = stale.into_iter().filter_map(|room| Envelope::encode(Word::Want(Want { room })));
            self.outputs.extend(wants.map(|want| Output::Message(NodeName::clone(node), want)));
        }
        for room in ended {
            self.outputs.push_back(Output::People(room, NodeName::clone(node), Vec::new()));
        }
        for node in new.into_iter().filter(|node| *node != self.own) {
            self.others.entry(node).or_default().dirty = true;
        }
        let receives: BTreeSet<u32> = beat.receives.into_iter().collect();
        let keyframes: BTreeSet<u32> = beat.keyframes.into_iter().collect();
        self.receivers_changed(node, &receives, &keyframes);
    }

    fn receivers_changed(&mut self, node: &NodeName, receives: &BTreeSet<u32>, keyframes: &BTreeSet<u32>) {
        let change = self.sources.receive(node, receives, keyframes);
        let most = change.most.into_iter().map(|(session, mid, most)| Output::Wanted(session, mid, most));
        self.outputs.extend(most);
        let keyframes = change.keyframes.into_iter();
        self.outputs.extend(keyframes.map(|(session, mid, layer)| Output::Keyframe(session, mid, layer)));
    }

    fn state(&mut self, node: &NodeName, state: State) {
        let Some(room) = RoomName::parse(&state.room).filter(|room| self.rooms.contains_key(room)) else {
            return;
        };
        let Some(other) = self.others.get_mut(node) else { return };
        other.held.insert(room.clone(), state.revision);
        other.known.insert(room.clone(), state.revision);
        other.dirty = true;
        let people = state.people.into_iter().filter_map(RemotePerson::read).collect();
        self.outputs.push_back(Output::People(room, NodeName::clone(node), people));
    }

    fn data(&mut self, node: &NodeName, data: Data) {
        let Some(other) = self.others.get_mut(node) else { return };
        if let Some(packet) = other.incoming.accept(data) {
            other.dirty = true;
            self.deliver(packet, Channel::Reliable);
        }
    }

    fn deliver(&mut self, packet: RoomData, channel: Channel) {
        if let Some(room) = RoomName::parse(&packet.room).filter(|room| self.rooms.contains_key(room)) {
            self.outputs.push_back(Output::Data(room, channel, packet.message, packet.destinations));
        }
    }

    /// A node is silent, or began anew: what it said counts no more.
    pub(super) fn forget(&mut self, node: &NodeName) {
        let Some(other) = self.others.get_mut(node) else { return };
        for room in other.forget() {
            self.outputs.push_back(Output::People(room, NodeName::clone(node), Vec::new()));
        }
        self.receivers_changed(node, &BTreeSet::new(), &BTreeSet::new());
    }
}
