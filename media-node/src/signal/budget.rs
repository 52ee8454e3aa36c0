//! How much one client may ask for.

use std::time::Instant;

/// Requests at once: a join with a dozen candidates and tracks takes some fifty.
const BURST: f64 = 200.0;

/// Requests a second in the long run.
const PER_SECOND: f64 = 50.0;

/// A token bucket.
#[derive(Debug)]
pub(super) struct Budget {
    left: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    /// Takes one request from the budget; `false` when there is none left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * PER_SECOND;
        self.left = (self.left + earned).min(BURST);
        self.at = now;
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_allowed_and_a_flood_is_not() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert_eq!((0..1_000).filter(|_| budget.take(start)).count(), 200);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| budget.take(later)).count(), 50);
        let much_later = start + Duration::from_secs(3_600);
        assert_eq!((0..1_000).filter(|_| budget.take(much_later)).count(), 200);
    }
}
