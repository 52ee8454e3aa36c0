//! A database that is put together from pages in a stage, beside everything that is in use: for a restore, or a
//! drill. It is encrypted from its first byte.

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
    /// In the stage `state_dir`, with a group's key, which `master_key` wraps.
    pub(crate) fn with_key(
        state_dir: &Path,
        group: &GroupId,
        key: &str,
        master_key: &MasterKey,
    ) -> Result<Self, ScratchError> {
        let folder = folder_of(state_dir, group);
        private_file::create_dir(&folder)
            .map_err(|source| ScratchError::File { path: folder.clone(), source })?;
        let key = master_key.adopt_key(group, &folder.join("key.json"), key).map_err(ScratchError::Key)?;
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

    /// Changes it in one transaction; what was deleted is written over. On disk when this returns. Blocks.
    pub(crate) fn change<T>(
        &self,
        work: impl FnOnce(&mut dyn FnMut(&str, &[Value]) -> Result<QueryResult, SqlError>) -> Result<T, SqlError>,
    ) -> Result<T, ScratchError> {
        let mut run = self.open()?;
        let changed = || {
            for sql in ["PRAGMA foreign_keys = ON", "PRAGMA secure_delete = ON", "BEGIN IMMEDIATE"] {
                run(sql, &[])?;
            }
            let done = work(&mut run)?;
            for sql in ["COMMIT", "PRAGMA wal_checkpoint(TRUNCATE)"] {
                run(sql, &[])?;
            }
            Ok(done)
        };
        let changed = changed().map_err(ScratchError::Write)?;
        // The last connection: closing it leaves one file.
        drop(run);
        let synced = fs::File::open(self.data()).and_then(|file| file.sync_all());
        synced.map_err(|source| ScratchError::File { path: self.data(), source })?;
        Ok(changed)
    }

    /// Becomes the group's copy in its stage. `position` where hosts in other regions take part. Blocks.
    pub(crate) fn place(
        self,
        group: &GroupId,
        master_key: &MasterKey,
        position: Option<Position>,
    ) -> Result<(), ScratchError> {
        let Some(position) = position else { return Ok(()) };
        let placed = replicated::place(group, &self.folder, master_key, &self.data(), position);
        placed.map_err(ScratchError::Place)
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
