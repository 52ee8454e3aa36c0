//! Which backups this host has begun and not finished: after it was killed, its next start removes them. Those of
//! other hosts may still be on their way.

use std::io;
use std::path::{Path, PathBuf};

use locum_backup::{BackupId, ReadError, Repository};
use locum_identity::private_file;

use super::taking::TakeError;
use crate::store::GroupId;

/// One small file a group.
#[derive(Clone, Debug)]
pub(crate) struct Begun(PathBuf);

impl Begun {
    /// Below the host's own folder.
    pub(crate) fn open(state_dir: &Path) -> io::Result<Self> {
        let folder = state_dir.join("backups-begun");
        private_file::create_dir(&folder)?;
        Ok(Self(folder))
    }

    /// Before anything of the backup is in the place.
    pub(super) fn note(&self, group: &GroupId, id: &BackupId) -> Result<(), TakeError> {
        private_file::write(&self.file(group), id.as_str().as_bytes()).map_err(TakeError::Note)
    }

    /// It is finished.
    pub(super) fn clear(&self, group: &GroupId) -> Result<(), TakeError> {
        match std::fs::remove_file(self.file(group)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TakeError::Note(error)),
            _ => Ok(()),
        }
    }

    /// Removes what was begun last, unless it was finished after all.
    pub(super) async fn tidy(&self, repository: &Repository, group: &GroupId) -> Result<(), TakeError> {
        let noted = match private_file::read_to_string(&self.file(group)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            noted => noted.map_err(TakeError::Note)?,
        };
        // Half a name would be no name of a backup: there is none under it.
        let Ok(id) = noted.trim().parse::<BackupId>() else { return self.clear(group) };
        let manifest = match repository.open(group, &id).await {
            Ok(opened) => opened.manifest().await.map(drop),
            Err(error) => Err(error),
        };
        match manifest {
            Ok(()) => {}
            Err(ReadError::Unfinished(_) | ReadError::NoKey(_)) => {
                repository.remove(group, &id).await.map_err(TakeError::Write)?;
                tracing::info!(%group, backup = %id, "a backup that was cut off is removed");
            }
            Err(error) => return Err(TakeError::Read(error)),
        }
        self.clear(group)
    }

    fn file(&self, group: &GroupId) -> PathBuf {
        self.0.join(group.as_str())
    }
}
