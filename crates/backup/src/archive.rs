//! What outlives every backup: audit files of each host's disk, which only grow, and the erasure journal.
//!
//! ```text
//! <group>/keyring/<archive>.json              its key, wrapped by the backup master key
//! <group>/archives/<archive>/<file>/<block>   a file in blocks; the last one is written again as it grows
//! <group>/erasures/<archive>/<time>           entries of the journal; in the keyring's place
//! ```
//!
//! The journal lies with the keyring so that whoever restores from an older copy of the backups still learns
//! what was erased since.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use locum_identity::NodeId;
use locum_replication::GroupId;

use crate::envelope::{self, HEAD_BYTES, SealError, TAG_BYTES};
use crate::erasure::Erasure;
use crate::keyring::{BackupKey, KeyError};
use crate::manifest::BackupId;
use crate::repository::{ReadError, Repository, WriteError};

/// Of a file, in one block; only the last one is shorter.
pub const BLOCK_BYTES: usize = 128 << 10;
const OVERHEAD_BYTES: u64 = (HEAD_BYTES + TAG_BYTES) as u64;

/// Names an archive: the host, and a random number that goes with its disk.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ArchiveId {
    node: NodeId,
    disk: u64,
}

/// Not the name of an archive.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an archive's name is like edge-1.0123456789abcdef")]
pub struct ParseArchiveIdError;

/// An archive whose key is at hand.
#[derive(Clone, Debug)]
pub struct Archive {
    repository: Repository,
    group: GroupId,
    id: ArchiveId,
    key: BackupKey,
}

/// An archive is neither opened nor begun.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Its key is there and cannot be read.
    #[error("open an archive")]
    Open(#[source] ReadError),
    /// Its key cannot be made.
    #[error("begin an archive")]
    Begin(#[source] WriteError),
}

/// Bytes of each block of a file, in order.
pub type Blocks = Vec<u64>;

impl Repository {
    /// Opens an archive, or begins it. Only the disk it is named after may.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn archive(&self, group: &GroupId, id: &ArchiveId) -> Result<Archive, ArchiveError> {
        match self.open_archive(group, id).await {
            Err(ReadError::NoKey(_)) => {}
            opened => return opened.map_err(ArchiveError::Open),
        }
        let begin = |error| ArchiveError::Begin(WriteError::Key(error));
        let key = BackupKey::random().map_err(begin)?;
        self.keep_key(group, &id.to_string(), &key).await.map_err(ArchiveError::Begin)?;
        Ok(Archive { repository: self.clone(), group: group.clone(), id: id.clone(), key })
    }

    /// Opens an archive that is there.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn open_archive(&self, group: &GroupId, id: &ArchiveId) -> Result<Archive, ReadError> {
        let key = self.key_of(group, &id.to_string()).await?;
        Ok(Archive { repository: self.clone(), group: group.clone(), id: id.clone(), key })
    }

    /// The archives of a group, in order.
    ///
    /// # Errors
    /// [`ReadError::Object`].
    pub async fn archives(&self, group: &GroupId) -> Result<Vec<ArchiveId>, ReadError> {
        let folders = self.place().folders(&format!("{group}/archives")).await;
        Ok(folders.map_err(ReadError::Object)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The whole erasure journal of a group, each entry once, oldest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn erasures(&self, group: &GroupId) -> Result<Vec<Erasure>, ReadError> {
        let mut entries = BTreeMap::new();
        let listed = self.keyring().list(&format!("{group}/erasures")).await.map_err(ReadError::Object)?;
        let mut archives: BTreeMap<ArchiveId, Archive> = BTreeMap::new();
        for listed in listed {
            let of = listed.name.rsplit('/').nth(1).and_then(|archive| archive.parse().ok());
            let Some(of): Option<ArchiveId> = of else { continue };
            let archive = match archives.get(&of) {
                Some(archive) => archive.clone(),
                None => self.open_archive(group, &of).await?,
            };
            for entry in archive.journal(&listed.name).await? {
                entries.insert((entry.at_ms, entry.id), entry);
            }
            archives.insert(of, archive);
        }
        Ok(entries.into_values().collect())
    }
}

impl Archive {
    /// Its name.
    pub fn id(&self) -> &ArchiveId {
        &self.id
    }

    /// Its files, by names such as `own/checkpoints`.
    ///
    /// # Errors
    /// [`ReadError`]: also when a block is missing between others.
    pub async fn files(&self) -> Result<BTreeMap<String, Blocks>, ReadError> {
        let below = format!("{}/", self.folder());
        let listed = self.repository.place().list(&below).await.map_err(ReadError::Object)?;
        let mut files: BTreeMap<String, Blocks> = BTreeMap::new();
        for listed in listed {
            let Some((file, _)) = listed.name.strip_prefix(&below).and_then(|name| name.rsplit_once('/'))
            else {
                continue;
            };
            let blocks = files.entry(file.to_owned()).or_default();
            let expected = self.block_name(file, blocks.len());
            if listed.name != expected {
                return Err(ReadError::Missing(self.repository.place().show(&expected)));
            }
            blocks.push(listed.bytes.saturating_sub(OVERHEAD_BYTES));
        }
        Ok(files)
    }

    /// Writes a block of a file; `number` counts from 0. Gives its size, sealed.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn put_block(&self, file: &str, number: usize, bytes: Vec<u8>) -> Result<u64, WriteError> {
        let name = self.block_name(file, number);
        let bytes = envelope::seal(&self.key, &name, bytes).map_err(WriteError::Seal)?;
        let size = bytes.len() as u64;
        let put = self.repository.place().put(&name, bytes).await;
        put.map(|()| size).map_err(WriteError::Object)
    }

    /// A block of a file.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn block(&self, file: &str, number: usize) -> Result<Vec<u8>, ReadError> {
        let (name, place) = (self.block_name(file, number), self.repository.place());
        let object = place.get(&name).await.map_err(ReadError::Object)?;
        let object = object.ok_or_else(|| ReadError::Missing(place.show(&name)))?;
        envelope::open(&self.key, &name, &object)
            .map_err(|source| ReadError::Damaged { name: place.show(&name), source })
    }

    /// Adds entries to the journal.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn erased(&self, entries: &[Erasure], now: Timestamp) -> Result<(), WriteError> {
        let random = getrandom::u32().map_err(|_| WriteError::Key(KeyError::Random))?;
        let id = BackupId::new(now, random);
        let name = format!("{}/erasures/{}/{id}", self.group, self.id);
        let content = serde_json::to_vec(entries).map_err(|_| WriteError::Seal(SealError::TooLarge))?;
        let bytes = envelope::seal(&self.key, &name, content).map_err(WriteError::Seal)?;
        self.repository.keyring().put(&name, bytes).await.map_err(WriteError::Object)
    }

    /// Where a block lies, for people.
    pub fn show(&self, file: &str, number: usize) -> String {
        self.repository.place().show(&self.block_name(file, number))
    }

    async fn journal(&self, name: &str) -> Result<Vec<Erasure>, ReadError> {
        let place = self.repository.keyring();
        let object = place.get(name).await.map_err(ReadError::Object)?;
        let object = object.ok_or_else(|| ReadError::Missing(place.show(name)))?;
        let content = envelope::open(&self.key, name, &object)
            .map_err(|source| ReadError::Damaged { name: place.show(name), source })?;
        let malformed = "not an erasure journal of this release";
        serde_json::from_slice(&content)
            .map_err(|_| ReadError::Malformed { name: place.show(name), problem: malformed })
    }

    fn folder(&self) -> String {
        format!("{}/archives/{}", self.group, self.id)
    }

    fn block_name(&self, file: &str, number: usize) -> String {
        format!("{}/{file}/{number:08}", self.folder())
    }
}

impl ArchiveId {
    /// Of a disk of a host.
    pub fn new(node: NodeId, disk: u64) -> Self {
        Self { node, disk }
    }

    /// Whose.
    pub fn node(&self) -> &NodeId {
        &self.node
    }
}

impl FromStr for ArchiveId {
    type Err = ParseArchiveIdError;

    fn from_str(text: &str) -> Result<Self, ParseArchiveIdError> {
        let parse = || {
            let (node, disk) = text.split_once('.')?;
            Some(Self { node: node.parse().ok()?, disk: u64::from_str_radix(disk, 16).ok()? })
        };
        parse().filter(|id| id.to_string() == text).ok_or(ParseArchiveIdError)
    }
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.node, self.disk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_strictly() {
        let id = ArchiveId::new("edge-1".parse().unwrap(), 0xabc);
        assert_eq!(id.to_string(), "edge-1.0000000000000abc");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "edge-1", "edge-1.abc", "edge-1.0000000000000ABC", "../x.0000000000000abc"] {
            assert_eq!(bad.parse::<ArchiveId>(), Err(ParseArchiveIdError), "{bad}");
        }
    }
}
