//! A restore becomes visible whole or not at all: it is built beside everything, and one small file says that
//! from here on it is carried to its end.
//!
//! ```text
//! <state>/.restore-<random>/   what is being put together, laid out as the state itself
//! <state>/restore.json         it is complete and checked: every start carries it on until it is in its place
//! ```
//!
//! Without that file whatever was put together is removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use locum_identity::private_file;
use serde::{Deserialize, Serialize};

use crate::store::{GroupId, OpenError, folder_of, lock_records};

/// Names what was begun.
const PREFIX: &str = ".restore-";
/// The point of no return.
const MARKER: &str = "restore.json";
/// What a group has on a host. Records last: whoever looks for a group looks there.
const PARTS: [&str; 3] = ["blobs", "audit", "records"];

/// A restore that is being put together. Dropped, nothing was restored.
pub(crate) struct Stage {
    state_dir: PathBuf,
    folder: PathBuf,
    is_committed: bool,
    _lock: Option<fs::File>,
}

/// Nothing is staged, or it is not in its place yet.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The disk.
    #[error("use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A host runs there.
    #[error("lock the records")]
    Lock(#[source] OpenError),
    /// It was written by another release, or altered.
    #[error("read {path}")]
    Marker {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There is something already.
    #[error("{0} exists: a restore goes to a host without records, documents and audit events of the group")]
    NotEmpty(PathBuf),
}

/// What the marker says.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    /// The folder's name.
    stage: String,
    groups: Vec<GroupId>,
}

impl Stage {
    /// On a host that does not run and has nothing of these groups. Blocks.
    pub(crate) fn begin(state_dir: &Path, groups: &[GroupId]) -> Result<Self, StageError> {
        groups.iter().try_for_each(|group| refuse_existing(state_dir, group))?;
        let records = state_dir.join("records");
        private_file::create_dir(&records).map_err(file_error(&records))?;
        let lock = lock_records(state_dir).map_err(StageError::Lock)?;
        recover_locked(state_dir)?;
        // Also what was carried to its end just now.
        groups.iter().try_for_each(|group| refuse_existing(state_dir, group))?;
        Self::make(state_dir, Some(lock))
    }

    /// Below a folder of its own, never to be committed.
    pub(crate) fn scratch(folder: &Path) -> Result<Self, StageError> {
        Self::make(folder, None)
    }

    fn make(state_dir: &Path, lock: Option<fs::File>) -> Result<Self, StageError> {
        let folder = state_dir.join(format!("{PREFIX}{}", uuid::Uuid::new_v4().simple()));
        let stage = Self { state_dir: state_dir.to_owned(), folder, is_committed: false, _lock: lock };
        private_file::create_dir(&stage.folder).map_err(file_error(&stage.folder))?;
        for part in PARTS {
            let path = stage.folder.join(part);
            private_file::create_dir(&path).map_err(file_error(&path))?;
        }
        Ok(stage)
    }

    /// Laid out as a host's own folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything in it is on disk and checked: it takes its place, now or at the next start. Blocks.
    pub(crate) fn commit(mut self, groups: &[GroupId]) -> Result<(), StageError> {
        let sync = |path: &Path| fs::File::open(path).and_then(|folder| folder.sync_all());
        for path in PARTS.map(|part| self.folder.join(part)).iter().chain([&self.folder]) {
            sync(path).map_err(file_error(path))?;
        }
        let stage = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let marker = serde_json::to_vec(&Marker { stage, groups: groups.to_vec() });
        let path = self.state_dir.join(MARKER);
        let marker = marker.map_err(|source| StageError::Marker { path: path.clone(), source })?;
        private_file::write(&path, &marker).map_err(file_error(&path))?;
        self.is_committed = true;
        recover_locked(&self.state_dir)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if self.is_committed {
            return;
        }
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.folder.display(), %error, "what a restore put together is left");
            }
            _ => {}
        }
    }
}

/// Carries a restore that was cut off to its end, or removes what was put together of it. Before the records
/// are opened. Blocks.
pub(crate) fn recover(state_dir: &Path) -> Result<(), StageError> {
    if !is_anything_left(state_dir)? {
        return Ok(());
    }
    let records = state_dir.join("records");
    private_file::create_dir(&records).map_err(file_error(&records))?;
    let _lock = lock_records(state_dir).map_err(StageError::Lock)?;
    recover_locked(state_dir)
}

fn recover_locked(state_dir: &Path) -> Result<(), StageError> {
    let path = state_dir.join(MARKER);
    let marker = match private_file::read(&path) {
        Ok(bytes) => {
            let marker = serde_json::from_slice(&bytes);
            marker.map_err(|source| StageError::Marker { path: path.clone(), source })?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return remove_stages(state_dir),
        Err(source) => return Err(StageError::File { path, source }),
    };
    carry_on(state_dir, &marker)?;
    fs::remove_file(&path).map_err(file_error(&path))?;
    remove_stages(state_dir)?;
    fs::File::open(state_dir).and_then(|folder| folder.sync_all()).map_err(file_error(state_dir))
}

/// May be said again, however far it came before.
fn carry_on(state_dir: &Path, marker: &Marker) -> Result<(), StageError> {
    let stage = state_dir.join(&marker.stage);
    for part in PARTS {
        let to = state_dir.join(part);
        private_file::create_dir(&to).map_err(file_error(&to))?;
        for group in &marker.groups {
            let (from, to) = (stage.join(part).join(group.as_str()), to.join(group.as_str()));
            match fs::rename(&from, &to) {
                // It is there already, or the group has no such part.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed.map_err(file_error(&to))?,
            }
        }
        fs::File::open(&to).and_then(|folder| folder.sync_all()).map_err(file_error(&to))?;
    }
    // Neither here nor there: somebody took the stage away.
    let records = marker.groups.iter().map(|group| folder_of(state_dir, group));
    for path in records {
        fs::metadata(&path).map_err(file_error(&path))?;
    }
    Ok(())
}

fn remove_stages(state_dir: &Path) -> Result<(), StageError> {
    for path in stages(state_dir)? {
        fs::remove_dir_all(&path).map_err(file_error(&path))?;
    }
    Ok(())
}

fn is_anything_left(state_dir: &Path) -> Result<bool, StageError> {
    Ok(state_dir.join(MARKER).exists() || !stages(state_dir)?.is_empty())
}

fn stages(state_dir: &Path) -> Result<Vec<PathBuf>, StageError> {
    let entries = match fs::read_dir(state_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(StageError::File { path: state_dir.to_owned(), source }),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(file_error(state_dir))?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn refuse_existing(state_dir: &Path, group: &GroupId) -> Result<(), StageError> {
    let others = ["blobs", "audit"].map(|part| state_dir.join(part).join(group.as_str()));
    for path in [folder_of(state_dir, group)].into_iter().chain(others) {
        match fs::symlink_metadata(&path) {
            Ok(_) => return Err(StageError::NotEmpty(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(StageError::File { path, source }),
        }
    }
    Ok(())
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> StageError + use<> {
    let path = path.to_owned();
    move |source| StageError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> [GroupId; 2] {
        ["one", "two"].map(|name| name.parse().unwrap())
    }

    /// A state with a stage that holds everything of both groups.
    fn staged() -> (tempfile::TempDir, Stage) {
        let state = tempfile::tempdir().unwrap();
        let stage = Stage::begin(state.path(), &groups()).unwrap();
        for part in PARTS {
            for group in groups() {
                let folder = stage.folder().join(part).join(group.as_str());
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("file"), format!("{part} of {group}")).unwrap();
            }
        }
        (state, stage)
    }

    /// How many of the six folders are in their place.
    fn in_place(state: &Path) -> usize {
        let placed = |part: &str, group: &GroupId| {
            let found = fs::read_to_string(state.join(part).join(group.as_str()).join("file"));
            found.is_ok_and(|text| text == format!("{part} of {group}"))
        };
        PARTS.iter().flat_map(|part| groups().map(|group| usize::from(placed(part, &group)))).sum()
    }

    #[test]
    fn a_stage_that_is_given_up_or_cut_off_leaves_nothing() {
        let (state, stage) = staged();
        drop(stage);
        assert!(stages(state.path()).unwrap().is_empty());
        let (state, stage) = staged();
        // Killed: nobody cleans up.
        let mut stage = std::mem::ManuallyDrop::new(stage);
        stage._lock = None;
        recover(state.path()).unwrap();
        assert_eq!((in_place(state.path()), stages(state.path()).unwrap().len()), (0, 0));
    }

    #[test]
    fn whatever_cuts_a_commit_off_the_next_start_ends_it() {
        for moved in 0..=6 {
            let (state, stage) = staged();
            let mut stage = std::mem::ManuallyDrop::new(stage);
            stage._lock = None;
            let name = stage.folder().file_name().unwrap().to_str().unwrap().to_owned();
            let marker = Marker { stage: name, groups: groups().to_vec() };
            private_file::write(&state.path().join(MARKER), &serde_json::to_vec(&marker).unwrap()).unwrap();
            let all = PARTS.iter().flat_map(|part| groups().map(|group| (part, group)));
            for (part, group) in all.take(moved) {
                let from = stage.folder().join(part).join(group.as_str());
                fs::create_dir_all(state.path().join(part)).unwrap();
                fs::rename(from, state.path().join(part).join(group.as_str())).unwrap();
            }
            recover(state.path()).unwrap();
            assert_eq!(in_place(state.path()), 6, "after {moved} folders");
            assert!(!is_anything_left(state.path()).unwrap(), "after {moved} folders");
            recover(state.path()).unwrap();
        }
    }

    #[test]
    fn a_commit_puts_everything_in_its_place_and_nothing_over_what_is_there() {
        let (state, stage) = staged();
        stage.commit(&groups()).unwrap();
        assert_eq!(in_place(state.path()), 6);
        assert!(!is_anything_left(state.path()).unwrap());
        for part in PARTS {
            let left = tempfile::tempdir().unwrap();
            fs::create_dir_all(left.path().join(part).join("two")).unwrap();
            let refused = Stage::begin(left.path(), &groups()).err().unwrap();
            assert!(matches!(refused, StageError::NotEmpty(_)), "{part}");
        }
    }

    #[test]
    fn an_unreadable_marker_stops_everything() {
        let (state, stage) = staged();
        drop(stage);
        private_file::write(&state.path().join(MARKER), b"{}").unwrap();
        assert!(matches!(recover(state.path()), Err(StageError::Marker { .. })));
    }
}
