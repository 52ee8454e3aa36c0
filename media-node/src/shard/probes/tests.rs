//! Over a real socket, with the transport of real calls.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::super::Shard;
use super::*;
use crate::events::Recorder;
use crate::room::{Ids, Limits, Rooms};
use crate::transport::candidates::Announced;
use crate::transport::links::Via;
use crate::transport::rtc::RtcTransport;
use crate::transport::stun::nomination;

const PASSWORD: &str = "0123456789abcdef";

/// A node that answers probes, and who probes it.
struct World {
    shard: Shard,
    node: SocketAddr,
    own: UdpSocket,
}

fn transport(node: SocketAddr) -> RtcTransport {
    RtcTransport::new(&Announced { udp: vec![node], tcp: Vec::new() }).unwrap()
}

impl World {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let node = socket.local_addr().unwrap();
        let limits =
            Limits { sessions: 4, participants: 4, tracks: 4, move_within: Duration::from_millis(50) };
        let rooms = Rooms::new(limits, "eu-central".to_owned(), Ids::new(|| [7; 8]));
        let (shard, _) = Shard::start(vec![socket], transport(node), rooms, Recorder::to_nobody()).unwrap();
        shard.answer_probes("ufrag".to_owned(), PASSWORD.to_owned()).await.unwrap();
        let own = UdpSocket::bind("127.0.0.1:0").unwrap();
        own.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Self { shard, node, own }
    }

    /// Sends until there is an answer, a few times; which, if any.
    fn ask(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut answer = [0; 2048];
        (0..4).find_map(|_| {
            self.own.send_to(datagram, self.node).unwrap();
            let length = self.own.recv(&mut answer).ok()?;
            Some(answer[..length].to_vec())
        })
    }

    fn check(&self, ufrag: &str, password: &str) -> Option<Vec<u8>> {
        self.ask(&nomination([3; 12], &format!("{ufrag}:x"), &IntegrityKey::new(password)))
    }
}

/// A client's hello (RFC 6347 §4.2.1), with the extensions without which there is no SRTP.
fn hello(cookie: &[u8]) -> Vec<u8> {
    let mut body = vec![0xFE, 0xFD];
    body.extend([7; 32]);
    body.extend([0, cookie.len() as u8]);
    body.extend(cookie);
    body.extend([0, 2, 0xC0, 0x2B, 1, 0]);
    let extensions: &[&[u8]] = &[
        &[0, 10, 0, 4, 0, 2, 0, 0x17],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 4, 0, 2, 4, 3],
        &[0, 14, 0, 5, 0, 2, 0, 1, 0],
        &[0, 23, 0, 0],
    ];
    let extensions = extensions.concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let sequence = u8::from(!cookie.is_empty());
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[1], &length[1..], &[0, sequence, 0, 0, 0], &length[1..], &body].concat();
    let record = [22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, sequence];
    [&record[..], &(message.len() as u16).to_be_bytes(), &message].concat()
}

/// The type of the handshake message a datagram begins with.
fn handshake_type(datagram: &[u8]) -> Option<u8> {
    (datagram[0] == 22).then(|| datagram[13])
}

#[tokio::test]
async fn whoever_has_the_credentials_gets_as_far_as_a_clients_first_flights() {
    let world = World::start().await;
    let success = world.check("ufrag", PASSWORD).unwrap();
    assert_eq!(success[..2], [0x01, 0x01]);
    let verify = world.ask(&hello(&[])).unwrap();
    assert_eq!(handshake_type(&verify), Some(3), "{verify:?}");
    let cookie = &verify[13 + 12 + 3..];
    let flight = world.ask(&hello(cookie)).unwrap();
    assert_eq!(handshake_type(&flight), Some(2), "its own hello: {flight:?}");
    assert_eq!(world.shard.session_count(), 0, "a probe is nobody in a room");
}

#[tokio::test]
async fn strangers_hear_nothing() {
    let world = World::start().await;
    assert_eq!(world.ask(&hello(&[])), None, "no check came before");
    assert_eq!(world.check("ufrag", "guessed-password"), None);
    assert_eq!(world.check("other", PASSWORD), None);
    assert_eq!(world.ask(&hello(&[])), None);
}

#[test]
fn probes_are_bounded_and_do_not_last() {
    let node = SocketAddr::from(([127, 0, 0, 1], 7882));
    let mut transport = transport(node);
    let mut probes = Probes::default();
    probes.expect("ufrag".to_owned(), PASSWORD);
    let check = nomination([3; 12], "ufrag:x", &IntegrityKey::new(PASSWORD));
    let now = Instant::now();
    for port in 1..=2 * MOST as u16 {
        let from = Link { via: Via::Socket(0), remote: SocketAddr::from(([192, 0, 2, 1], port)) };
        assert!(probes.check(now, from, &check, &mut transport).is_some());
    }
    assert_eq!(probes.open.len(), MOST);
    probes.end_old(now + LASTS);
    assert!(probes.open.is_empty());
}
