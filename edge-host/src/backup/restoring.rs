//! `locum-edge restore`: record groups come back on a host that has none, from backup, keyring and key only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use locum_backup::{
    BackupId, BucketAccess, KeyError, MasterKey as BackupMasterKey, Place as BackupPlace, PlaceError,
    ReadError, Repository,
};
use locum_identity::private_file;
use locum_replication::{Epoch, FrameNo, Position};
use locum_telemetry::config::ConfigError;
use serde::Serialize;

use super::rebuild::{self, RebuildError, Rebuilt};
use crate::config::EdgeConfig;
use crate::store::{
    GroupId, KeyError as StoreKeyError, MasterKey, OpenError, Scratch, folder_of, lock_records,
};

/// What to restore, and where.
#[derive(Args, Clone, Debug)]
pub struct RestoreOptions {
    /// Where the backups are: a folder, or s3://bucket/below with the usual AWS_… variables.
    #[arg(long, value_name = "PLACE")]
    pub from: String,
    /// Where the backups' keys are, if not there.
    #[arg(long, value_name = "PLACE")]
    pub keyring: Option<String>,
    /// The backup master key.
    #[arg(long = "key", value_name = "FILE")]
    pub key_file: PathBuf,
    /// This record group only.
    #[arg(long)]
    pub group: Option<GroupId>,
    /// As it was then, such as 2026-11-22T10:00:00Z [default: as new as there is].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
    /// This backup, not the newest that fits.
    #[arg(long, value_name = "NAME")]
    pub backup: Option<BackupId>,
    #[command(flatten)]
    to: Target,
}

/// A host.
#[derive(Args, Clone, Debug)]
struct Target {
    /// Configuration of the host that gets the records; it must have none.
    #[arg(long, value_name = "FILE", required_unless_present = "state_dir")]
    config: Option<PathBuf>,
    /// Its own folder, instead of a configuration.
    #[arg(long, value_name = "FOLDER", conflicts_with = "config", requires = "store_key")]
    state_dir: Option<PathBuf>,
    /// What will be its `store_key_file`.
    #[arg(long, value_name = "FILE")]
    store_key: Option<PathBuf>,
    /// It will take part in replication.
    #[arg(long)]
    replicated: bool,
}

/// The same, looked up.
struct Place {
    state_dir: PathBuf,
    store_key_file: PathBuf,
    is_replicated: bool,
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
    /// Threads.
    #[error("start the runtime")]
    Runtime(#[source] io::Error),
    /// The host's configuration.
    #[error("configuration")]
    Config(#[source] ConfigError),
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
/// Blocks.
///
/// # Errors
/// [`RestoreError`].
pub fn restore(options: &RestoreOptions) -> Result<Vec<Restored>, RestoreError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(RestoreError::Runtime)?.block_on(carry_out(options))
}

async fn carry_out(options: &RestoreOptions) -> Result<Vec<Restored>, RestoreError> {
    let backup_key = BackupMasterKey::read(&options.key_file).map_err(RestoreError::BackupKey)?;
    let to = options.to.look_up()?;
    let store_key = MasterKey::read(&to.store_key_file).map_err(RestoreError::StoreKey)?;
    let open =
        |from: &str| BackupPlace::open(from, &BucketAccess::default(), false).map_err(RestoreError::Place);
    let place = open(&options.from)?;
    let keyring = options.keyring.as_deref().map_or_else(|| Ok(place.clone()), open)?;
    let repository = Repository::new(place, keyring, backup_key);
    let groups = groups(options, &repository).await?;
    for group in &groups {
        refuse_existing(&to.state_dir, group)?;
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

    let records = to.state_dir.join("records");
    private_file::create_dir(&records)
        .map_err(|source| RestoreError::File { path: records.clone(), source })?;
    let _lock = lock_records(&to.state_dir).map_err(RestoreError::Lock)?;
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
        let position = to.is_replicated.then(|| position(&rebuilt));
        // Whoever wrote into it is done.
        let scratch = Arc::into_inner(scratch).ok_or(crate::store::ScratchError::Unfinished);
        let placed = scratch.and_then(|scratch| scratch.place(&to.state_dir, &group, &store_key, position));
        placed.map_err(|error| backup_error(error.into()))?;
        restored.push(said(group.clone(), &rebuilt));
    }
    Ok(restored)
}

impl Target {
    fn look_up(&self) -> Result<Place, RestoreError> {
        let Some(config) = &self.config else {
            // clap has made sure that both are there.
            let (state_dir, store_key_file) =
                (self.state_dir.clone().unwrap_or_default(), self.store_key.clone().unwrap_or_default());
            return Ok(Place { state_dir, store_key_file, is_replicated: self.replicated });
        };
        let config = EdgeConfig::read(config).map_err(RestoreError::Config)?;
        let is_replicated = config.replication.is_some();
        Ok(Place { state_dir: config.state_dir, store_key_file: config.store_key_file, is_replicated })
    }
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
