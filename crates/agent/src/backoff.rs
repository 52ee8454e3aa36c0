//! How long to wait before the next try: longer each time, and different for each node.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
/// Members of the control plane choose another leader within seconds: whoever asks must soon find it.
const LONGEST: Duration = Duration::from_secs(1);

/// Waits that double from 100 ms to 1 s.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        // Without randomness all nodes wait the same, which is bearable.
        self.next_with(getrandom::u32().unwrap_or(u32::MAX))
    }

    /// Between half of the doubled wait and all of it, so that nodes cut off together do not come back
    /// together.
    fn next_with(&mut self, random: u32) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_bound_and_start_over() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.next_with(u32::MAX).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next_with(0).as_millis(), 50);
        for _ in 0..100 {
            assert!(backoff.next() <= LONGEST);
        }
    }
}
