//! The last place every media packet passes on its way to the client: here it is numbered, kept to be repeated,
//! and repeated when the client asks.
//!
//! The backend has an interceptor for each, but they do not fit together: repeated packets leave its chain
//! without a number of their own, so a bandwidth estimate would miss just what a bad line adds, and nothing
//! bounds how often one packet is asked for.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ::rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use ::rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use ::rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use ::rtc::rtp;
use ::rtc::sansio::Protocol;
use ::rtc::shared::TransportContext;
use ::rtc::shared::error::Error;
use ::rtc::shared::marshal::MarshalSize as _;
use bytes::Bytes;

use super::repair::{Repair, RepairStream};
use super::sent::Sent;
use crate::transport::Fate;

/// Reports that may wait to be looked at; they are after every datagram.
const MAX_FATES: usize = 16_384;

/// The connection's side of it. Both sides are used by the same thread only, so the lock never waits; the
/// backend owns its interceptors and leaves no other way to them.
#[derive(Clone, Default)]
pub(super) struct Outgoing(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    streams: HashMap<u32, Stream>,
    sent: Sent,
    fates: Vec<Fate>,
    repeated: VecDeque<TaggedPacket>,
}

struct Stream {
    /// Id of the header extension that carries the transport-wide number, if the client reports.
    number: Option<u8>,
    repair: Option<Repair>,
}

/// The chain's side of it.
pub(super) struct OutgoingInterceptor {
    shared: Outgoing,
    inbound: VecDeque<TaggedPacket>,
    outbound: VecDeque<TaggedPacket>,
}

impl Outgoing {
    /// The chain's side.
    pub(super) fn interceptor(&self) -> OutgoingInterceptor {
        OutgoingInterceptor { shared: self.clone(), inbound: VecDeque::new(), outbound: VecDeque::new() }
    }

    /// What is sent under an SSRC is numbered and repeated like this from now on.
    pub(super) fn learn(&self, ssrc: u32, number: Option<u8>, repair: Option<RepairStream>) {
        let mut state = self.state();
        let stream = state.streams.entry(ssrc).or_insert(Stream { number, repair: None });
        stream.number = number;
        match (&mut stream.repair, repair) {
            (Some(known), Some(repair)) => known.learn(repair),
            (known, repair) => *known = repair.map(Repair::new),
        }
    }

    /// Only these SSRCs are sent any more.
    pub(super) fn retain(&self, is_sent: impl Fn(u32) -> bool) {
        self.state().streams.retain(|ssrc, _| is_sent(*ssrc));
    }

    /// What clients reported since the last look.
    pub(super) fn take_fates(&self) -> Vec<Fate> {
        std::mem::take(&mut self.state().fates)
    }

    /// Queues repetitions of what was sent last. Returns their bytes.
    pub(super) fn fill(&self, now: Instant, bytes: usize) -> usize {
        let mut state = self.state();
        let State { streams, sent, repeated, .. } = &mut *state;
        let mut filled = 0;
        for Stream { number, repair } in streams.values_mut() {
            let (Some(id), Some(repair)) = (*number, repair) else { continue };
            // Each packet once a call: a probe is a few kilobytes.
            for nth in 0..64 {
                let Some(packet) = (if filled < bytes { repair.filler(nth) } else { None }) else { break };
                let packet = numbered(packet, Some(id), now, sent);
                filled += packet.marshal_size();
                repeated.push_back(tagged(now, packet));
            }
        }
        filled
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leave(&mut self, now: Instant, packet: rtp::Packet) -> rtp::Packet {
        let Some(stream) = self.streams.get_mut(&packet.header.ssrc) else { return packet };
        if let Some(repair) = &mut stream.repair {
            repair.keep(&packet);
        }
        numbered(packet, stream.number, now, &mut self.sent)
    }

    fn repeat(&mut self, now: Instant, nack: &TransportLayerNack) {
        let Some(stream) = self.streams.get_mut(&nack.media_ssrc) else { return };
        let Some(repair) = &mut stream.repair else { return };
        for sequence in nack.nacks.iter().flat_map(|pair| *pair) {
            if let Some(packet) = repair.again(now, sequence) {
                let packet = numbered(packet, stream.number, now, &mut self.sent);
                self.repeated.push_back(tagged(now, packet));
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

fn tagged(now: Instant, packet: rtp::Packet) -> TaggedPacket {
    let message = AttributedPacket::new(Packet::Rtp(packet));
    TaggedPacket { now, transport: TransportContext::default(), message }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for OutgoingInterceptor {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(parts) = &packet.message.packet {
            let mut state = self.shared.state();
            for part in parts {
                if let Some(nack) = part.as_any().downcast_ref::<TransportLayerNack>() {
                    state.repeat(packet.now, nack);
                } else if let Some(report) = part.as_any().downcast_ref::<TransportLayerCc>() {
                    let fates = state.sent.reported(report);
                    if state.fates.len() + fates.len() <= MAX_FATES {
                        state.fates.extend(fates);
                    }
                }
            }
        }
        self.inbound.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inbound.pop_front()
    }

    fn handle_write(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(rtp) = &mut packet.message.packet {
            *rtp = self.shared.state().leave(packet.now, std::mem::take(rtp));
        }
        self.outbound.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.outbound.pop_front().or_else(|| self.shared.state().repeated.pop_front())
    }

    fn handle_timeout(&mut self, _now: Instant) -> Result<(), Error> {
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }
}

impl Interceptor for OutgoingInterceptor {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use ::rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;

    use super::*;

    const NUMBER: u8 = 3;

    fn write(interceptor: &mut OutgoingInterceptor, now: Instant, ssrc: u32, sequence_number: u16) {
        let header =
            rtp::Header { version: 2, payload_type: 96, sequence_number, ssrc, ..Default::default() };
        let packet = rtp::Packet { header, payload: Bytes::from_static(&[7; 1_000]) };
        interceptor.handle_write(tagged(now, packet)).unwrap();
    }

    /// SSRC and transport-wide number of everything that leaves.
    fn left(interceptor: &mut OutgoingInterceptor) -> Vec<(u32, Option<u16>)> {
        let packets = std::iter::from_fn(|| interceptor.poll_write());
        let seen = packets.map(|packet| {
            let Packet::Rtp(rtp) = packet.message.packet else { panic!("not RTP") };
            let number = rtp.header.get_extension(NUMBER);
            (rtp.header.ssrc, number.map(|number| u16::from_be_bytes([number[0], number[1]])))
        });
        seen.collect()
    }

    fn asks(interceptor: &mut OutgoingInterceptor, now: Instant, media_ssrc: u32, nacks: Vec<NackPair>) {
        let nack = TransportLayerNack { sender_ssrc: 1, media_ssrc, nacks };
        let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(nack)]));
        let packet = TaggedPacket { now, transport: TransportContext::default(), message };
        interceptor.handle_read(packet).unwrap();
    }

    #[test]
    fn repetitions_have_numbers_of_their_own() {
        let (outgoing, now) = (Outgoing::default(), Instant::now());
        let mut interceptor = outgoing.interceptor();
        let repair = RepairStream { ssrc: 11, payload_types: vec![(96, 97)] };
        outgoing.learn(10, Some(NUMBER), Some(repair));
        outgoing.learn(20, Some(NUMBER), None);
        write(&mut interceptor, now, 10, 500);
        write(&mut interceptor, now, 20, 9);
        write(&mut interceptor, now, 30, 1);
        assert_eq!(left(&mut interceptor), [(10, Some(0)), (20, Some(1)), (30, None)]);
        asks(&mut interceptor, now, 10, vec![NackPair { packet_id: 499, lost_packets: 1 }]);
        asks(&mut interceptor, now, 20, vec![NackPair::new(9)]);
        assert_eq!(left(&mut interceptor), [(11, Some(2))]);
        assert!(outgoing.fill(now, 100) > 1_000);
        assert_eq!(left(&mut interceptor), [(11, Some(3))]);
    }

    #[test]
    fn what_is_not_sent_any_more_is_forgotten() {
        let (outgoing, now) = (Outgoing::default(), Instant::now());
        let mut interceptor = outgoing.interceptor();
        outgoing.learn(10, Some(NUMBER), Some(RepairStream { ssrc: 11, payload_types: vec![(96, 97)] }));
        write(&mut interceptor, now, 10, 500);
        outgoing.retain(|ssrc| ssrc != 10);
        left(&mut interceptor);
        asks(&mut interceptor, now, 10, vec![NackPair::new(500)]);
        assert_eq!(outgoing.fill(now, 100), 0);
        assert!(left(&mut interceptor).is_empty());
    }
}
