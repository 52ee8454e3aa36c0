//! Whether this process runs. A probe that was under way while it did not says nothing of the node.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

const EVERY: Duration = Duration::from_millis(50);
/// Later than this is standing still: far more than a busy machine takes to wake somebody.
const LATE: Duration = Duration::from_millis(250);

/// Watches its own clock.
#[derive(Debug)]
pub(super) struct Lag {
    begun: Instant,
    /// When it last stood still, as milliseconds since `begun`; 0: never.
    stood_still_ms: AtomicU64,
}

impl Lag {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), stood_still_ms: AtomicU64::new(0) }
    }

    /// Watches for as long as it is polled.
    pub(super) async fn watch(&self) {
        loop {
            let due = Instant::now() + EVERY;
            sleep_until(due).await;
            self.woke(due, Instant::now());
        }
    }

    fn woke(&self, due: Instant, now: Instant) {
        if now.saturating_duration_since(due) >= LATE {
            self.stood_still_ms.store(self.ms(now).max(1), Ordering::Relaxed);
            metrics::counter!("locum_probe_stalls_total").increment(1);
        }
    }

    /// Whether this process stood still since `begun`.
    pub(super) fn since(&self, begun: Instant) -> bool {
        let stood_still = self.stood_still_ms.load(Ordering::Relaxed);
        stood_still > 0 && stood_still >= self.ms(begun)
    }

    fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_under_way_while_it_stood_still_does_not_count() {
        let lag = Lag::new();
        let at = |ms| lag.begun + Duration::from_millis(ms);
        lag.woke(at(1_000), at(1_200));
        assert!(!lag.since(at(0)), "a busy machine");
        lag.woke(at(2_000), at(2_300));
        assert!(lag.since(at(1_500)) && !lag.since(at(2_301)));
    }
}
