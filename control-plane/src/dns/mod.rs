//! The authoritative name server of the network's zone.
//!
//! | what | where |
//! |---|---|
//! | what the zone is made from | `view` |
//! | where clients are | `place` |
//! | what stands under which name, and its signatures | `zone` |
//! | messages | `wire` |
//! | sockets, limits | `serve` |
//! | the next generation whenever something changed | `keeper` |
//!
//! It needs a [`ZoneView`] and nothing else of the member: without a quorum it goes on with the last one.

pub(crate) mod challenge;
pub(crate) mod command;
pub(crate) mod config;
mod keeper;
pub(crate) mod place;
mod serve;
mod sources;
#[cfg(test)]
mod testing;
pub(crate) mod view;
mod wire;
mod zone;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::config::Config;
use crate::membership::Record;
use config::DnsConfig;
use keeper::Keeper;
use keeper::unix_ms;
use serve::engine::{Engine, Shared};
use serve::limit::{Budget, RateLimit};
use serve::tcp::Places;
use serve::{tcp, udp};
use sources::Files;
use view::{Viewer, ZoneView};
use wire::cookie::CookieKey;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;
/// Ports to try when the system may choose one that is free for both UDP and TCP.
const TRIES: usize = 16;

/// The name server cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DnsError {
    #[error("bind name server address {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("gather randomness")]
    Random(#[from] getrandom::Error),
    #[error("start a thread of the name server")]
    Thread(#[source] io::Error),
    #[error("make the zone")]
    Zone(#[source] tokio::task::JoinError),
}

/// One address with its sockets.
struct Bound {
    address: SocketAddr,
    udp: Vec<UdpSocket>,
    tcp: TcpListener,
}

/// Starts to answer from `record`; it ends with `stop`, and `tasks` with it. Returns where it listens.
pub(crate) async fn start(
    config: &DnsConfig,
    member: &Config,
    record: watch::Receiver<Arc<Record>>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Vec<SocketAddr>, DnsError> {
    let zone = &member.zone;
    let mut viewer = Viewer::new(zone.clone());
    let first = viewer.see(&record.borrow().list, unix_ms());
    let (told, views) = watch::channel(first);
    if config.name_servers() < 2 {
        warn!("the zone has one name server: when it is away, nobody finds the network");
    }
    let settings = config.settings(zone);
    let files = Files::new(
        config.files(),
        challenge::path(&member.state_dir),
        settings.origin.clone(),
        settings.atlas.clone(),
    );
    let made = tokio::task::spawn_blocking(move || {
        let mut keeper = Keeper::new(settings, files, views);
        let first = keeper.make();
        (keeper, first)
    });
    let (keeper, first) = made.await.map_err(DnsError::Zone)?;
    let (snapshots, snapshot) = watch::channel(first);
    let shared = Arc::new(Shared {
        limit: RateLimit::new(config.rate_limit.responses_per_second, config.rate_limit.slip)?,
        cookies: CookieKey::generate()?,
        signatures: Budget::new(config.signatures_per_second),
        begun: Instant::now(),
    });
    let places = Places::new(config.tcp_connections);
    let stopped = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    let mut addresses = Vec::new();
    for listen in config.listen() {
        let bound =
            bind(*listen, config.threads()).map_err(|source| DnsError::Bind { address: *listen, source })?;
        addresses.push(bound.address);
        for socket in bound.udp {
            let engine = Engine::new(shared.clone(), snapshot.clone());
            let name = format!("dns-{}", threads.len());
            threads.push(udp::spawn(name, socket, engine, stopped.clone()).map_err(DnsError::Thread)?);
        }
        let (places, shared, snapshot) = (places.clone(), shared.clone(), snapshot.clone());
        tasks.spawn(tcp::serve(bound.tcp, places, shared, snapshot, stop.clone(), tasks.clone()));
    }
    tasks.spawn(follow(viewer, record, told, stop.clone()));
    tasks.spawn(keeper.run(snapshots, stop.clone()));
    tasks.spawn(end(threads, stopped, stop.clone()));
    Ok(addresses)
}

/// Views of the lists that come, until `stop`.
async fn follow(
    mut viewer: Viewer,
    mut record: watch::Receiver<Arc<Record>>,
    views: watch::Sender<ZoneView>,
    stop: CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = record.changed() => if changed.is_err() { return },
        }
        let record = record.borrow_and_update().clone();
        if record.list.version != views.borrow().generation {
            views.send_replace(viewer.see(&record.list, unix_ms()));
        }
    }
}

async fn end(threads: Vec<JoinHandle<()>>, stopped: Arc<AtomicBool>, stop: CancellationToken) {
    stop.cancelled().await;
    stopped.store(true, Ordering::Relaxed);
    let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok()));
    if !joined.await.unwrap_or(false) {
        warn!("a thread of the name server died");
    }
}

fn bind(address: SocketAddr, threads: usize) -> io::Result<Bound> {
    let mut tries = if address.port() == 0 { TRIES } else { 1 };
    loop {
        tries -= 1;
        match bind_once(address, threads) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            bound => return bound,
        }
    }
}

fn bind_once(address: SocketAddr, threads: usize) -> io::Result<Bound> {
    let tcp = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        tcp.set_only_v6(true)?;
    }
    tcp.set_reuse_address(true)?;
    tcp.set_nonblocking(true)?;
    tcp.bind(&address.into())?;
    tcp.listen(BACKLOG)?;
    let tcp: std::net::TcpListener = tcp.into();
    let address = tcp.local_addr()?;
    // Without it, two processes of one user could share the port unnoticed, each with a part of the questions.
    drop(UdpSocket::bind(address)?);
    let udp = (0..threads).map(|_| udp::bind(address)).collect::<io::Result<_>>()?;
    Ok(Bound { address, udp, tcp: TcpListener::from_std(tcp)? })
}
