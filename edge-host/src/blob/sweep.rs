//! Brings back what this host lacks, and removes what no row names.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use locum_telemetry::config::chain;
use tokio_util::sync::CancellationToken;

use super::disk::Found;
use super::rows::{self, Blob};
use super::seal::{self, ObjectId, SEALED_CHUNK_BYTES};
use super::ship::{self, blocking};
use super::{Blobs, OWN};
use crate::mesh::Peers;
use crate::store::{GroupId, StoreError};

const INTERVAL: Duration = Duration::from_secs(3_600);
/// After a start, which may follow a restore: then this is the only host with any document.
const FIRST: Duration = Duration::from_secs(60);
/// A file that no row names may belong to a request whose row is on its way, or to a row that this host's
/// copy does not hold yet.
pub(super) const GRACE: Duration = Duration::from_secs(24 * 3_600);
const LOOK_WITHIN: Duration = Duration::from_secs(10);

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Swept {
    /// Files that were missing or damaged, and are here again.
    pub(crate) repaired: u64,
    /// Files that are missing or damaged, and nobody has.
    pub(crate) missing: u64,
    /// Files that no row named.
    pub(crate) removed: u64,
}

/// A sweep did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error("read which documents there are")]
    Rows(#[source] StoreError),
    #[error("use the disk")]
    File(#[source] io::Error),
}

impl Blobs {
    /// Sweeps now and then until `stop`.
    pub(crate) async fn run(&self, peers: &dyn Peers, stop: CancellationToken) {
        let mut wait = FIRST;
        while tokio::time::timeout(wait, stop.cancelled()).await.is_err() {
            wait = INTERVAL;
            for group in self.store.groups().into_iter().filter(|group| self.holds(group)) {
                match self.sweep(&group, GRACE, peers).await {
                    Ok(swept) if swept == Swept::default() => {}
                    Ok(Swept { repaired, missing, removed }) => {
                        tracing::info!(%group, repaired, missing, removed, "documents swept");
                    }
                    Err(error) => tracing::warn!(%group, error = chain(&error), "documents were not swept"),
                }
            }
        }
    }

    /// One sweep of a group.
    pub(crate) async fn sweep(
        &self,
        group: &GroupId,
        grace: Duration,
        peers: &dyn Peers,
    ) -> Result<Swept, SweepError> {
        let disk = self.disk(group);
        // Before the rows: a file that comes after this look is not taken for one that no row names.
        let (whole, parts) = {
            let disk = disk.clone();
            let list = blocking(move || disk.list()).await.map_err(SweepError::File)?;
            let (whole, parts): (Vec<_>, Vec<_>) =
                list.into_iter().partition(|(object, ..)| object.is_some());
            let whole = whole.into_iter().filter_map(|(object, path, found)| Some((object?, (path, found))));
            (whole.collect::<BTreeMap<_, _>>(), parts)
        };
        let mut unnamed = whole.clone();
        let (mut swept, mut after) = (Swept::default(), None);
        loop {
            let page = rows::page(self.store.as_ref(), group, after, Instant::now() + LOOK_WITHIN).await;
            let page = page.map_err(SweepError::Rows)?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for blob in page {
                unnamed.remove(&blob.object);
                if self.is_whole(group, &blob, whole.get(&blob.object).map(|(_, found)| *found)).await? {
                    continue;
                }
                match self.fetch_whole(group, &blob, peers).await {
                    Ok(true) => swept.repaired += 1,
                    _ => swept.missing += 1,
                }
            }
        }
        let unnamed = unnamed.into_values().chain(parts.into_iter().map(|(_, path, found)| (path, found)));
        for (path, found) in unnamed.filter(|(_, found)| found.age >= grace) {
            let removed = blocking(move || fs::remove_file(path)).await;
            swept.removed += u64::from(removed.is_ok());
            let _ = found;
        }
        metrics::gauge!("locum_edge_blobs_missing", "group" => group.to_string()).set(swept.missing as f64);
        Ok(swept)
    }

    async fn is_whole(&self, group: &GroupId, blob: &Blob, found: Option<Found>) -> Result<bool, SweepError> {
        if found.is_none_or(|found| found.bytes != seal::sealed_bytes(blob.bytes)) {
            return Ok(false);
        }
        let (disk, object, hash) = (self.disk(group), blob.object, blob.hash);
        let same = blocking(move || Ok(disk.hash(object)? == Some(hash))).await;
        same.map_err(SweepError::File)
    }

    /// Copies the sealed file of another host; false when nobody has it as it should be.
    pub(super) async fn fetch_whole(
        &self,
        group: &GroupId,
        blob: &Blob,
        peers: &dyn Peers,
    ) -> io::Result<bool> {
        for host in peers.elsewhere() {
            let from = format!("{OWN}-sweep");
            let (disk, object): (_, ObjectId) = (self.disk(group), blob.object);
            let (own, name) = (disk.clone(), from.clone());
            blocking(move || own.part(object, &name).map(super::Part::discard)).await?;
            let (own, name) = (disk.clone(), from.clone());
            let mut part = blocking(move || own.part(object, &name)).await?;
            let whole = seal::sealed_bytes(blob.bytes);
            while part.bytes() < whole {
                let offset = part.bytes();
                let length = usize::try_from((whole - offset).min(SEALED_CHUNK_BYTES as u64));
                let length = length.map_err(io::Error::other)?;
                let fetched = ship::fetch(peers, &host, (group, object), (offset, length)).await;
                let Ok(Some(bytes)) = fetched else { break };
                part = blocking(move || part.append(&bytes).map(|()| part)).await?;
            }
            let hash = blob.hash;
            if blocking(move || disk.keep(object, part, &hash)).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
