//! How good a participant's connection is, from what is missing of the packets it sends.

use livekit_protocol as proto;
use proto::ConnectionQuality;

/// Lost packets of a thousand from which a call is less than excellent: codecs hide fewer.
const GOOD_FROM: u64 = 20;
/// And from which it is poor.
const POOR_FROM: u64 = 100;

/// A jump by more is a new stream, not loss.
const MAX_GAP: u16 = 1_000;

/// Packets of one section.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    highest: Option<u16>,
    expected: u64,
    received: u64,
}

impl Arrivals {
    /// A packet arrived.
    pub(super) fn packet(&mut self, sequence: u16) {
        self.received += 1;
        let ahead = self.highest.map_or(1, |highest| sequence.wrapping_sub(highest));
        match ahead {
            // Late, or again: expected when it was passed over.
            0 | 0x8000.. => {}
            1..=MAX_GAP => {
                self.expected += u64::from(ahead);
                self.highest = Some(sequence);
            }
            _ => {
                self.expected += 1;
                self.highest = Some(sequence);
            }
        }
    }

    /// Ends a window: packets expected, and received, since the last.
    pub(super) fn end_window(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.expected), std::mem::take(&mut self.received))
    }
}

/// Of a participant that sent `expected` packets, of which `received` came; and is `heard` of at all.
pub(super) fn quality(expected: u64, received: u64, heard: bool) -> ConnectionQuality {
    let lost = expected.saturating_sub(received) * 1_000;
    match lost.checked_div(expected).unwrap_or(0) {
        _ if !heard => ConnectionQuality::Lost,
        POOR_FROM.. => ConnectionQuality::Poor,
        GOOD_FROM.. => ConnectionQuality::Good,
        _ => ConnectionQuality::Excellent,
    }
}

/// As clients show it: 5 is the best.
pub(super) const fn score(quality: ConnectionQuality) -> f32 {
    match quality {
        ConnectionQuality::Excellent => 4.5,
        ConnectionQuality::Good => 3.5,
        ConnectionQuality::Poor => 2.0,
        ConnectionQuality::Lost => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(sequences: impl IntoIterator<Item = u16>) -> ConnectionQuality {
        let mut arrivals = Arrivals::default();
        sequences.into_iter().for_each(|sequence| arrivals.packet(sequence));
        let (expected, received) = arrivals.end_window();
        quality(expected, received, true)
    }

    #[test]
    fn loss_decides() {
        assert_eq!(after(0..1_000), ConnectionQuality::Excellent);
        assert_eq!(after((0..1_000).filter(|i| i % 100 != 1)), ConnectionQuality::Excellent, "1 %");
        assert_eq!(after((0..1_000).filter(|i| i % 20 != 1)), ConnectionQuality::Good, "5 %");
        assert_eq!(after((0..1_000).filter(|i| i % 5 != 1)), ConnectionQuality::Poor, "20 %");
    }

    #[test]
    fn order_repetition_and_a_new_stream_are_no_loss() {
        assert_eq!(after([65_534, 0, 65_535, 2, 1, 1, 3]), ConnectionQuality::Excellent);
        assert_eq!(after((0..100).chain(30_000..30_100)), ConnectionQuality::Excellent);
        assert_eq!(after((0..100).chain(60_000..60_100)), ConnectionQuality::Excellent);
    }

    #[test]
    fn who_sends_nothing_has_no_bad_line_but_who_is_silent_has() {
        assert_eq!(after([]), ConnectionQuality::Excellent);
        assert_eq!(quality(0, 0, false), ConnectionQuality::Lost);
    }
}
