//! One client's connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ::rtc::peer_connection::RTCPeerConnection;
use ::rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent, RTCTrackEvent};
use ::rtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use ::rtc::peer_connection::sdp::RTCSessionDescription;
use ::rtc::peer_connection::state::RTCPeerConnectionState;
use ::rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use ::rtc::sansio::Protocol as _;
use bytes::{Bytes, BytesMut};
use tracing::debug;

use super::channels::Channels;
use super::ice::{Credentials, Pair};
use super::layers::Layers;
use super::outgoing::Outgoing;
use super::published::Published;
use super::sections::Sections;
use super::{backend, feedback};
use crate::transport::sdp::{self, Offer, Section, SectionRole};
use crate::transport::{
    Channel, Description, Layer, MediaPacket, Mid, Peer, PeerEvent, TransportError, stun,
};

/// SSRC a node signs its feedback with; nothing is ever sent under it.
const FEEDBACK_SSRC: u32 = 1;

/// Datagrams kept of a client that is faster than its answer: the start of its handshake.
const MAX_EARLY: usize = 8;

/// A connection on the `rtc` crate.
pub struct RtcPeer {
    connection: RTCPeerConnection,
    pair: Pair,
    /// What clients are told, in place of what the backend would tell.
    candidates: Arc<[String]>,
    /// The client's user name fragment and the node's of the negotiation before.
    ufrags: (String, String),
    sections: Sections,
    published: Published,
    layers: Layers,
    outgoing: Outgoing,
    /// As the client sent it last.
    offer: Option<Offer>,
    channels: Channels,
    events: VecDeque<PeerEvent>,
    connected: bool,
    /// Both sides' descriptions are applied.
    negotiated: bool,
    early: Vec<BytesMut>,
}

impl RtcPeer {
    pub(super) fn new(
        connection: RTCPeerConnection,
        address: SocketAddr,
        candidates: Arc<[String]>,
        outgoing: Outgoing,
    ) -> Self {
        Self {
            connection,
            pair: Pair::new(address),
            candidates,
            ufrags: Default::default(),
            sections: Sections::new(outgoing.clone()),
            published: Published::default(),
            layers: Layers::default(),
            outgoing,
            offer: None,
            channels: Channels::default(),
            events: VecDeque::new(),
            connected: false,
            negotiated: false,
            early: Vec::new(),
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

    fn tell_layers(&mut self, now: Instant) {
        if self.layers.is_due(now)
            && let Err(error) = self.apply_again(now)
        {
            debug!(error = &error as &dyn std::error::Error, "layer not applied");
            self.events.push_back(PeerEvent::Closed);
        }
    }

    fn answer(&mut self, now: Instant, offer: &Offer) -> Result<Description, TransportError> {
        self.apply_answer(now)?;
        let mut local = self.local();
        self.select(now, &local, offer);
        local.sdp = self.layers.in_answer(&local.sdp);
        Ok(local)
    }

    /// The node's last description.
    fn local(&self) -> Description {
        let local = self.connection.local_description().map(|local| local.sdp).unwrap_or_default();
        let credential = |name| sdp::value(&local, name).map(str::to_owned).unwrap_or_default();
        let (ufrag, password) = (credential("a=ice-ufrag:"), credential("a=ice-pwd:"));
        let local = sdp::with_candidates(&local, &self.candidates);
        Description { sdp: sdp::without_idle_senders(&local), ufrag, password }
    }

    /// Both sides' credentials are known, and may be new.
    fn select(&mut self, now: Instant, local: &Description, remote: &Offer) {
        let ufrags = (remote.ufrag.clone(), local.ufrag.clone());
        if self.ufrags != ufrags {
            let node = Credentials { ufrag: &local.ufrag, password: &local.password };
            let client = Credentials { ufrag: &remote.ufrag, password: &remote.password };
            self.pair.select(now, &mut self.connection, &node, &client);
            self.ufrags = ufrags;
        }
    }

    fn has_negotiated(&mut self, now: Instant) {
        self.sections.learn_numbers(&mut self.connection);
        self.negotiated = true;
        for datagram in std::mem::take(&mut self.early) {
            self.handle_datagram(now, &datagram);
        }
    }

    fn on_event(&mut self, now: Instant, event: RTCPeerConnectionEvent) {
        match event {
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(RTCPeerConnectionState::Connected)
                if !self.connected =>
            {
                self.connected = true;
                self.events.push_back(PeerEvent::Connected);
            }
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(
                RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed,
            ) => self.events.push_back(PeerEvent::Closed),
            RTCPeerConnectionEvent::OnTrack(RTCTrackEvent::OnOpen(track)) => {
                let opened =
                    self.published.open(&mut self.connection, &self.layers, track.receiver_id, track.ssrc);
                self.events.extend(opened.map(PeerEvent::TrackStarted));
            }
            RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnOpen(id)) => {
                self.channels.open(now, &mut self.connection, id);
            }
            RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnClose(id)) => {
                self.channels.close(id)
            }
            _ => {}
        }
    }

    fn on_message(&mut self, message: RTCMessage) {
        match message {
            RTCMessage::RtpPacket(_, packet) => {
                let media = self.published.packet(packet);
                self.events.extend(media.map(|(mid, packet)| PeerEvent::Media(mid, packet)));
            }
            RTCMessage::RtcpPacket(_, parts) => {
                let requests = parts.iter().filter(|part| feedback::wants_keyframe(part.as_ref()));
                let ssrcs = requests.flat_map(|part| part.destination_ssrc());
                let mids = ssrcs.filter_map(|ssrc| self.sections.by_ssrc(ssrc));
                self.events.extend(mids.map(PeerEvent::KeyframeWanted));
            }
            RTCMessage::DataChannelMessage(id, message) => {
                let channel = self.channels.purpose(id);
                let data = message.data.freeze();
                self.events.extend(channel.map(|channel| PeerEvent::Data(channel, data)));
            }
            _ => {}
        }
    }
}

impl Peer for RtcPeer {
    fn negotiate(
        &mut self,
        now: Instant,
        offer: &Offer,
        plan: &[Section],
    ) -> Result<Description, TransportError> {
        self.layers.take(offer)?;
        self.offer = Some(offer.clone());
        self.apply_offer(now, offer)?;
        let plan: Vec<Section> = plan.iter().cloned().chain(self.layers.sections(plan)).collect();
        self.sections.plan(&mut self.connection, &plan)?;
        for retired in plan.iter().filter(|section| section.role == SectionRole::Retired) {
            self.published.close(retired.mid);
        }
        let answer = self.answer(now, offer)?;
        self.has_negotiated(now);
        Ok(answer)
    }

    fn offer(
        &mut self,
        now: Instant,
        plan: &[Section],
        restart: bool,
    ) -> Result<Description, TransportError> {
        self.channels.create(&mut self.connection)?;
        self.sections.offer(&mut self.connection, plan)?;
        if restart && self.negotiated {
            self.connection.restart_ice();
        }
        let offer = self.connection.create_offer(None).map_err(backend("make an offer"))?;
        self.connection.set_local_description(now, offer).map_err(backend("apply the node's offer"))?;
        Ok(self.local())
    }

    fn accept(&mut self, now: Instant, answer: &Offer) -> Result<(), TransportError> {
        let remote =
            RTCSessionDescription::answer(answer.sdp.clone()).map_err(backend("read the client's answer"))?;
        let applied = self.connection.set_remote_description(now, remote);
        applied.map_err(backend("apply the client's answer"))?;
        let local = self.local();
        self.select(now, &local, answer);
        self.has_negotiated(now);
        Ok(())
    }

    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) {
        // The backend would drop it, and the client sends its next after a second.
        if !self.negotiated {
            if self.early.len() < MAX_EARLY {
                self.early.push(datagram.into());
            }
            return;
        }
        self.layers.learn(datagram);
        self.tell_layers(now);
        // The backend reports nothing here that is not also an event.
        let _ = self.connection.handle_read(self.pair.received(now, datagram));
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.tell_layers(now);
        let _ = self.connection.handle_timeout(now);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.connection.poll_timeout().into_iter().chain(self.layers.poll_timeout()).min()
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
            let mut message = self.connection.poll_read();
            // A track opens with the packet that follows it, so events come first.
            while let Some(event) = self.connection.poll_event() {
                self.on_event(now, event);
            }
            if message.is_none() {
                break;
            }
            // All that waits: to ask for each would send the backend through all its layers each time.
            while let Some(tagged) = message {
                self.on_message(tagged.message);
                message = self.connection.poll_media_read();
            }
        }
        if self.events.is_empty() {
            let fates = self.outgoing.take_fates();
            self.events.extend((!fates.is_empty()).then_some(PeerEvent::Fates(fates)));
        }
        self.events.pop_front()
    }

    fn send_media(&mut self, now: Instant, mid: Mid, packet: &MediaPacket) -> bool {
        // Before keys are agreed the backend would queue what nobody will want later.
        let Some(packet) = self.sections.packet(mid, packet).filter(|_| self.connected) else { return false };
        // Past the sender, which would check for each packet what was learnt from it at the negotiation. Nobody reads
        // the track's name on the way out.
        let message = RTCMessage::RtpPacket(String::new(), packet);
        self.connection.handle_write(TaggedRTCMessage { now, message }).is_ok()
    }

    fn request_keyframe(&mut self, now: Instant, mid: Mid, layer: Layer) {
        for (id, media_ssrc) in self.published.of_layer(mid, layer) {
            if let Some(mut receiver) = self.connection.rtp_receiver(id) {
                let request = PictureLossIndication { sender_ssrc: FEEDBACK_SSRC, media_ssrc };
                let _ = receiver.write_rtcp(now, vec![Box::new(request)]);
            }
        }
    }

    fn probe(&mut self, now: Instant, bytes: usize) -> usize {
        if self.connected { self.outgoing.fill(now, bytes) } else { 0 }
    }

    fn send_data(&mut self, now: Instant, channel: Channel, message: &Bytes) -> bool {
        self.channels.send(now, &mut self.connection, channel, message)
    }

    fn close(&mut self, _now: Instant) {
        let _ = self.connection.close();
    }
}
