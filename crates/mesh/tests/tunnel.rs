//! Tunnels: bytes both ways, each way with its own end, room for each, and an error when a side breaks off.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use locum_mesh::{
    Caller, Carrier, Client, Handler, Limits, Refusal, RefusalCode, RequestError, Tunnel, join,
};
use support::{Echo, LOOPBACK, Network, SOON};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

/// More than any window.
const MUCH: usize = 12 << 20;

/// Answers questions at once; tunnels it carries by a function.
struct Carry<F>(F);

impl<F: Fn(Bytes) -> Result<Carrier, Refusal> + Send + Sync + 'static> Handler for Carry<F> {
    async fn answer(&self, _: Caller, question: Bytes) -> Result<Vec<u8>, Refusal> {
        Ok(question.to_vec())
    }

    async fn tunnel(&self, _: Caller, question: Bytes) -> Result<Carrier, Refusal> {
        (self.0)(question)
    }
}

fn echo(_: Bytes) -> Result<Carrier, Refusal> {
    Ok(Carrier::new(|tunnel| async move {
        let (mut read, mut write) = split(tunnel);
        if copy(&mut read, &mut write).await.is_ok() {
            let _ = write.shutdown().await;
        }
    }))
}

/// Hands each tunnel to the test.
fn handing() -> (impl Handler, mpsc::Receiver<Tunnel>) {
    let (sender, receiver) = mpsc::channel(8);
    let handler = Carry(move |_: Bytes| {
        let sender = sender.clone();
        Ok(Carrier::new(move |tunnel| async move {
            sender.send(tunnel).await.unwrap();
            std::future::pending().await
        }))
    });
    (handler, receiver)
}

fn refusal(answer: Result<Tunnel, RequestError>) -> RefusalCode {
    match answer {
        Err(RequestError::Refused { refusal, .. }) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn many_bytes_pass_both_ways_and_each_way_ends_by_itself() {
    let network = Network::new();
    let server = network.serve(Carry(echo), Limits::default());
    let client = network.client("edge", "edge-1");
    let tunnel = client.tunnel(&server.control(), b"", SOON).await.unwrap();
    let sent = pattern(MUCH);
    let (mut read, mut write) = split(tunnel);
    let writing = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
        write.shutdown().await.unwrap();
    };
    let reading = async {
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.unwrap();
        received
    };
    let ((), received) = tokio::join!(writing, reading);
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
}

#[tokio::test]
async fn the_end_of_one_side_leaves_the_other_open() {
    let network = Network::new();
    let (handler, mut tunnels) = handing();
    let server = network.serve(handler, Limits::default());
    let client = network.client("edge", "edge-1");
    let mut here = client.tunnel(&server.control(), b"", SOON).await.unwrap();
    let mut there = tunnels.recv().await.unwrap();
    here.write_all(b"that is all").await.unwrap();
    here.shutdown().await.unwrap();
    let mut heard = String::new();
    there.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "that is all");
    there.write_all(b"an answer afterwards").await.unwrap();
    there.shutdown().await.unwrap();
    let mut heard = String::new();
    here.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "an answer afterwards");
}

#[tokio::test]
async fn an_accepted_tunnel_outlasts_the_deadline() {
    let network = Network::new();
    let limits = Limits { deadline: Duration::from_millis(200), ..Limits::default() };
    let server = network.serve(Carry(echo), limits);
    let client = Client::new(LOOPBACK, &network.credentials("edge", "edge-1"), limits).unwrap();
    let mut tunnel = client.tunnel(&server.control(), b"", SOON).await.unwrap();
    let begun = std::time::Instant::now();
    let mut heard = [0];
    // Not a wait for something: time itself is what is tested.
    while begun.elapsed() < 3 * limits.deadline {
        tunnel.write_all(&[7]).await.unwrap();
        tunnel.read_exact(&mut heard).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(heard, [7]);
}

#[tokio::test]
async fn a_refusal_says_why() {
    let network = Network::new();
    let refuse = |question: Bytes| -> Result<Carrier, Refusal> {
        assert_eq!(question.as_ref(), b"open");
        Err(Refusal::new(RefusalCode::Denied, "not today"))
    };
    let server = network.serve(Carry(refuse), Limits::default());
    let client = network.client("edge", "edge-1");
    let refused = client.tunnel(&server.control(), b"open", SOON).await;
    assert_eq!(refusal(refused), RefusalCode::Denied);
    let too_long = client.tunnel(&server.control(), &vec![0; (4 << 20) + 1], SOON).await;
    assert!(matches!(too_long, Err(RequestError::TooLarge { .. })), "{too_long:?}");

    let without = network.serve(Echo::default(), Limits::default());
    let refused = client.tunnel(&without.control(), b"", SOON).await;
    assert_eq!(refusal(refused), RefusalCode::Invalid);
}

#[tokio::test]
async fn whoever_decides_too_long_refuses() {
    struct Undecided;
    impl Handler for Undecided {
        async fn answer(&self, _: Caller, _: Bytes) -> Result<Vec<u8>, Refusal> {
            Ok(Vec::new())
        }
        async fn tunnel(&self, _: Caller, _: Bytes) -> Result<Carrier, Refusal> {
            std::future::pending().await
        }
    }
    let network = Network::new();
    let limits = Limits { deadline: Duration::from_millis(100), ..Limits::default() };
    let server = network.serve(Undecided, limits);
    let client = network.client("edge", "edge-1");
    assert_eq!(refusal(client.tunnel(&server.control(), b"", SOON).await), RefusalCode::Deadline);
}

#[tokio::test]
async fn a_tunnel_dropped_by_either_side_is_an_error_at_the_other() {
    let network = Network::new();
    let (handler, mut tunnels) = handing();
    let server = network.serve(handler, Limits::default());
    let client = network.client("edge", "edge-1");

    let here = client.tunnel(&server.control(), b"", SOON).await.unwrap();
    let mut there = tunnels.recv().await.unwrap();
    drop(here);
    let heard = timeout(SOON, there.read_u8()).await.unwrap();
    assert_eq!(heard.unwrap_err().kind(), ErrorKind::ConnectionReset);

    let mut here = client.tunnel(&server.control(), b"", SOON).await.unwrap();
    drop(tunnels.recv().await.unwrap());
    let heard = timeout(SOON, here.read_u8()).await.unwrap();
    assert_eq!(heard.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let written = timeout(SOON, async {
        while here.write_all(&[0; 1024]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    written.await.expect("writing to nobody fails");
}

#[tokio::test]
async fn a_peer_that_died_without_a_word_is_an_error_after_the_silence() {
    let network = Network::new();
    let limits = Limits { silence: Duration::from_millis(600), ..Limits::default() };
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = {
        let _inside = doomed.enter();
        network.serve(Carry(echo), limits)
    };
    let client = Client::new(LOOPBACK, &network.credentials("edge", "edge-1"), limits).unwrap();
    let mut tunnel = client.tunnel(&server.control(), b"", SOON).await.unwrap();
    tunnel.write_all(&[7]).await.unwrap();
    assert_eq!(tunnel.read_u8().await.unwrap(), 7);
    // Quiet is not dead: the connection is kept alive over twice the silence.
    let quiet = timeout(2 * limits.silence, tunnel.read_u8()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    doomed.shutdown_background();
    let heard = timeout(SOON, tunnel.read_u8()).await.unwrap();
    assert!(heard.is_err());
}

#[tokio::test]
async fn a_server_that_stops_breaks_its_tunnels_and_does_not_wait_for_them() {
    let network = Network::new();
    let server = network.serve(Carry(echo), Limits::default());
    let client = network.client("edge", "edge-1");
    let mut tunnel = client.tunnel(&server.control(), b"", SOON).await.unwrap();
    server.stop.cancel();
    timeout(SOON, server.ended).await.expect("it does not wait").unwrap();
    let heard = timeout(SOON, tunnel.read_u8()).await.unwrap();
    assert_ne!(heard.unwrap_err().kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn tunnels_at_once_are_bounded_and_a_place_is_given_back() {
    let network = Network::new();
    let few = Limits { tunnels: 2, ..Limits::default() };
    let server = network.serve(Carry(echo), few);
    let credentials = network.credentials("edge", "edge-1");
    for (whose, limits) in [("the server's", Limits::default()), ("the client's", few)] {
        let client = Client::new(LOOPBACK, &credentials, limits).unwrap();
        let open = || async { client.tunnel(&server.control(), b"", SOON).await };
        let (first, _second) = (open().await.unwrap(), open().await.unwrap());
        assert_eq!(refusal(open().await), RefusalCode::Busy, "{whose} bound");
        drop(first);
        let again = timeout(SOON, async {
            loop {
                match open().await {
                    Ok(_) => break,
                    // The other side hears of the end in its own time.
                    refused => assert_eq!(refusal(refused), RefusalCode::Busy),
                }
                tokio::task::yield_now().await;
            }
        });
        again.await.unwrap();
    }
}

#[tokio::test]
async fn a_tunnel_whose_reader_rests_holds_up_nobody() {
    let network = Network::new();
    let limits = Limits { message_bytes: 64 << 10, streams: 2, ..Limits::default() };
    let resting = Arc::new(Mutex::new(Vec::new()));
    let kept = resting.clone();
    let handler = Carry(move |question: Bytes| {
        if question.is_empty() {
            return echo(question);
        }
        let kept = kept.clone();
        Ok(Carrier::new(move |tunnel| async move {
            kept.lock().await.push(tunnel);
            std::future::pending().await
        }))
    });
    let server = network.serve(handler, limits);
    let client = Client::new(LOOPBACK, &network.credentials("edge", "edge-1"), limits).unwrap();
    let mut full = Vec::new();
    for _ in 0..8 {
        let mut tunnel = client.tunnel(&server.control(), b"rest", SOON).await.unwrap();
        // The question took a few bytes of the window.
        let filled = timeout(SOON, tunnel.write_all(&vec![0; limits.message_bytes - 100])).await;
        filled.expect("each has a window of its own").unwrap();
        full.push(tunnel);
    }
    let mut more = client.tunnel(&server.control(), b"", SOON).await.unwrap();
    more.write_all(b"still here").await.unwrap();
    let mut heard = [0; 10];
    timeout(SOON, more.read_exact(&mut heard)).await.expect("nobody is held up").unwrap();
    assert_eq!(&heard, b"still here");
    client.request(&server.control(), b"", SOON).await.unwrap();
}

#[tokio::test]
async fn an_expired_or_unknown_node_gets_no_tunnel() {
    let network = Network::new();
    let server = network.serve(Carry(echo), Limits::default());
    let long_ago = SystemTime::now() - Duration::from_secs(31 * 24 * 60 * 60);
    let old = network.credentials_at("edge", "edge-1", long_ago);
    let client = Client::new(LOOPBACK, &old, Limits::default()).unwrap();
    assert!(client.tunnel(&server.control(), b"", SOON).await.is_err());
    // A joiner speaks the same wire, but may only ask its one question.
    let authority = network.authority.fingerprint();
    let asked = join(None, server.address, &network.zone, authority, b"please", Limits::default()).await;
    assert_eq!(asked.unwrap(), b"please");
}
