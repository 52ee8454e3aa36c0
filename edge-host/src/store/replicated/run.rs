//! What runs for a group on this host: nothing, a follower, or an engine.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use locum_replication::Epoch;
use locum_telemetry::config::chain;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::copies::{Copies, CopyError};
use super::leading::{LeadError, Started};
use super::log::RemoteLog;
use super::log_client::LogSource;
use super::replica::{Following, Held, Origin, Replica, ReplicaError};
use super::transfer::{self, TransferError};

/// Between attempts to fetch a copy.
const FETCH_AGAIN: Duration = Duration::from_millis(100);

/// What runs for the group on this host.
pub(super) enum Run {
    Nothing,
    Following {
        epoch: Epoch,
        replica: Replica,
        held: watch::Receiver<Held>,
        /// The daily comparison, and the views of what is acknowledged.
        _beside: [AbortOnDropHandle<()>; 2],
    },
    Fetching {
        source: Arc<RemoteLog>,
        fetched: BoxFuture<'static, Replica>,
    },
    Starting {
        epoch: Epoch,
        started: BoxFuture<'static, Result<Started, LeadError>>,
    },
    Leading {
        started: Box<Started>,
        held: watch::Receiver<Held>,
        ended: watch::Receiver<bool>,
        /// The views of what is acknowledged.
        _beside: AbortOnDropHandle<()>,
    },
}

/// What became of what runs.
pub(super) enum Change {
    /// The copy is here and follows.
    Fetched(Replica),
    /// The engine serves, or does not.
    Started(Box<Result<Started, LeadError>>),
    /// The copy holds more.
    Held,
    /// The engine is gone.
    EngineEnded,
}

impl Run {
    /// Waits for what happens to it.
    pub(super) async fn next(&mut self) -> Change {
        match self {
            Self::Nothing => std::future::pending().await,
            Self::Following { held, .. } => {
                if held.changed().await.is_err() {
                    return std::future::pending().await;
                }
                Change::Held
            }
            Self::Fetching { fetched, .. } => Change::Fetched(fetched.await),
            Self::Starting { started, .. } => Change::Started(Box::new(started.await)),
            Self::Leading { held, ended, .. } => {
                tokio::select! {
                    changed = held.changed() => match changed {
                        Ok(()) => Change::Held,
                        Err(_) => std::future::pending().await,
                    },
                    () = async { drop(ended.wait_for(|ended| *ended).await) } => Change::EngineEnded,
                }
            }
        }
    }
}

/// Tries until the copy of an epoch is here and follows.
pub(super) async fn fetch_until_there(copies: Copies, source: Arc<RemoteLog>, is_stranded: bool) -> Replica {
    loop {
        match open_follower(&copies, &source, is_stranded).await {
            Ok(replica) => return replica,
            Err(error) => tracing::debug!(error = chain(&error), "the copy cannot be fetched yet"),
        }
        tokio::time::sleep(FETCH_AGAIN).await;
    }
}

/// A copy of the epoch goes on, unless the log does not reach back to it; anything else is brought up to the
/// primary's.
async fn open_follower(
    copies: &Copies,
    source: &Arc<RemoteLog>,
    is_stranded: bool,
) -> Result<Replica, FollowError> {
    let epoch = source.epoch;
    if is_stranded || !copies.is_begun(epoch) {
        let stream = source.open_copy().await.map_err(FollowError::Open)?;
        transfer::receive(copies.clone(), epoch, stream).await.map_err(FollowError::Transfer)?;
    }
    let following = Following {
        epoch,
        path: copies.data_file(epoch),
        key: copies.key().map_err(FollowError::Copy)?,
        source: Arc::clone(source) as Arc<dyn LogSource>,
    };
    let origin = Origin::Began { is_complete: copies.is_complete(epoch) };
    Replica::follow(following, origin).await.map_err(FollowError::Replica)
}

/// This host does not follow yet.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("reach the primary")]
    Open(#[source] io::Error),
    #[error("fetch the copy")]
    Transfer(#[source] TransferError),
    #[error("use the copy")]
    Copy(#[source] CopyError),
    #[error("follow the log")]
    Replica(#[source] ReplicaError),
}
