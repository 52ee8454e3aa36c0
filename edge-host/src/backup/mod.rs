//! Backups of the record groups that this host leads, and the way back.
//!
//! | file | what it is |
//! |---|---|
//! | `config.rs` | `[backup]` of `edge.toml` |
//! | `keeper.rs` | one task a group: when what is due |
//! | `taking.rs` | a whole backup, and segments of what changes afterwards |
//! | `rebuild.rs` | from a backup to a checked database |
//! | `restoring.rs`, `drill.rs` | that database for good, or to see that it can be done |
//! | `operations.rs` | what an operator asks a running host |

mod config;
mod drill;
mod keeper;
mod operations;
mod rebuild;
mod restoring;
mod taking;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use locum_identity::RegionId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{BackupConfig, OpenBackupError};
pub use rebuild::RebuildError;
pub use restoring::{RestoreError, RestoreOptions, Restored, restore};

use crate::store::RecordStore;
use drill::DrillFolder;
use keeper::Keeper;

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
    store: &Arc<dyn RecordStore>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<(), BackupError> {
    let schedule = config.schedule().map_err(|(key, problem)| BackupError::Config { key, problem })?;
    let repository = config.open().map_err(BackupError::Open)?;
    let drills = DrillFolder::open(state_dir).map_err(BackupError::Folder)?;
    let listener = operations::bind(state_dir).map_err(BackupError::Folder)?;
    let mut asks = operations::Asks::new();
    for group in store.groups() {
        let (sender, receiver) = mpsc::channel(QUEUE);
        asks.insert(group.clone(), sender);
        let keeper = Keeper {
            repository: repository.clone(),
            store: Arc::clone(store),
            group,
            region: region.clone(),
            schedule,
            drills: drills.clone(),
            has_backup: AtomicBool::new(false),
        };
        tasks.spawn(keeper.run(receiver, stop.clone()));
    }
    tasks.spawn(operations::serve(listener, Arc::new(asks), stop.clone()));
    Ok(())
}
