//! Documents in a place, and the lists by which backups speak of them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jiff::Timestamp;
use locum_replication::GroupId;

use crate::document::{self, DocumentName, MAX_NAMES};
use crate::envelope::{self, OpenError};
use crate::repository::{Opened, ReadError, Repository, WriteError};
use crate::snapshot::Object;

/// A document as it lies in the place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeptDocument {
    /// Its size.
    pub bytes: u64,
    /// When it was written.
    pub at: Timestamp,
}

impl Repository {
    /// Writes a sealed document under its name.
    ///
    /// # Errors
    /// [`WriteError::Object`].
    pub async fn put_document(&self, group: &GroupId, sealed: Vec<u8>) -> Result<DocumentName, WriteError> {
        let name = DocumentName::of(&sealed);
        self.put(Object { name: object_name(group, name), bytes: sealed }).await.map(|()| name)
    }

    /// A sealed document, as it was written; `None` when it is not there.
    ///
    /// # Errors
    /// [`ReadError::Object`]; [`ReadError::Damaged`] when it is not what its name says.
    pub async fn document(&self, group: &GroupId, name: DocumentName) -> Result<Option<Bytes>, ReadError> {
        let object = object_name(group, name);
        let found = self.place().get(&object).await.map_err(ReadError::Object)?;
        match found {
            Some(sealed) if DocumentName::of(&sealed) != name => {
                Err(ReadError::Damaged { name: self.place().show(&object), source: OpenError::Altered })
            }
            found => Ok(found),
        }
    }

    /// Every document of a group in the place.
    ///
    /// # Errors
    /// [`ReadError::Object`].
    pub async fn documents(
        &self,
        group: &GroupId,
    ) -> Result<BTreeMap<DocumentName, KeptDocument>, ReadError> {
        let listed = self.place().list(&folder(group)).await.map_err(ReadError::Object)?;
        let found = listed.into_iter().filter_map(|listed| {
            let name = listed.name.rsplit_once('/')?.1.parse().ok()?;
            Some((name, KeptDocument { bytes: listed.bytes, at: listed.at }))
        });
        Ok(found.collect())
    }

    /// Removes a document; one that is gone already is no error.
    ///
    /// # Errors
    /// [`WriteError::Object`].
    pub async fn remove_document(&self, group: &GroupId, name: DocumentName) -> Result<(), WriteError> {
        self.place().remove(&object_name(group, name)).await.map_err(WriteError::Object)
    }

    /// Where a document lies, for people.
    pub fn show_document(&self, group: &GroupId, name: DocumentName) -> String {
        self.place().show(&object_name(group, name))
    }
}

impl Opened {
    /// Says which documents the snapshot (`segment` 0) or a segment needs that nothing before it does, once
    /// they are in the place. Gives the number of lists, which the manifest or the segment's head repeats.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn list_documents(&self, segment: u32, names: &[DocumentName]) -> Result<u32, WriteError> {
        let mut lists = 0;
        for names in names.chunks(MAX_NAMES) {
            lists += 1;
            let name = document::list_name(&self.folder(), segment, lists);
            let bytes =
                envelope::seal(self.key(), &name, document::encode(names)).map_err(WriteError::Seal)?;
            self.repository().put(Object { name, bytes }).await?;
        }
        Ok(lists)
    }

    /// The documents that the snapshot and segments need, by how many lists each of them says that it has; the
    /// snapshot is segment 0.
    ///
    /// # Errors
    /// [`ReadError`]: also when one of these lists is missing.
    pub async fn documents(&self, lists: &BTreeMap<u32, u32>) -> Result<BTreeSet<DocumentName>, ReadError> {
        let mut names = BTreeSet::new();
        for (segment, count) in lists {
            for list in 1..=*count {
                let name = document::list_name(&self.folder(), *segment, list);
                names.extend(self.document_list(&name).await?);
            }
        }
        Ok(names)
    }

    /// The documents that any list speaks of: what may not be removed yet.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn needed_documents(&self) -> Result<BTreeSet<DocumentName>, ReadError> {
        let listed = self.repository().place().list(&format!("{}/documents", self.folder())).await;
        let mut names = BTreeSet::new();
        for listed in listed.map_err(ReadError::Object)? {
            names.extend(self.document_list(&listed.name).await?);
        }
        Ok(names)
    }

    async fn document_list(&self, name: &str) -> Result<Vec<DocumentName>, ReadError> {
        let names = document::decode(&self.read(name).await?);
        let malformed = || ReadError::Malformed { name: self.show(name), problem: "not a list of documents" };
        names.ok_or_else(malformed)
    }
}

fn folder(group: &GroupId) -> String {
    format!("{group}/documents")
}

fn object_name(group: &GroupId, name: DocumentName) -> String {
    format!("{}/{name}", folder(group))
}
