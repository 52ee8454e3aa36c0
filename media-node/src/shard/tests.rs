//! The event loop over a real socket, with a transport that does what the test says.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use livekit_protocol as proto;
use proto::signal_request::Message as Request;
use proto::{TrackSource, TrackType};

use super::*;
use crate::events::Recorder;
use crate::room::{Identity, Ids, Limits, RoomName, Signalling};
use crate::token::{Admission, Grants};
use crate::transport::sdp::{Offer, Section};
use crate::transport::stun::{IntegrityKey, nomination};
use crate::transport::{
    Channel, Codec, Description, Layer, MediaPacket, Mid, Peer, PeerEvent, Transport, TransportError,
};

/// A peer that is connected by its first datagram, takes each further one for a packet of section `v` (its
/// first byte is the sequence number), and sends packets as `section, sequence number`. The datagram `panic`
/// makes it panic.
#[derive(Default)]
pub(super) struct FakePeer {
    ufrag: String,
    events: VecDeque<PeerEvent>,
    datagrams: VecDeque<BytesMut>,
    connected: bool,
}

pub(super) struct FakeTransport(pub(super) u32);

impl Transport for FakeTransport {
    type Peer = FakePeer;

    fn open(&mut self, _now: Instant) -> Result<FakePeer, TransportError> {
        self.0 += 1;
        Ok(FakePeer { ufrag: format!("peer-{}", self.0), ..FakePeer::default() })
    }
}

impl Peer for FakePeer {
    fn negotiate(&mut self, _: Instant, _: &Offer, _: &[Section]) -> Result<Description, TransportError> {
        let password = "password".to_owned();
        Ok(Description { sdp: self.ufrag.clone(), ufrag: self.ufrag.clone(), password })
    }

    fn offer(&mut self, now: Instant, _: &[Section], _: bool) -> Result<Description, TransportError> {
        let nothing =
            Offer { sdp: String::new(), sections: Vec::new(), ufrag: "u".into(), password: "p".into() };
        self.negotiate(now, &nothing, &[])
    }

    fn accept(&mut self, _: Instant, _: &Offer) -> Result<(), TransportError> {
        Ok(())
    }

    fn handle_datagram(&mut self, _: Instant, datagram: &[u8]) {
        assert_ne!(datagram, b"panic");
        let mid = Mid::parse("v").unwrap();
        if !self.connected {
            self.connected = true;
            self.events.extend([PeerEvent::Connected, PeerEvent::TrackStarted(mid)]);
            return;
        }
        let packet = MediaPacket {
            layer: Layer::High,
            codec: Codec::Vp8,
            sequence: u16::from(datagram[0]),
            timestamp: 0,
            marker: false,
            audio_level: None,
            orientation: None,
            // A keyframe.
            payload: Bytes::from_static(&[0x10, 0]),
        };
        self.events.push_back(PeerEvent::Media(mid, packet));
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    fn poll_datagram(&mut self) -> Option<BytesMut> {
        self.datagrams.pop_front()
    }

    fn poll_event(&mut self, _: Instant) -> Option<PeerEvent> {
        self.events.pop_front()
    }

    fn send_media(&mut self, _: Instant, mid: Mid, packet: &MediaPacket) -> bool {
        self.datagrams.push_back(format!("{mid} {}", packet.sequence).as_bytes().into());
        true
    }

    fn request_keyframe(&mut self, _: Instant, _: Mid, _: Layer) {}

    fn probe(&mut self, _: Instant, _: usize) -> usize {
        0
    }

    fn send_data(&mut self, _: Instant, _: Channel, _: &Bytes) -> bool {
        true
    }

    fn close(&mut self, _: Instant) {
        self.datagrams.push_back(b"bye"[..].into());
    }
}

/// A participant with a socket of its own for media.
struct Member {
    attached: Attached,
    socket: UdpSocket,
    media: SocketAddr,
    username: String,
}

impl Member {
    async fn join(shard: &Shard, media: SocketAddr, identity: &str) -> Self {
        let track = proto::AddTrackRequest {
            cid: "cam".into(),
            r#type: TrackType::Video.into(),
            source: TrackSource::Camera.into(),
            ..Default::default()
        };
        let request = proto::JoinRequest {
            add_track_requests: vec![track],
            publisher_offer: Some(offer()),
            ..Default::default()
        };
        let mut attached = shard.join(joining(identity, request)).await.unwrap().unwrap();
        let ufrag = loop {
            if let Message::Answer(answer) = *attached.outbox.recv().await.unwrap() {
                break answer.sdp;
            }
        };
        let username = format!("{ufrag}:client");
        let member = Self { attached, socket: nominated(media, &username), media, username };
        member.socket.send(b"connect").unwrap();
        member
    }

    /// Goes on from another address, as after a change of network.
    fn moves(&mut self) {
        self.socket = nominated(self.media, &self.username);
    }

    fn receive(&self) -> String {
        let mut buffer = [0; 256];
        let len = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }

    /// Sends packets until one arrives at the other, which offers its section until it carries the track.
    async fn sends_to(&self, shard: &Shard, other: &Self) -> String {
        other.socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut buffer = [0; 256];
        while Instant::now() < deadline {
            shard.request(&other.attached, Request::Offer(offer())).await.unwrap();
            self.socket.send(&[9]).unwrap();
            if let Ok(len) = other.socket.recv(&mut buffer) {
                return String::from_utf8_lossy(&buffer[..len]).into_owned();
            }
        }
        panic!("nothing arrives");
    }
}

/// A new socket, after its check was answered.
fn nominated(media: SocketAddr, username: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(media).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.send(&nomination([1; 12], username, &IntegrityKey::new("password"))).unwrap();
    socket.recv(&mut [0; 256]).unwrap();
    socket
}

pub(super) fn offer() -> proto::SessionDescription {
    let sdp = "a=ice-ufrag:u\r\na=ice-pwd:p\r\nm=video 9 X 96\r\na=mid:v\r\na=sendonly\r\na=msid:- cam\r\n\
               m=video 9 X 96\r\na=mid:r\r\na=recvonly\r\n";
    proto::SessionDescription { r#type: "offer".into(), sdp: sdp.into(), id: 1, ..Default::default() }
}

pub(super) fn joining(identity: &str, request: proto::JoinRequest) -> Joining {
    let grants = Grants { publish: true, sources: Vec::new(), subscribe: true, data: true, admin: false };
    let (identity, room) = (Identity::parse(identity).unwrap(), RoomName::parse("room").unwrap());
    let admission = Admission { identity, room, grants, running: false, sink: None };
    Joining { admission, request, signalling: Signalling::V1 }
}

pub(super) fn rooms() -> Rooms {
    let mut count = 0_u64;
    let ids = Ids::new(move || {
        count += 1;
        count.to_be_bytes()
    });
    let limits = Limits { sessions: 8, participants: 4, tracks: 4, move_within: Duration::from_millis(50) };
    Rooms::new(limits, "here".to_owned(), ids)
}

fn start() -> (Shard, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let media = socket.local_addr().unwrap();
    (Shard::start(vec![socket], FakeTransport(0), rooms(), Recorder::to_nobody()).unwrap().0, media)
}

#[tokio::test]
async fn packets_go_to_the_others_on_their_sections() {
    let (shard, media) = start();
    let (a, b) = (Member::join(&shard, media, "a").await, Member::join(&shard, media, "b").await);
    assert_eq!(a.sends_to(&shard, &b).await, "r 9");
    assert_eq!(b.sends_to(&shard, &a).await, "r 9");
    shard.stop().await.unwrap();
}

#[tokio::test]
async fn packets_follow_a_client_to_its_new_address() {
    let (shard, media) = start();
    let (mut a, mut b) = (Member::join(&shard, media, "a").await, Member::join(&shard, media, "b").await);
    a.sends_to(&shard, &b).await;
    b.moves();
    assert_eq!(a.sends_to(&shard, &b).await, "r 9");
    a.moves();
    assert_eq!(a.sends_to(&shard, &b).await, "r 9");
    shard.stop().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_panics_takes_nobody_with_it() {
    let (shard, media) = start();
    let (a, b) = (Member::join(&shard, media, "a").await, Member::join(&shard, media, "b").await);
    let mut victim = Member::join(&shard, media, "c").await;
    a.sends_to(&shard, &b).await;
    victim.socket.send(b"panic").unwrap();
    let left = async {
        while let Some(message) = victim.attached.outbox.recv().await {
            if let Message::Leave(leave) = *message {
                return Some(leave.action());
            }
        }
        None
    };
    let left = tokio::time::timeout(Duration::from_secs(10), left).await.unwrap();
    assert_eq!(left, Some(proto::leave_request::Action::Reconnect), "it may come back");
    a.sends_to(&shard, &b).await;
    shard.stop().await.unwrap();
}

#[tokio::test]
async fn a_socket_that_falls_behind_is_let_go_and_may_resume() {
    let (shard, media) = start();
    let mut slow = Member::join(&shard, media, "a").await;
    for _ in 0..2 * MAX_OUTBOX {
        shard.request(&slow.attached, Request::Ping(1)).await.unwrap();
    }
    // Answered after all of them.
    shard.join(joining("b", Default::default())).await.unwrap().unwrap();
    let waiting = async {
        let mut count = 0;
        while slow.attached.outbox.recv().await.is_some() {
            count += 1;
        }
        count
    };
    let count = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
    assert!(count <= MAX_OUTBOX, "{count}");
    let resume = proto::JoinRequest {
        reconnect: true,
        participant_sid: "PA_0000000000000002".into(),
        ..Default::default()
    };
    let resumed = shard.join(joining("a", resume)).await.unwrap().unwrap();
    assert_eq!(resumed.session, slow.attached.session);
    assert_ne!(resumed.connection, slow.attached.connection);
    shard.stop().await.unwrap();
}

#[tokio::test]
async fn a_drained_session_is_told_on_both_ways_and_forgotten() {
    let (shard, media) = start();
    let mut member = Member::join(&shard, media, "a").await;
    shard.drain().await.unwrap();
    let mut last = None;
    while let Some(message) = member.attached.outbox.recv().await {
        last = Some(*message);
    }
    assert!(matches!(last, Some(Message::Leave(_))), "{last:?}");
    assert_eq!(member.receive(), "bye");
    shard.stop().await.unwrap();
}
