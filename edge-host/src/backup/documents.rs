//! Documents that rows name, on their way to the place of backups: each goes once.

use std::collections::{HashSet, VecDeque};

use locum_backup::DocumentName;

use super::source::Source;
use super::taking::{Held, TakeError};
use crate::blob::{self, Blob, PAGE_ROWS};

/// What of the documents is in the place.
#[derive(Default)]
pub(crate) struct Sent {
    /// Is there since an earlier backup, and needed by it.
    known: HashSet<DocumentName>,
    /// The last document that was looked at.
    last: i64,
    /// In the place, and not in the list of any backup yet.
    unlisted: Vec<DocumentName>,
    /// Nobody had them.
    missing: VecDeque<Blob>,
}

impl Sent {
    pub(super) fn unlisted(&self) -> &[DocumentName] {
        &self.unlisted
    }

    /// A backup speaks of them now.
    pub(super) fn are_listed(&mut self) {
        self.unlisted.clear();
        // From here on every document is a new one.
        self.known = HashSet::new();
    }

    pub(super) fn missing(&self) -> u64 {
        self.missing.len() as u64
    }
}

impl Source {
    /// Looks at what is in the place already. Only what the newest backup speaks of counts: nobody removes that
    /// while another backup is on its way.
    pub(super) async fn begin(&self) -> Result<Sent, TakeError> {
        let found = self.repository.backups(&self.group).await.map_err(TakeError::Read)?;
        let newest = found.into_iter().rev().find(|backup| backup.manifest.is_ok());
        let Some(newest) = newest else { return Ok(Sent::default()) };
        let opened = self.repository.open(&self.group, &newest.id).await.map_err(TakeError::Read)?;
        let needed = opened.needed_documents().await.map_err(TakeError::Read)?;
        let there = self.repository.documents(&self.group).await.map_err(TakeError::Read)?;
        let known = needed.into_iter().filter(|name| there.contains_key(name)).collect();
        Ok(Sent { known, ..Sent::default() })
    }

    /// Sends the documents that rows of this moment name, and one of those that were missing.
    pub(super) async fn send_documents(&self, moment: &mut Held, sent: &mut Sent) -> Result<(), TakeError> {
        loop {
            let last = sent.last;
            let page =
                moment.with(move |moment| Ok(blob::stored_since(|sql| moment.select(sql), last)?)).await?;
            let is_last = (page.len() as i64) < PAGE_ROWS;
            for (sequence, blob) in page {
                if !self.send_document(&blob, sent).await? {
                    tracing::warn!(group = %self.group, "a document is missing everywhere and not backed up");
                    sent.missing.push_back(blob);
                }
                sent.last = sequence;
            }
            if is_last {
                break;
            }
        }
        // One at a time: a host that does not answer takes its time.
        if let Some(blob) = sent.missing.pop_front()
            && !self.send_document(&blob, sent).await?
        {
            sent.missing.push_back(blob);
        }
        let labels = [("group", self.group.to_string())];
        metrics::gauge!("locum_edge_backup_documents_missing", &labels).set(sent.missing.len() as f64);
        Ok(())
    }

    /// False when nobody has it.
    async fn send_document(&self, blob: &Blob, sent: &mut Sent) -> Result<bool, TakeError> {
        let name = blob.name();
        if !sent.known.contains(&name) {
            let sealed = self.blobs.sealed(&self.group, blob, self.peers.as_ref()).await;
            let Some(sealed) = sealed.map_err(TakeError::Document)? else { return Ok(false) };
            metrics::counter!("locum_edge_backup_document_bytes_total", "group" => self.group.to_string())
                .increment(sealed.len() as u64);
            self.repository.put_document(&self.group, sealed).await.map_err(TakeError::Write)?;
        }
        sent.unlisted.push(name);
        Ok(true)
    }
}
