//! What a database has been through.

use std::collections::BTreeMap;

use super::{Migration, MigrationError, MigrationId, Phase};
use crate::store::sqlite::Database;
use crate::store::{QueryResult, SqlError, Value};

/// The first release's table had no `phase`: it is added where that is missing. All it applied were expands.
const LEDGER: &str = "CREATE TABLE IF NOT EXISTS locum_migrations (
    series TEXT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at_ms INTEGER NOT NULL,
    phase TEXT NOT NULL DEFAULT 'expand',
    PRIMARY KEY (series, version)
) STRICT, WITHOUT ROWID";
const PHASE: &str = "ALTER TABLE locum_migrations ADD COLUMN phase TEXT NOT NULL DEFAULT 'expand'";
/// Since when every host of the group knows a contract, by the primary's word.
const KNOWN: &str = "CREATE TABLE IF NOT EXISTS locum_contracts_known (
    series TEXT NOT NULL,
    version INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    PRIMARY KEY (series, version)
) STRICT, WITHOUT ROWID";

const INSERT: &str = "INSERT INTO locum_migrations (series, version, name, checksum, applied_at_ms, phase)
    VALUES (?, ?, ?, ?, ?, ?)";
pub(super) const REMEMBER: &str =
    "INSERT INTO locum_contracts_known (series, version, since_ms) VALUES (?, ?, ?)
     ON CONFLICT (series, version) DO NOTHING";
pub(super) const FORGET: &str = "DELETE FROM locum_contracts_known WHERE series = ? AND version = ?";

/// A database's ledger, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// In order.
    pub(super) applied: BTreeMap<(String, u32), Applied>,
    known_since_ms: BTreeMap<(String, u32), i64>,
}

/// A migration that was applied.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    pub(super) checksum: String,
    pub(super) is_contract: bool,
}

impl Ledger {
    /// Makes the ledger, or brings it up to date.
    pub(super) fn make(database: &mut Database) -> Result<(), SqlError> {
        database.host(LEDGER, &[])?;
        database.host(KNOWN, &[])?;
        let columns = "SELECT count(*) FROM pragma_table_info('locum_migrations') WHERE name = 'phase'";
        if database.host(columns, &[])?.rows == [[Value::Integer(0)]] {
            database.host(PHASE, &[])?;
        }
        Ok(())
    }

    /// Reads it, also one that an older release made. A database without one has been through nothing.
    pub(crate) fn read(database: &mut Database) -> Result<Self, MigrationError> {
        Self::read_rows(database).map_err(MigrationError::Ledger)
    }

    fn read_rows(database: &mut Database) -> Result<Self, SqlError> {
        let mut ledger = Self::default();
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND
            name IN ('locum_migrations', 'locum_contracts_known') ORDER BY name DESC";
        for table in database.host(tables, &[])?.rows.into_iter().flatten() {
            let Value::Text(table) = table else { continue };
            let found = database.host(&format!("SELECT * FROM {table}"), &[])?;
            for row in &found.rows {
                ledger.take(&found, row).ok_or(SqlError::misuse("a row of the ledger is malformed"))?;
            }
        }
        Ok(ledger)
    }

    fn take(&mut self, found: &QueryResult, row: &[Value]) -> Option<()> {
        let column = |name: &str| found.columns.iter().position(|column| column == name);
        let text = |name: &str| match row.get(column(name)?)? {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let number = |name: &str| match row.get(column(name)?)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        };
        let key = (text("series")?.to_owned(), u32::try_from(number("version")?).ok()?);
        if let Some(since) = number("since_ms") {
            self.known_since_ms.insert(key, since);
            return Some(());
        }
        let is_contract = text("phase").is_some_and(|phase| phase == Phase::Contract.as_str());
        self.applied.insert(key, Applied { checksum: text("checksum")?.to_owned(), is_contract });
        Some(())
    }

    /// Nothing was ever applied.
    pub(super) fn is_empty(&self) -> bool {
        self.applied.is_empty()
    }

    /// Whether this very migration was applied.
    pub(crate) fn has(&self, id: &MigrationId) -> bool {
        self.find(id).is_some_and(|applied| applied.checksum == id.checksum)
    }

    /// Whether another one has its number.
    pub(super) fn has_other(&self, id: &MigrationId) -> bool {
        self.find(id).is_some_and(|applied| applied.checksum != id.checksum)
    }

    /// Some contract is known by all and has not run: whoever does not know it should say so.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.known_since_ms.is_empty()
    }

    /// Since when every host knows the contract, Unix milliseconds.
    pub(super) fn known_since_ms(&self, id: &MigrationId) -> Option<i64> {
        self.known_since_ms.get(&key(id)).copied()
    }

    /// Contracts that every host is said to know.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (&str, u32)> {
        self.known_since_ms.keys().map(|(series, version)| (series.as_str(), *version))
    }

    #[cfg(test)]
    pub(super) fn note_for_test(&mut self, id: &MigrationId, known_since_ms: Option<i64>) {
        let applied = Applied { checksum: id.checksum.clone(), is_contract: false };
        match known_since_ms {
            Some(since) => drop(self.known_since_ms.insert(key(id), since)),
            None => drop(self.applied.insert(key(id), applied)),
        }
    }

    fn find(&self, id: &MigrationId) -> Option<&Applied> {
        self.applied.get(&key(id))
    }
}

/// The row that says that `migration` was applied, as a statement.
pub(super) fn note(migration: &Migration) -> (&'static str, [Value; 6]) {
    let id = migration.id();
    let row = [
        id.series.as_str().into(),
        i64::from(id.version).into(),
        migration.name.as_str().into(),
        id.checksum.as_str().into(),
        crate::clock::unix_ms().into(),
        migration.phase.as_str().into(),
    ];
    (INSERT, row)
}

/// What names a contract in the statements above.
pub(super) fn named(id: &MigrationId) -> [Value; 2] {
    [id.series.as_str().into(), i64::from(id.version).into()]
}

fn key(id: &MigrationId) -> (String, u32) {
    (id.series.as_str().to_owned(), id.version)
}
