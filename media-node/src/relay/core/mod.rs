//! Decides what is said to which node, and what of theirs comes into this node's rooms. No I/O, no clock.

mod hear;
mod say;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::counter;

use super::datagram;
use super::directory::Directory;
use super::meeting::{MediaNodes, NodeName, Views};
use super::messages::{Envelope, Hello, RoomData, Word};
use super::other::{Link, Other};
use super::sources::Sources;
use crate::room::{RemotePerson, RoomName, SessionId, SharedPerson};
use crate::transport::{Channel, Layer, MediaPacket, Mid};

/// How often nodes that share something say so.
const BEAT: Duration = Duration::from_millis(500);

/// A node that says nothing for so long has lost its people, as far as this one is concerned.
pub const SILENT_FOR: Duration = Duration::from_secs(5);

/// A link by which nothing comes back for so long is made anew.
const LINK_SILENT_FOR: Duration = Duration::from_secs(2);

/// A link that nothing needs is kept for so long.
const LINK_RESTS: Duration = Duration::from_secs(30);

/// How often deadlines are looked at, and how often while packets are missing.
const TICK: Duration = Duration::from_millis(100);
const REPAIR_TICK: Duration = Duration::from_millis(10);

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Make a link to a node, and make it again whenever it breaks.
    Connect(NodeName),
    /// This link is as good as broken.
    Reconnect(NodeName),
    /// The link is needed no more.
    Disconnect(NodeName),
    /// Send a message on the link, after those before it.
    Message(NodeName, Bytes),
    /// Send a datagram on the link.
    Datagram(NodeName, Bytes),
    /// A room's people at another node, all of them; none: it has no more.
    People(RoomName, NodeName, Vec<RemotePerson>),
    /// A data packet for people of a room here.
    Data(RoomName, Channel, Bytes, Vec<String>),
    /// A packet of a track that is received.
    Media(SessionId, Mid, MediaPacket),
    /// Another node needs a keyframe of a layer that is published here.
    Keyframe(SessionId, Mid, Layer),
    /// Other nodes want what is published here up to a layer; or nothing of it.
    Wanted(SessionId, Mid, Option<Layer>),
}

/// A room with people here.
struct Shared {
    people: Vec<SharedPerson>,
    revision: u64,
    meet: BTreeSet<NodeName>,
}

/// This node's part in rooms that several nodes share.
pub struct Relay {
    own: NodeName,
    life: u64,
    views: Views,
    directory: Directory,
    rooms: BTreeMap<RoomName, Shared>,
    others: BTreeMap<NodeName, Other>,
    sources: Sources,
    revision: u64,
    outputs: VecDeque<Output>,
    next_tick: Option<Instant>,
}

impl Relay {
    /// Of node `own`; `life` is random, so that others notice when it begins anew.
    #[must_use]
    pub fn new(own: NodeName, life: u64) -> Self {
        Self {
            own,
            life,
            views: Views::default(),
            directory: Directory::default(),
            rooms: BTreeMap::new(),
            others: BTreeMap::new(),
            sources: Sources::default(),
            revision: 0,
            outputs: VecDeque::new(),
            next_tick: None,
        }
    }

    /// The node list changed.
    pub fn set_nodes(&mut self, now: Instant, nodes: MediaNodes) {
        self.views.set(nodes);
        for (name, room) in &mut self.rooms {
            room.meet = self.views.of(name.as_str());
        }
        self.renew_own(now);
        self.all_dirty();
    }

    /// People of a room here, as others should see them; none: nobody is here any more.
    pub fn share(&mut self, now: Instant, name: &RoomName, people: Vec<SharedPerson>) {
        if people.is_empty() {
            if self.rooms.remove(name).is_none() {
                return;
            }
            for other in self.others.values_mut() {
                other.forget_room(name);
            }
        } else {
            let meet = || self.views.of(name.as_str());
            let room = self.rooms.entry(name.clone()).or_insert_with(|| Shared {
                people: Vec::new(),
                revision: 0,
                meet: meet(),
            });
            if room.people == people {
                return;
            }
            room.people = people;
            self.revision += 1;
            room.revision = self.revision;
        }
        let all = self.rooms.values().flat_map(|room| &room.people).flat_map(|person| &person.tracks);
        self.sources.set(all.map(|track| (track.session, track.mid)));
        self.renew_own(now);
        self.all_dirty();
        self.tick_soon(now);
    }

    /// What was told of a room's people elsewhere is not known here any more.
    pub fn forget_room(&mut self, room: &RoomName) {
        self.others.values_mut().for_each(|other| other.forget_room(room));
    }

    /// People here want to receive a track of another node up to a layer, or do so no more.
    pub fn receive(&mut self, node: &NodeName, track: u32, to: (SessionId, Mid), most: Option<Layer>) {
        let Some(other) = self.others.get_mut(node).filter(|_| datagram::is_track(track)) else { return };
        other.receive(track, to, most);
        other.dirty = true;
    }

    /// People here need a keyframe of a layer of another node.
    pub fn want_keyframe(&mut self, session: SessionId, mid: Mid, layer: Layer) {
        for other in self.others.values_mut() {
            if let Some(number) = other.received_as(session, mid, layer) {
                other.keyframes.insert(number);
                other.dirty = true;
            }
        }
    }

    /// A packet of somebody here: to every node that wants it.
    pub fn forward(&mut self, session: SessionId, mid: Mid, packet: &MediaPacket) {
        let Some((track, layer)) = self.sources.wanted(session, mid, packet.layer) else { return };
        let datagram = datagram::media(track, packet);
        layer.kept.push(packet.sequence, datagram.clone());
        for node in &layer.receivers {
            self.outputs.push_back(Output::Datagram(NodeName::clone(node), datagram.clone()));
        }
    }

    /// A data packet of somebody here: to every node that has people in the room.
    pub fn send_data(&mut self, room: &RoomName, channel: Channel, message: &Bytes, destinations: &[String]) {
        let packet = RoomData {
            room: room.to_string(),
            message: message.clone(),
            destinations: destinations.to_vec(),
        };
        for (node, other) in self.others.iter_mut().filter(|(_, other)| other.known.contains_key(room)) {
            if channel == Channel::Lossy {
                let datagram = datagram::data(&packet);
                self.outputs.push_back(Output::Datagram(NodeName::clone(node), datagram));
            } else if other.outgoing.push(packet.clone()) {
                other.dirty = true;
            } else {
                counter!("locum_media_relay_dropped_total", "what" => "data").increment(1);
            }
        }
    }

    /// The link to a node is there.
    pub fn link_up(&mut self, now: Instant, node: &NodeName) {
        let Some(other) = self.others.get_mut(node) else { return };
        other.link_up(now);
        let hello = Envelope::encode(Word::Hello(Hello { life: self.life }));
        self.outputs.extend(hello.map(|hello| Output::Message(NodeName::clone(node), hello)));
        self.tick_soon(now);
    }

    /// The link to a node is gone; it is made again.
    pub fn link_down(&mut self, node: &NodeName) {
        if let Some(other) = self.others.get_mut(node) {
            other.link = Link::Wanted;
        }
    }

    /// Looks at deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_tick.is_none_or(|at| now < at) {
            return;
        }
        let changed = self.directory.expire(now);
        self.meetings_changed(&changed);
        self.renew_own(now);
        let silent =
            |other: &Other| other.heard_at.is_some_and(|at| now.saturating_duration_since(at) >= SILENT_FOR);
        let silent = self.others.iter().filter(|(_, other)| silent(other)).map(|(node, _)| node.clone());
        for node in silent.collect::<Vec<_>>() {
            self.forget(&node);
        }
        self.look_after_links(now);
        let repairs = self.ask_for_lost(now);
        let is_idle = self.rooms.is_empty() && self.directory.len() == 0 && self.others.is_empty();
        self.next_tick = (!is_idle).then(|| now + if repairs { REPAIR_TICK } else { TICK });
    }

    /// When [`Relay::handle_timeout`] should run next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_tick
    }

    /// Says what is to be said by now: once after everything that happened at once.
    pub fn flush(&mut self, now: Instant) {
        let dirty = |other: &Other| other.dirty && other.is_linked();
        let dirty = self.others.iter().filter(|(_, other)| dirty(other)).map(|(node, _)| node.clone());
        for node in dirty.collect::<Vec<_>>() {
            self.say(now, &node);
        }
    }

    /// The next thing to do. To be drained after every other call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Nodes that are linked, and rooms that other nodes registered here or share with this one.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        let shared = |name: &&RoomName| self.others.values().any(|other| other.known.contains_key(*name));
        let links = self.others.values().filter(|other| other.is_linked()).count();
        (links, self.rooms.keys().filter(shared).count())
    }

    /// This node meets others also at itself.
    fn renew_own(&mut self, now: Instant) {
        let own = self.rooms.iter().filter(|(_, room)| room.meet.contains(&self.own));
        let own: BTreeSet<_> = own.map(|(name, _)| name.clone()).collect();
        let changed = self.directory.renew(now, &self.own, &own);
        self.meetings_changed(&changed);
    }

    fn meetings_changed(&mut self, rooms: &[RoomName]) {
        let nodes = rooms.iter().flat_map(|room| self.directory.nodes(room)).cloned();
        for node in nodes.collect::<BTreeSet<_>>().into_iter().filter(|node| *node != self.own) {
            self.others.entry(node).or_default().dirty = true;
        }
    }

    fn all_dirty(&mut self) {
        self.others.values_mut().for_each(|other| other.dirty = true);
    }

    fn tick_soon(&mut self, now: Instant) {
        self.next_tick = Some(now);
    }
}
