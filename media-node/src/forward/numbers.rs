//! Sequence numbers and timestamps without holes on a leg whose source pauses or changes.

use std::time::Instant;

/// Numbers of one section's packets.
///
/// A receiver takes a hole for loss and asks for hundreds of packets again; what was left out on purpose must
/// not look like one.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Highest number given out.
    last: Option<u16>,
    offset: u16,
    /// First number of the source since packets flow; what is older came too late.
    first: Option<u16>,
    clock: Option<Clock>,
    clock_offset: u32,
    /// The clock is to be set anew by the next packet.
    is_other_clock: bool,
}

/// The newest timestamp sent, and when its first packet was.
#[derive(Clone, Copy, Debug)]
struct Clock {
    timestamp: u32,
    at: Instant,
}

impl Numbers {
    /// Packets flow again, or for the first time.
    pub(super) fn resume(&mut self) {
        self.first = None;
    }

    /// Packets come from another source from now on, which counts time from another start.
    pub(super) fn change_source(&mut self) {
        self.resume();
        self.is_other_clock = true;
    }

    /// The number a packet is sent under, and whether it is the newest; `None` when it belongs to what was
    /// left out.
    pub(super) fn sequence(&mut self, sequence: u16) -> Option<(u16, bool)> {
        let first = *self.first.get_or_insert_with(|| {
            self.offset = self.last.map_or(0, |last| last.wrapping_add(1).wrapping_sub(sequence));
            sequence
        });
        let number = sequence.wrapping_add(self.offset);
        if self.last.is_none_or(|last| is_newer(number, last)) {
            self.last = Some(number);
            // Follows the stream, so that numbers half the circle back are never taken for old ones.
            if is_newer(sequence, first.wrapping_add(u16::MAX / 4)) {
                self.first = Some(sequence.wrapping_sub(u16::MAX / 4));
            }
            return Some((number, true));
        }
        (!is_newer(first, sequence)).then_some((number, false))
    }

    /// The timestamp a packet is sent under. A new source goes on as much later as it came later.
    pub(super) fn timestamp(&mut self, now: Instant, timestamp: u32, clock_hz: u32) -> u32 {
        if std::mem::take(&mut self.is_other_clock)
            && let Some(last) = self.clock
        {
            let passed =
                now.saturating_duration_since(last.at).as_micros() * u128::from(clock_hz) / 1_000_000;
            let passed = u32::try_from(passed).unwrap_or(u32::MAX).max(1);
            self.clock_offset = last.timestamp.wrapping_add(passed).wrapping_sub(timestamp);
        }
        let timestamp = timestamp.wrapping_add(self.clock_offset);
        let is_newest =
            self.clock.is_none_or(|last| (1..0x8000_0000).contains(&timestamp.wrapping_sub(last.timestamp)));
        if is_newest {
            self.clock = Some(Clock { timestamp, at: now });
        }
        timestamp
    }
}

/// RFC 3550 §A.1: within half the circle.
fn is_newer(a: u16, b: u16) -> bool {
    a != b && a.wrapping_sub(b) < 0x8000
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn number(numbers: &mut Numbers, sequence: u16) -> Option<u16> {
        numbers.sequence(sequence).map(|(number, _)| number)
    }

    #[test]
    fn the_source_is_followed_also_out_of_order_and_around_the_circle() {
        let mut numbers = Numbers::default();
        for sequence in [65_533, 65_535, 65_534, 0, 2, 1] {
            assert_eq!(number(&mut numbers, sequence), Some(sequence));
        }
    }

    #[test]
    fn a_pause_leaves_no_hole() {
        let mut numbers = Numbers::default();
        assert_eq!(number(&mut numbers, 10), Some(10));
        numbers.resume();
        assert_eq!(number(&mut numbers, 5_000), Some(11));
        assert_eq!(number(&mut numbers, 5_001), Some(12));
        assert_eq!(number(&mut numbers, 5_003), Some(14), "real loss stays visible");
        assert_eq!(number(&mut numbers, 5_002), Some(13));
        assert_eq!(number(&mut numbers, 4_999), None, "from before the pause ended");
    }

    #[test]
    fn a_long_stream_never_starves() {
        let mut numbers = Numbers::default();
        for i in 0..300_000_u32 {
            let sequence = (i % 65_536) as u16;
            assert_eq!(number(&mut numbers, sequence), Some(sequence), "packet {i}");
        }
    }

    #[test]
    fn time_goes_on_when_the_source_changes() {
        let (mut numbers, start) = (Numbers::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(numbers.timestamp(at(0), u32::MAX - 90, 90_000), u32::MAX - 90);
        assert_eq!(numbers.timestamp(at(33), 2_879, 90_000), 2_879);
        assert_eq!(numbers.timestamp(at(34), 2_879, 90_000), 2_879, "second packet of the picture");
        numbers.change_source();
        assert_eq!(numbers.timestamp(at(63), 77_000, 90_000), 2_879 + 2_700);
        assert_eq!(numbers.timestamp(at(64), 77_000, 90_000), 2_879 + 2_700);
        assert_eq!(numbers.timestamp(at(96), 80_000, 90_000), 2_879 + 5_700);
        numbers.change_source();
        assert_eq!(numbers.timestamp(at(96), 0, 90_000), 2_879 + 5_701, "never the same picture");
    }
}
