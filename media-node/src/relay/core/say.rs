//! What is said to other nodes, and which of them are linked.

use std::collections::BTreeSet;
use std::time::Instant;

use metrics::counter;

use super::{BEAT, LINK_RESTS, LINK_SILENT_FOR, Output, Relay};
use crate::relay::datagram;
use crate::relay::meeting::NodeName;
use crate::relay::messages::{Beat, Envelope, Held, Meeting, Person, State, Track, Word};
use crate::relay::other::{Link, Other};
use crate::relay::sources::Sources;
use crate::room::{RoomName, SharedPerson};

impl Relay {
    pub(super) fn look_after_links(&mut self, now: Instant) {
        let needed: BTreeSet<NodeName> =
            self.others.keys().chain(self.rooms.values().flat_map(|room| &room.meet)).cloned().collect();
        for node in needed.into_iter().filter(|node| *node != self.own) {
            let is_needed = self.is_needed(&node);
            let other = self.others.entry(NodeName::clone(&node)).or_default();
            if is_needed {
                other.needed_at = Some(now);
            }
            let rests = other.needed_at.is_none_or(|at| now.saturating_duration_since(at) >= LINK_RESTS);
            match other.link {
                Link::None if is_needed => {
                    other.link = Link::Wanted;
                    self.outputs.push_back(Output::Connect(node));
                }
                Link::None if rests && other.life.is_none() => {
                    self.others.remove(&node);
                }
                Link::Wanted | Link::Up(_) if rests => {
                    other.link = Link::None;
                    self.outputs.push_back(Output::Disconnect(node));
                }
                Link::Up(since) if is_needed && other.is_silent(now, since, LINK_SILENT_FOR) => {
                    other.link = Link::Wanted;
                    counter!("locum_media_relay_links_silent_total").increment(1);
                    self.outputs.push_back(Output::Reconnect(node));
                }
                Link::Up(_) if other.beat_at.is_none_or(|at| now.saturating_duration_since(at) >= BEAT) => {
                    // Also when nothing is left to say: then that is what is said.
                    other.dirty |= is_needed || other.said_something;
                }
                _ => {}
            }
        }
    }

    fn is_needed(&self, node: &NodeName) -> bool {
        self.directory.knows(node)
            || self.rooms.iter().any(|(name, room)| room.meet.contains(node) || self.shares(name, node))
            || self.others.get(node).is_some_and(Other::waits)
    }

    /// Whether a node has, or may have, people in a room that has people here.
    fn shares(&self, room: &RoomName, node: &NodeName) -> bool {
        self.directory.nodes(room).any(|other| other == node)
            || self.others.get(node).is_some_and(|other| other.held.contains_key(room))
            || self.others.values().any(|other| other.meets(room, node))
    }

    /// Says to one node all that is between it and this one.
    pub(super) fn say(&mut self, now: Instant, node: &NodeName) {
        let shared: Vec<RoomName> =
            self.rooms.keys().filter(|name| self.shares(name, node)).cloned().collect();
        let leases = self.rooms.iter().filter(|(_, room)| room.meet.contains(node));
        let leases: Vec<_> = leases.map(|(name, _)| name.to_string()).collect();
        let meetings = self.directory.meetings_of(node).into_iter().map(|(room, nodes)| Meeting {
            room: room.to_string(),
            nodes: nodes.into_iter().map(|node| node.to_string()).collect(),
        });
        let meetings: Vec<_> = meetings.collect();
        let Some(other) = self.others.get_mut(node) else { return };
        let mut words = Vec::new();
        let mut held = Vec::new();
        for name in shared {
            let Some(room) = self.rooms.get(&name) else { continue };
            held.push(Held { room: name.to_string(), revision: room.revision });
            if other.told.insert(name.clone(), room.revision) != Some(room.revision) {
                words.push(Word::State(self.sources.describe(&name, room.revision, &room.people)));
            }
        }
        let beat = Beat {
            generation: self.views.generation(),
            leases,
            meetings,
            held,
            receives: other.receiving.keys().copied().collect(),
            keyframes: std::mem::take(&mut other.keyframes).into_iter().collect(),
            delivered: other.incoming.last,
        };
        other.said_something = !(beat.leases.is_empty() && beat.meetings.is_empty() && beat.held.is_empty());
        words.push(Word::Beat(beat));
        words.extend(other.outgoing.send(now).into_iter().map(Word::Data));
        (other.dirty, other.beat_at) = (false, Some(now));
        for word in words {
            match Envelope::encode(word) {
                Some(message) => self.outputs.push_back(Output::Message(NodeName::clone(node), message)),
                None => counter!("locum_media_relay_dropped_total", "what" => "message").increment(1),
            }
        }
    }

    pub(super) fn ask_for_lost(&mut self, now: Instant) -> bool {
        let mut repairs = false;
        for (node, other) in &mut self.others {
            for (number, sink) in &mut other.receiving {
                let lost = sink.arrived.ask(now);
                for lost in lost.chunks(datagram::MAX_LOST) {
                    counter!("locum_media_relay_lost_total").increment(lost.len() as u64);
                    let ask = datagram::lost(*number, lost);
                    self.outputs.push_back(Output::Datagram(NodeName::clone(node), ask));
                }
                repairs |= !sink.arrived.is_whole();
            }
        }
        repairs
    }
}

impl Sources {
    /// A room's people here, for others.
    fn describe(&self, room: &RoomName, revision: u64, people: &[SharedPerson]) -> State {
        let person = |person: &SharedPerson| Person {
            info: Some(person.info.clone()),
            stay: person.stay,
            tracks: person
                .tracks
                .iter()
                .filter_map(|track| {
                    Some(Track { sid: track.sid.to_string(), id: self.id(track.session, track.mid)? })
                })
                .collect(),
        };
        State { room: room.to_string(), revision, people: people.iter().map(person).collect() }
    }
}
