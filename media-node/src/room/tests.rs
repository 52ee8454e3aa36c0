//! Behaviour of rooms as clients see it. Time and ids are the test's.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use livekit_protocol as proto;
use locum_cluster::revocation::Revocation;
use proto::data_packet::Value;
use proto::leave_request::Action as LeaveAction;
use proto::participant_info::State;
use proto::request_response::Reason;
use proto::signal_request::Message as Request;
use proto::{DisconnectReason, TrackSource, TrackType};

use locum_cluster::calls::CallEventKind;

use super::*;
use crate::token::{Grants, Revoked};

mod told;
mod v0;

const LIMITS: Limits = Limits { sessions: 8, participants: 4, tracks: 2, move_within: MOVE_WITHIN };

/// Rooms, a clock, and all that was said.
struct World {
    rooms: Rooms,
    now: Now,
    said: HashMap<SessionId, Vec<Message>>,
    actions: Vec<Action>,
    /// How those who join signal.
    signalling: Signalling,
}

impl World {
    fn new() -> Self {
        let mut count = 0_u64;
        let ids = Ids::new(move || {
            count += 1;
            count.to_be_bytes()
        });
        let now = Now { at: Instant::now(), unix_ms: 1_000_000 };
        let rooms = Rooms::new(LIMITS, "eu-central".to_owned(), ids);
        Self { rooms, now, said: HashMap::new(), actions: Vec::new(), signalling: Signalling::V1 }
    }

    /// Does what the event loop does, with a peer that answers every offer.
    fn act(&mut self) {
        while let Some(action) = self.rooms.poll_action() {
            match action {
                Action::Signal(session, message) => self.said.entry(session).or_default().push(*message),
                Action::Negotiate { session, offer_id, .. } => {
                    self.actions.push(action);
                    self.rooms.negotiated(self.now, session, offer_id, Some("answer".to_owned()));
                }
                Action::Offer { session, offer_id, .. } => {
                    self.actions.push(action);
                    self.rooms.offered(self.now, session, offer_id, Some("offer".to_owned()));
                }
                Action::Accept { session, offer_id, .. } => {
                    self.actions.push(action);
                    self.rooms.accepted(self.now, session, offer_id, true);
                }
                action => self.actions.push(action),
            }
        }
    }

    fn try_join(
        &mut self,
        identity: &str,
        room: &str,
        request: proto::JoinRequest,
    ) -> Result<SessionId, JoinError> {
        self.try_join_with(identity, room, request, all_grants())
    }

    /// As somebody whose token says that others are in the call.
    fn try_join_running(&mut self, identity: &str, room: &str) -> Result<SessionId, JoinError> {
        self.enter(identity, room, Default::default(), all_grants(), true)
    }

    fn try_join_with(
        &mut self,
        identity: &str,
        room: &str,
        request: proto::JoinRequest,
        grants: Grants,
    ) -> Result<SessionId, JoinError> {
        self.enter(identity, room, request, grants, false)
    }

    fn enter(
        &mut self,
        identity: &str,
        room: &str,
        request: proto::JoinRequest,
        grants: Grants,
        running: bool,
    ) -> Result<SessionId, JoinError> {
        let admission = Admission {
            identity: Identity::parse(identity).unwrap(),
            room: RoomName::parse(room).unwrap(),
            grants,
            running,
            sink: Sink::parse("sink"),
        };
        let joined = self.rooms.join(self.now, Joining { admission, request, signalling: self.signalling });
        self.act();
        joined
    }

    fn join(&mut self, identity: &str) -> SessionId {
        let session = self.try_join(identity, "room", proto::JoinRequest::default()).unwrap();
        self.media(session, MediaEvent::Connected);
        session
    }

    fn request(&mut self, session: SessionId, request: Request) {
        self.rooms.request(self.now, session, request);
        self.act();
    }

    fn media(&mut self, session: SessionId, event: MediaEvent) {
        self.rooms.media(self.now, session, event);
        self.act();
    }

    fn pass(&mut self, time: Duration) {
        self.now.at += time;
        self.rooms.handle_timeout(self.now);
        self.act();
    }

    /// Everything said to a session since the last look.
    fn hear(&mut self, session: SessionId) -> Vec<Message> {
        self.said.remove(&session).unwrap_or_default()
    }

    fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Announces a camera and offers it on section `v`, with empty sections `0` (audio) and `1` (video).
    fn publish(&mut self, session: SessionId) -> String {
        self.request(session, add_track("cam", TrackSource::Camera));
        let sid = published(&self.hear(session)).expect("published");
        self.offer(session, "v:video:sendonly:cam 0:audio:recvonly 1:video:recvonly");
        self.media(session, MediaEvent::TrackStarted(Mid::parse("v").unwrap()));
        sid
    }

    fn offer(&mut self, session: SessionId, sections: &str) {
        self.request(session, offer(sections));
    }
}

fn all_grants() -> Grants {
    Grants { publish: true, sources: Vec::new(), subscribe: true, data: true, admin: false }
}

fn add_track(cid: &str, source: TrackSource) -> Request {
    let kind = if source == TrackSource::Microphone { TrackType::Audio } else { TrackType::Video };
    let track = proto::AddTrackRequest {
        cid: cid.to_owned(),
        name: "a name".to_owned(),
        r#type: kind.into(),
        source: source.into(),
        ..Default::default()
    };
    Request::AddTrack(track)
}

/// An offer of `mid:kind:direction[:track]` sections.
fn offer(sections: &str) -> Request {
    let mut sdp = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n".to_owned();
    for section in sections.split_whitespace() {
        let parts: Vec<&str> = section.split(':').collect();
        sdp += &format!("m={} 9 X 96\r\na=mid:{}\r\na={}\r\n", parts[1], parts[0], parts[2]);
        if let Some(track) = parts.get(3) {
            sdp += &format!("a=msid:- {track}\r\n");
        }
    }
    Request::Offer(proto::SessionDescription { r#type: "offer".into(), sdp, id: 7, ..Default::default() })
}

fn published(said: &[Message]) -> Option<String> {
    said.iter().find_map(|message| match message {
        Message::TrackPublished(published) => Some(published.track.as_ref()?.sid.clone()),
        _ => None,
    })
}

fn updates(said: &[Message]) -> Vec<proto::ParticipantInfo> {
    let updates = said.iter().filter_map(|message| match message {
        Message::Update(update) => Some(update.participants.clone()),
        _ => None,
    });
    updates.flatten().collect()
}

/// The room's metadata as it was last told.
fn metadata(heard: &[Message]) -> Option<String> {
    let told = heard.iter().rev().find_map(|message| match message {
        Message::RoomUpdate(update) => update.room.clone(),
        _ => None,
    });
    told.map(|room| room.metadata)
}

fn left(said: &[Message]) -> Option<(LeaveAction, DisconnectReason)> {
    said.iter().find_map(|message| match message {
        Message::Leave(leave) => Some((leave.action(), leave.reason())),
        _ => None,
    })
}

fn answers(said: &[Message]) -> Vec<HashMap<String, String>> {
    let answers = said.iter().filter_map(|message| match message {
        Message::Answer(answer) => Some(answer.mid_to_track_id.clone()),
        _ => None,
    });
    answers.collect()
}

fn asked(said: &[Message]) -> Vec<(u32, u32)> {
    let asked = said.iter().filter_map(|message| match message {
        Message::MediaSectionsRequirement(r) => Some((r.num_audios, r.num_videos)),
        _ => None,
    });
    asked.collect()
}

fn routes(actions: &[Action]) -> Vec<(SessionId, Vec<SessionId>)> {
    let routes = actions.iter().filter_map(|action| match action {
        Action::Route { session, legs, .. } => Some((*session, legs.iter().map(|leg| leg.session).collect())),
        _ => None,
    });
    routes.collect()
}

#[test]
fn a_join_answers_first_and_tells_the_others_without_names() {
    let mut world = World::new();
    let first = world.join("p-1");
    world.hear(first);
    let second = world.join("p-2");
    let said = world.hear(second);
    let Message::Join(joined) = &said[0] else { panic!("{said:?}") };
    assert_eq!(joined.other_participants.iter().map(|p| p.identity.as_str()).collect::<Vec<_>>(), ["p-1"]);
    assert!(!joined.server_info.as_ref().unwrap().version.is_empty());
    assert_eq!(joined.participant.as_ref().unwrap().name, "");
    let seen = updates(&world.hear(first));
    assert_eq!(seen.iter().map(|p| p.identity.as_str()).collect::<Vec<_>>(), ["p-2", "p-2"]);
    assert_eq!(seen[1].state(), State::Active);
}

#[test]
fn a_track_is_told_when_its_media_arrives_and_then_sent() {
    let mut world = World::new();
    let (publisher, viewer) = (world.join("p-1"), world.join("p-2"));
    world.hear(viewer);
    world.request(publisher, add_track("cam", TrackSource::Camera));
    world.offer(publisher, "v:video:sendonly:cam");
    assert!(updates(&world.hear(viewer)).iter().all(|p| p.tracks.is_empty()), "nothing has arrived yet");

    world.media(publisher, MediaEvent::TrackStarted(Mid::parse("v").unwrap()));
    let said = world.hear(viewer);
    let track = updates(&said).last().unwrap().tracks[0].clone();
    assert_eq!((track.name.as_str(), track.source()), ("", TrackSource::Camera));
    assert_eq!(asked(&said), [(0, 1)]);
    world.take_actions();

    world.offer(viewer, "0:video:recvonly");
    let told = answers(&world.hear(viewer));
    assert_eq!(told, [HashMap::from([("0".to_owned(), track.sid)])]);
    let actions = world.take_actions();
    assert_eq!(routes(&actions), [(publisher, vec![viewer])]);
}

#[test]
fn a_first_offer_is_filled_with_what_is_there() {
    let mut world = World::new();
    let publisher = world.join("p-1");
    let track = world.publish(publisher);
    let Request::Offer(offer) = offer("0:audio:recvonly 1:video:recvonly") else { unreachable!() };
    let request = proto::JoinRequest { publisher_offer: Some(offer), ..Default::default() };
    world.take_actions();
    let viewer = world.try_join("p-2", "room", request).unwrap();
    assert_eq!(answers(&world.hear(viewer)), [HashMap::from([("1".to_owned(), track)])]);
    assert_eq!(routes(&world.take_actions()), [], "packets flow once the viewer is connected");
    world.media(viewer, MediaEvent::Connected);
    assert_eq!(routes(&world.take_actions()), [(publisher, vec![viewer])]);
}

#[test]
fn muting_and_unpublishing_are_told() {
    let mut world = World::new();
    let (publisher, viewer) = (world.join("p-1"), world.join("p-2"));
    let sid = world.publish(publisher);
    world.offer(viewer, "0:video:recvonly");
    world.hear(viewer);
    world.request(publisher, Request::Mute(proto::MuteTrackRequest { sid: sid.clone(), muted: true }));
    assert!(updates(&world.hear(viewer))[0].tracks[0].muted);
    world.hear(publisher);
    world.request(viewer, Request::Mute(proto::MuteTrackRequest { sid, muted: false }));
    assert!(world.hear(publisher).is_empty(), "nobody mutes another's track");

    world.take_actions();
    world.offer(publisher, "v:video:inactive");
    let said = world.hear(viewer);
    assert!(updates(&said)[0].tracks.is_empty());
    assert_eq!(asked(&said), [(0, 0)], "the viewer's section is to rest");
    assert_eq!(routes(&world.take_actions()), [(publisher, vec![])]);
}

#[test]
fn grants_are_enforced() {
    let mut world = World::new();
    let publisher = world.join("p-1");
    world.publish(publisher);
    let mute_only = Grants { publish: true, sources: vec![TrackSource::Microphone], ..Grants::default() };
    let limited = world.try_join_with("p-2", "room", proto::JoinRequest::default(), mute_only).unwrap();
    world.media(limited, MediaEvent::Connected);
    world.request(limited, add_track("cam", TrackSource::Camera));
    let said = world.hear(limited);
    assert_eq!(published(&said), None);
    let refused = said.iter().find_map(|m| match m {
        Message::RequestResponse(response) => Some(response.reason()),
        _ => None,
    });
    assert_eq!(refused, Some(Reason::NotAllowed));
    world.request(limited, add_track("mic", TrackSource::Microphone));
    assert!(published(&world.hear(limited)).is_some());

    world.take_actions();
    world.offer(limited, "0:video:recvonly cam:video:sendonly:cam");
    assert_eq!(answers(&world.hear(limited)), [HashMap::new()], "may not subscribe");
    let actions = world.take_actions();
    let plan =
        actions.iter().find_map(|a| if let Action::Negotiate { plan, .. } = a { Some(plan) } else { None });
    assert!(plan.unwrap().iter().all(|s| s.role == crate::transport::sdp::SectionRole::Idle), "{plan:?}");

    world.media(limited, MediaEvent::Data(Channel::Reliable, user_data(5, &[])));
    assert!(world.take_actions().iter().all(|a| !matches!(a, Action::SendData(..))), "may not send data");
}

fn user_data(sequence: u32, destinations: &[&str]) -> Bytes {
    use prost::Message as _;
    let packet = proto::DataPacket {
        destination_identities: destinations.iter().map(|d| (*d).to_owned()).collect(),
        sequence,
        value: Some(Value::User(proto::UserPacket::default())),
        ..Default::default()
    };
    packet.encode_to_vec().into()
}

#[test]
fn data_goes_to_whom_it_is_meant() {
    let mut world = World::new();
    let sessions = ["p-1", "p-2", "p-3"].map(|identity| world.join(identity));
    let receivers = |world: &mut World, sequence, destinations: &[&str]| {
        world.take_actions();
        world.media(sessions[0], MediaEvent::Data(Channel::Reliable, user_data(sequence, destinations)));
        let sent = world.take_actions().into_iter().filter_map(|action| match action {
            Action::SendData(to, Channel::Reliable, _) => Some(to),
            _ => None,
        });
        sent.collect::<Vec<_>>()
    };
    assert_eq!(receivers(&mut world, 1, &[]), [sessions[1], sessions[2]]);
    assert_eq!(receivers(&mut world, 2, &["p-3"]), [sessions[2]]);
    assert_eq!(receivers(&mut world, 3, &["p-1", "p-9"]), []);
}

#[test]
fn the_same_identity_again_replaces_the_old_stay() {
    let mut world = World::new();
    let (old, other) = (world.join("p-1"), world.join("p-2"));
    world.hear(other);
    let new = world.join("p-1");
    assert_eq!(left(&world.hear(old)), Some((LeaveAction::Disconnect, DisconnectReason::DuplicateIdentity)));
    let seen = updates(&world.hear(other));
    assert_eq!(seen[0].state(), State::Disconnected);
    assert_ne!(seen[0].sid, seen[1].sid);
    assert!(world.take_actions().iter().any(|a| matches!(a, Action::Close(s) if *s == old)));
    assert_eq!(world.rooms.session_count(), 2);
    assert_ne!(old, new);
}

#[test]
fn a_stay_is_resumed_by_its_own_identity_in_its_own_room_only() {
    let mut world = World::new();
    let session = world.join("p-1");
    world.publish(session);
    world.media(session, MediaEvent::Data(Channel::Reliable, user_data(5, &[])));
    let resume = proto::JoinRequest {
        reconnect: true,
        participant_sid: "PA_0000000000000002".into(),
        ..Default::default()
    };
    assert_eq!(world.try_join("p-2", "room", resume.clone()), Err(JoinError::UnknownStay));
    assert_eq!(world.try_join("p-1", "other", resume.clone()), Err(JoinError::UnknownStay));
    let unknown = proto::JoinRequest { participant_sid: "PA_x".into(), ..resume.clone() };
    assert_eq!(world.try_join("p-1", "room", unknown), Err(JoinError::UnknownStay));

    world.rooms.signal_lost(world.now, session);
    world.hear(session);
    assert_eq!(world.try_join("p-1", "room", resume), Ok(session));
    let said = world.hear(session);
    let Message::Reconnect(resumed) = &said[0] else { panic!("{said:?}") };
    assert_eq!(resumed.last_message_seq, 5);
    world.pass(Duration::from_secs(16));
    assert_eq!(world.rooms.session_count(), 1, "it is not waited for any more");
}

#[test]
fn who_does_not_come_back_is_gone() {
    let mut world = World::new();
    let (lost, other) = (world.join("p-1"), world.join("p-2"));
    world.publish(lost);
    world.offer(other, "0:video:recvonly");
    world.rooms.signal_lost(world.now, lost);
    world.pass(Duration::from_secs(14));
    assert_eq!(world.rooms.session_count(), 2);
    world.hear(other);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.rooms.session_count(), 1);
    let said = world.hear(other);
    assert_eq!(updates(&said)[0].state(), State::Disconnected);
    assert_eq!(asked(&said), [(0, 0)]);
}

#[test]
fn who_is_not_heard_of_any_more_is_gone_and_who_is_stays() {
    let mut world = World::new();
    let (silent, heard) = (world.join("p-1"), world.join("p-2"));
    for _ in 0..31 {
        world.pass(Duration::from_secs(1));
        world.media(heard, MediaEvent::Heard);
    }
    assert_eq!(left(&world.hear(silent)).unwrap().0, LeaveAction::Reconnect);
    assert_eq!(left(&world.hear(heard)), None);
}

#[test]
fn keyframe_requests_reach_the_publisher_with_a_floor() {
    let mut world = World::new();
    let (publisher, viewer) = (world.join("p-1"), world.join("p-2"));
    world.publish(publisher);
    world.offer(viewer, "0:video:recvonly");
    world.pass(Duration::from_secs(1));
    world.take_actions();
    let mid = Mid::parse("0").unwrap();
    for _ in 0..10 {
        world.media(viewer, MediaEvent::KeyframeWanted(mid, Layer::High));
    }
    let requests = |world: &mut World| {
        let is_request = |a: &Action| matches!(a, Action::RequestKeyframe(who, ..) if *who == publisher);
        world.take_actions().iter().filter(|a| is_request(a)).count()
    };
    assert_eq!(requests(&mut world), 1);
    world.pass(Duration::from_millis(500));
    assert_eq!(requests(&mut world), 1);
    world.media(viewer, MediaEvent::KeyframeWanted(Mid::parse("9").unwrap(), Layer::High));
    assert_eq!(requests(&mut world), 0, "that section carries nothing");
}

#[test]
fn a_paused_track_is_not_sent() {
    let mut world = World::new();
    let (publisher, viewer) = (world.join("p-1"), world.join("p-2"));
    let sid = world.publish(publisher);
    world.offer(viewer, "0:video:recvonly");
    world.pass(Duration::from_secs(1));
    let mut setting = |disabled| {
        world.take_actions();
        let setting =
            proto::UpdateTrackSettings { track_sids: vec![sid.clone()], disabled, ..Default::default() };
        world.request(viewer, Request::TrackSetting(setting));
        world.take_actions()
    };
    assert_eq!(routes(&setting(true)), [(publisher, vec![])]);
    assert_eq!(routes(&setting(false)), [(publisher, vec![viewer])]);
}

/// A publisher of a camera with three layers, a viewer, and the track.
fn layered(world: &mut World) -> (SessionId, SessionId, String) {
    let (publisher, viewer) = (world.join("p-1"), world.join("p-2"));
    let Request::AddTrack(mut track) = add_track("cam", TrackSource::Camera) else { unreachable!() };
    let layer = |quality, width| proto::VideoLayer { quality, width, ..Default::default() };
    track.layers = vec![layer(0, 320), layer(1, 640), layer(2, 1_280)];
    world.request(publisher, Request::AddTrack(track));
    let sid = published(&world.hear(publisher)).expect("published");
    world.offer(publisher, "v:video:sendonly:cam");
    world.media(publisher, MediaEvent::TrackStarted(Mid::parse("v").unwrap()));
    world.offer(viewer, "0:video:recvonly");
    world.hear(publisher);
    world.hear(viewer);
    (publisher, viewer, sid)
}

/// Which layers somebody wants, as the publisher was told last.
fn demanded(said: &[Message]) -> Option<Vec<bool>> {
    let mut told = said.iter().filter_map(|message| match message {
        Message::SubscribedQualityUpdate(update) => Some(&update.subscribed_codecs[0]),
        _ => None,
    });
    told.next_back().map(|codec| codec.qualities.iter().map(|quality| quality.enabled).collect())
}

#[test]
fn a_small_window_gets_a_small_layer_and_the_publisher_stops_sending_the_others() {
    let mut world = World::new();
    let (publisher, viewer, sid) = layered(&mut world);
    let shows = |world: &mut World, width| {
        world.take_actions();
        let track_sids = vec![sid.clone()];
        let setting = proto::UpdateTrackSettings { track_sids, width, height: 10, ..Default::default() };
        world.request(viewer, Request::TrackSetting(setting));
        let actions = world.take_actions();
        let legs = actions.iter().filter_map(|action| match action {
            Action::Route { legs, .. } => Some(legs.clone()),
            _ => None,
        });
        legs.flatten().map(|leg| leg.most).collect::<Vec<_>>()
    };
    assert_eq!(shows(&mut world, 300), [Layer::Low]);
    assert_eq!(demanded(&world.hear(publisher)), None, "the window may grow again");
    world.pass(Duration::from_secs(4));
    assert_eq!(demanded(&world.hear(publisher)), Some(vec![true, false, false]));
    assert_eq!(shows(&mut world, 600), [Layer::Medium]);
    assert_eq!(demanded(&world.hear(publisher)), Some(vec![true, true, false]), "at once");
    world.rooms.abandon(world.now, viewer, DisconnectReason::ClientInitiated);
    world.act();
    world.pass(Duration::from_secs(1));
    world.pass(Duration::from_secs(4));
    assert_eq!(demanded(&world.hear(publisher)), Some(vec![false, false, false]));
}

#[test]
fn a_viewer_is_told_when_its_line_carries_no_picture() {
    let mut world = World::new();
    let (_, viewer, sid) = layered(&mut world);
    let mut told = |is_paused| {
        world.media(viewer, MediaEvent::Paused(Mid::parse("0").unwrap(), is_paused));
        let said = world.hear(viewer);
        let states = said.iter().filter_map(|message| match message {
            Message::StreamStateUpdate(update) => Some(update.stream_states.clone()),
            _ => None,
        });
        let states: Vec<_> = states.flatten().collect();
        assert_eq!((states.len(), &states[0].track_sid), (1, &sid));
        states[0].state()
    };
    assert_eq!(told(true), proto::StreamState::Paused);
    assert_eq!(told(false), proto::StreamState::Active);
}

#[test]
fn keyframes_of_different_layers_do_not_wait_for_each_other() {
    let mut world = World::new();
    let (publisher, viewer, _) = layered(&mut world);
    world.take_actions();
    for layer in [Layer::Low, Layer::High, Layer::Low, Layer::High] {
        world.media(viewer, MediaEvent::KeyframeWanted(Mid::parse("0").unwrap(), layer));
    }
    let asked: Vec<_> = world
        .take_actions()
        .into_iter()
        .filter_map(|action| match action {
            Action::RequestKeyframe(who, _, layer) => Some((who, layer)),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [(publisher, Layer::Low), (publisher, Layer::High)]);
}

#[test]
fn a_subscription_can_be_given_up_and_taken_again() {
    let mut world = World::new();
    let (publisher, viewer) = (world.join("p-1"), world.join("p-2"));
    let sid = world.publish(publisher);
    world.offer(viewer, "0:video:recvonly");
    world.hear(viewer);
    let subscription = |subscribe| {
        let track_sids = vec![sid.clone(), "TR_unknown".to_owned()];
        Request::Subscription(proto::UpdateSubscription { track_sids, subscribe, ..Default::default() })
    };
    world.request(viewer, subscription(false));
    assert_eq!(asked(&world.hear(viewer)), [(0, 0)]);
    world.offer(viewer, "0:video:recvonly");
    assert_eq!(answers(&world.hear(viewer)), [HashMap::new()]);
    world.request(viewer, subscription(true));
    world.offer(viewer, "0:video:recvonly");
    assert_eq!(answers(&world.hear(viewer)), [HashMap::from([("0".to_owned(), sid.clone())])]);
}

#[test]
fn bounds_hold() {
    let mut world = World::new();
    let first = world.join("p-1");
    for _ in 0..3 {
        world.request(first, add_track(&format!("t{}", world.said.len()), TrackSource::Camera));
        world.said.insert(SessionId::for_test(1_000 + world.said.len() as u64), Vec::new());
    }
    let said = world.hear(first);
    let limited =
        said.iter().any(|m| matches!(m, Message::RequestResponse(r) if r.reason() == Reason::LimitExceeded));
    assert!(limited, "tracks of a participant");

    for identity in ["p-2", "p-3", "p-4"] {
        world.join(identity);
    }
    let join =
        |world: &mut World, identity: &str, room: &str| world.try_join(identity, room, Default::default());
    assert_eq!(join(&mut world, "p-5", "room"), Err(JoinError::RoomFull));
    assert!(join(&mut world, "p-4", "room").is_ok(), "who returns takes no more room");
    for room in ["a", "b", "c", "d"] {
        assert!(world.try_join_running("x", room).is_ok());
    }
    assert_eq!(world.try_join_running("x", "e"), Err(JoinError::NodeFull));
    assert!(join(&mut world, "x", "a").is_ok(), "who returns takes no more room");
}

#[test]
fn from_seventy_percent_on_only_running_calls_grow() {
    let mut world = World::new();
    let join =
        |world: &mut World, identity: &str, room: &str| world.try_join(identity, room, Default::default());
    for room in ["a", "b", "c", "d", "e", "f"] {
        assert!(join(&mut world, "p-1", room).is_ok(), "{room}");
    }
    // Six of eight.
    assert_eq!(join(&mut world, "p-1", "g"), Err(JoinError::NoNewCalls));
    assert!(join(&mut world, "p-2", "a").is_ok(), "a call that is here");
    assert!(world.try_join_running("p-1", "g").is_ok(), "a call that lost its node");
    assert_eq!(join(&mut world, "p-3", "a"), Err(JoinError::NodeFull));
    assert_eq!(world.try_join_running("p-1", "h"), Err(JoinError::NodeFull));
    assert!(join(&mut world, "p-1", "b").is_ok(), "who returns takes no more room");

    for room in ["e", "f", "g"] {
        let session = join(&mut world, "p-1", room).unwrap();
        world.request(session, Request::Leave(proto::LeaveRequest::default()));
    }
    // Five of eight.
    assert!(join(&mut world, "p-1", "h").is_ok());
}

#[test]
fn attributes_are_told_and_names_refused() {
    let mut world = World::new();
    let (session, other) = (world.join("p-1"), world.join("p-2"));
    world.hear(other);
    let update = |world: &mut World, update: proto::UpdateParticipantMetadata| {
        world.hear(session);
        world.request(
            session,
            Request::UpdateMetadata(proto::UpdateParticipantMetadata { request_id: 3, ..update }),
        );
        let said = world.hear(session);
        let Message::RequestResponse(response) = &said[0] else { panic!("{said:?}") };
        assert_eq!(response.request_id, 3);
        response.reason()
    };
    let attributes = HashMap::from([("key".to_owned(), "value".to_owned())]);
    let good = proto::UpdateParticipantMetadata { attributes: attributes.clone(), ..Default::default() };
    assert_eq!(update(&mut world, good), Reason::Ok);
    assert_eq!(updates(&world.hear(other))[0].attributes, attributes);
    let named = proto::UpdateParticipantMetadata { name: "Ana".into(), ..Default::default() };
    assert_eq!(update(&mut world, named), Reason::NotAllowed);
    assert!(updates(&world.hear(other)).is_empty());
}

#[test]
fn a_drain_says_until_when_to_move_then_sends_everybody_elsewhere() {
    let mut world = World::new();
    let sessions = ["p-1", "p-2"].map(|identity| world.join(identity));
    let _ = sessions.map(|session| world.hear(session));
    world.rooms.drain(world.now);
    world.act();
    for session in sessions {
        let heard = world.hear(session);
        assert_eq!(metadata(&heard).as_deref(), Some(r#"{"moving":{"withinMs":5000}}"#));
        assert_eq!(left(&heard), None, "the call goes on meanwhile");
    }
    assert_eq!(world.try_join("p-3", "room", proto::JoinRequest::default()), Err(JoinError::Draining));

    // A socket that is lost just then comes back to what is left of the time; told twice, the time is the same.
    world.pass(Duration::from_secs(3));
    world.rooms.drain(world.now);
    let resume = proto::JoinRequest {
        reconnect: true,
        participant_sid: "PA_0000000000000002".into(),
        ..Default::default()
    };
    assert_eq!(world.try_join("p-1", "room", resume), Ok(sessions[0]));
    assert_eq!(metadata(&world.hear(sessions[0])).as_deref(), Some(r#"{"moving":{"withinMs":2000}}"#));

    world.pass(Duration::from_secs(2) - Duration::from_millis(1));
    assert_eq!(world.rooms.session_count(), 2);
    world.pass(TICK);
    for session in sessions {
        assert_eq!(
            left(&world.hear(session)),
            Some((LeaveAction::Reconnect, DisconnectReason::ServerShutdown))
        );
    }
    assert_eq!(world.rooms.session_count(), 0);
    assert_eq!(world.try_join("p-1", "room", proto::JoinRequest::default()), Err(JoinError::Draining));
}

#[test]
fn who_need_not_move_after_all_is_told_and_stays() {
    let mut world = World::new();
    let session = world.join("p-1");
    world.rooms.drain(world.now);
    world.act();
    world.hear(session);
    world.rooms.take_in(world.now);
    world.act();
    assert_eq!(metadata(&world.hear(session)).as_deref(), Some(""));
    world.pass(2 * MOVE_WITHIN);
    assert_eq!(left(&world.hear(session)), None);
    world.join("p-2");
}

#[test]
fn a_node_without_people_drains_at_once() {
    let mut world = World::new();
    world.rooms.drain(world.now);
    world.pass(MOVE_WITHIN);
    assert_eq!(world.rooms.poll_timeout(), None);
}

#[test]
fn whoever_is_refused_is_put_out_and_the_others_are_told() {
    let mut world = World::new();
    let [stays, removed] = ["p-1", "p-2"].map(|identity| world.join(identity));
    world.hear(stays);
    world.hear(removed);
    let refused = |room: &str, participant: Option<&str>| {
        let participant = participant.map(str::to_owned);
        let said = Revocation { room: room.to_owned(), participant, until_ms: i64::MAX };
        Revoked::of(std::iter::once(&said), 0)
    };
    assert_eq!(world.rooms.put_out(world.now, &refused("another", None)), 0);
    assert_eq!(world.rooms.put_out(world.now, &refused("room", Some("p-2"))), 1);
    world.act();
    // Not to come back: every node refuses them.
    let put_out = Some((LeaveAction::Disconnect, DisconnectReason::ParticipantRemoved));
    assert_eq!(left(&world.hear(removed)), put_out);
    let told = updates(&world.hear(stays));
    assert_eq!((told.len(), told[0].state()), (1, State::Disconnected));
    assert_eq!(world.rooms.put_out(world.now, &refused("room", Some("p-2"))), 0, "once");
    assert_eq!(world.rooms.put_out(world.now, &refused("room", None)), 1, "with the room, everybody");
    world.act();
    assert_eq!(left(&world.hear(stays)), put_out);
    assert_eq!(world.rooms.session_count(), 0);
}

#[test]
fn an_empty_room_is_forgotten_after_a_while() {
    let mut world = World::new();
    let session = world.join("p-1");
    world.request(session, Request::Leave(proto::LeaveRequest::default()));
    world.pass(EMPTY_ROOM_LASTS - Duration::from_millis(1));
    assert_eq!(world.rooms.room_count(), 1);
    world.pass(TICK);
    assert_eq!(world.rooms.room_count(), 0);
    assert_eq!(world.rooms.poll_timeout(), None, "nothing is left to wake up for");
}

#[test]
fn an_offer_that_cannot_be_read_ends_the_stay_only() {
    let mut world = World::new();
    let (bad, good) = (world.join("p-1"), world.join("p-2"));
    let garbage = proto::SessionDescription { sdp: "m=".into(), ..Default::default() };
    world.request(bad, Request::Offer(garbage));
    assert_eq!(left(&world.hear(bad)), Some((LeaveAction::Reconnect, DisconnectReason::MediaFailure)));
    assert_eq!(left(&world.hear(good)), None);
    world.request(bad, Request::Ping(1));
    assert!(world.hear(bad).is_empty(), "whoever is gone is not answered");
}

/// What the record was told since the last look: who, and what.
fn recorded(world: &mut World) -> Vec<(String, CallEventKind)> {
    let told = world.take_actions().into_iter().filter_map(|action| match action {
        Action::Record(happened) => Some((happened.participant.to_string(), happened.what)),
        _ => None,
    });
    told.collect()
}

#[test]
fn the_record_is_told_of_who_was_there() {
    let mut world = World::new();
    world.try_join("ana", "room", Default::default()).unwrap();
    assert_eq!(recorded(&mut world), [], "media is not connected yet");
    let bert = world.join("bert");
    let joined = recorded(&mut world);
    let [(name, CallEventKind::Joined { stay })] = joined.as_slice() else { panic!("{joined:?}") };
    assert_eq!(name, "bert");
    let stay = stay.clone();

    world.now.at += Duration::from_secs(20);
    world.media(bert, MediaEvent::Heard);
    let gap = CallEventKind::Gap { stay: stay.clone(), gap_ms: 20_000 };
    assert_eq!(recorded(&mut world), [("bert".to_owned(), gap)]);

    world.request(bert, Request::Leave(proto::LeaveRequest::default()));
    let told = recorded(&mut world);
    let [(_, CallEventKind::Left { stay: left, reason })] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((left, reason.as_str()), (&stay, "client-initiated"));
}
