//! A record group between this host and the place of its backups: what both sides of a backup need.

use std::sync::Arc;

use jiff::Timestamp;
use locum_backup::{Archive, ArchiveId, Erasure, Repository};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::taking::{Held, TakeError};
use crate::audit::Audit;
use crate::blob::{self, Blobs};
use crate::mesh::Peers;
use crate::store::{GroupId, LocalCopy, Moment};

/// One group of this host.
pub(crate) struct Source {
    pub(crate) repository: Repository,
    pub(crate) group: GroupId,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) peers: Arc<dyn Peers>,
    /// Of this host's disk.
    archive_id: ArchiveId,
    /// Opened when it is needed first: the place may be out of reach.
    archive: OnceCell<Archive>,
}

impl Source {
    pub(crate) fn new(
        repository: Repository,
        group: GroupId,
        (blobs, audit, peers): (Arc<Blobs>, Arc<Audit>, Arc<dyn Peers>),
        archive_id: ArchiveId,
    ) -> Self {
        Self { repository, group, blobs, audit, peers, archive_id, archive: OnceCell::new() }
    }

    pub(super) async fn archive(&self) -> Result<&Archive, TakeError> {
        let open = || self.repository.archive(&self.group, &self.archive_id);
        self.archive.get_or_try_init(open).await.map_err(TakeError::Archive)
    }

    /// A snapshot of a copy.
    pub(super) async fn moment(&self, copy: &LocalCopy) -> Result<Held, TakeError> {
        let copy = copy.clone();
        let moment = spawn_blocking(move || copy.moment().map_err(TakeError::Moment));
        Ok(Held::new(moment.await.map_err(|_| TakeError::Ended)??))
    }

    /// Adds to the erasure journal what was erased after the entry number `after`, and removes from the place
    /// what went with it; gives the number of the last one.
    pub(super) async fn send_erasures(&self, moment: &mut Held, after: i64) -> Result<i64, TakeError> {
        let mut last = after;
        loop {
            let new =
                moment.with(move |moment| Ok(blob::erased_since(|sql| moment.select(sql), last)?)).await?;
            let Some((number, _)) = new.last() else { return Ok(last) };
            last = *number;
            let mut new: Vec<Erasure> = new.into_iter().map(|(_, erasure)| erasure).collect();
            if after == 0 {
                // Of a time before this host led, or before a restore.
                let known = self.repository.erasures(&self.group).await.map_err(TakeError::Read)?;
                new.retain(|erasure| known.iter().all(|known| known.id != erasure.id));
            }
            if new.is_empty() {
                continue;
            }
            let archive = self.archive().await?;
            archive.erased(&new, Timestamp::now()).await.map_err(TakeError::Write)?;
            for content in new.iter().filter_map(Erasure::content) {
                let is_named =
                    move |moment: &mut Moment| Ok(blob::is_named(|sql| moment.select(sql), content)?);
                if !moment.with(is_named).await? {
                    let removed = self.repository.remove_document(&self.group, content).await;
                    removed.map_err(TakeError::Write)?;
                }
            }
        }
    }
}
