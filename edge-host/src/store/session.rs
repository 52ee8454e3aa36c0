//! One request on a group: a snapshot until the first write, then the host's transaction.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::task::{block_in_place, spawn_blocking};

use super::gate::Authority;
use super::group::{Group, Older, View};
use super::transaction::{Commit, Transaction};
use super::transaction_words::{self, TransactionWord};
use super::{
    Access, Caller, Failure, Position, QueryResult, ResultLimits, Session, SqlError, StoreError, Value,
};

/// Holds what a function wrote since its own `BEGIN`.
const FUNCTION_SAVEPOINT: &str = "locum_function";

/// Longest wait for a commit that is shared with others: their turns, and the engine's answer.
const OUTCOME_WITHIN: Duration = Duration::from_secs(8);

pub(super) struct GroupSession {
    group: Arc<dyn Group>,
    access: Access,
    limits: ResultLimits,
    /// Of the whole request; a transaction's own bound is shorter.
    deadline: Instant,
    state: Mutex<State>,
    failure: OnceLock<Failure>,
    write_refused: AtomicBool,
    in_transaction: AtomicBool,
    last_insert_rowid: AtomicI64,
    changes: AtomicU64,
    /// Where what was read or written stands, once it is known to be kept.
    position: OnceLock<Position>,
    /// Whether, and from when on, what is not the newest will do.
    older: OnceLock<Older>,
    /// For the watch over the transaction's time.
    this: Weak<Self>,
}

struct State {
    phase: Phase,
    /// What was read stands at most here.
    seen: Option<Position>,
    /// Between a function's `BEGIN` and its `COMMIT`.
    function_transaction: bool,
}

enum Phase {
    /// No connection taken.
    Idle,
    Reading(View),
    Writing(Transaction),
    /// The transaction is in use on a blocking thread. Found by a statement only when the one before was
    /// cancelled: what it wrote is being undone, so nothing may follow it.
    Lent,
}

/// Where a statement that writes runs.
enum Place {
    Begun(Transaction),
    Begins(Arc<dyn Group>, OwnedSemaphorePermit),
}

impl Place {
    fn transaction(self) -> Result<Transaction, SqlError> {
        match self {
            Self::Begun(transaction) => Ok(transaction),
            Self::Begins(group, turn) => group.begin_write(turn),
        }
    }
}

/// One statement with what it is bound to.
struct Bound {
    sql: String,
    parameters: Vec<Value>,
    limits: ResultLimits,
}

impl GroupSession {
    pub(super) fn new(
        group: Arc<dyn Group>,
        access: Access,
        limits: ResultLimits,
        deadline: Instant,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            group,
            access,
            limits,
            deadline,
            state: Mutex::new(State { phase: Phase::Idle, seen: None, function_transaction: false }),
            failure: OnceLock::new(),
            write_refused: AtomicBool::new(false),
            in_transaction: AtomicBool::new(false),
            last_insert_rowid: AtomicI64::new(0),
            changes: AtomicU64::new(0),
            position: OnceLock::new(),
            older: OnceLock::new(),
            this: this.clone(),
        })
    }

    async fn statement(
        &self,
        sql: String,
        parameters: Vec<Value>,
        caller: Caller,
    ) -> Result<QueryResult, SqlError> {
        let mut state = self.state.lock().await;
        self.still_going()?;
        if caller == Caller::Function
            && let Some(word) = transaction_words::parse(&sql)
        {
            return self.transaction_word(&mut state, word).await;
        }
        let bound = Bound { sql, parameters, limits: self.limits };
        if matches!(state.phase, Phase::Writing(_) | Phase::Lent) {
            return self.on_writer(&mut state, bound, writer_authority(caller)).await;
        }
        if self.access == Access::Write && transaction_words::says_it_writes(&bound.sql) {
            return self.on_writer(&mut state, bound, writer_authority(caller)).await;
        }
        let (bound, answer) = self.on_reader(&mut state, bound, reader_authority(caller)).await;
        if !matches!(answer, Err(SqlError::Refused { write: true, .. })) {
            return answer;
        }
        if self.access == Access::Read {
            self.write_refused.store(true, Ordering::Relaxed);
            return answer;
        }
        self.on_writer(&mut state, bound, writer_authority(caller)).await
    }

    /// `BEGIN` opens the host's transaction too: what a function reads after it is what it decides on.
    async fn transaction_word(
        &self,
        state: &mut State,
        word: TransactionWord,
    ) -> Result<QueryResult, SqlError> {
        let savepoint: &[&str] = match (word, state.function_transaction) {
            (TransactionWord::Begin | TransactionWord::BeginWrite, true) => {
                return Err(SqlError::misuse("cannot start a transaction within a transaction"));
            }
            (TransactionWord::Commit | TransactionWord::Rollback, false) => {
                return Err(SqlError::misuse("cannot commit or roll back - no transaction is active"));
            }
            (TransactionWord::BeginWrite, false) if self.access == Access::Read => {
                self.write_refused.store(true, Ordering::Relaxed);
                return Err(super::gate::Refusal::Write.into());
            }
            (TransactionWord::Begin | TransactionWord::BeginWrite, false) => &["SAVEPOINT"],
            (TransactionWord::Commit, true) => &["RELEASE"],
            (TransactionWord::Rollback, true) => &["ROLLBACK TO", "RELEASE"],
        };
        // A reading session is one snapshot anyway.
        if self.access == Access::Write {
            for words in savepoint {
                self.on_writer(state, Bound::host(format!("{words} {FUNCTION_SAVEPOINT}")), Authority::Host)
                    .await?;
            }
        }
        state.function_transaction = matches!(word, TransactionWord::Begin | TransactionWord::BeginWrite);
        Ok(QueryResult::default())
    }

    /// Most reads are over sooner than another thread has begun: they run here for as long as they are brief.
    async fn on_reader(
        &self,
        state: &mut State,
        bound: Bound,
        authority: Authority,
    ) -> (Bound, Result<QueryResult, SqlError>) {
        let open = match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Reading(reader) => Some(reader),
            _ => None,
        };
        let (deadline, older, is_new) = (self.deadline, self.older.get().copied(), open.is_none());
        let mut open = open.or_else(|| self.group.begin_read_now(deadline, older));
        let at_once = open.as_mut().and_then(|view| {
            view.snapshot.run_briefly(&bound.sql, &bound.parameters, authority, bound.limits)
        });
        let (bound, reader, answer) = if let Some(answer) = at_once {
            (bound, open, answer)
        } else {
            let group = Arc::clone(&self.group);
            let ran = on_blocking_thread(move || {
                let mut reader = match open.map_or_else(|| group.begin_read(deadline, older), Ok) {
                    Ok(reader) => reader,
                    Err(error) => return (bound, None, Err(error)),
                };
                let answer = reader.snapshot.run(&bound.sql, &bound.parameters, authority, bound.limits);
                (bound, Some(reader), answer)
            });
            match ran.await {
                Ok(ran) => ran,
                Err(error) => return (Bound::host(String::new()), Err(error)),
            }
        };
        let answer = answer.map_err(or_busy);
        self.note_end(&answer);
        if let Some(reader) = reader {
            if is_new {
                // The snapshot was taken by now: later frames are not in it.
                state.seen = state.seen.max(reader.at.or_else(|| self.group.newest()));
            }
            state.phase = Phase::Reading(reader);
        }
        (bound, answer)
    }

    /// The first time this opens the host's transaction, ending the snapshot.
    async fn on_writer(
        &self,
        state: &mut State,
        bound: Bound,
        authority: Authority,
    ) -> Result<QueryResult, SqlError> {
        let place = match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Writing(transaction) => Place::Begun(transaction),
            Phase::Lent => return Err(self.fail(Failure::TransactionLost)),
            Phase::Idle | Phase::Reading(_) => {
                let turn = self.group.turn().await.map_err(|failure| self.fail(failure))?;
                Place::Begins(Arc::clone(&self.group), turn)
            }
        };
        let begins = matches!(place, Place::Begins(..));
        state.phase = Phase::Lent;
        let ran = here_if_possible(move || {
            let mut transaction = place.transaction()?;
            let Some(writer) = transaction.writer() else {
                return Ok((transaction, Err(SqlError::Ended(Failure::TransactionLost)), (0, 0)));
            };
            let answer = writer.run(&bound.sql, &bound.parameters, authority, bound.limits);
            let counters = (writer.last_insert_rowid(), writer.changes());
            Ok((transaction, answer, counters))
        });
        let (transaction, answer, counters) = match ran.await? {
            Ok(ran) => ran,
            Err(error) => {
                // It did not begin.
                state.phase = Phase::Idle;
                let answer = Err(or_busy(error));
                self.note_end(&answer);
                return answer;
            }
        };
        if begins {
            self.begun();
        }
        if authority == Authority::FunctionWrite && answer.is_ok() {
            self.last_insert_rowid.store(counters.0, Ordering::Relaxed);
            self.changes.store(counters.1, Ordering::Relaxed);
        }
        self.keep_if_open(state, transaction).await?;
        answer
    }

    /// From now on the transaction's time runs.
    fn begun(&self) {
        self.in_transaction.store(true, Ordering::Release);
        let (this, hold) = (self.this.clone(), self.group.hold_limit());
        tokio::spawn(async move {
            tokio::time::sleep(hold).await;
            if let Some(session) = this.upgrade() {
                session.expire().await;
            }
        });
    }

    /// An error or `OR ROLLBACK` may have ended the transaction: then nothing more may run, least of all
    /// outside one.
    async fn keep_if_open(&self, state: &mut State, mut transaction: Transaction) -> Result<(), SqlError> {
        if transaction.writer().is_some() && !transaction.is_over_time() {
            state.phase = Phase::Writing(transaction);
            return Ok(());
        }
        state.phase = Phase::Idle;
        let late = transaction.is_over_time();
        on_blocking_thread(move || drop(transaction)).await?;
        Err(self.fail(if late { Failure::TransactionTimeout } else { Failure::TransactionLost }))
    }

    async fn expire(&self) {
        let mut state = self.state.lock().await;
        if matches!(state.phase, Phase::Writing(_)) {
            self.fail_with(Failure::TransactionTimeout);
            metrics::counter!("locum_edge_transactions_timed_out_total").increment(1);
            let transaction = std::mem::replace(&mut state.phase, Phase::Idle);
            // The group's turn is free once this has rolled back.
            let _ = on_blocking_thread(move || drop(transaction)).await;
        }
    }

    async fn finish(&self, commit: bool) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        let unfinished = std::mem::take(&mut state.function_transaction);
        let seen = state.seen.take();
        let mut unkept = Failure::NotSettled;
        let ended = match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Idle | Phase::Reading(_) => Ok(seen),
            Phase::Writing(transaction) if commit => {
                unkept = Failure::NotDurableYet;
                let committed = here_if_possible(move || commit_transaction(transaction, unfinished)).await;
                match committed.and_then(|committed| committed) {
                    // A commit comes after all that was read before it.
                    Ok(commit) => self.outcome(commit).await,
                    Err(error) => Err(error),
                }
            }
            Phase::Writing(transaction) => on_blocking_thread(move || drop(transaction)).await.map(|()| None),
            Phase::Lent => Err(SqlError::Ended(Failure::TransactionLost)),
        };
        self.in_transaction.store(false, Ordering::Release);
        let ended = match ended {
            Ok(Some(position)) if commit => {
                // Nobody acts on what may still vanish.
                if let Some(position) = self.group.kept(position).await {
                    // Once a session; a second commit would be of nothing.
                    let _ = self.position.set(position);
                    Ok(())
                } else {
                    Err(SqlError::Ended(unkept))
                }
            }
            other => other.map(drop),
        };
        if let Err(SqlError::Ended(failure)) = &ended {
            self.fail_with(*failure);
        }
        match self.failure.get() {
            Some(failure) if commit => Err(StoreError::Failed(*failure)),
            _ => ended.map_err(StoreError::Commit),
        }
    }

    /// Waits for what becomes of a commit. Whoever gives up waiting does not know.
    async fn outcome(&self, commit: Commit) -> Result<Option<Position>, SqlError> {
        let Commit::Shared(outcome) = commit else { return Ok(None) };
        let outcome = tokio::time::timeout(OUTCOME_WITHIN, outcome).await;
        let told = outcome.ok().and_then(Result::ok).unwrap_or(Err(Failure::OutcomeUnknown));
        told.map(Some).map_err(SqlError::Ended)
    }

    /// What the host could not do is the host's to answer for, whatever the function makes of it.
    fn note_end(&self, answer: &Result<QueryResult, SqlError>) {
        if let Err(SqlError::Ended(failure)) = answer {
            self.fail_with(*failure);
        }
    }

    fn still_going(&self) -> Result<(), SqlError> {
        self.failure.get().map_or(Ok(()), |failure| Err(SqlError::Ended(*failure)))
    }

    fn fail(&self, failure: Failure) -> SqlError {
        SqlError::Ended(self.fail_with(failure))
    }

    /// The first failure stands.
    fn fail_with(&self, failure: Failure) -> Failure {
        *self.failure.get_or_init(|| failure)
    }
}

impl Session for GroupSession {
    fn execute(
        &self,
        sql: String,
        parameters: Vec<Value>,
        caller: Caller,
    ) -> BoxFuture<'_, Result<QueryResult, SqlError>> {
        self.statement(sql, parameters, caller).boxed()
    }

    fn allow_older(&self, not_before: Option<Position>) {
        // Said once a session.
        let _ = self.older.set(Older { not_before });
    }

    fn last_insert_rowid(&self) -> i64 {
        self.last_insert_rowid.load(Ordering::Relaxed)
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    fn in_transaction(&self) -> bool {
        self.in_transaction.load(Ordering::Acquire)
    }

    fn write_refused(&self) -> bool {
        self.write_refused.load(Ordering::Relaxed)
    }

    fn failure(&self) -> Option<Failure> {
        self.failure.get().copied()
    }

    fn position(&self) -> Option<Position> {
        self.position.get().copied()
    }

    fn commit(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.finish(true).boxed()
    }

    fn rollback(&self) -> BoxFuture<'_, ()> {
        self.finish(false).map(drop).boxed()
    }
}

impl Drop for GroupSession {
    /// A request that was cancelled: what it wrote must not be undone on an executor thread.
    fn drop(&mut self) {
        let phase = std::mem::replace(&mut self.state.get_mut().phase, Phase::Idle);
        if let (Phase::Writing(transaction), Ok(runtime)) = (phase, tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn_blocking(move || drop(transaction)));
        }
    }
}

impl Bound {
    fn host(sql: String) -> Self {
        Self { sql, parameters: Vec::new(), limits: ResultLimits::default() }
    }
}

/// What a function began and did not commit is undone, as closing its connection would.
fn commit_transaction(mut transaction: Transaction, unfinished: bool) -> Result<Commit, SqlError> {
    if let Some(writer) = transaction.writer().filter(|_| unfinished) {
        for words in ["ROLLBACK TO", "RELEASE"] {
            let sql = format!("{words} {FUNCTION_SAVEPOINT}");
            writer.run(&sql, &[], Authority::Host, ResultLimits::default())?;
        }
    }
    transaction.commit()
}

/// That somebody else has the file, for longer than anybody waits, is nothing that a function could answer for.
fn or_busy(error: SqlError) -> SqlError {
    if error.is_busy() { SqlError::Ended(Failure::Busy) } else { error }
}

fn reader_authority(caller: Caller) -> Authority {
    match caller {
        Caller::Function => Authority::FunctionRead,
        Caller::Host => Authority::HostRead,
    }
}

fn writer_authority(caller: Caller) -> Authority {
    match caller {
        Caller::Function => Authority::FunctionWrite,
        Caller::Host => Authority::Host,
    }
}

/// SQLite blocks, and an executor thread must not for longer than a brief read takes. The task only fails when the runtime shuts down.
/// Runs what may block, and what others wait for, on this thread, which lets others take over the rest of its work: to wake a
/// thread and to be woken takes longer than most statements.
async fn here_if_possible<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SqlError> {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => Ok(block_in_place(work)),
        _ => on_blocking_thread(work).await,
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SqlError> {
    spawn_blocking(work).await.map_err(|_| SqlError::Ended(Failure::TransactionLost))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use super::*;
    use crate::store::{RecordStore, testing};

    /// `SELECT 1` is over before SQLite looks at the time.
    #[tokio::test]
    async fn a_brief_read_waits_for_no_thread() {
        let folder = tempfile::tempdir().unwrap();
        let (store, group) = testing::store(folder.path());
        let open = || store.session(&group, Access::Read, Instant::now() + Duration::from_secs(5)).unwrap();
        let one = |session: Arc<dyn Session>| async move {
            session.execute("SELECT 1".to_owned(), Vec::new(), Caller::Function).await.unwrap().rows
        };
        // The first read opens a connection, which takes long.
        one(open()).await;
        let mut read = pin!(one(open()));
        let answer = futures_util::poll!(read.as_mut());
        assert!(answer == std::task::Poll::Ready(vec![vec![Value::Integer(1)]]));
    }

    /// Whoever asked is told to come back, and not that something of ours is broken.
    #[tokio::test]
    async fn a_file_that_somebody_else_writes_for_long_is_busy() {
        let folder = tempfile::tempdir().unwrap();
        let (store, group) = testing::store(folder.path());
        let mut other = testing::database(folder.path());
        other("BEGIN IMMEDIATE", &[]).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let session = store.session(&group, Access::Write, until).unwrap();
        let begun = session.execute("BEGIN IMMEDIATE".to_owned(), Vec::new(), Caller::Function).await;
        assert!(matches!(begun, Err(SqlError::Ended(Failure::Busy))), "{begun:?}");
        assert_eq!(session.failure(), Some(Failure::Busy), "what the function makes of it counts");
        other("ROLLBACK", &[]).unwrap();
        let session = store.session(&group, Access::Write, until).unwrap();
        session.execute("BEGIN IMMEDIATE".to_owned(), Vec::new(), Caller::Function).await.unwrap();
    }

    #[tokio::test]
    async fn a_long_read_leaves_the_thread_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let (store, group) = testing::store(folder.path());
        let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000) \
                   SELECT count(*) FROM n";
        for _ in 0..2 {
            let deadline = Instant::now() + Duration::from_secs(60);
            let session = store.session(&group, Access::Read, deadline).unwrap();
            let mut read = pin!(session.execute(sql.to_owned(), Vec::new(), Caller::Function));
            assert!(futures_util::poll!(read.as_mut()).is_pending());
            assert!(read.await.unwrap().rows == vec![vec![Value::Integer(1_000_000)]]);
        }
    }

    /// A function may drop a statement it waits for. What it wrote before is undone then, and must not come
    /// back together with what it writes after.
    #[tokio::test]
    async fn nothing_follows_a_cancelled_statement() {
        let folder = tempfile::tempdir().unwrap();
        let (store, group) = testing::store(folder.path());
        let open = |access| store.session(&group, access, Instant::now() + Duration::from_secs(5)).unwrap();
        let set = |key: &str| {
            let sql = "INSERT INTO locum_key_value (store, clinic, key, value) VALUES ('s', 'c', ?, x'00')";
            (sql.to_owned(), vec![key.into()])
        };
        let session = open(Access::Write);
        let (sql, parameters) = set("before");
        session.execute(sql, parameters, Caller::Host).await.unwrap();
        {
            // One that takes its time: it must not be over before it is dropped.
            let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000) \
                       INSERT INTO locum_key_value (store, clinic, key, value) \
                       SELECT 's', 'c', 'cancelled', CAST(count(*) AS BLOB) FROM n";
            let mut cancelled = pin!(session.execute(sql.to_owned(), Vec::new(), Caller::Host));
            assert!(futures_util::poll!(cancelled.as_mut()).is_pending());
        }
        let (sql, parameters) = set("after");
        let after = session.execute(sql, parameters, Caller::Host).await;
        assert!(matches!(after, Err(SqlError::Ended(Failure::TransactionLost))), "{after:?}");
        assert!(session.commit().await.is_err());

        let count = "SELECT count(*) FROM locum_key_value".to_owned();
        let kept = open(Access::Read).execute(count, Vec::new(), Caller::Host).await.unwrap();
        assert!(kept.rows == vec![vec![Value::Integer(0)]]);
    }
}
