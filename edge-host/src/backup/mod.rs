//! Backups of the record groups that this host leads, and the way back.
//!
//! | file | what it is |
//! |---|---|
//! | `config.rs` | `[backup]` of `edge.toml` |
//! | `keeper.rs`, `begun.rs` | one task a group: when what is due, and what a killed host left |
//! | `taking.rs`, `source.rs` | a whole backup, and segments of what changes afterwards |
//! | `documents.rs`, `audit_files.rs` | what lies beside the database |
//! | `retaining.rs` | old backups go, and what only they needed |
//! | `rebuild.rs` | from a backup to a checked database |
//! | `bring.rs` | the same with documents and audit events |
//! | `stage.rs` | where that is put together, and how it takes its place |
//! | `restoring.rs`, `drill.rs` | for good, or to see that it can be done |
//! | `operations.rs` | what an operator asks a running host |

mod audit_files;
mod begun;
mod bring;
mod config;
mod documents;
mod drill;
mod keeper;
mod operations;
mod rebuild;
mod restoring;
mod retaining;
mod source;
mod stage;
mod taking;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};

use locum_identity::RegionId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{BackupConfig, OpenBackupError};
pub use rebuild::RebuildError;
pub use restoring::{RestoreError, RestoreOptions, Restored, restore};
pub use stage::StageError;
pub(crate) use stage::recover;

use crate::http::Edge;
use begun::Begun;
use drill::DrillFolder;
use keeper::Keeper;
use source::Source;

/// Operators ask one after the other.
const QUEUE: usize = 8;

/// Backups are not possible on this host.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The configuration, which was checked.
    #[error("key `{key}`: {problem}")]
    Config {
        /// Which.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Keys or places.
    #[error("open the backups")]
    Open(#[source] OpenBackupError),
    /// The host's own folder.
    #[error("use the state folder")]
    Folder(#[source] io::Error),
}

/// Takes care of backups until `stop`.
pub(crate) fn start(
    config: &BackupConfig,
    state_dir: &Path,
    region: &RegionId,
    edge: &Edge,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<(), BackupError> {
    let schedule = config.schedule().map_err(|(key, problem)| BackupError::Config { key, problem })?;
    let repository = config.open().map_err(BackupError::Open)?;
    let drills = DrillFolder::open(state_dir).map_err(BackupError::Folder)?;
    let listener = operations::bind(state_dir).map_err(BackupError::Folder)?;
    let begun = Begun::open(state_dir).map_err(BackupError::Folder)?;
    let node = edge.audit.node().parse().map_err(io::Error::other).map_err(BackupError::Folder)?;
    let archive = audit_files::archive_id(state_dir, node).map_err(BackupError::Folder)?;
    let mut asks = operations::Asks::new();
    for group in edge.store.groups() {
        let (sender, receiver) = mpsc::channel(QUEUE);
        asks.insert(group.clone(), sender);
        let kept = (Arc::clone(&edge.blobs), Arc::clone(&edge.audit), Arc::clone(&edge.peers));
        let keeper = Keeper {
            source: Source::new(repository.clone(), group, kept, archive.clone()),
            store: Arc::clone(&edge.store),
            region: region.clone(),
            schedule,
            drills: drills.clone(),
            begun: begun.clone(),
            has_backup: AtomicBool::new(false),
            newest_ms: AtomicI64::new(keeper::NEVER),
        };
        tasks.spawn(keeper.run(receiver, stop.clone()));
    }
    tasks.spawn(operations::serve(listener, Arc::new(asks), stop.clone()));
    Ok(())
}
