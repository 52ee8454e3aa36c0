//! One TCP port for everything: what a client behind a firewall that lets only that through needs of the node.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use locum_media::transport::{framing, stun};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::{DEADLINE, Node, join_with_media, until};

const NAME: &str = "media.eu-central.locum.localhost";

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, packet: &[u8]) {
    let mut framed = Vec::new();
    assert!(framing::append(&mut framed, packet));
    stream.write_all(&framed).unwrap();
}

/// The next packet; `None` when the node closed the connection.
fn receive(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut packet).ok()?;
    Some(packet)
}

fn is_answer(packet: &[u8], check: &[u8]) -> bool {
    packet.len() > 20 && packet[..2] == [1, 1] && packet[8..20] == check[8..20]
}

#[tokio::test]
async fn a_session_is_reached_by_the_port_of_its_signalling() {
    let node = Node::start();
    let (_client, answer, username, key) = join_with_media(&node, "p-1").await;
    let signal = node.addresses["signal"];
    let candidate = format!(" 127.0.0.1 {} typ host tcptype passive", signal.port());
    assert!(answer.sdp.contains(&candidate), "{}", answer.sdp);
    let udp = format!(" 127.0.0.1 {} typ host\r\n", node.addresses["media"].port());
    assert!(answer.sdp.contains(&udp), "{}", answer.sdp);

    let mut stream = connect(signal);
    for transaction in [[1; 12], [2; 12]] {
        let check = stun::nomination(transaction, &username, &key);
        send(&mut stream, &check);
        assert!(is_answer(&receive(&mut stream).unwrap(), &check));
    }
    until("it to be counted", || (node.metric("locum_media_streams", "") > 0.5).then_some(()));
    // It answers by the way it was asked.
    let hello = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0];
    send(&mut stream, &hello);
    send(&mut stream, &stun::nomination([3; 12], &username, &key));
    assert_eq!(receive(&mut stream).unwrap()[8..20], [3; 12]);
    drop(stream);
    until("it to be forgotten", || (node.metric("locum_media_streams", "") < 0.5).then_some(()));
    assert!(node.metric("locum_media_addresses", "") < 0.5);
}

#[tokio::test]
async fn a_stranger_is_shown_out() {
    let node = Node::start();
    let (_client, _, username, key) = join_with_media(&node, "p-1").await;
    let forged = stun::nomination([9; 12], &username, &stun::IntegrityKey::new("guess"));
    let mut framed = Vec::new();
    framing::append(&mut framed, &forged);
    let long = [0xFF, 0xFF, 1, 2, 3];
    let media_too_long = [5, 1, 0, 0];
    for opening in [framed.as_slice(), &[0, 0], &[0, 3, 1, 2, 3], &long, &media_too_long, &[0x80; 64]] {
        let mut stream = connect(node.addresses["signal"]);
        stream.write_all(opening).unwrap();
        assert_eq!(receive(&mut stream), None, "{opening:?}");
    }
    assert!(node.metric("locum_media_streams", "") < 0.5);
    // A member who goes on with what is no packet is out too, and may come again.
    for _ in 0..2 {
        let mut stream = connect(node.addresses["signal"]);
        let check = stun::nomination([4; 12], &username, &key);
        send(&mut stream, &check);
        assert!(is_answer(&receive(&mut stream).unwrap(), &check));
        stream.write_all(&[0xFF; 8]).unwrap();
        assert_eq!(receive(&mut stream), None);
    }
}

#[tokio::test]
async fn both_families_are_served() {
    let node = Node::start_at("[\"127.0.0.1:0\", \"[::1]:0\"]", "");
    let (_client, answer, username, key) = join_with_media(&node, "p-1").await;
    let lines: Vec<_> = answer.sdp.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    for (protocol, ip) in [("udp", "127.0.0.1"), ("udp", "::1"), ("tcp", "127.0.0.1"), ("tcp", "::1")] {
        let named = |line: &&&str| line.contains(protocol) && line.contains(&format!(" {ip} "));
        assert!(lines.iter().any(|line| named(&line)), "{protocol} {ip}: {lines:?}");
    }
    let check = stun::nomination([5; 12], &username, &key);
    let own = std::net::UdpSocket::bind("[::1]:0").unwrap();
    own.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = [0; 2_048];
    own.send_to(&check, ("::1", node.addresses["media"].port())).unwrap();
    let length = own.recv(&mut answer).unwrap();
    assert!(is_answer(&answer[..length], &check));
    let mut stream = connect(SocketAddr::new("::1".parse().unwrap(), node.addresses["signal"].port()));
    send(&mut stream, &check);
    assert!(is_answer(&receive(&mut stream).unwrap(), &check));
}

#[tokio::test]
async fn behind_a_nat_the_outside_is_announced() {
    let node = Node::start_with("announce_ips = [\"192.0.2.7\"]");
    let (_client, answer, ..) = join_with_media(&node, "p-1").await;
    for (endpoint, more) in [("media", ""), ("signal", " tcptype passive")] {
        let port = node.addresses[endpoint].port();
        let candidate = format!(" 192.0.2.7 {port} typ host{more}\r\n");
        assert!(answer.sdp.contains(&candidate), "{}", answer.sdp);
    }
    assert!(!answer.sdp.lines().any(|l| l.starts_with("a=candidate:") && l.contains(" 127.0.0.1 ")));
}

/// A new certificate under its final name.
fn write_certificate(dir: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    for (name, text) in [("key.pem", made.signing_key.serialize_pem()), ("cert.pem", made.cert.pem())] {
        fs::write(dir.join("new"), text).unwrap();
        fs::rename(dir.join("new"), dir.join(name)).unwrap();
    }
    made.cert.der().clone()
}

/// A probe over TLS: its status line, if the certificate is the trusted one.
fn probe(address: SocketAddr, trusted: &CertificateDer<'static>) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(NAME).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, connect(address));
    stream.write_all(b"GET /probe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    // A node that closes without TLS's farewell has said all the same.
    let _ = stream.read_to_string(&mut answer);
    answer.lines().next().map(str::to_owned)
}

#[tokio::test]
async fn over_tls_nothing_is_said_in_the_clear_and_a_new_certificate_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let first = write_certificate(dir.path());
    let path = dir.path().display();
    let node =
        Node::start_with(&format!("[tls]\ncertificate = \"{path}/cert.pem\"\nkey = \"{path}/key.pem\""));
    let signal = node.addresses["signal"];
    assert_eq!(probe(signal, &first).unwrap(), "HTTP/1.1 204 No Content");

    let mut plain = connect(signal);
    plain.write_all(b"GET /probe HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert_eq!(said, b"", "nothing in the clear");

    let second = write_certificate(dir.path());
    until("the new certificate to be used", || probe(signal, &second));
    assert_eq!(probe(signal, &first), None);
}
