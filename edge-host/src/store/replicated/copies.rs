//! A group's folder on this host: the promise, and one folder an epoch.
//!
//! ```text
//! records/<group>/voter.json                  what this voter promised; written before it is said
//! records/<group>/epochs/<epoch>/data.db      the copy that follows that epoch's log
//! records/<group>/epochs/<epoch>/data-*.db    the same, made of an older copy and what the primary sent
//! records/<group>/epochs/<epoch>/copy         which of these files it is
//! records/<group>/epochs/<epoch>/complete     the copy once held all that the primary had
//! records/<group>/epochs/<epoch>/tail.json    the copy holds what did not become history and is not in `tails` yet
//! records/<group>/epochs/<epoch>/engine/      sqld's own folder, where this host led
//! ```

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use locum_identity::private_file;
use locum_replication::{Epoch, FrameNo, Position};
use locum_telemetry::config::chain;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::applier::Stamp;
use super::digest::PageHasher;
use super::engine;
use super::tails::{TailError, TailMark, Tails};
use crate::store::keys::KeyError;
use crate::store::migrations::offline::{self, Leave};
use crate::store::migrations::{MigrationError, Schema};
use crate::store::pages::PageReader;
use crate::store::readers::Readers;
use crate::store::sqlite::{Database, DatabaseKey};
use crate::store::{GroupId, MasterKey, SqlError};

/// A copy is read for this long at most while another is made from it.
pub(super) const WITHIN: Duration = Duration::from_secs(600);

/// A copy's file, unless `copy` names another.
const DATA_FILE: &str = "data.db";

/// The folder of one group.
#[derive(Clone)]
pub(super) struct Copies {
    group: GroupId,
    folder: PathBuf,
    master_key: MasterKey,
    /// All copies of a group have one key, which each host wraps with its own.
    key: Arc<Mutex<Option<DatabaseKey>>>,
    /// Held while older copies are cleared away.
    clearing: Arc<Mutex<()>>,
}

/// A copy cannot be made, read or kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("read {path}")]
    Malformed {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("open the copy {path}")]
    Database {
        path: PathBuf,
        #[source]
        source: SqlError,
    },
    #[error("migrate")]
    Migration(#[source] MigrationError),
    #[error("use the group's key")]
    Key(#[source] KeyError),
    #[error("keep what was not acknowledged")]
    Tail(#[source] TailError),
}

impl Copies {
    /// Below `folder`, which exists.
    pub(super) fn open(group: GroupId, folder: &Path, master_key: &MasterKey) -> Result<Self, KeyError> {
        let key = master_key.kept_key(&group, &folder.join("key.json"))?;
        let master_key = master_key.clone();
        let (key, clearing) = (Arc::new(Mutex::new(key)), Arc::default());
        Ok(Self { group, folder: folder.to_owned(), master_key, key, clearing })
    }

    pub(super) fn group(&self) -> &GroupId {
        &self.group
    }

    /// The folder of all this.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The group's key, once there is one.
    pub(super) fn key(&self) -> Result<DatabaseKey, CopyError> {
        let key = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        key.ok_or_else(|| CopyError::Key(KeyError::Missing(self.group.clone())))
    }

    /// The key of a group that begins.
    fn make_key(&self) -> Result<(), CopyError> {
        let made = self.master_key.group_key(
            &self.group,
            &self.key_file(),
            &self.folder.join("epochs").join("1").join("complete"),
        );
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.map_err(CopyError::Key)?);
        Ok(())
    }

    /// Takes over the key that the group's other hosts have.
    pub(super) fn adopt_key(&self, key: &str) -> Result<(), CopyError> {
        if self.key().is_ok_and(|own| own.expose() == key) {
            return Ok(());
        }
        let adopted = self.master_key.adopt_key(&self.group, &self.key_file(), key);
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(adopted.map_err(CopyError::Key)?);
        Ok(())
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("key.json")
    }

    /// This voter's durable state, if it has any.
    pub(super) fn load_voter<T: DeserializeOwned>(&self) -> Result<Option<T>, CopyError> {
        read_json(&self.folder.join("voter.json"))
    }

    /// Returns once it would survive a power cut.
    pub(super) fn save_voter<T: Serialize>(&self, voter: &T) -> Result<(), CopyError> {
        let path = self.folder.join("voter.json");
        let bytes = serde_json::to_vec(voter)
            .map_err(|source| CopyError::Malformed { path: path.clone(), source })?;
        private_file::write(&path, &bytes).map_err(|source| CopyError::File { path, source })
    }

    /// Makes the folder of an epoch and returns the path of its copy.
    pub(super) fn make(&self, epoch: Epoch) -> Result<PathBuf, CopyError> {
        let folder = self.epoch_folder(epoch);
        private_file::create_dir(&folder)
            .map_err(|source| CopyError::File { path: folder.clone(), source })?;
        Ok(self.data_file(epoch))
    }

    /// Where an epoch's copy stands.
    pub(super) fn data_file(&self, epoch: Epoch) -> PathBuf {
        let named = fs::read_to_string(self.copy_file(epoch)).unwrap_or_default();
        self.epoch_folder(epoch).join(if named.is_empty() { DATA_FILE } else { &named })
    }

    /// Says that `file` in its folder is the copy of `epoch`: what the primary held at one moment.
    pub(super) fn mark_fetched(&self, epoch: Epoch, file: &Path) -> Result<(), CopyError> {
        let path = self.copy_file(epoch);
        let name = file.file_name().unwrap_or_default().as_bytes();
        private_file::write(&path, name).map_err(|source| CopyError::File { path, source })
    }

    /// Whether the log can go on from here: either fetched, or once complete.
    pub(super) fn is_begun(&self, epoch: Epoch) -> bool {
        self.is_complete(epoch) || self.copy_file(epoch).exists()
    }

    /// Says that the copy of `epoch` is a whole one, for good.
    pub(super) fn mark_complete(&self, epoch: Epoch) -> Result<(), CopyError> {
        let path = self.epoch_folder(epoch).join("complete");
        private_file::write(&path, b"").map_err(|source| CopyError::File { path, source })
    }

    pub(super) fn is_complete(&self, epoch: Epoch) -> bool {
        self.epoch_folder(epoch).join("complete").exists()
    }

    /// The newest complete copy and where it stands.
    pub(super) fn newest(&self) -> Result<Option<Position>, CopyError> {
        let newest = self.epochs()?.into_iter().rev().find(|epoch| self.is_complete(*epoch));
        let Some(epoch) = newest else { return Ok(None) };
        Ok(self.position(epoch)?.map(|frame| Position::new(epoch, frame)))
    }

    /// Says that a copy holds what did not become history: it stays until that is kept for people.
    pub(super) fn mark_tail(&self, mark: TailMark) -> Result<(), CopyError> {
        let path = self.tail_file(mark.copy.epoch);
        let bytes = serde_json::to_vec(&mark)
            .map_err(|source| CopyError::Malformed { path: path.clone(), source })?;
        private_file::write(&path, &bytes).map_err(|source| CopyError::File { path, source })
    }

    /// Once enough voters hold `epoch`, and this one does: keeps the tails of older copies, then removes those
    /// copies. Blocks, for as long as it takes to read the copies.
    pub(super) fn clear_before(&self, epoch: Epoch) -> Result<(), CopyError> {
        let _one_at_a_time = self.clearing.lock().unwrap_or_else(PoisonError::into_inner);
        for old in self.epochs()?.into_iter().filter(|old| *old < epoch) {
            let mark = self.tail_file(old);
            if let Some(mark) = read_json::<TailMark>(&mark)? {
                let rows = self.keep_tail(mark, epoch)?;
                tracing::warn!(group = %self.group, epoch = old.0, rows, "what was not acknowledged is kept");
            }
            let path = self.epoch_folder(old);
            fs::remove_dir_all(&path).map_err(|source| CopyError::File { path, source })?;
            tracing::info!(epoch = old.0, "old copy removed");
        }
        self.count_tails()
    }

    /// Tails that are old enough go.
    pub(super) fn count_tails(&self) -> Result<(), CopyError> {
        let left = self.tails().expire().map_err(CopyError::Tail)?;
        metrics::gauge!("locum_edge_tails_kept", "group" => self.group.as_str().to_owned()).set(left as f64);
        Ok(())
    }

    fn keep_tail(&self, mark: TailMark, epoch: Epoch) -> Result<u64, CopyError> {
        let open = |epoch: Epoch| {
            let path = self.data_file(epoch);
            let opened = Readers::new(&path, self.key()?).connection();
            opened.map_err(|source| CopyError::Database { path, source })
        };
        let (mut lost, mut kept) = (open(mark.copy.epoch)?, open(epoch)?);
        // One moment of the copy that grows meanwhile.
        kept.host("BEGIN", &[])
            .map_err(|source| CopyError::Database { path: self.data_file(epoch), source })?;
        self.tails().keep(mark, &mut lost, &mut kept).map_err(CopyError::Tail)
    }

    fn tails(&self) -> Tails {
        Tails::new(&self.group, &self.folder, &self.master_key)
    }

    /// Makes the folder in which `epoch`'s engine starts: the copy `from` with its schema brought up to date,
    /// or an empty database. Nothing may write to the copy meanwhile. Blocks.
    pub(super) fn make_engine_folder(
        &self,
        epoch: Epoch,
        from: Option<Epoch>,
        schema: &Schema,
    ) -> Result<PathBuf, CopyError> {
        let folder = self.epoch_folder(epoch).join("engine");
        let data = engine::data_file(&folder);
        // A left-over of a start that failed before the engine ran.
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(file_error(&folder))?;
        }
        let parent = data.parent().unwrap_or(&folder);
        private_file::create_dir(parent).map_err(file_error(parent))?;
        match from {
            Some(from) => drop(self.clone_copy(from, &data)?),
            None => self.make_key()?,
        }
        let database_error = |source| CopyError::Database { path: data.clone(), source };
        let mut database = Database::open_tuned(&data, &self.key()?).map_err(database_error)?;
        for setting in ["journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"] {
            database.host(&format!("PRAGMA {setting}"), &[]).map_err(database_error)?;
        }
        match offline::bring_up(&mut database, schema, Leave::Backfills) {
            Ok(()) => {}
            // Nothing of this release runs on it; but nobody may hold more of it, so others get it from here.
            Err(error @ MigrationError::Contracted { .. }) => {
                tracing::warn!(epoch = epoch.0, error = chain(&error), "leads only to hand its copy on");
            }
            Err(error) => return Err(CopyError::Migration(error)),
        }
        database.host("PRAGMA wal_checkpoint(TRUNCATE)", &[]).map_err(database_error)?;
        // The last connection: closing it removes the empty log.
        drop(database);
        // This host's own copy of the new epoch begins as the same file. The engine's need not outlive a power cut:
        // it is never started on it again.
        let own = self.make(epoch)?;
        fs::copy(&data, &own).map_err(file_error(&own))?;
        Ok(folder)
    }

    /// Returns once the copy that an epoch begins with is on disk. Blocks.
    pub(super) fn sync(&self, epoch: Epoch) -> Result<(), CopyError> {
        let path = self.data_file(epoch);
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|source| CopyError::File { path, source })
    }

    /// A new file for the copy of `epoch`: this host's newest copy as it is, with a snapshot of that, or
    /// nothing. What former attempts left is removed. Blocks.
    pub(super) fn begin_fetch(&self, epoch: Epoch) -> Result<(PathBuf, Option<PageReader>), CopyError> {
        self.make(epoch)?;
        self.remove_attempts(epoch)?;
        // A new name: an attempt that was given up cannot reach it.
        let name = format!("data-{}.db", uuid::Uuid::new_v4().simple());
        let target = self.epoch_folder(epoch).join(name);
        let base = self.epochs()?.into_iter().rev().find(|epoch| self.is_begun(*epoch));
        let base = base.map(|base| self.clone_copy(base, &target)).transpose()?;
        Ok((target, base))
    }

    /// Removes files of copies that never became whole, or that another one has replaced.
    fn remove_attempts(&self, epoch: Epoch) -> Result<(), CopyError> {
        let folder = self.epoch_folder(epoch);
        let kept = self.is_begun(epoch).then(|| self.data_file(epoch));
        let kept = kept.as_deref().and_then(Path::file_name).unwrap_or_default().as_bytes();
        for entry in fs::read_dir(&folder).map_err(file_error(&folder))? {
            let entry = entry.map_err(file_error(&folder))?;
            let name = entry.file_name();
            let is_kept = !kept.is_empty() && name.as_bytes().starts_with(kept);
            if name.as_bytes().starts_with(b"data") && !is_kept {
                fs::remove_file(entry.path()).map_err(file_error(&entry.path()))?;
            }
        }
        Ok(())
    }

    /// Copies a database file and its log while a snapshot is open on them, which it answers. That keeps the log
    /// from beginning anew; what a checkpoint moves into the file meanwhile still stands in the log too.
    fn clone_copy(&self, from: Epoch, to: &Path) -> Result<PageReader, CopyError> {
        let path = self.data_file(from);
        let readers = Readers::new(&path, self.key()?);
        let reader = PageReader::begin(&readers, Instant::now() + WITHIN)
            .map_err(|source| CopyError::Database { path: path.clone(), source })?;
        for suffix in ["", "-wal"] {
            let (from, to) = (with_suffix(&path, suffix), with_suffix(to, suffix));
            // Shares the blocks where the file system can.
            let cloned = private_file::write(&to, b"").and_then(|()| {
                let mut to = File::options().write(true).open(&to)?;
                io::copy(&mut File::open(&from)?, &mut to)
            });
            match cloned {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
                cloned => drop(cloned.map_err(|source| CopyError::File { path: to, source })?),
            }
        }
        Ok(reader)
    }

    /// For comparing copies page by page.
    pub(super) fn hasher(&self) -> Result<PageHasher, CopyError> {
        Ok(PageHasher::new(&self.key()?.derive(&self.group, "page hashes")))
    }

    /// The last frame of an epoch's copy, as the copy itself says.
    fn position(&self, epoch: Epoch) -> Result<Option<FrameNo>, CopyError> {
        let path = self.data_file(epoch);
        if !path.exists() {
            return Ok(None);
        }
        let database_error = |source| CopyError::Database { path: path.clone(), source };
        let first = PageReader::begin(&Readers::new(&path, self.key()?), Instant::now() + WITHIN)
            .and_then(|mut reader| reader.first_page())
            .map_err(database_error)?;
        let stamp = Stamp::of(&first).filter(|stamp| stamp.position.epoch == epoch);
        Ok(stamp.map(|stamp| stamp.position.frame))
    }

    /// In order.
    fn epochs(&self) -> Result<Vec<Epoch>, CopyError> {
        let path = self.folder.join("epochs");
        let file_error = |source| CopyError::File { path: path.clone(), source };
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(file_error(error)),
        };
        let mut epochs = Vec::new();
        for entry in entries {
            let name = entry.map_err(file_error)?.file_name();
            epochs.extend(name.to_str().and_then(|name| name.parse().ok()).map(Epoch));
        }
        epochs.sort_unstable();
        Ok(epochs)
    }

    fn copy_file(&self, epoch: Epoch) -> PathBuf {
        self.epoch_folder(epoch).join("copy")
    }

    fn tail_file(&self, epoch: Epoch) -> PathBuf {
        self.epoch_folder(epoch).join("tail.json")
    }

    fn epoch_folder(&self, epoch: Epoch) -> PathBuf {
        self.folder.join("epochs").join(epoch.to_string())
    }
}

/// `None` where there is no such file.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, CopyError> {
    match private_file::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| CopyError::Malformed { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CopyError::File { path: path.to_owned(), source }),
    }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> CopyError + use<> {
    let path = path.to_owned();
    move |source| CopyError::File { path, source }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
