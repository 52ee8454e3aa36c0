//! Clients with two connections: the node offers what they receive.

use super::*;
use crate::transport::sdp::SectionRole;

/// The connection a session receives on is the one numbered next.
fn receives_on(session: SessionId) -> SessionId {
    session.next().unwrap()
}

fn join(world: &mut World, identity: &str) -> SessionId {
    world.signalling = Signalling::V0;
    let session = world.try_join(identity, "room", proto::JoinRequest::default()).unwrap();
    world.media(receives_on(session), MediaEvent::Connected);
    session
}

/// Numbers of the offers in what was said.
fn offered(said: &[Message]) -> Vec<u32> {
    let offers = said.iter().filter_map(|message| match message {
        Message::Offer(offer) => Some(offer.id),
        _ => None,
    });
    offers.collect()
}

/// Tracks of the last offer's plan, by the order of its sections.
fn planned(actions: &[Action]) -> Vec<Option<String>> {
    let plan = actions.iter().rev().find_map(|action| match action {
        Action::Offer { plan, .. } => Some(plan),
        _ => None,
    });
    let track = |section: &Section| match &section.role {
        SectionRole::Send { track, .. } => Some(track.clone()),
        _ => None,
    };
    plan.expect("an offer").iter().map(track).collect()
}

fn answer(id: u32) -> Request {
    let sdp = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n".to_owned();
    Request::Answer(proto::SessionDescription { r#type: "answer".into(), sdp, id, ..Default::default() })
}

#[test]
fn an_offer_follows_the_join_and_packets_flow_once_it_is_answered() {
    let mut world = World::new();
    let publisher = world.join("p-1");
    let track = world.publish(publisher);
    world.take_actions();
    let viewer = join(&mut world, "p-2");
    let said = world.hear(viewer);
    let Message::Join(joined) = &said[0] else { panic!("{said:?}") };
    assert!(joined.subscriber_primary);
    assert_eq!(offered(&said), [1]);
    assert_eq!(asked(&said), [], "v0 clients know no such question");
    let actions = world.take_actions();
    assert_eq!(planned(&actions), [Some(track)]);
    assert_eq!(routes(&actions), []);

    world.request(viewer, answer(1));
    assert_eq!(routes(&world.take_actions()), [(publisher, vec![receives_on(viewer)])]);
}

#[test]
fn firefox_learns_which_track_it_is_from_the_name_of_the_stream() {
    let mut world = World::new();
    let publisher = world.join("p-1");
    let track = world.publish(publisher);
    for (browser, names_it) in [("Firefox", true), ("Chrome", false)] {
        world.take_actions();
        world.signalling = Signalling::V0;
        let client_info = Some(proto::ClientInfo { browser: browser.to_owned(), ..Default::default() });
        let joining = proto::JoinRequest { client_info, ..Default::default() };
        let session = world.try_join(browser, "room", joining).unwrap();
        world.media(receives_on(session), MediaEvent::Connected);
        let actions = world.take_actions();
        let plan = actions.iter().find_map(|action| match action {
            Action::Offer { plan, .. } => plan.first(),
            _ => None,
        });
        let Some(SectionRole::Send { stream, .. }) = plan.map(|section| &section.role) else { panic!() };
        assert_eq!(stream.ends_with(&format!("|{track}")), names_it, "{stream}");
    }
}

#[test]
fn what_is_published_on_one_connection_is_received_on_the_other() {
    let mut world = World::new();
    let (publisher, viewer) = (join(&mut world, "p-1"), join(&mut world, "p-2"));
    for session in [publisher, viewer] {
        world.request(session, answer(1));
        let own = updates(&world.hear(session)).into_iter().rfind(|p| p.identity.starts_with("p-")).unwrap();
        assert_eq!(own.state(), State::Active);
    }
    let track = world.publish(publisher);
    world.take_actions();
    world.offer(viewer, "x:video:sendonly:cam 0:video:recvonly");
    let said = world.hear(viewer);
    assert_eq!(answers(&said), [HashMap::new()], "nothing is received on this one");
    assert_eq!(routes(&world.take_actions()), [], "that was no answer to the node's offer");
    world.request(viewer, answer(2));
    assert_eq!(routes(&world.take_actions()), [(publisher, vec![receives_on(viewer)])]);
    world.pass(Duration::from_secs(1));
    world.take_actions();
    world.media(receives_on(viewer), MediaEvent::KeyframeWanted(Mid::parse("s0").unwrap(), Layer::High));
    let asks = |a: &Action| matches!(a, Action::RequestKeyframe(who, ..) if *who == publisher);
    assert!(world.take_actions().iter().any(asks), "{track}");

    world.media(publisher, MediaEvent::Data(Channel::Reliable, user_data(5, &[])));
    let sent = world.take_actions().into_iter().find_map(|a| match a {
        Action::SendData(to, ..) => Some(to),
        _ => None,
    });
    assert_eq!(sent, Some(receives_on(viewer)));
}

#[test]
fn the_publishing_connection_alone_makes_nobody_active() {
    let mut world = World::new();
    world.signalling = Signalling::V0;
    let session = world.try_join("p-1", "room", proto::JoinRequest::default()).unwrap();
    world.media(session, MediaEvent::Connected);
    assert!(updates(&world.hear(session)).is_empty());
    world.media(receives_on(session), MediaEvent::Connected);
    assert_eq!(updates(&world.hear(session))[0].state(), State::Active);
}

#[test]
fn a_late_answer_changes_nothing_and_a_missing_one_ends_the_stay() {
    let mut world = World::new();
    let (publisher, viewer) = (world.join("p-1"), join(&mut world, "p-2"));
    world.publish(publisher);
    world.take_actions();
    for late in [answer(9), answer(2)] {
        world.request(viewer, late);
    }
    assert!(world.take_actions().is_empty(), "1 is the open one");
    world.request(viewer, answer(0));
    assert_eq!(offered(&world.hear(viewer)), [1, 2], "the next follows the answer");
    world.pass(Duration::from_secs(14));
    assert_eq!(world.rooms.session_count(), 2);
    world.pass(Duration::from_secs(1));
    assert_eq!(left(&world.hear(viewer)).unwrap().0, LeaveAction::Reconnect);
}

#[test]
fn a_resume_restarts_what_the_node_offers() {
    let mut world = World::new();
    let session = join(&mut world, "p-1");
    world.request(session, answer(1));
    world.rooms.signal_lost(world.now, session);
    world.hear(session);
    world.take_actions();
    let resume = proto::JoinRequest {
        reconnect: true,
        participant_sid: "PA_0000000000000002".into(),
        ..Default::default()
    };
    assert_eq!(world.try_join("p-1", "room", resume), Ok(session));
    let said = world.hear(session);
    assert!(matches!(said[0], Message::Reconnect(_)), "{said:?}");
    assert_eq!(offered(&said), [2]);
    let restarts = |a: &Action| matches!(a, Action::Offer { restart: true, .. });
    assert!(world.take_actions().iter().any(restarts));
}

#[test]
fn both_connections_end_with_the_stay_and_count_as_one() {
    let mut world = World::new();
    let session = join(&mut world, "p-1");
    assert_eq!(world.rooms.session_count(), 1);
    world.take_actions();
    world.hear(session);
    world.rooms.abandon(world.now, receives_on(session), DisconnectReason::MediaFailure);
    world.act();
    let closed = world.take_actions().into_iter().filter_map(|a| match a {
        Action::Close(session) => Some(session),
        _ => None,
    });
    assert_eq!(closed.collect::<Vec<_>>(), [session, receives_on(session)]);
    assert_eq!(world.rooms.session_count(), 0);
    world.media(receives_on(session), MediaEvent::Connected);
    assert!(world.hear(session).iter().all(|m| !matches!(m, Message::Update(_))), "gone");
}
