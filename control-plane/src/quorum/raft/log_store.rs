//! The log file as `openraft` wants it.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{AnyError, ErrorSubject, ErrorVerb, OptionalSend, RaftLogReader, StorageIOError};
use tokio::sync::watch;

use super::machine::Saved;
use super::{Entry, LogFile, LogId, StorageError, Types, Vote};
use crate::quorum::MemberId;

/// Entries sent at once.
const MOST_AT_ONCE: usize = 64;
/// Their size, about: a message of the mesh has 4 MiB.
const BYTES_AT_ONCE: u64 = 1 << 20;

/// One file, read and written by one at a time.
#[derive(Clone, Debug)]
pub(crate) struct LogStore {
    log: Arc<Mutex<LogFile>>,
    /// For those who must not wait for the disk.
    end: Arc<Mutex<End>>,
    /// What a snapshot holds.
    saved: Option<watch::Receiver<Saved>>,
}

/// How far the log reaches.
#[derive(Clone, Copy, Debug)]
struct End {
    last: Option<LogId>,
    bytes: u64,
}

impl End {
    fn of(log: &LogFile) -> Self {
        Self { last: log.last(), bytes: log.bytes() }
    }
}

impl LogStore {
    /// Forgets nothing that is not in a snapshot, if it is told of `saved` ones.
    pub(crate) fn new(log: LogFile, saved: Option<watch::Receiver<Saved>>) -> Self {
        let end = Arc::new(Mutex::new(End::of(&log)));
        Self { log: Arc::new(Mutex::new(log)), end, saved }
    }

    /// Size of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.end().bytes
    }

    /// The newest entry.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.end().last
    }

    fn end(&self) -> End {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, LogFile> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once a snapshot on disk reaches as far as `upto`. `openraft` lets the log go while one that came from the
    /// leader is still being written: after a crash in between there would be neither.
    async fn saved(&mut self, upto: u64) -> Result<(), StorageError> {
        let Some(saved) = &mut self.saved else { return Ok(()) };
        let there = saved.wait_for(|saved| saved.failed || saved.index >= Some(upto)).await;
        if there.is_ok_and(|saved| !saved.failed) {
            return Ok(());
        }
        let error = AnyError::error("no snapshot holds what the log would forget");
        Err(StorageIOError::new(ErrorSubject::Logs, ErrorVerb::Delete, error).into())
    }

    /// Writes on a thread that may wait for the disk.
    async fn write(
        &self,
        subject: ErrorSubject<MemberId>,
        write: impl FnOnce(&mut LogFile) -> io::Result<()> + Send + 'static,
    ) -> Result<(), StorageError> {
        let store = self.clone();
        let work = move || {
            let mut log = store.lock();
            let written = write(&mut log);
            *store.end.lock().unwrap_or_else(PoisonError::into_inner) = End::of(&log);
            written
        };
        let written = tokio::task::spawn_blocking(work).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| {
            tracing::error!(%error, "could not write the quorum's log: this member ends");
            StorageIOError::new(subject, ErrorVerb::Write, AnyError::new(&error)).into()
        })
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(from) => from.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let until = match range.end_bound() {
            Bound::Included(until) => until.saturating_add(1),
            Bound::Excluded(until) => *until,
            Bound::Unbounded => u64::MAX,
        };
        Ok(self.lock().range(from, until).cloned().collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        Ok(self.lock().batch(start, end, MOST_AT_ONCE, BYTES_AT_ONCE).cloned().collect())
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let log = self.lock();
        Ok(LogState { last_purged_log_id: log.purged(), last_log_id: log.last() })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = *vote;
        self.write(ErrorSubject::Vote, move |log| log.save_vote(vote)).await
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.lock().vote())
    }

    async fn append<I>(&mut self, entries: I, flushed: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        self.write(ErrorSubject::Logs, move |log| log.append(entries)).await?;
        flushed.log_io_completed(Ok(()));
        Ok(())
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        self.write(ErrorSubject::Logs, move |log| log.truncate(from.index)).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        self.saved(upto.index).await?;
        self.write(ErrorSubject::Logs, move |log| log.purge(upto)).await
    }
}
