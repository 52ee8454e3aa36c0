//! A group's files, looked at without a store: by commands that check what a host left, also while it runs.

use std::path::{Path, PathBuf};

use super::group::folder_of;
use super::keys::{DerivedKey, KeyError, MasterKey};
use super::readers::Readers;
use super::replicated;
use super::single_file;
use super::sqlite::{Database, DatabaseKey};
use super::{GroupId, QueryResult, SqlError, Value};

/// One group of one host.
pub(crate) struct GroupOnDisk {
    group: GroupId,
    key: DatabaseKey,
    database: Option<Database>,
}

/// The files cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OnDiskError {
    #[error("record group key")]
    Key(#[source] KeyError),
    #[error("open {path}")]
    Database {
        path: PathBuf,
        #[source]
        source: SqlError,
    },
    #[error("find the newest copy of record group `{group}`")]
    Copies {
        group: GroupId,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl GroupOnDisk {
    /// `None` when the host has no key of that group: it never held it. Blocks.
    pub(crate) fn open(
        state_dir: &Path,
        group: &GroupId,
        master_key: &MasterKey,
    ) -> Result<Option<Self>, OnDiskError> {
        let folder = folder_of(state_dir, group);
        let key = master_key.kept_key(group, &folder.join("key.json")).map_err(OnDiskError::Key)?;
        let Some(key) = key else { return Ok(None) };
        let single = single_file::data_file(&folder);
        let path = if single.exists() {
            Some(single)
        } else {
            replicated::newest_copy(group, &folder, master_key)
                .map_err(|source| OnDiskError::Copies { group: group.clone(), source })?
        };
        let open = |path: PathBuf| {
            let opened = Readers::new(&path, key.clone()).connection();
            opened.map_err(|source| OnDiskError::Database { path, source })
        };
        let database = path.map(open).transpose()?;
        Ok(Some(Self { group: group.clone(), key, database }))
    }

    /// Whether there is a whole copy of the group's database.
    pub(crate) fn has_database(&self) -> bool {
        self.database.is_some()
    }

    /// Runs one statement that reads. Blocks.
    pub(crate) fn select(&mut self, sql: &str, parameters: &[Value]) -> Result<QueryResult, SqlError> {
        match &mut self.database {
            Some(database) => database.host(sql, parameters),
            None => Err(SqlError::misuse("there is no whole copy of this group")),
        }
    }

    /// As the running host derives it.
    pub(crate) fn derived_key(&self, purpose: &str) -> DerivedKey {
        self.key.derive(&self.group, purpose)
    }
}
