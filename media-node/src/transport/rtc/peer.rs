//! One client's connection.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use ::rtc::data_channel::RTCDataChannelId;
use ::rtc::media_stream::MediaStreamTrack;
use ::rtc::peer_connection::RTCPeerConnection;
use ::rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent, RTCTrackEvent};
use ::rtc::peer_connection::message::RTCMessage;
use ::rtc::peer_connection::sdp::RTCSessionDescription;
use ::rtc::peer_connection::state::RTCPeerConnectionState;
use ::rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use ::rtc::rtp;
use ::rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpHeaderExtensionParameters,
};
use ::rtc::rtp_transceiver::{RTCRtpReceiverId, RTCRtpSenderId, RTCRtpTransceiverDirection, RTCRtpTransceiverId};
use ::rtc::sansio::Protocol as _;
use bytes::{Bytes, BytesMut};
use tracing::debug;

use super::ice::{Credentials, Pair};
use super::layers::Layers;
use super::{backend, engine, feedback};
use crate::transport::sdp::{self, Offer, Section, SectionRole};
use crate::transport::{Answer, Channel, Codec, MediaKind, MediaPacket, Mid, Peer, PeerEvent, TransportError, stun};

/// Bytes a channel may hold for a client that does not take them.
const MAX_OUTSTANDING_RELIABLE: usize = 4 << 20;
const MAX_OUTSTANDING_LOSSY: usize = 64 << 10;

/// Messages kept for a channel that is about to open, some tens of milliseconds.
const MAX_EARLY: usize = 32;

/// SSRCs one section may bring.
const MAX_SSRCS_PER_SECTION: usize = 8;

/// SSRC a node signs its feedback with; nothing is ever sent under it.
const FEEDBACK_SSRC: u32 = 1;

/// A connection on the `rtc` crate.
pub struct RtcPeer {
    connection: RTCPeerConnection,
    pair: Pair,
    /// The client's user name fragment and the node's of the negotiation before.
    ufrags: (String, String),
    sections: HashMap<Mid, PeerSection>,
    publishers: HashMap<u32, Published>,
    layers: Layers,
    /// As the client sent it last.
    offer: Option<Offer>,
    channels: HashMap<Channel, RTCDataChannelId>,
    /// Reliable messages for a client whose channel is not open yet: it is told that it is connected before.
    early: Vec<Bytes>,
    events: VecDeque<PeerEvent>,
    connected: bool,
}

struct PeerSection {
    transceiver: RTCRtpTransceiverId,
    kind: MediaKind,
    sending: Option<Sending>,
}

/// What is sent on a section.
struct Sending {
    track: String,
    ssrc: u32,
    payload_types: Vec<(Codec, u8)>,
    extensions: Extensions,
}

/// What arrives under one SSRC.
struct Published {
    mid: Mid,
    receiver: RTCRtpReceiverId,
    codecs: Vec<(u8, Codec)>,
    extensions: Extensions,
}

/// Negotiated ids of the header extensions that are passed on.
#[derive(Clone, Copy, Default)]
struct Extensions {
    audio_level: Option<u8>,
    orientation: Option<u8>,
}

impl Extensions {
    fn of(negotiated: &[RTCRtpHeaderExtensionParameters]) -> Self {
        let id = |uri: &str| negotiated.iter().find(|e| e.uri == uri).and_then(|e| u8::try_from(e.id).ok());
        Self { audio_level: id(engine::AUDIO_LEVEL_URI), orientation: id(engine::ORIENTATION_URI) }
    }
}

impl RtcPeer {
    pub(super) fn new(connection: RTCPeerConnection, announced: SocketAddr) -> Self {
        Self {
            connection,
            pair: Pair::new(announced),
            ufrags: Default::default(),
            sections: HashMap::new(),
            publishers: HashMap::new(),
            layers: Layers::default(),
            offer: None,
            channels: HashMap::new(),
            early: Vec::new(),
            events: VecDeque::new(),
            connected: false,
        }
    }

    /// Learns of the sections an offer added.
    ///
    /// The backend gives a track to the first section of its kind that has no sender, also to one the client publishes
    /// on. So no section is ever left without: a new one gets an empty sender at once, and then the first without is
    /// always the one meant.
    fn adopt_new_sections(&mut self) -> Result<(), TransportError> {
        let transceivers: Vec<_> = self.connection.get_transceivers().collect();
        for id in transceivers {
            let Some(transceiver) = self.connection.rtp_transceiver(id) else { continue };
            let Some(mid) = transceiver.mid().as_deref().and_then(Mid::parse) else { continue };
            if transceiver.sender().is_none() {
                let kind = self.sections.get(&mid).map(|section| section.kind);
                let Some(kind) = kind else { continue };
                self.set_sender(id, kind, None)?;
            }
            if let Some(section) = self.sections.get_mut(&mid) {
                section.transceiver = id;
            }
        }
        Ok(())
    }

    fn set_sender(
        &mut self,
        id: RTCRtpTransceiverId,
        kind: MediaKind,
        outgoing: Option<(&str, &str, u32)>,
    ) -> Result<(), TransportError> {
        const OPERATION: &str = "set the sender of a section";
        let has_sender = self.connection.rtp_transceiver(id).is_some_and(|t| t.sender().is_some());
        if has_sender {
            self.connection.remove_track(RTCRtpSenderId::from(id)).map_err(backend(OPERATION))?;
        }
        let (stream, track, codings) = match outgoing {
            Some((stream, track, ssrc)) => (stream, track, vec![encoding(kind, ssrc)]),
            None => ("-", "-", Vec::new()),
        };
        let track = MediaStreamTrack::new(
            stream.to_owned(),
            track.to_owned(),
            track.to_owned(),
            engine::codec_kind(kind),
            codings,
        );
        let sender = self.connection.add_track(track).map_err(backend(OPERATION))?;
        if sender != RTCRtpSenderId::from(id) {
            return Err(backend(OPERATION)(std::io::Error::other("the backend chose another section")));
        }
        Ok(())
    }

    fn apply(&mut self, plan: &[Section]) -> Result<(), TransportError> {
        for wanted in plan {
            let Some(section) = self.sections.get(&wanted.mid) else { continue };
            let (id, kind) = (section.transceiver, section.kind);
            let sends = section.sending.as_ref().map(|sending| sending.track.as_str());
            let direction = match &wanted.role {
                SectionRole::Receive => RTCRtpTransceiverDirection::Recvonly,
                SectionRole::Idle => RTCRtpTransceiverDirection::Inactive,
                SectionRole::Send { .. } => RTCRtpTransceiverDirection::Sendonly,
                // The backend has stopped it for good, sender and all.
                SectionRole::Retired => {
                    self.publishers.retain(|_, published| published.mid != wanted.mid);
                    self.sections.entry(wanted.mid).and_modify(|section| section.sending = None);
                    continue;
                }
            };
            match &wanted.role {
                SectionRole::Send { stream, track } if sends != Some(track) => {
                    // A new SSRC for each track: the client starts afresh instead of splicing two streams.
                    let ssrc = random_ssrc()?;
                    self.set_sender(id, kind, Some((stream, track, ssrc)))?;
                    let sending = Sending {
                        track: track.clone(),
                        ssrc,
                        payload_types: Vec::new(),
                        extensions: Extensions::default(),
                    };
                    self.sections.entry(wanted.mid).and_modify(|section| section.sending = Some(sending));
                }
                SectionRole::Receive | SectionRole::Idle if sends.is_some() => {
                    self.set_sender(id, kind, None)?;
                    self.sections.entry(wanted.mid).and_modify(|section| section.sending = None);
                }
                _ => {}
            }
            if let Some(mut transceiver) = self.connection.rtp_transceiver(id) {
                transceiver.set_direction(direction);
            }
        }
        Ok(())
    }

    /// Payload types and extension ids as the client numbers them.
    fn learn_numbers(&mut self) {
        for section in self.sections.values_mut() {
            let Some(sending) = &mut section.sending else { continue };
            let Some(mut sender) = self.connection.rtp_sender(RTCRtpSenderId::from(section.transceiver)) else {
                continue;
            };
            let parameters = &sender.get_parameters().rtp_parameters;
            sending.payload_types = parameters
                .codecs
                .iter()
                .filter_map(|codec| Some((Codec::from_mime(&codec.rtp_codec.mime_type)?, codec.payload_type)))
                .collect();
            sending.extensions = Extensions::of(&parameters.header_extensions);
        }
    }

    fn apply_offer(&mut self, now: Instant, offer: &Offer) -> Result<(), TransportError> {
        let sdp = self.layers.in_offer(&offer.sdp);
        let remote = RTCSessionDescription::offer(sdp).map_err(backend("read the offer"))?;
        self.connection.set_remote_description(now, remote).map_err(backend("apply the offer"))
    }

    fn apply_answer(&mut self, now: Instant) -> Result<(), TransportError> {
        let answer = self.connection.create_answer(None).map_err(backend("make an answer"))?;
        self.connection.set_local_description(now, answer).map_err(backend("apply the answer"))
    }

    /// Negotiates with the backend alone: the client need not know what the node learnt of it.
    fn apply_again(&mut self, now: Instant) -> Result<(), TransportError> {
        let Some(offer) = self.offer.take() else { return Ok(()) };
        let applied = self.apply_offer(now, &offer).and_then(|()| self.apply_answer(now));
        self.offer = Some(offer);
        applied
    }

    fn answer(&mut self, now: Instant, offer: &Offer) -> Result<Answer, TransportError> {
        self.apply_answer(now)?;
        let local = self.connection.local_description().map(|description| description.sdp).unwrap_or_default();
        let credential = |name| sdp::value(&local, name).map(str::to_owned).unwrap_or_default();
        let (ufrag, password) = (credential("a=ice-ufrag:"), credential("a=ice-pwd:"));
        let ufrags = (offer.ufrag.clone(), ufrag.clone());
        if self.ufrags != ufrags {
            let node = Credentials { ufrag: &ufrag, password: &password };
            let client = Credentials { ufrag: &offer.ufrag, password: &offer.password };
            self.pair.select(now, &mut self.connection, &node, &client);
            self.ufrags = ufrags;
        }
        let sdp = self.layers.in_answer(&sdp::without_idle_senders(&local));
        Ok(Answer { sdp, ufrag, password })
    }

    fn on_event(&mut self, now: Instant, event: RTCPeerConnectionEvent) {
        match event {
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(state) => match state {
                RTCPeerConnectionState::Connected if !self.connected => {
                    self.connected = true;
                    self.events.push_back(PeerEvent::Connected);
                }
                RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => {
                    self.events.push_back(PeerEvent::Closed);
                }
                _ => {}
            },
            RTCPeerConnectionEvent::OnTrack(RTCTrackEvent::OnOpen(opened)) => {
                self.on_track(opened.receiver_id, opened.ssrc);
            }
            RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnOpen(id)) => {
                let label = self.connection.data_channel(id).map(|channel| channel.label().to_owned());
                if let Some(channel) = label.as_deref().and_then(Channel::from_label) {
                    self.channels.insert(channel, id);
                    for message in std::mem::take(&mut self.early) {
                        self.send_data(now, Channel::Reliable, &message);
                    }
                }
            }
            RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnClose(id)) => {
                self.channels.retain(|_, known| *known != id);
            }
            _ => {}
        }
    }

    /// Also called again for a known SSRC after each negotiation.
    fn on_track(&mut self, receiver: RTCRtpReceiverId, ssrc: u32) {
        let transceivers: Vec<_> = self.connection.get_transceivers().collect();
        let mid = transceivers.into_iter().find_map(|id| {
            let transceiver = self.connection.rtp_transceiver(id)?;
            (transceiver.receiver() == Some(receiver)).then(|| transceiver.mid().as_deref().and_then(Mid::parse))?
        });
        let Some(mid) = mid else { return };
        let Some(mut handle) = self.connection.rtp_receiver(receiver) else { return };
        let parameters = &handle.get_parameters().rtp_parameters;
        let codecs = parameters
            .codecs
            .iter()
            .filter_map(|codec| Some((codec.payload_type, Codec::from_mime(&codec.rtp_codec.mime_type)?)))
            .collect();
        let extensions = Extensions::of(&parameters.header_extensions);
        // A section has several: a layer, its repair stream, and again after a client restarts its encoder.
        let of_section = self.publishers.values().filter(|published| published.mid == mid).count();
        if of_section >= MAX_SSRCS_PER_SECTION && !self.publishers.contains_key(&ssrc) {
            return;
        }
        let published = Published { mid, receiver, codecs, extensions };
        if self.publishers.insert(ssrc, published).is_none() {
            self.events.push_back(PeerEvent::TrackStarted(mid));
        }
    }

    fn on_message(&mut self, message: RTCMessage) {
        match message {
            RTCMessage::RtpPacket(_, packet) => {
                if let Some(event) = self.on_rtp(packet) {
                    self.events.push_back(event);
                }
            }
            RTCMessage::RtcpPacket(_, parts) => {
                let requests = parts.iter().filter(|part| feedback::wants_keyframe(part.as_ref()));
                for ssrc in requests.flat_map(|part| part.destination_ssrc()) {
                    let section = self.sections.iter().find(|(_, section)| {
                        section.sending.as_ref().is_some_and(|sending| sending.ssrc == ssrc)
                    });
                    if let Some((mid, _)) = section {
                        self.events.push_back(PeerEvent::KeyframeWanted(*mid));
                    }
                }
            }
            RTCMessage::DataChannelMessage(id, message) => {
                let channel = self.channels.iter().find(|(_, known)| **known == id).map(|(channel, _)| *channel);
                if let Some(channel) = channel {
                    self.events.push_back(PeerEvent::Data(channel, message.data.freeze()));
                }
            }
            _ => {}
        }
    }

    fn on_rtp(&self, packet: rtp::Packet) -> Option<PeerEvent> {
        let published = self.publishers.get(&packet.header.ssrc)?;
        let codec = published.codecs.iter().find(|(payload_type, _)| *payload_type == packet.header.payload_type)?.1;
        // One byte each, in their one-byte form (RFC 8285 §4.2).
        let extension = |id: Option<u8>| packet.header.get_extension(id?)?.first().copied();
        let media = MediaPacket {
            codec,
            sequence: packet.header.sequence_number,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            audio_level: extension(published.extensions.audio_level),
            orientation: extension(published.extensions.orientation),
            payload: packet.payload,
        };
        Some(PeerEvent::Media(published.mid, media))
    }
}

impl Peer for RtcPeer {
    fn negotiate(&mut self, now: Instant, offer: &Offer, plan: &[Section]) -> Result<Answer, TransportError> {
        let mut placeholders = Vec::new();
        for _ in &offer.sections {
            placeholders.push(random_ssrc()?);
        }
        self.layers.take(offer, || placeholders.pop().unwrap_or_default());
        self.offer = Some(offer.clone());
        self.apply_offer(now, offer)?;
        for section in plan {
            self.sections.entry(section.mid).or_insert(PeerSection {
                transceiver: RTCRtpTransceiverId::MAX,
                kind: section.kind,
                sending: None,
            });
        }
        self.adopt_new_sections()?;
        self.apply(plan)?;
        let answer = self.answer(now, offer)?;
        self.learn_numbers();
        Ok(answer)
    }

    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        if self.layers.learn(datagram)
            && let Err(error) = self.apply_again(now)
        {
            debug!(error = &error as &dyn std::error::Error, "layer not applied");
            self.events.push_back(PeerEvent::Closed);
        }
        // The backend reports nothing here that is not also an event.
        let _ = self.connection.handle_read(self.pair.received(now, datagram));
    }

    fn handle_timeout(&mut self, now: Instant) {
        let _ = self.connection.handle_timeout(now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    fn poll_datagram(&mut self) -> Option<BytesMut> {
        loop {
            let datagram = self.connection.poll_write()?.message;
            // What is left of the backend's own ICE has nobody to talk to.
            if !stun::is_stun(&datagram) {
                return Some(datagram);
            }
        }
    }

    fn poll_event(&mut self, now: Instant) -> Option<PeerEvent> {
        while self.events.is_empty() {
            let message = self.connection.poll_read();
            // A track opens with the packet that follows it, so events come first.
            while let Some(event) = self.connection.poll_event() {
                self.on_event(now, event);
            }
            match message {
                Some(tagged) => self.on_message(tagged.message),
                None => break,
            }
        }
        self.events.pop_front()
    }

    fn send_media(&mut self, now: Instant, mid: Mid, packet: &MediaPacket) -> bool {
        let Some(section) = self.sections.get(&mid) else { return false };
        let Some(sending) = section.sending.as_ref().filter(|_| self.connected) else { return false };
        let Some((_, payload_type)) = sending.payload_types.iter().find(|(codec, _)| *codec == packet.codec) else {
            return false;
        };
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
                let _ = header.set_extension(id, Bytes::copy_from_slice(&[value]));
            }
        }
        let packet = rtp::Packet { header, payload: packet.payload.clone() };
        let sender = self.connection.rtp_sender(RTCRtpSenderId::from(section.transceiver));
        sender.is_some_and(|mut sender| sender.write_rtp(now, packet).is_ok())
    }

    fn request_keyframe(&mut self, now: Instant, mid: Mid) {
        for (ssrc, published) in self.publishers.iter().filter(|(_, published)| published.mid == mid) {
            if let Some(mut receiver) = self.connection.rtp_receiver(published.receiver) {
                let request = PictureLossIndication { sender_ssrc: FEEDBACK_SSRC, media_ssrc: *ssrc };
                let _ = receiver.write_rtcp(now, vec![Box::new(request)]);
            }
        }
    }

    fn send_data(&mut self, now: Instant, channel: Channel, message: &Bytes) -> bool {
        if channel == Channel::Reliable && !self.channels.contains_key(&channel) && self.early.len() < MAX_EARLY {
            self.early.push(message.clone());
            return true;
        }
        let limit = match channel {
            Channel::Reliable => MAX_OUTSTANDING_RELIABLE,
            Channel::Lossy => MAX_OUTSTANDING_LOSSY,
        };
        let Some(mut handle) = self.channels.get(&channel).and_then(|id| self.connection.data_channel(*id)) else {
            return false;
        };
        handle.outstanding_bytes() + message.len() <= limit && handle.send(now, BytesMut::from(&message[..])).is_ok()
    }

    fn close(&mut self, _now: Instant) {
        let _ = self.connection.close();
    }
}

fn encoding(kind: MediaKind, ssrc: u32) -> RTCRtpEncodingParameters {
    RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..RTCRtpCodingParameters::default() },
        codec: engine::default_codec(kind),
        ..RTCRtpEncodingParameters::default()
    }
}

fn random_ssrc() -> Result<u32, TransportError> {
    getrandom::u32().map_err(backend("draw an SSRC"))
}
