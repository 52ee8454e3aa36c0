//! A seeded life of a member: nodes join, beat, drain and fall silent, tokens are shown twice, the disk
//! fails, the member crashes before, during and after writing. What must hold is checked after each step.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use locum_cluster::protocol::{Heartbeat, JoinRequest};
use locum_cluster::{Load, NodeList};
use locum_identity::{CertificateAuthority, JoinTokenClaims, NodeId, NodeIdentity, NodeKey, SigningKey};

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
    counts: Tally,
}

impl<'a> World<'a> {
    fn new(seed: u64, fixed: &'a Fixed) -> Self {
        let disk = Arc::new(Mutex::new(Disk::default()));
        let random = Random(seed);
        let now = Now { elapsed: Duration::ZERO, unix_ms: 0 };
        let member = start(fixed, &disk, now);
        Self {
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
            counts: Tally::default(),
        }
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
            0..5 => self.make_token(),
            5..20 => self.show_token(),
            20..80 => self.beat(),
            80..92 => self.member.look(self.now()),
            92..95 => self.crash(),
            // Days pass, or the clock is set back by days.
            95..97 => self.elapsed += Duration::from_secs(self.random.below(200_000)),
            _ => self.wall_offset = -i64::try_from(self.random.below(400_000_000)).unwrap(),
        }
    }

    fn make_token(&mut self) {
        let role = ["edge", "media"][self.random.index(2)];
        let node = self.random.below(6);
        let identity = format!("spiffe://locum.localhost/west/{role}/{role}-{node}").parse().unwrap();
        let wall = UNIX_EPOCH + Duration::from_millis(u64::try_from(self.now().unix_ms).unwrap());
        let claims = JoinTokenClaims::new(identity, self.fixed.authority.fingerprint(), wall).unwrap();
        let token = claims.sign(&self.fixed.signing).unwrap();
        self.tokens.push((claims, token));
    }

    fn show_token(&mut self) {
        if self.tokens.is_empty() {
            return;
        }
        let (claims, token) = self.tokens[self.random.index(self.tokens.len())].clone();
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
        let role = ["edge", "media"][self.random.index(2)];
        let node = self.random.below(6);
        let identity: NodeIdentity =
            format!("spiffe://locum.localhost/west/{role}/{role}-{node}").parse().unwrap();
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
    }
}

fn start(fixed: &Fixed, disk: &Arc<Mutex<Disk>>, now: Now) -> Member<SimulatedStore> {
    let keys = Keys { authority: fixed.authority.clone(), signing: fixed.signing.clone() };
    let record = disk.lock().unwrap().record.clone();
    Member::new(record, SimulatedStore(disk.clone()), keys, now).unwrap()
}

/// SplitMix64: small, seeded, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }
}
