//! Loss between two nodes, repaired between them: the receiving one asks, the sending one still has it.

use std::time::{Duration, Instant};

use bytes::Bytes;

/// Packets of a track that are kept to be sent again: some two seconds of video. A power of two.
const KEPT: usize = 512;

/// Packets behind the newest one that may still arrive.
const WINDOW: u16 = 512;

/// Packets of a track that are asked for at once; more missing than that is no loss but a cut.
const MAX_MISSING: usize = 128;

/// So many packets far behind in a row are a source that began anew, and no stragglers.
const BEGAN_ANEW: u8 = 8;

/// When a packet is asked for, after it was missed: not at once, for packets overtake each other, and not for ever.
const ASK_AFTER: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(60),
    Duration::from_millis(130),
    Duration::from_millis(250),
    Duration::from_millis(450),
];

/// Last packets of one track.
#[derive(Debug, Default)]
pub(super) struct Kept(Vec<Option<(u16, Bytes)>>);

impl Kept {
    /// Keeps a packet, in the place of one long gone.
    pub(super) fn push(&mut self, sequence: u16, datagram: Bytes) {
        self.0.resize(KEPT, None);
        self.0[usize::from(sequence) % KEPT] = Some((sequence, datagram));
    }

    /// A packet, if it is not too old.
    pub(super) fn get(&self, sequence: u16) -> Option<Bytes> {
        let place = self.0.get(usize::from(sequence) % KEPT)?.as_ref();
        place.filter(|(kept, _)| *kept == sequence).map(|(_, datagram)| datagram.clone())
    }

    /// Nobody receives the track any more.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What arrived of one track.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    newest: Option<u16>,
    seen: [u64; WINDOW as usize / 64],
    missing: Vec<Missing>,
    far_behind: u8,
}

#[derive(Debug)]
struct Missing {
    sequence: u16,
    since: Instant,
    asked: usize,
}

impl Arrived {
    /// Whether a packet is new; what is missing before it will be asked for.
    pub(super) fn accept(&mut self, now: Instant, sequence: u16) -> bool {
        let Some(newest) = self.newest else {
            // Packets that it has overtaken are still to come.
            self.newest = Some(sequence);
            self.mark(sequence, true);
            return true;
        };
        let ahead = sequence.wrapping_sub(newest);
        let behind = newest.wrapping_sub(sequence);
        if (1..0x8000).contains(&ahead) {
            self.far_behind = 0;
            if ahead > WINDOW / 2 {
                self.begin(sequence);
                return true;
            }
            for back in (1..ahead).rev() {
                self.miss(now, sequence.wrapping_sub(back));
            }
            self.mark(sequence, true);
            self.newest = Some(sequence);
            true
        } else if behind < WINDOW {
            self.far_behind = 0;
            let is_new = !self.has(sequence);
            self.mark(sequence, true);
            self.missing.retain(|missing| missing.sequence != sequence);
            is_new
        } else {
            self.far_behind += 1;
            if self.far_behind >= BEGAN_ANEW {
                self.begin(sequence);
                return true;
            }
            false
        }
    }

    /// What is to be asked for now.
    pub(super) fn ask(&mut self, now: Instant) -> Vec<u16> {
        let mut ask = Vec::new();
        self.missing.retain_mut(|missing| {
            let Some(wait) = ASK_AFTER.get(missing.asked) else { return false };
            if now.saturating_duration_since(missing.since) >= *wait {
                missing.asked += 1;
                ask.push(missing.sequence);
            }
            true
        });
        ask
    }

    /// Whether anything is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    fn begin(&mut self, sequence: u16) {
        // What came before is not waited for, nor taken.
        *self = Self { newest: Some(sequence), seen: [u64::MAX; WINDOW as usize / 64], ..Self::default() };
    }

    fn miss(&mut self, now: Instant, sequence: u16) {
        self.mark(sequence, false);
        if self.missing.len() >= MAX_MISSING {
            self.missing.remove(0);
        }
        self.missing.push(Missing { sequence, since: now, asked: 0 });
    }

    fn mark(&mut self, sequence: u16, seen: bool) {
        let place = usize::from(sequence % WINDOW);
        let bit = 1 << (place % 64);
        if seen {
            self.seen[place / 64] |= bit;
        } else {
            self.seen[place / 64] &= !bit;
        }
    }

    fn has(&self, sequence: u16) -> bool {
        let place = usize::from(sequence % WINDOW);
        self.seen[place / 64] & (1 << (place % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_packet_counts_once_also_around_the_circle_and_out_of_order() {
        let (mut arrived, now) = (Arrived::default(), Instant::now());
        for sequence in [65_533, 65_535, 65_534, 1, 0] {
            assert!(arrived.accept(now, sequence), "{sequence}");
            assert!(!arrived.accept(now, sequence), "{sequence} again");
        }
        assert!(arrived.is_whole());
        assert!(arrived.accept(now, 65_532), "overtaken by the first");
        assert!(!arrived.accept(now, 65_532));
    }

    #[test]
    fn what_is_missing_is_asked_for_a_few_times_and_no_more_once_it_came() {
        let (mut arrived, start) = (Arrived::default(), Instant::now());
        arrived.accept(start, 10);
        arrived.accept(start, 13);
        assert!(arrived.ask(start + ms(9)).is_empty(), "it may only have been overtaken");
        assert_eq!(arrived.ask(start + ms(10)), [11, 12]);
        assert!(arrived.ask(start + ms(11)).is_empty());
        assert!(arrived.accept(start + ms(20), 12));
        let asked: usize = (11..2_000).map(|at| arrived.ask(start + ms(at)).len()).sum();
        assert_eq!(asked, ASK_AFTER.len() - 1);
        assert!(arrived.is_whole(), "given up");
        assert!(arrived.accept(start + ms(2_000), 11), "but taken if it comes");
    }

    #[test]
    fn a_cut_is_not_asked_for_packet_by_packet() {
        let (mut arrived, start) = (Arrived::default(), Instant::now());
        arrived.accept(start, 0);
        assert!(arrived.accept(start, 250));
        assert_eq!(arrived.ask(start + ms(10)).len(), MAX_MISSING, "the newest of them");
        assert!(arrived.accept(start, 5_000));
        assert!(arrived.ask(start + ms(30)).is_empty());
    }

    #[test]
    fn a_source_that_begins_anew_is_followed_and_stragglers_are_not() {
        let (mut arrived, now) = (Arrived::default(), Instant::now());
        arrived.accept(now, 30_000);
        for sequence in [1_000, 2_000, 3_000] {
            assert!(!arrived.accept(now, sequence));
        }
        assert!(arrived.accept(now, 30_001));
        let taken = (1_000..1_020).filter(|sequence| arrived.accept(now, *sequence)).count();
        assert_eq!(taken, 20 - usize::from(BEGAN_ANEW) + 1);
    }

    #[test]
    fn the_last_packets_are_kept_and_no_others() {
        let mut kept = Kept::default();
        assert_eq!(kept.get(1), None);
        for sequence in 0..=600_u16 {
            kept.push(sequence, sequence.to_be_bytes().to_vec().into());
        }
        assert_eq!(kept.get(600).as_deref(), Some(&600_u16.to_be_bytes()[..]));
        assert_eq!(kept.get(89).as_deref(), Some(&89_u16.to_be_bytes()[..]));
        assert_eq!(kept.get(88), None);
        kept.clear();
        assert_eq!(kept.get(600), None);
    }
}
