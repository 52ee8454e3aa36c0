//! What is in a place: backups are written, listed, read and removed.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use locum_replication::GroupId;

use crate::envelope::{self, OpenError, SealError};
use crate::keyring::{BackupKey, KeyError, MasterKey};
use crate::manifest::{BackupId, MANIFEST_VERSION, Manifest};
use crate::place::{Listed, ObjectError, Place};
use crate::segment::{MAX_PAGES, Segment, segment_name};
use crate::snapshot::{CHUNK_BYTES, Object, Snapshot, chunk_name};

/// Largest page SQLite knows: a chunk ends with the page that fills it.
const MAX_PAGE_BYTES: usize = 65_536;

/// Backups, the keys that open them, and the key that opens those.
#[derive(Clone, Debug)]
pub struct Repository {
    place: Place,
    keyring: Place,
    master: MasterKey,
}

/// One backup whose key is at hand.
#[derive(Clone, Debug)]
pub struct Opened {
    repository: Repository,
    group: GroupId,
    id: BackupId,
    key: BackupKey,
}

/// A backup that was found, and what it says of itself.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub id: BackupId,
    /// Why it cannot be used, where it cannot.
    pub manifest: Result<Manifest, ReadError>,
}

/// A backup is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Its key.
    #[error("make the backup's key")]
    Key(#[source] KeyError),
    /// Sealing.
    #[error("seal a part of the backup")]
    Seal(#[source] SealError),
    /// Writing or removing.
    #[error("write the backup")]
    Object(#[source] ObjectError),
}

/// A backup cannot be used. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Reading.
    #[error("read the backup")]
    Object(#[source] ObjectError),
    /// The keyring has no key for it: retention removed it, or this is another keyring.
    #[error("no key for this backup: {0} is not there")]
    NoKey(String),
    /// The key.
    #[error("open the keyring")]
    Key(#[source] KeyError),
    /// It was begun and not finished.
    #[error("not a whole backup: {0} is not there")]
    Unfinished(String),
    /// A part is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A part is not what was written.
    #[error("{name} cannot be used")]
    Damaged {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// A part opens and makes no sense: another release, or a bug.
    #[error("{name}: {problem}")]
    Malformed {
        /// Which.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Repository {
    /// Backups in `place` with their keys in `keyring`, which may be the same.
    pub fn new(place: Place, keyring: Place, master: MasterKey) -> Self {
        Self { place, keyring, master }
    }

    /// A name for a backup that begins now.
    ///
    /// # Errors
    /// [`WriteError::Key`].
    pub fn name(&self, now: Timestamp) -> Result<BackupId, WriteError> {
        let random = getrandom::u32().map_err(|_| WriteError::Key(KeyError::Random))?;
        Ok(BackupId::new(now, random))
    }

    /// Begins a backup under a new name: from here on it has a key.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn begin(&self, group: &GroupId, id: BackupId) -> Result<Opened, WriteError> {
        let key = BackupKey::random().map_err(WriteError::Key)?;
        // First of all: nothing is ever sealed with a key that could be lost.
        self.keep_key(group, id.as_str(), &key).await?;
        Ok(Opened { repository: self.clone(), group: group.clone(), id, key })
    }

    /// The groups that have backups or keys of them, in order.
    ///
    /// # Errors
    /// [`ReadError::Object`].
    pub async fn groups(&self) -> Result<Vec<GroupId>, ReadError> {
        let mut groups = BTreeSet::new();
        for place in [&self.place, &self.keyring] {
            let folders = place.folders("").await.map_err(ReadError::Object)?;
            groups.extend(folders.iter().filter_map(|name| name.parse().ok()));
        }
        Ok(groups.into_iter().collect())
    }

    /// The backups of a group that have a key and nothing else, oldest first: a key goes before its backup does,
    /// so somebody else removed them, or they were hardly begun.
    ///
    /// # Errors
    /// [`ReadError::Object`].
    pub async fn gone(&self, group: &GroupId) -> Result<Vec<BackupId>, ReadError> {
        let keys = self.keyring.list(&format!("{group}/keyring")).await.map_err(ReadError::Object)?;
        let there = self.place.folders(&format!("{group}/backups")).await.map_err(ReadError::Object)?;
        let id = |key: &Listed| key.name.rsplit('/').next()?.strip_suffix(".json")?.parse::<BackupId>().ok();
        let ids = keys.iter().filter_map(id);
        Ok(ids.filter(|id| !there.iter().any(|name| name == id.as_str())).collect())
    }

    /// Where a backup lies, for people.
    pub fn show(&self, group: &GroupId, id: &BackupId) -> String {
        self.place.show(&folder(group, id))
    }

    /// The backups of a group, oldest first, whatever state they are in.
    ///
    /// # Errors
    /// [`ReadError::Object`] when the place cannot be listed.
    pub async fn backups(&self, group: &GroupId) -> Result<Vec<Found>, ReadError> {
        let folders = self.place.folders(&format!("{group}/backups")).await.map_err(ReadError::Object)?;
        let mut found = Vec::new();
        for id in folders.iter().filter_map(|name| name.parse::<BackupId>().ok()) {
            let manifest = match self.open(group, &id).await {
                Ok(opened) => opened.manifest().await,
                Err(error) => Err(error),
            };
            found.push(Found { id, manifest });
        }
        Ok(found)
    }

    /// Opens a backup with its key.
    ///
    /// # Errors
    /// [`ReadError::NoKey`], [`ReadError::Key`], [`ReadError::Object`].
    pub async fn open(&self, group: &GroupId, id: &BackupId) -> Result<Opened, ReadError> {
        let key = self.key_of(group, id.as_str()).await?;
        Ok(Opened { repository: self.clone(), group: group.clone(), id: id.clone(), key })
    }

    /// Puts a key into the keyring, wrapped.
    pub(crate) async fn keep_key(
        &self,
        group: &GroupId,
        of: &str,
        key: &BackupKey,
    ) -> Result<(), WriteError> {
        let entry = self.master.wrap(group, of, key).map_err(WriteError::Key)?;
        self.keyring.put(&key_name(group, of), entry).await.map_err(WriteError::Object)
    }

    /// A key out of the keyring.
    pub(crate) async fn key_of(&self, group: &GroupId, of: &str) -> Result<BackupKey, ReadError> {
        let name = key_name(group, of);
        let entry = self.keyring.get(&name).await.map_err(ReadError::Object)?;
        let shown = self.keyring.show(&name);
        let Some(entry) = entry else { return Err(ReadError::NoKey(shown)) };
        self.master.unwrap(group, of, &entry).ok_or(ReadError::Key(KeyError::Wrong(shown)))
    }

    /// Writes a part.
    ///
    /// # Errors
    /// [`WriteError::Object`].
    pub async fn put(&self, object: Object) -> Result<(), WriteError> {
        self.place.put(&object.name, object.bytes).await.map_err(WriteError::Object)
    }

    /// Removes a backup, its key first: cut off in the middle, it is unreadable already. May be said again.
    ///
    /// # Errors
    /// [`WriteError::Object`].
    pub async fn remove(&self, group: &GroupId, id: &BackupId) -> Result<(), WriteError> {
        self.keyring.remove(&key_name(group, id.as_str())).await.map_err(WriteError::Object)?;
        self.place.remove_below(&folder(group, id)).await.map_err(WriteError::Object)
    }

    /// Removes what processes that were killed left half written longer than `age` ago; how many files.
    ///
    /// # Errors
    /// [`WriteError::Object`].
    pub async fn sweep(&self, age: Duration) -> Result<u64, WriteError> {
        let (place, keyring) = (self.place.sweep(age).await, self.keyring.sweep(age).await);
        Ok(place.map_err(WriteError::Object)? + keyring.map_err(WriteError::Object)?)
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn keyring(&self) -> &Place {
        &self.keyring
    }
}

impl Opened {
    /// Its name.
    pub fn id(&self) -> &BackupId {
        &self.id
    }

    /// Of which group.
    pub fn group(&self) -> &GroupId {
        &self.group
    }

    /// To be given all pages.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.folder(), self.key.clone())
    }

    /// Ends the backup: from here on it is listed.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn finish(&self, manifest: &Manifest) -> Result<(), WriteError> {
        let name = self.manifest_name();
        let content = serde_json::to_vec(manifest).map_err(|_| WriteError::Seal(SealError::TooLarge))?;
        let bytes = envelope::seal(&self.key, &name, content).map_err(WriteError::Seal)?;
        self.repository.put(Object { name, bytes }).await
    }

    /// Adds a segment; `number` counts from 1. Gives its size, sealed. The same number may be written again
    /// as long as nobody was told that it is there.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn append(&self, number: u32, segment: &Segment) -> Result<u64, WriteError> {
        let name = segment_name(&self.folder(), number);
        let content = segment.encode().ok_or(WriteError::Seal(SealError::TooLarge))?;
        let bytes = envelope::seal(&self.key, &name, content).map_err(WriteError::Seal)?;
        let size = bytes.len() as u64;
        self.repository.put(Object { name, bytes }).await.map(|()| size)
    }

    /// What the backup says of itself.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn manifest(&self) -> Result<Manifest, ReadError> {
        let name = self.manifest_name();
        let content = match self.read(&name).await {
            Err(ReadError::Missing(name)) => return Err(ReadError::Unfinished(name)),
            content => content?,
        };
        let malformed = |problem| ReadError::Malformed { name: self.show(&name), problem };
        let manifest: Manifest =
            serde_json::from_slice(&content).map_err(|_| malformed("not a manifest of this release"))?;
        if !(1..=MANIFEST_VERSION).contains(&manifest.version) {
            return Err(malformed("written by another release"));
        }
        if manifest.group != self.group || manifest.id != self.id {
            return Err(malformed("of another backup"));
        }
        Ok(manifest)
    }

    /// Pages of the snapshot, one after the other; `number` counts from 1.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn chunk(&self, number: u32) -> Result<Vec<u8>, ReadError> {
        let name = chunk_name(&self.folder(), number);
        let content = self.read(&name).await?;
        let most = CHUNK_BYTES + MAX_PAGE_BYTES;
        zstd::bulk::decompress(&content, most)
            .map_err(|_| ReadError::Malformed { name: self.show(&name), problem: "does not decompress" })
    }

    /// How many segments there are. None is missing between them.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn segments(&self) -> Result<u32, ReadError> {
        let below = self.folder();
        let objects = self.repository.place.list(&format!("{below}/log")).await.map_err(ReadError::Object)?;
        let mut count = 0;
        for object in objects {
            let expected = segment_name(&below, count + 1);
            if object.name != expected {
                return Err(ReadError::Missing(self.show(&expected)));
            }
            count += 1;
        }
        Ok(count)
    }

    /// A segment; `number` counts from 1.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn segment(&self, number: u32) -> Result<Segment, ReadError> {
        let name = segment_name(&self.folder(), number);
        let segment = Segment::decode(&self.read(&name).await?);
        let segment = segment.filter(|segment| segment.pages.len() <= MAX_PAGES);
        segment.ok_or_else(|| ReadError::Malformed { name: self.show(&name), problem: "not a segment" })
    }

    /// Where a part lies, for people.
    pub(crate) fn show(&self, name: &str) -> String {
        self.repository.place.show(name)
    }

    pub(crate) fn manifest_name(&self) -> String {
        format!("{}/manifest", self.folder())
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(crate) fn key(&self) -> &BackupKey {
        &self.key
    }

    pub(crate) fn folder(&self) -> String {
        folder(&self.group, &self.id)
    }

    pub(crate) async fn read(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        let object = self.repository.place.get(name).await.map_err(ReadError::Object)?;
        let object = object.ok_or_else(|| ReadError::Missing(self.show(name)))?;
        envelope::open(&self.key, name, &object)
            .map_err(|source| ReadError::Damaged { name: self.show(name), source })
    }
}

fn folder(group: &GroupId, id: &BackupId) -> String {
    format!("{group}/backups/{id}")
}

fn key_name(group: &GroupId, of: &str) -> String {
    format!("{group}/keyring/{of}.json")
}
