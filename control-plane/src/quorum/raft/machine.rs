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

/// How far the snapshot on disk reaches: so much the log may forget.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Saved {
    pub(crate) index: Option<u64>,
    /// One could not be written.
    pub(crate) failed: bool,
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
    /// Held by whoever writes the snapshot: one that was built here and one that came from the leader may meet.
    writing: Arc<Mutex<()>>,
    saved: Arc<watch::Sender<Saved>>,
    held: Arc<watch::Sender<Held>>,
}

impl Machine {
    pub(crate) fn new(file: SnapshotFile) -> Self {
        let (held, applied, members) = match &file.newest {
            Some(Stored { meta, held }) => (held.clone(), meta.last_log_id, meta.last_membership.clone()),
            None => Default::default(),
        };
        let saved = Saved { index: file.last_index(), failed: false };
        let state = State { applied, members, newest: file.newest, snapshots: 0 };
        Self {
            path: Arc::new(file.path),
            state: Arc::new(Mutex::new(state)),
            writing: Arc::default(),
            saved: Arc::new(watch::Sender::new(saved)),
            held: Arc::new(watch::Sender::new(held)),
        }
    }

    pub(crate) fn held(&self) -> Held {
        self.held.borrow().clone()
    }

    pub(crate) fn saved(&self) -> watch::Receiver<Saved> {
        self.saved.subscribe()
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
        let written = tokio::task::spawn_blocking(move || machine.write(stored)).await;
        written.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|error| {
            self.saved.send_modify(|saved| saved.failed = true);
            tracing::error!(%error, "could not write the snapshot: this member ends");
            StorageIOError::new(ErrorSubject::Snapshot(None), ErrorVerb::Write, AnyError::new(&error)).into()
        })
    }
}

impl Machine {
    /// Blocks. Leaves a newer one alone: the log may have forgotten what an older one lacks.
    fn write(&self, stored: Stored) -> io::Result<()> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let upto = stored.meta.last_log_id;
        if self.lock().newest.as_ref().is_some_and(|newest| newest.meta.last_log_id > upto) {
            return Ok(());
        }
        SnapshotFile::save(&self.path, &stored)?;
        self.lock().newest = Some(stored);
        self.saved.send_modify(|saved| saved.index = upto.map(|id| id.index));
        Ok(())
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
                EntryPayload::Normal(change) => {
                    Outcome { term: entry.log_id.leader_id.get_term(), ..self.change(change) }
                }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openraft::CommittedLeaderId;
    use openraft::storage::RaftLogStorage as _;

    use super::super::LogFile;
    use super::super::log_store::LogStore;
    use super::*;

    fn id(index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(1, MemberId(1)), index)
    }

    fn upto(index: u64) -> Stored {
        let meta = SnapshotMeta { last_log_id: Some(id(index)), ..SnapshotMeta::default() };
        Stored { meta, held: Held { revision: index, record: Value::Null } }
    }

    #[test]
    fn an_older_snapshot_does_not_replace_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let machine = Machine::new(SnapshotFile::open(dir.path()).unwrap());
        machine.write(upto(9)).unwrap();
        machine.write(upto(5)).unwrap();
        assert_eq!(SnapshotFile::open(dir.path()).unwrap().last_index(), Some(9));
        assert_eq!(machine.saved().borrow().index, Some(9));
    }

    #[tokio::test]
    async fn the_log_forgets_nothing_that_no_snapshot_holds() {
        let dir = tempfile::tempdir().unwrap();
        LogFile::create(dir.path()).unwrap();
        let machine = Machine::new(SnapshotFile::open(dir.path()).unwrap());
        let mut log = LogStore::new(LogFile::open(dir.path()).unwrap(), Some(machine.saved()));
        let early = tokio::time::timeout(Duration::from_millis(100), log.purge(id(5))).await;
        assert!(early.is_err(), "{early:?}");
        assert_eq!(LogFile::open(dir.path()).unwrap().purged(), None);
        machine.write(upto(9)).unwrap();
        log.purge(id(5)).await.unwrap();
        assert_eq!(LogFile::open(dir.path()).unwrap().purged(), Some(id(5)));
    }
}
