//! The loop: datagrams in, decisions, datagrams out.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use livekit_protocol::DisconnectReason;
use metrics::counter;
use mio::{Events, Poll, Token, Waker};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::counters::Gauges;
use super::probes::Probes;
use super::relaying::{Arrivals, RelayEvent, Relaying};
use super::session::{Outbox, Sending, Session};
use super::{Attached, Command, ConnectionId, MAX_OUTBOX};
use crate::downlink::{DownlinkEvent, Meter};
use crate::events::Recorder;
use crate::room::{Action, JoinError, Joining, Leg, MediaEvent, Message, Now, Rooms, SessionId};
use crate::transport::datagrams::Inbound;
use crate::transport::links::{Chunk, Link, Links, More, Via};
use crate::transport::sdp::{Offer, Section};
use crate::transport::{
    Description, Layer, MediaKind, MediaPacket, Mid, Peer, PeerEvent, Transport, TransportError, stun,
};

const WAKER: Token = Token(0);
/// From here on sockets and streams.
const FIRST_LINK: usize = 1;

/// Batches read from a socket before timers and commands get their turn.
const MAX_BATCHES: usize = 8;

/// Reads from a TCP connection before the others get their turn.
const MAX_READS: usize = 4;

/// Timers closer together are served together: a backend would otherwise wake the loop for each.
const TIMER_GRAIN: Duration = Duration::from_millis(5);

/// How often receivers learn at which rates tracks arrive.
const METER_EVERY: Duration = Duration::from_millis(250);

/// Longest sleep; deadlines further away than this are no reason for precision.
const MAX_SLEEP: Duration = Duration::from_secs(1);

pub(super) struct EventLoop<T: Transport> {
    poll: Poll,
    inbox: mpsc::Receiver<Command>,
    inbound: Inbound,
    chunk: Chunk,
    io: Sending,
    transport: T,
    rooms: Rooms,
    recorder: Recorder,
    sessions: HashMap<SessionId, Session<T::Peer>>,
    probes: Probes<T::Peer>,
    /// Where media goes, by publisher and section.
    routes: HashMap<(SessionId, Mid), Route>,
    metered_at: Option<Instant>,
    next_connection: u64,
    session_count: Arc<AtomicU32>,
    arrivals: Arc<Arrivals>,
    relaying: Option<Relaying>,
}

/// A published track and where it goes.
#[derive(Default)]
struct Route {
    legs: Vec<Leg>,
    meter: Meter,
}

impl<T: Transport> EventLoop<T> {
    pub(super) fn new(
        sockets: Vec<UdpSocket>,
        transport: T,
        (rooms, recorder): (Rooms, Recorder),
        inbox: mpsc::Receiver<Command>,
        (session_count, arrivals): (Arc<AtomicU32>, Arc<Arrivals>),
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let links = Links::new(sockets, poll.registry().try_clone()?, FIRST_LINK)?;
        let event_loop = Self {
            poll,
            inbox,
            inbound: Inbound::default(),
            chunk: Chunk::default(),
            io: Sending::new(links),
            transport,
            rooms,
            recorder,
            sessions: HashMap::new(),
            probes: Probes::default(),
            routes: HashMap::new(),
            metered_at: None,
            next_connection: 0,
            session_count,
            arrivals,
            relaying: None,
        };
        Ok((event_loop, waker))
    }

    /// Runs until told to stop.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        loop {
            let sleep = if self.io.links.more_waits() { Duration::ZERO } else { self.sleep() };
            match self.poll.poll(&mut events, Some(sleep)) {
                Ok(()) => self.io.links.woken(&events, FIRST_LINK),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            let now = now();
            self.receive(now)?;
            self.read_streams(now);
            while let Ok(command) = self.inbox.try_recv() {
                if matches!(command, Command::Stop) {
                    return Ok(());
                }
                self.command(now, command);
            }
            if let Some(relaying) = &mut self.relaying {
                relaying.arrived(now, &self.arrivals);
            }
            self.run_timers(now);
            self.abandon_broken(now);
            self.probes.end_old(now.at);
            self.speak_to_others(now);
            self.flush(now);
            self.close_left();
            let sessions = self.rooms.session_count();
            self.session_count.store(u32::try_from(sessions).unwrap_or(u32::MAX), Ordering::Relaxed);
            let gauges = Gauges {
                sessions,
                rooms: self.rooms.room_count(),
                addresses: self.io.addresses.len(),
                streams: self.io.links.stream_count(),
            };
            let published = self.io.counters.publish(now.at, &gauges);
            if let Some(relaying) = self.relaying.as_ref().filter(|_| published) {
                relaying.publish();
            }
        }
    }

    fn sleep(&self) -> Duration {
        let next = self
            .sessions
            .values()
            .filter_map(|session| session.next_timeout)
            .chain(self.rooms.poll_timeout())
            .chain(self.relaying.as_ref().and_then(|relaying| relaying.relay.poll_timeout()));
        next.min().map_or(MAX_SLEEP, |at| at.saturating_duration_since(Instant::now()).min(MAX_SLEEP))
    }

    /// Reads what waits at the sockets, or some of it.
    fn receive(&mut self, now: Now) -> io::Result<()> {
        let mut inbound = std::mem::take(&mut self.inbound);
        for socket in 0..self.io.links.socket_count() {
            let via = Via::Socket(socket);
            for _ in 0..MAX_BATCHES {
                if !self.io.links.is_readable(socket) {
                    break;
                }
                self.io.links.receive(socket, &mut inbound)?;
                for (remote, datagram) in inbound.iter() {
                    self.datagram(now, Link { via, remote }, datagram);
                }
                self.flush(now);
            }
        }
        self.inbound = inbound;
        Ok(())
    }

    /// Reads what waits at the TCP connections, or some of it.
    fn read_streams(&mut self, now: Now) {
        let mut chunk = std::mem::take(&mut self.chunk);
        for (stream, remote) in self.io.links.take_readable_streams() {
            let link = Link { via: Via::Stream(stream), remote };
            let mut more = More::Waits;
            for _ in 0..MAX_READS {
                more = self.io.links.read(stream, &mut chunk);
                for packet in chunk.iter() {
                    self.datagram(now, link, packet);
                }
                if more != More::Waits {
                    break;
                }
            }
            match more {
                More::Waits => self.io.links.reads_on(stream, remote),
                More::Later => {}
                More::Never => {
                    self.io.addresses.lost(link);
                    self.io.links.close(link);
                }
            }
        }
        self.flush(now);
        self.chunk = chunk;
    }

    /// Ends TCP connections that belong to no session any more. After a flush: the last packet was still theirs.
    fn close_left(&mut self) {
        while let Some(link) = self.io.addresses.poll_left() {
            self.io.links.close(link);
        }
    }

    /// A connection whose first packet is a check. It stays if the check is a client's.
    fn take_stream(&mut self, now: Now, stream: TcpStream, remote: SocketAddr, first: &[u8]) {
        let Ok(link) = self.io.links.add(stream, remote) else { return };
        self.datagram(now, link, first);
        if self.io.addresses.session(link).is_none() {
            self.io.links.close(link);
        }
    }

    pub(super) fn datagram(&mut self, now: Now, from: Link, datagram: &[u8]) {
        self.io.counters.received += 1;
        if stun::is_stun(datagram) {
            match self.io.addresses.check(from, datagram) {
                Some(checked) => {
                    self.io.counters.checks += 1;
                    self.io.push(from, checked.reply.as_slice().into());
                    self.rooms.media(now, checked.session, MediaEvent::Heard);
                }
                None => self.probe_check(now, from, datagram),
            }
            return;
        }
        match self.io.addresses.session(from) {
            Some(session) => {
                self.with_peer(session, |peer| peer.handle_datagram(now.at, datagram));
                self.drain_events(now, session);
            }
            None => self.probe_handshake(now, from, datagram),
        }
    }

    fn probe_check(&mut self, now: Now, from: Link, datagram: &[u8]) {
        match self.probes.check(now.at, from, datagram, &mut self.transport) {
            Some(answer) => {
                self.io.counters.probes += 1;
                self.io.push(from, answer.as_slice().into());
            }
            None => self.io.counters.strangers += 1,
        }
    }

    fn probe_handshake(&mut self, now: Now, from: Link, datagram: &[u8]) {
        let Some(answers) = self.probes.handshake(now.at, from, datagram) else {
            self.io.counters.strangers += 1;
            return;
        };
        for answer in answers {
            self.io.push(from, answer);
        }
    }

    fn command(&mut self, now: Now, command: Command) {
        match command {
            Command::Join { joining, reply } => {
                let answer = self.join(now, *joining);
                if let Err(Ok(attached)) = reply.send(answer) {
                    self.detach(now, attached.session, attached.connection);
                }
            }
            Command::Request { session, connection, request } => {
                if self.is_current(session, connection) {
                    self.rooms.request(now, session, *request);
                }
            }
            Command::Detach { session, connection } => self.detach(now, session, connection),
            Command::TakeStream { stream, remote, first } => self.take_stream(now, stream, remote, &first),
            Command::Drain => self.rooms.drain(now),
            Command::TakeIn => self.rooms.take_in(now),
            Command::PutOut(revoked) => {
                let put_out = self.rooms.put_out(now, &revoked);
                counter!("locum_media_put_out_total").increment(put_out);
            }
            Command::AnswerProbes { ufrag, password } => self.probes.expect(ufrag, &password),
            Command::Relay(RelayEvent::Begin(relay, links)) => {
                self.relaying = Some(Relaying::new(*relay, *links));
            }
            Command::Relay(event) => {
                if let Some(relaying) = &mut self.relaying {
                    relaying.event(now, event);
                }
            }
            Command::Stop => {}
        }
        self.act(now);
    }

    pub(super) fn join(&mut self, now: Now, joining: Joining) -> Result<Attached, JoinError> {
        let session = self.rooms.join(now, joining)?;
        self.next_connection += 1;
        let connection = ConnectionId(self.next_connection);
        let (messages, outbox) = mpsc::channel(MAX_OUTBOX);
        self.open(now, session);
        if let Some(live) = self.sessions.get_mut(&session) {
            // A socket before it is closed by that: its outbox ends.
            live.socket = Some(Outbox { connection, messages });
        }
        self.act(now);
        Ok(Attached { session, connection, outbox })
    }

    /// Makes the session's media connection, unless it is there already (it was resumed).
    fn open(&mut self, now: Now, session: SessionId) {
        if self.sessions.contains_key(&session) {
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

    fn detach(&mut self, now: Now, session: SessionId, connection: ConnectionId) {
        if self.is_current(session, connection) {
            if let Some(live) = self.sessions.get_mut(&session) {
                live.socket = None;
            }
            self.rooms.signal_lost(now, session);
        }
    }

    fn is_current(&self, session: SessionId, connection: ConnectionId) -> bool {
        let socket = self.sessions.get(&session).and_then(|live| live.socket.as_ref());
        socket.is_some_and(|socket| socket.connection == connection)
    }

    /// Does what the rooms decided.
    fn act(&mut self, now: Now) {
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
    fn speak_to_others(&mut self, now: Now) {
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

    fn signal(&mut self, now: Now, session: SessionId, message: Box<Message>) {
        let Some(live) = self.sessions.get_mut(&session) else { return };
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
            let Some(live) = self.sessions.get_mut(&leg.session) else { continue };
            if route.legs.iter().any(|before| is_same(before, leg)) {
                live.downlink.limit(leg.mid, leg.most);
            } else {
                live.downlink.route(leg.mid, kind, leg.most);
                live.downlink.arriving(leg.mid, route.meter.rates(now.at));
            }
        }
        for gone in route.legs.iter().filter(|before| !legs.iter().any(|leg| is_same(before, leg))) {
            if let Some(live) = self.sessions.get_mut(&gone.session) {
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
        if let Some(mut live) = self.sessions.remove(&session) {
            self.io.send(session, &mut live);
        }
        self.io.addresses.remove(session);
        self.routes.retain(|(publisher, _), _| *publisher != session);
    }

    fn drain_events(&mut self, now: Now, session: SessionId) {
        while let Some(event) = self.with_peer(session, |peer| peer.poll_event(now.at)).flatten() {
            let event = match event {
                PeerEvent::Media(mid, packet) => {
                    let MediaPacket { layer, sequence, audio_level, .. } = packet;
                    self.rooms.packet(session, mid, layer, sequence, audio_level);
                    self.forward(now, session, mid, &packet);
                    continue;
                }
                PeerEvent::Fates(fates) => {
                    if let Some(live) = self.sessions.get_mut(&session) {
                        live.downlink.reported(now.at, &fates);
                    }
                    continue;
                }
                PeerEvent::KeyframeWanted(mid) => {
                    let live = self.sessions.get(&session);
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

    fn forward(&mut self, now: Now, session: SessionId, mid: Mid, packet: &MediaPacket) {
        if let Some(relaying) = &mut self.relaying {
            relaying.relay.forward(session, mid, packet);
        }
        let Some(route) = self.routes.get_mut(&(session, mid)) else { return };
        let begins = route.meter.add(now.at, packet.layer, packet.payload.len());
        for leg in &route.legs {
            let Some(live) = self.sessions.get_mut(&leg.session) else { continue };
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
    fn meter(&mut self, now: Instant) {
        if self.metered_at.is_some_and(|at| now.saturating_duration_since(at) < METER_EVERY) {
            return;
        }
        self.metered_at = Some(now);
        for route in self.routes.values() {
            let rates = route.meter.rates(now);
            for leg in &route.legs {
                if let Some(live) = self.sessions.get_mut(&leg.session) {
                    live.downlink.arriving(leg.mid, rates);
                }
            }
        }
    }

    /// Lets a session choose what it gets, and try what its line carries.
    fn run_downlink(&mut self, now: Now, session: SessionId) {
        let Some(live) = self.sessions.get_mut(&session) else { return };
        live.dirty = true;
        live.downlink.handle_timeout(now.at);
        let bytes = live.downlink.probe_bytes(now.at);
        if bytes > 0 {
            let sent = live.call(|peer| peer.probe(now.at, bytes)).unwrap_or(0);
            live.downlink.sent(now.at, sent);
            self.io.counters.probe_bytes += u64::try_from(sent).unwrap_or(u64::MAX);
        }
        while let Some(event) = self.sessions.get_mut(&session).and_then(|live| live.downlink.poll_event()) {
            let event = match event {
                DownlinkEvent::KeyframeWanted(mid, layer) => MediaEvent::KeyframeWanted(mid, layer),
                DownlinkEvent::Paused(mid, is_paused) => MediaEvent::Paused(mid, is_paused),
            };
            self.rooms.media(now, session, event);
        }
        self.act(now);
    }

    fn run_timers(&mut self, now: Now) {
        self.meter(now.at);
        let is_due = |session: &Session<T::Peer>| {
            session.downlink.is_due() || session.next_timeout.is_some_and(|at| at <= now.at)
        };
        let due = self.sessions.iter().filter(|(_, session)| is_due(session)).map(|(id, _)| *id);
        for session in due.collect::<Vec<_>>() {
            self.with_peer(session, |peer| peer.handle_timeout(now.at));
            self.drain_events(now, session);
            self.run_downlink(now, session);
        }
        self.rooms.handle_timeout(now);
        if let Some(relaying) = &mut self.relaying {
            relaying.relay.handle_timeout(now.at);
        }
        self.act(now);
    }

    fn flush(&mut self, now: Now) {
        for (id, session) in self.sessions.iter_mut().filter(|(_, session)| session.dirty) {
            self.io.send(*id, session);
            let next = session.call(Peer::poll_timeout).flatten();
            let next = next.into_iter().chain(session.downlink.poll_timeout(now.at)).min();
            session.next_timeout = next.map(|at| at.max(now.at + TIMER_GRAIN));
            session.dirty = false;
        }
        self.io.flush();
    }

    fn with_peer<R>(&mut self, session: SessionId, call: impl FnOnce(&mut T::Peer) -> R) -> Option<R> {
        self.sessions.get_mut(&session)?.call(call)
    }

    fn abandon_broken(&mut self, now: Now) {
        let broken = self.sessions.iter().filter(|(_, session)| session.broken).map(|(id, _)| *id);
        for session in broken.collect::<Vec<_>>() {
            counter!("locum_media_peer_panics_total").increment(1);
            warn!("a media connection panicked and is abandoned");
            self.rooms.abandon(now, session, DisconnectReason::MediaFailure);
        }
        self.act(now);
    }
}

pub(super) fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { at: Instant::now(), unix_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX) }
}

#[cfg(test)]
impl<T: Transport> EventLoop<T> {
    pub(super) fn probe_credentials(&mut self, ufrag: &str, password: &str) {
        self.probes.expect(ufrag.to_owned(), password);
    }

    /// What is kept of whoever sent something: addresses, connections, probes.
    pub(super) fn lasting(&self) -> (usize, usize, usize) {
        (self.io.addresses.len(), self.io.links.stream_count(), self.probes.count())
    }

    pub(super) fn strangers(&self) -> u64 {
        self.io.counters.strangers
    }
}
