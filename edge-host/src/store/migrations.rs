//! Schema changes: versioned files, each applied once in its own transaction, never changed afterwards.
//!
//! Two series share one ledger: `host` (the host's own tables, compiled in) and `functions` (the files of the
//! folder that the manifest names).

use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest, Sha256};

use super::gate::Authority;
use super::sqlite::Database;
use super::{SqlError, Value};

/// Files larger than this are a mistake.
const MAX_FILE_BYTES: u64 = 1 << 20;

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS locum_migrations (
    series TEXT NOT NULL,
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    applied_at_ms INTEGER NOT NULL,
    PRIMARY KEY (series, version)
) STRICT, WITHOUT ROWID";

const HOST_1: &str = "
CREATE TABLE locum_idempotency (
    clinic TEXT NOT NULL,
    key TEXT NOT NULL,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    headers BLOB NOT NULL,
    body BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (clinic, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX locum_idempotency_age ON locum_idempotency (created_at_ms);
CREATE TABLE locum_key_value (
    store TEXT NOT NULL,
    clinic TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (store, clinic, key)
) STRICT, WITHOUT ROWID;
";

/// What a request did, written in its own transaction; the chain follows afterwards.
const HOST_2: &str = "
CREATE TABLE locum_audit (
    sequence INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    recorded_at_ms INTEGER NOT NULL,
    clinic TEXT NOT NULL,
    request TEXT NOT NULL,
    region TEXT NOT NULL,
    node TEXT NOT NULL,
    status INTEGER NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('C', 'R', 'U', 'D', 'E')),
    code TEXT NOT NULL,
    agent_type TEXT NOT NULL,
    agent TEXT,
    entity_type TEXT,
    entity TEXT
) STRICT;
CREATE INDEX locum_audit_by_time ON locum_audit (clinic, recorded_at_ms);
CREATE INDEX locum_audit_by_entity ON locum_audit (clinic, entity);
CREATE TRIGGER locum_audit_is_final BEFORE UPDATE ON locum_audit
BEGIN SELECT RAISE(ABORT, 'audit events are final'); END;
CREATE TRIGGER locum_audit_is_kept BEFORE DELETE ON locum_audit
BEGIN SELECT RAISE(ABORT, 'audit events are kept'); END;
CREATE TABLE locum_audit_chain (
    sequence INTEGER NOT NULL PRIMARY KEY,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
";

/// Which documents there are; their content lies in files. A key goes with the last that names its content.
const HOST_3: &str = "
CREATE TABLE locum_blob (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    object BLOB NOT NULL UNIQUE CHECK (length(object) = 16),
    wrapped_key BLOB NOT NULL,
    bytes INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    created_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE locum_blob_reference (
    clinic TEXT NOT NULL,
    document TEXT NOT NULL,
    blob BLOB NOT NULL REFERENCES locum_blob,
    PRIMARY KEY (clinic, document)
) STRICT, WITHOUT ROWID;
CREATE INDEX locum_blob_reference_by_blob ON locum_blob_reference (blob);
";

/// One file of a series.
#[derive(Clone, Debug)]
pub struct Migration {
    version: u32,
    name: String,
    sql: String,
    checksum: String,
}

/// Why a database is not opened.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The folder or a file cannot be read.
    #[error("read migrations {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not `0001_name.sql`, or not the next number.
    #[error(
        "migration {0}: files are named 0001_name.sql, 0002_name.sql, … without gaps, at most 1 MiB each"
    )]
    Name(PathBuf),
    /// Written by a later release.
    #[error(
        "the database stands at {series} migration {found} and this release knows {known}: \
         it is newer, refusing to start"
    )]
    Newer {
        /// `host` or `functions`.
        series: &'static str,
        /// Version in the database.
        found: u32,
        /// Last version of this release.
        known: u32,
    },
    /// An applied file is not what it was.
    #[error("{series} migration {version} was changed after it was applied: refusing to start")]
    Changed {
        /// `host` or `functions`.
        series: &'static str,
        /// Which one.
        version: u32,
    },
    /// A file does not run.
    #[error("{series} migration {version}")]
    Apply {
        /// `host` or `functions`.
        series: &'static str,
        /// Which one.
        version: u32,
        /// Why.
        #[source]
        source: SqlError,
    },
    /// The ledger cannot be read.
    #[error("read the ledger of migrations")]
    Ledger(#[source] SqlError),
}

/// Reads a folder of `0001_name.sql` files.
pub fn load(folder: &Path) -> Result<Vec<Migration>, MigrationError> {
    let read_error = |path: &Path| {
        let path = path.to_owned();
        move |source| MigrationError::Read { path, source }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error(folder))? {
        let path = entry.map_err(read_error(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            paths.push(path);
        }
    }
    paths.sort();
    let numbered = (1_u32..).zip(&paths);
    numbered
        .map(|(version, path)| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
            let named = stem.split_once('_').filter(|(number, name)| {
                number.len() == 4 && number.parse() == Ok(version) && !name.is_empty()
            });
            let size = fs::metadata(path).map_err(read_error(path))?.len();
            let Some((_, name)) = named.filter(|_| size <= MAX_FILE_BYTES) else {
                return Err(MigrationError::Name(path.clone()));
            };
            Ok(Migration::new(version, name, fs::read_to_string(path).map_err(read_error(path))?))
        })
        .collect()
}

/// Brings a database up to date, or says why it must not be opened.
pub(super) fn apply(database: &mut Database, functions: &[Migration]) -> Result<(), MigrationError> {
    database.host(LEDGER, &[]).map_err(MigrationError::Ledger)?;
    let host = [("host", HOST_1), ("audit", HOST_2), ("blob", HOST_3)];
    let host: Vec<_> =
        (1..).zip(host).map(|(version, (name, sql))| Migration::new(version, name, sql.to_owned())).collect();
    // Both series are checked before either changes anything.
    let host_from = check(database, "host", &host)?;
    let functions_from = check(database, "functions", functions)?;
    for migration in host.get(host_from..).unwrap_or_default() {
        apply_one(database, "host", migration, Authority::Host)?;
    }
    for migration in functions.get(functions_from..).unwrap_or_default() {
        apply_one(database, "functions", migration, Authority::Migration)?;
    }
    Ok(())
}

/// How many of `known` are applied already.
fn check(
    database: &mut Database,
    series: &'static str,
    known: &[Migration],
) -> Result<usize, MigrationError> {
    let sql = "SELECT version, checksum FROM locum_migrations WHERE series = ? ORDER BY version";
    let applied = database.host(sql, &[series.into()]).map_err(MigrationError::Ledger)?.rows;
    for (index, row) in applied.iter().enumerate() {
        let [Value::Integer(version), Value::Text(checksum)] = row.as_slice() else {
            return Err(MigrationError::Ledger(SqlError::misuse("a row of the ledger is malformed")));
        };
        let version = u32::try_from(*version).unwrap_or(u32::MAX);
        let Some(migration) = known.get(index) else {
            let found = last_version(&applied).unwrap_or(version);
            let known = u32::try_from(known.len()).unwrap_or(u32::MAX);
            return Err(MigrationError::Newer { series, found, known });
        };
        if migration.version != version || migration.checksum != *checksum {
            return Err(MigrationError::Changed { series, version });
        }
    }
    Ok(applied.len())
}

fn last_version(applied: &[Vec<Value>]) -> Option<u32> {
    match applied.last()?.first()? {
        Value::Integer(version) => u32::try_from(*version).ok(),
        _ => None,
    }
}

fn apply_one(
    database: &mut Database,
    series: &'static str,
    migration: &Migration,
    authority: Authority,
) -> Result<(), MigrationError> {
    let applied = (|| {
        database.host("BEGIN IMMEDIATE", &[])?;
        database.run_script(&migration.sql, authority)?;
        let row = [
            series.into(),
            i64::from(migration.version).into(),
            migration.name.as_str().into(),
            migration.checksum.as_str().into(),
            crate::clock::unix_ms().into(),
        ];
        database.host("INSERT INTO locum_migrations VALUES (?, ?, ?, ?, ?)", &row)?;
        database.host("COMMIT", &[])
    })();
    if let Err(source) = applied {
        // The connection is given up with the error; closing it would roll back as well.
        let _ = database.host("ROLLBACK", &[]);
        return Err(MigrationError::Apply { series, version: migration.version, source });
    }
    tracing::info!(series, version = migration.version, "migration applied");
    Ok(())
}

impl Migration {
    fn new(version: u32, name: &str, sql: String) -> Self {
        let checksum = Sha256::digest(&sql).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { version, name: name.to_owned(), sql, checksum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::DatabaseKey;

    fn database(folder: &Path) -> Database {
        let mut database = Database::open(&folder.join("data.db"), &DatabaseKey::from([7; 32])).unwrap();
        database.host("PRAGMA journal_mode = WAL", &[]).unwrap();
        database
    }

    fn migration(version: u32, sql: &str) -> Migration {
        Migration::new(version, "test", sql.to_owned())
    }

    #[test]
    fn each_is_applied_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = migration(1, "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);");
        let second = migration(2, "INSERT INTO a VALUES (2)");
        apply(&mut database(folder.path()), std::slice::from_ref(&first)).unwrap();
        apply(&mut database(folder.path()), &[first.clone(), second.clone()]).unwrap();
        apply(&mut database(folder.path()), &[first, second]).unwrap();
        let rows = database(folder.path()).host("SELECT x FROM a ORDER BY x", &[]).unwrap().rows;
        assert_eq!(rows, vec![vec![Value::Integer(1)], vec![Value::Integer(2)]]);
    }

    #[test]
    fn newer_and_changed_databases_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (migration(1, "CREATE TABLE a (x)"), migration(2, "CREATE TABLE b (x)"));
        apply(&mut database(folder.path()), &[first.clone(), second]).unwrap();
        let newer = apply(&mut database(folder.path()), std::slice::from_ref(&first));
        assert!(matches!(newer, Err(MigrationError::Newer { series: "functions", found: 2, known: 1 })));
        let changed = apply(&mut database(folder.path()), &[migration(1, "CREATE TABLE c (x)"), first]);
        assert!(matches!(changed, Err(MigrationError::Changed { version: 1, .. })));
    }

    #[test]
    fn a_failing_file_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let failing = migration(1, "CREATE TABLE a (x); INSERT INTO nowhere VALUES (1);");
        let failed = apply(&mut database(folder.path()), &[failing]);
        assert!(matches!(failed, Err(MigrationError::Apply { version: 1, .. })));
        let tables =
            database(folder.path()).host("SELECT name FROM sqlite_schema WHERE name = 'a'", &[]).unwrap();
        assert!(tables.rows.is_empty());
    }

    #[test]
    fn a_file_may_not_touch_the_ledger_or_end_its_transaction() {
        let folder = tempfile::tempdir().unwrap();
        for sql in ["DELETE FROM locum_migrations", "COMMIT; CREATE TABLE a (x)", "ATTACH 'x' AS y"] {
            assert!(apply(&mut database(folder.path()), &[migration(1, sql)]).is_err(), "{sql}");
        }
    }

    #[test]
    fn names_are_numbered_without_gaps() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("0001_a.sql"), "SELECT 1").unwrap();
        fs::write(folder.path().join("README.md"), "").unwrap();
        assert_eq!(load(folder.path()).unwrap().len(), 1);
        fs::write(folder.path().join("0003_c.sql"), "SELECT 1").unwrap();
        assert!(matches!(load(folder.path()), Err(MigrationError::Name(_))));
    }
}
