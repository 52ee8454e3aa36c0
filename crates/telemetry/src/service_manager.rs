//! What the service manager is told, where one started this process (sd_notify(3)): that it serves, lives, is about to
//! stop. Elsewhere nothing happens.

use sd_notify::NotifyState;
use tracing::warn;

/// The process serves: whoever started it may go on.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// The process drains.
pub(crate) fn stopping() {
    tell(NotifyState::Stopping);
}

/// The runtime still gets round to its tasks. To be said more often than `WatchdogSec`.
pub(crate) fn alive() {
    tell(NotifyState::Watchdog);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        warn!(%error, "the service manager cannot be told how this process is");
    }
}
