//! Files of sealed chunks of one group on this host.
//!
//! ```text
//! blobs/<group>/<object>               whole and synced
//! blobs/<group>/<object>.part-<from>   being written, by this host or for another
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use locum_identity::private_file;
use sha2::{Digest, Sha256};

use super::seal::ObjectId;
use crate::store::GroupId;

/// SHA-256 of a whole file.
pub(super) type FileHash = [u8; 32];

/// One group's folder.
#[derive(Clone)]
pub(super) struct Disk(PathBuf);

/// A file that is being written.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// What lies there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) bytes: u64,
    pub(super) age: Duration,
}

impl Disk {
    pub(super) fn new(blobs: &Path, group: &GroupId) -> Self {
        Self(blobs.join(group.as_str()))
    }

    pub(super) fn path(&self, object: ObjectId) -> PathBuf {
        self.0.join(object.to_string())
    }

    /// Goes on with what `from` sent before, if anything.
    pub(super) fn part(&self, object: ObjectId, from: &str) -> io::Result<Part> {
        private_file::create_dir(&self.0)?;
        let path = self.0.join(format!("{object}.part-{from}"));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Part { path, file, bytes })
    }

    /// Makes a part a whole file, on the disk for good, if it is what it should be; false otherwise, and the
    /// part is gone.
    pub(super) fn keep(&self, object: ObjectId, mut part: Part, hash: &FileHash) -> io::Result<bool> {
        if part.hash()? != *hash {
            fs::remove_file(&part.path)?;
            return Ok(false);
        }
        part.file.sync_all()?;
        fs::rename(&part.path, self.path(object))?;
        File::open(&self.0)?.sync_all()?;
        Ok(true)
    }

    /// Bytes of a whole file; `None` where there is none, or it ends before.
    pub(super) fn read(&self, object: ObjectId, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; length];
        let read = File::open(self.path(object)).and_then(|file| file.read_exact_at(&mut bytes, offset));
        match read {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The hash of a whole file.
    pub(super) fn hash(&self, object: ObjectId) -> io::Result<Option<FileHash>> {
        match File::open(self.path(object)) {
            Ok(mut file) => hash(&mut file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn find(&self, object: ObjectId) -> io::Result<Option<Found>> {
        match fs::metadata(self.path(object)) {
            Ok(metadata) => Ok(Some(found(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every file: its object, when it is whole, and its path.
    pub(super) fn list(&self) -> io::Result<Vec<(Option<ObjectId>, PathBuf, Found)>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut list = Vec::new();
        for entry in entries {
            let entry = entry?;
            let object = entry.file_name().to_str().and_then(|name| name.parse().ok());
            list.push((object, entry.path(), found(&entry.metadata()?)));
        }
        Ok(list)
    }
}

impl Part {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn hash(&mut self) -> io::Result<FileHash> {
        hash(&mut File::open(&self.path)?)
    }

    /// Nobody will go on with it.
    pub(super) fn discard(self) {
        // What stays is swept away later.
        let _ = fs::remove_file(&self.path);
    }
}

fn hash(file: &mut File) -> io::Result<FileHash> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

fn found(metadata: &fs::Metadata) -> Found {
    let age = metadata.modified().ok().and_then(|at| SystemTime::now().duration_since(at).ok());
    Found { bytes: metadata.len(), age: age.unwrap_or_default() }
}
