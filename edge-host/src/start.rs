//! Bringing a host up and down.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use locum_agent::AgentError;
use locum_breached::Breached;
use locum_cluster::Load;
use locum_identity::{SigningKey, private_file};
use locum_telemetry::config::{ConfigError, chain, invalid};
use locum_telemetry::{Health, Telemetry, TelemetryError, signals, write_ready_file};
use locum_tls::{Certificate, TlsError};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{Audit, AuditSettings};
use crate::backup::{self, BackupError, StageError};
use crate::blob::Blobs;
use crate::config::{EdgeConfig, Limits, Secret};
use crate::countries::Countries;
use crate::http::{Edge, FunctionRoute, Functions, Kept, Pages, Server};
use crate::idempotency;
use crate::jobs;
use crate::manifest::{Application, Component, ParseHostError};
use crate::mesh::{HostHandler, RecordLinks};
use crate::network::{Network, Origins};
use crate::revocations::Revocations;
use crate::runtime::{Environment, Function, FunctionEngine, LoadError, OutboundClient, Ticker};
use crate::security_feed::{self, Carrier, OpenFeedError};
use crate::sending::{self, MessagesConfig};
use crate::store::{
    GroupId, KeyError, Links, MasterKey, MigrationError, OpenError, RecordStore, ReplicatedStore,
    ResultLimits, SingleFileStore, StartGroupError, StoreSettings, TransactionLimits, Verified, VerifyError,
    Writer, load_migrations,
};
use crate::variables::{Supplier, Variables};

/// Between two looks at whether this host takes work.
const READY_INTERVAL: Duration = Duration::from_millis(200);
const PURGE_INTERVAL: Duration = Duration::from_secs(3_600);

/// Configuration and manifest, read and checked against each other; nothing on disk was touched yet.
pub struct Prepared {
    config: EdgeConfig,
    application: Application,
}

/// The host does not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Logs or metrics.
    #[error("set up telemetry")]
    Telemetry(#[source] TelemetryError),
    /// A folder, file, signal or thread.
    #[error("{doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The token key.
    #[error("token key")]
    TokenKey(#[source] locum_identity::KeyError),
    /// The key that signs audit checkpoints.
    #[error("audit key")]
    AuditKey(#[source] locum_identity::KeyError),
    /// The master key.
    #[error("store_key_file")]
    MasterKey(#[source] KeyError),
    /// The schema files.
    #[error("migrations")]
    Migrations(#[source] MigrationError),
    /// The record store.
    #[error("open the record store")]
    Store(#[source] OpenError),
    /// wasmtime.
    #[error("set up wasmtime")]
    Engine(#[source] wasmtime::Error),
    /// A component.
    #[error("load functions")]
    Function(#[source] LoadError),
    /// Variables, after they were checked.
    #[error("variables")]
    Variables(#[source] crate::variables::VariableError),
    /// TLS files.
    #[error("set up TLS")]
    Tls(#[source] TlsError),
    /// TLS for outbound requests.
    #[error("set up TLS for outbound requests")]
    Outbound(#[source] rustls::Error),
    /// Where security events go.
    #[error("security_feed")]
    SecurityFeed(#[source] OpenFeedError),
    /// How messages are sent.
    #[error("{key}: {problem}")]
    Messages {
        /// The key of the configuration.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Where functions may send requests.
    #[error("allowed_outbound_hosts of component `{component}`")]
    OutboundHosts {
        /// The component.
        component: String,
        /// Why.
        #[source]
        source: ParseHostError,
    },
    /// A record group.
    #[error("take part in record replication")]
    Records(#[source] StartGroupError),
    /// A copy that cannot be looked at.
    #[error("verify the records")]
    Verify(#[source] VerifyError),
    /// Backups.
    #[error("back up records")]
    Backup(#[source] BackupError),
    /// A restore that was cut off.
    #[error("carry on with a restore")]
    Restore(#[source] StageError),
    /// The map of addresses.
    #[error("geography_file")]
    Geography(#[source] maxminddb::MaxMindDbError),
    /// The list of passwords.
    #[error("breached_passwords_file")]
    BreachedPasswords(#[source] locum_breached::OpenError),
    /// The control plane.
    #[error("join the control plane")]
    Join(#[source] AgentError),
}

/// Reads configuration and manifest. Every error names its key.
pub fn prepare(config_path: &Path) -> Result<Prepared, ConfigError> {
    let config = EdgeConfig::read(config_path)?;
    let application = Application::read(&config.manifest)?;
    if let Some(file) = &config.geography_file {
        Countries::read(file).map_err(|error| invalid(config_path, "geography_file", chain(&error)))?;
    }
    if let Some(file) = &config.breached_passwords_file {
        let opened = Breached::open(file);
        opened.map_err(|error| invalid(config_path, "breached_passwords_file", chain(&error)))?;
    }
    if let Some(messages) = &config.messages {
        sending::open(messages).map_err(|(key, problem)| invalid(config_path, key, problem))?;
        messages.told_to_functions().map_err(|(key, problem)| invalid(config_path, key, problem))?;
    }
    // The host's own values are not known yet; what counts here is that every name has a source.
    let nothing: Supplier = Arc::new(String::new);
    let named = SUPPLIED.iter().map(|name| (*name, Arc::clone(&nothing))).collect();
    Variables::new(&application, &config.variables, &named)
        .map_err(|error| invalid(config_path, "variables", error.to_string()))?;
    Ok(Prepared { config, application })
}

/// Compiles the functions of `manifest` into `cache`, as a host with that `cache_dir` would at its first start.
pub fn precompile(manifest: &Path, cache: PathBuf) -> Result<(), PrecompileError> {
    let application = Application::read(manifest).map_err(PrecompileError::Manifest)?;
    let engine = FunctionEngine::new(&Limits::default(), cache).map_err(PrecompileError::Engine)?;
    let compile = |(id, component): (&String, &Component)| engine.precompile(id, &component.source);
    let compile = &compile;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            application.components.iter().map(|named| scope.spawn(move || compile(named))).collect();
        let mut joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(compiled) => compiled.map_err(PrecompileError::Function),
            Err(_) => Err(PrecompileError::Panicked),
        });
        joined.try_for_each(|compiled| compiled)
    })
}

/// Functions are not compiled.
#[derive(Debug, thiserror::Error)]
pub enum PrecompileError {
    /// The manifest. Names the key.
    #[error("read the manifest")]
    Manifest(#[source] ConfigError),
    /// wasmtime.
    #[error("set up wasmtime")]
    Engine(#[source] wasmtime::Error),
    /// A component.
    #[error("compile functions")]
    Function(#[source] LoadError),
    /// A bug.
    #[error("a compiling thread panicked")]
    Panicked,
}

/// Looks whether the copies of a host that does not run are whole. One that has the only copy is not replicated:
/// SQLite itself checks what it reads there.
pub fn verify_records(prepared: &Prepared) -> Result<Vec<Verified>, StartError> {
    match open_store(&prepared.config, &prepared.application)? {
        (_, Some(records)) => records.verify().map_err(StartError::Verify),
        (_, None) => Ok(Vec::new()),
    }
}

/// Runs the host until SIGTERM or SIGINT.
pub fn run(prepared: Prepared) -> Result<(), StartError> {
    let telemetry = locum_telemetry::init("locum-edge").map_err(StartError::Telemetry)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(io_error("start the runtime"))?;
    runtime.block_on(serve(prepared, telemetry))
}

async fn serve(prepared: Prepared, telemetry: Telemetry) -> Result<(), StartError> {
    let Prepared { config, application } = prepared;
    let (health, gone) = (Health::new(), CancellationToken::new());
    let stop = signals::shutdown().map_err(io_error("listen for signals"))?;
    let listener = bind(config.telemetry_listen, "telemetry_listen").await?;
    let telemetry_address = listener.local_addr().map_err(io_error("telemetry_listen"))?;
    let told = tokio::spawn(locum_telemetry::serve(listener, health.clone(), telemetry, gone.clone()));

    let (listeners, http_address) = listen(&config).await?;
    let mut host = Host::build(&config, &application, http_address)?;
    let tasks = TaskTracker::new();
    let tls = tls(&config, &stop, &tasks).map_err(StartError::Tls)?;
    let server = Arc::new(Server::new(tls, &config.limits));
    for listener in listeners {
        let (server, edge) = (Arc::clone(&server), Arc::clone(&host.edge));
        tasks.spawn(server.run(listener, edge, stop.clone(), tasks.clone()));
    }
    tasks.spawn(purge_hourly(Arc::clone(&host.edge.store), stop.clone()));
    let (audited, stopped) = (Arc::clone(&host.edge), stop.clone());
    tasks.spawn(async move { audited.audit.run(audited.peers.as_ref(), stopped).await });
    for carrier in std::mem::take(&mut host.carriers) {
        tasks.spawn(carrier.run(stop.clone()));
    }
    if !application.jobs.is_empty() {
        let (jobs, edge, stopped) = (application.jobs.clone(), Arc::clone(&host.edge), stop.clone());
        tasks.spawn(jobs::run(jobs, edge, stopped));
    }
    if let Some(sender) = host.sender.take() {
        tasks.spawn(sender.run(Arc::clone(&host.edge), stop.clone()));
    }
    let (swept, stopped) = (Arc::clone(&host.edge), stop.clone());
    tasks.spawn(async move { swept.blobs.run(swept.peers.as_ref(), stopped).await });
    // While it drains too: whoever is put out must not wait for it.
    let (refused, stopped) = (Arc::clone(&host.edge), gone.clone());
    tokio::spawn(async move { refused.revocations.run(refused.store.as_ref(), stopped).await });
    let (kept, stopped) = (Arc::clone(&host.edge.store), stop.clone());
    tasks.spawn(async move { kept.keep_schema(&stopped).await });
    if join(&config, &host, &stop, &gone, &tasks).await? {
        if let Some(backup) = &config.backup {
            backup::start(backup, &config.state_dir, &config.region, &host.edge, &stop, &tasks)
                .map_err(StartError::Backup)?;
        }
        if let Some(path) = &config.ready_file {
            let mesh = host.network.mesh().and_then(|mesh| Some(mesh.server()?.address()));
            let addresses = [Some(("http", http_address)), Some(("telemetry", telemetry_address))];
            let addresses = addresses.into_iter().chain([mesh.map(|mesh| ("mesh", mesh))]).flatten();
            let addresses = addresses.map(|(name, address)| (name.to_owned(), address)).collect();
            write_ready_file(path, &addresses).map_err(io_error("write ready_file"))?;
        }
        locum_telemetry::service_manager::ready();
        tracing::info!(application = application.name, http = %http_address, "ready");
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep_ready(&health, host.edge.store.as_ref()) => {}
        }
    }

    stop.cancelled().await;
    health.set_ready(false);
    locum_telemetry::drain(config.drain_grace(), stop, tasks).await;
    gone.cancel();
    host.drivers.close();
    if tokio::time::timeout(config.drain_grace(), host.drivers.wait()).await.is_err() {
        tracing::warn!("a record group did not stop in time");
    }
    // It ends by itself; a panic in it was logged when it happened.
    let _ = told.await;
    Ok(())
}

/// Joins the control plane, if one is configured. False when told to stop first.
///
/// The agent lives until `gone`: a draining host still has to say so.
async fn join(
    config: &EdgeConfig,
    host: &Host,
    stop: &CancellationToken,
    gone: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<bool, StartError> {
    let Some(control) = &config.control else { return Ok(true) };
    tokio::select! {
        joined = host.network.join(config, control, gone.clone()) => joined.map_err(StartError::Join)?,
        () = stop.cancelled() => return Ok(false),
    }
    let (network, edge, stop) = (Arc::clone(&host.network), Arc::clone(&host.edge), stop.clone());
    if let Some(mesh) = host.network.mesh() {
        let records = host.records.clone();
        let (handler, stop) = (HostHandler::new(Arc::clone(&edge), records), stop.clone());
        tasks.spawn(async move {
            if let Some(server) = mesh.server() {
                server.run(handler, stop).await;
            }
        });
    }
    if let (Some(records), Some(me)) = (&host.records, network.node()) {
        let links: Arc<dyn Links> = Arc::new(RecordLinks::new(Arc::clone(&network)));
        // They outlive the requests that are still running, and end with the host.
        records.start(me, &links, gone, &host.drivers).map_err(StartError::Records)?;
    }
    tasks.spawn(async move { network.report_load(|| load_of(&edge), stop).await });
    Ok(true)
}

/// The parts of a host that serve requests.
pub(crate) struct Host {
    pub(crate) edge: Arc<Edge>,
    network: Arc<Network>,
    /// The store, where it has other copies to talk to.
    records: Option<Arc<ReplicatedStore>>,
    /// Of the record groups. They end after the last request.
    drivers: TaskTracker,
    /// Of messages to people outside; taken when the host runs.
    sender: Option<sending::Sender>,
    /// Of the security feed; taken when the host runs.
    carriers: Vec<Carrier>,
    _ticker: Ticker,
}

impl Host {
    pub(crate) fn build(
        config: &EdgeConfig,
        application: &Application,
        http: SocketAddr,
    ) -> Result<Self, StartError> {
        private_file::create_dir(&config.state_dir).map_err(io_error("create state_dir"))?;
        let token_key = SigningKey::load_or_create(&config.state_dir.join("token-key.pem"));
        let token_key = token_key.map_err(StartError::TokenKey)?;
        let token_pem = token_key.private_pem().map_err(StartError::TokenKey)?;
        let origins = Origins::new(config, config.public_port.unwrap_or(http.port()));
        let network = Arc::new(Network::new(origins, config.region.clone(), token_key));
        let (store, records) = open_store(config, application)?;
        let cache = config.cache_dir.clone().unwrap_or_else(|| config.state_dir.join("cache"));
        let engine = FunctionEngine::new(&config.limits, cache).map_err(StartError::Engine)?;
        let ticker = engine.start_ticker().map_err(io_error("start the epoch thread"))?;
        let host_key = draw_key().map_err(io_error("draw a key"))?;
        let told = config.messages.as_ref().map(MessagesConfig::told_to_functions).transpose();
        let told = told.map_err(|(key, problem)| StartError::Messages { key, problem })?;
        let suppliers = suppliers(&network, token_pem, host_key.clone(), told.unwrap_or_default());
        let variables =
            Variables::new(application, &config.variables, &suppliers).map_err(StartError::Variables)?;
        let functions = load_functions(&engine, config, application, &variables)?;
        let others = variables.page_hosts(application).map_err(StartError::Variables)?;
        let pages = Arc::new(Pages::new(application.pages.clone()).with_others(others));
        let clinics = config.clinics.clone();
        let peers = Arc::clone(&network);
        let audit = open_audit(config, &network, &store)?;
        let blobs = config.state_dir.join("blobs");
        let blobs = Arc::new(Blobs::new(blobs, Arc::clone(&store), config.replication.is_some()));
        let revocations = Revocations::new(application.revocations.clone());
        let countries = config.geography_file.as_deref().map(Countries::read).transpose();
        let countries = countries.map_err(StartError::Geography)?.map(Arc::new);
        let feed = config.security_feed.as_ref().map(|feed| security_feed::open(feed, countries.clone()));
        let feed = feed.transpose();
        let (feed, carriers) = feed.map_err(StartError::SecurityFeed)?.unzip();
        let kept = Kept { store, audit, blobs, revocations, feed };
        let call_events = application.call_events.clone();
        let deliveries = application.deliveries.clone();
        let functions = Functions { routes: functions, call_events, deliveries, host_key, countries };
        let of_edge = Arc::clone(&network);
        let edge = Edge::new(functions, clinics, kept, pages, of_edge, peers, &config.limits);
        let drivers = TaskTracker::new();
        let carriers = carriers.unwrap_or_default();
        let sender = config.messages.as_ref().map(sending::open).transpose();
        let sender = sender.map_err(|(key, problem)| StartError::Messages { key, problem })?;
        Ok(Self { edge: Arc::new(edge), network, records, drivers, sender, carriers, _ticker: ticker })
    }
}

/// Names of the variables this host can supply.
const SUPPLIED: [&str; 10] = [
    "zone",
    "token_signing_key",
    "token_key_id",
    "issuer",
    "media_nodes",
    "pages_origin",
    "host_key",
    "sms_token",
    "sms_origin",
    "bounce_token",
];

/// Known to this process and its functions only, and only until it ends.
fn draw_key() -> std::io::Result<Secret> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(bytes.map(|byte| format!("{byte:02x}")).concat()))
}

fn suppliers(
    network: &Arc<Network>,
    token_pem: String,
    host_key: Secret,
    [sms_token, sms_origin, bounce_token]: [String; 3],
) -> BTreeMap<&'static str, Supplier> {
    let token_pem = Secret::new(token_pem);
    let read = |value: fn(&Network) -> String| -> Supplier {
        let network = Arc::clone(network);
        Arc::new(move || value(&network))
    };
    let fixed = |value: String| -> Supplier {
        let value = Secret::new(value);
        Arc::new(move || value.expose().to_owned())
    };
    BTreeMap::from([
        ("sms_token", fixed(sms_token)),
        ("sms_origin", fixed(sms_origin)),
        ("bounce_token", fixed(bounce_token)),
        ("zone", read(|network| network.origins.zone.clone())),
        ("pages_origin", read(|network| network.origins.pages.clone())),
        ("issuer", read(|network| network.node_id().to_owned())),
        ("media_nodes", read(Network::media_nodes)),
        ("token_key_id", read(|network| network.token_key_id().to_owned())),
        ("host_key", Arc::new(move || host_key.expose().to_owned()) as Supplier),
        ("token_signing_key", Arc::new(move || token_pem.expose().to_owned()) as Supplier),
    ])
}

fn open_audit(
    config: &EdgeConfig,
    network: &Arc<Network>,
    store: &Arc<dyn RecordStore>,
) -> Result<Arc<Audit>, StartError> {
    let key = SigningKey::load_or_create(&config.state_dir.join("audit-key.pem"));
    let (named, told) = (Arc::clone(network), Arc::clone(network));
    let settings = AuditSettings {
        folder: config.state_dir.join("audit"),
        reserve_bytes: u64::from(config.limits.audit_reserve_mib) << 20,
        file_bytes: crate::audit::FILE_BYTES,
        allocate: crate::audit::reserve,
        keep: Duration::from_secs(u64::from(config.limits.audit_keep_days) * 24 * 3_600),
        ships: config.replication.is_some(),
        clinics: config.clinics.clone(),
        key: key.map_err(StartError::AuditKey)?,
        region: network.region().to_string(),
        node: Box::new(move || named.node_id().to_owned()),
        ordered: Box::new(move || told.ordered()),
    };
    Ok(Arc::new(Audit::new(settings, Arc::clone(store))))
}

type OpenStore = (Arc<dyn RecordStore>, Option<Arc<ReplicatedStore>>);

fn open_store(config: &EdgeConfig, application: &Application) -> Result<OpenStore, StartError> {
    backup::recover(&config.state_dir).map_err(StartError::Restore)?;
    let master_key = MasterKey::read(&config.store_key_file).map_err(StartError::MasterKey)?;
    let migrations = match &application.migrations {
        Some(folder) => load_migrations(folder).map_err(StartError::Migrations)?,
        None => Vec::new(),
    };
    let settings = StoreSettings {
        state_dir: &config.state_dir,
        master_key: &master_key,
        migrations: &migrations,
        results: ResultLimits::default(),
        transactions: TransactionLimits {
            wait: Duration::from_millis(config.limits.transaction_wait_ms),
            hold: Duration::from_millis(config.limits.transaction_hold_ms),
        },
        contract_after: config.migrations.contract_after(),
    };
    let groups = config.clinics.groups();
    let Some(replication) = &config.replication else {
        let store = SingleFileStore::open(groups, &settings).map_err(StartError::Store)?;
        return Ok((Arc::new(store), None));
    };
    let store = ReplicatedStore::open(groups, &settings, replication.engine.clone());
    let store = Arc::new(store.map_err(StartError::Store)?);
    Ok((Arc::clone(&store) as Arc<dyn RecordStore>, Some(store)))
}

fn load_functions(
    engine: &FunctionEngine,
    config: &EdgeConfig,
    application: &Application,
    variables: &Variables,
) -> Result<Vec<FunctionRoute>, StartError> {
    let client = OutboundClient::new().map_err(StartError::Outbound)?;
    let breached = config.breached_passwords_file.as_deref().map(Breached::open).transpose();
    let breached = breached.map_err(StartError::BreachedPasswords)?.map(Arc::new);
    let entries = breached.as_ref().map_or(0, |breached| breached.entries());
    metrics::gauge!("locum_edge_breached_passwords").set(entries as f64);
    let load = |id: &str, component: &Component| {
        let known = breached.clone().filter(|_| component.breached_passwords);
        let environment = Environment {
            breached: known,
            ..environment(id, component, &config.limits, variables, &client)?
        };
        engine.load(&component.source, Arc::new(environment)).map(Arc::new).map_err(StartError::Function)
    };
    // A first start compiles: side by side, because parts of each compilation use one processor only.
    let loaded = std::thread::scope(|scope| {
        let threads =
            application.components.iter().map(|(id, component)| (id, scope.spawn(|| load(id, component))));
        let threads: Vec<_> = threads.collect();
        let joined =
            threads.into_iter().map(|(id, thread)| Ok((id.as_str(), thread.join().map_err(panicked)??)));
        joined.collect::<Result<BTreeMap<&str, Arc<Function>>, StartError>>()
    })?;
    let routes = application.routes.iter().filter_map(|(route, id)| {
        let (component, function) = (application.components.get(id)?, loaded.get(id.as_str())?);
        Some(FunctionRoute {
            route: route.clone(),
            function: Arc::clone(function),
            reads: component.reads.clone().into(),
            writes: component.writes.clone().into(),
            health: component.health.clone().into(),
            reads_audit: component.reads_audit,
            apps: component.apps.clone().into(),
        })
    });
    Ok(routes.collect())
}

fn environment(
    id: &str,
    component: &Component,
    limits: &Limits,
    variables: &Variables,
    client: &OutboundClient,
) -> Result<Environment, StartError> {
    let outbound = component.outbound.resolve(|name| variables.get(name));
    let outbound =
        outbound.map_err(|source| StartError::OutboundHosts { component: id.to_owned(), source })?;
    Ok(Environment {
        component: id.to_owned(),
        environment: component.environment.clone(),
        templates: component.variables.clone(),
        variables: variables.clone(),
        sqlite_databases: component.sqlite_databases.clone(),
        key_value_stores: component.key_value_stores.clone(),
        breached: None,
        outbound,
        client: client.clone(),
        deadline: component.deadline.unwrap_or(limits.deadline()).min(limits.deadline()),
        memory_bytes: component.memory_bytes.unwrap_or(limits.memory_bytes()).min(limits.memory_bytes()),
        answer_bytes: limits.answer_bytes as usize,
    })
}

fn panicked<T>(_: T) -> StartError {
    StartError::Io { doing: "compile functions".to_owned(), source: io::Error::other("a thread panicked") }
}

/// Ready for as long as functions may run on what this host holds.
async fn keep_ready(health: &Health, store: &dyn RecordStore) {
    loop {
        health.set_ready(store.is_fit());
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

async fn purge_hourly(store: Arc<dyn RecordStore>, stop: CancellationToken) {
    loop {
        for group in store.groups().into_iter().filter(|group| store.writer(group) == Writer::Here) {
            if let Err(error) = purge(store.as_ref(), &group).await {
                tracing::warn!(%group, %error, "purge of old answers failed");
            }
        }
        if tokio::time::timeout(PURGE_INTERVAL, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

async fn purge(store: &dyn RecordStore, group: &GroupId) -> Result<(), crate::store::StoreError> {
    idempotency::purge(store, group).await
}

fn load_of(edge: &Edge) -> Load {
    let (sessions, capacity) = edge.load();
    Load { sessions, capacity, cpu_permille: 0 }
}

/// For pages and API, and the first one's address.
async fn listen(config: &EdgeConfig) -> Result<(Vec<TcpListener>, SocketAddr), StartError> {
    let mut listeners = Vec::new();
    let mut first: Option<SocketAddr> = None;
    for mut address in config.http_listen.all() {
        if let (0, Some(first)) = (address.port(), first) {
            address.set_port(first.port());
        }
        let listener = bind(address, "http_listen").await?;
        let bound = listener.local_addr().map_err(io_error("http_listen"))?;
        first.get_or_insert(bound);
        listeners.push(listener);
    }
    let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
    Ok((listeners, first.ok_or_else(none).map_err(io_error("http_listen"))?))
}

/// HTTP/2 and HTTP/1.1 over TLS, if certificates are configured; they are followed until `stop`.
fn tls(
    config: &EdgeConfig,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Option<TlsAcceptor>, TlsError> {
    let Some(files) = &config.tls else { return Ok(None) };
    let certificate = Certificate::load(files.clone())?;
    let server = certificate.server(&[b"h2", b"http/1.1"])?;
    tasks.spawn(certificate.follow(stop.clone()));
    Ok(Some(TlsAcceptor::from(server)))
}

async fn bind(address: SocketAddr, key: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(io_error(key))
}

fn io_error(doing: &str) -> impl FnOnce(io::Error) -> StartError + use<> {
    let doing = doing.to_owned();
    move |source| StartError::Io { doing, source }
}
