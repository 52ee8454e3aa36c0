//! Packets of one section that are kept to be sent again.

use std::time::{Duration, Instant};

use ::rtc::rtp;
use bytes::{BufMut as _, BytesMut};

/// Sent packets kept on each section: about two seconds of camera video. A power of two.
const KEPT: usize = 512;

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
    newest: Option<u16>,
    kept: Vec<Option<Kept>>,
}

struct Kept {
    packet: rtp::Packet,
    again_at: Option<Instant>,
    times: u8,
}

impl Repair {
    /// Nothing kept yet.
    pub(super) fn new(stream: RepairStream) -> Self {
        Self { stream, sequence: 0, newest: None, kept: Vec::new() }
    }

    /// Takes over how the client numbers it now.
    pub(super) fn learn(&mut self, stream: RepairStream) {
        self.stream = stream;
    }

    /// A packet leaves.
    pub(super) fn keep(&mut self, packet: &rtp::Packet) {
        if self.kept.is_empty() {
            self.kept.resize_with(KEPT, || None);
        }
        let sequence = packet.header.sequence_number;
        if self.newest.is_none_or(|newest| sequence.wrapping_sub(newest) < 0x8000) {
            self.newest = Some(sequence);
        }
        let kept = Kept { packet: packet.clone(), again_at: None, times: 0 };
        self.kept[usize::from(sequence) % KEPT] = Some(kept);
    }

    /// The packet once more, if it is still here and not asked for too often.
    pub(super) fn again(&mut self, now: Instant, sequence: u16) -> Option<rtp::Packet> {
        let kept = self.kept.get_mut(usize::from(sequence) % KEPT)?.as_mut()?;
        let too_soon = |at: Instant| now.saturating_duration_since(at) < NOT_AGAIN_WITHIN;
        let is_it = kept.packet.header.sequence_number == sequence;
        if !is_it || kept.times >= MOST_TIMES || kept.again_at.is_some_and(too_soon) {
            return None;
        }
        (kept.again_at, kept.times) = (Some(now), kept.times + 1);
        let packet = kept.packet.clone();
        // Without a repair stream the client gets the same packet once more.
        Some(self.repeated(&packet).unwrap_or(packet))
    }

    /// The packet sent as the `nth` before the last, as repair: something to send that a client can drop.
    pub(super) fn filler(&mut self, nth: u16) -> Option<rtp::Packet> {
        let sequence = self.newest?.wrapping_sub(nth);
        let kept = self.kept.get(usize::from(sequence) % KEPT)?.as_ref()?;
        let packet = Some(&kept.packet).filter(|packet| packet.header.sequence_number == sequence)?.clone();
        self.repeated(&packet)
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

    fn repair() -> Repair {
        let mut repair = Repair::new(RepairStream { ssrc: 2, payload_types: vec![(96, 97)] });
        for sequence in 65_000..=65_535 {
            repair.keep(&packet(sequence));
        }
        for sequence in 0..100 {
            repair.keep(&packet(sequence));
        }
        repair
    }

    #[test]
    fn a_packet_is_repeated_on_the_repair_stream_with_its_number_in_front() {
        let mut repair = repair();
        let again = repair.again(Instant::now(), 65_535).unwrap();
        assert_eq!((again.header.ssrc, again.header.payload_type, again.header.version), (2, 97, 2));
        assert_eq!(again.payload[..], [0xff, 0xff, 0xff, 0xff]);
        repair.learn(RepairStream::default());
        assert_eq!(repair.again(Instant::now(), 50), Some(packet(50)), "without a repair stream");
        assert_eq!(repair.filler(0), None);
    }

    #[test]
    fn what_is_asked_for_without_end_is_not_sent_without_end() {
        let (mut repair, now) = (repair(), Instant::now());
        let asked = (0..10_000).filter(|ms| repair.again(now + Duration::from_millis(*ms), 7).is_some());
        assert_eq!(asked.count(), usize::from(MOST_TIMES));
        for unknown in [65_000, 200, 30_000] {
            assert_eq!(repair.again(now, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn fillers_are_what_was_sent_last() {
        let mut repair = repair();
        let original = |packet: Option<rtp::Packet>| packet.map(|packet| packet.payload[..2].to_vec());
        assert_eq!(original(repair.filler(0)), Some(vec![0, 99]));
        assert_eq!(original(repair.filler(100)), Some(vec![0xff, 0xff]));
        assert_eq!(original(repair.filler(600)), None);
        assert_eq!(original(Repair::new(RepairStream::default()).filler(0)), None);
    }
}
