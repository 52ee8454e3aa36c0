//! Packets that do not arrive although the queue does not grow: a line with a short queue, or a policer.

use std::time::{Duration, Instant};

use crate::transport::Fate;

/// A bad radio link loses a tenth with nothing in the way; only more than this is taken for a full line.
const TOLERATED: f64 = 0.15;

/// Looked at together, so that one loss is not many.
const EVERY: Duration = Duration::from_millis(500);
const LEAST_PACKETS: u32 = 20;

/// Losses since the last look.
#[derive(Debug, Default)]
pub(super) struct Loss {
    since: Option<Instant>,
    lost: u32,
    packets: u32,
}

impl Loss {
    /// Returns the share that was lost, when it is too much.
    pub(super) fn add(&mut self, now: Instant, fates: &[Fate]) -> Option<f64> {
        let since = *self.since.get_or_insert(now);
        for fate in fates {
            self.packets += 1;
            self.lost += u32::from(fate.arrived.is_none());
        }
        if self.packets < LEAST_PACKETS || now.saturating_duration_since(since) < EVERY {
            return None;
        }
        let share = f64::from(self.lost) / f64::from(self.packets);
        *self = Self { since: Some(now), ..Self::default() };
        (share > TOLERATED).then_some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_much_loss_of_many_packets_counts() {
        let start = Instant::now();
        let fates = |lost: usize, of: usize| -> Vec<Fate> {
            let arrived = |nth| (nth >= lost).then_some(Duration::ZERO);
            (0..of).map(|nth| Fate { sent: start, bytes: 1, arrived: arrived(nth) }).collect()
        };
        let look = |lost, of| {
            let mut loss = Loss::default();
            loss.add(start, &[]);
            loss.add(start + EVERY, &fates(lost, of))
        };
        assert_eq!(look(10, 100), None);
        assert_eq!(look(30, 100), Some(0.3));
        assert_eq!(look(5, 10), None, "too few to say");
        let mut loss = Loss::default();
        assert_eq!(loss.add(start, &fates(50, 100)), None, "too early to say");
        assert_eq!(loss.add(start + EVERY, &[]), Some(0.5));
        assert_eq!(loss.add(start + EVERY * 2, &fates(0, 100)), None, "counted once");
    }
}
