//! Sequence numbers without holes on a leg that was paused.

/// Numbers of one section's packets.
///
/// A receiver takes a hole for loss and asks for hundreds of packets again; what was left out on purpose must
/// not look like one.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    /// Highest number given out.
    last: Option<u16>,
    offset: u16,
    /// First number of the source since packets flow; what is older came too late.
    first: Option<u16>,
}

impl Continuity {
    /// Packets flow again, or for the first time.
    pub(super) fn resume(&mut self) {
        self.first = None;
    }

    /// The number a packet is sent under; `None` when it belongs to what was left out.
    pub(super) fn number(&mut self, sequence: u16) -> Option<u16> {
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
            return Some(number);
        }
        (!is_newer(first, sequence)).then_some(number)
    }
}

/// RFC 3550 §A.1: within half the circle.
fn is_newer(a: u16, b: u16) -> bool {
    a != b && a.wrapping_sub(b) < 0x8000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_followed_also_out_of_order_and_around_the_circle() {
        let mut numbers = Continuity::default();
        for sequence in [65_533, 65_535, 65_534, 0, 2, 1] {
            assert_eq!(numbers.number(sequence), Some(sequence));
        }
    }

    #[test]
    fn a_pause_leaves_no_hole() {
        let mut numbers = Continuity::default();
        assert_eq!(numbers.number(10), Some(10));
        numbers.resume();
        assert_eq!(numbers.number(5_000), Some(11));
        assert_eq!(numbers.number(5_001), Some(12));
        assert_eq!(numbers.number(5_003), Some(14), "real loss stays visible");
        assert_eq!(numbers.number(5_002), Some(13));
        assert_eq!(numbers.number(4_999), None, "from before the pause ended");
    }

    #[test]
    fn a_long_stream_never_starves() {
        let mut numbers = Continuity::default();
        for i in 0..300_000_u32 {
            let sequence = (i % 65_536) as u16;
            assert_eq!(numbers.number(sequence), Some(sequence), "packet {i}");
        }
    }
}
