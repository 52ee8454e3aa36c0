//! One record group's database file: its connections, readers in a pool and a single writer.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::sqlite::{Database, DatabaseKey};
use super::{Failure, GroupId, SqlError, TransactionLimits};

/// Idle read connections that are kept; more are opened while more requests read at once.
const IDLE_READERS: usize = 8;

/// A record group on this host.
pub(super) struct Group {
    path: PathBuf,
    key: DatabaseKey,
    limits: TransactionLimits,
    readers: Mutex<Vec<Database>>,
    /// One permit: whoever holds it owns the writer.
    turn: Arc<Semaphore>,
    writer: Mutex<Option<Database>>,
}

/// The host's transaction on the group's only writer. Dropped without [`Transaction::commit`] it rolls back.
pub(super) struct Transaction {
    group: Arc<Group>,
    /// `None` only once committed or being dropped.
    writer: Option<Database>,
    deadline: Instant,
    _turn: OwnedSemaphorePermit,
}

impl Group {
    pub(super) fn new(folder: &Path, key: DatabaseKey, limits: TransactionLimits) -> Self {
        Self {
            path: data_file(folder),
            key,
            limits,
            readers: Mutex::new(Vec::new()),
            turn: Arc::new(Semaphore::new(1)),
            writer: Mutex::new(None),
        }
    }

    /// A connection that can write. `synchronous=FULL`: a commit is on the disk before it is acknowledged.
    pub(super) fn open_writer(&self) -> Result<Database, SqlError> {
        let mut database = self.open()?;
        for setting in ["journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"]
        {
            database.host(&format!("PRAGMA {setting}"), &[])?;
        }
        Ok(database)
    }

    fn open_reader(&self) -> Result<Database, SqlError> {
        let mut database = self.open()?;
        database.host("PRAGMA query_only = ON", &[])?;
        Ok(database)
    }

    fn open(&self) -> Result<Database, SqlError> {
        let mut database = Database::open(&self.path, &self.key)?;
        // Nothing spills to files outside the encrypted database; 1 MiB of cache a connection.
        for setting in ["temp_store = MEMORY", "cache_size = -1024", "cell_size_check = ON"] {
            database.host(&format!("PRAGMA {setting}"), &[])?;
        }
        Ok(database)
    }

    /// A read connection inside a snapshot. Blocks; call it on a blocking thread.
    pub(super) fn begin_read(&self, deadline: Instant) -> Result<Database, SqlError> {
        let pooled = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = match pooled {
            Some(reader) => reader,
            None => self.open_reader()?,
        };
        reader.set_deadline(None);
        reader.host("BEGIN", &[])?;
        reader.set_deadline(Some(deadline));
        Ok(reader)
    }

    /// Ends the snapshot and keeps the connection for the next request. This only lets go of a lock in shared
    /// memory, so it may run anywhere.
    pub(super) fn end_read(&self, mut reader: Database) {
        reader.set_deadline(None);
        if reader.is_autocommit() || reader.host("ROLLBACK", &[]).is_ok() {
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < IDLE_READERS {
                readers.push(reader);
            }
        }
    }

    /// Waits for the turn to write, first come, first served.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let waiting_since = Instant::now();
        let turn = tokio::time::timeout(self.limits.wait, Arc::clone(&self.turn).acquire_owned()).await;
        metrics::histogram!("locum_edge_writer_wait_seconds").record(waiting_since.elapsed().as_secs_f64());
        // The semaphore is never closed, so an error can only be the time.
        turn.ok().and_then(Result::ok).ok_or(Failure::Busy)
    }

    /// Opens the host's transaction. Blocks; call it on a blocking thread.
    pub(super) fn begin_write(self: &Arc<Self>, turn: OwnedSemaphorePermit) -> Result<Transaction, SqlError> {
        let kept = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut writer = match kept {
            Some(writer) => writer,
            None => self.open_writer()?,
        };
        writer.set_deadline(None);
        writer.host("BEGIN IMMEDIATE", &[])?;
        let deadline = Instant::now() + self.limits.hold;
        writer.set_deadline(Some(deadline));
        metrics::gauge!("locum_edge_transactions_open").increment(1.0);
        Ok(Transaction { group: Arc::clone(self), writer: Some(writer), deadline, _turn: turn })
    }

    pub(super) fn hold_limit(&self) -> Duration {
        self.limits.hold
    }
}

impl Transaction {
    /// `None` once SQLite has ended the transaction by itself.
    pub(super) fn writer(&mut self) -> Option<&mut Database> {
        self.writer.as_mut().filter(|writer| !writer.is_autocommit())
    }

    pub(super) fn is_over_time(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Returns only once the commit is on the disk. Blocks.
    pub(super) fn commit(mut self) -> Result<(), SqlError> {
        if self.is_over_time() {
            return Err(SqlError::Ended(Failure::TransactionTimeout));
        }
        let Some(writer) = self.writer() else {
            return Err(SqlError::Ended(Failure::TransactionLost));
        };
        writer.set_deadline(None);
        writer.host("COMMIT", &[])?;
        Ok(())
    }
}

impl Drop for Transaction {
    /// Blocks for a rollback when the transaction is still open.
    fn drop(&mut self) {
        metrics::gauge!("locum_edge_transactions_open").decrement(1.0);
        let Some(mut writer) = self.writer.take() else { return };
        writer.set_deadline(None);
        if writer.is_autocommit() || writer.host("ROLLBACK", &[]).is_ok() {
            *self.group.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        }
    }
}

/// Where a group's database stands in its folder.
pub(super) fn data_file(folder: &Path) -> PathBuf {
    folder.join("data.db")
}

/// Makes an empty data file (0600): SQLite gives `-wal` and `-shm` the same mode.
pub(super) fn prepare_file(folder: &Path) -> io::Result<()> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(data_file(folder)).map(drop)
}

/// A group's own folder below the host's state.
pub(super) fn folder_of(state_dir: &Path, group: &GroupId) -> PathBuf {
    state_dir.join("records").join(group.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Value;

    #[test]
    fn a_writer_syncs_every_commit_and_spills_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let group = Group::new(folder.path(), DatabaseKey([7; 32]), TransactionLimits::default());
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
        let mut reader = group.open_reader().unwrap();
        assert!(reader.host("CREATE TABLE a (x)", &[]).is_err(), "even the host does not write on a reader");
    }

    #[test]
    fn another_key_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let group = |byte| Group::new(folder.path(), DatabaseKey([byte; 32]), TransactionLimits::default());
        group(7).open_writer().unwrap().host("CREATE TABLE a (x)", &[]).unwrap();
        assert!(group(8).open_writer().is_err());
    }
}
