//! Reading a whole backup without keeping it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use locum_replication::GroupId;

use crate::archive::{Archive, BLOCK_BYTES};
use crate::document::DocumentName;
use crate::manifest::Manifest;
use crate::repository::{Opened, ReadError, Repository};
use crate::snapshot::Hash;

/// What was found whole.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Segments after the snapshot.
    pub segments: u32,
    /// The newest moment it can restore.
    pub until: Timestamp,
    /// Documents that it needs.
    pub documents: u64,
}

/// Which documents of a group were found whole: several backups need the same ones.
#[derive(Debug, Default)]
pub struct DocumentCheck {
    erased: BTreeSet<DocumentName>,
    whole: BTreeSet<DocumentName>,
}

impl DocumentCheck {
    /// With what the group's journal says was erased, which no backup needs any more.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn begin(repository: &Repository, group: &GroupId) -> Result<Self, ReadError> {
        let journal = repository.erasures(group).await?;
        let erased = journal.iter().filter_map(crate::Erasure::content).collect();
        Ok(Self { erased, whole: BTreeSet::new() })
    }

    async fn check(&mut self, opened: &Opened, name: DocumentName) -> Result<(), ReadError> {
        if self.whole.contains(&name) {
            return Ok(());
        }
        let (repository, group) = (opened.repository(), opened.group());
        match repository.document(group, name).await? {
            Some(_) => self.whole.insert(name),
            None if self.erased.contains(&name) => return Ok(()),
            None => return Err(ReadError::Missing(repository.show_document(group, name))),
        };
        Ok(())
    }
}

/// Reads every block of an archive; how many files it has.
///
/// # Errors
/// [`ReadError`], which names the first block that is not as it should be.
pub async fn verify_archive(archive: &Archive) -> Result<usize, ReadError> {
    let files = archive.files().await?;
    for (file, blocks) in &files {
        for (number, bytes) in blocks.iter().enumerate() {
            let found = archive.block(file, number).await?.len();
            let is_full = found == BLOCK_BYTES || number + 1 == blocks.len();
            if found as u64 != *bytes || !is_full {
                let name = archive.show(file, number);
                return Err(ReadError::Malformed { name, problem: "it ends before its end" });
            }
        }
    }
    Ok(files.len())
}

impl Opened {
    /// Reads every part, checks each against its seal and all against the manifest, and every document that it
    /// needs against its name.
    ///
    /// # Errors
    /// [`ReadError`], which names the first part that is not as it should be.
    pub async fn verify(&self, documents: &mut DocumentCheck) -> Result<Verified, ReadError> {
        let manifest = self.manifest().await?;
        let mut check = SnapshotCheck::new(&manifest);
        for number in 1..=manifest.chunks {
            check.chunk(&self.chunk(number).await?);
        }
        check.finish(self)?;
        let segments = self.segments().await?;
        let (mut until, mut lists) = (manifest.taken_at, BTreeMap::from([(0, manifest.document_lists)]));
        for number in 1..=segments {
            let head = self.segment(number).await?.head;
            until = if head.ends { head.taken_at } else { until };
            lists.insert(number, head.document_lists);
        }
        let needed = self.documents(&lists).await?;
        for name in &needed {
            documents.check(self, *name).await?;
        }
        Ok(Verified { manifest, segments, until, documents: needed.len() as u64 })
    }
}

/// Whether the chunks are what the manifest says, as they come.
#[derive(Debug)]
pub struct SnapshotCheck {
    expected: (u64, String),
    bytes: u64,
    hash: Hash,
}

impl SnapshotCheck {
    /// Of the backup with this manifest.
    pub fn new(manifest: &Manifest) -> Self {
        let bytes = u64::from(manifest.pages) * u64::from(manifest.page_bytes);
        Self { expected: (bytes, manifest.sha256.clone()), bytes: 0, hash: Hash::new() }
    }

    /// The next chunk.
    pub fn chunk(&mut self, chunk: &[u8]) {
        self.bytes += chunk.len() as u64;
        self.hash.update(chunk);
    }

    /// After the last one.
    ///
    /// # Errors
    /// [`ReadError::Malformed`].
    pub fn finish(self, opened: &Opened) -> Result<(), ReadError> {
        if (self.bytes, self.hash.finish()) == self.expected {
            return Ok(());
        }
        let name = opened.show(&opened.manifest_name());
        Err(ReadError::Malformed { name, problem: "the pages are not those it speaks of" })
    }
}
