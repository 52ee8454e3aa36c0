//! The members' record as it changes, at every member: whoever leads, and also while nobody does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::membership::Record;
use crate::quorum::{Held, Quorum, Standing};
use crate::store;

/// It is read again no sooner than this: many changes in a row are one.
const EVERY: Duration = Duration::from_millis(100);

/// Begins to follow it, until `stop`. One that cannot be read ends this member's reigns, and says so there.
pub(crate) fn follow(quorum: impl Quorum, stop: CancellationToken) -> watch::Receiver<Arc<Record>> {
    // From before the first look: what changes meanwhile is not missed.
    let standing = quorum.standing();
    let first = quorum.held();
    let revision = first.revision;
    let (told, record) = watch::channel(Arc::new(read(&first).unwrap_or_default()));
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep_reading(&quorum, standing, revision, &told) => {}
        }
    });
    record
}

async fn keep_reading(
    quorum: &impl Quorum,
    mut standing: watch::Receiver<Standing>,
    mut revision: u64,
    told: &watch::Sender<Arc<Record>>,
) {
    while standing.changed().await.is_ok() {
        let held = quorum.held();
        if std::mem::replace(&mut revision, held.revision) != held.revision
            && let Some(record) = read(&held)
        {
            told.send_replace(Arc::new(record));
        }
        sleep(EVERY).await;
    }
}

/// Nothing before the first change.
fn read(held: &Held) -> Option<Record> {
    if held.record.is_null() { None } else { store::read(&held.record).ok() }
}
