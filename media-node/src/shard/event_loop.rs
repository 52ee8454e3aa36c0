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
use tracing::warn;

use super::counters::Gauges;
use super::forwarding::Route;
use super::probes::Probes;
use super::relaying::{Arrivals, RelayEvent, Relaying};
use super::session::{Outbox, Sending};
use super::sessions::Sessions;
use super::{Attached, Command, ConnectionId, MAX_OUTBOX};
use crate::events::Recorder;
use crate::room::{JoinError, Joining, MediaEvent, Now, Rooms, SessionId};
use crate::transport::datagrams::Inbound;
use crate::transport::links::{Chunk, Link, Links, More, Via};
use crate::transport::{Mid, Peer, Transport, stun};

const WAKER: Token = Token(0);
/// From here on sockets and streams.
const FIRST_LINK: usize = 1;

/// Batches read from a socket before timers and commands get their turn.
const MAX_BATCHES: usize = 8;

/// Reads from a TCP connection before the others get their turn.
const MAX_READS: usize = 4;

/// Timers closer together are served together: a backend would otherwise wake the loop for each.
const TIMER_GRAIN: Duration = Duration::from_millis(5);

/// How often a busy loop looks at its sockets: each time costs as much as several packets, and a call does not notice.
const REST: Duration = Duration::from_millis(1);

/// Longest sleep; deadlines further away than this are no reason for precision.
const MAX_SLEEP: Duration = Duration::from_secs(1);

pub(super) struct EventLoop<T: Transport> {
    poll: Poll,
    inbox: mpsc::Receiver<Command>,
    inbound: Inbound,
    chunk: Chunk,
    /// Spare: the sessions that a batch of datagrams is from.
    heard: Vec<SessionId>,
    /// Since the last rest.
    has_received: bool,
    pub(super) io: Sending,
    pub(super) transport: T,
    pub(super) rooms: Rooms,
    pub(super) recorder: Recorder,
    pub(super) sessions: Sessions<T::Peer>,
    probes: Probes<T::Peer>,
    /// Where media goes, by publisher and section.
    pub(super) routes: HashMap<(SessionId, Mid), Route>,
    pub(super) metered_at: Option<Instant>,
    next_connection: u64,
    session_count: Arc<AtomicU32>,
    arrivals: Arc<Arrivals>,
    pub(super) relaying: Option<Relaying>,
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
            heard: Vec::new(),
            has_received: false,
            io: Sending::new(links),
            transport,
            rooms,
            recorder,
            sessions: Sessions::default(),
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
            self.rest(now);
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
        if self.sessions.any_broken() {
            return Duration::ZERO;
        }
        let next = self
            .sessions
            .next_alarm()
            .into_iter()
            .chain(self.rooms.poll_timeout())
            .chain(self.relaying.as_ref().and_then(|relaying| relaying.relay.poll_timeout()));
        next.min().map_or(MAX_SLEEP, |at| at.saturating_duration_since(Instant::now()).min(MAX_SLEEP))
    }

    /// After something was received: what comes meanwhile is read, and sent on, together.
    #[expect(clippy::disallowed_methods, reason = "the loop's thread is its own")]
    fn rest(&mut self, now: Now) {
        let has_received = std::mem::take(&mut self.has_received);
        let rest = REST.saturating_sub(now.at.elapsed());
        if has_received && !rest.is_zero() && !self.io.links.more_waits() {
            std::thread::sleep(rest);
        }
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
                self.has_received |= inbound.iter().next().is_some();
                self.datagrams(
                    now,
                    inbound.iter().map(|(remote, datagram)| (Link { via, remote }, datagram)),
                );
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
                self.datagrams(now, chunk.iter().map(|packet| (link, packet)));
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
        self.datagrams(now, [(link, first)]);
        if self.io.addresses.session(link).is_none() {
            self.io.links.close(link);
        }
    }

    /// Takes in what was read together, and then does what it leads to.
    pub(super) fn datagrams<'a>(&mut self, now: Now, datagrams: impl IntoIterator<Item = (Link, &'a [u8])>) {
        let mut heard = std::mem::take(&mut self.heard);
        for (from, datagram) in datagrams {
            self.io.counters.received += 1;
            if stun::is_stun(datagram) {
                self.check(now, from, datagram);
            } else if let Some(session) = self.io.addresses.session(from) {
                self.with_peer(session, |peer| peer.handle_datagram(now.at, datagram));
                if !heard.contains(&session) {
                    heard.push(session);
                }
            } else {
                self.probe_handshake(now, from, datagram);
            }
        }
        for session in heard.drain(..) {
            self.drain_events(now, session);
        }
        self.heard = heard;
    }

    fn check(&mut self, now: Now, from: Link, datagram: &[u8]) {
        match self.io.addresses.check(from, datagram) {
            Some(checked) => {
                self.io.counters.checks += 1;
                self.io.push(from, checked.reply.as_slice().into());
                self.rooms.media(now, checked.session, MediaEvent::Heard);
            }
            None => self.probe_check(now, from, datagram),
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
        if let Some(live) = self.sessions.get_mut(session) {
            // A socket before it is closed by that: its outbox ends.
            live.socket = Some(Outbox { connection, messages });
        }
        self.act(now);
        Ok(Attached { session, connection, outbox })
    }

    fn detach(&mut self, now: Now, session: SessionId, connection: ConnectionId) {
        if self.is_current(session, connection) {
            if let Some(live) = self.sessions.get_mut(session) {
                live.socket = None;
            }
            self.rooms.signal_lost(now, session);
        }
    }

    fn is_current(&self, session: SessionId, connection: ConnectionId) -> bool {
        let socket = self.sessions.get(session).and_then(|live| live.socket.as_ref());
        socket.is_some_and(|socket| socket.connection == connection)
    }

    fn run_timers(&mut self, now: Now) {
        self.meter(now.at);
        for session in self.sessions.due(now.at) {
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
        let io = &mut self.io;
        self.sessions.settle(|id, session| {
            io.send(id, session);
            if session.downlink.is_due() {
                return Some(now.at);
            }
            let next = session.call(Peer::poll_timeout).flatten();
            let next = next.into_iter().chain(session.downlink.poll_timeout(now.at)).min();
            next.map(|at| at.max(now.at + TIMER_GRAIN))
        });
        self.io.flush();
    }

    pub(super) fn with_peer<R>(
        &mut self,
        session: SessionId,
        call: impl FnOnce(&mut T::Peer) -> R,
    ) -> Option<R> {
        self.sessions.touch(session)?.call(call)
    }

    fn abandon_broken(&mut self, now: Now) {
        for session in self.sessions.take_broken() {
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
