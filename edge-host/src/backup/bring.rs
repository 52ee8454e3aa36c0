//! A record group comes out of its backups into a stage: database, documents, audit events, all checked.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use locum_backup::{Archive, DocumentName, Opened, ReadError, Repository};
use locum_identity::{SigningKey, private_file};
use locum_replication::{Epoch, FrameNo, Position};
use tokio::task::spawn_blocking;

use super::rebuild::{self, RebuildError, Rebuilt};
use super::stage::Stage;
use crate::audit::{self, Gathered, HostOnDisk};
use crate::blob::{self, Blob, Documents, PAGE_ROWS};
use crate::store::{GroupId, GroupOnDisk, MasterKey, Scratch, ScratchError, SqlError};

/// How a group is brought back.
pub(crate) struct Bring<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) stage: &'a Stage,
    /// As it was then; `None`: as new as there is.
    pub(crate) at: Option<Timestamp>,
    /// Wraps the group's key on this host.
    pub(crate) store_key: &'a MasterKey,
    /// Hosts in other regions will take part.
    pub(crate) is_replicated: bool,
    /// Otherwise documents are only looked at.
    pub(crate) keeps_documents: bool,
    /// Signs where the audit chain goes on.
    pub(crate) audit_key: &'a SigningKey,
}

/// A group that came out of a backup.
#[derive(Clone, Debug)]
pub(crate) struct Brought {
    pub(crate) rebuilt: Rebuilt,
    /// Documents that its rows name, all opened.
    pub(crate) documents: u64,
    /// Documents that its rows name and that were in no region when the backup was taken.
    pub(crate) missing: u64,
    /// What is wrong with its audit events. The records are worth having all the same.
    pub(crate) audit_problems: Vec<String>,
}

impl Bring<'_> {
    /// Puts a group into the stage, from this backup.
    pub(crate) async fn group(&self, opened: &Opened) -> Result<Brought, RebuildError> {
        let group = opened.group().clone();
        let journal = self.repository.erasures(&group).await.map_err(RebuildError::Read)?;
        let manifest = opened.manifest().await.map_err(RebuildError::Read)?;
        let (folder, key) = (self.stage.folder().to_owned(), self.store_key.clone());
        let scratch = {
            let (group, folder, key) = (group.clone(), folder.clone(), key.clone());
            let group_key = manifest.group_key.clone();
            blocking(move || Scratch::with_key(&folder, &group, group_key.expose(), &key)).await?
        };
        let scratch = Arc::new(scratch);
        let rebuilt = rebuild::rebuild(opened, self.at, journal, Arc::clone(&scratch)).await?;
        let position = self.is_replicated.then(|| position(&rebuilt));
        // Whoever wrote into it is done.
        let scratch = Arc::into_inner(scratch).ok_or(ScratchError::Unfinished)?;
        let records = {
            let group = group.clone();
            blocking(move || {
                scratch.place(&group, &key, position)?;
                let records = GroupOnDisk::open(&folder, &group, &key).map_err(other)?;
                records.ok_or(ScratchError::Unfinished)
            })
            .await?
        };
        let needed = opened.documents(&rebuilt.document_lists).await.map_err(RebuildError::Read)?;
        let (documents, missing) = self.documents(&group, records, &needed).await?;
        let audit_problems = self.audit(&group, &rebuilt).await?;
        Ok(Brought { rebuilt, documents, missing, audit_problems })
    }

    /// Opens every document that a row names; how many there are, and how many there never were.
    async fn documents(
        &self,
        group: &GroupId,
        mut records: GroupOnDisk,
        needed: &BTreeSet<DocumentName>,
    ) -> Result<(u64, u64), RebuildError> {
        let blobs = self.stage.folder().join("blobs");
        let documents = Documents::new(&blobs, group, &records).ok_or(ScratchError::Unfinished)?;
        let documents = Arc::new(documents);
        let (mut opened, mut missing, mut after) = (0, 0, 0);
        loop {
            let (back, page) = blocking(move || {
                let page = stored_since(&mut records, after).map_err(ScratchError::Read)?;
                Ok((records, page))
            })
            .await?;
            records = back;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let is_last = (page.len() as i64) < PAGE_ROWS;
            for (_, blob) in page {
                match self.document(group, blob, needed, &documents).await? {
                    true => opened += 1,
                    false => missing += 1,
                }
            }
            if is_last {
                break;
            }
        }
        Ok((opened, missing))
    }

    async fn document(
        &self,
        group: &GroupId,
        blob: Blob,
        needed: &BTreeSet<DocumentName>,
        documents: &Arc<Documents>,
    ) -> Result<bool, RebuildError> {
        let name = blob.name();
        let shown = self.repository.show_document(group, name);
        let found = self.repository.document(group, name).await.map_err(RebuildError::Read)?;
        let Some(sealed) = found else {
            // The backup says that it was there.
            return if needed.contains(&name) {
                Err(RebuildError::Read(ReadError::Missing(shown)))
            } else {
                Ok(false)
            };
        };
        let (documents, keeps) = (Arc::clone(documents), self.keeps_documents);
        let kept = spawn_blocking(move || {
            documents.check(&blob, &sealed).map_err(|_| RebuildError::Document { name: shown })?;
            if keeps { documents.keep(&blob, &sealed).map_err(RebuildError::Files) } else { Ok(()) }
        });
        kept.await.map_err(|_| ScratchError::Unfinished)??;
        Ok(true)
    }

    /// Puts the audit events of every host where the new one keeps those of others, and verifies all of them.
    async fn audit(&self, group: &GroupId, rebuilt: &Rebuilt) -> Result<Vec<String>, RebuildError> {
        let incoming = self.stage.folder().join("incoming").join(group.as_str());
        let mut gathered = Gathered::new();
        for id in self.repository.archives(group).await.map_err(RebuildError::Read)? {
            let archive = self.repository.open_archive(group, &id).await.map_err(RebuildError::Read)?;
            gathered = fetch(&archive, &incoming.join(id.to_string()), gathered).await?;
        }
        let (folder, key) = (self.stage.folder().to_owned(), self.store_key.clone());
        let (group, audit_key) = (group.clone(), self.audit_key.clone());
        let (region, rows) = (rebuilt.manifest.region.to_string(), rebuilt.audit.clone());
        let verified = spawn_blocking(move || {
            let audit = folder.join("audit");
            gathered.place(&audit, &group).map_err(RebuildError::Files)?;
            let Some(rows) = rows else { return Ok(Vec::new()) };
            let before = audit::newest_signature(&audit, &group).map_err(RebuildError::Files)?;
            audit::begin_again(&audit, &group, &rows, (&region, before), &audit_key)
                .map_err(RebuildError::Files)?;
            let host = HostOnDisk { name: "the backup".to_owned(), state_dir: folder, master_key: key };
            let report = audit::verify(&[host], &group).map_err(RebuildError::Audit)?;
            Ok(report.problems())
        });
        verified.await.map_err(|_| ScratchError::Unfinished)?
    }
}

/// Fetches the files of an archive into a folder.
async fn fetch(archive: &Archive, to: &Path, mut gathered: Gathered) -> Result<Gathered, RebuildError> {
    let files = archive.files().await.map_err(RebuildError::Read)?;
    for (number, (file, blocks)) in files.into_iter().enumerate() {
        // Names come from outside: they are read, and never a path.
        let path = to.join(number.to_string());
        for block in 0..blocks.len() {
            let bytes = archive.block(&file, block).await.map_err(RebuildError::Read)?;
            let path = path.clone();
            let written = spawn_blocking(move || append(&path, &bytes)).await;
            written.map_err(|_| ScratchError::Unfinished)?.map_err(RebuildError::Files)?;
        }
        gathered.take(archive.id().node(), &file, &path).map_err(RebuildError::Files)?;
    }
    Ok(gathered)
}

fn append(path: &PathBuf, bytes: &[u8]) -> io::Result<()> {
    private_file::create_dir(path.parent().unwrap_or(path))?;
    let mut file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

fn stored_since(records: &mut GroupOnDisk, after: i64) -> Result<Vec<(i64, Blob)>, SqlError> {
    let has = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'locum_blob_order'";
    // A backup of a release before there were documents.
    if records.select(has, &[])?.rows.is_empty() {
        return Ok(Vec::new());
    }
    blob::stored_since(|sql| Ok(records.select(sql, &[])?.rows), after)
}

/// A network of one region has no epochs: its backup begins the first.
fn position(rebuilt: &Rebuilt) -> Position {
    rebuilt.position.unwrap_or(Position::new(Epoch(1), FrameNo(0)))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ScratchError> + Send + 'static,
) -> Result<T, ScratchError> {
    spawn_blocking(work).await.map_err(|_| ScratchError::Unfinished)?
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> ScratchError {
    ScratchError::Place(Box::new(error))
}
