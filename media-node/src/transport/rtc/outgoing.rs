//! The last place every media packet passes on its way to the client: here it is numbered, kept to be repeated,
//! and repeated when the client asks.
//!
//! The backend has an interceptor for each, but they do not fit together: repeated packets leave its chain
//! without a number of their own, so a bandwidth estimate would miss just what a bad line adds, and nothing
//! bounds how often one packet is asked for.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use ::rtc::rtcp;
use ::rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use ::rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use ::rtc::rtp;
use ::rtc::shared::marshal::MarshalSize as _;
use bytes::Bytes;

use super::repair::{Repair, RepairStream};
use super::sent::Sent;
use crate::transport::Fate;

/// Reports that may wait to be looked at; they are after every datagram.
const MAX_FATES: usize = 16_384;

/// What leaves for one client.
#[derive(Default)]
pub(super) struct Outgoing {
    streams: HashMap<u32, Stream>,
    sent: Sent,
    fates: Vec<Fate>,
    repeated: VecDeque<rtp::Packet>,
}

struct Stream {
    /// Id of the header extension that carries the transport-wide number, if the client reports.
    number: Option<u8>,
    repair: Option<Repair>,
}

impl Outgoing {
    /// What is sent under an SSRC is numbered and repeated like this from now on.
    pub(super) fn learn(&mut self, ssrc: u32, number: Option<u8>, repair: Option<RepairStream>) {
        let stream = self.streams.entry(ssrc).or_insert(Stream { number, repair: None });
        stream.number = number;
        match (&mut stream.repair, repair) {
            (Some(known), Some(repair)) => known.learn(repair),
            (known, repair) => *known = repair.map(Repair::new),
        }
    }

    /// SSRCs that are sent.
    pub(super) fn ssrcs(&self) -> impl Iterator<Item = u32> {
        self.streams.keys().copied()
    }

    /// An SSRC is not sent any more.
    pub(super) fn forget(&mut self, ssrc: u32) {
        self.streams.remove(&ssrc);
    }

    /// What clients reported since the last look.
    pub(super) fn take_fates(&mut self) -> Vec<Fate> {
        std::mem::take(&mut self.fates)
    }

    /// Queues repetitions of what was sent last. Returns their bytes.
    pub(super) fn fill(&mut self, now: Instant, bytes: usize) -> usize {
        let Self { streams, sent, repeated, .. } = self;
        let mut filled = 0;
        for Stream { number, repair } in streams.values_mut() {
            let (Some(id), Some(repair)) = (*number, repair) else { continue };
            // Each packet once a call: a probe is a few kilobytes.
            for nth in 0..64 {
                let Some(packet) = (if filled < bytes { repair.filler(nth) } else { None }) else { break };
                let packet = numbered(packet, Some(id), now, sent);
                filled += packet.marshal_size();
                repeated.push_back(packet);
            }
        }
        filled
    }

    /// A packet leaves.
    pub(super) fn leave(&mut self, now: Instant, packet: rtp::Packet) -> rtp::Packet {
        let Some(stream) = self.streams.get_mut(&packet.header.ssrc) else { return packet };
        if let Some(repair) = &mut stream.repair {
            repair.keep(now, &packet);
        }
        numbered(packet, stream.number, now, &mut self.sent)
    }

    /// The client says what it got, and what not.
    pub(super) fn hear(&mut self, now: Instant, parts: &[Box<dyn rtcp::Packet>]) {
        for part in parts {
            if let Some(nack) = part.as_any().downcast_ref::<TransportLayerNack>() {
                self.repeat(now, nack);
            } else if let Some(report) = part.as_any().downcast_ref::<TransportLayerCc>() {
                let fates = self.sent.reported(report);
                if self.fates.len() + fates.len() <= MAX_FATES {
                    self.fates.extend(fates);
                }
            }
        }
    }

    /// The next packet that is to be sent again.
    pub(super) fn poll_repeated(&mut self) -> Option<rtp::Packet> {
        self.repeated.pop_front()
    }

    fn repeat(&mut self, now: Instant, nack: &TransportLayerNack) {
        let Some(stream) = self.streams.get_mut(&nack.media_ssrc) else { return };
        let Some(repair) = &mut stream.repair else { return };
        for sequence in nack.nacks.iter().flat_map(|pair| *pair) {
            if let Some(packet) = repair.again(now, sequence) {
                self.repeated.push_back(numbered(packet, stream.number, now, &mut self.sent));
            }
        }
    }
}

/// The packet with its transport-wide number, from now on on its way.
fn numbered(mut packet: rtp::Packet, id: Option<u8>, now: Instant, sent: &mut Sent) -> rtp::Packet {
    let Some(id) = id else { return packet };
    // Set first: its size does not depend on the number.
    if packet.header.set_extension(id, Bytes::from_static(&[0, 0])).is_ok() {
        let number = sent.add(now, packet.marshal_size());
        let _ = packet.header.set_extension(id, Bytes::copy_from_slice(&number.to_be_bytes()));
    }
    packet
}

#[cfg(test)]
mod tests {
    use ::rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;

    use super::*;

    const NUMBER: u8 = 3;

    /// SSRC and transport-wide number.
    fn seen(packet: &rtp::Packet) -> (u32, Option<u16>) {
        let number = packet.header.get_extension(NUMBER);
        (packet.header.ssrc, number.map(|number| u16::from_be_bytes([number[0], number[1]])))
    }

    fn leave(outgoing: &mut Outgoing, now: Instant, ssrc: u32, sequence_number: u16) -> (u32, Option<u16>) {
        let header =
            rtp::Header { version: 2, payload_type: 96, sequence_number, ssrc, ..Default::default() };
        let packet = rtp::Packet { header, payload: Bytes::from_static(&[7; 1_000]) };
        seen(&outgoing.leave(now, packet))
    }

    fn repeated(outgoing: &mut Outgoing) -> Vec<(u32, Option<u16>)> {
        std::iter::from_fn(|| outgoing.poll_repeated()).map(|packet| seen(&packet)).collect()
    }

    fn asks(outgoing: &mut Outgoing, now: Instant, media_ssrc: u32, nacks: Vec<NackPair>) {
        outgoing.hear(now, &[Box::new(TransportLayerNack { sender_ssrc: 1, media_ssrc, nacks })]);
    }

    #[test]
    fn repetitions_have_numbers_of_their_own() {
        let (mut outgoing, now) = (Outgoing::default(), Instant::now());
        let repair = RepairStream { ssrc: 11, payload_types: vec![(96, 97)] };
        outgoing.learn(10, Some(NUMBER), Some(repair));
        outgoing.learn(20, Some(NUMBER), None);
        assert_eq!(leave(&mut outgoing, now, 10, 500), (10, Some(0)));
        assert_eq!(leave(&mut outgoing, now, 20, 9), (20, Some(1)));
        assert_eq!(leave(&mut outgoing, now, 30, 1), (30, None));
        asks(&mut outgoing, now, 10, vec![NackPair { packet_id: 499, lost_packets: 1 }]);
        asks(&mut outgoing, now, 20, vec![NackPair::new(9)]);
        assert_eq!(repeated(&mut outgoing), [(11, Some(2))]);
        assert!(outgoing.fill(now, 100) > 1_000);
        assert_eq!(repeated(&mut outgoing), [(11, Some(3))]);
    }

    #[test]
    fn what_is_not_sent_any_more_is_forgotten() {
        let (mut outgoing, now) = (Outgoing::default(), Instant::now());
        outgoing.learn(10, Some(NUMBER), Some(RepairStream { ssrc: 11, payload_types: vec![(96, 97)] }));
        leave(&mut outgoing, now, 10, 500);
        outgoing.forget(10);
        asks(&mut outgoing, now, 10, vec![NackPair::new(500)]);
        assert_eq!(outgoing.fill(now, 100), 0);
        assert!(repeated(&mut outgoing).is_empty());
    }
}
