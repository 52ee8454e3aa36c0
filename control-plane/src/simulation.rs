//! A seeded life of a member: nodes join, beat, drain and fall silent, tokens are shown twice, the disk
//! fails, the member crashes before, during and after writing; edge hosts report on a record group, promise
//! and lead. What must hold is checked after each step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use locum_cluster::protocol::{Heartbeat, JoinRequest};
use locum_cluster::{Load, NodeList};
use locum_identity::{
    CertificateAuthority, JoinTokenClaims, NodeId, NodeIdentity, NodeKey, Role, SigningKey,
};
use locum_replication::{
    Action, Epoch, FrameNo, GroupConfig, GroupReport, GroupView, Kept, Position, StoreId, Voter,
};

use crate::groups::Groups;
use crate::member::{Keys, Member};
use crate::membership::{Now, Record};
use crate::store::Store;

const SEEDS: u64 = 200;
const STEPS: usize = 300;

#[test]
fn invariants_hold_through_crashes() {
    let dir = tempfile::tempdir().unwrap();
    let zone = "locum.localhost".parse().unwrap();
    let authority = CertificateAuthority::load_or_create(dir.path(), &zone, UNIX_EPOCH + BEGIN).unwrap();
    let fixed = Fixed {
        authority: Arc::new(authority),
        signing: SigningKey::generate().unwrap(),
        request: NodeKey::generate().unwrap().request().unwrap(),
    };
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        // Shown only when a seed fails.
        println!("seed {seed}");
        let mut world = World::new(seed, &fixed);
        for _ in 0..STEPS {
            world.step();
            world.check();
        }
        tally.add(&world);
    }
    println!("{tally:?}");
    // A simulation in which nothing happens proves nothing.
    assert!(
        tally.joins > SEEDS && tally.reuses > SEEDS && tally.crashes > SEEDS && tally.versions > 10 * SEEDS
    );
    assert!(tally.epochs > 2 * SEEDS && tally.leases > SEEDS);
}

const BEGIN: Duration = Duration::from_secs(1_800_000_000);

struct Fixed {
    authority: Arc<CertificateAuthority>,
    signing: SigningKey,
    request: String,
}

#[derive(Debug, Default)]
struct Tally {
    joins: u64,
    reuses: u64,
    crashes: u64,
    versions: u64,
    epochs: u64,
    leases: u64,
}

/// What outlives the process, and how it fails.
#[derive(Default)]
struct Disk {
    record: Record,
    fault: Fault,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Fault {
    #[default]
    None,
    /// Nothing was written.
    Lost,
    /// Everything was written, but the process is told otherwise.
    Unconfirmed,
}

#[derive(Clone)]
struct SimulatedStore(Arc<Mutex<Disk>>);

impl Store for SimulatedStore {
    fn save(&mut self, record: &Record) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        if disk.fault != Fault::Lost {
            disk.record = record.clone();
        }
        if disk.fault == Fault::None { Ok(()) } else { Err(io::Error::other("injected")) }
    }
}

struct World<'a> {
    fixed: &'a Fixed,
    random: Random,
    elapsed: Duration,
    wall_offset: i64,
    disk: Arc<Mutex<Disk>>,
    member: Member<SimulatedStore>,
    /// Every token ever made, also those spent.
    tokens: Vec<(JoinTokenClaims, String)>,
    accepted: BTreeSet<String>,
    joined: BTreeSet<NodeId>,
    /// Every list that left the member.
    published: BTreeMap<u64, NodeList>,
    newest: u64,
    edges: BTreeMap<NodeId, Voter>,
    /// Every primary that anybody was told of.
    primaries: BTreeMap<Epoch, NodeId>,
    counts: Tally,
}

impl<'a> World<'a> {
    fn new(seed: u64, fixed: &'a Fixed) -> Self {
        let disk = Arc::new(Mutex::new(Disk::default()));
        let random = Random(seed);
        let now = Now { elapsed: Duration::ZERO, unix_ms: 0 };
        let member = start(fixed, &disk, now);
        let mut world = Self {
            fixed,
            random,
            elapsed: Duration::ZERO,
            wall_offset: 0,
            disk,
            member,
            tokens: Vec::new(),
            accepted: BTreeSet::new(),
            joined: BTreeSet::new(),
            published: BTreeMap::new(),
            newest: 0,
            edges: BTreeMap::new(),
            primaries: BTreeMap::new(),
            counts: Tally::default(),
        };
        // One edge host of each region is there from the beginning: without them no group begins.
        for edge in 0..3 {
            world.make_token(identity("edge", edge));
            world.show_token(edge);
        }
        world
    }

    fn now(&self) -> Now {
        let unix = BEGIN + self.elapsed;
        Now { elapsed: self.elapsed, unix_ms: i64::try_from(unix.as_millis()).unwrap() + self.wall_offset }
    }

    fn step(&mut self) {
        self.elapsed += Duration::from_millis(self.random.below(1000));
        self.disk.lock().unwrap().fault = match self.random.below(10) {
            0 => Fault::Lost,
            1 => Fault::Unconfirmed,
            _ => Fault::None,
        };
        match self.random.below(100) {
            0..5 => {
                let identity = self.somebody();
                self.make_token(identity);
            }
            5..20 => {
                let shown = self.random.index(self.tokens.len());
                self.show_token(shown);
            }
            20..50 => self.beat(),
            50..84 => {
                // A voter counts while it is heard from: several report within moments.
                for _ in 0..12 {
                    self.elapsed += Duration::from_millis(self.random.below(100));
                    self.report();
                }
            }
            84..88 => self.member.look(self.now()),
            88..92 => self.restart_edge(),
            92..95 => self.crash(),
            // Days pass, or the clock is set back by days.
            95..97 => self.elapsed += Duration::from_secs(self.random.below(200_000)),
            _ => self.wall_offset = -i64::try_from(self.random.below(400_000_000)).unwrap(),
        }
    }

    fn make_token(&mut self, identity: NodeIdentity) {
        let wall = UNIX_EPOCH + Duration::from_millis(u64::try_from(self.now().unix_ms).unwrap());
        let claims = JoinTokenClaims::new(identity, self.fixed.authority.fingerprint(), wall).unwrap();
        let token = claims.sign(&self.fixed.signing).unwrap();
        self.tokens.push((claims, token));
    }

    fn show_token(&mut self, shown: usize) {
        let (claims, token) = self.tokens[shown].clone();
        let request = JoinRequest { token, certificate_request: self.fixed.request.clone() };
        let reused = self.accepted.contains(&claims.jti);
        self.counts.reuses += u64::from(reused);
        if self.member.join(&request, self.now()).is_ok() {
            assert!(!reused, "a spent token was accepted again");
            self.counts.joins += 1;
            self.accepted.insert(claims.jti);
            self.joined.insert(claims.identity.node);
        }
    }

    fn beat(&mut self) {
        let identity = self.somebody();
        let sessions = u32::try_from(self.random.below(100)).unwrap();
        let heartbeat = Heartbeat {
            load: Load { sessions, capacity: 100, cpu_permille: 0 },
            draining: self.random.below(10) == 0,
            held_version: self.newest,
            ..Heartbeat::default()
        };
        let answered = self.member.heartbeat(&identity, heartbeat, self.now());
        if let Ok(Some(signed)) = answered {
            let list = signed.verify(&self.fixed.signing.jwks()).unwrap();
            assert!(list.version > self.newest, "only newer lists are handed out");
            self.newest = list.version;
            self.publish(list);
        }
    }

    /// Six edge hosts and six media nodes, in three regions.
    fn somebody(&mut self) -> NodeIdentity {
        let role = ["edge", "media"][self.random.index(2)];
        self.of_role(role)
    }

    fn of_role(&mut self, role: &str) -> NodeIdentity {
        identity(role, self.random.index(6))
    }

    fn report(&mut self) {
        let role = if self.random.below(20) == 0 { "media" } else { "edge" };
        let identity = self.of_role(role);
        let node = &identity.node;
        let kept = Kept { store: StoreId(self.random.next()), promised: Epoch::ZERO, started: Epoch::ZERO };
        let group = || "main".parse().unwrap();
        let edge =
            self.edges.entry(node.clone()).or_insert_with(|| Voter::new(group(), node.clone(), kept, None));
        let report = edge.report();
        let now = self.now();
        if self.member.hear(&identity, std::slice::from_ref(&report), now).is_err() {
            return;
        }
        let mut views = self.member.views(&identity, &[report], now);
        assert_eq!((identity.role, views.len()), (Role::Edge, 1));
        let view = views.remove(0);
        self.counts.leases += u64::from(view.lease_ms.is_some());
        self.told(&view);
        let mut actions = VecDeque::from(self.edges.get_mut(node).unwrap().heard(view));
        while let Some(action) = actions.pop_front() {
            let edge = self.edges.get_mut(node).unwrap();
            actions.extend(match action {
                Action::Persist(kept) => edge.persisted(kept, edge.copy()),
                Action::Follow { epoch, .. } => edge.copied(Position::new(epoch, FrameNo(1))),
                Action::Lead { epoch } => edge.committed(epoch, FrameNo(1)),
                _ => Vec::new(),
            });
        }
    }

    /// An edge host dies and comes back with what it kept.
    fn restart_edge(&mut self) {
        let node = self.of_role("edge").node;
        let Some(edge) = self.edges.get_mut(&node) else { return };
        let GroupReport { group, store, promised, started, copy, .. } = edge.report();
        *edge = Voter::new(group, node, Kept { store, promised, started }, copy);
    }

    /// What a host is told of a group is on disk, and no epoch has two primaries.
    fn told(&mut self, view: &GroupView) {
        let Some(primary) = &view.primary else { return };
        let before = self.primaries.insert(view.epoch, primary.clone());
        assert!(before.is_none_or(|before| before == *primary), "two primaries in {}", view.epoch);
        let newest = *self.primaries.last_key_value().unwrap().0;
        assert_eq!(view.epoch, newest, "the member went back behind an epoch it told of");
        self.counts.epochs = self.counts.epochs.max(newest.0);
        let disk = self.disk.lock().unwrap();
        let kept = &disk.record.groups[&view.group];
        assert!(
            kept.epoch > view.epoch || (kept.epoch, kept.primary.as_ref()) == (view.epoch, Some(primary)),
            "told of epoch {} before it was on disk",
            view.epoch
        );
    }

    fn crash(&mut self) {
        self.counts.crashes += 1;
        self.disk.lock().unwrap().fault = Fault::None;
        self.member = start(self.fixed, &self.disk, self.now());
    }

    fn publish(&mut self, list: NodeList) {
        let before = self.published.insert(list.version, list.clone());
        assert!(before.is_none_or(|before| before == list), "two lists of version {}", list.version);
    }

    fn check(&mut self) {
        let list = self.member.list().clone();
        assert!(list.version >= self.newest, "the member went back below a list it handed out");
        for node in &list.nodes {
            assert!(self.disk_knows(&node.id), "{} never joined", node.id);
        }
        assert!(list.nodes.is_sorted_by(|a, b| a.id < b.id));
        self.counts.versions = self.counts.versions.max(list.version);
    }

    /// Joined for all the member knows: also when the answer was lost in a crash.
    fn disk_knows(&self, node: &NodeId) -> bool {
        self.joined.contains(node) || self.disk.lock().unwrap().record.members.contains_key(node)
    }
}

impl Tally {
    fn add(&mut self, world: &World<'_>) {
        self.joins += world.counts.joins;
        self.reuses += world.counts.reuses;
        self.crashes += world.counts.crashes;
        self.versions += world.counts.versions;
        self.epochs += world.counts.epochs;
        self.leases += world.counts.leases;
    }
}

fn identity(role: &str, node: usize) -> NodeIdentity {
    let region = ["west", "east", "central"][node % 3];
    format!("spiffe://locum.localhost/{region}/{role}/{role}-{node}").parse().unwrap()
}

fn start(fixed: &Fixed, disk: &Arc<Mutex<Disk>>, now: Now) -> Member<SimulatedStore> {
    let keys = Arc::new(Keys { authority: fixed.authority.clone(), signing: fixed.signing.clone() });
    let record = disk.lock().unwrap().record.clone();
    let regions = ["west", "east", "central"].map(|region| region.parse().unwrap());
    let declared = BTreeMap::from([(
        "main".parse().unwrap(),
        GroupConfig { regions: regions.to_vec(), single_copy: false },
    )]);
    let groups = Groups::new(&declared, &record.groups, now.elapsed, now.elapsed).unwrap();
    let me = "control-1".parse().unwrap();
    Member::new(me, record, groups, SimulatedStore(disk.clone()), keys, now).unwrap()
}

/// SplitMix64: small, seeded, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}
