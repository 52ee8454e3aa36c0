//! `locum-edge restore`: record groups come back on a host that has none, from backup, keyring and key only.

use std::io;
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use locum_backup::{
    BackupId, BucketAccess, KeyError, MasterKey as BackupMasterKey, Opened, Place as BackupPlace, PlaceError,
    ReadError, Repository,
};
use locum_identity::{KeyError as SigningKeyError, RegionId, SigningKey};
use locum_telemetry::config::ConfigError;
use serde::Serialize;

use super::bring::{Bring, Brought};
use super::rebuild::{self, RebuildError};
use super::stage::{Stage, StageError};
use crate::config::EdgeConfig;
use crate::store::{GroupId, KeyError as StoreKeyError, MasterKey};

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
    /// This record group only; may be repeated [default: all that there are].
    #[arg(long = "group")]
    pub groups: Vec<GroupId>,
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
    /// Where it is, so that no group comes to where it may not be.
    #[arg(long, conflicts_with = "config")]
    region: Option<RegionId>,
}

/// The same, looked up.
struct Place {
    state_dir: PathBuf,
    store_key_file: PathBuf,
    is_replicated: bool,
    region: Option<RegionId>,
}

/// A group that is back.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// Which.
    pub group: GroupId,
    /// The regions that may hold it; empty where nobody said.
    pub regions: Vec<RegionId>,
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
    /// Documents, all opened.
    pub documents: u64,
    /// Documents that were in no region any more when the backup was taken.
    pub documents_missing: u64,
    /// What was erased after that time, and is erased again.
    pub erased: u64,
    /// What is wrong with the audit events. It was so when they were backed up.
    pub audit_problems: Vec<String>,
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
    /// The host's region may not hold the group.
    #[error("record group `{group}` may not be in {region}: it belongs in {}", list(.allowed))]
    Region {
        /// Which.
        group: GroupId,
        /// Where it would come.
        region: RegionId,
        /// Where it may be.
        allowed: Vec<RegionId>,
    },
    /// A newer backup was there.
    #[error("record group `{group}`: {missing} is missing; --backup {found} would restore an older one")]
    Gone {
        /// Which.
        group: GroupId,
        /// Where it was.
        missing: String,
        /// The newest there is.
        found: BackupId,
    },
    /// There is nothing to restore.
    #[error("no backups in {0}")]
    Empty(String),
    /// A key that signs where the audit events go on.
    #[error("make a signing key")]
    AuditKey(#[source] SigningKeyError),
    /// The host's folder.
    #[error("put it in its place")]
    Stage(#[source] StageError),
}

/// Restores every group of the repository, or one. All are rebuilt and checked before any takes its place, and
/// then all do. Blocks.
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
    let mut chosen = Vec::new();
    for group in &groups {
        chosen.push(choose(&repository, group, options, to.region.as_ref()).await?);
    }
    let stage = Stage::begin(&to.state_dir, &groups).map_err(RestoreError::Stage)?;
    // The host's own is made at its first start; nothing but the stage is written to until all is well.
    let audit_key = SigningKey::generate();
    let bring = Bring {
        repository: &repository,
        stage: &stage,
        at: options.at,
        store_key: &store_key,
        is_replicated: to.is_replicated,
        keeps_documents: true,
        audit_key: &audit_key.map_err(RestoreError::AuditKey)?,
    };
    let mut restored = Vec::new();
    for (group, opened) in groups.iter().zip(chosen) {
        let brought = bring.group(&opened).await.map_err(of_group(group))?;
        restored.push(said(group.clone(), brought));
    }
    stage.commit(&groups).map_err(RestoreError::Stage)?;
    Ok(restored)
}

/// A backup that may come to this region, and that is the newest there was.
async fn choose(
    repository: &Repository,
    group: &GroupId,
    options: &RestoreOptions,
    region: Option<&RegionId>,
) -> Result<Opened, RestoreError> {
    let found = match &options.backup {
        Some(id) => repository.open(group, id).await.map_err(RebuildError::Read),
        None => rebuild::choose(repository, group, options.at).await,
    };
    let found = found.map_err(of_group(group))?;
    if options.backup.is_none() {
        let gone = repository.gone(group).await.map_err(RestoreError::List)?;
        let newer = |id: &&BackupId| *id > found.id() && options.at.is_none_or(|at| id.began_at() <= at);
        if let Some(id) = gone.iter().rfind(newer) {
            let (group, missing) = (group.clone(), repository.show(group, id));
            return Err(RestoreError::Gone { group, missing, found: found.id().clone() });
        }
    }
    let manifest = found.manifest().await.map_err(RebuildError::Read).map_err(of_group(group))?;
    match region {
        Some(region) if !manifest.regions.is_empty() && !manifest.regions.contains(region) => {
            let (group, region) = (group.clone(), region.clone());
            Err(RestoreError::Region { group, region, allowed: manifest.regions })
        }
        _ => Ok(found),
    }
}

fn list(regions: &[RegionId]) -> String {
    let names: Vec<&str> = regions.iter().map(RegionId::as_str).collect();
    names.join(" or ")
}

fn of_group(group: &GroupId) -> impl FnOnce(RebuildError) -> RestoreError + use<> {
    let group = group.clone();
    move |source| RestoreError::Backup { group, source: source.into() }
}

impl Target {
    fn look_up(&self) -> Result<Place, RestoreError> {
        let Some(config) = &self.config else {
            // clap has made sure that both are there.
            let (state_dir, store_key_file) =
                (self.state_dir.clone().unwrap_or_default(), self.store_key.clone().unwrap_or_default());
            let (is_replicated, region) = (self.replicated, self.region.clone());
            return Ok(Place { state_dir, store_key_file, is_replicated, region });
        };
        let config = EdgeConfig::read(config).map_err(RestoreError::Config)?;
        let is_replicated = config.replication.is_some();
        let EdgeConfig { state_dir, store_key_file, region, .. } = config;
        Ok(Place { state_dir, store_key_file, is_replicated, region: Some(region) })
    }
}

async fn groups(options: &RestoreOptions, repository: &Repository) -> Result<Vec<GroupId>, RestoreError> {
    if !options.groups.is_empty() {
        return Ok(options.groups.clone());
    }
    let groups = repository.groups().await.map_err(RestoreError::List)?;
    if groups.is_empty() { Err(RestoreError::Empty(options.from.clone())) } else { Ok(groups) }
}

fn said(group: GroupId, brought: Brought) -> Restored {
    let Brought { rebuilt, documents, missing, audit_problems } = brought;
    let manifest = &rebuilt.manifest;
    Restored {
        group,
        regions: manifest.regions.clone(),
        backup: manifest.id.clone(),
        until: rebuilt.until,
        segments: rebuilt.segments,
        bytes: u64::from(manifest.pages) * u64::from(manifest.page_bytes),
        rows: rebuilt.tables.values().sum(),
        audited: rebuilt.audited(),
        documents,
        documents_missing: missing,
        erased: rebuilt.erased,
        audit_problems,
    }
}
