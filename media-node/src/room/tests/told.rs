//! What clients are told without asking, and what they are answered.

use super::*;

fn mute(sid: &str, muted: bool) -> Request {
    Request::Mute(proto::MuteTrackRequest { sid: sid.to_owned(), muted })
}

fn refusals(said: &[Message]) -> Vec<Reason> {
    let refused = said.iter().filter_map(|message| match message {
        Message::RequestResponse(response) => Some(response.reason()),
        _ => None,
    });
    refused.collect()
}

fn speakers(said: &[Message]) -> Vec<(String, bool)> {
    let changes = said.iter().filter_map(|message| match message {
        Message::SpeakersChanged(changed) => Some(changed.speakers.clone()),
        _ => None,
    });
    changes.flatten().map(|speaker| (speaker.sid, speaker.active)).collect()
}

fn qualities(said: &[Message]) -> Vec<proto::ConnectionQuality> {
    let updates = said.iter().filter_map(|message| match message {
        Message::ConnectionQuality(update) => Some(update.updates.clone()),
        _ => None,
    });
    updates.flatten().map(|update| update.quality()).collect()
}

/// Publishes a microphone on section `m`.
fn publish_microphone(world: &mut World, session: SessionId) -> String {
    world.request(session, add_track("mic", TrackSource::Microphone));
    let sid = published(&world.hear(session)).expect("published");
    world.offer(session, "m:audio:sendonly:mic");
    world.media(session, MediaEvent::TrackStarted(Mid::parse("m").unwrap()));
    sid
}

/// A second of packets, one in `lost_of` lost.
fn sends(world: &mut World, session: SessionId, level: u8, from: u16, lost_of: u16) {
    for sequence in (from..from + 50).filter(|sequence| sequence % lost_of != 1) {
        world.rooms.packet(session, Mid::parse("m").unwrap(), Layer::High, sequence, Some(level));
    }
    world.pass(Duration::from_secs(1));
    world.media(session, MediaEvent::Heard);
}

#[test]
fn a_moderator_closes_a_microphone_and_its_owner_opens_it() {
    let mut world = World::new();
    let owner = world.join("p-1");
    let sid = publish_microphone(&mut world, owner);
    let other = world.join("p-2");
    let moderator = Grants { admin: true, ..all_grants() };
    let moderator = world.try_join_with("p-3", "room", proto::JoinRequest::default(), moderator).unwrap();
    world.media(moderator, MediaEvent::Connected);
    world.offer(other, "0:audio:recvonly");
    for session in [owner, other, moderator] {
        world.hear(session);
    }
    world.take_actions();

    world.request(other, mute(&sid, true));
    assert_eq!(refusals(&world.hear(other)), [Reason::NotAllowed]);
    world.request(other, mute("TR_x", true));
    assert_eq!(refusals(&world.hear(other)), [Reason::NotFound]);
    assert!(world.hear(owner).is_empty() && world.take_actions().is_empty());

    world.request(moderator, mute(&sid, true));
    let said = world.hear(owner);
    assert!(
        said.iter().any(|m| matches!(m, Message::Mute(mute) if mute.muted && mute.sid == sid)),
        "{said:?}"
    );
    assert!(updates(&world.hear(other))[0].tracks[0].muted);
    assert_eq!(routes(&world.take_actions()), [(owner, vec![])], "also if the client goes on sending");
    world.request(moderator, mute(&sid, false));
    assert_eq!(refusals(&world.hear(moderator)), [Reason::NotAllowed]);
    world.request(owner, mute(&sid, false));
    assert_eq!(routes(&world.take_actions()), [(owner, vec![other])]);
}

#[test]
fn who_speaks_is_told_to_all_and_to_who_comes_later() {
    let mut world = World::new();
    let (speaker, other) = (world.join("p-1"), world.join("p-2"));
    let sid = updates(&world.hear(other))[0].sid.clone();
    let track = publish_microphone(&mut world, speaker);
    sends(&mut world, speaker, 20, 0, u16::MAX);
    let other_sid = |said: &[Message]| speakers(said).into_iter().map(|(sid, _)| sid).next();
    assert_ne!(other_sid(&world.hear(speaker)), Some(sid), "p-1 speaks, and hears of it");
    assert_eq!(speakers(&world.hear(other)).len(), 1);
    sends(&mut world, speaker, 20, 50, u16::MAX);
    assert_eq!(speakers(&world.hear(other)), [], "no news");
    let late = world.join("p-3");
    assert!(speakers(&world.hear(late))[0].1);
    sends(&mut world, speaker, 90, 100, u16::MAX);
    assert!(!speakers(&world.hear(other))[0].1);

    world.request(speaker, mute(&track, true));
    sends(&mut world, speaker, 20, 150, u16::MAX);
    assert_eq!(speakers(&world.hear(other)), [], "nobody hears it");
}

#[test]
fn the_quality_of_a_line_is_told_when_it_changes() {
    use proto::ConnectionQuality::{Excellent, Lost, Poor};
    let mut world = World::new();
    let (sender, other) = (world.join("p-1"), world.join("p-2"));
    publish_microphone(&mut world, sender);
    let five_seconds = |world: &mut World, from, lost_of| {
        for second in 0..5_u16 {
            sends(world, sender, 90, from + second * 50, lost_of);
            world.media(other, MediaEvent::Heard);
        }
        qualities(&world.hear(other))
    };
    assert_eq!(five_seconds(&mut world, 0, u16::MAX), [Excellent, Excellent]);
    assert_eq!(five_seconds(&mut world, 250, u16::MAX), []);
    assert_eq!(five_seconds(&mut world, 500, 4), [Poor, Excellent]);
    for _ in 0..12 {
        world.pass(Duration::from_secs(1));
        world.media(other, MediaEvent::Heard);
    }
    assert_eq!(qualities(&world.hear(other)).last(), Some(&Excellent));
    assert!(qualities(&world.hear(sender)).contains(&Lost), "nothing was heard of it");
}

#[test]
fn what_is_sent_again_after_a_resume_arrives_once() {
    let mut world = World::new();
    let (sender, _) = (world.join("p-1"), world.join("p-2"));
    let mut send = |channel| {
        world.take_actions();
        world.media(sender, MediaEvent::Data(channel, user_data(5, &[])));
        world.take_actions().iter().filter(|a| matches!(a, Action::SendData(..))).count()
    };
    assert_eq!([send(Channel::Reliable), send(Channel::Reliable)], [1, 0]);
    assert_eq!([send(Channel::Lossy), send(Channel::Lossy)], [1, 1], "its numbers mean nothing");
}

#[test]
fn the_first_subscriber_is_told_to_the_publisher() {
    let mut world = World::new();
    let (publisher, viewer) = (world.join("p-1"), world.join("p-2"));
    let sid = world.publish(publisher);
    let told = |world: &mut World| {
        let is_it = |m: &&Message| matches!(m, Message::TrackSubscribed(told) if told.track_sid == sid);
        world.hear(publisher).iter().filter(is_it).count()
    };
    assert_eq!(told(&mut world), 0);
    world.offer(viewer, "0:video:recvonly");
    let third = world.join("p-3");
    world.offer(third, "0:video:recvonly");
    assert_eq!(told(&mut world), 1);
}

#[test]
fn a_client_can_try_what_a_node_does_to_it() {
    use proto::simulate_scenario::Scenario;
    for (scenario, action) in [
        (Scenario::ServerLeave(true), LeaveAction::Disconnect),
        (Scenario::LeaveRequestFullReconnect(true), LeaveAction::Reconnect),
    ] {
        let mut world = World::new();
        let (session, other) = (world.join("p-1"), world.join("p-2"));
        let simulate = proto::SimulateScenario { scenario: Some(scenario) };
        world.request(session, Request::Simulate(simulate));
        assert_eq!(left(&world.hear(session)).unwrap().0, action);
        assert_eq!(left(&world.hear(other)), None);
    }
}

#[test]
fn what_a_node_cannot_do_is_answered() {
    let mut world = World::new();
    let session = world.join("p-1");
    world.hear(session);
    for unsupported in [
        Request::Simulate(proto::SimulateScenario::default()),
        Request::StoreDataBlobRequest(proto::StoreDataBlobRequest::default()),
        Request::PublishDataTrackRequest(proto::PublishDataTrackRequest::default()),
    ] {
        world.request(session, unsupported);
        assert_eq!(refusals(&world.hear(session)), [Reason::UnsupportedType]);
    }
    world.request(session, Request::UpdateAudioTrack(proto::UpdateLocalAudioTrack::default()));
    assert_eq!(refusals(&world.hear(session)), [Reason::NotFound]);
    let track_sids = (0..100).map(|i| format!("TR_{i}")).collect();
    let unknown = proto::UpdateSubscription { track_sids, subscribe: true, ..Default::default() };
    world.request(session, Request::Subscription(unknown));
    let answered = world.hear(session);
    assert!(answered.iter().all(|m| matches!(m, Message::SubscriptionResponse(_))), "{answered:?}");
    assert!((1..100).contains(&answered.len()), "some of them, not all");
}

#[test]
fn what_a_client_corrects_of_its_track_is_told() {
    let mut world = World::new();
    let owner = world.join("p-1");
    let sid = publish_microphone(&mut world, owner);
    let other = world.join("p-2");
    world.hear(other);
    let features = vec![1; 100];
    world
        .request(owner, Request::UpdateAudioTrack(proto::UpdateLocalAudioTrack { track_sid: sid, features }));
    assert_eq!(updates(&world.hear(other))[0].tracks[0].audio_features.len(), 8, "bounded");
}
