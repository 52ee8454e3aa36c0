//! Datagrams beside a tunnel: both ways, bounded, on a connection of their own.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a test, and a measurement"
)]

mod support;

use bytes::Bytes;
use locum_mesh::{Caller, Carrier, Handler, Limits, Refusal, RefusalCode, Sent, Tunnel};
use support::{Network, SOON};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Hands each tunnel to the test.
struct Handing(mpsc::Sender<Tunnel>);

impl Handler for Handing {
    async fn answer(&self, _: Caller, _: Bytes) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::new(RefusalCode::Invalid, "tunnels only"))
    }

    async fn tunnel(&self, _: Caller, _: Bytes) -> Result<Carrier, Refusal> {
        let sender = self.0.clone();
        Ok(Carrier::new(move |tunnel| async move {
            sender.send(tunnel).await.unwrap();
            std::future::pending().await
        }))
    }
}

#[tokio::test]
async fn datagrams_go_both_ways_and_end_with_the_connection() {
    let network = Network::new();
    let (sender, mut tunnels) = mpsc::channel(8);
    let running = network.serve(Handing(sender), Limits::default());
    let client = network.client("media", "media-1");
    let near = client.own_tunnel(&[running.control()], b"", SOON).await.unwrap();
    let far = tunnels.recv().await.unwrap();
    for (from, to) in [(&near, &far), (&far, &near)] {
        assert_eq!(from.datagrams().send(Bytes::from_static(b"now")), Sent::Queued);
        let heard = timeout(SOON, to.datagrams().receive()).await.unwrap().unwrap();
        assert_eq!(&heard[..], b"now");
    }
    let most = near.datagrams().max_bytes().unwrap();
    assert!(most > 1_100, "a media packet fits: {most}");
    assert_eq!(near.datagrams().send(vec![0; 70_000].into()), Sent::TooLarge);

    let datagrams = far.datagrams();
    drop(near);
    assert!(timeout(SOON, datagrams.receive()).await.unwrap().is_err(), "its connection ends with a tunnel");
    assert_eq!(datagrams.send(Bytes::from_static(b"late")), Sent::Gone);
}

#[tokio::test]
async fn tunnels_of_their_own_share_no_connection() {
    let network = Network::new();
    let (sender, mut tunnels) = mpsc::channel(8);
    let running = network.serve(Handing(sender), Limits::default());
    let client = network.client("media", "media-1");
    let first = client.own_tunnel(&[running.control()], b"", SOON).await.unwrap();
    let second = client.own_tunnel(&[running.control()], b"", SOON).await.unwrap();
    let (far_first, far_second) = (tunnels.recv().await.unwrap(), tunnels.recv().await.unwrap());
    assert_eq!(first.datagrams().send(Bytes::from_static(b"1")), Sent::Queued);
    let heard = timeout(SOON, far_first.datagrams().receive()).await.unwrap().unwrap();
    assert_eq!(&heard[..], b"1");
    drop(first);
    assert!(timeout(SOON, far_first.datagrams().receive()).await.unwrap().is_err());
    assert_eq!(second.datagrams().send(Bytes::from_static(b"2")), Sent::Queued);
    let heard = timeout(SOON, far_second.datagrams().receive()).await.unwrap().unwrap();
    assert_eq!(&heard[..], b"2", "nothing of the first, and it lives");
}

#[tokio::test]
async fn a_queue_that_is_full_drops_the_oldest() {
    let network = Network::new();
    let (sender, mut tunnels) = mpsc::channel(8);
    let running = network.serve(Handing(sender), Limits::default());
    let limits = Limits { datagram_bytes: 8 << 10, ..Limits::default() };
    let credentials = network.credentials("media", "media-1");
    let client = locum_mesh::Client::new(support::LOOPBACK, &credentials, limits).unwrap();
    let near = client.own_tunnel(&[running.control()], b"", SOON).await.unwrap();
    let far = tunnels.recv().await.unwrap();
    let sending = near.datagrams();
    // Nothing of the runtime runs meanwhile, so nothing leaves the queue.
    let sent: Vec<Sent> = (0_u8..100).map(|i| sending.send(vec![i; 1_000].into())).collect();
    assert_eq!(sent[0], Sent::Queued);
    assert_eq!(sent[99], Sent::Pushed);
    let first = timeout(SOON, far.datagrams().receive()).await.unwrap().unwrap()[0];
    assert!(first > 80, "the oldest are gone: {first}");
}

/// `cargo test --release --workspace --test datagrams -- --ignored --nocapture`; both ends are in this process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, for docs/benchmarks.md"]
async fn measure_datagrams() {
    const BYTES: usize = 1_150;
    const SECONDS: u64 = 5;
    let network = Network::new();
    let (sender, mut tunnels) = mpsc::channel(8);
    let running = network.serve(Handing(sender), Limits::default());
    let client = network.client("media", "media-1");
    let near = client.own_tunnel(&[running.control()], b"", SOON).await.unwrap();
    let far = tunnels.recv().await.unwrap();
    let (sending, receiving) = (near.datagrams(), far.datagrams());
    let received = tokio::spawn(async move {
        let mut count = 0_u64;
        while let Ok(Ok(_)) = timeout(SOON / 5, receiving.receive()).await {
            count += 1;
        }
        count
    });
    let (began, cpu) = (std::time::Instant::now(), cpu_seconds());
    let (mut sent, datagram) = (0_u64, Bytes::from(vec![7; BYTES]));
    while began.elapsed().as_secs() < SECONDS {
        // Bursts as large as those of a busy event loop.
        for _ in 0..64 {
            sent += u64::from(sending.send(datagram.clone()) == Sent::Queued);
        }
        tokio::task::yield_now().await;
    }
    let (elapsed, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let received = received.await.unwrap();
    let gbit = received as f64 * BYTES as f64 * 8.0 / 1e9;
    println!(
        "{sent} queued, {received} received in {elapsed:.1} s and {cpu:.1} CPU-seconds: {:.0} a CPU-second, {:.2} Gbit/s a \
         CPU-second (both ends)",
        received as f64 / cpu,
        gbit / cpu
    );
    assert!(received > 0);
}

/// Of all threads of this process (proc(5): `utime` and `stime`, in hundredths).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
    ticks as f64 / 100.0
}
