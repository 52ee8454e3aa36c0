//! The way of a media packet from its publisher to everybody who receives it.

use std::time::{Duration, Instant};

use super::event_loop::EventLoop;
use crate::downlink::{DownlinkEvent, Meter};
use crate::room::{Leg, MediaEvent, Now, SessionId};
use crate::transport::{MediaPacket, Mid, Peer, PeerEvent, Transport};

/// How often receivers learn at which rates tracks arrive.
const METER_EVERY: Duration = Duration::from_millis(250);

/// A published track and where it goes.
#[derive(Default)]
pub(super) struct Route {
    pub(super) legs: Vec<Leg>,
    pub(super) meter: Meter,
}

impl<T: Transport> EventLoop<T> {
    pub(super) fn drain_events(&mut self, now: Now, session: SessionId) {
        while let Some(event) = self.with_peer(session, |peer| peer.poll_event(now.at)).flatten() {
            let event = match event {
                PeerEvent::Media(mid, packet) => {
                    let MediaPacket { layer, sequence, audio_level, .. } = packet;
                    self.rooms.packet(session, mid, layer, sequence, audio_level);
                    self.forward(now, session, mid, &packet);
                    continue;
                }
                PeerEvent::Fates(fates) => {
                    if let Some(live) = self.sessions.touch(session) {
                        live.downlink.reported(now.at, &fates);
                    }
                    continue;
                }
                PeerEvent::KeyframeWanted(mid) => {
                    let live = self.sessions.get(session);
                    let Some(layer) = live.and_then(|live| live.downlink.keyframe_of(mid)) else { continue };
                    MediaEvent::KeyframeWanted(mid, layer)
                }
                PeerEvent::Connected => MediaEvent::Connected,
                PeerEvent::Closed => MediaEvent::Closed,
                PeerEvent::TrackStarted(mid) => MediaEvent::TrackStarted(mid),
                PeerEvent::Data(channel, message) => MediaEvent::Data(channel, message),
            };
            self.rooms.media(now, session, event);
            self.act(now);
        }
    }

    pub(super) fn forward(&mut self, now: Now, session: SessionId, mid: Mid, packet: &MediaPacket) {
        if let Some(relaying) = &mut self.relaying {
            relaying.relay.forward(session, mid, packet);
        }
        let Some(route) = self.routes.get_mut(&(session, mid)) else { return };
        let begins = route.meter.add(now.at, packet.layer, packet.payload.len());
        for leg in &route.legs {
            let Some(live) = self.sessions.touch(leg.session) else { continue };
            if begins {
                live.downlink.arriving(leg.mid, route.meter.rates(now.at));
            }
            let Some(sent) = live.downlink.forward(now.at, leg.mid, packet) else { continue };
            let bytes = sent.payload.len();
            let (sequence, timestamp, payload) = (sent.sequence, sent.timestamp, sent.payload);
            let packet = MediaPacket { sequence, timestamp, payload, ..*packet };
            match live.call(|peer| peer.send_media(now.at, leg.mid, &packet)) {
                Some(true) => {
                    live.downlink.sent(now.at, bytes);
                    self.io.counters.forwarded += 1;
                }
                _ => self.io.counters.not_forwarded += 1,
            }
        }
    }

    /// Tells receivers at which rates arrives what they could get.
    pub(super) fn meter(&mut self, now: Instant) {
        if self.metered_at.is_some_and(|at| now.saturating_duration_since(at) < METER_EVERY) {
            return;
        }
        self.metered_at = Some(now);
        for route in self.routes.values() {
            let rates = route.meter.rates(now);
            for leg in &route.legs {
                if let Some(live) = self.sessions.touch(leg.session) {
                    live.downlink.arriving(leg.mid, rates);
                }
            }
        }
    }

    /// Lets a session choose what it gets, and try what its line carries.
    pub(super) fn run_downlink(&mut self, now: Now, session: SessionId) {
        let Some(live) = self.sessions.touch(session) else { return };
        live.downlink.handle_timeout(now.at);
        let bytes = live.downlink.probe_bytes(now.at);
        if bytes > 0 {
            let sent = live.call(|peer| peer.probe(now.at, bytes)).unwrap_or(0);
            live.downlink.probe_sent(now.at, sent);
            self.io.counters.probe_bytes += u64::try_from(sent).unwrap_or(u64::MAX);
        }
        while let Some(event) = self.sessions.get_mut(session).and_then(|live| live.downlink.poll_event()) {
            let event = match event {
                DownlinkEvent::KeyframeWanted(mid, layer) => MediaEvent::KeyframeWanted(mid, layer),
                DownlinkEvent::Paused(mid, is_paused) => MediaEvent::Paused(mid, is_paused),
            };
            self.rooms.media(now, session, event);
        }
        self.act(now);
    }
}
