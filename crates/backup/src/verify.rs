//! Reading a whole backup without keeping it.

use jiff::Timestamp;

use crate::manifest::Manifest;
use crate::repository::{Opened, ReadError};
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
}

impl Opened {
    /// Reads every part, checks each against its seal and all against the manifest.
    ///
    /// # Errors
    /// [`ReadError`], which names the first part that is not as it should be.
    pub async fn verify(&self) -> Result<Verified, ReadError> {
        let manifest = self.manifest().await?;
        let mut check = SnapshotCheck::new(&manifest);
        for number in 1..=manifest.chunks {
            check.chunk(&self.chunk(number).await?);
        }
        check.finish(self)?;
        let segments = self.segments().await?;
        let mut until = manifest.taken_at;
        for number in 1..=segments {
            let head = self.segment(number).await?.head;
            until = if head.ends { head.taken_at } else { until };
        }
        Ok(Verified { manifest, segments, until })
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
