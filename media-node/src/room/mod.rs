//! Rooms, participants and what passes between them, without I/O.
//!
//! [`Rooms`] decides and its [`Action`]s say what to do; the event loop does it. No socket, no clock, no
//! randomness of its own: time is passed in, so tests own it.

mod data;
mod ids;
mod keyframes;
mod layers;
mod messages;
mod meter;
mod observed;
mod participant;
mod publication;
mod quality;
mod receiving;
mod relayed;
mod requests;
mod single;
#[cfg(test)]
mod tests;
mod voice;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use locum_cluster::Load;
use proto::DisconnectReason;
use proto::leave_request::Action as LeaveAction;

pub use ids::{Identity, Ids, ParticipantSid, RoomName, RoomSid, SessionId, Sink, TrackSid};
pub use messages::Message;
pub use publication::Leg;
pub use relayed::{RemotePerson, SharedPerson, SharedTrack};

use crate::events::Happened;
use crate::relay::NodeName;
use crate::token::{Admission, Revoked};
use crate::transport::sdp::{Offer, Section};
use crate::transport::{Channel, Layer, MediaKind, Mid};
use single::Room;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_millis(100);

/// From when a node drains, people have so long to be elsewhere first; who has not gone by then is sent away.
pub const MOVE_WITHIN: Duration = Duration::from_secs(5);

/// An empty room keeps its id for so long, for somebody who reloads the page.
const EMPTY_ROOM_LASTS: Duration = Duration::from_secs(20);

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For deadlines.
    pub at: Instant,
    /// For people: milliseconds since 1970.
    pub unix_ms: i64,
}

/// Bounds of one node.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Participants of all rooms together. New calls are let in up to 70 % of them ([`Load::is_full`]).
    pub sessions: usize,
    /// Participants of one room.
    pub participants: usize,
    /// Published tracks of one participant.
    pub tracks: usize,
    /// How long people may take to move elsewhere when the node drains.
    pub move_within: Duration,
}

impl Limits {
    /// Whether one more may come to a node that serves so many, into a call that is `running` or a new one.
    fn admit(&self, sessions: usize, running: bool) -> Result<(), JoinError> {
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let load = Load { sessions: count(sessions), capacity: count(self.sessions), cpu_permille: 0 };
        match sessions < self.sessions {
            false => Err(JoinError::NodeFull),
            true if load.is_full() && !running => Err(JoinError::NoNewCalls),
            true => Ok(()),
        }
    }
}

/// Somebody at the door.
#[derive(Debug)]
pub struct Joining {
    /// What the token allows.
    pub admission: Admission,
    /// What the client says of itself.
    pub request: proto::JoinRequest,
    /// How it signals.
    pub signalling: Signalling,
}

/// Versions of the signalling protocol.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Signalling {
    /// Two connections: the client offers the one it publishes on, the node the one the client receives on.
    V0,
    /// One connection, which the client offers.
    #[default]
    V1,
}

/// Why somebody may not come in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinError {
    /// The node takes nobody any more.
    #[error("this media node is going away")]
    Draining,
    /// As many as configured are here.
    #[error("this media node is full")]
    NodeFull,
    /// What room there is, is kept for people of running calls.
    #[error("this media node takes no new calls")]
    NoNewCalls,
    /// As many as may be are in the room.
    #[error("the room is full")]
    RoomFull,
    /// There is no such stay to resume, or it is somebody else's.
    #[error("there is nothing to resume")]
    UnknownStay,
}

impl JoinError {
    /// Label of the metric: one of few constants.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::NodeFull => "node-full",
            Self::NoNewCalls => "no-new-calls",
            Self::RoomFull => "room-full",
            Self::UnknownStay => "unknown-stay",
        }
    }
}

/// What the event loop is to do.
#[derive(Debug)]
pub enum Action {
    /// Send a message on the session's socket.
    Signal(SessionId, Box<Message>),
    /// Answer an offer as planned, and report by [`Rooms::negotiated`].
    Negotiate {
        /// Whose.
        session: SessionId,
        /// The client's number of its offer.
        offer_id: u32,
        /// The offer.
        offer: Box<Offer>,
        /// What each of its sections is for.
        plan: Vec<Section>,
    },
    /// Offer what the client receives, on a connection that is opened if need be, and report by
    /// [`Rooms::offered`].
    Offer {
        /// The connection the client receives on.
        session: SessionId,
        /// The node's number of its offer.
        offer_id: u32,
        /// Every section there ever was.
        plan: Vec<Section>,
        /// With new ICE credentials.
        restart: bool,
    },
    /// Take the client's answer to the last offer, and report by [`Rooms::accepted`].
    Accept {
        /// The connection the client receives on.
        session: SessionId,
        /// The node's number of its offer.
        offer_id: u32,
        /// The answer.
        answer: Box<Offer>,
    },
    /// From now on, send what arrives on a section to these.
    Route {
        /// Publisher.
        session: SessionId,
        /// Its section.
        mid: Mid,
        /// What it carries.
        kind: MediaKind,
        /// Receivers.
        legs: Vec<Leg>,
    },
    /// Ask a publisher for a keyframe of a layer.
    RequestKeyframe(SessionId, Mid, Layer),
    /// Send a message on a data channel.
    SendData(SessionId, Channel, Bytes),
    /// Tell the record.
    Record(Happened),
    /// Receive a track of another node as this section of this session, or do so no more.
    Receive {
        /// The node.
        node: NodeName,
        /// The track's number there.
        track: u32,
        /// Number of the person there.
        session: SessionId,
        /// Stands for the track.
        mid: Mid,
        /// The largest layer that anybody here has use for; none: nobody receives it.
        most: Option<Layer>,
    },
    /// People of a room here look different to other nodes, see [`Rooms::shared`].
    Share(RoomName),
    /// What other nodes told of a room is forgotten here: nobody was left to see it. To be asked for again.
    ForgetElsewhere(RoomName),
    /// Pass a data packet on to people of a room at other nodes.
    SendElsewhere {
        /// The room.
        room: RoomName,
        /// The channel it came by.
        channel: Channel,
        /// The packet.
        message: Bytes,
        /// Identities it is meant for; empty: everybody.
        destinations: Vec<String>,
    },
    /// End the session: its socket after what was sent, and its media.
    Close(SessionId),
}

/// What happened to a session's media.
#[derive(Debug)]
pub enum MediaEvent {
    /// It is connected.
    Connected,
    /// It is closed.
    Closed,
    /// The client proved that it is still there.
    Heard,
    /// The first packet arrived on a section.
    TrackStarted(Mid),
    /// What the client gets on a section needs a keyframe of a layer.
    KeyframeWanted(Mid, Layer),
    /// The client's line carries the picture of a section no more, or again.
    Paused(Mid, bool),
    /// A data channel brought a message.
    Data(Channel, Bytes),
}

/// All rooms of a node.
pub struct Rooms {
    limits: Limits,
    region: String,
    ids: Ids,
    rooms: HashMap<RoomName, Room>,
    sessions: HashMap<SessionId, RoomName>,
    /// Of each connection a client only receives on, the session it belongs to.
    receiving: HashMap<SessionId, SessionId>,
    next_tick: Option<Instant>,
    actions: VecDeque<Action>,
    draining: bool,
    /// When those who have not moved by themselves are sent away.
    move_by: Option<Instant>,
}

/// What a room may use while it decides.
struct Context<'a> {
    now: Now,
    limits: &'a Limits,
    region: &'a str,
    ids: &'a mut Ids,
    actions: &'a mut VecDeque<Action>,
}

impl Context<'_> {
    fn signal(&mut self, session: SessionId, message: Message) {
        self.actions.push_back(Action::Signal(session, Box::new(message)));
    }

    fn record(&mut self, happened: Option<Happened>) {
        self.actions.extend(happened.map(Action::Record));
    }
}

impl Rooms {
    /// No rooms yet.
    #[must_use]
    pub fn new(limits: Limits, region: String, ids: Ids) -> Self {
        Self {
            limits,
            region,
            ids,
            rooms: HashMap::new(),
            sessions: HashMap::new(),
            receiving: HashMap::new(),
            next_tick: None,
            actions: VecDeque::new(),
            draining: false,
            move_by: None,
        }
    }

    /// Lets somebody in, or back in. The first message to them is then on its way.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn join(&mut self, now: Now, joining: Joining) -> Result<SessionId, JoinError> {
        // Who is here already may still come back to it: a move begins from a call that works.
        let session = match joining.request.reconnect {
            true => self.resume(now, &joining),
            false if self.draining => Err(JoinError::Draining),
            false => self.enter(now, joining),
        };
        self.settle();
        session
    }

    /// A client asked for something.
    pub fn request(&mut self, now: Now, session: SessionId, request: proto::signal_request::Message) {
        self.with_room(now, session, |room, cx, session| room.request(cx, session, request));
    }

    /// The client's socket is gone; it may come back.
    pub fn signal_lost(&mut self, now: Now, session: SessionId) {
        self.with_room(now, session, |room, cx, session| room.signal_lost(cx, session));
    }

    /// What became of [`Action::Negotiate`]: the answer, or `None` when there is none.
    pub fn negotiated(&mut self, now: Now, session: SessionId, offer_id: u32, answer: Option<String>) {
        self.with_room(now, session, |room, cx, session| match answer {
            Some(sdp) => room.answered(cx, session, offer_id, sdp),
            // With a new connection it may work; with this one it will not.
            None => room.remove(cx, session, LeaveAction::Reconnect, DisconnectReason::MediaFailure),
        });
    }

    /// What became of [`Action::Offer`]: the offer, or `None` when there is none.
    pub fn offered(&mut self, now: Now, session: SessionId, offer_id: u32, offer: Option<String>) {
        self.with_room(now, session, |room, cx, session| match offer {
            Some(sdp) => cx.signal(session, messages::offer(offer_id, sdp)),
            None => room.remove(cx, session, LeaveAction::Reconnect, DisconnectReason::MediaFailure),
        });
    }

    /// What became of [`Action::Accept`].
    pub fn accepted(&mut self, now: Now, session: SessionId, offer_id: u32, accepted: bool) {
        self.with_room(now, session, |room, cx, session| match accepted {
            true => room.accepted(cx, session, offer_id),
            false => room.remove(cx, session, LeaveAction::Reconnect, DisconnectReason::MediaFailure),
        });
    }

    /// Something happened to a session's media.
    pub fn media(&mut self, now: Now, via: SessionId, event: MediaEvent) {
        self.with_room(now, via, |room, cx, session| room.media(cx, session, via, event));
    }

    /// A media packet arrived: its number, and how loud it is if it is sound.
    pub fn packet(
        &mut self,
        session: SessionId,
        mid: Mid,
        layer: Layer,
        sequence: u16,
        audio_level: Option<u8>,
    ) {
        let room = self.sessions.get(&session).and_then(|name| self.rooms.get_mut(name));
        if let Some(room) = room {
            room.packet(session, mid, layer, sequence, audio_level);
        }
    }

    /// The session cannot go on, for a reason the rooms do not know.
    pub fn abandon(&mut self, now: Now, session: SessionId, reason: DisconnectReason) {
        self.with_room(now, session, |room, cx, session| {
            room.remove(cx, session, LeaveAction::Reconnect, reason);
        });
    }

    /// Lets nobody in any more and tells everybody to move elsewhere; after [`Limits::move_within`] they are sent.
    pub fn drain(&mut self, now: Now) {
        self.draining = true;
        let by = *self.move_by.get_or_insert(now.at + self.limits.move_within);
        self.tell_to_move(now, Some(by));
        self.next_tick.get_or_insert(by);
    }

    /// Lets people in again, and those who are here need not move.
    pub fn take_in(&mut self, now: Now) {
        self.draining = false;
        self.move_by = None;
        self.tell_to_move(now, None);
    }

    fn tell_to_move(&mut self, now: Now, by: Option<Instant>) {
        let Self { limits, region, ids, rooms, actions, .. } = self;
        for room in rooms.values_mut() {
            room.tell_to_move(&mut Context { now, limits, region, ids, actions }, by);
        }
    }

    /// Sends away who has not moved in time.
    fn end_move(&mut self, now: Now) {
        if self.move_by.take_if(|by| *by <= now.at).is_none() {
            return;
        }
        metrics::counter!("locum_media_sent_away_total")
            .increment(u64::try_from(self.sessions.len()).unwrap_or(u64::MAX));
        for session in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.abandon(now, session, DisconnectReason::ServerShutdown);
        }
    }

    /// People of a room here, as other nodes should see them.
    #[must_use]
    pub fn shared(&self, room: &RoomName) -> Vec<SharedPerson> {
        self.rooms.get(room).map(Room::shared).unwrap_or_default()
    }

    /// Another node says who of a room is there; nobody: it has no people of it any more.
    pub fn elsewhere(&mut self, now: Now, room: &RoomName, node: NodeName, people: Vec<RemotePerson>) {
        self.in_room(now, room, |room, cx| room.elsewhere(cx, node, people));
    }

    /// Somebody of a room at another node sent a data packet.
    pub fn data_from_elsewhere(
        &mut self,
        now: Now,
        room: &RoomName,
        channel: Channel,
        message: &Bytes,
        destinations: &[String],
    ) {
        self.in_room(now, room, |room, cx| room.data_from_elsewhere(cx, channel, message, destinations));
    }

    /// People at another node cannot decode what somebody here publishes.
    pub fn keyframe_wanted(&mut self, now: Now, session: SessionId, mid: Mid, layer: Layer) {
        self.with_room(now, session, |room, cx, session| room.want_keyframe_of(cx, session, mid, layer));
    }

    /// Other nodes want what somebody here publishes, up to a layer; or nothing of it.
    pub fn wanted_elsewhere(&mut self, now: Now, session: SessionId, mid: Mid, most: Option<Layer>) {
        self.with_room(now, session, |room, cx, session| room.wanted_elsewhere(cx, session, mid, most));
    }

    /// Ends the stay of everybody whose token is refused by now: how many that were.
    pub fn put_out(&mut self, now: Now, revoked: &Revoked) -> u64 {
        let rooms = self.rooms.iter();
        let stays = rooms.flat_map(|(name, room)| room.participants.iter().map(move |stay| (name, stay)));
        let refused = stays.filter(|(name, (_, stay))| revoked.covers(name, &stay.identity));
        let refused: Vec<SessionId> = refused.map(|(_, (session, _))| *session).collect();
        for session in &refused {
            // Not to another node: every node refuses them.
            self.with_room(now, *session, |room, cx, session| {
                room.remove(cx, session, LeaveAction::Disconnect, DisconnectReason::ParticipantRemoved);
            });
        }
        u64::try_from(refused.len()).unwrap_or(u64::MAX)
    }

    /// Looks at deadlines.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.next_tick.is_some_and(|at| now.at < at) {
            return;
        }
        self.end_move(now);
        let Self { limits, region, ids, rooms, actions, .. } = self;
        for room in rooms.values_mut() {
            room.tick(&mut Context { now, limits, region, ids, actions });
        }
        rooms.retain(|_, room| !room.is_over(now.at, EMPTY_ROOM_LASTS));
        self.next_tick = (!self.rooms.is_empty()).then(|| now.at + TICK);
        self.settle();
    }

    /// When [`Rooms::handle_timeout`] should run next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_tick
    }

    /// The next thing to do. To be drained after every other call.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether there is anything to do.
    #[must_use]
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// Participants of all rooms.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Rooms, with those that wait for somebody to come back.
    #[must_use]
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    fn enter(&mut self, now: Now, joining: Joining) -> Result<SessionId, JoinError> {
        let Joining { admission, request, signalling } = joining;
        let Self { limits, region, ids, rooms, actions, sessions, .. } = self;
        let room = rooms.get(&admission.room);
        let returning = room.and_then(|room| room.session_of(&admission.identity));
        if returning.is_none() {
            limits.admit(sessions.len(), room.is_some() || admission.running)?;
        }
        let session = ids.session().ok_or(JoinError::NodeFull)?;
        let receives_on = match signalling {
            Signalling::V0 => Some(ids.session().ok_or(JoinError::NodeFull)?),
            Signalling::V1 => None,
        };
        let mut cx = Context { now, limits, region, ids, actions };
        let name = admission.room.clone();
        let room = rooms.entry(name.clone()).or_insert_with(|| Room::new(&mut cx, name.clone()));
        if let Some(old) = returning {
            room.remove(&mut cx, old, LeaveAction::Disconnect, DisconnectReason::DuplicateIdentity);
        }
        room.enter(&mut cx, session, receives_on, admission, request)?;
        sessions.insert(session, name);
        self.receiving.extend(receives_on.map(|second| (second, session)));
        self.next_tick.get_or_insert(now.at + TICK);
        Ok(session)
    }

    fn resume(&mut self, now: Now, joining: &Joining) -> Result<SessionId, JoinError> {
        let Self { limits, region, ids, rooms, actions, .. } = self;
        let room = rooms.get_mut(&joining.admission.room).ok_or(JoinError::UnknownStay)?;
        let sid = &joining.request.participant_sid;
        let session = room.stay_of(&joining.admission.identity, sid).ok_or(JoinError::UnknownStay)?;
        room.resume(&mut Context { now, limits, region, ids, actions }, session);
        Ok(session)
    }

    /// Lets the room of a session act on it, by whichever of its connections it is named.
    fn with_room(
        &mut self,
        now: Now,
        via: SessionId,
        act: impl FnOnce(&mut Room, &mut Context<'_>, SessionId),
    ) {
        let Self { limits, region, ids, rooms, actions, sessions, receiving, .. } = self;
        let session = receiving.get(&via).copied().unwrap_or(via);
        let Some(room) = sessions.get(&session).and_then(|name| rooms.get_mut(name)) else { return };
        act(room, &mut Context { now, limits, region, ids, actions }, session);
        self.settle();
    }

    fn in_room(&mut self, now: Now, room: &RoomName, act: impl FnOnce(&mut Room, &mut Context<'_>)) {
        let Self { limits, region, ids, rooms, actions, .. } = self;
        let Some(room) = rooms.get_mut(room) else { return };
        act(room, &mut Context { now, limits, region, ids, actions });
        self.settle();
    }

    /// Forgets sessions that were closed.
    fn settle(&mut self) {
        for action in &self.actions {
            if let Action::Close(session) = action {
                self.sessions.remove(session);
                self.receiving.remove(session);
            }
        }
    }
}

/// Why a stay that cannot be resumed ends, for a client that asked to resume it.
#[must_use]
pub fn unknown_stay() -> Message {
    messages::leave(LeaveAction::Reconnect, DisconnectReason::StateMismatch)
}
