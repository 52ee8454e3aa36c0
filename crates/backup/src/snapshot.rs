//! All pages of a database, in chunks that fit in memory.

use ring::digest::{Context, SHA256};

use crate::envelope::{self, SealError};
use crate::keyring::BackupKey;

/// Pages that are compressed and sealed together.
pub const CHUNK_BYTES: usize = 8 << 20;
/// Speed before size: a backup must not starve the requests beside it.
const LEVEL: i32 = 1;

/// An object to be written.
#[derive(Clone, Debug)]
pub struct Object {
    /// Within the repository.
    pub name: String,
    /// Sealed.
    pub bytes: Vec<u8>,
}

/// Takes pages in order and gives sealed chunks. No I/O.
#[derive(Debug)]
pub struct Snapshot {
    below: String,
    key: BackupKey,
    buffer: Vec<u8>,
    hash: Hash,
    chunks: u32,
    sealed_bytes: u64,
}

/// What all chunks together are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SnapshotTotals {
    /// Objects.
    pub chunks: u32,
    /// Their sizes.
    pub sealed_bytes: u64,
    /// SHA-256 of all pages, in order, in hexadecimal.
    pub sha256: String,
}

/// SHA-256 of pages as they come.
pub(crate) struct Hash(Context);

impl Hash {
    pub(crate) fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> String {
        self.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

impl Snapshot {
    /// For a backup whose objects lie below `below`.
    pub(crate) fn new(below: String, key: BackupKey) -> Self {
        Self { below, key, buffer: Vec::new(), hash: Hash::new(), chunks: 0, sealed_bytes: 0 }
    }

    /// Takes the next page; gives a chunk when one is full. Keeps a processor busy.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn page(&mut self, page: &[u8]) -> Result<Option<Object>, SealError> {
        self.hash.update(page);
        self.buffer.extend_from_slice(page);
        if self.buffer.len() < CHUNK_BYTES { Ok(None) } else { self.chunk().map(Some) }
    }

    /// The last chunk, if there is one, and the totals.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn finish(mut self) -> Result<(Option<Object>, SnapshotTotals), SealError> {
        let last = if self.buffer.is_empty() { None } else { Some(self.chunk()?) };
        let (chunks, sealed_bytes) = (self.chunks, self.sealed_bytes);
        Ok((last, SnapshotTotals { chunks, sealed_bytes, sha256: self.hash.finish() }))
    }

    fn chunk(&mut self) -> Result<Object, SealError> {
        self.chunks += 1;
        let name = chunk_name(&self.below, self.chunks);
        let compressed = zstd::bulk::compress(&self.buffer, LEVEL).map_err(|_| SealError::TooLarge)?;
        self.buffer.clear();
        let bytes = envelope::seal(&self.key, &name, compressed)?;
        self.sealed_bytes += bytes.len() as u64;
        Ok(Object { name, bytes })
    }
}

pub(crate) fn chunk_name(below: &str, number: u32) -> String {
    format!("{below}/pages/{number:08}")
}
