//! DNS over TCP (RFC 7766): a bounded number of connections, bounded again for each network, idle ones closed.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::engine::{Engine, Shared};
use crate::dns::wire::reply::Transport;
use crate::dns::zone::Snapshot;

/// Without a question for this long, a connection is closed.
const IDLE: Duration = Duration::from_secs(10);
/// The rest of a message, and taking an answer.
const WITHIN: Duration = Duration::from_secs(5);
/// Questions are small; whoever sends more is no resolver.
const MAX_QUESTION: usize = 4_096;
/// Of all connections, one network may have this part.
const SHARE: usize = 8;
/// After the system could not accept (no descriptors left), before trying again.
const PAUSE: Duration = Duration::from_millis(100);

/// Who may connect.
#[derive(Clone)]
pub(crate) struct Places(Arc<Mutex<Taken>>);

struct Taken {
    most: usize,
    all: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// A place of one connection; free again when dropped.
struct Place {
    places: Places,
    network: IpAddr,
}

impl Places {
    /// For `most` connections.
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Taken { most, all: 0, by_network: HashMap::new() })))
    }

    fn take(&self, client: IpAddr) -> Option<Place> {
        let network = network(client);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let share = taken.most.div_ceil(SHARE);
        let theirs = taken.by_network.get(&network).copied().unwrap_or(0);
        if taken.all >= taken.most || theirs >= share {
            return None;
        }
        taken.all += 1;
        taken.by_network.insert(network, theirs + 1);
        gauge!("locum_dns_tcp_connections").set(taken.all as f64);
        Some(Place { places: self.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        gauge!("locum_dns_tcp_connections").set(taken.all as f64);
        if let Some(theirs) = taken.by_network.get_mut(&self.network) {
            *theirs -= 1;
            if *theirs == 0 {
                taken.by_network.remove(&self.network);
            }
        }
    }
}

/// The /24 or /56 of an address.
fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(client) => IpAddr::V4((client.to_bits() & !0xff).into()),
        IpAddr::V6(client) => IpAddr::V6((client.to_bits() & !((1 << 72) - 1)).into()),
    }
}

/// Accepts until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    places: Places,
    shared: Arc<Shared>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => match places.take(from.ip()) {
                Some(place) => {
                    let engine = Engine::new(shared.clone(), snapshots.clone());
                    let stop = stop.clone();
                    tasks.spawn(async move {
                        tokio::select! {
                            () = stop.cancelled() => {}
                            // What the other end does wrong is its own concern.
                            _ = converse(stream, from, engine) => {}
                        }
                        drop(place);
                    });
                }
                None => counter!("locum_dns_tcp_refused_total").increment(1),
            },
            Err(_) => {
                counter!("locum_dns_tcp_accept_failures_total").increment(1);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, from: SocketAddr, mut engine: Engine) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut question = Vec::new();
    let mut answer = Vec::new();
    loop {
        let length = usize::from(timeout(IDLE, stream.read_u16()).await??);
        if length > MAX_QUESTION {
            return Ok(());
        }
        question.resize(length, 0);
        timeout(WITHIN, stream.read_exact(&mut question)).await??;
        engine.refresh();
        let now = engine.shared.now();
        answer.clear();
        answer.extend_from_slice(&[0, 0]);
        engine.answer(&question, from, Transport::Tcp, now, &mut answer);
        engine.tally.tell();
        let Ok(length) = u16::try_from(answer.len() - 2) else { return Ok(()) };
        if length == 0 {
            // Noise: there is nothing to say to it.
            return Ok(());
        }
        answer[..2].copy_from_slice(&length.to_be_bytes());
        timeout(WITHIN, stream.write_all(&answer)).await??;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_shared_out_and_come_back() {
        let places = Places::new(16);
        let take = |client: &str| places.take(client.parse().unwrap());
        let kept: Vec<_> = (0..3).map(|i| take(&format!("192.0.2.{i}"))).collect();
        assert_eq!(kept.iter().filter(|place| place.is_some()).count(), 2, "one network has an eighth");
        assert!(take("2001:db8::1").is_some());
        drop(kept);
        let all: Vec<_> = (0..20).map(|i| take(&format!("10.0.{i}.1"))).collect();
        assert_eq!(all.iter().flatten().count(), 16);
        drop(all);
        assert!(take("192.0.2.1").is_some());
        assert!(places.0.lock().unwrap().by_network.is_empty());
    }
}
