//! The record on disk: one file, replaced whole and flushed before anything it says is used.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use locum_identity::private_file;
use serde::{Deserialize, Serialize};

use crate::membership::Record;

/// 2: with record groups. 3: with operations. An older file is read as one without.
const FORMAT: u32 = 3;

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
    #[error("{path} is of format {format}, newer than this program")]
    Newer { path: PathBuf, format: u32 },
    #[error("{path} is damaged")]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// A record in a file. Holds a lock on the folder.
#[derive(Debug)]
pub(crate) struct FileStore {
    path: PathBuf,
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

impl FileStore {
    /// Opens `dir`, which only one process may do at a time, and reads what is there.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Record), OpenError> {
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
        let path = dir.join("membership.json");
        let record = match private_file::read_to_string(&path) {
            Ok(text) => parse(&path, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(source) => return Err(io(&path)(source)),
        };
        Ok((Self { path, _lock: lock }, record))
    }
}

impl Store for FileStore {
    fn save(&mut self, record: &Record) -> io::Result<()> {
        private_file::write(&self.path, &serde_json::to_vec(&Saved { format: FORMAT, record })?)
    }
}

fn parse(path: &Path, text: &str) -> Result<Record, OpenError> {
    let damaged = |source| OpenError::Damaged { path: path.to_owned(), source };
    let Format { format } = serde_json::from_str(text).map_err(damaged)?;
    if format > FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), format });
    }
    serde_json::from_str::<Loaded>(text).map(|loaded| loaded.record).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_and_its_folder_is_ours_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, mut record) = FileStore::open(dir.path()).unwrap();
        assert_eq!(record, Record::default());
        record.list.version = 7;
        record.spent.insert("token".to_owned(), 1);
        store.save(&record).unwrap();
        assert!(matches!(FileStore::open(dir.path()), Err(OpenError::Locked { .. })));
        drop(store);
        assert_eq!(FileStore::open(dir.path()).unwrap().1, record);
    }

    #[test]
    fn a_record_from_before_there_were_groups_is_read_and_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("membership.json");
        let old = r#"{"format":1,"record":{"members":{},"spent":{},"forgotten_until":5,
            "list":{"version":7,"issuedAtMs":1,"nodes":[]}}}"#;
        private_file::write(&path, old.as_bytes()).unwrap();
        let (mut store, record) = FileStore::open(dir.path()).unwrap();
        assert_eq!((record.list.version, record.groups.len()), (7, 0));
        store.save(&record).unwrap();
        assert!(private_file::read_to_string(&path).unwrap().starts_with(r#"{"format":3,"#));
    }

    #[test]
    fn a_newer_or_damaged_record_is_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("membership.json");
        private_file::write(&path, br#"{"format":4,"other":1}"#).unwrap();
        assert!(matches!(FileStore::open(dir.path()), Err(OpenError::Newer { format: 4, .. })));
        private_file::write(&path, b"{\"format\":1,\"rec").unwrap();
        assert!(matches!(FileStore::open(dir.path()), Err(OpenError::Damaged { .. })));
    }
}
