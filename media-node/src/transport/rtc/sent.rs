//! What was sent and is not reported on yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use ::rtc::interceptor::convert_twcc;
use ::rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;

use crate::transport::Fate;

/// A client that reports does so several times a second; what is older it will not report any more.
const REPORTED_WITHIN: Duration = Duration::from_secs(4);

/// Bound of packets on their way: 30 Mbit/s for as long as they are waited for.
const MAX_ON_THE_WAY: usize = 16_384;

/// Packets in the order of their transport-wide sequence numbers
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
#[derive(Default)]
pub(super) struct Sent {
    /// Number of the first.
    first: u16,
    packets: VecDeque<Packet>,
}

struct Packet {
    sent: Instant,
    bytes: u32,
}

impl Sent {
    /// A packet leaves. Returns its number.
    pub(super) fn add(&mut self, now: Instant, bytes: usize) -> u16 {
        let is_old = |packet: &Packet| now.saturating_duration_since(packet.sent) > REPORTED_WITHIN;
        while self.packets.len() >= MAX_ON_THE_WAY || self.packets.front().is_some_and(is_old) {
            self.forget_first();
        }
        let number = self.first.wrapping_add(u16::try_from(self.packets.len()).unwrap_or(u16::MAX));
        self.packets.push_back(Packet { sent: now, bytes: u32::try_from(bytes).unwrap_or(u32::MAX) });
        number
    }

    /// What a report says of packets that were not reported on before. What is missing in it before the last
    /// that arrived is lost, or came out of order, which is rare enough to count the same.
    pub(super) fn reported(&mut self, report: &TransportLayerCc) -> Vec<Fate> {
        let acknowledged = convert_twcc(report);
        let Some(last) = acknowledged.iter().rev().find(|packet| packet.arrived) else { return Vec::new() };
        let count = usize::from(last.sequence_number.wrapping_sub(self.first)) + 1;
        if count > self.packets.len() {
            return Vec::new();
        }
        // For a packet that is said to have arrived, but not when.
        let about = Duration::from_millis(64) * report.reference_time;
        let mut arrivals = acknowledged.iter().filter(|packet| packet.arrived).peekable();
        let mut fates = Vec::with_capacity(count);
        for _ in 0..count {
            let number = self.first;
            // Those from before were reported by another.
            while arrivals.next_if(|packet| is_before(packet.sequence_number, number)).is_some() {}
            let arrived = arrivals.next_if(|packet| packet.sequence_number == number);
            let Some(packet) = self.forget_first() else { break };
            let arrived = arrived.map(|packet| packet.arrival.unwrap_or(about));
            fates.push(Fate { sent: packet.sent, bytes: packet.bytes, arrived });
        }
        fates
    }

    fn forget_first(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        self.first = self.first.wrapping_add(1);
        Some(packet)
    }
}

/// RFC 3550 §A.1: within half the circle.
fn is_before(a: u16, b: u16) -> bool {
    a != b && b.wrapping_sub(a) < 0x8000
}

#[cfg(test)]
mod tests {
    use ::rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        PacketStatusChunk, RecvDelta, StatusChunkTypeTcc, StatusVectorChunk, SymbolSizeTypeTcc, SymbolTypeTcc,
    };

    use super::*;

    /// A report on as many packets as `arrived` has; they arrived a millisecond apart.
    fn report(base: u16, arrived: &[bool]) -> TransportLayerCc {
        let symbol = |arrived: &bool| match arrived {
            true => SymbolTypeTcc::PacketReceivedSmallDelta,
            false => SymbolTypeTcc::PacketNotReceived,
        };
        let delta = RecvDelta { type_tcc_packet: SymbolTypeTcc::PacketReceivedSmallDelta, delta: 1_000 };
        TransportLayerCc {
            base_sequence_number: base,
            packet_status_count: u16::try_from(arrived.len()).unwrap(),
            reference_time: 10,
            packet_chunks: vec![PacketStatusChunk::StatusVectorChunk(StatusVectorChunk {
                type_tcc: StatusChunkTypeTcc::StatusVectorChunk,
                symbol_size: SymbolSizeTypeTcc::TwoBit,
                symbol_list: arrived.iter().map(symbol).collect(),
            })],
            recv_deltas: vec![delta; arrived.iter().filter(|arrived| **arrived).count()],
            ..TransportLayerCc::default()
        }
    }

    fn sent(now: Instant, count: u16) -> Sent {
        let mut sent = Sent { first: 65_530, packets: VecDeque::new() };
        for nth in 0..count {
            let number = sent.add(now + Duration::from_millis(nth.into()), 100 + usize::from(nth));
            assert_eq!(number, 65_530_u16.wrapping_add(nth));
        }
        sent
    }

    #[test]
    fn fates_come_once_in_the_order_of_sending_and_around_the_circle() {
        let now = Instant::now();
        let mut sent = sent(now, 12);
        let fates = sent.reported(&report(65_530, &[true, false, true, false]));
        let arrived: Vec<_> = fates.iter().map(|fate| (fate.bytes, fate.arrived.is_some())).collect();
        assert_eq!(arrived, [(100, true), (101, false), (102, true)], "the last may still arrive");
        assert_eq!(fates[2].arrived.unwrap() - fates[0].arrived.unwrap(), Duration::from_millis(1));
        assert!(sent.reported(&report(65_530, &[true, true, true])).is_empty(), "reported before");
        let fates = sent.reported(&report(65_532, &[true, false, true, true, true]));
        assert_eq!(fates.iter().map(|fate| fate.bytes).collect::<Vec<_>>(), [103, 104, 105, 106]);
    }

    #[test]
    fn what_was_never_sent_says_nothing() {
        let mut sent = sent(Instant::now(), 3);
        assert!(sent.reported(&report(100, &[true])).is_empty());
        assert!(sent.reported(&report(0, &[true, true, true, true])).is_empty());
        assert!(sent.reported(&report(65_530, &[])).is_empty());
    }

    #[test]
    fn packets_nobody_reports_on_are_forgotten() {
        let now = Instant::now();
        let mut sent = sent(now, 10);
        sent.add(now + REPORTED_WITHIN + Duration::from_secs(1), 1);
        assert_eq!(sent.packets.len(), 1);
        for _ in 0..2 * MAX_ON_THE_WAY {
            sent.add(now + REPORTED_WITHIN + Duration::from_secs(1), 1);
        }
        assert_eq!(sent.packets.len(), MAX_ON_THE_WAY);
    }
}
