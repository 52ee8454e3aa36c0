//! What the record learns of calls, so that a visit can be metered: who joined, left, fell silent or was refused, as
//! random ids. Kept on disk until an edge host has it, delivered at least once.
//!
//! ```text
//!  rooms, signal ── Recorder ──► queue (disk) ──► deliver ── mesh ──► any edge host
//! ```

mod deliver;
mod queue;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use locum_cluster::calls::CallEventKind;
use metrics::counter;
use tokio::sync::mpsc;

pub use deliver::deliver;
pub use queue::{Keeper, QueueError};

use crate::room::{Identity, Sink};

/// Events that may wait for the disk. Beyond, they are counted as lost: a call is not held up for its meter.
const MAX_WAITING: usize = 1_024;

/// Between two refused tokens that are told of: whoever holds an old token could otherwise fill the disk.
const REFUSALS_EVERY: Duration = Duration::from_secs(1);

/// Something happened, not yet numbered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Happened {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Whose call.
    pub sink: Sink,
    /// Who.
    pub participant: Identity,
    /// What.
    pub what: CallEventKind,
}

/// Takes events, never waits.
#[derive(Clone, Debug)]
pub struct Recorder {
    waiting: mpsc::Sender<Happened>,
    refused_at: Arc<Mutex<Option<Instant>>>,
}

impl Recorder {
    /// A recorder, and what comes out of it.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Happened>) {
        let (waiting, events) = mpsc::channel(MAX_WAITING);
        (Self { waiting, refused_at: Arc::default() }, events)
    }

    /// Nobody listens: a node that stands alone has no record to tell.
    #[must_use]
    pub fn to_nobody() -> Self {
        Self::new().0
    }

    /// Something happened.
    pub fn record(&self, happened: Happened) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.waiting.try_send(happened) {
            lost("busy", 1);
        }
    }

    /// A genuine token was not taken.
    pub fn refused(&self, sink: Sink, participant: Identity, reason: &'static str) {
        let now = Instant::now();
        let mut last = self.refused_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_some_and(|at| now.saturating_duration_since(at) < REFUSALS_EVERY) {
            return;
        }
        *last = Some(now);
        drop(last);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
        let what = CallEventKind::TokenRefused { reason: reason.to_owned() };
        self.record(Happened { at_ms, sink, participant, what });
    }
}

fn lost(reason: &'static str, events: u64) {
    counter!("locum_media_call_events_lost_total", "reason" => reason).increment(events);
}

/// Describes what is counted here.
pub(crate) fn describe() {
    for (name, meaning) in [
        ("locum_media_call_events_delivered_total", "Events of calls that an edge host keeps."),
        ("locum_media_call_events_lost_total", "Events of calls that nobody keeps, by reason."),
    ] {
        metrics::describe_counter!(name, meaning);
    }
    metrics::describe_gauge!(
        "locum_media_call_events_waiting",
        "Events of calls on disk, not delivered yet."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refusals_are_told_of_now_and_then() {
        let (recorder, mut events) = Recorder::new();
        let named = || (Sink::parse("s").unwrap(), Identity::parse("p").unwrap());
        for _ in 0..3 {
            let (sink, participant) = named();
            recorder.refused(sink, participant, "expired");
        }
        drop(recorder);
        let first = events.recv().await.unwrap();
        assert_eq!(first.what, CallEventKind::TokenRefused { reason: "expired".to_owned() });
        assert_eq!(events.recv().await, None);
    }
}
