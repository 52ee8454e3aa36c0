//! Read connections of one database file, each used for one snapshot at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::gate::Authority;
use super::sqlite::{Database, DatabaseKey};
use super::{QueryResult, ResultLimits, SqlError, Value};

/// Idle connections that are kept; more are opened while more requests read at once.
const IDLE: usize = 8;
/// A read keeps an executor thread for so long at most; to wake another thread takes about as much.
const BRIEF: Duration = Duration::from_micros(200);

/// The read connections of one file.
pub(super) struct Readers {
    path: PathBuf,
    key: DatabaseKey,
    idle: Mutex<Vec<Database>>,
}

/// One request's view of the file. Dropping it ends the snapshot, or gives it back to whom it belongs: that only
/// lets go of a lock in shared memory, so it may happen anywhere.
pub(super) struct Snapshot {
    home: Arc<dyn Home>,
    /// `None` only while being dropped.
    database: Option<Database>,
}

/// Where a connection goes when a request needs it no longer.
pub(super) trait Home: Send + Sync {
    /// It has no deadline any more, and may be inside a transaction.
    fn take_back(&self, database: Database);
}

/// Ends a snapshot and keeps its connection for another.
pub(super) fn end(readers: &Readers, mut database: Database) {
    if database.is_autocommit() || database.host("ROLLBACK", &[]).is_ok() {
        readers.give_back(database);
    }
}

impl Readers {
    pub(super) fn new(path: &Path, key: DatabaseKey) -> Arc<Self> {
        Arc::new(Self { path: path.to_owned(), key, idle: Mutex::new(Vec::new()) })
    }

    /// A snapshot, taken at its first statement. Blocks; call it on a blocking thread.
    pub(super) fn begin(self: &Arc<Self>, deadline: Instant) -> Result<Snapshot, SqlError> {
        self.snapshot(self.connection()?, deadline)
    }

    /// [`Self::begin`] on a connection that is open already. Does not block.
    pub(super) fn begin_now(self: &Arc<Self>, deadline: Instant) -> Option<Snapshot> {
        self.snapshot(self.pooled()?, deadline).ok()
    }

    fn snapshot(self: &Arc<Self>, mut database: Database, deadline: Instant) -> Result<Snapshot, SqlError> {
        database.set_deadline(None);
        database.host("BEGIN", &[])?;
        Ok(Snapshot::of(Arc::clone(self) as Arc<dyn Home>, database, deadline))
    }

    /// A connection outside any snapshot. Blocks.
    pub(super) fn connection(&self) -> Result<Database, SqlError> {
        self.pooled().map_or_else(|| self.open(), Ok)
    }

    fn pooled(&self) -> Option<Database> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// A connection that may write, for what is undone in the end: nothing of it reaches the files.
    pub(super) fn speculative(&self) -> Result<Database, SqlError> {
        let mut database = Database::open_tuned(&self.path, &self.key)?;
        for setting in ["foreign_keys = ON", "cache_spill = OFF"] {
            database.host(&format!("PRAGMA {setting}"), &[])?;
        }
        Ok(database)
    }

    /// Keeps an idle connection for the next request.
    pub(super) fn give_back(&self, database: Database) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(database);
        }
    }

    fn open(&self) -> Result<Database, SqlError> {
        let mut database = Database::open_tuned(&self.path, &self.key)?;
        database.host("PRAGMA query_only = ON", &[])?;
        Ok(database)
    }
}

impl Home for Readers {
    fn take_back(&self, database: Database) {
        end(self, database);
    }
}

impl Snapshot {
    /// Of a connection inside a transaction that reads.
    pub(super) fn of(home: Arc<dyn Home>, mut database: Database, deadline: Instant) -> Self {
        database.set_deadline(Some(deadline));
        Self { home, database: Some(database) }
    }

    /// Runs one statement. Blocks.
    pub(super) fn run(
        &mut self,
        sql: &str,
        parameters: &[Value],
        authority: Authority,
        limits: ResultLimits,
    ) -> Result<QueryResult, SqlError> {
        match &mut self.database {
            Some(database) => database.run(sql, parameters, authority, limits),
            None => Err(SqlError::misuse("the snapshot has ended")),
        }
    }
}

impl Snapshot {
    /// [`Self::run`] for a thread that must not be kept: `None` when it would be, and nothing has happened.
    pub(super) fn run_briefly(
        &mut self,
        sql: &str,
        parameters: &[Value],
        authority: Authority,
        limits: ResultLimits,
    ) -> Option<Result<QueryResult, SqlError>> {
        self.database.as_mut()?.run_briefly(BRIEF, sql, parameters, authority, limits)
    }

    /// [`Database::run_each`] inside the snapshot.
    pub(super) fn run_each<P: AsRef<[Value]>, E: From<SqlError>>(
        &mut self,
        sql: &str,
        parameters: impl IntoIterator<Item = P>,
        take: impl FnMut(Vec<Value>) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.database {
            Some(database) => database.run_each(sql, parameters, take),
            None => Err(SqlError::misuse("the snapshot has ended").into()),
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let Some(mut database) = self.database.take() else { return };
        database.set_deadline(None);
        self.home.take_back(database);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_the_host_does_not_write_on_a_reader() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.db");
        let mut writer = Database::open_tuned(&path, &DatabaseKey::from([7; 32])).unwrap();
        writer.host("CREATE TABLE a (x)", &[]).unwrap();
        let mut reader = Readers::new(&path, DatabaseKey::from([7; 32])).connection().unwrap();
        assert!(reader.host("INSERT INTO a VALUES (1)", &[]).is_err());
    }
}
