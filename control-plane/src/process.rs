//! The running member: binds, serves, drains.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use locum_cluster::NodeList;
use locum_identity::{CertificateAuthority, CertificateRequest, NodeIdentity, NodeKey};
use locum_mesh::{Credentials, Limits, Server};
use locum_telemetry::{Health, Telemetry};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use crate::config::Config;
use crate::dns;
use crate::dns::view::Viewer;
use crate::groups::Groups;
use crate::member::{Keys, Member};
use crate::service::{Clock, Service};
use crate::store::FileStore;

/// A member's own certificate is made anew this often; it is valid for thirty days.
const OWN_CERTIFICATE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs a member until SIGTERM or SIGINT.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = locum_telemetry::init("locum-control")?;
    let stop = locum_telemetry::signals::shutdown()?;
    let clock = Clock::start();
    let (store, record) = FileStore::open(&config.state_dir)?;
    let keys = Keys::open(&config.state_dir, &config.zone)?;
    let own = Own { identity: config.identity()?, authority: keys.authority.clone() };
    let server = Arc::new(Server::bind(config.mesh_listen, &own.credentials()?, Limits::default())?);
    let groups = Groups::new(&config.groups, &record.groups, clock.now().elapsed)?;
    let member = Member::new(record, groups, store, keys, clock.now())?;
    info!(version = member.list().version, nodes = member.list().nodes.len(), "record read");
    let (lists, list) = watch::channel(Arc::new(member.list().clone()));
    let (service, thread) = Service::start(member, clock, lists)?;

    let health = Health::new();
    let ended = CancellationToken::new();
    let telemetry_address = serve_telemetry(&config, &health, telemetry, &ended).await?;
    let tasks = TaskTracker::new();
    let mut looking = tokio::spawn(service.clone().keep_looking());
    tasks.spawn(own.keep_fresh(server.clone(), stop.clone()));
    let (serving, stopped) = (server.clone(), stop.clone());
    tasks.spawn(async move { serving.run(service, stopped).await });

    let dns = start_dns(&config, list, &stop, &tasks).await?;
    announce(&config, server.address(), telemetry_address, dns)?;
    health.set_ready(true);
    info!(mesh = %server.address(), telemetry = %telemetry_address, "ready");

    let died = tokio::select! {
        () = stop.cancelled() => false,
        // It looks for as long as the member's thread lives.
        _ = &mut looking => true,
    };
    stop.cancel();
    health.set_ready(false);
    looking.abort();
    let clean = locum_telemetry::drain(config.drain_grace(), stop, tasks).await;
    ended.cancel();
    if let Some(path) = &config.ready_file {
        // Somebody may have tidied up already.
        let _ = std::fs::remove_file(path);
    }
    // When all tasks ended, all senders are gone, and the thread ends after what it is writing.
    if died || (clean && thread.join().is_err()) {
        bail!("the member's thread died");
    }
    info!("stopped");
    Ok(())
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

    async fn keep_fresh(self, server: Arc<Server>, stop: CancellationToken) {
        while tokio::time::timeout(OWN_CERTIFICATE_EVERY, stop.cancelled()).await.is_err() {
            let renewed = self.credentials().and_then(|own| Ok(server.replace_credentials(&own)?));
            if let Err(error) = renewed {
                error!(error = format!("{error:#}"), "could not renew this member's certificate");
            }
        }
    }
}

/// Where the name server listens, if there is one.
async fn start_dns(
    config: &Config,
    list: watch::Receiver<Arc<NodeList>>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<Option<SocketAddr>> {
    let Some(dns) = &config.dns else { return Ok(None) };
    let mut viewer = Viewer::new(config.zone.clone());
    let first = viewer.see(&list.borrow(), dns::unix_ms());
    let (views, view) = watch::channel(first);
    let addresses = dns::start(dns, &config.zone, &config.state_dir, view, stop, tasks).await?;
    tasks.spawn(dns::follow(viewer, list, views, stop.clone()));
    Ok(addresses.first().copied())
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
