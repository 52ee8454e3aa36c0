//! How much may be asked for.

use std::time::Instant;

/// How fast a budget is spent and earned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Requests at once.
    burst: f64,
    /// Requests a second in the long run.
    per_second: f64,
}

/// Of one client: a join with a dozen candidates and tracks takes some fifty.
pub(super) const CLIENT: Rate = Rate { burst: 200.0, per_second: 50.0 };

/// Of all probes together: anybody may ask, and calls go first.
pub(super) const PROBES: Rate = Rate { burst: 2_000.0, per_second: 1_000.0 };

/// A token bucket.
#[derive(Debug)]
pub(super) struct Budget {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.burst, at: now }
    }

    /// Takes one request from the budget; `false` when there is none left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * self.rate.per_second;
        self.left = (self.left + earned).min(self.rate.burst);
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
        let mut budget = Budget::new(CLIENT, start);
        assert_eq!((0..1_000).filter(|_| budget.take(start)).count(), 200);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| budget.take(later)).count(), 50);
        let much_later = start + Duration::from_secs(3_600);
        assert_eq!((0..1_000).filter(|_| budget.take(much_later)).count(), 200);
    }
}
