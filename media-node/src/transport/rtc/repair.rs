//! Packets of one section that are kept to be sent again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ::rtc::rtp;
use bytes::{BufMut as _, BytesMut};

/// How long packets are kept to be sent again: longer than any line's round trip. It is most of a session's memory.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// And how many: a second of 12 Mbit/s. Numbers that follow one another, so gaps are places too.
const MAX_KEPT: usize = 1_024;

/// The last are kept however old they are: what is tried of a line is them again, also after pictures have paused.
const FILLERS: usize = 64;

/// A packet is sent again this often at most, however often it is asked for…
const MOST_TIMES: u8 = 8;

/// …and not while the one before is certainly on its way.
const NOT_AGAIN_WITHIN: Duration = Duration::from_millis(20);

/// How a section's repeated packets are sent (RFC 4588): on an SSRC of their own, so that nothing is counted
/// twice and nothing looks replayed.
#[derive(Clone, Debug, Default)]
pub(super) struct RepairStream {
    /// Its SSRC.
    pub(super) ssrc: u32,
    /// Payload types of media, and of their repair.
    pub(super) payload_types: Vec<(u8, u8)>,
}

/// Kept packets of one section.
pub(super) struct Repair {
    stream: RepairStream,
    sequence: u16,
    /// Number of the first place.
    first: u16,
    kept: VecDeque<Option<Kept>>,
}

struct Kept {
    packet: rtp::Packet,
    sent_at: Instant,
    again_at: Option<Instant>,
    times: u8,
}

impl Repair {
    /// Nothing kept yet.
    pub(super) fn new(stream: RepairStream) -> Self {
        Self { stream, sequence: 0, first: 0, kept: VecDeque::new() }
    }

    /// Takes over how the client numbers it now.
    pub(super) fn learn(&mut self, stream: RepairStream) {
        self.stream = stream;
    }

    /// A packet leaves.
    pub(super) fn keep(&mut self, now: Instant, packet: &rtp::Packet) {
        self.forget_old(now);
        let sequence = packet.header.sequence_number;
        let mut place = usize::from(sequence.wrapping_sub(self.first));
        // From before the first: it will not be asked for.
        if !self.kept.is_empty() && place > usize::from(u16::MAX / 2) {
            return;
        }
        if self.kept.is_empty() || place >= 2 * MAX_KEPT {
            self.kept.clear();
            (self.first, place) = (sequence, 0);
        }
        while place >= self.kept.len() {
            self.kept.push_back(None);
        }
        self.kept[place] = Some(Kept { packet: packet.clone(), sent_at: now, again_at: None, times: 0 });
        while self.kept.len() > MAX_KEPT {
            self.forget_first();
        }
    }

    /// The packet once more, if it is still here and not asked for too often.
    pub(super) fn again(&mut self, now: Instant, sequence: u16) -> Option<rtp::Packet> {
        self.forget_old(now);
        let kept = self.kept.get_mut(usize::from(sequence.wrapping_sub(self.first)))?.as_mut()?;
        let too_soon = |at: Instant| now.saturating_duration_since(at) < NOT_AGAIN_WITHIN;
        let is_over = now.saturating_duration_since(kept.sent_at) > KEPT_FOR;
        if is_over || kept.times >= MOST_TIMES || kept.again_at.is_some_and(too_soon) {
            return None;
        }
        (kept.again_at, kept.times) = (Some(now), kept.times + 1);
        let packet = kept.packet.clone();
        // Without a repair stream the client gets the same packet once more.
        Some(self.repeated(&packet).unwrap_or(packet))
    }

    /// The packet sent as the `nth` before the last, as repair: something to send that a client can drop.
    pub(super) fn filler(&mut self, nth: u16) -> Option<rtp::Packet> {
        let place = self.kept.len().checked_sub(usize::from(nth) + 1)?;
        let packet = self.kept.get(place)?.as_ref()?.packet.clone();
        self.repeated(&packet)
    }

    fn forget_old(&mut self, now: Instant) {
        let is_over = |kept: &Option<Kept>| {
            kept.as_ref().is_none_or(|kept| now.saturating_duration_since(kept.sent_at) > KEPT_FOR)
        };
        while self.kept.len() > FILLERS && self.kept.front().is_some_and(is_over) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        self.kept.pop_front();
        self.first = self.first.wrapping_add(1);
    }

    fn repeated(&mut self, packet: &rtp::Packet) -> Option<rtp::Packet> {
        let is_it = |(media, _): &&(u8, u8)| *media == packet.header.payload_type;
        let (_, payload_type) = *self.stream.payload_types.iter().find(is_it)?;
        let mut payload = BytesMut::with_capacity(2 + packet.payload.len());
        payload.put_u16(packet.header.sequence_number);
        payload.put_slice(&packet.payload);
        self.sequence = self.sequence.wrapping_add(1);
        let header = rtp::Header {
            version: 2,
            marker: packet.header.marker,
            payload_type,
            sequence_number: self.sequence,
            timestamp: packet.header.timestamp,
            ssrc: self.stream.ssrc,
            ..rtp::Header::default()
        };
        Some(rtp::Packet { header, payload: payload.freeze() })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn packet(sequence_number: u16) -> rtp::Packet {
        let header =
            rtp::Header { version: 2, payload_type: 96, sequence_number, ssrc: 1, ..Default::default() };
        rtp::Packet { header, payload: Bytes::copy_from_slice(&sequence_number.to_be_bytes()) }
    }

    fn repair(now: Instant) -> Repair {
        let mut repair = Repair::new(RepairStream { ssrc: 2, payload_types: vec![(96, 97)] });
        for sequence in (64_000..=65_535).chain(0..100) {
            repair.keep(now, &packet(sequence));
        }
        repair
    }

    #[test]
    fn a_packet_is_repeated_on_the_repair_stream_with_its_number_in_front() {
        let now = Instant::now();
        let mut repair = repair(now);
        let again = repair.again(now, 65_535).unwrap();
        assert_eq!((again.header.ssrc, again.header.payload_type, again.header.version), (2, 97, 2));
        assert_eq!(again.payload[..], [0xff, 0xff, 0xff, 0xff]);
        repair.learn(RepairStream::default());
        assert_eq!(repair.again(now, 50), Some(packet(50)), "without a repair stream");
        assert_eq!(repair.filler(0), None);
    }

    #[test]
    fn what_is_asked_for_without_end_is_not_sent_without_end() {
        let now = Instant::now();
        let mut repair = repair(now);
        let asked = (0..900).filter(|ms| repair.again(now + Duration::from_millis(*ms), 7).is_some());
        assert_eq!(asked.count(), usize::from(MOST_TIMES));
        for unknown in [64_600, 200, 30_000] {
            assert_eq!(repair.again(now, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn fillers_are_what_was_sent_last() {
        let mut repair = repair(Instant::now());
        let original = |packet: Option<rtp::Packet>| packet.map(|packet| packet.payload[..2].to_vec());
        assert_eq!(original(repair.filler(0)), Some(vec![0, 99]));
        assert_eq!(original(repair.filler(100)), Some(vec![0xff, 0xff]));
        assert_eq!(original(repair.filler(1_100)), None);
        assert_eq!(original(Repair::new(RepairStream::default()).filler(0)), None);
    }

    #[test]
    fn packets_are_kept_for_a_while_wherever_their_numbers_go() {
        let start = Instant::now();
        let mut repair = Repair::new(RepairStream::default());
        let at = |ms: u64| start + Duration::from_millis(ms);
        for (ms, sequence) in [(0, 65_534), (300, 1), (400, 65_535), (500, 65_000), (600, 2)] {
            repair.keep(at(ms), &packet(sequence));
        }
        let has =
            |repair: &mut Repair, ms, sequence| repair.again(at(ms), sequence) == Some(packet(sequence));
        assert!(has(&mut repair, 900, 65_534) && has(&mut repair, 900, 65_535) && has(&mut repair, 900, 1));
        assert!(!has(&mut repair, 900, 0), "never sent");
        assert!(!has(&mut repair, 900, 65_000), "from before the first");
        assert!(!has(&mut repair, 1_100, 65_534) && has(&mut repair, 1_100, 1), "over");
        // Another source: as if nothing had been before.
        repair.keep(at(1_100), &packet(20_000));
        assert!(has(&mut repair, 1_100, 20_000) && !has(&mut repair, 1_100, 2));
        for sequence in 20_001..25_000 {
            repair.keep(at(1_100), &packet(sequence));
        }
        assert_eq!(repair.kept.len(), MAX_KEPT);
        repair.keep(at(9_000), &packet(25_000));
        assert_eq!(repair.kept.len(), FILLERS + 1);
        assert!(!has(&mut repair, 9_000, 24_999) && has(&mut repair, 9_000, 25_000));
    }

    #[test]
    fn a_line_can_be_tried_long_after_pictures_paused() {
        let start = Instant::now();
        let mut repair = repair(start);
        assert_eq!(repair.again(start + Duration::from_secs(60), 99), None);
        assert!((0..64).all(|nth| repair.filler(nth).is_some()));
        assert_eq!(repair.filler(64), None, "no more memory than that");
    }
}
