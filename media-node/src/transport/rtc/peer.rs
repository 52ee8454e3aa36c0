//! One client's connection.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ::rtc::crypto::RTCCryptoProvider as _;
use ::rtc::peer_connection::RTCPeerConnection;
use ::rtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent};
use ::rtc::peer_connection::message::RTCMessage;
use ::rtc::peer_connection::sdp::RTCSessionDescription;
use ::rtc::peer_connection::state::RTCPeerConnectionState;
use ::rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use ::rtc::rtp;
use ::rtc::sansio::Protocol as _;
use bytes::{Bytes, BytesMut};

use super::backend;
use super::channels::Channels;
use super::feedback::{self, Feedback};
use super::ice::{Credentials, Pair};
use super::keys::Provider;
use super::layers::Layers;
use super::outgoing::Outgoing;
use super::protection::{Opened, Parts, Protection, is_media};
use super::published::Published;
use super::sections::Sections;
use crate::transport::sdp::{self, Offer, Section, SectionRole};
use crate::transport::{
    Channel, Description, Layer, MediaPacket, Mid, Peer, PeerEvent, TransportError, stun,
};

/// SSRC a node signs its feedback with; nothing is ever sent under it.
const FEEDBACK_SSRC: u32 = 1;

/// Datagrams kept of a client that is faster than its answer: the start of its handshake.
const MAX_EARLY: usize = 8;

/// A connection on the `rtc` crate, past which media goes.
pub struct RtcPeer {
    connection: RTCPeerConnection,
    /// What of the connection may have changed since it was last asked.
    stirred: Stirred,
    /// When the connection wants to be called, when it was last asked.
    backend_timeout: Option<Instant>,
    crypto: Arc<Provider>,
    /// Once keys are agreed.
    protection: Option<Protection>,
    feedback: Feedback,
    /// For the client, sealed.
    datagrams: VecDeque<BytesMut>,
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

/// Each question goes through all layers of the backend, so none is asked without need.
#[derive(Clone, Copy)]
struct Stirred {
    events: bool,
    datagrams: bool,
    timeout: bool,
}

impl Stirred {
    const ALL: Self = Self { events: true, datagrams: true, timeout: true };
}

impl RtcPeer {
    pub(super) fn new(
        connection: RTCPeerConnection,
        crypto: Arc<Provider>,
        address: SocketAddr,
        candidates: Arc<[String]>,
    ) -> Self {
        Self {
            connection,
            stirred: Stirred::ALL,
            backend_timeout: None,
            crypto,
            protection: None,
            feedback: Feedback::default(),
            datagrams: VecDeque::new(),
            pair: Pair::new(address),
            candidates,
            ufrags: Default::default(),
            sections: Sections::default(),
            published: Published::default(),
            layers: Layers::default(),
            outgoing: Outgoing::default(),
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
        self.sections.learn_numbers(&mut self.connection, &mut self.outgoing, &mut self.feedback);
        if let Some(offer) = &self.offer {
            self.published.negotiated(&mut self.connection, offer);
        }
        self.stirred = Stirred::ALL;
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
                let keys = self.crypto.take();
                self.protection = keys.and_then(|keys| Protection::new(keys, self.crypto.crypto()));
                self.events.push_back(PeerEvent::Connected);
            }
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(
                RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed,
            ) => self.events.push_back(PeerEvent::Closed),
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
        if let RTCMessage::DataChannelMessage(id, message) = message {
            let channel = self.channels.purpose(id);
            let data = message.data.freeze();
            self.events.extend(channel.map(|channel| PeerEvent::Data(channel, data)));
        }
    }

    /// What the backend has to say.
    fn poll_backend(&mut self, now: Instant) {
        while std::mem::take(&mut self.stirred.events) {
            let message = self.connection.poll_read();
            while let Some(event) = self.connection.poll_event() {
                self.on_event(now, event);
            }
            if let Some(tagged) = message {
                self.on_message(tagged.message);
                self.stirred = Stirred::ALL;
            }
        }
    }

    fn media(&mut self, now: Instant, datagram: &[u8]) {
        // The backend derives keys when it is asked what happened.
        self.poll_backend(now);
        let Some(protection) = &mut self.protection else { return };
        match protection.open(self.crypto.crypto(), datagram) {
            Some(Opened::Rtp(packet)) => self.on_packet(now, packet),
            Some(Opened::Rtcp(parts)) => self.on_feedback(now, parts),
            None => {}
        }
    }

    fn on_packet(&mut self, now: Instant, packet: rtp::Packet) {
        if let Some(begun) = self.published.begin(&mut self.layers, &packet.header)
            && let Some(stream) = begun.stream
        {
            self.feedback.receives(&stream);
            self.events.push_back(PeerEvent::TrackStarted(begun.mid));
        }
        let Some(packet) = self.feedback.arrived(now, packet) else { return };
        let Some(packet) = self.published.original(packet) else { return };
        let Some(packet) = self.feedback.received(now, packet) else { return };
        let media = self.published.packet(packet);
        self.events.extend(media.map(|(mid, packet)| PeerEvent::Media(mid, packet)));
    }

    fn on_feedback(&mut self, now: Instant, parts: Parts) {
        self.outgoing.hear(now, &parts);
        self.send_repeated();
        let Some(parts) = self.feedback.told(now, parts) else { return };
        let requests = parts.iter().filter(|part| feedback::wants_keyframe(part.as_ref()));
        let ssrcs = requests.flat_map(|part| part.destination_ssrc());
        let mids = ssrcs.filter_map(|ssrc| self.sections.by_ssrc(ssrc));
        self.events.extend(mids.map(PeerEvent::KeyframeWanted));
    }

    fn send_repeated(&mut self) {
        while let Some(packet) = self.outgoing.poll_repeated() {
            self.send(&packet);
        }
    }

    fn send(&mut self, packet: &rtp::Packet) -> bool {
        let sealed = self.protection.as_mut().and_then(|protection| protection.seal(packet));
        let is_sent = sealed.is_some();
        self.datagrams.extend(sealed);
        is_sent
    }

    fn tell(&mut self, parts: &Parts) {
        let sealed = self.protection.as_mut().and_then(|protection| protection.seal_rtcp(parts));
        self.datagrams.extend(sealed);
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
        self.sections.plan(&mut self.connection, plan)?;
        for retired in plan.iter().filter(|section| section.role == SectionRole::Retired) {
            for ssrc in self.published.close(retired.mid) {
                self.feedback.receives_no_more(ssrc);
            }
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
        self.stirred = Stirred::ALL;
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
        if is_media(datagram) {
            return self.media(now, datagram);
        }
        // The backend reports nothing here that is not also an event.
        let _ = self.connection.handle_read(self.pair.received(now, datagram));
        self.stirred = Stirred::ALL;
    }

    fn handle_timeout(&mut self, now: Instant) {
        for parts in self.feedback.handle_timeout(now) {
            self.tell(&parts);
        }
        if self.stirred.timeout || self.backend_timeout.is_some_and(|at| at <= now) {
            let _ = self.connection.handle_timeout(now);
            self.stirred = Stirred::ALL;
        }
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        if std::mem::take(&mut self.stirred.timeout) {
            self.backend_timeout = self.connection.poll_timeout();
        }
        self.backend_timeout.into_iter().chain(self.feedback.poll_timeout()).min()
    }

    fn poll_datagram(&mut self) -> Option<BytesMut> {
        if let Some(datagram) = self.datagrams.pop_front() {
            return Some(datagram);
        }
        while self.stirred.datagrams {
            match self.connection.poll_write() {
                // What is left of the backend's own ICE has nobody to talk to.
                Some(datagram) if stun::is_stun(&datagram.message) => {}
                Some(datagram) => return Some(datagram.message),
                None => self.stirred.datagrams = false,
            }
        }
        None
    }

    fn poll_event(&mut self, now: Instant) -> Option<PeerEvent> {
        if self.events.is_empty() {
            self.poll_backend(now);
        }
        if self.events.is_empty() {
            let fates = self.outgoing.take_fates();
            self.events.extend((!fates.is_empty()).then_some(PeerEvent::Fates(fates)));
        }
        self.events.pop_front()
    }

    fn send_media(&mut self, now: Instant, mid: Mid, packet: &MediaPacket) -> bool {
        let Some(packet) = self.sections.packet(mid, packet).filter(|_| self.protection.is_some()) else {
            return false;
        };
        let packet = self.outgoing.leave(now, packet);
        self.feedback.sent(now, packet).is_some_and(|packet| self.send(&packet))
    }

    fn request_keyframe(&mut self, _now: Instant, mid: Mid, layer: Layer) {
        for media_ssrc in self.published.of_layer(mid, layer).collect::<Vec<_>>() {
            let request = PictureLossIndication { sender_ssrc: FEEDBACK_SSRC, media_ssrc };
            self.tell(&vec![Box::new(request)]);
        }
    }

    fn probe(&mut self, now: Instant, bytes: usize) -> usize {
        if self.protection.is_none() {
            return 0;
        }
        let filled = self.outgoing.fill(now, bytes);
        self.send_repeated();
        filled
    }

    fn send_data(&mut self, now: Instant, channel: Channel, message: &Bytes) -> bool {
        self.stirred = Stirred::ALL;
        self.channels.send(now, &mut self.connection, channel, message)
    }

    fn close(&mut self, _now: Instant) {
        self.stirred = Stirred::ALL;
        let _ = self.connection.close();
    }
}
