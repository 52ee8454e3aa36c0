//! What arrives on the media port is anybody's: nothing of it may stop the node.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::net::UdpSocket;
use std::time::Duration;

use livekit_protocol as proto;
use locum_media::transport::stun;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use support::{Node, join_with_media, offer, until};

/// SplitMix64: the same datagrams in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Garbage that begins like one of the protocols on the port (RFC 7983).
    fn datagram(&mut self) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..self.below(1_500)).map(|_| self.next() as u8).collect();
        let starts: [&[u8]; 7] = [
            &[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42],
            &[1, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42],
            &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0],
            &[23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 0],
            &[128, 96],
            &[128, 200, 0, 6],
            &[190, 206],
        ];
        let start = starts[self.below(starts.len())];
        let at = start.len().min(bytes.len());
        bytes[..at].copy_from_slice(&start[..at]);
        bytes
    }

    /// A good datagram with a few bytes changed, or cut short.
    fn mutated(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            bytes[at] = self.next() as u8;
        }
        bytes.truncate(1 + self.below(bytes.len()));
        bytes
    }
}

fn media_socket(node: &Node) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(node.addresses["media"]).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

/// Sends a check until it is answered: the port is busy with garbage.
fn is_answered(socket: &UdpSocket, check: &[u8]) -> bool {
    let mut buffer = [0; 2_048];
    (0..50).any(|_| {
        socket.send(check).unwrap();
        let len = socket.recv(&mut buffer).unwrap_or_default();
        len > 20 && buffer[..2] == [1, 1] && buffer[8..20] == check[8..20]
    })
}

#[tokio::test]
async fn only_signed_checks_are_answered() {
    let node = Node::start();
    let (_client, _, username, key) = join_with_media(&node, "p-1").await;
    let socket = media_socket(&node);
    let good = stun::nomination([9; 12], &username, &key);
    let forged = stun::nomination([9; 12], &username, &stun::IntegrityKey::new("guess"));
    socket.send(&forged).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(socket.recv(&mut [0; 2_048]).is_err(), "silence");
    until("the stranger to be counted", || {
        (node.metric("locum_media_datagrams_from_strangers_total", "") > 0.5).then_some(())
    });
    assert!(is_answered(&socket, &good));
}

#[tokio::test]
async fn garbage_from_strangers_and_from_members_stops_nobody() {
    let mut node = Node::start();
    let (mut client, _, username, key) = join_with_media(&node, "p-1").await;
    let (member, stranger) = (media_socket(&node), media_socket(&node));
    let check = stun::nomination([7; 12], &username, &key);
    assert!(is_answered(&member, &check));

    let mut random = Random(1);
    for round in 0..40 {
        for _ in 0..250 {
            let datagram = if random.below(4) == 0 { random.mutated(&check) } else { random.datagram() };
            let socket = if random.below(2) == 0 { &member } else { &stranger };
            // The kernel may have no room; there is more where this came from.
            let _ = socket.send(&datagram);
        }
        assert!(node.is_alive(), "round {round}");
        // Also keeps the receive buffer from hiding what was sent.
        assert!(is_answered(&media_socket(&node), &check), "round {round}");
    }
    assert!(node.metric("locum_media_peer_panics_total", "") < 0.5, "a panic that was survived is still one");
    client.request(Request::Ping(3)).await;
    client.hear_until(|m| matches!(m, Response::Pong(3)).then_some(())).await;
}

#[tokio::test]
async fn damaged_offers_end_their_own_session_at_most() {
    let mut node = Node::start();
    let (mut good, ..) = join_with_media(&node, "good").await;
    let (mut random, sound) = (Random(2), offer().sdp);
    for i in 0..300 {
        let mut sdp = sound.clone().into_bytes();
        for _ in 0..=random.below(6) {
            let at = random.below(sdp.len().max(1));
            match random.below(3) {
                0 if !sdp.is_empty() => sdp[at] = b' ' + (random.next() % 95) as u8,
                1 => drop(sdp.drain(at..(at + random.below(40)).min(sdp.len()))),
                _ => sdp.truncate(at.max(1)),
            }
        }
        let sdp = String::from_utf8_lossy(&sdp).into_owned();
        let request = proto::JoinRequest {
            publisher_offer: Some(proto::SessionDescription { sdp, ..offer() }),
            ..Default::default()
        };
        let mut client = node.join("bad", "room", &request).await;
        client.joined().await;
        let ended = |message| matches!(message, Response::Answer(_) | Response::Leave(_)).then_some(());
        client.hear_until(ended).await;
        assert!(node.is_alive(), "offer {i}");
    }
    assert!(node.metric("locum_media_peer_panics_total", "") < 0.5, "a panic that was survived is still one");
    good.request(Request::Ping(3)).await;
    good.hear_until(|m| matches!(m, Response::Pong(3)).then_some(())).await;
}
