//! Who saw and who changed what (45 CFR 164.312(b)).
//!
//! | file | what it is |
//! |---|---|
//! | `event.rs` | one event; what a function says of it, what the host adds |
//! | `rows.rs` | events of requests that write: rows of the same transaction, chained afterwards |
//! | `log.rs`, `frame.rs` | events of reading: this host's own log, on disk before the answer leaves |
//! | `ship.rs`, `kept.rs` | the log on its way to another region, and there |
//! | `expire.rs` | what is old enough goes |
//! | `checkpoint.rs` | signed statements of how far a chain had come |
//! | `archive.rs` | all of it on its way into backups, and back |
//! | `list.rs` | all of it as a list |
//! | `wish.rs`, `search.rs`, `reports.rs` | reports over all hosts of a group |
//! | `verify.rs`, `report.rs` | walks all of it and names what is first wrong |
//!
//! ```text
//! audit/<group>/own/            this host's log: files, `current`, `checkpoints`, `keys.json`, `shipped`
//! audit/<group>/from/<node>/    another host's, byte for byte
//! ```

mod archive;
mod checkpoint;
mod event;
mod expire;
mod frame;
mod kept;
mod list;
mod log;
mod report;
mod reports;
mod rows;
mod search;
mod ship;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod verify;
mod wish;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use locum_cluster::operate::Ordered;
use locum_identity::{NodeId, SigningKey};
use locum_telemetry::config::chain;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

pub(crate) use archive::{AuditFile, Gathered, begin_again, newest_signature};
pub(crate) use event::{Action, Circumstances, Event, HEADER, said};
pub(crate) use list::{Wanted, list};
pub(crate) use log::reserve;
pub use report::Report;
pub use reports::AuditDoor;
pub(crate) use rows::{Rows, insert, verify as verify_rows};
pub(crate) use ship::{AuditAnswer, AuditQuestion};

use frame::{PURPOSE, Sealer};
use kept::{KeepError, KeptEvents};
use log::{AppendError, LogError, LogSettings, OwnLog};
use ship::Shipping;
pub use verify::VerifyError;
pub(crate) use verify::{HostOnDisk, verify};
pub(crate) use wish::Wish;

use crate::clinic::Clinics;
use crate::mesh::Peers;
use crate::store::{GroupId, RecordStore};

/// A file of events this large is followed by another.
pub(crate) const FILE_BYTES: u64 = 64 << 20;

/// The audit events of this host.
pub(crate) struct Audit {
    settings: AuditSettings,
    store: Arc<dyn RecordStore>,
    groups: BTreeMap<GroupId, GroupAudit>,
    kept: KeptEvents,
    spans: Mutex<search::Spans>,
}

/// How it is kept.
pub(crate) struct AuditSettings {
    /// `audit` below the host's state.
    pub(crate) folder: PathBuf,
    /// Kept free on the disk, for each group.
    pub(crate) reserve_bytes: u64,
    /// A file of events this large is followed by another.
    pub(crate) file_bytes: u64,
    /// Reserves a file's blocks up to a length.
    pub(crate) allocate: fn(&File, u64) -> io::Result<()>,
    /// How long events of reading stay.
    pub(crate) keep: Duration,
    /// Whether there are other regions: then nothing goes that none of them has had.
    pub(crate) ships: bool,
    /// Whose records are in which group.
    pub(crate) clinics: Clinics,
    /// Signs checkpoints.
    pub(crate) key: SigningKey,
    /// Where this host is.
    pub(crate) region: String,
    /// Its name, once it has one.
    pub(crate) node: Box<dyn Fn() -> String + Send + Sync>,
    /// What people ordered lately, oldest first.
    pub(crate) ordered: Box<dyn Fn() -> Vec<Ordered> + Send + Sync>,
}

/// One group's.
#[derive(Default)]
struct GroupAudit {
    /// Opened with its first event.
    log: OnceCell<OwnLog>,
    shipping: tokio::sync::Mutex<Shipping>,
}

/// An event is not kept: what it tells of may not be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    #[error("this host has no key of the group yet")]
    NoKey,
    #[error("open the log of audit events")]
    Open(#[source] LogError),
    #[error("append to the log of audit events")]
    Append(#[source] AppendError),
}

impl Audit {
    pub(crate) fn new(settings: AuditSettings, store: Arc<dyn RecordStore>) -> Self {
        let groups = store.groups().into_iter().map(|group| (group, GroupAudit::default())).collect();
        let kept = KeptEvents::new(settings.folder.clone());
        Self { settings, store, groups, kept, spans: Mutex::default() }
    }

    /// Returns once events of reading are kept: on this host's disk, or, when that is full, on another's.
    pub(crate) async fn keep(
        &self,
        group: &GroupId,
        events: Vec<Event>,
        peers: &dyn Peers,
    ) -> Result<(), AuditError> {
        let log = self.log(group).await?;
        let kept = join_all(events.iter().map(|event| log.append(event.clone()))).await;
        for (event, kept) in events.iter().zip(kept) {
            match kept {
                Err(AppendError::Full) if self.keep_elsewhere(group, event, peers).await => {}
                kept => kept.map_err(AuditError::Append)?,
            }
        }
        Ok(())
    }

    async fn log(&self, group: &GroupId) -> Result<&OwnLog, AuditError> {
        let own = self.groups.get(group).ok_or(AuditError::NoKey)?;
        own.log
            .get_or_try_init(|| async {
                let sealer = self.sealer(group).ok_or(AuditError::NoKey)?;
                let settings = LogSettings {
                    folder: self.own_folder(group),
                    reserve_bytes: self.settings.reserve_bytes,
                    file_bytes: self.settings.file_bytes,
                    allocate: self.settings.allocate,
                    sync: std::fs::File::sync_data,
                };
                let opened = spawn_blocking(move || {
                    let (checkpoints, _) = checkpoint::read(&settings.folder).unwrap_or_default();
                    OwnLog::open(settings, sealer, |log| {
                        let of_log = checkpoints
                            .iter()
                            .filter(|checkpoint| checkpoint.chain == checkpoint::Chain::Reads(log));
                        of_log.map(|checkpoint| checkpoint.sequence).max().unwrap_or(0)
                    })
                });
                // The task only fails when the runtime shuts down.
                opened.await.map_err(|_| AuditError::NoKey)?.map_err(AuditError::Open)
            })
            .await
    }

    fn sealer(&self, group: &GroupId) -> Option<Sealer> {
        Sealer::new(group, &self.store.derived_key(group, PURPOSE)?)
    }

    fn own_folder(&self, group: &GroupId) -> PathBuf {
        own_folder(&self.settings.folder, group)
    }

    /// Keeps what another host of a group sent, or shows it what is here: the answer, and bytes that belong to it.
    /// Blocks.
    pub(crate) fn answer(
        &self,
        from: &NodeId,
        question: AuditQuestion,
        bytes: &[u8],
    ) -> Result<(AuditAnswer, Vec<u8>), KeepError> {
        match question {
            AuditQuestion::Events { group, file, offset } => {
                let held = self.kept.append((&group, from), file, offset, bytes);
                held.map(|bytes| (AuditAnswer::Held { bytes }, Vec::new()))
            }
            AuditQuestion::Checkpoint { group, token, key } => {
                let kept = self.kept.checkpoint((&group, from), &token, &key);
                kept.map(|()| (AuditAnswer::Kept, Vec::new())).map_err(KeepError::File)
            }
            AuditQuestion::Report { group, clinic, wish, logs } => {
                let part = self.part(&group, &clinic, &wish, logs.as_deref()).map_err(KeepError::File)?;
                let json = serde_json::to_vec(&part).map_err(|error| KeepError::File(error.into()))?;
                Ok((AuditAnswer::Part, json))
            }
        }
    }

    /// The name of this host.
    pub(crate) fn node(&self) -> String {
        (self.settings.node)()
    }

    /// Whether this host may hold events of the group.
    pub(crate) fn holds(&self, group: &GroupId) -> bool {
        self.store.derived_key(group, PURPOSE).is_some()
    }
}

impl AuditError {
    /// Whether the disk is full here, and nobody else keeps the event.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Append(AppendError::Full))
    }

    /// For the log: nothing in it is of a request.
    pub(crate) fn text(&self) -> String {
        chain(self)
    }
}

fn own_folder(audit: &Path, group: &GroupId) -> PathBuf {
    audit.join(group.as_str()).join("own")
}
