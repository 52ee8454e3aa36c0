//! What arrives in a second.

use std::collections::VecDeque;
use std::time::Duration;

/// Time looked back.
const WINDOW: Duration = Duration::from_millis(500);

/// Less says nothing yet.
const LEAST: Duration = Duration::from_millis(150);

/// Packets of 30 Mbit/s in that time.
const MAX_PACKETS: usize = 2_048;

/// Arrivals on the receiver's clock.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    arrivals: VecDeque<(Duration, u32)>,
    /// Start of what is looked at, while it is shorter than the window.
    since: Option<Duration>,
    bytes: u64,
}

impl Delivered {
    /// A packet arrived.
    pub(super) fn add(&mut self, arrived: Duration, bytes: u32) {
        // A clock that jumps, or a long silence: begin anew.
        let mut last = self.arrivals.back().map(|(at, _)| *at);
        if last.is_some_and(|last| arrived.abs_diff(last) > WINDOW) {
            *self = Self::default();
            last = None;
        }
        self.since.get_or_insert(arrived);
        self.arrivals.push_back((arrived, bytes));
        self.bytes += u64::from(bytes);
        let newest = last.map_or(arrived, |last| last.max(arrived));
        let start = newest.saturating_sub(WINDOW);
        while let Some((at, bytes)) = self.arrivals.front().copied()
            && (at < start || self.arrivals.len() > MAX_PACKETS)
        {
            self.arrivals.pop_front();
            self.bytes -= u64::from(bytes);
            self.since = Some(start.max(at));
        }
    }

    /// Bits a second, once there is enough to say.
    pub(super) fn bits_per_second(&self) -> Option<f64> {
        let (newest, _) = self.arrivals.back()?;
        let span = newest.saturating_sub(self.since?).min(WINDOW);
        #[expect(clippy::cast_precision_loss, reason = "far below 2⁵²")]
        let bits = self.bytes as f64 * 8.0;
        (span >= LEAST).then(|| bits / span.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_the_last_half_second_is_told() {
        let mut delivered = Delivered::default();
        for nth in 0..100_u64 {
            delivered.add(Duration::from_millis(1_000 + nth * 10), 1_250);
        }
        let rate = delivered.bits_per_second().unwrap();
        assert!((950_000.0..1_050_000.0).contains(&rate), "{rate}");
        for nth in 0..100_u64 {
            delivered.add(Duration::from_millis(2_000 + nth * 10), 125);
        }
        let rate = delivered.bits_per_second().unwrap();
        assert!((95_000.0..105_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn silence_and_jumping_clocks_begin_anew() {
        let mut delivered = Delivered::default();
        for at in [0, 100, 200, 300, 5_000, 5_100, 3_000] {
            delivered.add(Duration::from_millis(at), 1_000);
        }
        assert_eq!(delivered.bits_per_second(), None);
        assert_eq!(delivered.arrivals.len(), 1);
    }
}
