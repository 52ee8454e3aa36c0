//! A database that is put together from pages beside everything that is in use: for a restore, or a drill.
//!
//! It is encrypted from its first byte, and gone when dropped.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use locum_identity::private_file;

use super::group::folder_of;
use super::keys::KeyError;
use super::pages::{PageBuilder, Shape};
use super::sqlite::{Database, DatabaseKey};
use super::{GroupId, MasterKey, Position, QueryResult, SqlError, Value, replicated, single_file};

/// Pages to write, or the end.
pub(crate) enum Batch {
    /// Number and content of each; a later one replaces an earlier one of the same number.
    Pages(Vec<(u32, Vec<u8>)>),
    /// That was all: the database has so many pages.
    End(u32),
}

/// A database nobody else knows of.
pub(crate) struct Scratch {
    folder: PathBuf,
    key: DatabaseKey,
}

/// It cannot be made, read or put in its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScratchError {
    #[error("use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no random bytes for a key")]
    Random,
    #[error("write the database")]
    Write(#[source] SqlError),
    #[error("read the database")]
    Read(#[source] SqlError),
    /// Whoever gave the pages gave up.
    #[error("not all pages came")]
    Unfinished,
    #[error("record group key")]
    Key(#[source] KeyError),
    #[error("place the copy")]
    Place(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Scratch {
    /// Below `parent`, with a key of its own that nothing else is told.
    pub(crate) fn with_new_key(parent: &Path) -> Result<Self, ScratchError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| ScratchError::Random)?;
        Self::make(parent, DatabaseKey::from(key))
    }

    /// Below `parent`, with a group's key, which `master_key` wraps.
    pub(crate) fn with_key(
        parent: &Path,
        group: &GroupId,
        key: &str,
        master_key: &MasterKey,
    ) -> Result<Self, ScratchError> {
        // Its own key is replaced at once.
        let mut scratch = Self::with_new_key(parent)?;
        let path = scratch.folder.join("key.json");
        scratch.key = master_key.adopt_key(group, &path, key).map_err(ScratchError::Key)?;
        Ok(scratch)
    }

    fn make(parent: &Path, key: DatabaseKey) -> Result<Self, ScratchError> {
        let folder = parent.join(format!(".scratch-{}", uuid::Uuid::new_v4().simple()));
        private_file::create_dir(&folder)
            .map_err(|source| ScratchError::File { path: folder.clone(), source })?;
        Ok(Self { folder, key })
    }

    fn data(&self) -> PathBuf {
        single_file::data_file(&self.folder)
    }

    /// Writes pages into it, which may hold some already. On disk when this returns. Blocks.
    pub(crate) fn write(
        &self,
        page_bytes: u32,
        batches: impl IntoIterator<Item = Batch>,
    ) -> Result<(), ScratchError> {
        let mut builder =
            PageBuilder::open(&self.data(), &self.key, page_bytes).map_err(ScratchError::Write)?;
        let mut transaction = builder.begin().map_err(ScratchError::Write)?;
        let mut end = None;
        for batch in batches {
            match batch {
                Batch::Pages(pages) => transaction.write(pages).map_err(ScratchError::Write)?,
                Batch::End(pages) => end = Some(pages),
            }
        }
        transaction.commit(end.ok_or(ScratchError::Unfinished)?).map_err(ScratchError::Write)?;
        builder.finish().map_err(|source| ScratchError::File { path: self.data(), source })
    }

    /// Runs one statement that reads. Blocks.
    pub(crate) fn open(
        &self,
    ) -> Result<impl FnMut(&str, &[Value]) -> Result<QueryResult, SqlError>, ScratchError> {
        let mut database = Database::open_tuned(&self.data(), &self.key).map_err(ScratchError::Read)?;
        Ok(move |sql: &str, parameters: &[Value]| database.host(sql, parameters))
    }

    /// Becomes the group's database on this host, which has none. `position` where hosts in other regions
    /// take part. Blocks.
    pub(crate) fn place(
        self,
        state_dir: &Path,
        group: &GroupId,
        master_key: &MasterKey,
        position: Option<Position>,
    ) -> Result<(), ScratchError> {
        let to = folder_of(state_dir, group);
        if let Some(position) = position {
            let placed = replicated::place(group, &self.folder, master_key, &self.data(), position);
            placed.map_err(ScratchError::Place)?;
        }
        let records = to.parent().unwrap_or(state_dir);
        // All or nothing: the folder appears whole.
        let renamed = fs::rename(&self.folder, &to).and_then(|()| fs::File::open(records)?.sync_all());
        renamed.map_err(|source| ScratchError::File { path: to, source })
    }
}

impl Drop for Scratch {
    /// Nothing is left to remove once it was placed.
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.folder.display(), %error, "a scratch database is left");
            }
            _ => {}
        }
    }
}

/// Cuts what a backup holds into numbered pages; the one that SQLite locks is left out.
pub(crate) fn numbered(
    chunk: &[u8],
    first: u32,
    page_bytes: u32,
    pages: u32,
) -> impl Iterator<Item = (u32, Vec<u8>)> {
    let shape = Shape { page_bytes, pages };
    let cut = (first..).zip(chunk.chunks_exact(page_bytes as usize));
    cut.filter(move |(number, _)| shape.holds(*number)).map(|(number, page)| (number, page.to_vec()))
}

/// Table → rows.
pub(crate) fn count_rows(
    mut select: impl FnMut(&str) -> Result<Vec<Vec<Value>>, SqlError>,
) -> Result<BTreeMap<String, u64>, SqlError> {
    let tables = select(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let mut counted = BTreeMap::new();
    for name in tables.into_iter().flatten() {
        let Value::Text(name) = name else { continue };
        let rows = select(&format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\"")))?;
        if let Some(Value::Integer(rows)) = rows.into_iter().flatten().next() {
            counted.insert(name, u64::try_from(rows).unwrap_or(0));
        }
    }
    Ok(counted)
}
