//! What is told of media by RTCP, both ways: reports, arrival times, packets that are missing, pictures that cannot be
//! decoded.
//!
//! The backend's interceptors write it, one by one rather than in its chain: a packet then passes only those that have
//! to do with it.

use std::time::Instant;

use ::rtc::interceptor::{
    AttributedPacket, Interceptor, NackGeneratorBuilder, NackGeneratorInterceptor, Packet, RTCPFeedback,
    RTPHeaderExtension, ReceiverReportBuilder, ReceiverReportInterceptor, SenderReportBuilder,
    SenderReportInterceptor, StreamInfo, TaggedPacket, TwccReceiverBuilder, TwccReceiverInterceptor,
};
use ::rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use ::rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use ::rtc::rtp;
use ::rtc::sansio::Protocol as _;
use ::rtc::sdp::extmap::TRANSPORT_CC_URI;
use ::rtc::shared::TransportContext;

use super::protection::Parts;
use crate::transport::MediaKind;

/// How often a client is asked for one packet.
const MAX_REQUESTS: u16 = 10;

/// A stream, as far as feedback is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    pub(super) kind: MediaKind,
    pub(super) clock_hz: u32,
    /// Id of the header extension with the transport-wide number.
    pub(super) number: Option<u8>,
}

/// Feedback of one connection.
pub(super) struct Feedback {
    arrivals: TwccReceiverInterceptor,
    missing: NackGeneratorInterceptor,
    received: ReceiverReportInterceptor,
    sent: SenderReportInterceptor,
}

/// Whether an RTCP packet asks for a keyframe (RFC 4585 §6.3.1, RFC 5104 §4.3.1).
pub(super) fn wants_keyframe(packet: &dyn ::rtc::rtcp::Packet) -> bool {
    packet.as_any().is::<PictureLossIndication>() || packet.as_any().is::<FullIntraRequest>()
}

impl Default for Feedback {
    fn default() -> Self {
        Self {
            // Without it browsers stay at their starting bit rate.
            arrivals: TwccReceiverBuilder::new().build(),
            missing: NackGeneratorBuilder::new().with_max_nacks_per_packet(MAX_REQUESTS).build(),
            received: ReceiverReportBuilder::new().build(),
            sent: SenderReportBuilder::new().build(),
        }
    }
}

impl Feedback {
    /// The client sends a stream.
    pub(super) fn receives(&mut self, stream: &Stream) {
        let info = info(stream);
        self.arrivals.bind_remote_stream(&info);
        self.missing.bind_remote_stream(&info);
        self.received.bind_remote_stream(&info);
    }

    /// The client does not send it any more.
    pub(super) fn receives_no_more(&mut self, ssrc: u32) {
        let info = StreamInfo { ssrc, ..StreamInfo::default() };
        self.arrivals.unbind_remote_stream(&info);
        self.missing.unbind_remote_stream(&info);
        self.received.unbind_remote_stream(&info);
    }

    /// The node sends a stream.
    pub(super) fn sends(&mut self, stream: &Stream) {
        self.sent.bind_local_stream(&info(stream));
    }

    /// The node does not send it any more.
    pub(super) fn sends_no_more(&mut self, ssrc: u32) {
        self.sent.unbind_local_stream(&StreamInfo { ssrc, ..StreamInfo::default() });
    }

    /// Any packet arrived.
    pub(super) fn arrived(&mut self, now: Instant, packet: rtp::Packet) -> Option<rtp::Packet> {
        passed(now, packet, &mut self.arrivals)
    }

    /// A packet arrived of a stream that is received, for the first time or repeated.
    pub(super) fn received(&mut self, now: Instant, packet: rtp::Packet) -> Option<rtp::Packet> {
        let packet = passed(now, packet, &mut self.missing)?;
        passed(now, packet, &mut self.received)
    }

    /// A packet leaves for the first time.
    pub(super) fn sent(&mut self, now: Instant, packet: rtp::Packet) -> Option<rtp::Packet> {
        let message = AttributedPacket::new(Packet::Rtp(packet));
        self.sent.handle_write(tagged(now, message)).ok()?;
        match self.sent.poll_write()?.message.packet {
            Packet::Rtp(packet) => Some(packet),
            _ => None,
        }
    }

    /// The client reports on what it sends.
    pub(super) fn told(&mut self, now: Instant, parts: Parts) -> Option<Parts> {
        let message = AttributedPacket::new(Packet::Rtcp(parts));
        self.received.handle_read(tagged(now, message)).ok()?;
        match self.received.poll_read()?.message.packet {
            Packet::Rtcp(parts) => Some(parts),
            _ => None,
        }
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Instant> {
        let timeouts = [
            self.arrivals.poll_timeout(),
            self.missing.poll_timeout(),
            self.received.poll_timeout(),
            self.sent.poll_timeout(),
        ];
        timeouts.into_iter().flatten().min()
    }

    /// Lets time pass. Returns what the client is to be told.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Vec<Parts> {
        let mut told = Vec::new();
        said(now, &mut self.arrivals, &mut told);
        said(now, &mut self.missing, &mut told);
        said(now, &mut self.received, &mut told);
        said(now, &mut self.sent, &mut told);
        told
    }
}

fn passed<I: Interceptor>(now: Instant, packet: rtp::Packet, through: &mut I) -> Option<rtp::Packet> {
    through.handle_read(tagged(now, AttributedPacket::new(Packet::Rtp(packet)))).ok()?;
    match through.poll_read()?.message.packet {
        Packet::Rtp(packet) => Some(packet),
        _ => None,
    }
}

fn said<I: Interceptor>(now: Instant, by: &mut I, told: &mut Vec<Parts>) {
    // It only ever fails to write, which it does not do here.
    let _ = by.handle_timeout(now);
    while let Some(packet) = by.poll_write() {
        if let Packet::Rtcp(parts) = packet.message.packet {
            told.push(parts);
        }
    }
}

fn tagged(now: Instant, message: AttributedPacket) -> TaggedPacket {
    TaggedPacket { now, transport: TransportContext::default(), message }
}

fn info(stream: &Stream) -> StreamInfo {
    let nack = RTCPFeedback { typ: "nack".to_owned(), parameter: String::new() };
    let number =
        stream.number.map(|id| RTPHeaderExtension { uri: TRANSPORT_CC_URI.to_owned(), id: id.into() });
    StreamInfo {
        ssrc: stream.ssrc,
        clock_rate: stream.clock_hz,
        rtcp_feedback: (stream.kind == MediaKind::Video).then_some(nack).into_iter().collect(),
        rtp_header_extensions: number.into_iter().collect(),
        ..StreamInfo::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
    use ::rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
    use bytes::Bytes;

    use super::*;

    const STREAM: Stream = Stream { ssrc: 7, kind: MediaKind::Video, clock_hz: 90_000, number: Some(3) };

    fn packet(sequence_number: u16) -> rtp::Packet {
        let mut header = rtp::Header { version: 2, ssrc: 7, sequence_number, ..Default::default() };
        header.set_extension(3, Bytes::copy_from_slice(&sequence_number.to_be_bytes())).unwrap();
        rtp::Packet { header, payload: Bytes::from_static(b"x") }
    }

    fn missing(told: &[Parts]) -> Vec<u16> {
        let nacks =
            told.iter().flatten().filter_map(|part| part.as_any().downcast_ref::<TransportLayerNack>());
        nacks.flat_map(|nack| nack.nacks.iter().flat_map(|pair| *pair)).collect()
    }

    #[test]
    fn a_client_learns_what_arrived_and_what_is_missing_until_it_came() {
        let (mut feedback, start) = (Feedback::default(), Instant::now());
        feedback.receives(&STREAM);
        for sequence in [1, 2, 4] {
            let arrived = feedback.arrived(start, packet(sequence)).unwrap();
            assert_eq!(feedback.received(start, arrived).unwrap(), packet(sequence));
        }
        let at = feedback.poll_timeout().unwrap();
        let told = feedback.handle_timeout(at);
        assert_eq!(missing(&told), [3]);
        assert!(told.iter().flatten().any(|part| part.as_any().is::<TransportLayerCc>()));
        feedback.received(at, packet(3)).unwrap();
        assert!(missing(&feedback.handle_timeout(at + Duration::from_millis(200))).is_empty());
        feedback.receives_no_more(7);
        feedback.received(at, packet(9)).unwrap();
        assert!(missing(&feedback.handle_timeout(at + Duration::from_millis(400))).is_empty());
    }

    #[test]
    fn nobody_is_asked_for_a_packet_for_ever() {
        let (mut feedback, start) = (Feedback::default(), Instant::now());
        feedback.receives(&STREAM);
        feedback.received(start, packet(1)).unwrap();
        feedback.received(start, packet(3)).unwrap();
        let asked =
            (1..100).flat_map(|n| missing(&feedback.handle_timeout(start + Duration::from_millis(n * 100))));
        assert_eq!(asked.count(), usize::from(MAX_REQUESTS));
    }

    #[test]
    fn the_node_reports_on_what_it_sends() {
        let (mut feedback, start) = (Feedback::default(), Instant::now());
        feedback.sends(&STREAM);
        assert_eq!(feedback.sent(start, packet(1)).unwrap(), packet(1));
        let at = feedback.poll_timeout().unwrap();
        assert_eq!(feedback.handle_timeout(at).len(), 1);
    }
}
