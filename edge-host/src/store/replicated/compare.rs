//! Once a day a follower's copy is compared with the primary's, page by page: the cipher does not notice when a
//! disk changes what was written.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use locum_telemetry::config::chain;
use tokio_util::task::AbortOnDropHandle;

use super::copies::Copies;
use super::log::RemoteLog;
use super::transfer::{self, Compared, TransferError};

/// After the copy began to follow: it was compared when it came.
const EVERY: Duration = Duration::from_secs(24 * 3_600);
/// While the copies are not at the same position, or the primary does not answer.
const AGAIN: Duration = Duration::from_secs(60);

/// Compares until dropped.
pub(super) fn daily(copies: Copies, source: Arc<RemoteLog>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = copies.count_tails() {
                tracing::warn!(error = chain(&error), "tails cannot be counted");
            }
            while !once(&copies, &source).await {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }))
}

/// True when the copies were compared.
async fn once(copies: &Copies, source: &RemoteLog) -> bool {
    match compare(copies, source).await {
        Ok(Compared::NotAligned) => false,
        Ok(Compared::Differing { at, pages }) => {
            let group = copies.group().as_str().to_owned();
            metrics::counter!("locum_edge_copy_comparisons_total", "group" => group.clone()).increment(1);
            metrics::gauge!("locum_edge_copy_differing_pages", "group" => group).set(f64::from(pages));
            let (epoch, frame) = (at.epoch.0, at.frame.0);
            if pages == 0 {
                tracing::info!(group = %copies.group(), epoch, frame, "the copies are the same");
            } else {
                tracing::error!(
                    group = %copies.group(), epoch, frame, pages, primary = %source.primary,
                    "this copy and the primary's differ at the same position: one of them is damaged"
                );
            }
            true
        }
        Err(error) => {
            tracing::warn!(error = chain(&error), "the copies cannot be compared");
            false
        }
    }
}

async fn compare(copies: &Copies, source: &RemoteLog) -> Result<Compared, CompareError> {
    let stream = source.open_copy().await.map_err(CompareError::Open)?;
    transfer::compare(copies.clone(), source.epoch, stream).await.map_err(CompareError::Compare)
}

/// The copies were not compared.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error("reach the primary")]
    Open(#[source] io::Error),
    #[error("compare the copies")]
    Compare(#[source] TransferError),
}
