//! Read events that are old enough go: whole files, the oldest first, and none that no other region has had. A signed
//! statement says up to where, so that what was taken out by hand is told from what expired.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use locum_telemetry::config::chain;

use super::checkpoint::{self, Chain, Checkpoint};
use super::frame::{self, End, FileName, Sealer};
use super::ship::{blocking, shipped_through};
use super::{Audit, log};
use crate::mesh::Peers;
use crate::store::GroupId;

impl Audit {
    /// Removes what is older than it has to be kept, here and of what other hosts sent.
    pub(crate) async fn expire(&self, group: &GroupId, now_ms: i64, peers: &dyn Peers) {
        let Some(sealer) = self.sealer(group) else { return };
        let before_ms =
            now_ms.saturating_sub(i64::try_from(self.settings.keep.as_millis()).unwrap_or(i64::MAX));
        if let Err(error) = self.expire_own(group, sealer.clone(), before_ms, peers).await {
            tracing::warn!(%group, error = chain(&error), "old audit events cannot be removed");
        }
        let from = self.settings.folder.join(group.as_str()).join("from");
        if let Err(error) = blocking(move || expire_kept(&from, &sealer, before_ms)).await {
            tracing::warn!(%group, error = chain(&error), "old audit events of other hosts cannot be removed");
        }
    }

    async fn expire_own(
        &self,
        group: &GroupId,
        sealer: Sealer,
        before_ms: i64,
        peers: &dyn Peers,
    ) -> io::Result<()> {
        let Some(log) = self.groups.get(group).and_then(|own| own.log.get()) else { return Ok(()) };
        let (current, folder, needs_shipping) =
            (log.synced().borrow().file, self.own_folder(group), self.settings.ships);
        let looked = blocking(move || {
            let shipped = shipped_through(&folder)?.filter(|shipped| shipped.log == current.log);
            let may_go = |file: &FileName| {
                let is_shipped = shipped.is_some_and(|last| file.first <= last.first);
                file.log == current.log && *file != current && (is_shipped || !needs_shipping)
            };
            let files = log::files(&folder)?.into_iter().filter(may_go).collect();
            expired(&folder, files, &sealer, before_ms)
        });
        let Some((files, end)) = looked.await? else { return Ok(()) };
        // Said before it is done: whoever finds less than that statement allows knows that it was not this.
        let place = (self.settings.region.as_str(), &*(self.settings.node)());
        let statement = Checkpoint::new(group, Chain::Expired(current.log), end, place);
        let token = statement.sign(&self.settings.key).ok_or_else(|| io::Error::other("sign a statement"))?;
        let (own, key, text) = (self.own_folder(group), self.settings.key.jwk(), token.clone());
        blocking(move || {
            checkpoint::keep(&own, &text, &key)?;
            remove(&own, &files)
        })
        .await?;
        self.tell(group, token, peers).await;
        tracing::info!(%group, through = end.sequence, "old audit events were removed");
        Ok(())
    }
}

/// Of files of one log in order: those with nothing younger than `before_ms`, and where they end.
fn expired(
    folder: &Path,
    files: Vec<FileName>,
    sealer: &Sealer,
    before_ms: i64,
) -> io::Result<Option<(Vec<FileName>, End)>> {
    let (mut old, mut through) = (Vec::new(), None);
    for file in files {
        let bytes = fs::read(file.in_folder(folder))?;
        let mut newest = None;
        let walked = frame::walk(file, &bytes, |frame| {
            // What cannot be opened is never old enough.
            let at = sealer.open(file.log, &frame).map_or(i64::MAX, |event| event.recorded_at_ms);
            newest = newest.max(Some(at));
        });
        if walked.damage.is_some() || newest.is_none_or(|newest| newest >= before_ms) {
            break;
        }
        old.push(file);
        through = Some(walked.end);
    }
    Ok(through.map(|end| (old, end)))
}

/// Of each log of another host its newest file stays: there it goes on.
fn expire_kept(from: &Path, sealer: &Sealer, before_ms: i64) -> io::Result<()> {
    for folder in folders(from)? {
        let mut logs: BTreeMap<u64, Vec<FileName>> = BTreeMap::new();
        for file in log::files(&folder)? {
            logs.entry(file.log).or_default().push(file);
        }
        for (_, mut files) in logs {
            files.pop();
            if let Some((files, _)) = expired(&folder, files, sealer, before_ms)? {
                remove(&folder, &files)?;
            }
        }
    }
    Ok(())
}

fn folders(from: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(from) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn remove(folder: &Path, files: &[FileName]) -> io::Result<()> {
    for file in files {
        fs::remove_file(file.in_folder(folder))?;
    }
    File::open(folder)?.sync_all()
}
