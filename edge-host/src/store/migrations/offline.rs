//! Migrations on a database that nobody else uses.

use super::ledger::Ledger;
use super::script::{self, ScriptError};
use super::{Migration, MigrationError, Phase, Schema};
use crate::store::sqlite::Database;

/// What is left for later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Leave {
    /// Contracts: an older release may still want to go on here. None was ever in a database that is new.
    Contracts,
    /// Backfills too: they take their time, and somebody waits for the database to be served.
    Backfills,
}

/// Makes the ledger and brings a database up to what this release needs, or says why it must not be used. Blocks.
pub(crate) fn bring_up(database: &mut Database, schema: &Schema, leave: Leave) -> Result<(), MigrationError> {
    // Whether it may be used is known before anything is changed.
    let ledger = Ledger::read(database)?;
    let missing = match ledger.is_empty() {
        true => schema.all(),
        false => schema.compare(&ledger)?.missing,
    };
    Ledger::make(database).map_err(MigrationError::Ledger)?;
    for migration in missing {
        if leave == Leave::Backfills && migration.phase == Phase::Backfill && !ledger.is_empty() {
            // Whatever comes after may build upon it.
            break;
        }
        apply(database, migration)?;
        tracing::info!(
            series = migration.id.series.as_str(),
            version = migration.id.version,
            "migration applied"
        );
    }
    Ok(())
}

/// Applies one migration whole, in a transaction of its own; a backfill in one for each round.
pub(super) fn apply(database: &mut Database, migration: &Migration) -> Result<(), MigrationError> {
    for _ in 0..script::MAX_ROUNDS {
        let ran = (|| {
            database.host("BEGIN IMMEDIATE", &[])?;
            let is_done = script::run(database, migration)?;
            database.host("COMMIT", &[])?;
            Ok(is_done)
        })();
        match ran {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                // The connection is given up with the error; closing it would roll back as well.
                let _ = database.host("ROLLBACK", &[]);
                let error: ScriptError = error;
                return Err(migration.failed(error));
            }
        }
    }
    Err(migration.failed(ScriptError::NoBackfill))
}
