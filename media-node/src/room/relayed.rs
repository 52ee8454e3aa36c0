//! People of a room who are at other nodes.
//!
//! They are seen, received and written to like those here; only what they publish comes by the relay. Each has a
//! session of its own number, and each of their tracks a section, so that routes and keyframes know no difference.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use proto::DisconnectReason;
use proto::leave_request::Action as LeaveAction;
use proto::participant_info::State;

use super::ids::{Identity, ParticipantSid, SessionId, TrackSid};
use super::messages;
use super::participant::Participant;
use super::publication::Publication;
use super::single::{Room, unroute};
use super::{Action, Context};
use crate::relay::NodeName;
use crate::relay::messages::Person;
use crate::transport::{Channel, Mid};

/// Tracks that are believed of one person.
const MAX_TRACKS: usize = 8;

/// Whoever comes to another node has so long to publish there what others see of them here.
const MOVE_WITHIN: Duration = Duration::from_secs(5);

/// Somebody here, for other nodes.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedPerson {
    /// As clients are told.
    pub info: proto::ParticipantInfo,
    /// Of two stays of one identity the one with the greater number is the newer one.
    pub stay: u64,
    /// What of theirs can be received.
    pub tracks: Vec<SharedTrack>,
}

/// A track of somebody here.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedTrack {
    /// Its id.
    pub sid: TrackSid,
    /// Whose.
    pub session: SessionId,
    /// The section it arrives on.
    pub mid: Mid,
}

/// Somebody at another node.
#[derive(Clone, Debug)]
pub struct RemotePerson {
    identity: Identity,
    sid: ParticipantSid,
    stay: u64,
    info: proto::ParticipantInfo,
    tracks: Vec<RemoteTrack>,
}

#[derive(Clone, Debug)]
struct RemoteTrack {
    sid: TrackSid,
    id: u32,
    info: proto::TrackInfo,
}

/// Somebody at another node, as seen here.
#[derive(Debug)]
pub(super) struct Relayed {
    node: NodeName,
    pub(super) identity: Identity,
    pub(super) sid: ParticipantSid,
    pub(super) info: proto::ParticipantInfo,
    pub(super) publications: Vec<Publication>,
}

/// What was told of a room's people elsewhere.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    told: BTreeMap<NodeName, Vec<RemotePerson>>,
    pub(super) shown: BTreeMap<SessionId, Relayed>,
    /// People here who are seen at another node.
    pub(super) hidden: BTreeSet<SessionId>,
    /// Of people with several stays the newest one, and since when it is known.
    moving: BTreeMap<Identity, (u64, Instant)>,
}

/// One of the stays of an identity.
struct Stay<'a> {
    stay: u64,
    tracks: usize,
    place: Place<'a>,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    Here(SessionId),
    There(&'a NodeName, &'a RemotePerson),
}

impl RemotePerson {
    /// What another node says of somebody. `None` when it makes no sense.
    #[must_use]
    pub fn read(person: Person) -> Option<Self> {
        let info = person.info?;
        let (identity, sid) = (Identity::parse(&info.identity)?, ParticipantSid::parse(&info.sid)?);
        let read = |track: &crate::relay::messages::Track| {
            let described = info.tracks.iter().find(|described| described.sid == track.sid)?;
            Some(RemoteTrack { sid: TrackSid::parse(&track.sid)?, id: track.id, info: described.clone() })
        };
        let tracks = person.tracks.iter().take(MAX_TRACKS).filter_map(read).collect();
        Some(Self { identity, sid, stay: person.stay, tracks, info })
    }
}

impl Relayed {
    fn new(node: NodeName, person: &RemotePerson) -> Self {
        Self {
            node,
            identity: person.identity.clone(),
            sid: person.sid.clone(),
            info: person.info.clone(),
            publications: Vec::new(),
        }
    }

    fn farewell(&self) -> proto::ParticipantInfo {
        proto::ParticipantInfo {
            state: State::Disconnected.into(),
            tracks: Vec::new(),
            version: self.info.version.saturating_add(1),
            ..self.info.clone()
        }
    }

    /// Brings the tracks to what was told. Returns those that are gone.
    fn publish(&mut self, tracks: &[RemoteTrack]) -> Vec<Publication> {
        let stays = |publication: &Publication| tracks.iter().any(|track| track.sid == publication.sid);
        let (publications, gone) = std::mem::take(&mut self.publications).into_iter().partition(stays);
        self.publications = publications;
        for track in tracks {
            let known = self.publications.iter_mut().find(|publication| publication.sid == track.sid);
            match known {
                Some(publication) => publication.info = track.info.clone(),
                None => {
                    let (sid, from) = (track.sid.clone(), (NodeName::clone(&self.node), track.id));
                    self.publications.extend(Publication::relayed(sid, track.info.clone(), from));
                }
            }
        }
        gone
    }
}

impl Elsewhere {
    /// The newest stay of an identity at another node.
    pub(super) fn stay_of(&self, identity: &Identity) -> Option<u64> {
        self.told.values().flatten().filter(|p| p.identity == *identity).map(|person| person.stay).max()
    }

    /// Whether anybody is at two places.
    pub(super) fn anybody_moves(&self) -> bool {
        !self.moving.is_empty()
    }

    /// Notes who is at two places, and since when.
    fn note_moves(&mut self, now: Instant, newest: BTreeMap<Identity, u64>) {
        let before = std::mem::take(&mut self.moving);
        let since = |identity: &Identity, stay: u64| {
            before.get(identity).filter(|(known, _)| *known == stay).map_or(now, |(_, since)| *since)
        };
        let noted = newest.into_iter().map(|(identity, stay)| {
            let since = since(&identity, stay);
            (identity, (stay, since))
        });
        self.moving = noted.collect();
    }

    /// Whether somebody's newest stay has had its time to publish.
    fn has_moved(&self, now: Instant, identity: &Identity, newest: u64) -> bool {
        let since = self.moving.get(identity).filter(|(known, _)| *known == newest).map(|(_, since)| *since);
        since.is_some_and(|since| now.saturating_duration_since(since) >= MOVE_WITHIN)
    }
}

impl Room {
    /// Another node says who is there; nobody: it has no people in the room any more.
    pub(super) fn elsewhere(&mut self, cx: &mut Context<'_>, node: NodeName, mut people: Vec<RemotePerson>) {
        people.truncate(cx.limits.participants);
        if people.is_empty() {
            self.elsewhere.told.remove(&node);
        } else if !self.participants.is_empty() {
            self.elsewhere.told.insert(node, people);
        }
        self.settle_elsewhere(cx);
        self.refresh(cx);
    }

    /// Nobody is here any more who could see them.
    pub(super) fn forget_elsewhere(&mut self, cx: &mut Context<'_>) {
        self.elsewhere.told.clear();
        self.settle_elsewhere(cx);
        cx.actions.push_back(Action::ForgetElsewhere(self.name.clone()));
    }

    /// Shows of each identity one stay: the newest, wherever that is, once it publishes what the one before did. So
    /// whoever moves from node to node is seen all the time.
    pub(super) fn settle_elsewhere(&mut self, cx: &mut Context<'_>) {
        if let Some(session) = self.superseded(cx.now.at) {
            // Comes back here without it.
            return self.remove(cx, session, LeaveAction::Disconnect, DisconnectReason::DuplicateIdentity);
        }
        let (mut visible, mut hidden, mut moving) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        for (identity, stays) in self.stays() {
            let Some(newest) = stays.last().map(|newest| newest.stay) else { continue };
            let seen = seen(&stays, self.elsewhere.has_moved(cx.now.at, identity, newest));
            if stays.len() > 1 {
                moving.insert(identity.clone(), newest);
            }
            for (at, stay) in stays.iter().enumerate() {
                match stay.place {
                    Place::There(node, person) if at == seen => {
                        visible.insert(identity.clone(), (NodeName::clone(node), person.clone()));
                    }
                    Place::Here(session) if at != seen => {
                        hidden.insert(session);
                    }
                    _ => {}
                }
            }
        }
        self.elsewhere.note_moves(cx.now.at, moving);
        let before = std::mem::replace(&mut self.elsewhere.hidden, hidden);
        self.hide(cx, &visible);
        let mut changed: Vec<_> = before
            .difference(&self.elsewhere.hidden)
            .filter_map(|session| self.participants.get(session).map(Participant::info))
            .collect();
        for (node, person) in visible.into_values() {
            self.show(cx, node, person, &mut changed);
        }
        if !changed.is_empty() {
            for (session, participant) in &self.participants {
                // Nobody is told of a stay of their own elsewhere.
                let news = changed.iter().filter(|info| info.identity != participant.identity.as_str());
                let news: Vec<_> = news.cloned().collect();
                if !news.is_empty() {
                    cx.signal(*session, messages::update(news));
                }
            }
        }
    }

    /// Somebody here who is somewhere else by now.
    fn superseded(&self, now: Instant) -> Option<SessionId> {
        let is_over = |p: &Participant| {
            let newest = self.elsewhere.stay_of(&p.identity).filter(|newest| p.stay < *newest);
            newest.is_some_and(|newest| self.elsewhere.has_moved(now, &p.identity, newest))
        };
        self.participants.iter().find(|(_, participant)| is_over(participant)).map(|(session, _)| *session)
    }

    /// All stays of each identity, the newest last.
    fn stays(&self) -> BTreeMap<&Identity, Vec<Stay<'_>>> {
        let mut stays: BTreeMap<&Identity, Vec<Stay<'_>>> = BTreeMap::new();
        for (node, people) in &self.elsewhere.told {
            for person in people {
                let place = Place::There(node, person);
                let stay = Stay { stay: person.stay, tracks: person.tracks.len(), place };
                stays.entry(&person.identity).or_default().push(stay);
            }
        }
        for (session, participant) in &self.participants {
            let tracks = participant.publications.iter().filter(|publication| publication.started).count();
            let stay = Stay { stay: participant.stay, tracks, place: Place::Here(*session) };
            stays.entry(&participant.identity).or_default().push(stay);
        }
        stays.values_mut().for_each(|stays| stays.sort_by_key(|stay| stay.stay));
        stays
    }

    /// Somebody at another node, as told last.
    fn show(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeName,
        person: RemotePerson,
        changed: &mut Vec<proto::ParticipantInfo>,
    ) {
        let known = self.elsewhere.shown.iter().find(|(_, shown)| shown.sid == person.sid);
        let session = match known.map(|(session, _)| *session) {
            Some(session) => session,
            None => {
                let Some(session) = cx.ids.session() else { return };
                self.elsewhere.shown.insert(session, Relayed::new(node, &person));
                changed.push(person.info.clone());
                session
            }
        };
        let Some(shown) = self.elsewhere.shown.get_mut(&session) else { return };
        if shown.info != person.info {
            changed.push(person.info.clone());
            shown.info = person.info;
        }
        for publication in shown.publish(&person.tracks) {
            self.end_track(cx, session, &publication);
        }
    }

    /// Takes out of sight whoever is not among them.
    fn hide(&mut self, cx: &mut Context<'_>, visible: &BTreeMap<Identity, (NodeName, RemotePerson)>) {
        let stays = |shown: &Relayed| visible.get(&shown.identity).is_some_and(|(_, p)| p.sid == shown.sid);
        let gone = self.elsewhere.shown.iter().filter(|(_, shown)| !stays(shown));
        let gone: Vec<_> = gone.map(|(session, _)| *session).collect();
        for session in gone {
            let Some(gone) = self.elsewhere.shown.remove(&session) else { continue };
            for publication in &gone.publications {
                self.end_track(cx, session, publication);
            }
            // Whoever is somewhere else now has not left.
            let is_here = self.participants.values().any(|p| p.identity == gone.identity);
            if !is_here && !visible.contains_key(&gone.identity) {
                self.broadcast_all(cx, messages::update(vec![gone.farewell()]));
            }
        }
    }

    fn end_track(&mut self, cx: &mut Context<'_>, session: SessionId, publication: &Publication) {
        if !publication.legs.is_empty() {
            publication.receive(cx, session, None);
        }
        unroute(cx, session, publication);
        self.forget_track(&publication.sid);
    }

    /// People here, as other nodes should see them.
    pub(super) fn shared(&self) -> Vec<SharedPerson> {
        let track = |session: SessionId, publication: &Publication| {
            let mid = publication.mid.filter(|_| publication.started)?;
            Some(SharedTrack { sid: publication.sid.clone(), session, mid })
        };
        let person = |(session, participant): (&SessionId, &Participant)| SharedPerson {
            info: participant.info(),
            stay: participant.stay,
            tracks: participant.publications.iter().filter_map(|p| track(*session, p)).collect(),
        };
        self.participants.iter().map(person).collect()
    }

    /// A data packet of somebody at another node.
    pub(super) fn data_from_elsewhere(
        &self,
        cx: &mut Context<'_>,
        channel: Channel,
        message: &Bytes,
        destinations: &[String],
    ) {
        let Ok(packet) = proto::DataPacket::decode(&message[..]) else { return };
        for (session, participant) in &self.participants {
            // Nobody hears a stay of their own elsewhere.
            if packet.participant_identity == participant.identity.as_str() {
                continue;
            }
            let addressed = destinations.is_empty()
                || destinations.iter().any(|identity| identity == participant.identity.as_str());
            if addressed && participant.is_connected() {
                cx.actions.push_back(Action::SendData(*session, channel, message.clone()));
            }
        }
    }
}

/// Which of several stays others see: the newest, unless one before it still publishes more.
fn seen(stays: &[Stay<'_>], has_moved: bool) -> usize {
    let newest = stays.len().saturating_sub(1);
    let most = stays.iter().map(|stay| stay.tracks).max();
    let publishes_most = stays.iter().rposition(|stay| Some(stay.tracks) == most);
    publishes_most.filter(|_| !has_moved).unwrap_or(newest)
}
