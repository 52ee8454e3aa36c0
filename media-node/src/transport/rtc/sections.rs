//! What is sent on which section, kept in step with the backend's transceivers.

use std::collections::HashMap;

use ::rtc::media_stream::MediaStreamTrack;
use ::rtc::peer_connection::RTCPeerConnection;
use ::rtc::rtp;
use ::rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters,
};
use ::rtc::rtp_transceiver::{
    RTCRtpSenderId, RTCRtpTransceiverDirection, RTCRtpTransceiverId, RTCRtpTransceiverInit,
};
use bytes::Bytes;

use super::engine::{self, Extensions};
use super::feedback::{Feedback, Stream};
use super::outgoing::Outgoing;
use super::repair::RepairStream;
use super::{backend, random_ssrc};
use crate::transport::sdp::{Section, SectionRole};
use crate::transport::{Codec, MediaKind, MediaPacket, Mid, TransportError};

/// The sections of one connection.
#[derive(Default)]
pub(super) struct Sections {
    known: HashMap<Mid, Known>,
}

struct Known {
    /// `None` until the backend has made one for the offer's section.
    transceiver: Option<RTCRtpTransceiverId>,
    kind: MediaKind,
    sending: Option<Sending>,
}

/// What is sent on a section.
struct Sending {
    track: String,
    ssrc: u32,
    /// SSRC of repeated packets.
    repair_ssrc: u32,
    payload_types: Vec<(Codec, u8)>,
    extensions: Extensions,
}

impl Sending {
    fn new(track: &str) -> Result<Self, TransportError> {
        Ok(Self {
            track: track.to_owned(),
            ssrc: random_ssrc()?,
            repair_ssrc: random_ssrc()?,
            payload_types: Vec::new(),
            extensions: Extensions::default(),
        })
    }
}

impl Sections {
    /// Brings the backend's transceivers in line with the plan. The offer is already applied.
    pub(super) fn plan(
        &mut self,
        connection: &mut RTCPeerConnection,
        plan: &[Section],
    ) -> Result<(), TransportError> {
        for section in plan {
            let known = Known { transceiver: None, kind: section.kind, sending: None };
            self.known.entry(section.mid).or_insert(known);
        }
        self.adopt(connection)?;
        plan.iter().try_for_each(|wanted| self.apply(connection, wanted))
    }

    /// Brings the backend's transceivers in line with what is to be offered.
    pub(super) fn offer(
        &mut self,
        connection: &mut RTCPeerConnection,
        plan: &[Section],
    ) -> Result<(), TransportError> {
        for wanted in plan {
            match &wanted.role {
                SectionRole::Send { stream, track } if !self.known.contains_key(&wanted.mid) => {
                    let sending = Sending::new(track)?;
                    let transceiver = Some(add_sender(connection, wanted.kind, stream, &sending)?);
                    let known = Known { transceiver, kind: wanted.kind, sending: Some(sending) };
                    self.known.insert(wanted.mid, known);
                }
                _ => self.apply(connection, wanted)?,
            }
        }
        Ok(())
    }

    /// Takes over payload types and extension ids as the client numbers them. The answer is already made.
    pub(super) fn learn_numbers(
        &mut self,
        connection: &mut RTCPeerConnection,
        outgoing: &mut Outgoing,
        feedback: &mut Feedback,
    ) {
        let mut gone: Vec<u32> = outgoing.ssrcs().collect();
        for known in self.known.values_mut() {
            let sender = known.transceiver.and_then(|id| connection.rtp_sender(RTCRtpSenderId::from(id)));
            let (Some(sending), Some(mut sender)) = (&mut known.sending, sender) else { continue };
            let parameters = &sender.get_parameters().rtp_parameters;
            let codecs = parameters.codecs.iter();
            sending.payload_types = codecs
                .filter_map(|codec| Some((Codec::from_mime(&codec.rtp_codec.mime_type)?, codec.payload_type)))
                .collect();
            sending.extensions = Extensions::of(&parameters.header_extensions);
            let repair = (known.kind == MediaKind::Video).then(|| RepairStream {
                ssrc: sending.repair_ssrc,
                payload_types: engine::repair_payload_types(&parameters.codecs),
            });
            let number = sending.extensions.transport_number;
            outgoing.learn(sending.ssrc, number, repair);
            let before = gone.len();
            gone.retain(|ssrc| *ssrc != sending.ssrc);
            if gone.len() == before {
                let clock_hz = if known.kind == MediaKind::Video { 90_000 } else { 48_000 };
                feedback.sends(&Stream { ssrc: sending.ssrc, kind: known.kind, clock_hz, number });
            }
        }
        for ssrc in gone {
            outgoing.forget(ssrc);
            feedback.sends_no_more(ssrc);
        }
    }

    /// The section on which an SSRC of ours is sent.
    pub(super) fn by_ssrc(&self, ssrc: u32) -> Option<Mid> {
        let sends = |known: &Known| known.sending.as_ref().is_some_and(|sending| sending.ssrc == ssrc);
        self.known.iter().find(|(_, known)| sends(known)).map(|(mid, _)| *mid)
    }

    /// The packet as it goes out on a section. `None` when the section sends nothing, or the client does not take the
    /// codec.
    pub(super) fn packet(&self, mid: Mid, packet: &MediaPacket) -> Option<rtp::Packet> {
        let known = self.known.get(&mid)?;
        let sending = known.sending.as_ref()?;
        let (_, payload_type) = sending.payload_types.iter().find(|(codec, _)| *codec == packet.codec)?;
        let mut header = rtp::Header {
            version: 2,
            marker: packet.marker,
            payload_type: *payload_type,
            sequence_number: packet.sequence,
            timestamp: packet.timestamp,
            ssrc: sending.ssrc,
            ..rtp::Header::default()
        };
        let carried = [
            (sending.extensions.audio_level, packet.audio_level),
            (sending.extensions.orientation, packet.orientation),
        ];
        for (id, value) in carried {
            if let (Some(id), Some(value)) = (id, value) {
                // Without it the packet is still worth sending.
                let _ = header.set_extension(id, Bytes::copy_from_slice(&[value]));
            }
        }
        Some(rtp::Packet { header, payload: packet.payload.clone() })
    }

    /// Learns of the transceivers an offer added.
    ///
    /// The backend gives a track to the first transceiver of its kind that has no sender, also to one the
    /// client publishes on. So none is ever left without: a new one gets an empty sender at once, and then
    /// the first without is always the one meant.
    fn adopt(&mut self, connection: &mut RTCPeerConnection) -> Result<(), TransportError> {
        for id in connection.get_transceivers().collect::<Vec<_>>() {
            let Some(transceiver) = connection.rtp_transceiver(id) else { continue };
            let (mid, is_new) =
                (transceiver.mid().as_deref().and_then(Mid::parse), transceiver.sender().is_none());
            let Some(known) = mid.and_then(|mid| self.known.get_mut(&mid)) else { continue };
            known.transceiver = Some(id);
            if is_new {
                set_sender(connection, id, known.kind, None)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, connection: &mut RTCPeerConnection, wanted: &Section) -> Result<(), TransportError> {
        let Some(known) = self.known.get_mut(&wanted.mid) else { return Ok(()) };
        let Some(id) = known.transceiver else { return Ok(()) };
        let direction = match &wanted.role {
            SectionRole::Receive => RTCRtpTransceiverDirection::Recvonly,
            SectionRole::Idle => RTCRtpTransceiverDirection::Inactive,
            SectionRole::Send { .. } => RTCRtpTransceiverDirection::Sendonly,
            SectionRole::Retired => {
                // The backend has stopped it for good, sender and all.
                known.sending = None;
                return Ok(());
            }
        };
        match (&wanted.role, &known.sending) {
            (SectionRole::Send { track, .. }, Some(sending)) if sending.track == *track => {}
            (SectionRole::Send { stream, track }, _) => {
                // A new SSRC for each track: the client starts afresh instead of splicing two streams.
                let sending = Sending::new(track)?;
                set_sender(connection, id, known.kind, Some((stream, &sending)))?;
                known.sending = Some(sending);
            }
            (_, Some(_)) => {
                set_sender(connection, id, known.kind, None)?;
                known.sending = None;
            }
            (_, None) => {}
        }
        if let Some(mut transceiver) = connection.rtp_transceiver(id) {
            transceiver.set_direction(direction);
        }
        Ok(())
    }
}

/// Adds a transceiver that sends, with every codec on offer.
fn add_sender(
    connection: &mut RTCPeerConnection,
    kind: MediaKind,
    stream: &str,
    sending: &Sending,
) -> Result<RTCRtpTransceiverId, TransportError> {
    const OPERATION: &str = "add a section";
    let codings = vec![encoding(kind, sending)];
    let init = RTCRtpTransceiverInit {
        direction: RTCRtpTransceiverDirection::Sendonly,
        streams: vec![stream.to_owned()],
        send_encodings: codings.clone(),
    };
    let (label, kind) = (sending.track.clone(), engine::codec_kind(kind));
    let track = MediaStreamTrack::new(stream.to_owned(), sending.track.clone(), label, kind, codings);
    let id = connection.add_transceiver_from_track(track, Some(init)).map_err(backend(OPERATION))?;
    // The encoding's codec is only the first guess.
    if let Some(mut transceiver) = connection.rtp_transceiver(id) {
        transceiver.set_codec_preferences(Vec::new()).map_err(backend(OPERATION))?;
    }
    Ok(id)
}

fn set_sender(
    connection: &mut RTCPeerConnection,
    id: RTCRtpTransceiverId,
    kind: MediaKind,
    outgoing: Option<(&str, &Sending)>,
) -> Result<(), TransportError> {
    const OPERATION: &str = "set the sender of a section";
    if connection.rtp_transceiver(id).is_some_and(|transceiver| transceiver.sender().is_some()) {
        connection.remove_track(RTCRtpSenderId::from(id)).map_err(backend(OPERATION))?;
    }
    let (stream, track, codings) = match outgoing {
        Some((stream, sending)) => (stream, sending.track.as_str(), vec![encoding(kind, sending)]),
        None => ("-", "-", Vec::new()),
    };
    let (label, kind) = (track.to_owned(), engine::codec_kind(kind));
    let track = MediaStreamTrack::new(stream.to_owned(), track.to_owned(), label, kind, codings);
    let sender = connection.add_track(track).map_err(backend(OPERATION))?;
    if sender != RTCRtpSenderId::from(id) {
        return Err(backend(OPERATION)(std::io::Error::other("the backend chose another section")));
    }
    Ok(())
}

fn encoding(kind: MediaKind, sending: &Sending) -> RTCRtpEncodingParameters {
    RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(sending.ssrc),
            rtx: (kind == MediaKind::Video).then_some(RTCRtpRtxParameters { ssrc: sending.repair_ssrc }),
            ..RTCRtpCodingParameters::default()
        },
        codec: engine::default_codec(kind),
        ..RTCRtpEncodingParameters::default()
    }
}
