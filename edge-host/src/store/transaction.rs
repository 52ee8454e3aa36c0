//! The host's transaction on a group's only writer, wherever that writer is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::gate::Authority;
use super::sqlite::Database;
use super::{Failure, Position, QueryResult, ResultLimits, SqlError, TransactionLimits, Value};

/// A connection inside a write transaction. Every method blocks. Dropped without a commit it rolls back.
pub(super) trait WriteConnection: Send {
    /// Runs exactly one statement and reads its rows.
    fn run(
        &mut self,
        sql: &str,
        parameters: &[Value],
        authority: Authority,
        limits: ResultLimits,
    ) -> Result<QueryResult, SqlError>;

    /// Where statements run, to look at what one would do and at the schema; `None` once it is lost.
    fn database(&mut self) -> Option<&mut Database>;

    /// False once the transaction has ended by itself, as after some errors and `OR ROLLBACK`.
    fn is_open(&self) -> bool;

    /// Rowid of the last `INSERT`.
    fn last_insert_rowid(&self) -> i64;

    /// Rows changed by the last statement.
    fn changes(&self) -> u64;

    /// Ends well. `turn` is the group's; whoever needs it no longer lets it go.
    fn commit(self: Box<Self>, turn: OwnedSemaphorePermit) -> Result<Commit, SqlError>;
}

/// What became of a commit.
pub(super) enum Commit {
    /// It is on this host's disk, which has the only copy.
    Done,
    /// It shares its fate with others, which will be told: where it stands on this host's disk.
    Shared(oneshot::Receiver<Result<Position, Failure>>),
}

/// Whoever holds the turn owns the group's writer.
pub(super) struct Turn {
    semaphore: Arc<Semaphore>,
    limits: TransactionLimits,
}

/// An open transaction.
pub(super) struct Transaction {
    writer: Box<dyn WriteConnection>,
    deadline: Instant,
    // After the writer: the next one begins once this one is rolled back.
    _open: Open,
    turn: OwnedSemaphorePermit,
}

/// Counts open transactions.
struct Open;

impl Turn {
    pub(super) fn new(limits: TransactionLimits) -> Self {
        Self { semaphore: Arc::new(Semaphore::new(1)), limits }
    }

    /// Waits for the turn, first come, first served.
    pub(super) async fn wait(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let waiting_since = Instant::now();
        let turn = tokio::time::timeout(self.limits.wait, Arc::clone(&self.semaphore).acquire_owned()).await;
        metrics::histogram!("locum_edge_writer_wait_seconds").record(waiting_since.elapsed().as_secs_f64());
        // The semaphore is never closed, so an error can only be the time.
        turn.ok().and_then(Result::ok).ok_or(Failure::Busy)
    }

    /// After all that wait now, however long that takes.
    pub(super) async fn wait_longer(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.semaphore).acquire_owned().await.ok()
    }

    pub(super) fn hold_limit(&self) -> Duration {
        self.limits.hold
    }
}

impl Transaction {
    /// `deadline` is also the writer's own bound.
    pub(super) fn new(
        writer: Box<dyn WriteConnection>,
        deadline: Instant,
        turn: OwnedSemaphorePermit,
    ) -> Self {
        metrics::gauge!("locum_edge_transactions_open").increment(1.0);
        Self { writer, deadline, _open: Open, turn }
    }

    /// `None` once the transaction has ended by itself.
    pub(super) fn writer(&mut self) -> Option<&mut dyn WriteConnection> {
        if self.writer.is_open() { Some(self.writer.as_mut()) } else { None }
    }

    pub(super) fn is_over_time(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Blocks.
    pub(super) fn commit(self) -> Result<Commit, SqlError> {
        if self.is_over_time() {
            return Err(SqlError::Ended(Failure::TransactionTimeout));
        }
        if !self.writer.is_open() {
            return Err(SqlError::Ended(Failure::TransactionLost));
        }
        self.writer.commit(self.turn)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("locum_edge_transactions_open").decrement(1.0);
    }
}
