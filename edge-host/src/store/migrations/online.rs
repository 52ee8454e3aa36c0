//! Migrations through a group's ordinary write path: beside requests, and acknowledged like any write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;

use super::ledger::{self, Ledger};
use super::script::{self, Online, ScriptError, Target};
use super::{Migration, MigrationError, MigrationId};
use crate::store::gate::Authority;
use crate::store::group::Group;
use crate::store::transaction::{Commit, WriteConnection};
use crate::store::{Failure, SqlError, Value};

/// Longest wait for what becomes of a commit.
const OUTCOME_WITHIN: Duration = Duration::from_secs(8);
/// A migration that takes longer on this host's own copy might take an engine beyond its bound, which ends the epoch:
/// it is not tried there.
const MOST: Duration = Duration::from_secs(1);

/// A migration was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OnlineError {
    /// Not now; the same may work soon.
    #[error("the group cannot be written now")]
    Unavailable(#[source] Failure),
    /// It will not work another time either.
    #[error("it cannot be applied")]
    Refused(#[source] MigrationError),
    /// SQLite here and the engine do not agree on it.
    #[error("the record engine does not carry it out")]
    Engine,
}

impl OnlineError {
    /// For a log: without the words of SQLite, which can hold what a person typed.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Refused(MigrationError::Apply { source, .. }) => source.told(),
            Self::Refused(error) => error.to_string(),
            Self::Unavailable(failure) => failure.to_string(),
            Self::Engine => self.to_string(),
        }
    }
}

/// What is done inside one transaction.
type Work<T> = Box<dyn FnOnce(&mut dyn WriteConnection) -> Result<T, MigrationError> + Send>;

/// Applies a migration unless it is applied already; a backfill in many transactions.
pub(crate) async fn apply(group: &Arc<dyn Group>, migration: &Arc<Migration>) -> Result<(), OnlineError> {
    for _ in 0..script::MAX_ROUNDS {
        let round = Arc::clone(migration);
        let work = move |writer: &mut dyn WriteConnection| apply_round(writer, &round);
        if transact(group, Box::new(work)).await? {
            let MigrationId { series, version, .. } = migration.id;
            let (series, phase) = (series.as_str(), migration.phase.as_str());
            metrics::counter!("locum_edge_migrations_applied_total", "series" => series, "phase" => phase)
                .increment(1);
            tracing::info!(series, version, phase, "migration applied");
            return Ok(());
        }
    }
    Err(OnlineError::Refused(migration.failed(ScriptError::NoBackfill)))
}

/// Notes that every host knows a contract from now on.
pub(crate) async fn remember(
    group: &Arc<dyn Group>,
    id: &MigrationId,
    now_ms: i64,
) -> Result<(), OnlineError> {
    let [series, version] = ledger::named(id);
    write(group, ledger::REMEMBER, vec![series, version, now_ms.into()]).await
}

/// Notes that not every host knows a contract.
pub(crate) async fn forget(
    group: &Arc<dyn Group>,
    (series, version): (&str, u32),
) -> Result<(), OnlineError> {
    write(group, ledger::FORGET, vec![series.into(), i64::from(version).into()]).await
}

/// False: there is more to fill. Blocks.
fn apply_round(writer: &mut dyn WriteConnection, migration: &Migration) -> Result<bool, MigrationError> {
    let began = Instant::now();
    let mut target = Online(writer);
    let database = target.database().map_err(|error| migration.failed(error))?;
    let ledger = Ledger::read(database)?;
    if ledger.has(&migration.id) {
        return Ok(true);
    }
    if ledger.has_other(&migration.id) {
        let MigrationId { series, version, .. } = migration.id;
        return Err(MigrationError::Changed { series, version });
    }
    let is_done = script::run(&mut target, migration).map_err(|error| migration.failed(error))?;
    if began.elapsed() > MOST { Err(migration.failed(ScriptError::TooSlow)) } else { Ok(is_done) }
}

async fn write(group: &Arc<dyn Group>, sql: &'static str, row: Vec<Value>) -> Result<(), OnlineError> {
    let work = move |writer: &mut dyn WriteConnection| {
        let ran = Online(writer).run(sql, &row, Authority::Host);
        ran.map(drop).map_err(MigrationError::Ledger)
    };
    transact(group, Box::new(work)).await
}

/// A transaction that shares its fate with no request. Answers once it is acknowledged.
async fn transact<T: Send + 'static>(group: &Arc<dyn Group>, work: Work<T>) -> Result<T, OnlineError> {
    let turn = group.turn().await.map_err(OnlineError::Unavailable)?;
    group.flush(&turn).await;
    let writes = Arc::clone(group);
    let ran = spawn_blocking(move || work_and_commit(writes, turn, work)).await;
    let (done, commit) = ran.map_err(|_| OnlineError::Unavailable(Failure::TransactionLost))??;
    let Commit::Shared(outcome) = commit else { return Ok(done) };
    let outcome = tokio::time::timeout(OUTCOME_WITHIN, outcome).await;
    match outcome.ok().and_then(Result::ok).unwrap_or(Err(Failure::OutcomeUnknown)) {
        Ok(position) if group.kept(position).await.is_some() => Ok(done),
        Ok(_) => Err(OnlineError::Unavailable(Failure::NotDurableYet)),
        Err(Failure::TransactionLost) => Err(OnlineError::Engine),
        Err(failure) => Err(OnlineError::Unavailable(failure)),
    }
}

/// Blocks.
fn work_and_commit<T>(
    group: Arc<dyn Group>,
    turn: OwnedSemaphorePermit,
    work: Work<T>,
) -> Result<(T, Commit), OnlineError> {
    let mut transaction = group.begin_change(turn).map_err(unavailable)?;
    let writer = transaction.writer().ok_or(OnlineError::Unavailable(Failure::TransactionLost))?;
    let done = work(writer).map_err(sorted)?;
    let commit = transaction.commit().map_err(unavailable)?;
    Ok((done, commit))
}

/// A statement that was ended from outside says nothing about the migration.
fn sorted(error: MigrationError) -> OnlineError {
    match error {
        MigrationError::Ledger(source) => unavailable(source),
        MigrationError::Apply { source: ScriptError::Sql(SqlError::Ended(failure)), .. } => {
            OnlineError::Unavailable(failure)
        }
        error => OnlineError::Refused(error),
    }
}

fn unavailable(error: SqlError) -> OnlineError {
    match error {
        SqlError::Ended(failure) => OnlineError::Unavailable(failure),
        _ => OnlineError::Unavailable(Failure::TransactionLost),
    }
}
