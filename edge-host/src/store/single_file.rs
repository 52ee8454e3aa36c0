//! The store of a network with one region: one encrypted file a record group, on this host.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use std::{fs, io};

use locum_identity::private_file;

use super::group::{self, Group};
use super::keys::KeyError;
use super::migrations::{self, Migration, MigrationError};
use super::session::GroupSession;
use super::{
    Access, GroupId, MasterKey, RecordStore, ResultLimits, Session, SqlError, StoreError, TransactionLimits,
};

/// How the store is opened.
pub struct StoreSettings<'a> {
    /// The host's own folder; groups lie in `records/` below it.
    pub state_dir: &'a Path,
    /// Wraps the groups' keys.
    pub master_key: &'a MasterKey,
    /// The application's schema.
    pub migrations: &'a [Migration],
    /// Bounds on answers.
    pub results: ResultLimits,
    /// Bounds on the writer.
    pub transactions: TransactionLimits,
}

/// One file a group.
pub struct SingleFileStore {
    groups: BTreeMap<GroupId, Arc<Group>>,
    results: ResultLimits,
    /// Held as long as the store lives: a second process on the same files would break "one writer".
    _lock: File,
}

/// The store does not open; nothing was changed unless a migration says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Folder or file.
    #[error("record store {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Somebody else has it open.
    #[error("record store {0} is in use by another process")]
    InUse(PathBuf),
    /// Its key.
    #[error("record group key")]
    Key(#[source] KeyError),
    /// Its file.
    #[error("open record group `{group}`")]
    Database {
        /// Which group.
        group: GroupId,
        /// Why.
        #[source]
        source: SqlError,
    },
    /// Its schema.
    #[error("migrate record group `{group}`")]
    Migration {
        /// Which group.
        group: GroupId,
        /// Why.
        #[source]
        source: MigrationError,
    },
}

impl SingleFileStore {
    /// Opens every group, makes what is missing and brings its schema up to date. Blocks.
    pub fn open(
        groups: impl IntoIterator<Item = GroupId>,
        settings: &StoreSettings<'_>,
    ) -> Result<Self, OpenError> {
        let folder = settings.state_dir.join("records");
        private_file::create_dir(&folder)
            .map_err(|source| OpenError::File { path: folder.clone(), source })?;
        let lock = lock(&folder.join("lock"))?;
        // Every key is unwrapped before any file is touched: with a wrong master key nothing happens.
        let keyed = groups
            .into_iter()
            .map(|id| {
                let folder = group::folder_of(settings.state_dir, &id);
                private_file::create_dir(&folder)
                    .map_err(|source| OpenError::File { path: folder.clone(), source })?;
                let key = settings
                    .master_key
                    .group_key(&id, &folder.join("key.json"), &group::data_file(&folder))
                    .map_err(OpenError::Key)?;
                Ok((id, folder, key))
            })
            .collect::<Result<Vec<_>, OpenError>>()?;
        let mut groups = BTreeMap::new();
        for (id, folder, key) in keyed {
            group::prepare_file(&folder)
                .map_err(|source| OpenError::File { path: folder.clone(), source })?;
            let group = Arc::new(Group::new(&folder, key, settings.transactions));
            let mut writer =
                group.open_writer().map_err(|source| OpenError::Database { group: id.clone(), source })?;
            migrations::apply(&mut writer, settings.migrations)
                .map_err(|source| OpenError::Migration { group: id.clone(), source })?;
            groups.insert(id, group);
        }
        Ok(Self { groups, results: settings.results, _lock: lock })
    }
}

impl RecordStore for SingleFileStore {
    fn session(
        &self,
        group: &GroupId,
        access: Access,
        deadline: Instant,
    ) -> Result<Arc<dyn Session>, StoreError> {
        let found = self.groups.get(group).ok_or_else(|| StoreError::UnknownGroup(group.clone()))?;
        Ok(GroupSession::new(Arc::clone(found), access, self.results, deadline))
    }

    fn groups(&self) -> Vec<GroupId> {
        self.groups.keys().cloned().collect()
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file_error = |source| OpenError::File { path: path.into(), source };
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(file_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse(path.into())),
        Err(fs::TryLockError::Error(source)) => Err(file_error(source)),
    }
}
