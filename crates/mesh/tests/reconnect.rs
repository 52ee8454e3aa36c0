//! Servers come and go; a client finds them again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use locum_mesh::{ConnectError, Limits, Peer, PeerName, RequestError, Server};
use support::{Echo, LOOPBACK, Network, Running, SOON};

const BRIEFLY: Duration = Duration::from_millis(300);

#[tokio::test]
async fn after_a_stop_the_next_server_is_found() {
    let network = Network::new();
    let first = network.serve(Echo::default(), Limits::default());
    let client = network.client("edge", "edge-1");
    let peer = first.control();
    client.request(&peer, b"", SOON).await.unwrap();
    first.stop.cancel();
    first.ended.await.unwrap();
    let nobody = client.request(&peer, b"", BRIEFLY).await;
    let not_sent = matches!(&nobody, Err(RequestError::Connect { source: ConnectError::Deadline, .. }));
    assert!(not_sent, "{nobody:?}");

    let _second = rebind(&network, first.address).await;
    client.request(&peer, b"", SOON).await.unwrap();
}

#[tokio::test]
async fn a_server_that_died_without_a_word_costs_one_deadline() {
    let network = Network::new();
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let address = {
        let _inside = doomed.enter();
        network.serve(Echo::default(), Limits::default()).address
    };
    let peer = Peer { address, name: PeerName::Role(locum_identity::Role::Control) };
    let client = network.client("edge", "edge-1");
    client.request(&peer, b"", SOON).await.unwrap();
    doomed.shutdown_background();

    let _second = rebind(&network, address).await;
    // The connection that is kept leads nowhere; the question after it finds out.
    let _ = client.request(&peer, b"", BRIEFLY).await;
    client.request(&peer, b"", SOON).await.unwrap();
}

#[tokio::test]
async fn what_was_asked_before_a_stop_is_answered() {
    let network = Network::new();
    let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let opened = gate.clone();
    let handler = support::By(move |_| {
        let (begun, gate) = (begun.clone(), gate.clone());
        async move {
            begun.send(()).await.unwrap();
            gate.notified().await;
            Ok(b"late".to_vec())
        }
    });
    let server = network.serve(handler, Limits::default());
    let client = network.client("edge", "edge-1");
    let peer = server.control();
    let asked = tokio::spawn(async move { client.request(&peer, b"", SOON).await });
    has_begun.recv().await.unwrap();
    server.stop.cancel();
    opened.notify_one();
    assert_eq!(asked.await.unwrap().unwrap(), b"late");
    server.ended.await.unwrap();
}

#[tokio::test]
async fn one_of_several_addresses_is_enough_and_is_kept() {
    let network = Network::new();
    let server = network.serve(Echo::default(), Limits::default());
    let client = network.client("edge", "edge-1");
    // Whoever listens there answers nothing: a link that is broken.
    let silent = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    let broken = Peer { address: silent.local_addr().unwrap(), ..server.control() };
    let peers = [broken, server.control()];
    client.request_any(&peers, b"", SOON).await.unwrap();
    let kept = client.request_any(&peers, b"", BRIEFLY / 3).await;
    assert!(kept.is_ok(), "the first one is not waited for again: {kept:?}");
    client.tunnel_any(&peers, b"", SOON).await.expect_err("nobody takes a tunnel there");
    let nowhere = client.request_any(&[], b"", SOON).await;
    assert!(matches!(nowhere, Err(RequestError::Nowhere)), "{nowhere:?}");
}

/// The port of a server that just ended is free a moment later.
async fn rebind(network: &Network, address: SocketAddr) -> Running {
    assert_ne!(address.port(), LOOPBACK.port());
    for _ in 0..100 {
        let credentials = network.credentials("control", "control-1");
        if let Ok(server) = Server::bind(address, &credentials, Limits::default()) {
            return Running::start(server, Echo::default());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{address} did not become free");
}
