//! How a record is kept: agreed on by the members before anything it says is used.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use locum_identity::private_file;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::membership::Record;
use crate::quorum::{Change, Held, Patch, Quorum};

/// 5: with the names of operators. Records of format 1 (without record groups), 2, 3 (with the members of the control
/// plane) and 4 (with operations) are read too.
const FORMAT: u32 = 5;
/// What the only member there was kept, before there were several.
const FORMER: &str = "membership.json";

/// Keeps a record.
pub(crate) trait Store {
    /// Returns once `record` would survive a power cut. After an error the old one or the new one does.
    fn save(&mut self, record: &Record) -> io::Result<()>;
}

/// The folder of a member cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("use {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another member runs on {path}")]
    Locked { path: PathBuf },
    #[error(
        "{path} is missing, and there are keys beside it: this member was part of a network. Bring the folder back. If it \
         is lost and other members live, remove this one at another, empty its state_dir, and add it again with [join] in \
         its configuration. Beginning anew with these keys would make a second network that nodes take for the first one"
    )]
    Lost { path: PathBuf },
    #[error("read {path}")]
    Record {
        path: PathBuf,
        #[source]
        source: RecordError,
    },
}

/// Not a record, or not one for this program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("the record is of format {format}, newer than this program")]
    Newer { format: u32 },
    #[error("the record is damaged")]
    Damaged(#[source] serde_json::Error),
}

/// A member's folder, which only one process may use at a time.
#[derive(Debug)]
pub(crate) struct Folder {
    former: PathBuf,
    _lock: File,
}

#[derive(Serialize)]
struct Saved<'a> {
    format: u32,
    record: &'a Record,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Loaded {
    #[serde(rename = "format")]
    _format: u32,
    record: Record,
}

impl Folder {
    /// Opens `dir`, or makes it.
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        private_file::create_dir(dir).map_err(io(dir))?;
        let lock = File::create(dir.join("lock")).map_err(io(dir))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::Locked { path: dir.to_owned() },
            TryLockError::Error(source) => OpenError::Io { path: dir.to_owned(), source },
        })?;
        Ok(Self { former: dir.join(FORMER), _lock: lock })
    }

    /// Whether a network may begin here.
    pub(crate) fn may_found(&self) -> Result<(), OpenError> {
        let (keys, quorum) = (self.former.with_file_name("ca.pem"), self.former.with_file_name("quorum"));
        if keys.exists() && !self.former.exists() {
            return Err(OpenError::Lost { path: quorum });
        }
        Ok(())
    }

    /// The record of a release that knew only one member.
    pub(crate) fn former(&self) -> Result<Option<Record>, OpenError> {
        let path = || self.former.clone();
        match private_file::read_to_string(&self.former) {
            Ok(text) => {
                let value = serde_json::from_str(&text).map_err(RecordError::Damaged);
                let record = value.and_then(|value| read(&value));
                record.map(Some).map_err(|source| OpenError::Record { path: path(), source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(OpenError::Io { path: path(), source }),
        }
    }

    /// The members have agreed on it: a later start must not take it for news.
    pub(crate) fn set_former_aside(&self) {
        let aside = self.former.with_extension("json.before-quorum");
        match std::fs::rename(&self.former, aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "could not rename the record of the release before");
            }
            _ => {}
        }
    }
}

/// A record, as members agree on it.
pub(crate) fn write(record: &Record) -> serde_json::Result<Value> {
    serde_json::to_value(Saved { format: FORMAT, record })
}

/// What [`write`] made, by this release or one before.
pub(crate) fn read(value: &Value) -> Result<Record, RecordError> {
    let Format { format } = Format::deserialize(value).map_err(RecordError::Damaged)?;
    if format > FORMAT {
        return Err(RecordError::Newer { format });
    }
    Loaded::deserialize(value).map(|loaded| loaded.record).map_err(RecordError::Damaged)
}

/// A record that the members keep. Its first failure is its last: what became of the change is not known here, and
/// whoever leads next finds out.
pub(crate) struct QuorumStore<Q> {
    quorum: Q,
    runtime: Handle,
    held: Held,
    ended: CancellationToken,
}

impl<Q: Quorum> QuorumStore<Q> {
    /// Changes `held`. Cancels `ended` when it fails, and fails once that is cancelled. Must be used outside of the
    /// runtime's own threads.
    pub(crate) fn new(quorum: Q, runtime: Handle, held: Held, ended: CancellationToken) -> Self {
        Self { quorum, runtime, held, ended }
    }

    fn propose(&mut self, record: &Record) -> io::Result<()> {
        if self.ended.is_cancelled() {
            return Err(io::Error::other("this member does not lead any more"));
        }
        let next = write(record)?;
        let Some(patch) = Patch::between(&self.held.record, &next) else { return Ok(()) };
        let change = Change::Record { base: self.held.revision, patch };
        let outcome = self.runtime.block_on(self.quorum.propose(change)).map_err(io::Error::other)?;
        self.held = Held { revision: outcome.revision, record: next };
        Ok(())
    }
}

impl<Q: Quorum> Store for QuorumStore<Q> {
    fn save(&mut self, record: &Record) -> io::Result<()> {
        self.propose(record).inspect_err(|_| self.ended.cancel())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_uses_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert!(matches!(Folder::open(dir.path()), Err(OpenError::Locked { .. })));
        drop(folder);
        assert!(Folder::open(dir.path()).unwrap().former().unwrap().is_none());
    }

    #[test]
    fn no_second_network_begins_with_the_keys_of_a_first() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert!(folder.may_found().is_ok());
        private_file::write(&dir.path().join("ca.pem"), b"x").unwrap();
        assert!(matches!(folder.may_found(), Err(OpenError::Lost { path }) if path.ends_with("quorum")));
        private_file::write(&dir.path().join(FORMER), b"{}").unwrap();
        assert!(folder.may_found().is_ok(), "a release that knew one member left a record");
        folder.set_former_aside();
        assert!(folder.may_found().is_err());
    }

    #[test]
    fn records_of_earlier_releases_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        for (format, groups) in [(1, ""), (2, r#","groups":{}"#)] {
            let old = format!(
                r#"{{"format":{format},"record":{{"members":{{}},"spent":{{}},"forgotten_until":5,
                "list":{{"version":7,"issuedAtMs":1,"nodes":[]}}{groups}}}}}"#
            );
            private_file::write(&dir.path().join(FORMER), old.as_bytes()).unwrap();
            let record = folder.former().unwrap().unwrap();
            assert_eq!((record.list.version, record.groups.len()), (7, 0));
            assert_eq!(read(&write(&record).unwrap()).unwrap(), record);
        }
        folder.set_former_aside();
        assert!(folder.former().unwrap().is_none());
        folder.set_former_aside();
    }

    #[test]
    fn a_newer_or_damaged_record_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let path = dir.path().join(FORMER);
        private_file::write(&path, br#"{"format":6,"other":1}"#).unwrap();
        let newer = folder.former();
        assert!(
            matches!(newer, Err(OpenError::Record { source: RecordError::Newer { format: 6 }, .. })),
            "{newer:?}"
        );
        private_file::write(&path, b"{\"format\":1,\"rec").unwrap();
        let damaged = folder.former();
        assert!(matches!(damaged, Err(OpenError::Record { source: RecordError::Damaged(_), .. })));
    }
}
