//! The members' record as it changes, at every member: whoever leads, and also while nobody does.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::membership::Record;
use crate::quorum::Quorum;
use crate::store;

/// It is read again no sooner than this: many changes in a row are one.
const EVERY: Duration = Duration::from_millis(100);

/// Begins to follow it, until `stop`. One that cannot be read ends this member's reigns, and says so there.
pub(crate) fn follow(quorum: impl Quorum, stop: CancellationToken) -> watch::Receiver<Arc<Record>> {
    let (told, record) = watch::channel(Arc::new(read(&quorum).unwrap_or_default()));
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep_reading(&quorum, &told) => {}
        }
    });
    record
}

async fn keep_reading(quorum: &impl Quorum, told: &watch::Sender<Arc<Record>>) {
    let (mut standing, mut revision) = (quorum.standing(), None);
    while standing.changed().await.is_ok() {
        let newest = quorum.held().revision;
        if revision.replace(newest) != Some(newest)
            && let Some(record) = read(quorum)
        {
            told.send_replace(Arc::new(record));
        }
        sleep(EVERY).await;
    }
}

fn read(quorum: &impl Quorum) -> Option<Record> {
    let held = quorum.held();
    if held.record.is_null() { None } else { store::read(&held.record).ok() }
}
