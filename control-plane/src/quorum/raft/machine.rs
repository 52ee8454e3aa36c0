//! What the log makes: the record. Kept in memory, and now and then on disk as a snapshot, whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use locum_identity::private_file;
use openraft::storage::{RaftStateMachine, Snapshot};
use openraft::{
    AnyError, EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder, StorageIOError,
    StoredMembership,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::{Entry, LogError, LogId, SnapshotMeta, StorageError, Types};
use crate::quorum::{Change, Held, MemberId, Outcome, Place};

type Members = StoredMembership<MemberId, Place>;

/// The snapshot on disk: one line of checksum, then JSON.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    path: PathBuf,
    newest: Option<Stored>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    meta: SnapshotMeta,
    held: Held,
}

impl SnapshotFile {
    /// What is there, if it is whole.
    pub(crate) fn open(dir: &Path) -> Result<Self, LogError> {
        let path = dir.join("snapshot");
        let damaged = |detail: &str| LogError::Damaged { file: "snapshot", detail: detail.to_owned() };
        let text = match private_file::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { path, newest: None }),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(damaged("it is no text")),
            Err(source) => return Err(LogError::Io { path, source }),
        };
        let (crc, json) = text.split_once('\n').ok_or_else(|| damaged("it has no checksum"))?;
        if crc != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
            return Err(damaged("its checksum does not match"));
        }
        let newest = serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))?;
        Ok(Self { path, newest: Some(newest) })
    }

    /// The newest entry that is in it.
    pub(crate) fn last_index(&self) -> Option<u64> {
        self.newest.as_ref()?.meta.last_log_id.map(|id| id.index)
    }

    /// Returns once it would survive a power cut.
    fn save(path: &Path, stored: &Stored) -> io::Result<()> {
        let json = serde_json::to_string(stored)?;
        let text = format!("{:08x}\n{json}", crc32fast::hash(json.as_bytes()));
        private_file::write(path, text.as_bytes())
    }
}

struct State {
    applied: Option<LogId>,
    members: Members,
    newest: Option<Stored>,
    snapshots: u64,
}

/// The record as agreed on.
#[derive(Clone)]
pub(crate) struct Machine {
    path: Arc<PathBuf>,
    state: Arc<Mutex<State>>,
    held: Arc<watch::Sender<Held>>,
}

impl Machine {
    pub(crate) fn new(file: SnapshotFile) -> Self {
        let (held, applied, members) = match &file.newest {
            Some(Stored { meta, held }) => (held.clone(), meta.last_log_id, meta.last_membership.clone()),
            None => Default::default(),
        };
        let state = State { applied, members, newest: file.newest, snapshots: 0 };
        Self {
            path: Arc::new(file.path),
            state: Arc::new(Mutex::new(state)),
            held: Arc::new(watch::Sender::new(held)),
        }
    }

    pub(crate) fn held(&self) -> Held {
        self.held.borrow().clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: Change) -> Outcome {
        let mut outcome = Outcome::default();
        self.held.send_if_modified(|held| {
            match change {
                Change::Begin => {
                    held.revision += 1;
                    outcome.changed = true;
                }
                Change::Record { base, patch } if base == held.revision => {
                    let mut record: Value = held.record.clone();
                    if patch.apply(&mut record).is_ok() {
                        *held = Held { revision: base + 1, record };
                        outcome.changed = true;
                    }
                }
                Change::Record { .. } => {}
            }
            outcome.revision = held.revision;
            outcome.changed
        });
        outcome
    }

    async fn store(&self, stored: Stored) -> Result<(), StorageError> {
        let machine = self.clone();
        let saved = tokio::task::spawn_blocking(move || {
            SnapshotFile::save(&machine.path, &stored)?;
            machine.lock().newest = Some(stored);
            Ok(())
        });
        saved.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| {
            tracing::error!(%error, "could not write the snapshot: this member ends");
            StorageIOError::new(ErrorSubject::Snapshot(None), ErrorVerb::Write, AnyError::new(&error)).into()
        })
    }
}

impl RaftSnapshotBuilder<Types> for Machine {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let stored = {
            let mut state = self.lock();
            state.snapshots += 1;
            let index = state.applied.map_or(0, |id| id.index);
            let meta = SnapshotMeta {
                last_log_id: state.applied,
                last_membership: state.members.clone(),
                snapshot_id: format!("{index}-{}", state.snapshots),
            };
            Stored { meta, held: self.held() }
        };
        self.store(stored.clone()).await?;
        Ok(Snapshot { meta: stored.meta, snapshot: Box::new(stored.held) })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, Members), StorageError> {
        let state = self.lock();
        Ok((state.applied, state.members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut state = self.lock();
        let apply = |entry: Entry| {
            state.applied = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => Outcome::default(),
                EntryPayload::Normal(change) => self.change(change),
                EntryPayload::Membership(members) => {
                    state.members = StoredMembership::new(Some(entry.log_id), members);
                    Outcome::default()
                }
            }
        };
        Ok(entries.into_iter().map(apply).collect())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Held>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, held: Box<Held>) -> Result<(), StorageError> {
        self.store(Stored { meta: meta.clone(), held: (*held).clone() }).await?;
        let mut state = self.lock();
        (state.applied, state.members) = (meta.last_log_id, meta.last_membership.clone());
        self.held.send_replace(*held);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let newest = self.lock().newest.clone();
        Ok(newest.map(|Stored { meta, held }| Snapshot { meta, snapshot: Box::new(held) }))
    }
}
