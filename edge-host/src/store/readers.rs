//! Read connections of one database file, each used for one snapshot at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::gate::Authority;
use super::sqlite::{Database, DatabaseKey};
use super::{QueryResult, ResultLimits, SqlError, Value};

/// Idle connections that are kept, with 1 MiB of pages each at most: to open one derives a key and reads the whole schema.
/// More are opened while more requests read at once.
const IDLE: usize = 32;
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

    #[test]
    fn a_statement_that_stays_compiled_sees_what_has_changed_and_may_do_no_more_than_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.db");
        let key = DatabaseKey::from([7; 32]);
        let mut writer = Database::open_tuned(&path, &key).unwrap();
        writer.host("PRAGMA journal_mode = WAL", &[]).unwrap();
        writer.host("CREATE TABLE a (x)", &[]).unwrap();
        writer.host("CREATE TABLE locum_a (x)", &[]).unwrap();
        writer.host("INSERT INTO a VALUES (1), (2)", &[]).unwrap();
        let mut reader = Readers::new(&path, key).connection().unwrap();
        let mut read = |authority, sql: &str, parameters: &[Value]| {
            let limits = ResultLimits { rows: 2, ..ResultLimits::default() };
            reader.run(sql, parameters, authority, limits).map(|result| (result.columns, result.rows))
        };
        let of = |authority, read: &mut dyn FnMut(_, &str, &[Value]) -> Result<_, SqlError>, x| {
            read(authority, "SELECT * FROM a WHERE x = ?", &[Value::Integer(x)])
        };
        let row = |x| (vec!["x".to_owned()], vec![vec![Value::Integer(x)]]);
        for x in [1, 2, 1] {
            assert_eq!(of(Authority::FunctionRead, &mut read, x).unwrap(), row(x));
        }
        // Without its parameter, and with more rows than may come: refused, and right again after it.
        assert!(read(Authority::FunctionRead, "SELECT * FROM a WHERE x = ?", &[]).is_err());
        writer.host("INSERT INTO a VALUES (1), (1)", &[]).unwrap();
        assert!(of(Authority::FunctionRead, &mut read, 1).is_err());
        assert_eq!(of(Authority::FunctionRead, &mut read, 2).unwrap(), row(2));
        writer.host("ALTER TABLE a ADD COLUMN y DEFAULT 5", &[]).unwrap();
        let wider = (vec!["x".to_owned(), "y".to_owned()], vec![vec![Value::Integer(2), Value::Integer(5)]]);
        assert_eq!(of(Authority::FunctionRead, &mut read, 2).unwrap(), wider);
        // The host's own tables stay the host's, also where a view now stands for them.
        let host_only = "SELECT * FROM locum_a";
        for _ in 0..2 {
            assert!(read(Authority::Host, host_only, &[]).is_ok());
            assert!(read(Authority::FunctionRead, host_only, &[]).is_err());
        }
        writer.host("DROP TABLE a", &[]).unwrap();
        writer.host("CREATE VIEW a AS SELECT * FROM locum_a", &[]).unwrap();
        assert!(of(Authority::FunctionRead, &mut read, 2).is_err());
        for n in 0..100 {
            read(Authority::FunctionRead, &format!("SELECT {n}"), &[]).unwrap();
        }
        // No lock is left behind.
        writer.host("CREATE TABLE b (x)", &[]).unwrap();
        assert_eq!(reader.kept(), 64);
    }
}
