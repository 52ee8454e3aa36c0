//! Everything a release knows, and what a database lacks of it.

use std::sync::Arc;

use super::ledger::Ledger;
use super::{Migration, MigrationError, MigrationId, Phase, host_series, offline};
use crate::store::sqlite::Database;

/// Every migration of this release: the host's, then the functions', each in order.
#[derive(Debug)]
pub(crate) struct Schema {
    migrations: Vec<Arc<Migration>>,
}

/// How a database stands to a release that may use it.
#[derive(Debug, Default)]
pub(crate) struct Standing<'a> {
    /// Expands and backfills that the release needs and the database lacks, in the order in which they go.
    pub(crate) missing: Vec<&'a Arc<Migration>>,
    /// Contracts of the release that have not run.
    pub(crate) contracts: Vec<&'a Arc<Migration>>,
    /// What a newer release has added.
    pub(crate) unknown: usize,
}

impl Schema {
    /// The host's own and these, tried out: what does not run, or is no expand, is found before anything is touched.
    pub(crate) fn new(functions: &[Migration]) -> Result<Self, MigrationError> {
        let migrations = host_series::migrations().into_iter().chain(functions.iter().cloned());
        let schema = Self { migrations: migrations.map(Arc::new).collect() };
        schema.try_out()?;
        Ok(schema)
    }

    /// A network has a contract run between any two expands, or after all that there are: both must do.
    fn try_out(&self) -> Result<(), MigrationError> {
        let (later, sooner): (Vec<_>, Vec<_>) =
            self.migrations.iter().partition(|migration| migration.phase == Phase::Contract);
        let as_numbered: Vec<_> = self.migrations.iter().collect();
        let expands_first = [sooner, later].concat();
        for order in [as_numbered, expands_first] {
            let mut database = Database::in_memory().map_err(MigrationError::Ledger)?;
            Ledger::make(&mut database).map_err(MigrationError::Ledger)?;
            order.into_iter().try_for_each(|migration| offline::apply(&mut database, migration))?;
        }
        Ok(())
    }

    /// What a database lacks, or why it must not be used.
    pub(crate) fn compare(&self, ledger: &Ledger) -> Result<Standing<'_>, MigrationError> {
        let mut standing = Standing::default();
        for ((series, version), applied) in &ledger.applied {
            let known = |migration: &&Arc<Migration>| {
                migration.id.series.as_str() == series && migration.id.version == *version
            };
            if self.migrations.iter().any(|migration| known(&migration)) {
                continue;
            }
            if applied.is_contract {
                let (series, found, known) = (series.clone(), *version, self.last_of(series));
                return Err(MigrationError::Contracted { series, found, known });
            }
            standing.unknown += 1;
        }
        for migration in &self.migrations {
            let MigrationId { series, version, .. } = migration.id;
            if ledger.has_other(&migration.id) {
                return Err(MigrationError::Changed { series, version });
            }
            if ledger.has(&migration.id) {
                continue;
            }
            match migration.phase {
                Phase::Expand | Phase::Backfill => standing.missing.push(migration),
                Phase::Contract => standing.contracts.push(migration),
            }
        }
        Ok(standing)
    }

    /// All of it, in order: for a database that is new.
    pub(super) fn all(&self) -> Vec<&Arc<Migration>> {
        self.migrations.iter().collect()
    }

    /// Whether this release has another migration of that number.
    pub(crate) fn has_other(&self, id: &MigrationId) -> bool {
        let same = |other: &&Arc<Migration>| other.id.series == id.series && other.id.version == id.version;
        self.migrations.iter().find(same).is_some_and(|other| other.id != *id)
    }

    /// Whether a contract of that number is one of this release.
    pub(super) fn knows_contract(&self, series: &str, version: u32) -> bool {
        let same = |migration: &&Arc<Migration>| {
            migration.id.series.as_str() == series && migration.id.version == version
        };
        self.migrations.iter().find(same).is_some_and(|migration| migration.phase == Phase::Contract)
    }

    fn last_of(&self, series: &str) -> u32 {
        let of_series = |migration: &&Arc<Migration>| migration.id.series.as_str() == series;
        self.migrations.iter().filter(of_series).map(|migration| migration.id.version).max().unwrap_or(0)
    }
}

impl Standing<'_> {
    /// Functions of the release may run.
    pub(crate) fn fits(&self) -> bool {
        self.missing.is_empty()
    }
}
