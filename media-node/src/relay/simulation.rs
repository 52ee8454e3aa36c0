//! Whole nodes, rooms and relay, on a network that loses, cuts and heals; a seed tells the story.
//!
//! After every step: no packet comes twice or back to its publisher, reliable data comes once and in order. When all is
//! quiet again: everybody sees everybody else of their room, once, and receives them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use proto::data_packet::Value;
use proto::signal_request::Message as Request;
use proto::{TrackSource, TrackType};

use super::messages::Envelope;
use super::*;
use crate::room::{
    Action, Identity, Ids, Joining, Leg, Limits, MediaEvent, Message, Now, RoomName, Rooms, SessionId,
    Signalling,
};
use crate::token::{Admission, Grants};
use crate::transport::{Channel, Codec, Layer, MediaPacket, Mid};

const STEP: Duration = Duration::from_millis(10);
const LATENCY: (u64, u64) = (1, 60);
const ROOMS: [&str; 2] = ["room-a", "room-b"];
const PEOPLE: u64 = 5;
/// Longer than any patience of the relay, and time to meet again.
const QUIET: Duration = Duration::from_secs(12);

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Somebody with a camera.
struct Client {
    identity: String,
    room: RoomName,
    sections: u32,
    joined: bool,
    /// Who they see, by identity, with the id of the stay and the tracks.
    sees: BTreeMap<String, (String, BTreeSet<String>)>,
    /// Packets by publisher and number.
    packets: BTreeMap<(String, u32), u32>,
    /// Reliable data by sender and stay.
    data: BTreeMap<(String, String), Vec<u32>>,
    sent_packets: u32,
    sent_data: u32,
}

struct Node {
    rooms: Rooms,
    relay: Relay,
    routes: HashMap<(SessionId, Mid), Vec<Leg>>,
    clients: BTreeMap<SessionId, Client>,
}

enum Cargo {
    Message(Bytes),
    Datagram(Bytes),
    LinkUp,
}

struct Network {
    seed: u64,
    random: Random,
    now: Now,
    nodes: BTreeMap<NodeName, Node>,
    /// Links that are there, by who speaks and who listens, and when the last message on them arrives.
    links: BTreeMap<(NodeName, NodeName), Instant>,
    wanted: BTreeSet<(NodeName, NodeName)>,
    cut: BTreeSet<(NodeName, NodeName)>,
    /// What is under way, by arrival.
    cargo: BTreeMap<(Instant, u64), (NodeName, NodeName, Cargo)>,
    count: u64,
    loss_percent: u64,
    generation: u64,
    lives: u64,
    stays: u32,
    /// Datagrams lost so far.
    lost: u64,
}

impl Network {
    fn new(seed: u64, nodes: u64) -> Self {
        let now = Now { at: Instant::now(), unix_ms: 1_000_000 };
        let mut network = Self {
            seed,
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            now,
            nodes: BTreeMap::new(),
            links: BTreeMap::new(),
            wanted: BTreeSet::new(),
            cut: BTreeSet::new(),
            cargo: BTreeMap::new(),
            count: 0,
            loss_percent: 0,
            generation: 0,
            lives: 0,
            stays: 0,
            lost: 0,
        };
        for number in 0..nodes {
            network.start(Arc::new(format!("media-{number}").parse().unwrap()));
        }
        network.list();
        network
    }

    fn start(&mut self, name: NodeName) {
        self.lives += 1;
        let (life, mut count) = (self.lives, 0_u64);
        let ids = Ids::new(move || {
            count += 1;
            (life << 32 | count).to_be_bytes()
        });
        let limits =
            Limits { sessions: 64, participants: 16, tracks: 2, move_within: Duration::from_secs(5) };
        let rooms = Rooms::new(limits, "eu-central".to_owned(), ids);
        let relay = Relay::new(NodeName::clone(&name), life);
        let (routes, clients) = (HashMap::new(), BTreeMap::new());
        let node = Node { rooms, relay, routes, clients };
        self.nodes.insert(name, node);
    }

    /// A new node list reaches every node.
    fn list(&mut self) {
        self.generation += 1;
        let nodes: BTreeMap<_, _> = self.nodes.keys().map(|name| (NodeName::clone(name), true)).collect();
        let list = MediaNodes { generation: self.generation, nodes };
        for node in self.nodes.values_mut() {
            node.relay.set_nodes(self.now.at, list.clone());
        }
    }

    /// A node ends without a word.
    fn kill(&mut self, name: &NodeName) {
        self.nodes.remove(name);
        self.cargo.retain(|_, (from, to, _)| from != name && to != name);
        let others: Vec<_> =
            self.links.keys().filter(|(from, to)| from == name || to == name).cloned().collect();
        for (from, to) in others {
            self.links.remove(&(from.clone(), to.clone()));
            if let Some(node) = self.nodes.get_mut(&from) {
                node.relay.link_down(&to);
            }
        }
        self.wanted.retain(|(from, _)| from != name);
    }

    fn some_node(&mut self) -> NodeName {
        let at = self.random.below(self.nodes.len() as u64) as usize;
        NodeName::clone(self.nodes.keys().nth(at).unwrap())
    }

    fn some_client(&mut self) -> Option<(NodeName, SessionId)> {
        let clients = self.nodes.iter().flat_map(|(name, node)| node.clients.keys().map(move |s| (name, *s)));
        let clients: Vec<_> = clients.map(|(name, session)| (NodeName::clone(name), session)).collect();
        let at = self.random.below(clients.len().max(1) as u64) as usize;
        clients.get(at).cloned()
    }

    fn join(&mut self, name: &NodeName, identity: &str, room: &str) {
        self.stays += 1;
        let (now, stay, node) = (self.now, self.stays, self.nodes.get_mut(name).unwrap());
        if let Some(session) = node.enter(now, stay, identity, room) {
            node.publish(now, session);
        }
        self.settle(name);
    }

    fn leave(&mut self, name: &NodeName, session: SessionId) {
        let node = self.nodes.get_mut(name).unwrap();
        node.rooms.request(self.now, session, Request::Leave(proto::LeaveRequest::default()));
        node.clients.remove(&session);
        self.settle(name);
    }

    /// Somebody's camera sends its next picture, to everybody who should get it.
    fn film(&mut self, name: &NodeName, session: SessionId) {
        let node = self.nodes.get_mut(name).unwrap();
        let Some(client) = node.clients.get_mut(&session) else { return };
        client.sent_packets += 1;
        let payload = format!("{} {}", client.identity, client.sent_packets);
        let packet = MediaPacket {
            layer: Layer::High,
            codec: Codec::Vp8,
            sequence: client.sent_packets as u16,
            timestamp: client.sent_packets,
            marker: true,
            audio_level: None,
            orientation: None,
            payload: payload.into_bytes().into(),
        };
        node.forward(session, camera(), &packet);
        self.settle(name);
    }

    fn say(&mut self, name: &NodeName, session: SessionId) {
        let node = self.nodes.get_mut(name).unwrap();
        let Some(client) = node.clients.get_mut(&session) else { return };
        client.sent_data += 1;
        let user =
            proto::UserPacket { payload: client.sent_data.to_be_bytes().to_vec(), ..Default::default() };
        let packet = proto::DataPacket { value: Some(Value::User(user)), ..Default::default() };
        let said = MediaEvent::Data(Channel::Reliable, packet.encode_to_vec().into());
        node.rooms.media(self.now, session, said);
        self.settle(name);
    }

    /// Does what a node decided.
    fn settle(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        for output in node.settle(self.now) {
            match output {
                Output::Connect(to) => {
                    self.wanted.insert((NodeName::clone(name), to));
                }
                Output::Reconnect(to) => {
                    self.links.remove(&(NodeName::clone(name), NodeName::clone(&to)));
                    self.node(name).relay.link_down(&to);
                }
                Output::Disconnect(to) => {
                    self.wanted.remove(&(NodeName::clone(name), NodeName::clone(&to)));
                    self.links.remove(&(NodeName::clone(name), to));
                }
                Output::Message(to, message) => self.send(name, &to, Cargo::Message(message)),
                Output::Datagram(to, datagram) => {
                    if self.random.chance(self.loss_percent) {
                        self.lost += 1;
                    } else {
                        self.send(name, &to, Cargo::Datagram(datagram));
                    }
                }
                other => panic!("seed {}: left over {other:?}", self.seed),
            }
        }
    }

    fn node(&mut self, name: &NodeName) -> &mut Node {
        self.nodes.get_mut(name).unwrap()
    }

    fn is_cut(&self, from: &NodeName, to: &NodeName) -> bool {
        let pair = |a: &NodeName, b: &NodeName| self.cut.contains(&(NodeName::clone(a), NodeName::clone(b)));
        pair(from, to) || pair(to, from)
    }

    fn send(&mut self, from: &NodeName, to: &NodeName, cargo: Cargo) {
        let late = LATENCY.0 + self.random.below(LATENCY.1);
        let mut at = self.now.at + Duration::from_millis(late);
        let is_cut = self.is_cut(from, to);
        let Some(last) = self.links.get_mut(&(NodeName::clone(from), NodeName::clone(to))) else { return };
        if matches!(cargo, Cargo::Message(_)) {
            at = at.max(*last);
            *last = at;
        } else if is_cut {
            return;
        }
        self.count += 1;
        self.cargo.insert((at, self.count), (NodeName::clone(from), NodeName::clone(to), cargo));
    }

    fn step(&mut self) {
        self.now.at += STEP;
        self.now.unix_ms += STEP.as_millis() as i64;
        for link in self.wanted.clone() {
            if !self.links.contains_key(&link)
                && !self.is_cut(&link.0, &link.1)
                && self.nodes.contains_key(&link.1)
            {
                let at = self.now.at;
                self.links.insert(link.clone(), at);
                self.send(&link.0, &link.1, Cargo::LinkUp);
            }
        }
        while let Some(entry) = self.cargo.first_entry().filter(|entry| entry.key().0 <= self.now.at) {
            let ((at, count), (from, to, cargo)) = entry.remove_entry();
            if !self.links.contains_key(&(from.clone(), to.clone())) {
                continue;
            }
            if self.is_cut(&from, &to) && !matches!(cargo, Cargo::Datagram(_)) {
                // Sent again until it arrives.
                self.cargo.insert((at + STEP, count), (from, to, cargo));
                if at + STEP <= self.now.at {
                    break;
                }
                continue;
            }
            self.deliver(&from, &to, cargo);
        }
        for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
            let now = self.now;
            let node = self.node(&name);
            node.relay.handle_timeout(now.at);
            node.rooms.handle_timeout(now);
            self.settle(&name);
        }
        self.check();
    }

    fn deliver(&mut self, from: &NodeName, to: &NodeName, cargo: Cargo) {
        let now = self.now;
        match cargo {
            Cargo::LinkUp => {
                if let Some(node) = self.nodes.get_mut(from) {
                    node.relay.link_up(now.at, to);
                }
                self.settle(from);
            }
            Cargo::Message(message) => {
                let Some(node) = self.nodes.get_mut(to) else { return };
                node.relay.hear(now.at, from, Envelope::read(&message).unwrap());
                self.settle(to);
            }
            Cargo::Datagram(datagram) => {
                let Some(node) = self.nodes.get_mut(to) else { return };
                node.relay.datagram(now.at, from, &datagram);
                self.settle(to);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now.at + time;
        while self.now.at < until {
            self.step();
        }
    }

    /// What holds at every moment.
    fn check(&self) {
        for (name, node) in &self.nodes {
            for client in node.clients.values() {
                let who = format!("seed {}: {} at {name}", self.seed, client.identity);
                for ((publisher, number), times) in &client.packets {
                    assert_eq!(*times, 1, "{who}: packet {number} of {publisher} came again");
                    assert_ne!(*publisher, client.identity, "{who}: a packet came back");
                }
                for (sender, numbers) in &client.data {
                    assert!(
                        numbers.windows(2).all(|pair| pair[0] < pair[1]),
                        "{who}: {sender:?} {numbers:?}"
                    );
                    assert_ne!(sender.0, client.identity, "{who}: a message came back");
                }
            }
        }
    }

    /// What holds once all is quiet.
    fn check_quiet(&mut self) {
        self.cut.clear();
        self.loss_percent = 0;
        self.run(QUIET);
        let people: Vec<_> = self.nodes.values().flat_map(|node| node.clients.values()).collect();
        for client in &people {
            let others = people.iter().filter(|o| o.room == client.room && o.identity != client.identity);
            let others: BTreeSet<&str> = others.map(|other| other.identity.as_str()).collect();
            let sees: BTreeSet<&str> = client.sees.keys().map(String::as_str).collect();
            assert_eq!(sees, others, "seed {}: {} sees", self.seed, client.identity);
            for (other, (_, tracks)) in &client.sees {
                assert_eq!(tracks.len(), 1, "seed {}: {} of {other}", self.seed, client.identity);
            }
        }
        let before: BTreeMap<_, _> = people
            .iter()
            .map(|client| {
                ((client.room.clone(), client.identity.clone()), (client.sent_packets, client.sent_data))
            })
            .collect();
        for _ in 0..20 {
            for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
                for session in self.node(&name).clients.keys().copied().collect::<Vec<_>>() {
                    self.film(&name, session);
                    self.say(&name, session);
                }
            }
            self.step();
        }
        self.run(Duration::from_secs(1));
        for client in self.nodes.values().flat_map(|node| node.clients.values()) {
            for other in client.sees.keys() {
                let (packets, data) = before[&(client.room.clone(), other.clone())];
                let came = (packets + 1..=packets + 20)
                    .filter(|n| client.packets.contains_key(&(other.clone(), *n)));
                let who = format!("seed {}: {} of {other}", self.seed, client.identity);
                assert_eq!(came.count(), 20, "{who}: packets");
                let of_other = client.data.iter().filter(|((sender, _), _)| sender == other);
                let said = of_other.flat_map(|(_, all)| all).filter(|number| **number > data).count();
                assert_eq!(said, 20, "{who}: messages");
            }
        }
    }
}

impl Node {
    fn enter(&mut self, now: Now, stay: u32, identity: &str, room: &str) -> Option<SessionId> {
        let room = RoomName::parse(room).unwrap();
        let admission = Admission {
            identity: Identity::parse(identity).unwrap(),
            room: room.clone(),
            grants: Grants { publish: true, sources: Vec::new(), subscribe: true, data: true, admin: false },
            running: true,
            sink: None,
        };
        let joining =
            Joining { admission, request: proto::JoinRequest::default(), signalling: Signalling::V1 };
        let session = self.rooms.join(now, joining).ok()?;
        let client = Client {
            identity: identity.to_owned(),
            room,
            sections: 0,
            joined: false,
            sees: BTreeMap::new(),
            packets: BTreeMap::new(),
            data: BTreeMap::new(),
            // No number is used twice, however often somebody comes back.
            sent_packets: stay * 10_000,
            sent_data: stay * 10_000,
        };
        self.clients.retain(|_, known| known.identity != identity || known.room != client.room);
        self.clients.insert(session, client);
        self.rooms.media(now, session, MediaEvent::Connected);
        Some(session)
    }

    fn publish(&mut self, now: Now, session: SessionId) {
        let track = proto::AddTrackRequest {
            cid: "cam".into(),
            r#type: TrackType::Video.into(),
            source: TrackSource::Camera.into(),
            ..Default::default()
        };
        self.rooms.request(now, session, Request::AddTrack(track));
        self.rooms.request(now, session, offer(0));
        self.rooms.media(now, session, MediaEvent::TrackStarted(camera()));
    }

    fn forward(&mut self, session: SessionId, mid: Mid, packet: &MediaPacket) {
        self.relay.forward(session, mid, packet);
        let payload = String::from_utf8(packet.payload.to_vec()).unwrap();
        let (publisher, number) = payload.split_once(' ').unwrap();
        for leg in self.routes.get(&(session, mid)).into_iter().flatten() {
            if let Some(client) = self.clients.get_mut(&leg.session) {
                let key = (publisher.to_owned(), number.parse().unwrap());
                *client.packets.entry(key).or_default() += 1;
            }
        }
    }

    /// As the event loop does. Returns what is for the network.
    fn settle(&mut self, now: Now) -> Vec<Output> {
        let mut out = Vec::new();
        for flushed in [false, true] {
            loop {
                self.act(now);
                let Some(output) = self.relay.poll_output() else {
                    if self.rooms.has_actions() { continue } else { break }
                };
                match output {
                    Output::People(room, node, people) => self.rooms.elsewhere(now, &room, node, people),
                    Output::Data(room, channel, message, to) => {
                        self.rooms.data_from_elsewhere(now, &room, channel, &message, &to);
                    }
                    Output::Keyframe(session, mid, layer) => {
                        self.rooms.keyframe_wanted(now, session, mid, layer);
                    }
                    Output::Wanted(session, mid, most) => {
                        self.rooms.wanted_elsewhere(now, session, mid, most)
                    }
                    Output::Media(session, mid, packet) => self.forward(session, mid, &packet),
                    other => out.push(other),
                }
            }
            if !flushed {
                self.relay.flush(now.at);
            }
        }
        out
    }

    fn act(&mut self, now: Now) {
        while let Some(action) = self.rooms.poll_action() {
            match action {
                Action::Signal(session, message) => self.hear(now, session, *message),
                Action::Negotiate { session, offer_id, .. } => {
                    self.rooms.negotiated(now, session, offer_id, Some("answer".to_owned()));
                }
                Action::Route { session, mid, legs, .. } => {
                    self.routes.insert((session, mid), legs);
                }
                Action::Receive { node, track, session, mid, most } => {
                    self.relay.receive(&node, track, (session, mid), most);
                }
                Action::Share(room) => self.relay.share(now.at, &room, self.rooms.shared(&room)),
                Action::ForgetElsewhere(room) => self.relay.forget_room(&room),
                Action::SendElsewhere { room, channel, message, destinations } => {
                    self.relay.send_data(&room, channel, &message, &destinations);
                }
                Action::RequestKeyframe(session, mid, layer) if !self.clients.contains_key(&session) => {
                    self.relay.want_keyframe(session, mid, layer);
                }
                Action::SendData(session, _, message) => {
                    let packet = proto::DataPacket::decode(&message[..]).unwrap();
                    let Some(Value::User(user)) = packet.value else { panic!() };
                    let number = u32::from_be_bytes(user.payload[..].try_into().unwrap());
                    if let Some(client) = self.clients.get_mut(&session) {
                        client
                            .data
                            .entry((packet.participant_identity, packet.participant_sid))
                            .or_default()
                            .push(number);
                    }
                }
                Action::Close(session) => {
                    self.clients.remove(&session);
                }
                #[allow(unreachable_patterns, reason = "what a room may want of a peer besides")]
                _ => {}
            }
        }
    }

    fn hear(&mut self, now: Now, session: SessionId, message: Message) {
        let Some(client) = self.clients.get_mut(&session) else { return };
        let people = match message {
            Message::Join(join) => {
                assert!(!client.joined);
                client.joined = true;
                join.other_participants
            }
            Message::Update(update) => update.participants,
            Message::MediaSectionsRequirement(more) => {
                client.sections += more.num_videos;
                let sections = client.sections;
                self.rooms.request(now, session, offer(sections));
                return;
            }
            _ => return,
        };
        for person in people.into_iter().filter(|person| person.identity != client.identity) {
            let tracks: BTreeSet<_> = person.tracks.iter().map(|track| track.sid.clone()).collect();
            let known = client.sees.get(&person.identity).map(|(sid, _)| sid.clone());
            if person.state() == proto::participant_info::State::Disconnected {
                if known == Some(person.sid) {
                    client.sees.remove(&person.identity);
                }
            } else {
                client.sees.insert(person.identity, (person.sid, tracks));
            }
        }
    }
}

fn camera() -> Mid {
    Mid::parse("v").unwrap()
}

fn offer(sections: u32) -> Request {
    let mut sdp = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\nm=video 9 X 96\r\na=mid:v\r\na=sendonly\r\n\
                   a=msid:- cam\r\n"
        .to_owned();
    for section in 0..sections {
        sdp += &format!("m=video 9 X 96\r\na=mid:{section}\r\na=recvonly\r\n");
    }
    Request::Offer(proto::SessionDescription { r#type: "offer".into(), sdp, id: 7, ..Default::default() })
}

#[test]
fn a_room_on_three_nodes_is_one_room() {
    let mut network = Network::new(1, 3);
    let names: Vec<_> = network.nodes.keys().cloned().collect();
    for (name, who) in names.iter().zip(["a", "b", "c"]) {
        network.join(name, who, "room");
    }
    network.check_quiet();
    // One subscription a node pair, however many people watch.
    network.join(&names[0], "d", "room");
    network.run(Duration::from_secs(2));
    let before = network.count;
    let session = *network.node(&names[1]).clients.keys().next().unwrap();
    network.film(&names[1], session);
    assert_eq!(network.count - before, 2, "one datagram to each of the two other nodes");
    network.check_quiet();
    for name in &names {
        for session in network.node(name).clients.keys().copied().collect::<Vec<_>>() {
            network.leave(name, session);
        }
    }
    network.run(Duration::from_secs(45));
    assert!(network.links.is_empty() && network.wanted.is_empty(), "nothing is left that nobody needs");
}

#[test]
fn loss_is_repaired_between_the_nodes() {
    let mut network = Network::new(2, 2);
    let names: Vec<_> = network.nodes.keys().cloned().collect();
    network.join(&names[0], "a", "room");
    network.join(&names[1], "b", "room");
    network.run(Duration::from_secs(3));
    network.loss_percent = 10;
    let session = *network.node(&names[0]).clients.keys().next().unwrap();
    for _ in 0..2_000 {
        network.film(&names[0], session);
        network.step();
    }
    // What was lost last shows by what comes after it.
    network.loss_percent = 0;
    for _ in 0..20 {
        network.film(&names[0], session);
        network.step();
    }
    network.run(Duration::from_secs(1));
    let came = network.node(&names[1]).clients.values().next().unwrap().packets.len() - 20;
    assert!(network.lost > 100, "{}", network.lost);
    assert!(came >= 1_998, "{came} of 2000 came, {} datagrams were lost", network.lost);
}

#[test]
fn a_cut_shorter_than_patience_loses_no_message_and_nobody() {
    for seed in 0..20 {
        let mut network = Network::new(100 + seed, 2);
        let names: Vec<_> = network.nodes.keys().cloned().collect();
        network.join(&names[0], "a", "room");
        network.join(&names[1], "b", "room");
        network.run(Duration::from_secs(3));
        let session = *network.node(&names[0]).clients.keys().next().unwrap();
        network.cut.insert((names[0].clone(), names[1].clone()));
        let until = network.now.at + Duration::from_millis(500 + network.random.below(4_000));
        while network.now.at < until {
            network.say(&names[0], session);
            network.step();
            assert_eq!(network.node(&names[1]).clients.values().next().unwrap().sees.len(), 1);
        }
        let said = network.node(&names[0]).clients[&session].sent_data;
        network.cut.clear();
        network.run(Duration::from_secs(6));
        let heard =
            network.node(&names[1]).clients.values().next().unwrap().data.values().next().unwrap().clone();
        let first = 10_001;
        assert_eq!(heard, (first..=said).collect::<Vec<_>>(), "seed {}", network.seed);
    }
}

#[test]
fn whoever_moves_to_another_node_is_seen_all_the_time() {
    let mut network = Network::new(3, 3);
    let names: Vec<_> = network.nodes.keys().cloned().collect();
    network.join(&names[0], "a", "room");
    network.join(&names[1], "b", "room");
    network.join(&names[2], "c", "room");
    network.run(Duration::from_secs(3));
    let seen_by = |network: &Network, name: &NodeName, who: &str| {
        let client = network.nodes[name].clients.values().find(|client| client.identity == who).unwrap();
        let (sid, tracks) = client.sees.get("a").expect("a is seen").clone();
        assert_eq!(tracks.len(), 1, "{who} sees something of a at every moment");
        sid
    };
    let old = seen_by(&network, &names[1], "b");
    // There, but not publishing yet.
    let now = network.now;
    let session = network.node(&names[2]).enter(now, 99, "a", "room").unwrap();
    network.settle(&names[2]);
    for _ in 0..200 {
        network.step();
        assert_eq!(seen_by(&network, &names[1], "b"), old);
        assert_eq!(seen_by(&network, &names[2], "c"), old);
    }
    let now = network.now;
    network.node(&names[2]).publish(now, session);
    network.settle(&names[2]);
    for _ in 0..200 {
        network.step();
        seen_by(&network, &names[1], "b");
        seen_by(&network, &names[2], "c");
    }
    assert_ne!(seen_by(&network, &names[1], "b"), old);
    assert_ne!(seen_by(&network, &names[2], "c"), old);
    network.run(Duration::from_secs(6));
    assert!(network.node(&names[0]).clients.is_empty(), "the old stay is over");
    network.check_quiet();
}

#[test]
fn lives_of_networks() {
    let seeds = std::env::var("LOCUM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(25);
    for seed in 1..=seeds {
        println!("seed {seed}");
        live(seed);
    }
}

fn live(seed: u64) {
    let mut network = Network::new(seed, 2 + seed % 3);
    let mut killed = Vec::new();
    for _ in 0..60 {
        match network.random.below(12) {
            0..=2 => {
                let (name, who) = (network.some_node(), network.random.below(PEOPLE));
                let room = ROOMS[network.random.below(2) as usize];
                // Whoever is in a call elsewhere moves, as clients do when a node dies.
                network.join(&name, &format!("p-{who}"), room);
            }
            3 => {
                if let Some((name, session)) = network.some_client() {
                    network.leave(&name, session);
                }
            }
            4 => {
                let (a, b) = (network.some_node(), network.some_node());
                if a != b {
                    network.cut.insert((a, b));
                }
            }
            5 => network.cut.clear(),
            6 => network.loss_percent = network.random.below(30),
            7 if network.nodes.len() > 1 => {
                let name = network.some_node();
                network.kill(&name);
                killed.push(name);
            }
            8 => {
                if let Some(name) = killed.pop() {
                    network.start(name);
                    network.list();
                }
            }
            _ => {
                for _ in 0..10 {
                    if let Some((name, session)) = network.some_client() {
                        network.film(&name, session);
                        network.say(&name, session);
                    }
                    network.step();
                }
            }
        }
        let time = network.random.below(800);
        network.run(Duration::from_millis(time));
    }
    network.list();
    network.check_quiet();
}
