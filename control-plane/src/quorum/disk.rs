//! A member's own folder of the quorum: made once, and never taken for new when something of it is missing.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use locum_identity::{NodeId, private_file};
use serde::{Deserialize, Serialize};

use super::MemberId;
use super::raft::{LogError, LogFile, SnapshotFile};

const FORMAT: u32 = 1;
/// So much must fit on the disk before a member starts: a log that ends for want of room ends its member.
const ROOM_BYTES: u64 = 4 << 20;

/// Why a member does not start: it might forget what it promised to the others.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error("use {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "{path} is missing, and this member has voted and agreed with others before. Bring the file back from where \
         it was moved to. If it is lost, this member is: `locum member remove {name}` at another one, empty its \
         state_dir, and add it again. The only member there is comes back from a copy of its folder alone"
    )]
    Lost { path: PathBuf, name: String },
    #[error(
        "{path} is damaged ({detail}). Do not edit it. This member is lost with it: `locum member remove {name}` at \
         another one, empty its state_dir, and add it again. The only member there is comes back from a copy of its \
         folder alone"
    )]
    Damaged { path: PathBuf, name: String, detail: String },
    #[error("{path} is of format {format}, newer than this program")]
    Newer { path: PathBuf, format: u32 },
    #[error(
        "{path} belongs to member `{found}`, not to `{name}`: the configuration names another folder or node"
    )]
    Other { path: PathBuf, found: String, name: String },
    #[error("the disk of {path} is full: free {} MiB there, then start again", ROOM_BYTES >> 20)]
    Full {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct MemberFile {
    format: u32,
    id: MemberId,
    name: String,
}

/// The folder, open.
pub(crate) struct Disk {
    pub(crate) id: MemberId,
    /// It has never been part of anything.
    pub(crate) fresh: bool,
    pub(crate) log: LogFile,
    pub(crate) snapshot: SnapshotFile,
}

impl Disk {
    /// Whether a member has been made in `dir`.
    pub(crate) fn exists(dir: &Path) -> bool {
        dir.join("quorum/member.json").exists()
    }

    /// Makes a member's folder; one that was half made is made again.
    pub(crate) fn create(dir: &Path, id: MemberId, name: &NodeId) -> Result<(), DiskError> {
        let dir = dir.join("quorum");
        private_file::create_dir(&dir).map_err(io_at(&dir))?;
        let marker = dir.join("member.json");
        let name = name.to_string();
        if dir.join("log").exists() {
            // The marker is written last: without it nothing was ever said to anybody, unless somebody removed it.
            let log = LogFile::open(&dir).map_err(|error| of_log(error, &dir, &name))?;
            if !log.is_pristine() {
                return Err(DiskError::Lost { path: marker, name });
            }
        }
        LogFile::create(&dir).map_err(|error| of_log(error, &dir, &name))?;
        let text = serde_json::to_vec(&MemberFile { format: FORMAT, id, name })
            .map_err(|error| io_at(&marker)(error.into()))?;
        private_file::write(&marker, &text).map_err(io_at(&marker))
    }

    /// Opens what [`Self::create`] made.
    pub(crate) fn open(dir: &Path, name: &NodeId) -> Result<Self, DiskError> {
        let dir = dir.join("quorum");
        let name = name.to_string();
        let marker = read_marker(&dir.join("member.json"), &name)?;
        has_room(&dir)?;
        let log = LogFile::open(&dir).map_err(|error| of_log(error, &dir, &name))?;
        let snapshot = SnapshotFile::open(&dir).map_err(|error| of_log(error, &dir, &name))?;
        if log.purged_index() > snapshot.last_index() {
            return Err(DiskError::Lost { path: dir.join("snapshot"), name });
        }
        let fresh = log.is_pristine() && snapshot.last_index().is_none();
        Ok(Self { id: marker.id, fresh, log, snapshot })
    }
}

fn read_marker(path: &Path, name: &str) -> Result<MemberFile, DiskError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let text = match private_file::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DiskError::Lost { path: path.to_owned(), name: name.to_owned() });
        }
        Err(source) => return Err(io_at(path)(source)),
    };
    let damaged = |error: serde_json::Error| DiskError::Damaged {
        path: path.to_owned(),
        name: name.to_owned(),
        detail: error.to_string(),
    };
    let Format { format } = serde_json::from_str(&text).map_err(damaged)?;
    if format > FORMAT {
        return Err(DiskError::Newer { path: path.to_owned(), format });
    }
    let marker: MemberFile = serde_json::from_str(&text).map_err(damaged)?;
    if marker.name != name {
        let (path, name) = (path.to_owned(), name.to_owned());
        return Err(DiskError::Other { path, found: marker.name, name });
    }
    Ok(marker)
}

/// Tries it: what a file system says of its free space need not hold for this user.
fn has_room(dir: &Path) -> Result<(), DiskError> {
    let path = dir.join(".room");
    let zeros = io::Read::take(io::repeat(0), ROOM_BYTES);
    let tried = File::create(&path).and_then(|mut file| {
        io::copy(&mut { zeros }, &mut file)?;
        file.sync_all()
    });
    let removed = std::fs::remove_file(&path);
    match tried.and(removed) {
        Ok(()) => Ok(()),
        Err(source) if source.kind() == io::ErrorKind::StorageFull => {
            Err(DiskError::Full { path: dir.to_owned(), source })
        }
        Err(source) => Err(io_at(&path)(source)),
    }
}

fn of_log(error: LogError, dir: &Path, name: &str) -> DiskError {
    let name = name.to_owned();
    match error {
        LogError::Io { path, source } => DiskError::Io { path, source },
        LogError::Missing { file } => DiskError::Lost { path: dir.join(file), name },
        LogError::Damaged { file, detail } => DiskError::Damaged { path: dir.join(file), name, detail },
    }
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> DiskError + use<> {
    let path = path.to_owned();
    move |source| DiskError::Io { path, source }
}
