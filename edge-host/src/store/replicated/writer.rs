//! A request's transaction. It runs on this host's own copy, in a transaction that several requests share, each
//! in a savepoint; what they changed is then carried out by `sqld` in one piece, and what happened here is
//! undone: the log brings it back.
//!
//! This holds because nobody else writes: whoever has the group's turn sees everything that was committed, and
//! what a statement does here it does there. So a statement that writes takes neither time nor chance from SQL
//! (see `gate.rs`), and the engine commits only what changed as many rows as it did here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use locum_replication::{Epoch, Position};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::group::ReplicatedGroup;
use super::hrana::Statement;
use crate::store::gate::Authority;
use crate::store::sqlite::{Database, Effect};
use crate::store::transaction::{Commit, WriteConnection};
use crate::store::{Failure, QueryResult, ResultLimits, SqlError, Value};

/// A shared transaction is carried out, at the latest, once the first of it has waited this long.
const CARRY_OUT_AFTER: Duration = Duration::from_millis(40);
/// Or once it has this many statements.
const CARRY_OUT_AT: usize = 500;
/// Doing once more what others did.
const REOPEN_WITHIN: Duration = Duration::from_secs(1);
const SAVEPOINT: &str = "locum_request";

/// An open transaction on this host's own copy.
pub(super) struct Shared {
    pub(super) epoch: Epoch,
    database: Database,
    statements: Vec<Statement>,
    /// Rows that the statements changed.
    changes: u64,
    /// Requests that have ended and wait for what becomes of it.
    members: Vec<Member>,
    began: Instant,
    /// Somebody waits for the turn to carry it out.
    is_awaited: bool,
}

/// A request that has ended.
pub(super) type Member = oneshot::Sender<Result<Position, Failure>>;

/// What a shared transaction leaves to do.
pub(super) struct Work {
    pub(super) statements: Vec<Statement>,
    pub(super) changes: u64,
    pub(super) members: Vec<Member>,
}

/// One request's part of a shared transaction.
pub(super) struct EngineWriter {
    group: Arc<ReplicatedGroup>,
    /// `None` once it is over.
    shared: Option<Shared>,
    statements: Vec<Statement>,
    changes: u64,
    uses_savepoints: bool,
    /// A statement failed and left something behind.
    is_lost: bool,
    /// Nobody shares its fate: it is carried out at once.
    is_alone: bool,
}

impl Shared {
    /// Opens the transaction. `database` stands on a whole copy of `epoch`. Blocks.
    pub(super) fn open(epoch: Epoch, mut database: Database) -> Result<Self, SqlError> {
        database.set_deadline(None);
        database.host("BEGIN IMMEDIATE", &[])?;
        let (statements, members, began) = (Vec::new(), Vec::new(), Instant::now());
        Ok(Self { epoch, database, statements, changes: 0, members, began, is_awaited: false })
    }

    /// False after an error that ended it for everybody.
    pub(super) fn is_open(&self) -> bool {
        !self.database.is_autocommit()
    }

    /// Undoes what was done since the last savepoint, and nothing else. Blocks.
    fn undo_last(&mut self) -> Result<(), SqlError> {
        if !self.is_open() {
            return self.reopen();
        }
        self.words("ROLLBACK TO")?;
        self.words("RELEASE")
    }

    fn words(&mut self, words: &str) -> Result<(), SqlError> {
        self.database.set_deadline(None);
        self.database.host(&format!("{words} {SAVEPOINT}"), &[]).map(drop)
    }

    /// Ended by one request (`OR ROLLBACK`, a statement that was interrupted, no memory), it begins anew for the
    /// others: what they did is done once more. Blocks.
    fn reopen(&mut self) -> Result<(), SqlError> {
        self.database.set_deadline(Some(Instant::now() + REOPEN_WITHIN));
        self.database.host("BEGIN IMMEDIATE", &[])?;
        let before = self.database.total_changes();
        for Statement { sql, parameters } in &self.statements {
            self.database.host(sql, parameters)?;
        }
        if self.database.total_changes() - before == self.changes {
            return Ok(());
        }
        Err(SqlError::Ended(Failure::TransactionLost))
    }

    /// Undoes what happened here. The database, if it is still good. Blocks for some microseconds.
    pub(super) fn close(mut self) -> (Option<Database>, Work) {
        if !self.is_open() {
            let members = std::mem::take(&mut self.members);
            Work { statements: Vec::new(), changes: 0, members }.fail(Failure::TransactionLost);
            (self.statements, self.changes) = (Vec::new(), 0);
        }
        self.database.set_deadline(None);
        let is_good = self.database.is_autocommit() || self.database.host("ROLLBACK", &[]).is_ok();
        let work = Work { statements: self.statements, changes: self.changes, members: self.members };
        (is_good.then_some(self.database), work)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.statements.is_empty() && self.members.is_empty()
    }

    fn is_due(&self) -> bool {
        self.statements.len() >= CARRY_OUT_AT || self.began.elapsed() >= CARRY_OUT_AFTER
    }
}

impl Work {
    pub(super) fn succeed(self, at: Position) {
        self.tell(Ok(at));
    }

    pub(super) fn fail(self, failure: Failure) {
        self.tell(Err(failure));
    }

    /// Whoever has gone hears nothing.
    fn tell(self, outcome: Result<Position, Failure>) {
        for member in self.members {
            let _ = member.send(outcome);
        }
    }
}

impl EngineWriter {
    /// A savepoint for one request. Blocks.
    pub(super) fn begin(
        group: Arc<ReplicatedGroup>,
        mut shared: Shared,
        deadline: Instant,
    ) -> Result<Self, SqlError> {
        shared.words("SAVEPOINT")?;
        shared.database.forget_last_insert();
        shared.database.set_deadline(Some(deadline));
        Ok(Self {
            group,
            shared: Some(shared),
            statements: Vec::new(),
            changes: 0,
            uses_savepoints: false,
            is_lost: false,
            is_alone: false,
        })
    }

    /// Keeps others out, once nothing of others is in the shared transaction.
    pub(super) fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// Savepoints mean something only inside one of the request's own.
    fn enclosed(&mut self) -> Vec<Statement> {
        let statements = std::mem::take(&mut self.statements);
        if !self.uses_savepoints {
            return statements;
        }
        let words = |words| Statement { sql: format!("{words} {SAVEPOINT}"), parameters: Vec::new() };
        std::iter::once(words("SAVEPOINT")).chain(statements).chain([words("RELEASE")]).collect()
    }
}

impl WriteConnection for EngineWriter {
    fn run(
        &mut self,
        sql: &str,
        parameters: &[Value],
        authority: Authority,
        limits: ResultLimits,
    ) -> Result<QueryResult, SqlError> {
        let shared = self.shared.as_mut().ok_or(SqlError::Ended(Failure::TransactionLost))?;
        if parameters.iter().any(|value| matches!(value, Value::Real(real) if real.is_infinite())) {
            return Err(SqlError::Misuse("an infinite number cannot be kept".to_owned()));
        }
        let before = shared.database.total_changes();
        let ran = shared.database.run_noting(sql, parameters, authority, limits);
        let changes = shared.database.total_changes() - before;
        match ran {
            Ok((result, effect)) => {
                if effect != Effect::Reads {
                    self.statements.push(Statement { sql: sql.to_owned(), parameters: parameters.to_vec() });
                    self.changes += changes;
                }
                self.uses_savepoints |= effect == Effect::Savepoint;
                Ok(result)
            }
            Err(error) => {
                // `OR FAIL` keeps what it did before it failed, and a bound on rows stops in the middle.
                self.is_lost |= changes != 0;
                Err(error)
            }
        }
    }

    fn database(&mut self) -> Option<&mut Database> {
        self.shared.as_mut().map(|shared| &mut shared.database)
    }

    fn is_open(&self) -> bool {
        !self.is_lost && self.shared.as_ref().is_some_and(Shared::is_open)
    }

    fn last_insert_rowid(&self) -> i64 {
        self.shared.as_ref().map_or(0, |shared| shared.database.last_insert_rowid())
    }

    fn changes(&self) -> u64 {
        self.shared.as_ref().map_or(0, |shared| shared.database.changes())
    }

    /// What it changed is carried out by whoever gets the turn after all that wait for it now.
    fn commit(self: Box<Self>, turn: OwnedSemaphorePermit) -> Result<Commit, SqlError> {
        // Gone before the turn is: the next one must not begin before this one is undone.
        let mut writer = self;
        let lost = SqlError::Ended(Failure::TransactionLost);
        writer.shared.as_mut().ok_or(lost)?.words("RELEASE")?;
        let statements = writer.enclosed();
        let mut shared = writer.shared.take().ok_or(SqlError::Ended(Failure::TransactionLost))?;
        let (member, outcome) = oneshot::channel();
        shared.statements.extend(statements);
        shared.changes += writer.changes;
        shared.members.push(member);
        let is_due = writer.is_alone || shared.is_due();
        let is_first = !std::mem::replace(&mut shared.is_awaited, true);
        writer.group.put_back(shared);
        let group = Arc::clone(&writer.group);
        if is_due {
            tokio::spawn(async move { group.carry_out(&turn).await });
        } else if is_first {
            tokio::spawn(async move {
                if let Some(turn) = group.last_turn().await {
                    group.carry_out(&turn).await;
                }
            });
        }
        Ok(Commit::Shared(outcome))
    }
}

impl Drop for EngineWriter {
    /// Undoes this request's part, if it has not ended well, and nothing of the others'. Blocks for some
    /// microseconds, unless it ended the transaction.
    fn drop(&mut self) {
        let Some(mut shared) = self.shared.take() else { return };
        match shared.undo_last() {
            Ok(()) => self.group.put_back(shared),
            // It cannot be trusted any more, by nobody.
            Err(_) => shared.close().1.fail(Failure::TransactionLost),
        }
    }
}
