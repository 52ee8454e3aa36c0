use std::time::UNIX_EPOCH;

use locum_cluster::probe::ProbePassword;
use locum_identity::{Fingerprint, SigningKey};

use super::*;
use crate::health::{Change, Evidence};
use crate::plan::{Action, Author};

fn at(ms: u64) -> Now {
    Now { elapsed: Duration::from_millis(ms), unix_ms: 1_800_000_000_000 + i64::try_from(ms).unwrap() }
}

fn identity(role: &str, node: &str) -> NodeIdentity {
    format!("spiffe://locum.localhost/west/{role}/{node}").parse().unwrap()
}

fn claims(identity: &NodeIdentity, now: Now) -> JoinTokenClaims {
    let time = UNIX_EPOCH + Duration::from_millis(now.unix_ms.try_into().unwrap());
    JoinTokenClaims::new(identity.clone(), Fingerprint::of(b"ca"), time).unwrap()
}

fn joined(identities: &[&NodeIdentity]) -> Membership {
    let mut membership = Membership::new(Record::default(), at(0));
    for identity in identities {
        let next = membership.join(&claims(identity, at(0)), at(0)).unwrap();
        membership.commit(next, at(0));
    }
    membership
}

fn saying(sessions: u32) -> Heartbeat {
    let load = Load { sessions, capacity: 100, cpu_permille: 0 };
    Heartbeat { addresses: vec!["https://a.example".to_owned()], load, ..Heartbeat::default() }
}

/// One look at everybody, as the executor does it.
fn look(membership: &mut Membership, now: Now) -> u64 {
    if let Some(next) = membership.refreshed(membership.record(), now) {
        membership.commit(next, now);
    }
    membership.record().list.version
}

fn state(membership: &Membership, node: &str) -> NodeState {
    membership.record().list.nodes.iter().find(|told| told.id.as_str() == node).unwrap().state
}

#[test]
fn a_token_is_spent_once() {
    let edge = identity("edge", "edge-1");
    let mut membership = Membership::new(Record::default(), at(0));
    let token = claims(&edge, at(0));
    let next = membership.join(&token, at(0)).unwrap();
    membership.commit(next, at(0));
    assert_eq!(membership.join(&token, at(1)), Err(Refused::Spent));
    assert!(membership.join(&claims(&edge, at(1)), at(1)).is_ok(), "the same node with a new token");
}

#[test]
fn a_forgotten_token_is_refused_even_when_the_clock_goes_back() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let mut membership = Membership::new(Record::default(), at(0));
    let old = claims(&identity("edge", "edge-1"), at(0));
    let next = membership.join(&old, at(0)).unwrap();
    membership.commit(next, at(0));
    let much_later = at(3 * DAY_MS);
    let next = membership.join(&claims(&identity("edge", "edge-2"), much_later), much_later).unwrap();
    membership.commit(next, much_later);
    assert!(!membership.record().spent.contains_key(&old.jti), "not kept for ever");
    assert_eq!(membership.join(&old, at(1)), Err(Refused::Forgotten));
}

#[test]
fn a_name_belongs_to_one_role_and_region() {
    let membership = joined(&[&identity("edge", "one")]);
    assert_eq!(membership.join(&claims(&identity("media", "one"), at(0)), at(0)), Err(Refused::NameTaken));
    let next = membership.join(&claims(&identity("control", "two"), at(0)), at(0)).unwrap();
    assert_eq!(next.control.seats.len(), 1, "a member of the control plane gets a seat");
    assert_eq!(membership.check(&identity("media", "one")), Err(Refused::NotMember));
}

#[test]
fn a_node_is_told_of_once_heard_from_and_only_changes_make_a_version() {
    let media = identity("media", "media-1");
    let mut membership = joined(&[&media]);
    assert_eq!(look(&mut membership, at(0)), 0, "joined, not yet heard from");
    assert!(membership.heartbeat(&media, saying(0), at(10)).unwrap());
    assert_eq!(look(&mut membership, at(10)), 1);
    for ms in [500, 1000, 1500] {
        assert!(!membership.heartbeat(&media, saying(1), at(ms)).unwrap());
        assert_eq!(look(&mut membership, at(ms)), 1);
    }
    assert_eq!(membership.heartbeat(&identity("media", "x"), saying(0), at(9)), Err(Refused::NotMember));
}

/// What the planner decided, as the executor puts it into the record.
fn take(membership: &mut Membership, action: Action, now: Now) {
    let record = membership.record().clone();
    let step = record.operations.step(action, 0).unwrap();
    let operations = record.operations.apply(&step, Author::Operator, 0, |_| Some(Role::Media)).unwrap();
    membership.commit(Record { operations, ..record }, now);
    look(membership, now);
}

#[test]
fn the_list_says_what_was_decided_and_what_a_node_says_itself() {
    let media = identity("media", "media-1");
    let mut membership = joined(&[&media]);
    membership.heartbeat(&media, saying(0), at(0)).unwrap();
    look(&mut membership, at(0));
    let (node, evidence) = (media.node.clone(), Evidence::default());
    assert_eq!(look(&mut membership, at(60_000)), 1, "silence alone decides nothing here");
    let change = |change| Action::Node { node: node.clone(), change, evidence: evidence.clone() };
    take(&mut membership, change(Change::Lost), at(60_000));
    assert_eq!(state(&membership, "media-1"), NodeState::Down);
    assert!(!membership.heartbeat(&media, saying(0), at(60_100)).unwrap(), "a word is no news any more");
    take(&mut membership, change(Change::Back), at(61_000));
    assert_eq!(state(&membership, "media-1"), NodeState::Draining, "it was told to empty itself");
    take(&mut membership, Action::Tell { node, drain: false }, at(61_000));
    assert_eq!(state(&membership, "media-1"), NodeState::Up);

    let drain = Heartbeat { draining: true, ..saying(0) };
    assert!(membership.heartbeat(&media, drain, at(62_000)).unwrap(), "news");
    look(&mut membership, at(62_000));
    assert_eq!(state(&membership, "media-1"), NodeState::Draining);
}

#[test]
fn a_restart_changes_nothing_by_itself() {
    let media = identity("media", "media-1");
    let mut membership = joined(&[&media]);
    membership.heartbeat(&media, saying(0), at(0)).unwrap();
    look(&mut membership, at(0));
    let mut again = Membership::new(membership.record().clone(), at(50_000));
    assert_eq!(look(&mut again, at(52_999)), 1);
    again.heartbeat(&media, saying(0), at(52_999)).unwrap();
    assert_eq!(look(&mut again, at(53_000)), 1);
}

#[test]
fn how_to_probe_a_media_node_is_kept_and_not_in_the_list() {
    let (media, edge) = (identity("media", "media-1"), identity("edge", "edge-1"));
    let mut membership = joined(&[&media, &edge]);
    let password = ProbePassword::new("0123456789abcdef".to_owned());
    let probe = |ufrag: &str| MediaProbe {
        addresses: vec!["127.0.0.1:7882".parse().unwrap()],
        ufrag: ufrag.to_owned(),
        password: password.clone(),
    };
    let with = |ufrag: &str| Heartbeat { probe: Some(probe(ufrag)), ..saying(0) };
    membership.heartbeat(&media, with("abcd"), at(0)).unwrap();
    assert_eq!(look(&mut membership, at(0)), 1);
    assert_eq!(membership.record().probes[&media.node], probe("abcd"));
    assert!(!serde_json::to_string(&membership.record().list).unwrap().contains("abcd"));
    assert!(!membership.heartbeat(&media, with("abcd"), at(1)).unwrap());
    assert!(membership.heartbeat(&media, with("efgh"), at(2)).unwrap(), "news: it was started again");
    assert_eq!(look(&mut membership, at(2)), 1, "the list stays as it is");
    assert_eq!(membership.record().probes[&media.node], probe("efgh"));
    assert_eq!(membership.heartbeat(&edge, with("abcd"), at(3)), Err(Refused::Heartbeat));
    assert_eq!(membership.heartbeat(&media, with("a:b"), at(3)), Err(Refused::Heartbeat));
}

#[test]
fn load_is_told_in_steps_and_not_too_often() {
    let media = identity("media", "media-1");
    let mut membership = joined(&[&media]);
    let mut hear = |sessions, ms| {
        membership.heartbeat(&media, saying(sessions), at(ms)).unwrap();
        look(&mut membership, at(ms))
    };
    assert_eq!(hear(0, 0), 1);
    assert_eq!(hear(9, 2500), 1, "a small change");
    assert_eq!(hear(10, 3000), 2, "a step");
    assert_eq!(hear(30, 3500), 2, "too soon");
    assert_eq!(hear(30, 5000), 3);
    assert_eq!(hear(69, 7500), 4);
    assert_eq!(hear(70, 10_000), 5, "over the line to full");
}

#[test]
fn the_first_load_after_a_start_does_not_wait() {
    let media = identity("media", "media-1");
    let mut membership = joined(&[&media]);
    membership.heartbeat(&media, Heartbeat::default(), at(0)).unwrap();
    assert_eq!(look(&mut membership, at(0)), 1);
    membership.heartbeat(&media, Heartbeat { addresses: Vec::new(), ..saying(0) }, at(500)).unwrap();
    assert_eq!(look(&mut membership, at(500)), 2);
}

#[test]
fn a_new_mesh_address_is_news() {
    let edge = identity("edge", "edge-1");
    let mut membership = joined(&[&edge]);
    let at_port = |port: u16| Heartbeat { mesh: vec![([127, 0, 0, 1], port).into()], ..saying(0) };
    membership.heartbeat(&edge, at_port(4443), at(0)).unwrap();
    look(&mut membership, at(0));
    assert!(!membership.heartbeat(&edge, at_port(4443), at(100)).unwrap());
    assert!(membership.heartbeat(&edge, at_port(4444), at(200)).unwrap(), "news");
    look(&mut membership, at(200));
    assert_eq!(membership.record().list.nodes[0].mesh, at_port(4444).mesh);
}

#[test]
fn a_heartbeat_may_not_say_too_much() {
    let (edge, media) = (identity("edge", "edge-1"), identity("media", "media-1"));
    let mut membership = joined(&[&edge, &media]);
    let with_keys = Heartbeat { jwks: Some(SigningKey::generate().unwrap().jwks()), ..saying(0) };
    assert!(membership.heartbeat(&edge, with_keys.clone(), at(0)).is_ok());
    assert_eq!(
        membership.heartbeat(&media, with_keys, at(0)),
        Err(Refused::Heartbeat),
        "a media node could let anybody in"
    );
    for addresses in [
        vec!["javascript:alert(1)".to_owned()],
        vec![format!("https://{}", "a".repeat(256))],
        vec!["https://a.example".to_owned(); 9],
    ] {
        let heartbeat = Heartbeat { addresses, ..saying(0) };
        assert_eq!(membership.heartbeat(&edge, heartbeat, at(0)), Err(Refused::Heartbeat));
    }
    for nowhere in ["127.0.0.1:0", "0.0.0.0:4443", "[::]:4443", "224.0.0.1:4443"] {
        let heartbeat = Heartbeat { mesh: vec![nowhere.parse().unwrap()], ..saying(0) };
        assert_eq!(membership.heartbeat(&edge, heartbeat, at(0)), Err(Refused::Heartbeat), "{nowhere}");
    }
}
