//! Documents: sealed files beside the records, in two regions before their row commits.
//!
//! | file | what it is |
//! |---|---|
//! | `seal.rs` | a document's id, its own key, its sealed form |
//! | `disk.rs` | files of one group on this host |
//! | `ship.rs` | what hosts of a group say to each other |
//! | `rows.rs`, `erasing.rs` | which documents there are; storing, finding, erasing one |
//! | `sweep.rs` | brings back what is missing, removes what no row names |
//! | `kept.rs` | documents on their way into backups and back |
//!
//! A request that stores a document streams it into [`Blobs::put`], then names what came back in its own
//! transaction with [`refer`]. Whatever goes wrong between the two leaves a file that nobody names, which the
//! sweep removes.

mod disk;
mod erasing;
mod kept;
mod rows;
mod seal;
mod ship;
mod sweep;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use locum_identity::NodeId;

pub(crate) use erasing::{erase, erase_again, erased_since, is_named};
pub(crate) use kept::Documents;
pub(crate) use rows::{Blob, PAGE_ROWS, find, refer, stored_since};
pub(crate) use ship::{BlobAnswer, BlobQuestion};

use crate::mesh::Peers;
use crate::store::{GroupId, RecordStore};
use disk::{Disk, Part};
use seal::{BlobId, CHUNK_BYTES, GroupKeys, ObjectId, ObjectKey, SEALED_CHUNK_BYTES};
use ship::blocking;

/// Largest document (architecture: documents 25 MiB, streamed).
pub(crate) const MAX_BYTES: u64 = 25 << 20;
/// Names this host's own unfinished files.
const OWN: &str = "here";

/// The documents of this host's record groups.
pub(crate) struct Blobs {
    folder: PathBuf,
    store: Arc<dyn RecordStore>,
    /// Whether the network has other regions: then one copy is not enough.
    needs_second: bool,
}

/// A document is not stored, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// Over 25 MiB.
    #[error("the document is too large")]
    TooLarge,
    /// Whoever sends it stopped.
    #[error("the document did not arrive whole")]
    Cut(#[source] io::Error),
    /// No space on this host.
    #[error("the disk is full")]
    Full,
    /// No host of another region kept it in time.
    #[error("the document is not in a second region yet")]
    NotDurableYet,
    /// The group is not on this host.
    #[error("this host has no key of the group")]
    NoKey,
    /// No host that answers has it whole.
    #[error("no host has the document whole")]
    Missing,
    /// This host's disk.
    #[error("use the disk")]
    File(#[source] io::Error),
}

/// A document on its way to the disk.
struct Sealing {
    key: ObjectKey,
    part: Part,
    /// Content that does not fill a chunk yet.
    rest: Vec<u8>,
    place: u64,
}

impl Blobs {
    pub(crate) fn new(folder: PathBuf, store: Arc<dyn RecordStore>, needs_second: bool) -> Self {
        Self { folder, store, needs_second }
    }

    /// Stores content; returns once it is on this host's disk and on one of another region.
    pub(crate) async fn put(
        &self,
        group: &GroupId,
        content: impl Stream<Item = io::Result<Bytes>>,
        peers: &dyn Peers,
    ) -> Result<Blob, BlobError> {
        let keys = self.keys(group).ok_or(BlobError::NoKey)?;
        let disk = self.disk(group);
        let object = ObjectId::random().ok_or(BlobError::NoKey)?;
        let (key, wrapped_key) = keys.new_key(object).ok_or(BlobError::NoKey)?;
        let own = disk.clone();
        let part = blocking(move || own.part(object, OWN)).await.map_err(disk_error)?;
        let mut sealing = Sealing { key, part, rest: Vec::new(), place: 0 };
        let (mut name, mut bytes) = (keys.naming(), 0);
        let mut content = std::pin::pin!(content);
        while let Some(piece) = content.next().await {
            let piece = match piece {
                Ok(piece) if bytes + piece.len() as u64 <= MAX_BYTES => piece,
                refused => {
                    sealing.part.discard();
                    return Err(refused.err().map_or(BlobError::TooLarge, BlobError::Cut));
                }
            };
            name.update(&piece);
            bytes += piece.len() as u64;
            sealing = sealing.take_in(piece).await?;
        }
        let (hash, sealed_bytes) = sealing.finish(&disk, object).await?;
        let mut id = [0; 32];
        id.copy_from_slice(name.sign().as_ref());
        if self.needs_second {
            self.second(group, object, (sealed_bytes, hash), peers).await?;
        }
        metrics::counter!("locum_edge_blobs_stored_total").increment(1);
        Ok(Blob { id: BlobId(id), object, wrapped_key, bytes, hash })
    }

    /// Has another region keep a file.
    async fn second(
        &self,
        group: &GroupId,
        object: ObjectId,
        file: (u64, disk::FileHash),
        peers: &dyn Peers,
    ) -> Result<(), BlobError> {
        let disk = self.disk(group);
        for host in peers.elsewhere() {
            match ship::push(peers, &host, &disk, (group, object), file).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!(%host, error = %error.kind(), "a document is not in another region yet");
                }
            }
        }
        Err(BlobError::NotDurableYet)
    }

    /// The content of a document, from this host or another, as it was stored: every chunk is verified before
    /// it is given, and the whole against its id.
    pub(crate) async fn read(
        &self,
        group: &GroupId,
        blob: &Blob,
        peers: &dyn Peers,
    ) -> Result<Vec<u8>, BlobError> {
        let keys = self.keys(group).ok_or(BlobError::NoKey)?;
        let key = keys.unwrap(blob.object, &blob.wrapped_key).map_err(|_| BlobError::Missing)?;
        let (mut content, mut name) = (Vec::new(), keys.naming());
        for place in 0..seal::chunks(blob.bytes) {
            let chunk = self.chunk(group, blob, &key, place, peers).await?;
            name.update(&chunk);
            content.extend(chunk);
        }
        if name.sign().as_ref() == blob.id.0 { Ok(content) } else { Err(BlobError::Missing) }
    }

    async fn chunk(
        &self,
        group: &GroupId,
        blob: &Blob,
        key: &ObjectKey,
        place: u64,
        peers: &dyn Peers,
    ) -> Result<Vec<u8>, BlobError> {
        let offset = place * SEALED_CHUNK_BYTES as u64;
        let left = seal::sealed_bytes(blob.bytes) - offset;
        let length = usize::try_from(left.min(SEALED_CHUNK_BYTES as u64)).map_err(|_| BlobError::Missing)?;
        let is_last = place + 1 == seal::chunks(blob.bytes);
        let (disk, object) = (self.disk(group), blob.object);
        let own = blocking(move || disk.read(object, offset, length)).await;
        if let Ok(Some(own)) = own
            && let Ok(chunk) = key.open(place, is_last, own)
        {
            return Ok(chunk);
        }
        metrics::counter!("locum_edge_blob_chunks_fetched_total").increment(1);
        for host in peers.elsewhere() {
            let fetched = ship::fetch(peers, &host, (group, object), (offset, length)).await;
            if let Ok(Some(sealed)) = fetched
                && let Ok(chunk) = key.open(place, is_last, sealed)
            {
                return Ok(chunk);
            }
        }
        Err(BlobError::Missing)
    }

    /// Answers another host of the group. Blocks.
    pub(crate) fn answer(
        &self,
        from: &NodeId,
        question: &BlobQuestion,
        bytes: &[u8],
    ) -> io::Result<(BlobAnswer, Vec<u8>)> {
        ship::answer(&self.disk(question.group()), from, question, bytes)
    }

    /// Whether this host may hold documents of the group.
    pub(crate) fn holds(&self, group: &GroupId) -> bool {
        self.store.derived_key(group, seal::KEY_PURPOSE).is_some()
    }

    fn keys(&self, group: &GroupId) -> Option<GroupKeys> {
        let ids = self.store.derived_key(group, seal::ID_PURPOSE)?;
        GroupKeys::new(group, &ids, &self.store.derived_key(group, seal::KEY_PURPOSE)?)
    }

    fn disk(&self, group: &GroupId) -> Disk {
        Disk::new(&self.folder, group)
    }
}

impl Sealing {
    /// Seals every chunk that is full and followed by something: which one is the last shows at the end.
    async fn take_in(mut self, piece: Bytes) -> Result<Self, BlobError> {
        self.rest.extend_from_slice(&piece);
        while self.rest.len() > CHUNK_BYTES {
            let rest = self.rest.split_off(CHUNK_BYTES);
            let chunk = std::mem::replace(&mut self.rest, rest);
            self = self.write(chunk, false).await?;
        }
        Ok(self)
    }

    async fn write(mut self, chunk: Vec<u8>, is_last: bool) -> Result<Self, BlobError> {
        let written = blocking(move || {
            let sealed = self.key.seal(self.place, is_last, chunk).map_err(io::Error::other)?;
            self.place += 1;
            match self.part.append(&sealed) {
                Ok(()) => Ok(self),
                Err(error) => {
                    self.part.discard();
                    Err(error)
                }
            }
        });
        written.await.map_err(disk_error)
    }

    /// The last chunk, and the file in its place, synced: its hash and length.
    async fn finish(mut self, disk: &Disk, object: ObjectId) -> Result<(disk::FileHash, u64), BlobError> {
        let rest = std::mem::take(&mut self.rest);
        let mut whole = self.write(rest, true).await?;
        let disk = disk.clone();
        let kept = blocking(move || {
            let (hash, bytes) = (whole.part.hash()?, whole.part.bytes());
            disk.keep(object, whole.part, &hash)?;
            Ok((hash, bytes))
        });
        kept.await.map_err(disk_error)
    }
}

fn disk_error(error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::Full,
        _ => BlobError::File(error),
    }
}
