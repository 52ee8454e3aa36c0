//! A running media node: start, serve, drain.

use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use locum_agent::{Agent, Announcement};
use locum_cluster::probe::{MediaProbe, ProbePassword};
use locum_cluster::protocol::HEARTBEAT_INTERVAL_MS;
use locum_telemetry::{Health, Telemetry};
use locum_tls::Certificate;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::Config;
use crate::control;
use crate::events::{self, Happened, Keeper, Recorder};
use crate::listen::Sockets;
use crate::relay::Relay;
use crate::relay::links::{Ears, Links};
use crate::revocations;
use crate::room::{Ids, Limits, MOVE_WITHIN, Rooms};
use crate::shard::{self, RelayEvent, Shard};
use crate::signal::{self, Acceptor, Door, Signal};
use crate::token::KeySet;
use crate::transport::rtc::RtcTransport;

/// Participants of one room.
const MAX_PARTICIPANTS: usize = 16;

/// Published tracks of one participant: camera, microphone, screen and its sound, and as many again in
/// exchange.
const MAX_TRACKS: usize = 8;

/// Within this the control plane knows that the node drains.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(HEARTBEAT_INTERVAL_MS);

/// Runs a node until `stop`, then drains it.
///
/// # Errors
/// When the node cannot start, or its event loop ends under it.
pub async fn run(
    config: Config,
    sockets: Sockets,
    telemetry: Telemetry,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    shard::describe();
    events::describe();
    metrics::gauge!("locum_media_capacity").set(f64::from(config.capacity));
    let health = Health::new();
    let Sockets { telemetry: telemetry_listener, signal: signal_listeners, media, addresses, announced } =
        sockets;
    let telemetry_listener = TcpListener::from_std(telemetry_listener).context("use telemetry_listen")?;

    let transport = RtcTransport::new(&announced).context("set up the media transport")?;
    let (recorder, happened) = Recorder::new();
    let (shard, shard_ended) =
        Shard::start(media, transport, rooms(&config), recorder.clone()).context("start the event loop")?;

    // Outlives the drain: clients are still told to leave, and operators that the node drains.
    let over = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(locum_telemetry::serve(telemetry_listener, health.clone(), telemetry, over.clone()));

    let (keys, current_keys) = watch::channel(Arc::new(KeySet::default()));
    let (revoked, now_revoked) = watch::channel(Arc::default());
    let sockets = TaskTracker::new();
    let door = Door::new(config.capacity, stop.clone());
    let scheme = if config.tls.is_some() { "wss" } else { "ws" };
    let url = format!("{scheme}://{}:{}", config.announce_host, addresses["signal"].port());
    let signal = Signal {
        shard: shard.clone(),
        keys: current_keys,
        revoked: now_revoked,
        sockets: sockets.clone(),
        door,
        recorder,
        urls: signal::join_urls(std::slice::from_ref(&url)),
        passes: signal::PassBook::default(),
    };
    let acceptor = Acceptor::new(signal::router(signal), shard.clone(), tls(&config, &tasks, &over)?);
    accept(acceptor, signal_listeners, &tasks, &over)?;
    let probe = answer_probes(&shard, announced.udp).await?;
    let announcement =
        Announcement { addresses: vec![url], jwks: None, public: config.announced_ips(), probe: Some(probe) };
    let agent = tokio::select! {
        agent = connect(&config, &shard, keys, announcement, &tasks, &over) => agent?,
        () = stop.cancelled() => return Ok(()),
    };
    if let Some(agent) = &agent {
        // Not beyond `stop`: a node that goes takes nobody in.
        tasks.spawn(control::follow_orders(agent.clone(), shard.clone(), stop.clone()));
        tasks.spawn(deliver_events(&config, happened, agent.clone(), over.clone())?);
        tasks.spawn(revocations::follow(agent.clone(), revoked, shard.clone(), over.clone()));
    }
    if let Some(path) = &config.ready_file {
        locum_telemetry::write_ready_file(path, &addresses).context("write ready_file")?;
    }
    health.set_ready(true);
    locum_telemetry::service_manager::ready();
    info!("ready");

    let ended = wait(&stop, shard_ended).await;
    health.set_ready(false);
    if let Some(agent) = &agent {
        agent.set_draining();
        // First it is told that nobody should come here, then everybody is sent away.
        tokio::time::sleep(HEARTBEAT_INTERVAL).await;
    }
    drain(&shard, &sockets, config.drain_grace()).await;
    over.cancel();
    tasks.close();
    tasks.wait().await;
    ended
}

/// Tells the record of calls, also of how they end while the node drains.
fn deliver_events(
    config: &Config,
    happened: mpsc::Receiver<Happened>,
    agent: Agent,
    over: CancellationToken,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let keeper = Keeper::open(&config.state_dir, hex(random())).context("open the queue of call events")?;
    Ok(events::deliver(keeper, happened, agent, config.region.clone(), over))
}

fn hex(bytes: [u8; 8]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).concat()
}

fn rooms(config: &Config) -> Rooms {
    let limits = Limits {
        sessions: usize::try_from(config.capacity).unwrap_or(usize::MAX),
        participants: MAX_PARTICIPANTS,
        tracks: MAX_TRACKS,
        // The other half is for those who have to be sent.
        move_within: MOVE_WITHIN.min(config.drain_grace() / 2),
    };
    Rooms::new(limits, config.region.to_string(), Ids::new(random))
}

/// Eight random bytes. Without randomness nothing here is safe, so there is nothing to go on with.
fn random() -> [u8; 8] {
    let mut bytes = [0; 8];
    #[expect(
        clippy::expect_used,
        reason = "the kernel's generator is seeded since boot and does not fail then"
    )]
    getrandom::fill(&mut bytes).expect("the kernel gives randomness");
    bytes
}

/// Takes connections at each listener, until `over`.
fn accept(
    acceptor: Acceptor,
    listeners: Vec<std::net::TcpListener>,
    tasks: &TaskTracker,
    over: &CancellationToken,
) -> anyhow::Result<()> {
    // Its tasks' alone: a node ends only when nobody can ask for anything any more.
    let acceptor = Arc::new(acceptor);
    for listener in listeners {
        let listener = TcpListener::from_std(listener).context("use signal_listen")?;
        tasks.spawn(Arc::clone(&acceptor).serve(listener, over.clone()));
    }
    Ok(())
}

/// HTTP/1.1 over TLS, if certificates are configured; they are followed until `over`.
fn tls(
    config: &Config,
    tasks: &TaskTracker,
    over: &CancellationToken,
) -> anyhow::Result<Option<Arc<rustls::ServerConfig>>> {
    let Some(files) = &config.tls else { return Ok(None) };
    let certificate = Certificate::load(files.clone()).context("set up TLS")?;
    let server = certificate.server(&[b"http/1.1"]).context("set up TLS")?;
    tasks.spawn(certificate.follow(over.clone()));
    Ok(Some(server))
}

/// Lets the control plane look whether media gets through to these addresses, under credentials of this start.
async fn answer_probes(shard: &Shard, addresses: Vec<SocketAddr>) -> anyhow::Result<MediaProbe> {
    let (ufrag, password) = (hex(random()), hex(random()) + &hex(random()));
    shard.answer_probes(ufrag.clone(), password.clone()).await?;
    Ok(MediaProbe { addresses, ufrag, password: ProbePassword::new(password) })
}

/// Learns whose tokens to believe: from the control plane, or from a file when the node stands alone.
async fn connect(
    config: &Config,
    shard: &Shard,
    keys: watch::Sender<Arc<KeySet>>,
    announcement: Announcement,
    tasks: &TaskTracker,
    over: &CancellationToken,
) -> anyhow::Result<Option<Agent>> {
    if let Some(path) = &config.jwks_file {
        let read = control::keys_from_file(path)?;
        warn!(keys = read.len(), "standing alone: token keys are read from a file, once");
        keys.send_replace(Arc::new(read));
        tasks.spawn(async move { keys.closed().await });
        return Ok(None);
    }
    let control = config.control.as_ref().context("no [control]")?;
    let agent = control::join(config, control, announcement, over.clone()).await;
    let agent = agent.context("join the control plane")?;
    begin_relay(&agent, shard, tasks, over).await?;
    tasks.spawn(control::follow_keys(agent.clone(), keys, over.clone()));
    tasks.spawn(control::report_load(agent.clone(), shard.clone(), config.capacity, over.clone()));
    Ok(Some(agent))
}

/// Shares rooms with other media nodes.
async fn begin_relay(
    agent: &Agent,
    shard: &Shard,
    tasks: &TaskTracker,
    over: &CancellationToken,
) -> anyhow::Result<()> {
    let relay = Relay::new(Arc::new(agent.node_id().clone()), u64::from_be_bytes(random()));
    let links = Links::new(agent.clone(), shard.clone(), tasks.clone(), over.clone());
    shard.relay(RelayEvent::Begin(Box::new(relay), Box::new(links))).await?;
    let (mesh, ears, stop) = (agent.mesh().clone(), Ears::new(shard.clone()), over.clone());
    tasks.spawn(async move {
        if let Some(server) = mesh.server() {
            server.run(ears, stop).await;
        }
    });
    tasks.spawn(control::follow_nodes(agent.clone(), shard.clone(), over.clone()));
    Ok(())
}

async fn wait(stop: &CancellationToken, shard_ended: oneshot::Receiver<()>) -> anyhow::Result<()> {
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        _ = shard_ended => Err(anyhow::anyhow!("the event loop ended")),
    }
}

/// Has everybody move elsewhere and waits for the last socket to be closed.
async fn drain(shard: &Shard, sockets: &TaskTracker, grace: Duration) {
    let (sessions, clients) = (shard.session_count(), sockets.len());
    info!(sessions, clients, "draining");
    sockets.close();
    let drained = async {
        let _ = shard.drain().await;
        sockets.wait().await;
    };
    if tokio::time::timeout(grace, drained).await.is_err() {
        warn!(left = sockets.len(), "grace period over");
    }
    let _ = shard.stop().await;
}

/// Creates the folder the node keeps its state in, for its owner alone.
///
/// # Errors
/// When it can neither be found nor created.
pub fn create_private(dir: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
