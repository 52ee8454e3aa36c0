//! Does what the rooms and the relay decided.

use livekit_protocol::DisconnectReason;
use metrics::counter;
use tracing::{debug, warn};

use super::event_loop::EventLoop;
use super::session::Session;
use crate::room::{Action, Leg, Message, Now, SessionId};
use crate::transport::sdp::{Offer, Section};
use crate::transport::{Description, Layer, MediaKind, Mid, Peer, Transport, TransportError};

impl<T: Transport> EventLoop<T> {
    /// Does what the rooms decided.
    pub(super) fn act(&mut self, now: Now) {
        while let Some(action) = self.rooms.poll_action() {
            match action {
                Action::Signal(session, message) => self.signal(now, session, message),
                Action::Negotiate { session, offer_id, offer, plan } => {
                    let answer = self.negotiate(now, session, &offer, &plan);
                    self.rooms.negotiated(now, session, offer_id, answer);
                }
                Action::Offer { session, offer_id, plan, restart } => {
                    self.open(now, session);
                    let offer = self.offer(now, session, &plan, restart);
                    self.rooms.offered(now, session, offer_id, offer);
                }
                Action::Accept { session, offer_id, answer } => {
                    let accepted = self.accept(now, session, &answer);
                    self.rooms.accepted(now, session, offer_id, accepted);
                    // The client may have begun its handshake before.
                    self.drain_events(now, session);
                }
                Action::Route { session, mid, kind, legs } => self.route(now, (session, mid), kind, legs),
                Action::RequestKeyframe(session, mid, layer) => {
                    self.request_keyframe(now, session, mid, layer);
                }
                Action::SendData(session, channel, message) => {
                    let sent = self.with_peer(session, |peer| peer.send_data(now.at, channel, &message));
                    self.io.counters.data_dropped += u64::from(sent != Some(true));
                }
                Action::Record(happened) => self.recorder.record(happened),
                Action::Receive { node, track, session, mid, most } => {
                    if let Some(relaying) = &mut self.relaying {
                        relaying.relay.receive(&node, track, (session, mid), most);
                    }
                }
                Action::Share(room) => {
                    if let Some(relaying) = &mut self.relaying {
                        relaying.relay.share(now.at, &room, self.rooms.shared(&room));
                    }
                }
                Action::ForgetElsewhere(room) => {
                    if let Some(relaying) = &mut self.relaying {
                        relaying.relay.forget_room(&room);
                    }
                }
                Action::SendElsewhere { room, channel, message, destinations } => {
                    if let Some(relaying) = &mut self.relaying {
                        relaying.relay.send_data(&room, channel, &message, &destinations);
                    }
                }
                Action::Close(session) => self.close(now, session),
            }
        }
    }

    /// Of whoever publishes it, here or at another node.
    fn request_keyframe(&mut self, now: Now, session: SessionId, mid: Mid, layer: Layer) {
        self.io.counters.keyframe_requests += 1;
        let is_here = self.with_peer(session, |peer| peer.request_keyframe(now.at, mid, layer)).is_some();
        if let Some(relaying) = self.relaying.as_mut().filter(|_| !is_here) {
            relaying.relay.want_keyframe(session, mid, layer);
        }
    }

    /// Does what the relay decided, until that leads to nothing more.
    pub(super) fn speak_to_others(&mut self, now: Now) {
        loop {
            self.act(now);
            let Some(relaying) = &mut self.relaying else { return };
            match relaying.next(now, &mut self.rooms) {
                Some((session, mid, packet)) => self.forward(now, session, mid, &packet),
                None if self.rooms.has_actions() => {}
                None => break,
            }
        }
        if let Some(relaying) = &mut self.relaying {
            relaying.relay.flush(now.at);
            // What is said now leads to nothing here.
            let _ = relaying.next(now, &mut self.rooms);
        }
    }

    /// Makes the session's media connection, unless it is there already (it was resumed).
    pub(super) fn open(&mut self, now: Now, session: SessionId) {
        if self.sessions.contains(session) {
            return;
        }
        match self.transport.open(now.at) {
            Ok(peer) => {
                self.sessions.insert(session, Session::new(peer));
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "media connection could not be made");
                self.rooms.abandon(now, session, DisconnectReason::JoinFailure);
            }
        }
    }

    fn signal(&mut self, now: Now, session: SessionId, message: Box<Message>) {
        let Some(live) = self.sessions.get_mut(session) else { return };
        let Some(socket) = &live.socket else { return };
        if socket.messages.try_send(message).is_err() {
            counter!("locum_media_sockets_behind_total").increment(1);
            live.socket = None;
            self.rooms.signal_lost(now, session);
        }
    }

    fn negotiate(&mut self, now: Now, session: SessionId, offer: &Offer, plan: &[Section]) -> Option<String> {
        let answer = self.with_peer(session, |peer| peer.negotiate(now.at, offer, plan))?;
        self.describe(session, answer)
    }

    fn offer(&mut self, now: Now, session: SessionId, plan: &[Section], restart: bool) -> Option<String> {
        let offer = self.with_peer(session, |peer| peer.offer(now.at, plan, restart))?;
        self.describe(session, offer)
    }

    fn accept(&mut self, now: Now, session: SessionId, answer: &Offer) -> bool {
        match self.with_peer(session, |peer| peer.accept(now.at, answer)) {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                counter!("locum_media_offers_refused_total").increment(1);
                debug!(error = &error as &dyn std::error::Error, "answer refused");
                false
            }
            None => false,
        }
    }

    /// What the client is told, once its connectivity checks are expected.
    fn describe(
        &mut self,
        session: SessionId,
        described: Result<Description, TransportError>,
    ) -> Option<String> {
        match described {
            Ok(Description { sdp, ufrag, password }) => {
                self.io.addresses.expect(session, &ufrag, &password);
                Some(sdp)
            }
            Err(error) => {
                counter!("locum_media_offers_refused_total").increment(1);
                debug!(error = &error as &dyn std::error::Error, "offer refused");
                None
            }
        }
    }

    fn route(&mut self, now: Now, source: (SessionId, Mid), kind: MediaKind, legs: Vec<Leg>) {
        let route = self.routes.entry(source).or_default();
        let is_same = |a: &Leg, b: &Leg| (a.session, a.mid) == (b.session, b.mid);
        for leg in &legs {
            let Some(live) = self.sessions.touch(leg.session) else { continue };
            if route.legs.iter().any(|before| is_same(before, leg)) {
                live.downlink.limit(leg.mid, leg.most);
            } else {
                live.downlink.route(leg.mid, kind, leg.most);
                live.downlink.arriving(leg.mid, route.meter.rates(now.at));
            }
        }
        for gone in route.legs.iter().filter(|before| !legs.iter().any(|leg| is_same(before, leg))) {
            if let Some(live) = self.sessions.touch(gone.session) {
                live.downlink.unroute(gone.mid);
            }
        }
        route.legs = legs;
        if route.legs.is_empty() {
            self.routes.remove(&source);
        }
    }

    fn close(&mut self, now: Now, session: SessionId) {
        self.with_peer(session, |peer| peer.close(now.at));
        if let Some(mut live) = self.sessions.remove(session) {
            self.io.send(session, &mut live);
        }
        self.io.addresses.remove(session);
        self.routes.retain(|(publisher, _), _| *publisher != session);
    }
}
