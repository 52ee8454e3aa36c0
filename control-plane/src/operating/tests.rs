use std::io;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use locum_cluster::protocol::{Heartbeat, JoinRequest, NodeAnswer, OperatorRequest};
use locum_cluster::{Load, NodeOrder, NodeState};
use locum_identity::{CertificateAuthority, JoinTokenClaims, NodeKey, SigningKey};

use super::*;
use crate::groups::Groups;
use crate::health::{ProbeKind, Reason, Seen};
use crate::member::Keys;

const BEGIN_S: u64 = 1_800_000_000;

fn at(ms: u64) -> Now {
    let unix_ms = i64::try_from(BEGIN_S * 1_000 + ms).unwrap();
    Now { elapsed: Duration::from_millis(ms), unix_ms }
}

fn identity(role: &str, node: &str) -> NodeIdentity {
    format!("spiffe://locum.localhost/west/{role}/{node}").parse().unwrap()
}

/// What outlives the process.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<(Record, u64)>>);

impl Store for Disk {
    fn save(&mut self, record: &Record) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        *disk = (record.clone(), disk.1 + 1);
        Ok(())
    }
}

struct World {
    disk: Disk,
    signing: SigningKey,
    authority: Arc<CertificateAuthority>,
    member: Member<Disk>,
    now: u64,
}

impl World {
    /// An edge host and a media node, both heard from.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let begin = UNIX_EPOCH + Duration::from_secs(BEGIN_S);
        let zone = "locum.localhost".parse().unwrap();
        let authority = Arc::new(CertificateAuthority::load_or_create(dir.path(), &zone, begin).unwrap());
        let (disk, signing) = (Disk::default(), SigningKey::generate().unwrap());
        let member = start(&disk, &authority, &signing, 0);
        let mut world = Self { disk, signing, authority, member, now: 0 };
        let request = NodeKey::generate().unwrap().request().unwrap();
        for (role, node) in [("edge", "edge-1"), ("media", "media-1")] {
            let fingerprint = world.authority.fingerprint();
            let claims = JoinTokenClaims::new(identity(role, node), fingerprint, begin).unwrap();
            let token = claims.sign(&world.signing).unwrap();
            let request = JoinRequest { token, certificate_request: request.clone() };
            world.member.join(&request, at(0)).unwrap();
            world.beats(role, node);
        }
        world
    }

    fn restart(&mut self) {
        self.member = start(&self.disk, &self.authority, &self.signing, self.now);
    }

    fn beats(&mut self, role: &str, node: &str) -> NodeOrder {
        let load = Load { sessions: 3, capacity: 100, cpu_permille: 0 };
        let addresses = vec!["https://a.example".to_owned()];
        let heartbeat = Heartbeat { addresses, load, obeyed: 5, ..Heartbeat::default() };
        let identity = identity(role, node);
        self.member.heartbeat(&identity, heartbeat, at(self.now)).unwrap();
        self.member.order(&identity.node)
    }

    fn sees(&mut self, misses: &[&str]) {
        let seen = |node: &str| {
            let gone = misses.contains(&node);
            let kind = if node.starts_with("edge") { ProbeKind::Https } else { ProbeKind::Signalling };
            let (misses, good, failing_ms) = if gone { (4, 0, 3_100) } else { (0, 9, 0) };
            let reason = gone.then_some(Reason::Refused);
            let node = node.parse().unwrap();
            Seen { node, kind, misses, good, failing_ms, latency_ms: Some(2), reason, age_ms: 0 }
        };
        let report = Report { number: self.now, life: 0, seen: ["edge-1", "media-1"].map(seen).into() };
        self.member.observe(&identity("control", "control-1"), report, at(self.now)).unwrap();
    }

    fn passes(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.now += 100;
            self.member.look(at(self.now));
        }
    }

    fn state(&self, node: &str) -> NodeState {
        self.member.list().nodes.iter().find(|told| told.id.as_str() == node).unwrap().state
    }

    fn operator(&mut self, request: OperatorRequest) -> Result<NodeAnswer, MemberError> {
        self.member.operate(&identity("control", "operator-ada"), request, at(self.now))
    }

    fn wish(&mut self, wish: Wish) -> OperationsView {
        match self.operator(OperatorRequest::Wish(wish)).unwrap() {
            NodeAnswer::Operations(view) => *view,
            other => panic!("{other:?}"),
        }
    }
}

fn start(disk: &Disk, authority: &Arc<CertificateAuthority>, signing: &SigningKey, now: u64) -> Member<Disk> {
    let keys = Arc::new(Keys { authority: authority.clone(), signing: signing.clone() });
    let record = disk.0.lock().unwrap().0.clone();
    let groups = Groups::new(&BTreeMap::new(), &record.groups, at(now).elapsed, at(now).elapsed).unwrap();
    Member::new("control-1".parse().unwrap(), record, groups, disk.clone(), keys, at(now)).unwrap()
}

fn drain(text: &str) -> Wish {
    Wish::Drain(text.parse().unwrap())
}

#[test]
fn a_lost_node_is_out_of_the_list_in_one_write_and_the_timeline_says_why() {
    let mut world = World::new();
    world.passes(2_900);
    world.beats("edge", "edge-1");
    let (version, writes) = (world.member.list().version, world.disk.0.lock().unwrap().1);
    world.passes(100);
    assert_eq!(world.state("media-1"), NodeState::Down, "silent, and nobody could probe it");
    assert_eq!((world.member.list().version, world.disk.0.lock().unwrap().1), (version + 1, writes + 1));
    let entry = world.member.operations(at(world.now)).timeline.pop().unwrap();
    assert_eq!((entry.by.as_str(), entry.after_ms), ("control-1", 3_000));
    assert!(entry.what.contains("media-1") && entry.why.contains("said nothing for 3000 ms"), "{entry:?}");
}

#[test]
fn a_node_that_speaks_is_given_up_by_a_majority_only() {
    let mut world = World::new();
    for _ in 0..10 {
        world.passes(500);
        world.beats("edge", "edge-1");
        world.beats("media", "media-1");
        world.sees(&["media-1"]);
    }
    assert_eq!(world.state("media-1"), NodeState::Up, "one member, and the node speaks");
    let from_node = world.member.observe(&identity("edge", "edge-1"), Report::default(), at(world.now));
    assert!(
        matches!(from_node, Err(MemberError::Refused(Refused::NotOperator))),
        "a node is no vantage point"
    );
}

#[test]
fn a_drain_is_told_with_its_generation_and_survives_a_restart() {
    let mut world = World::new();
    assert_eq!(world.beats("media", "media-1"), NodeOrder::default());
    let view = world.wish(drain("node/media-1"));
    let media = view.nodes.iter().find(|node| node.node.as_str() == "media-1").unwrap();
    assert_eq!((media.state, media.told), (NodeState::Draining, NodeOrder { generation: 2, drain: true }));
    assert_eq!((media.obeyed, media.sessions, media.is_behind()), (5, 3, false));
    assert_eq!(view.timeline[0].by, "operator-ada");
    assert_eq!(world.beats("media", "media-1"), NodeOrder { generation: 2, drain: true });
    assert_eq!(world.wish(drain("node/media-1")).generation, view.generation, "said twice is once");

    world.restart();
    assert_eq!(world.state("media-1"), NodeState::Draining);
    assert_eq!(world.beats("media", "media-1"), NodeOrder { generation: 2, drain: true });
    let view = world.wish(Wish::Undrain("node/media-1".parse().unwrap()));
    assert!(view.drains.is_empty());
    assert_eq!(world.beats("media", "media-1"), NodeOrder { generation: 4, drain: false });
    assert_eq!(world.state("media-1"), NodeState::Up);
}

#[test]
fn what_a_person_ordered_is_told_once_with_who_it_was_and_survives_a_restart() {
    let mut world = World::new();
    world.wish(drain("node/media-1"));
    world.wish(Wish::Undrain("node/media-1".parse().unwrap()));
    world.operator(OperatorRequest::Drill("region-loss".parse().unwrap())).unwrap();
    world.restart();
    let told = world.member.ordered_since(0);
    let said: Vec<_> = told.iter().map(|o| (o.by.as_str(), o.what.as_str(), o.subject.as_str())).collect();
    let ada = "operator-ada";
    assert_eq!(said, [(ada, "drain", "media-1"), (ada, "undrain", "media-1"), (ada, "drill", "region-loss")]);
    assert_eq!(world.member.ordered_since(told[1].generation), [told[2].clone()]);
    world.passes(3_000);
    assert_eq!(world.member.ordered_since(told[2].generation), [], "what members do is nobody's order");
}

#[test]
fn a_preview_changes_nothing_and_says_what_would_be_done() {
    let mut world = World::new();
    let before = world.disk.0.lock().unwrap().1;
    let NodeAnswer::Preview(lines) = world.operator(OperatorRequest::Preview(drain("region/west"))).unwrap()
    else {
        panic!("not a preview")
    };
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].contains("edge-1 is told to take nobody new"), "{lines:?}");
    assert_eq!(world.disk.0.lock().unwrap().1, before);
    for wrong in ["node/edge-9", "region/east"] {
        assert!(world.operator(OperatorRequest::Preview(drain(wrong))).is_err(), "{wrong}");
        assert!(world.operator(OperatorRequest::Wish(drain(wrong))).is_err(), "{wrong}");
    }
    let pin = Wish::Pin { group: "main".parse().unwrap(), region: "west".parse().unwrap() };
    assert!(world.operator(OperatorRequest::Wish(pin)).is_err(), "no such group");
}

#[test]
fn whom_to_probe_is_in_the_record_of_every_member() {
    let world = World::new();
    let targets = crate::probe::targets(world.member.membership().record());
    let urls: Vec<_> = targets.values().map(|target| (target.role, target.urls.len())).collect();
    assert_eq!(urls, [(Role::Edge, 1), (Role::Media, 1)]);
}
