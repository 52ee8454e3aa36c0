//! Everything has an end: messages, time, streams, connections.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use locum_mesh::{Client, Limits, RefusalCode, RequestError, join};
use support::{By, Echo, LOOPBACK, Network, SOON};
use tokio::sync::{Semaphore, mpsc};

fn refusal(answer: Result<Vec<u8>, RequestError>) -> RefusalCode {
    match answer {
        Err(RequestError::Refused { refusal, .. }) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn the_longest_message_passes_and_one_byte_more_does_not() {
    let network = Network::new();
    let limits = Limits { message_bytes: 10_000, ..Limits::default() };
    let server = network.serve(By(|question: bytes::Bytes| async move { Ok(question.to_vec()) }), limits);
    let client = network.client("edge", "edge-1");
    let longest = vec![7; 10_000];
    assert_eq!(client.request(&server.control(), &longest, SOON).await.unwrap(), longest);
    let too_long = client.request(&server.control(), &[7; 10_001], SOON).await;
    assert_eq!(refusal(too_long), RefusalCode::TooLarge);
    // Far too long: the caller is stopped in the middle of writing, and still learns why.
    let too_long = client.request(&server.control(), &vec![7; 4 << 20], SOON).await;
    assert_eq!(refusal(too_long), RefusalCode::TooLarge);

    let careful = Client::new(LOOPBACK, &network.credentials("edge", "edge-1"), limits).unwrap();
    let not_sent = careful.request(&server.control(), &[7; 10_001], SOON).await;
    assert!(matches!(not_sent, Err(RequestError::TooLarge { bytes: 10_001 })));
}

#[tokio::test]
async fn four_mebibytes_pass_by_default() {
    let network = Network::new();
    let server =
        network.serve(By(|question: bytes::Bytes| async move { Ok(question.to_vec()) }), Limits::default());
    let longest = vec![7; 4 << 20];
    let answer = network.client("edge", "edge-1").request(&server.control(), &longest, SOON).await.unwrap();
    assert!(answer == longest);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_a_refusal() {
    let network = Network::new();
    let limits = Limits { message_bytes: 1000, ..Limits::default() };
    let server = network.serve(By(|_| async { Ok(vec![0; 1001]) }), limits);
    let answer = network.client("edge", "edge-1").request(&server.control(), b"", SOON).await;
    assert_eq!(refusal(answer), RefusalCode::Internal);
}

#[tokio::test]
async fn a_joiner_gets_less_room() {
    let network = Network::new();
    let limits = Limits { join_message_bytes: 100, ..Limits::default() };
    let server = network.serve(Echo::default(), limits);
    let ask = |bytes: usize| {
        let question = vec![7; bytes];
        let (address, zone) = (server.address, network.zone.clone());
        let authority = network.authority.fingerprint();
        async move { join(None, address, &zone, authority, &question, Limits::default()).await }
    };
    assert!(ask(100).await.is_ok());
    assert_eq!(refusal(ask(101).await), RefusalCode::TooLarge);
}

#[tokio::test]
async fn both_sides_have_a_deadline() {
    let network = Network::new();
    let patient = network.serve(By(|_| pending()), Limits::default());
    let client = network.client("edge", "edge-1");
    let answer = client.request(&patient.control(), b"", Duration::from_millis(100)).await;
    assert!(matches!(answer, Err(RequestError::Deadline { .. })), "{answer:?}");

    let limits = Limits { deadline: Duration::from_millis(100), ..Limits::default() };
    let strict = network.serve(By(|_| pending()), limits);
    assert_eq!(refusal(client.request(&strict.control(), b"", SOON).await), RefusalCode::Deadline);
}

#[tokio::test]
async fn questions_at_once_are_bounded() {
    let network = Network::new();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Semaphore::new(0));
    let (begun, mut has_begun) = mpsc::channel(8);
    let handler = {
        let (now, most, gate) = (now.clone(), most.clone(), gate.clone());
        By(move |_| {
            let (now, most, gate, begun) = (now.clone(), most.clone(), gate.clone(), begun.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                begun.send(()).await.unwrap();
                gate.acquire().await.unwrap().forget();
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(Vec::new())
            }
        })
    };
    let server = network.serve(handler, Limits { streams: 2, ..Limits::default() });
    let client = Arc::new(network.client("edge", "edge-1"));
    let ask = || {
        let (client, peer) = (client.clone(), server.control());
        tokio::spawn(async move { client.request(&peer, b"", SOON).await })
    };
    // The first one makes the connection that all others share.
    let first = ask();
    has_begun.recv().await.unwrap();
    gate.add_permits(1);
    first.await.unwrap().unwrap();

    let asked: Vec<_> = (0..8).map(|_| ask()).collect();
    for waiting in (0..8).rev() {
        has_begun.recv().await.unwrap();
        if waiting < 7 {
            gate.add_permits(1);
        }
    }
    gate.add_permits(1);
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn connections_at_once_are_bounded() {
    let network = Network::new();
    let server = network.serve(Echo::default(), Limits { connections: 2, ..Limits::default() });
    let clients: Vec<_> = (1..=3).map(|n| network.client("edge", &format!("edge-{n}"))).collect();
    for client in &clients[..2] {
        client.request(&server.control(), b"", SOON).await.unwrap();
    }
    let third = clients[2].request(&server.control(), b"", SOON).await;
    assert!(matches!(third, Err(RequestError::Connect { .. })), "{third:?}");
}
