//! The running member: binds, serves, drains.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use locum_identity::{CertificateAuthority, CertificateRequest, NodeIdentity, NodeKey};
use locum_mesh::{Client, Credentials, Limits, Server};
use locum_telemetry::{Health, Telemetry};
use metrics::gauge;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::dns;
use crate::groups;
use crate::joining;
use crate::life::{Clock, Life};
use crate::member::{KeyFiles, Keys};
use crate::quorum::raft::RaftQuorum;
use crate::quorum::{Disk, MemberId, Peers, Place, Quorum as _};
use crate::record;
use crate::reign::Heir;
use crate::service::Service;
use crate::store::Folder;
use crate::vantage::Vantage;

/// A member's own certificate is made anew this often; it is valid for thirty days.
const OWN_CERTIFICATE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// The number of whoever begins a network.
const FIRST: MemberId = MemberId(1);
/// For what a disk that hangs holds up.
const SHUT_DOWN_WITHIN: Duration = Duration::from_secs(5);
/// A member that knows of no leader by then says that it is there all the same: others may wait for it.
const LED_WITHIN: Duration = Duration::from_secs(4);
/// How often the figures of the quorum are told.
const MEASURE_EVERY: Duration = Duration::from_millis(250);

/// Runs a member until SIGTERM or SIGINT.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = locum_telemetry::init("locum-control")?;
    let stop = locum_telemetry::signals::shutdown()?;
    let folder = Folder::open(&config.state_dir)?;
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        joined = joining::join_if_new(&config) => joined?,
    }
    let running = Running::start(&config, folder, stop.clone()).await?;
    let health = Health::new();
    let ended = CancellationToken::new();
    let telemetry_address = serve_telemetry(&config, &health, telemetry, &ended).await?;
    let outcome = running.live(&config, &health, telemetry_address).await;
    ended.cancel();
    if let Some(path) = &config.ready_file {
        // Somebody may have tidied up already.
        let _ = std::fs::remove_file(path);
    }
    outcome?;
    info!("stopped");
    Ok(())
}

/// Everything that runs.
struct Running {
    server: Arc<Server>,
    quorum: RaftQuorum,
    service: Service,
    heir: Heir<RaftQuorum>,
    own: Own,
    vantage: Vantage,
    stop: CancellationToken,
}

impl Running {
    async fn start(config: &Config, folder: Folder, stop: CancellationToken) -> anyhow::Result<Self> {
        gauge!("locum_quorum_leads").set(0.0);
        let (clock, identity) = (Clock::start(), config.identity()?);
        let founds = config.join.is_none() && !Disk::exists(&config.state_dir);
        if founds {
            // Before there are keys: keys without a quorum are what is left of one.
            folder.may_found()?;
            Disk::create(&config.state_dir, FIRST, &identity.node)?;
        }
        let keys = Arc::new(Keys::open(&config.state_dir, &config.zone)?);
        let disk = Disk::open(&config.state_dir, &identity.node)?;
        let own = Own { identity: identity.clone(), authority: keys.authority.clone() };
        let credentials = own.credentials()?;
        let server = Arc::new(Server::bind(config.mesh_listen, &credentials, Limits::default())?);
        let bound = server.address();
        let address = SocketAddr::new(config.mesh_announce_ip.unwrap_or(bound.ip()), bound.port());
        let client = client(config.calls_from(), address, &credentials)?;
        let (id, peers) = (disk.id, Arc::new(Peers::new(disk.id, address, client)));
        let reachable = Some(address).filter(|address| !address.ip().is_unspecified());
        let place = Place { name: identity.node.to_string(), address: reachable };
        let alone = (id == FIRST && config.join.is_none()).then_some(place);
        let vantage = Vantage::new(config, peers.client().clone())?;
        let quorum = RaftQuorum::start(disk, peers, clock, alone, stop.clone()).await?;
        let (told, life) = watch::channel(None);
        let (groups, checksum) = (config.groups.clone(), groups::checksum(&config.groups));
        let heir = Heir {
            quorum: quorum.clone(),
            id,
            identity: identity.clone(),
            folder,
            keys,
            groups,
            clock,
            life: told,
        };
        let files = KeyFiles::within(&config.state_dir);
        let service = Service {
            quorum: quorum.clone(),
            identity,
            keys: files,
            life,
            removing: Arc::default(),
            groups: checksum,
        };
        Ok(Self { server, quorum, service, heir, own, vantage, stop })
    }

    /// Until `stop`, or until the member cannot go on.
    async fn live(self, config: &Config, health: &Health, telemetry: SocketAddr) -> anyhow::Result<()> {
        let Self { server, quorum, service, heir, own, vantage, stop } = self;
        let (mesh, waiting) = (server.address(), service.clone());
        let (tasks, others) = (TaskTracker::new(), config.join.as_ref().map(|join| join.addresses.clone()));
        tasks.spawn(own.keep_fresh(server.clone(), quorum.peers().clone(), stop.clone()));
        let saying = service.clone().keep_saying(others.unwrap_or_default(), stop.clone());
        tasks.spawn(measure(quorum.clone(), service.life.clone(), health.clone(), stop.clone()));
        let record = record::follow(quorum.clone(), stop.clone());
        vantage.start(service.clone(), record.clone(), &stop, &tasks);
        let dns = match &config.dns {
            Some(dns) => dns::start(dns, config, record, &stop, &tasks).await?.first().copied(),
            None => None,
        };
        let (serving, stopped) = (server.clone(), stop.clone());
        tasks.spawn(async move { serving.run(service, stopped).await });
        let announced = async {
            match tokio::time::timeout(LED_WITHIN, waiting.led()).await {
                Ok(()) => health.set_ready(true),
                Err(_) => warn!("no leader yet: a majority of the members must be there"),
            }
            announce(config, mesh, telemetry, dns)?;
            locum_telemetry::service_manager::ready();
            info!(%mesh, %telemetry, "ready");
            std::future::pending::<anyhow::Result<()>>().await
        };
        let reigned = tokio::select! {
            reigned = heir.wait(stop.clone()) => reigned.map_err(anyhow::Error::from),
            announced = announced => announced,
            removed = saying => removed.map_err(anyhow::Error::from),
        };
        stop.cancel();
        health.set_ready(false);
        locum_telemetry::drain(config.drain_grace(), stop, tasks).await;
        let _ = tokio::time::timeout(SHUT_DOWN_WITHIN, quorum.shut_down()).await;
        reigned.context("this member cannot go on: mend what it says before you start it again")
    }
}

fn client(own: Option<IpAddr>, reachable: SocketAddr, credentials: &Credentials) -> anyhow::Result<Client> {
    Ok(match own {
        Some(own) => Client::from(own, credentials, Limits::default())?,
        None => Client::new(reachable, credentials, Limits::default())?,
    })
}

/// Ready while somebody leads: this member, confirmed by the others, or one that it hears of.
async fn measure(
    quorum: RaftQuorum,
    life: watch::Receiver<Option<Life>>,
    health: Health,
    stop: CancellationToken,
) {
    let (own, standing) = (quorum.peers().own(), quorum.standing());
    while tokio::time::timeout(MEASURE_EVERY, stop.cancelled()).await.is_err() {
        let now = standing.borrow().clone();
        let leads = life.borrow().is_some();
        let leader = if leads { Some(own) } else { now.leader.filter(|leader| *leader != own) };
        health.set_ready(leader.is_some() && !now.failed);
        gauge!("locum_quorum_term").set(now.term as f64);
        gauge!("locum_quorum_has_leader").set(if leader.is_some() { 1.0 } else { 0.0 });
        gauge!("locum_quorum_leader").set(leader.map_or(0.0, |leader| leader.0 as f64));
        gauge!("locum_quorum_log_index").set(now.last_log as f64);
        gauge!("locum_quorum_commit_index").set(now.applied as f64);
        gauge!("locum_quorum_log_bytes").set(quorum.log_bytes() as f64);
        gauge!("locum_quorum_members", "kind" => "voter").set(now.voters.len() as f64);
        gauge!("locum_quorum_members", "kind" => "learner").set(now.learners.len() as f64);
    }
}

/// This member's own place on the mesh. Its key lives in memory only.
pub(crate) struct Own {
    pub(crate) identity: NodeIdentity,
    pub(crate) authority: Arc<CertificateAuthority>,
}

impl Own {
    pub(crate) fn credentials(&self) -> anyhow::Result<Credentials> {
        let key = NodeKey::generate()?;
        let request = CertificateRequest::from_pem(&key.request()?)?;
        let certificate = self.authority.issue(&self.identity, &request, SystemTime::now())?;
        Ok(Credentials::new(self.authority.pem(), &certificate, &key)?)
    }

    async fn keep_fresh(self, server: Arc<Server>, peers: Arc<Peers>, stop: CancellationToken) {
        while tokio::time::timeout(OWN_CERTIFICATE_EVERY, stop.cancelled()).await.is_err() {
            let renewed = self.credentials().and_then(|own| {
                server.replace_credentials(&own)?;
                Ok(peers.client().replace_credentials(&own)?)
            });
            if let Err(error) = renewed {
                error!(error = format!("{error:#}"), "could not renew this member's certificate");
            }
        }
    }
}

async fn serve_telemetry(
    config: &Config,
    health: &Health,
    telemetry: Telemetry,
    ended: &CancellationToken,
) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(config.telemetry_listen)
        .await
        .with_context(|| format!("bind telemetry address {}", config.telemetry_listen))?;
    let address = listener.local_addr()?;
    tokio::spawn(locum_telemetry::serve(listener, health.clone(), telemetry, ended.clone()));
    Ok(address)
}

fn announce(
    config: &Config,
    mesh: SocketAddr,
    telemetry: SocketAddr,
    dns: Option<SocketAddr>,
) -> anyhow::Result<()> {
    let Some(path) = &config.ready_file else { return Ok(()) };
    let mut addresses = BTreeMap::from([("mesh".to_owned(), mesh), ("telemetry".to_owned(), telemetry)]);
    addresses.extend(dns.map(|dns| ("dns".to_owned(), dns)));
    locum_telemetry::write_ready_file(path, &addresses).with_context(|| format!("write {}", path.display()))
}
