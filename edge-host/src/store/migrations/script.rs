//! Runs one migration, inside a transaction that somebody else has begun.

use super::additive::{self, NotAdditive};
use super::ledger;
use super::shape::Shape;
use super::{Migration, Phase, Series};
use crate::store::gate::Authority;
use crate::store::sqlite::Database;
use crate::store::transaction::WriteConnection;
use crate::store::{Failure, ResultLimits, SqlError, Value};

/// Rows that one round of a backfill may change: others want to write too.
const MAX_BACKFILL_ROWS: u64 = 1_000;
/// A backfill that does not end by then never will.
pub(super) const MAX_ROUNDS: usize = 100_000;

/// A migration does not run.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// SQLite, or what stands before it, refuses a statement.
    #[error("run it")]
    Sql(#[source] SqlError),
    /// An older release could not go on beside it.
    #[error("check that it only adds")]
    NotAdditive(#[source] NotAdditive),
    /// A backfill that is none.
    #[error("a backfill is one statement, which changes at most 1,000 rows and in the end none")]
    NoBackfill,
    /// Others would wait for too long.
    #[error("it takes too long beside other requests")]
    TooSlow,
}

impl ScriptError {
    /// For a log: SQLite's own words can hold what a person typed.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Sql(SqlError::Sqlite { code, .. }) => format!("SQLite refuses it with code {code}"),
            Self::Sql(error) => error.to_string(),
            Self::NotAdditive(error) => error.to_string(),
            Self::NoBackfill | Self::TooSlow => self.to_string(),
        }
    }
}

/// Where a migration runs.
pub(super) trait Target {
    /// To look at statements and the schema.
    fn database(&mut self) -> Result<&mut Database, SqlError>;

    /// Runs one statement; rows that it changed, if it changes rows.
    fn run(&mut self, sql: &str, parameters: &[Value], authority: Authority) -> Result<u64, SqlError>;
}

/// A group's open transaction.
pub(super) struct Online<'a>(pub(super) &'a mut dyn WriteConnection);

impl Target for Database {
    fn database(&mut self) -> Result<&mut Database, SqlError> {
        Ok(self)
    }

    fn run(&mut self, sql: &str, parameters: &[Value], authority: Authority) -> Result<u64, SqlError> {
        Database::run(self, sql, parameters, authority, ResultLimits::default())?;
        Ok(self.changes())
    }
}

impl Target for Online<'_> {
    fn database(&mut self) -> Result<&mut Database, SqlError> {
        self.0.database().ok_or(SqlError::Ended(Failure::TransactionLost))
    }

    fn run(&mut self, sql: &str, parameters: &[Value], authority: Authority) -> Result<u64, SqlError> {
        self.0.run(sql, parameters, authority, ResultLimits::default())?;
        Ok(self.0.changes())
    }
}

/// Runs a migration, or one round of a backfill, and notes in the ledger that it is done. False: there is more to fill.
/// Blocks.
pub(super) fn run(target: &mut impl Target, migration: &Migration) -> Result<bool, ScriptError> {
    let is_done = match migration.phase {
        Phase::Expand => expand(target, migration).map(|()| true),
        Phase::Backfill => fill(target, migration),
        Phase::Contract => contract(target, migration).map(|()| true),
    }?;
    if is_done {
        let (sql, row) = ledger::note(migration);
        target.run(sql, &row, Authority::Host)?;
    }
    Ok(is_done)
}

fn expand(target: &mut impl Target, migration: &Migration) -> Result<(), ScriptError> {
    let (authority, writer) = (migration.id.series.authority(), writer(migration.id.series));
    let before = Shape::of(target.database()?)?;
    let were_unwritable = additive::unwritable(target.database()?, &before, writer);
    let mut script = migration.sql.as_str();
    while let Some(statement) = target.database()?.plan(&mut script, authority)? {
        additive::check_statement(&before, &statement.asks)?;
        target.run(statement.sql, &[], authority)?;
    }
    additive::check_shape(&before, &Shape::of(target.database()?)?)?;
    Ok(additive::check_writing(target.database()?, &before, &were_unwritable, writer)?)
}

fn fill(target: &mut impl Target, migration: &Migration) -> Result<bool, ScriptError> {
    let authority = migration.id.series.authority();
    let mut script = migration.sql.as_str();
    let statement = target.database()?.plan(&mut script, authority)?.ok_or(ScriptError::NoBackfill)?;
    if target.database()?.plan(&mut script, authority)?.is_some() {
        return Err(ScriptError::NoBackfill);
    }
    additive::check_backfill(&statement.asks)?;
    match target.run(statement.sql, &[], authority)? {
        changed if changed > MAX_BACKFILL_ROWS => Err(ScriptError::NoBackfill),
        changed => Ok(changed == 0),
    }
}

fn contract(target: &mut impl Target, migration: &Migration) -> Result<(), ScriptError> {
    let authority = migration.id.series.authority();
    let mut script = migration.sql.as_str();
    while let Some(statement) = target.database()?.plan(&mut script, authority)? {
        target.run(statement.sql, &[], authority)?;
    }
    target.run(ledger::FORGET, &ledger::named(&migration.id), Authority::Host)?;
    Ok(())
}

/// On whose behalf an older release writes these tables.
fn writer(series: Series) -> Authority {
    match series {
        Series::Host => Authority::Host,
        Series::Functions => Authority::FunctionWrite,
    }
}

impl From<SqlError> for ScriptError {
    fn from(source: SqlError) -> Self {
        Self::Sql(source)
    }
}

impl From<NotAdditive> for ScriptError {
    fn from(source: NotAdditive) -> Self {
        Self::NotAdditive(source)
    }
}
