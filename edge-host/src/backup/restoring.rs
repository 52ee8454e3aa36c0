//! `locum-edge restore`: record groups come back on a host that has none, from backup, keyring and key only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use locum_backup::{
    BackupId, BucketAccess, KeyError, MasterKey as BackupMasterKey, Place, PlaceError, ReadError, Repository,
};
use locum_identity::private_file;
use locum_replication::{Epoch, FrameNo, Position};
use serde::Serialize;

use super::rebuild::{self, RebuildError, Rebuilt};
use crate::store::{
    GroupId, KeyError as StoreKeyError, MasterKey, OpenError, Scratch, folder_of, lock_records,
};

/// What to restore, and where.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// A folder, or `s3://bucket/below`.
    pub from: String,
    /// Where the backups' keys are, if not there.
    pub keyring: Option<String>,
    /// The backup master key.
    pub key_file: PathBuf,
    /// This group only.
    pub group: Option<GroupId>,
    /// As it was then; otherwise as new as there is.
    pub at: Option<Timestamp>,
    /// This backup, not the newest that fits.
    pub backup: Option<BackupId>,
    /// The host's own folder.
    pub state_dir: PathBuf,
    /// Wraps the groups' keys on this host.
    pub store_key_file: PathBuf,
    /// The host will take part in replication.
    pub is_replicated: bool,
}

/// A group that is back.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// Which.
    pub group: GroupId,
    /// From this backup.
    pub backup: BackupId,
    /// As it was then.
    pub until: Timestamp,
    /// Segments of the log after the backup.
    pub segments: u32,
    /// Size of the database.
    pub bytes: u64,
    /// Rows of all tables.
    pub rows: u64,
    /// Write events of the audit log whose chain holds.
    pub audited: u64,
}

/// Nothing was restored, and nothing was touched.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup master key.
    #[error("backup key")]
    BackupKey(#[source] KeyError),
    /// The host's key.
    #[error("store_key_file")]
    StoreKey(#[source] StoreKeyError),
    /// Where backups are.
    #[error("open the backups")]
    Place(#[source] PlaceError),
    /// What backups there are.
    #[error("list the backups")]
    List(#[source] ReadError),
    /// The backup.
    #[error("restore record group `{group}`")]
    Backup {
        /// Of this group.
        group: GroupId,
        /// Why.
        #[source]
        source: Box<RebuildError>,
    },
    /// There is nothing to restore.
    #[error("no backups in {0}")]
    Empty(String),
    /// A host runs there.
    #[error("lock the records")]
    Lock(#[source] OpenError),
    /// There are records already.
    #[error("{0} exists: a restore goes to a host without records of the group")]
    NotEmpty(PathBuf),
    /// The disk.
    #[error("use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Restores every group of the repository, or one. All are rebuilt and checked before any takes its place.
///
/// # Errors
/// [`RestoreError`].
pub async fn restore(options: &RestoreOptions) -> Result<Vec<Restored>, RestoreError> {
    let backup_key = BackupMasterKey::read(&options.key_file).map_err(RestoreError::BackupKey)?;
    let store_key = MasterKey::read(&options.store_key_file).map_err(RestoreError::StoreKey)?;
    let open = |from: &str| Place::open(from, &BucketAccess::default(), false).map_err(RestoreError::Place);
    let place = open(&options.from)?;
    let keyring = options.keyring.as_deref().map_or_else(|| Ok(place.clone()), open)?;
    let repository = Repository::new(place, keyring, backup_key);
    let groups = groups(options, &repository).await?;
    for group in &groups {
        refuse_existing(&options.state_dir, group)?;
    }
    let mut opened = Vec::new();
    for group in groups {
        let backup_error =
            |source: RebuildError| RestoreError::Backup { group: group.clone(), source: source.into() };
        let found = match &options.backup {
            Some(id) => repository.open(&group, id).await.map_err(RebuildError::Read),
            None => rebuild::choose(&repository, &group, options.at).await,
        };
        let found = found.map_err(backup_error)?;
        let manifest = found.manifest().await.map_err(|e| backup_error(RebuildError::Read(e)))?;
        opened.push((group.clone(), found, manifest.group_key));
    }

    let records = options.state_dir.join("records");
    private_file::create_dir(&records)
        .map_err(|source| RestoreError::File { path: records.clone(), source })?;
    let _lock = lock_records(&options.state_dir).map_err(RestoreError::Lock)?;
    let mut built = Vec::new();
    for (group, opened, group_key) in opened {
        let backup_error =
            |source: RebuildError| RestoreError::Backup { group: group.clone(), source: source.into() };
        let scratch = Scratch::with_key(&records, &group, group_key.expose(), &store_key);
        let scratch = Arc::new(scratch.map_err(|error| backup_error(error.into()))?);
        let rebuilt = rebuild::rebuild(&opened, options.at, Arc::clone(&scratch)).await;
        built.push((group.clone(), scratch, rebuilt.map_err(backup_error)?));
    }
    let mut restored = Vec::new();
    for (group, scratch, rebuilt) in built {
        let backup_error =
            |source: RebuildError| RestoreError::Backup { group: group.clone(), source: source.into() };
        let position = options.is_replicated.then(|| position(&rebuilt));
        // Whoever wrote into it is done.
        let scratch = Arc::into_inner(scratch).ok_or(crate::store::ScratchError::Unfinished);
        let placed =
            scratch.and_then(|scratch| scratch.place(&options.state_dir, &group, &store_key, position));
        placed.map_err(|error| backup_error(error.into()))?;
        restored.push(said(group.clone(), &rebuilt));
    }
    Ok(restored)
}

async fn groups(options: &RestoreOptions, repository: &Repository) -> Result<Vec<GroupId>, RestoreError> {
    if let Some(group) = &options.group {
        return Ok(vec![group.clone()]);
    }
    let groups = repository.groups().await.map_err(RestoreError::List)?;
    if groups.is_empty() { Err(RestoreError::Empty(options.from.clone())) } else { Ok(groups) }
}

fn refuse_existing(state_dir: &Path, group: &GroupId) -> Result<(), RestoreError> {
    let folder = folder_of(state_dir, group);
    match fs::symlink_metadata(&folder) {
        Ok(_) => Err(RestoreError::NotEmpty(folder)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(RestoreError::File { path: folder, source }),
    }
}

/// A network of one region has no epochs: its backup begins the first.
fn position(rebuilt: &Rebuilt) -> Position {
    rebuilt.position.unwrap_or(Position::new(Epoch(1), FrameNo(0)))
}

fn said(group: GroupId, rebuilt: &Rebuilt) -> Restored {
    let manifest = &rebuilt.manifest;
    Restored {
        group,
        backup: manifest.id.clone(),
        until: rebuilt.until,
        segments: rebuilt.segments,
        bytes: u64::from(manifest.pages) * u64::from(manifest.page_bytes),
        rows: rebuilt.tables.values().sum(),
        audited: rebuilt.audited,
    }
}
