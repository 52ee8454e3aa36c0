//! Schema changes while two releases are alive: versioned migrations, each applied once, never changed afterwards.
//!
//! Two series share one ledger: `host` (the host's own tables, compiled in) and `functions` (the files of the
//! folder that the manifest names). A migration's phase says when it runs and what it may do, see
//! `docs/decisions/0020-online-migrations.md`.
//!
//! | file | what it is |
//! |---|---|
//! | `files.rs`, `host_series.rs` | where migrations come from |
//! | `schema.rs` | everything this release knows, tried out beforehand; what a database lacks of it |
//! | `ledger.rs` | what a database has been through |
//! | `script.rs` | runs one migration |
//! | `additive.rs`, `shape.rs` | what an expand may do |
//! | `offline.rs` | on a database that nobody uses: at a start, and where an epoch begins |
//! | `online.rs` | through a group's ordinary write path |
//! | `contract.rs` | when a contract runs |

mod additive;
pub(super) mod contract;
mod files;
mod host_series;
mod ledger;
pub(super) mod offline;
pub(super) mod online;
mod schema;
mod script;
mod shape;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SqlError;
use super::gate::Authority;

pub use files::load;
pub(super) use ledger::Ledger;
pub(super) use schema::{Schema, Standing};
pub use script::ScriptError;

/// Longest text of one migration: SQLite's own bound here.
pub(super) const MAX_BYTES: usize = 128 << 10;

/// Whose tables a migration is about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Series {
    /// The host's own, `locum_*`.
    Host,
    /// The application's.
    Functions,
}

/// When a migration runs, and what it may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Adds, and leaves what was there as it was, so that an older release goes on beside it. Runs before the
    /// functions of its release do.
    Expand,
    /// Fills what an expand has added, some rows at a time. Otherwise like one.
    Backfill,
    /// Takes away what an older release needs. Runs once no such release is left.
    Contract,
}

/// Names a migration, and what is in it.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) struct MigrationId {
    /// Its series.
    pub(crate) series: Series,
    /// Its number in that.
    pub(crate) version: u32,
    /// SHA-256 of its text, in hexadecimal.
    pub(crate) checksum: String,
}

/// One migration.
#[derive(Clone, Debug)]
pub struct Migration {
    id: MigrationId,
    name: String,
    phase: Phase,
    sql: String,
}

/// A migration on its way to a host of an older release. What is in it says its checksum.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Handed {
    series: Series,
    version: u32,
    name: String,
    phase: Phase,
    sql: String,
}

/// Why a database is not used, or is not changed.
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
        "migration {0}: files are named 0001_name.sql, 0002_name.backfill.sql, 0003_name.contract.sql, … \
         without gaps, at most 128 KiB each"
    )]
    Name(PathBuf),
    /// What this release needs is gone.
    #[error(
        "the database has been through {series} contract {found} and this release knows {known}: \
         what it needs was taken away, refusing to use it"
    )]
    Contracted {
        /// `host` or `functions`.
        series: String,
        /// The contract.
        found: u32,
        /// Last version of this release.
        known: u32,
    },
    /// An applied migration is not what it was.
    #[error("{series} migration {version} was changed after it was applied: refusing to use the database")]
    Changed {
        /// Its series.
        series: Series,
        /// Which one.
        version: u32,
    },
    /// A migration does not run, or does what it may not.
    #[error("{series} migration {version}")]
    Apply {
        /// Its series.
        series: Series,
        /// Which one.
        version: u32,
        /// Why.
        #[source]
        source: ScriptError,
    },
    /// The ledger cannot be read or written.
    #[error("use the ledger of migrations")]
    Ledger(#[source] SqlError),
}

impl Series {
    /// As the ledger has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Functions => "functions",
        }
    }

    /// On whose behalf its migrations run.
    fn authority(self) -> Authority {
        match self {
            Self::Host => Authority::HostMigration,
            Self::Functions => Authority::Migration,
        }
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Phase {
    /// As the ledger and the names of files have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Backfill => "backfill",
            Self::Contract => "contract",
        }
    }
}

impl Migration {
    fn new(series: Series, version: u32, name: &str, phase: Phase, sql: String) -> Self {
        let checksum = Sha256::digest(&sql).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id: MigrationId { series, version, checksum }, name: name.to_owned(), phase, sql }
    }

    /// Its name, for the ledger and for other hosts.
    pub(crate) fn id(&self) -> &MigrationId {
        &self.id
    }

    /// For a host that does not know it.
    pub(crate) fn handed(&self) -> Handed {
        Handed {
            series: self.id.series,
            version: self.id.version,
            name: self.name.clone(),
            phase: self.phase,
            sql: self.sql.clone(),
        }
    }

    fn failed(&self, source: impl Into<ScriptError>) -> MigrationError {
        let MigrationId { series, version, .. } = self.id;
        MigrationError::Apply { series, version, source: source.into() }
    }
}

impl Handed {
    /// `None`: nothing that another host may hand over.
    pub(crate) fn open(self) -> Option<Migration> {
        let is_fit = self.phase != Phase::Contract && self.version > 0 && self.sql.len() <= MAX_BYTES;
        is_fit.then(|| Migration::new(self.series, self.version, &self.name, self.phase, self.sql))
    }
}
