//! One edge host: its disk, and the process that carries out what the machines say.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use locum_identity::{NodeId, RegionId};
use locum_replication::{Action, Epoch, FrameNo, Kept, Position, Primary, Standing, Voter};

use crate::content::Log;
use crate::fault::Fault;

/// A complete copy on disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    pub(crate) at: Position,
    pub(crate) log: Log,
}

/// What outlives the process.
pub(crate) struct Disk {
    pub(crate) kept: Kept,
    /// One an epoch.
    pub(crate) copies: Vec<Copy>,
    /// Writes exported for people.
    pub(crate) tails: Vec<u64>,
}

impl Disk {
    pub(crate) fn new(store: u64) -> Self {
        let kept =
            Kept { store: locum_replication::StoreId(store), promised: Epoch::ZERO, started: Epoch::ZERO };
        Self { kept, copies: Vec::new(), tails: Vec::new() }
    }

    pub(crate) fn newest(&self) -> Option<Copy> {
        self.copies.iter().copied().max_by_key(|copy| copy.at)
    }

    pub(crate) fn position(&self) -> Option<Position> {
        self.newest().map(|copy| copy.at)
    }

    /// A copy of the same epoch only grows.
    pub(crate) fn keep(&mut self, copy: Copy) {
        self.copies.retain(|other| other.at.epoch != copy.at.epoch);
        self.copies.push(copy);
    }
}

/// The engine while it runs.
pub(crate) struct Engine {
    pub(crate) at: Position,
    pub(crate) log: Log,
}

/// A write that is committed and not yet acknowledged.
pub(crate) struct Wait {
    pub(crate) session: usize,
    pub(crate) key: u64,
    pub(crate) frame: FrameNo,
    pub(crate) log: Log,
    pub(crate) until: u64,
}

/// What is lost with the process.
pub(crate) struct Process {
    pub(crate) voter: Voter,
    pub(crate) primary: Option<Primary>,
    pub(crate) engine: Option<Engine>,
    pub(crate) actions: VecDeque<Action>,
    /// A write to disk is under way; actions wait for it.
    pub(crate) writing: bool,
    /// Changes when the follower starts or stops: what it began before no longer happens.
    pub(crate) follower: u64,
    /// Frames received and not yet synced: from the primary, or from the own engine.
    pub(crate) syncing: bool,
    /// Questions to the control plane, and when they were sent on this host's clock.
    pub(crate) asked: BTreeMap<u64, Duration>,
    pub(crate) waits: Vec<Wait>,
}

pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) region: RegionId,
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    /// Tells processes of this host apart.
    pub(crate) life: u64,
    pub(crate) paused_until: u64,
    pub(crate) slow_until: u64,
    /// How much faster than true time its clock runs.
    pub(crate) drift_permille: u64,
    /// Its release is too old for the group's schema: it holds and hands on, and serves nothing.
    pub(crate) outdated: bool,
    /// Its disk has room for promises and for copies, and for no engine.
    pub(crate) full: bool,
}

impl Node {
    pub(crate) fn new(id: &str, region: RegionId, store: u64, drift_permille: u64) -> Self {
        Self {
            id: id.parse().unwrap(),
            region,
            disk: Disk::new(store),
            process: None,
            life: 0,
            paused_until: 0,
            slow_until: 0,
            drift_permille,
            outdated: false,
            full: false,
        }
    }

    /// Its own clock.
    pub(crate) fn clock(&self, now: u64) -> Duration {
        Duration::from_micros(now * (970 + self.drift_permille))
    }

    pub(crate) fn start(&mut self) {
        self.life += 1;
        let group = "main".parse().unwrap();
        let voter = Voter::new(group, self.id.clone(), self.disk.kept, self.disk.position());
        self.process = Some(Process {
            voter,
            primary: None,
            engine: None,
            actions: VecDeque::new(),
            writing: false,
            follower: 0,
            syncing: false,
            asked: BTreeMap::new(),
            waits: Vec::new(),
        });
    }

    pub(crate) fn holds_lease(&self, now: u64) -> bool {
        let primary = self.process.as_ref().and_then(|process| process.primary.as_ref());
        primary.is_some_and(|primary| primary.holds_lease(self.clock(now)))
    }

    /// Whether a write may begin here now.
    pub(crate) fn takes_writes(&self, now: u64) -> bool {
        let Some(process) = self.process.as_ref().filter(|_| self.paused_until <= now) else { return false };
        let may_begin = !self.outdated
            && process.primary.as_ref().is_some_and(|primary| primary.may_begin(self.clock(now)));
        let engine = process.engine.as_ref();
        may_begin && engine.is_some_and(|engine| process.voter.may_serve(engine.at.epoch))
    }

    /// What local reads are answered from, if they are answered.
    pub(crate) fn shows(&self, now: u64, fault: Fault) -> Option<Copy> {
        let process = self.process.as_ref().filter(|_| self.paused_until <= now && !self.outdated)?;
        let copy = self.disk.newest()?;
        if let Some(engine) = &process.engine {
            let primary = process.primary.as_ref().filter(|_| copy.at.epoch == engine.at.epoch)?;
            return primary.may_show(copy.at.frame, self.clock(now)).then_some(copy);
        }
        let anyway = match (fault, process.voter.standing()) {
            (Fault::ShowsOwnTail, Standing::Idle) => true,
            (Fault::ShowsWhatItHolds, Standing::Following { epoch, .. }) => *epoch == copy.at.epoch,
            _ => false,
        };
        (anyway || process.voter.showable() == Some(copy.at)).then_some(copy)
    }
}
