//! Documents on their way into backups, sealed as they are, and back out of them.

use std::io;
use std::path::Path;

use locum_backup::DocumentName;

use super::disk::Disk;
use super::rows::Blob;
use super::seal::{self, GroupKeys, ID_PURPOSE, KEY_PURPOSE, SEALED_CHUNK_BYTES};
use super::ship::blocking;
use super::{Blobs, OWN};
use crate::mesh::Peers;
use crate::store::{GroupId, GroupOnDisk};

/// A document's file does not open with the key in its row, or holds something else than the row says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the document that its row names")]
pub(crate) struct SealedError;

/// Documents of one group that come out of a backup.
pub(crate) struct Documents {
    keys: GroupKeys,
    disk: Disk,
}

impl Blob {
    /// Its name in a backup.
    pub(crate) fn name(&self) -> DocumentName {
        self.hash.into()
    }

    /// Its file's name on a host.
    #[cfg(test)]
    pub(crate) fn object_name(&self) -> String {
        self.object.to_string()
    }
}

impl Blobs {
    /// A document's sealed file as its row knows it, from this host's disk or, then it is here too, another's;
    /// `None` when nobody has it whole.
    pub(crate) async fn sealed(
        &self,
        group: &GroupId,
        blob: &Blob,
        peers: &dyn Peers,
    ) -> io::Result<Option<Vec<u8>>> {
        if let Some(own) = self.own_sealed(group, blob).await? {
            return Ok(Some(own));
        }
        if !self.fetch_whole(group, blob, peers).await? {
            return Ok(None);
        }
        self.own_sealed(group, blob).await
    }

    async fn own_sealed(&self, group: &GroupId, blob: &Blob) -> io::Result<Option<Vec<u8>>> {
        let (disk, object) = (self.disk(group), blob.object);
        let length = usize::try_from(seal::sealed_bytes(blob.bytes)).map_err(io::Error::other)?;
        let sealed = blocking(move || disk.read(object, 0, length)).await?;
        Ok(sealed.filter(|sealed| DocumentName::of(sealed) == blob.name()))
    }
}

impl Documents {
    /// With the keys of a group whose records lie there, for files below `blobs`.
    pub(crate) fn new(blobs: &Path, group: &GroupId, records: &GroupOnDisk) -> Option<Self> {
        let (ids, keys) = (records.derived_key(ID_PURPOSE), records.derived_key(KEY_PURPOSE));
        Some(Self { keys: GroupKeys::new(group, &ids, &keys)?, disk: Disk::new(blobs, group) })
    }

    /// Opens every chunk with the key in the row and compares the content with its id.
    pub(crate) fn check(&self, blob: &Blob, sealed: &[u8]) -> Result<(), SealedError> {
        if sealed.len() as u64 != seal::sealed_bytes(blob.bytes) {
            return Err(SealedError);
        }
        let key = self.keys.unwrap(blob.object, &blob.wrapped_key).map_err(|_| SealedError)?;
        let (mut name, chunks) = (self.keys.naming(), seal::chunks(blob.bytes));
        for (place, chunk) in (0..chunks).zip(sealed.chunks(SEALED_CHUNK_BYTES)) {
            let opened = key.open(place, place + 1 == chunks, chunk.to_vec());
            name.update(&opened.map_err(|_| SealedError)?);
        }
        if name.sign().as_ref() == blob.id.0 { Ok(()) } else { Err(SealedError) }
    }

    /// Puts a file where the host will look for it. Synced. Blocks.
    pub(crate) fn keep(&self, blob: &Blob, sealed: &[u8]) -> io::Result<()> {
        let mut part = self.disk.part(blob.object, OWN)?;
        part.append(sealed)?;
        match self.disk.keep(blob.object, part, &blob.hash)? {
            true => Ok(()),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
