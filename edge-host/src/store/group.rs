//! A record group on this host, as a request's session sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;

use super::readers::Snapshot;
use super::transaction::Transaction;
use super::{Failure, GroupId, Position, SqlError};

/// Where a session reads and writes.
pub(super) trait Group: Send + Sync {
    /// A view of the newest complete copy, or of what was acknowledged last, where `older` lets it be. Blocks.
    fn begin_read(&self, deadline: Instant, older: Option<Older>) -> Result<View, SqlError>;

    /// [`Self::begin_read`] where that takes no waiting. Does not block.
    fn begin_read_now(&self, deadline: Instant, older: Option<Older>) -> Option<View>;

    /// Waits for the turn to write.
    fn turn(&self) -> BoxFuture<'_, Result<OwnedSemaphorePermit, Failure>>;

    /// Opens the host's transaction. Blocks.
    fn begin_write(self: Arc<Self>, turn: OwnedSemaphorePermit) -> Result<Transaction, SqlError>;

    /// The same for a change of the schema, also where functions may not run before it.
    fn begin_change(self: Arc<Self>, turn: OwnedSemaphorePermit) -> Result<Transaction, SqlError> {
        self.begin_write(turn)
    }

    /// Carries out what requests have done together so far: what follows shares its fate with none of them.
    fn flush<'a>(&'a self, _turn: &'a OwnedSemaphorePermit) -> BoxFuture<'a, ()> {
        std::future::ready(()).boxed()
    }

    /// Longest time from the first write to the commit.
    fn hold_limit(&self) -> Duration;

    /// How far this host's copy has come: what a snapshot that has read something shows at most. `None` when
    /// there is one copy only.
    fn newest(&self) -> Option<Position>;

    /// Waits until what stands at `position` survives the loss of this host; `None` after a bound. The position that
    /// says so to whoever comes later.
    fn kept(&self, position: Position) -> BoxFuture<'_, Option<Position>>;
}

/// What a session reads from.
pub(super) struct View {
    pub(super) snapshot: Snapshot,
    /// Where it stands, if that is known.
    pub(super) at: Option<Position>,
}

/// A reader who takes what was acknowledged last for as long as nothing newer is.
#[derive(Clone, Copy)]
pub(super) struct Older {
    /// What the reader has seen before.
    pub(super) not_before: Option<Position>,
}

/// A group's own folder below the host's state.
pub(crate) fn folder_of(state_dir: &Path, group: &GroupId) -> PathBuf {
    state_dir.join("records").join(group.as_str())
}
