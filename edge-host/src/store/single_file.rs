//! The store of a network with one region: one encrypted file a record group, on this host.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use locum_identity::private_file;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::gate::Authority;
use super::group::{self, Group, Older, View};
use super::keys::KeyError;
use super::migrations::contract::{Knowledge, Step};
use super::migrations::offline::{self, Leave};
use super::migrations::online::{self, OnlineError};
use super::migrations::{Ledger, Migration, MigrationError, Schema};
use super::readers::Readers;
use super::session::GroupSession;
use super::sqlite::{Database, DatabaseKey};
use super::transaction::{Commit, Transaction, Turn, WriteConnection};
use super::{
    Access, DerivedKey, Failure, GroupId, LocalCopy, MasterKey, Position, QueryResult, RecordStore,
    ResultLimits, Session, SqlError, StoreError, TransactionLimits, Value, Writer,
};

/// How the store is opened.
pub struct StoreSettings<'a> {
    /// The host's own folder; groups lie in `records/` below it.
    pub state_dir: &'a Path,
    /// Wraps the groups' keys.
    pub master_key: &'a MasterKey,
    /// The application's schema.
    pub migrations: &'a [Migration],
    /// Bounds on answers.
    pub results: ResultLimits,
    /// Bounds on the writer.
    pub transactions: TransactionLimits,
    /// How long every host has known a contract before it runs: for so long people can go back to the release before.
    pub contract_after: Duration,
}

/// One file a group.
pub struct SingleFileStore {
    groups: BTreeMap<GroupId, Arc<FileGroup>>,
    results: ResultLimits,
    schema: Schema,
    contract_after: Duration,
    /// Held as long as the store lives: a second process on the same files would break "one writer".
    _lock: File,
}

/// One group's file: its connections, readers in a pool and a single writer.
struct FileGroup {
    path: PathBuf,
    key: DatabaseKey,
    readers: Arc<Readers>,
    turn: Turn,
    /// Kept between transactions.
    writer: Mutex<Option<Database>>,
}

/// The group's writer inside a transaction.
struct FileWriter {
    group: Arc<FileGroup>,
    /// `None` only while being dropped.
    database: Option<Database>,
}

/// The store does not open; nothing was changed unless a migration says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Folder or file.
    #[error("record store {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else has it open.
    #[error("record store {0} is in use by another process")]
    InUse(PathBuf),
    /// Its key.
    #[error("record group key")]
    Key(#[source] KeyError),
    /// Its file.
    #[error("open record group `{group}`")]
    Database {
        /// Which group.
        group: GroupId,
        /// Why.
        #[source]
        source: SqlError,
    },
    /// What this release knows of schemas.
    #[error("try out the migrations")]
    Schema(#[source] MigrationError),
    /// Its schema.
    #[error("migrate record group `{group}`")]
    Migration {
        /// Which group.
        group: GroupId,
        /// Why.
        #[source]
        source: MigrationError,
    },
}

impl SingleFileStore {
    /// Opens every group, makes what is missing and brings its schema up to date. Blocks.
    pub fn open(
        groups: impl IntoIterator<Item = GroupId>,
        settings: &StoreSettings<'_>,
    ) -> Result<Self, OpenError> {
        let schema = Schema::new(settings.migrations).map_err(OpenError::Schema)?;
        let folder = settings.state_dir.join("records");
        private_file::create_dir(&folder)
            .map_err(|source| OpenError::File { path: folder.clone(), source })?;
        let lock = lock(&folder.join("lock"))?;
        // Every key is unwrapped before any file is touched: with a wrong master key nothing happens.
        let keyed = groups
            .into_iter()
            .map(|id| {
                let folder = group::folder_of(settings.state_dir, &id);
                private_file::create_dir(&folder)
                    .map_err(|source| OpenError::File { path: folder.clone(), source })?;
                let key = settings
                    .master_key
                    .group_key(&id, &folder.join("key.json"), &data_file(&folder))
                    .map_err(OpenError::Key)?;
                Ok((id, folder, key))
            })
            .collect::<Result<Vec<_>, OpenError>>()?;
        let mut groups = BTreeMap::new();
        for (id, folder, key) in keyed {
            prepare_file(&folder).map_err(|source| OpenError::File { path: folder.clone(), source })?;
            let group = Arc::new(FileGroup::new(&folder, key, settings.transactions));
            let mut writer =
                group.open_writer().map_err(|source| OpenError::Database { group: id.clone(), source })?;
            offline::bring_up(&mut writer, &schema, Leave::Contracts)
                .map_err(|source| OpenError::Migration { group: id.clone(), source })?;
            groups.insert(id, group);
        }
        let (results, contract_after) = (settings.results, settings.contract_after);
        Ok(Self { groups, results, schema, contract_after, _lock: lock })
    }
}

impl RecordStore for SingleFileStore {
    fn session(
        &self,
        group: &GroupId,
        access: Access,
        deadline: Instant,
    ) -> Result<Arc<dyn Session>, StoreError> {
        let found = self.groups.get(group).ok_or_else(|| StoreError::UnknownGroup(group.clone()))?;
        let group = Arc::clone(found) as Arc<dyn Group>;
        Ok(GroupSession::new(group, access, self.results, deadline))
    }

    fn writer(&self, _: &GroupId) -> Writer {
        Writer::Here
    }

    fn seal(&self, _: &GroupId, _: Position) -> Option<String> {
        None
    }

    fn catch_up<'a>(
        &'a self,
        _: &'a GroupId,
        _: &'a str,
        _: Instant,
    ) -> BoxFuture<'a, Result<Option<Position>, Failure>> {
        std::future::ready(Ok(None)).boxed()
    }

    fn local_copy(&self, group: &GroupId) -> Option<LocalCopy> {
        let group = self.groups.get(group)?;
        Some(LocalCopy::new(group.path.clone(), group.key.clone()))
    }

    fn derived_key(&self, group: &GroupId, purpose: &str) -> Option<DerivedKey> {
        Some(self.groups.get(group)?.key.derive(group, purpose))
    }

    fn groups(&self) -> Vec<GroupId> {
        self.groups.keys().cloned().collect()
    }

    fn keep_schema<'a>(&'a self, stop: &'a CancellationToken) -> BoxFuture<'a, ()> {
        async move {
            let between = self.contract_after.clamp(Duration::from_secs(1), Duration::from_secs(60));
            while tokio::time::timeout(between, stop.cancelled()).await.is_err() {
                for (id, group) in &self.groups {
                    if let Err(error) = self.step(group).await {
                        tracing::error!(group = %id, error = error.told(), "a contract does not run");
                    }
                }
            }
        }
        .boxed()
    }
}

impl SingleFileStore {
    /// Nobody else holds these records: what counts is how long this release has been here.
    async fn step(&self, group: &Arc<FileGroup>) -> Result<(), OnlineError> {
        let file = Arc::clone(group);
        let read = tokio::task::spawn_blocking(move || file.read_ledger()).await;
        let Ok(ledger) = read else { return Ok(()) };
        let ledger = ledger.map_err(OnlineError::Refused)?;
        let standing = self.schema.compare(&ledger).map_err(OnlineError::Refused)?;
        let (group, now) = (Arc::clone(group) as Arc<dyn Group>, crate::clock::unix_ms());
        let of = (&self.schema, &standing, &ledger);
        match Knowledge::default().step(of, &[], (Instant::now(), now), self.contract_after) {
            Step::Nothing | Step::WaitFor(..) => Ok(()),
            Step::Remember(id) => online::remember(&group, &id, now).await,
            Step::Forget(series, version) => online::forget(&group, (&series, version)).await,
            Step::Apply(id) => {
                let contract = standing.contracts.into_iter().find(|contract| *contract.id() == id);
                let Some(contract) = contract else { return Ok(()) };
                online::apply(&group, contract).await
            }
        }
    }
}

impl FileGroup {
    fn new(folder: &Path, key: DatabaseKey, limits: TransactionLimits) -> Self {
        let path = data_file(folder);
        let readers = Readers::new(&path, key.clone());
        Self { path, key, readers, turn: Turn::new(limits), writer: Mutex::new(None) }
    }

    /// What the file has been through. Blocks.
    fn read_ledger(&self) -> Result<Ledger, MigrationError> {
        let mut database = self.readers.connection().map_err(MigrationError::Ledger)?;
        database.set_deadline(None);
        let ledger = Ledger::read(&mut database)?;
        self.readers.give_back(database);
        Ok(ledger)
    }

    /// A connection that can write. `synchronous=FULL`: a commit is on the disk before it is acknowledged.
    fn open_writer(&self) -> Result<Database, SqlError> {
        let mut database = Database::open_tuned(&self.path, &self.key)?;
        for setting in ["journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"]
        {
            database.host(&format!("PRAGMA {setting}"), &[])?;
        }
        Ok(database)
    }
}

impl Group for FileGroup {
    fn begin_read(&self, deadline: Instant, _: Option<Older>) -> Result<View, SqlError> {
        Ok(View { snapshot: self.readers.begin(deadline)?, at: None })
    }

    fn begin_read_now(&self, deadline: Instant, _: Option<Older>) -> Option<View> {
        Some(View { snapshot: self.readers.begin_now(deadline)?, at: None })
    }

    fn turn(&self) -> BoxFuture<'_, Result<OwnedSemaphorePermit, Failure>> {
        self.turn.wait().boxed()
    }

    fn begin_write(self: Arc<Self>, turn: OwnedSemaphorePermit) -> Result<Transaction, SqlError> {
        let kept = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut database = match kept {
            Some(database) => database,
            None => self.open_writer()?,
        };
        database.set_deadline(None);
        database.host("BEGIN IMMEDIATE", &[])?;
        database.forget_last_insert();
        let deadline = Instant::now() + self.hold_limit();
        database.set_deadline(Some(deadline));
        let writer = FileWriter { group: self, database: Some(database) };
        Ok(Transaction::new(Box::new(writer), deadline, turn))
    }

    fn hold_limit(&self) -> Duration {
        self.turn.hold_limit()
    }

    fn newest(&self) -> Option<Position> {
        None
    }

    /// This file is the only copy.
    fn kept(&self, position: Position) -> BoxFuture<'_, Option<Position>> {
        std::future::ready(Some(position)).boxed()
    }
}

impl WriteConnection for FileWriter {
    fn run(
        &mut self,
        sql: &str,
        parameters: &[Value],
        authority: Authority,
        limits: ResultLimits,
    ) -> Result<QueryResult, SqlError> {
        match &mut self.database {
            Some(database) => database.run(sql, parameters, authority, limits),
            None => Err(SqlError::Ended(Failure::TransactionLost)),
        }
    }

    fn database(&mut self) -> Option<&mut Database> {
        self.database.as_mut()
    }

    fn is_open(&self) -> bool {
        self.database.as_ref().is_some_and(|database| !database.is_autocommit())
    }

    fn last_insert_rowid(&self) -> i64 {
        self.database.as_ref().map_or(0, Database::last_insert_rowid)
    }

    fn changes(&self) -> u64 {
        self.database.as_ref().map_or(0, Database::changes)
    }

    fn commit(mut self: Box<Self>, _: OwnedSemaphorePermit) -> Result<Commit, SqlError> {
        if let Some(database) = &mut self.database {
            database.set_deadline(None);
            database.host("COMMIT", &[])?;
        }
        Ok(Commit::Done)
    }
}

impl Drop for FileWriter {
    /// Blocks for a rollback when the transaction is still open.
    fn drop(&mut self) {
        let Some(mut database) = self.database.take() else { return };
        database.set_deadline(None);
        if database.is_autocommit() || database.host("ROLLBACK", &[]).is_ok() {
            *self.group.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(database);
        }
    }
}

/// Where a group's database stands in its folder.
pub(super) fn data_file(folder: &Path) -> PathBuf {
    folder.join("data.db")
}

/// Makes an empty data file (0600): SQLite gives `-wal` and `-shm` the same mode.
fn prepare_file(folder: &Path) -> io::Result<()> {
    fs::OpenOptions::new().append(true).create(true).mode(0o600).open(data_file(folder)).map(drop)
}

/// [`lock`] for all records below `state_dir`.
pub(crate) fn lock_records(state_dir: &Path) -> Result<File, OpenError> {
    lock(&state_dir.join("records").join("lock"))
}

/// For this process alone, as long as the file is open.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let file_error = |source| OpenError::File { path: path.into(), source };
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(file_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.into())),
        Err(fs::TryLockError::Error(source)) => Err(file_error(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_syncs_every_commit_and_spills_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let group = FileGroup::new(folder.path(), DatabaseKey::from([7; 32]), TransactionLimits::default());
        let mut writer = group.open_writer().unwrap();
        for (setting, value) in [
            ("journal_mode", Value::from("wal")),
            ("synchronous", Value::Integer(2)),
            ("foreign_keys", Value::Integer(1)),
            ("secure_delete", Value::Integer(1)),
            ("temp_store", Value::Integer(2)),
        ] {
            let found = writer.host(&format!("PRAGMA {setting}"), &[]).unwrap().rows;
            assert!(found == vec![vec![value]], "{setting}");
        }
    }

    #[test]
    fn another_key_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let group =
            |byte| FileGroup::new(folder.path(), DatabaseKey::from([byte; 32]), TransactionLimits::default());
        group(7).open_writer().unwrap().host("CREATE TABLE a (x)", &[]).unwrap();
        assert!(group(8).open_writer().is_err());
    }
}
