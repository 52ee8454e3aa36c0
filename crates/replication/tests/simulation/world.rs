//! The network of one run: the control plane, the hosts, what travels between them, and time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use locum_replication::{
    CopyReport, Epoch, FrameNo, GroupConfig, GroupRecord, GroupRegistry, GroupReport, GroupView, Hint, Kept,
    Position,
};

use crate::clients::Session;
use crate::content::Log;
use crate::counts::Counts;
use crate::fault::Fault;
use crate::node::{Copy, Node};
use crate::random::Random;
use crate::truth::{Checked, Truth};

/// How long trouble lasts, milliseconds of simulated time.
const TROUBLE: u64 = 14_000;
/// How long a network without trouble may need to acknowledge a write.
pub(crate) const RECOVERY: u64 = 25_000;
/// How often a host says again what may have been lost.
const TICK: u64 = 250;
const LOOK: u64 = 100;

/// What reaches a host.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    Poll {
        life: u64,
        every: bool,
    },
    Tick {
        life: u64,
    },
    View {
        question: u64,
        view: Box<GroupView>,
    },
    Hint {
        from: usize,
        hint: Hint,
    },
    Fenced {
        epoch: Epoch,
    },
    Report {
        from: usize,
        report: CopyReport,
    },
    Acked {
        at: Position,
    },
    Wake {
        from: usize,
        epoch: Epoch,
    },
    Fetch {
        from: usize,
        life: u64,
        epoch: Epoch,
    },
    /// To the process that asked: a connection ends with it.
    Frames {
        from: usize,
        life: u64,
        at: Position,
        log: Log,
    },
    Persisted {
        life: u64,
        kept: Kept,
    },
    Synced {
        life: u64,
        follower: u64,
        copy: Copy,
    },
    EngineUp {
        life: u64,
        epoch: Epoch,
        frame: FrameNo,
    },
    EngineDied {
        life: u64,
    },
}

pub(crate) enum Event {
    ToNode { node: usize, input: Input },
    ToRegistry { from: usize, question: u64, report: Box<GroupReport> },
    Look,
    Client,
    Weather,
    StartNode { node: usize },
    StartRegistry,
}

/// What the control plane keeps on disk, and how writing it goes.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Save {
    Fine,
    /// Nothing was written.
    Lost,
    /// Everything was written, but nobody is told so.
    Unconfirmed,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) fault: Fault,
    pub(crate) now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    config: GroupConfig,
    pub(crate) registry: Option<GroupRegistry>,
    pub(crate) record: Option<GroupRecord>,
    pub(crate) registry_paused_until: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) truth: Truth,
    pub(crate) sessions: Vec<Session>,
    /// Pairs that do not hear each other, and until when. The control plane comes after all hosts.
    pub(crate) cuts: Vec<(usize, usize, u64)>,
    pub(crate) loss_permille: u64,
    pub(crate) calm: bool,
    pub(crate) next_key: u64,
    pub(crate) next_store: u64,
    pub(crate) questions: u64,
    pub(crate) calm_acks: u64,
    pub(crate) counts: Counts,
}

impl World {
    pub(crate) fn new(seed: u64, fault: Fault) -> Self {
        let mut random = Random(seed);
        // Mostly three regions, sometimes fewer or more, sometimes two hosts in one.
        let regions = [3, 3, 3, 3, 3, 2, 2, 1, 4, 5][random.index(10)];
        let names = ["us-west", "us-east", "eu-central", "eu-north", "ap-south"];
        let mut nodes = Vec::new();
        let mut store = 1;
        for name in &names[..regions] {
            let hosts = if random.permille(150) { 2 } else { 1 };
            for host in 0..hosts {
                let id = format!("{name}-{host}");
                nodes.push(Node::new(&id, name.parse().unwrap(), store, random.below(60)));
                store += 1;
            }
        }
        let config = GroupConfig {
            regions: names[..regions].iter().map(|name| name.parse().unwrap()).collect(),
            single_copy: false,
        };
        let loss_permille = if random.permille(500) { random.below(150) } else { 0 };
        let mut world = Self {
            random,
            fault,
            now: 0,
            events: BTreeMap::new(),
            sequence: 0,
            config,
            registry: None,
            record: None,
            registry_paused_until: 0,
            nodes,
            truth: Truth::new(),
            sessions: (0..3).map(|_| Session::default()).collect(),
            cuts: Vec::new(),
            loss_permille,
            calm: false,
            next_key: 1,
            next_store: store,
            questions: 0,
            calm_acks: 0,
            counts: Counts { runs: 1, ..Counts::default() },
        };
        world.at(0, Event::StartRegistry);
        for node in 0..world.nodes.len() {
            let begin = world.random.below(500);
            world.at(begin, Event::StartNode { node });
        }
        for (delay, event) in [(50, Event::Look), (1_000, Event::Client), (2_000, Event::Weather)] {
            world.at(delay, event);
        }
        world
    }

    /// Lives until something is wrong or, after trouble is over, a write is acknowledged again.
    pub(crate) fn run(&mut self) -> Checked {
        while let Some(((now, _), event)) = self.events.pop_first() {
            self.now = now;
            if !self.calm && now > TROUBLE {
                self.make_calm();
            }
            if now > TROUBLE + RECOVERY {
                break;
            }
            self.happens(event)?;
            self.check()?;
            if self.calm_acks >= 2 {
                break;
            }
        }
        self.truth.check_tails(&self.nodes)?;
        crate::truth::hold("available_after_healing", self.calm_acks > 0, || {
            let status =
                self.registry.as_ref().map(|registry| registry.status(Duration::from_millis(self.now)));
            format!("{status:?}")
        })
    }

    fn check(&self) -> Checked {
        self.truth.check_lease(&self.nodes, self.now)?;
        let Some(record) = &self.record else { return Ok(()) };
        self.truth.check_durable(record, &self.nodes)
    }

    fn happens(&mut self, event: Event) -> Checked {
        match event {
            Event::ToNode { node, input } => {
                let paused_until = self.nodes[node].paused_until;
                if paused_until > self.now {
                    self.at(paused_until - self.now, Event::ToNode { node, input });
                    return Ok(());
                }
                self.input(node, input)
            }
            Event::ToRegistry { from, question, report } => {
                if self.registry_paused_until > self.now {
                    let wait = self.registry_paused_until - self.now;
                    self.at(wait, Event::ToRegistry { from, question, report });
                    return Ok(());
                }
                self.registry_hears(from, question, &report)
            }
            Event::Look => {
                self.at(LOOK, Event::Look);
                if self.registry_paused_until <= self.now {
                    let now = self.elapsed();
                    if let Some(registry) = &mut self.registry {
                        registry.look(now);
                    }
                    self.registry_writes()?;
                }
                Ok(())
            }
            Event::Client => {
                let pause = self.random.between(10, 150);
                self.at(pause, Event::Client);
                self.client()
            }
            Event::Weather => {
                let pause = self.random.between(200, 2_500);
                self.at(pause, Event::Weather);
                if self.calm { Ok(()) } else { self.weather() }
            }
            Event::StartNode { node } => {
                self.start_node(node);
                Ok(())
            }
            Event::StartRegistry => self.start_registry(),
        }
    }

    fn start_node(&mut self, node: usize) {
        if self.nodes[node].process.is_some() {
            return;
        }
        self.nodes[node].start();
        let life = self.nodes[node].life;
        self.at(0, Event::ToNode { node, input: Input::Poll { life, every: true } });
        self.at(TICK, Event::ToNode { node, input: Input::Tick { life } });
    }

    pub(crate) fn tick_again(&mut self, node: usize, life: u64) {
        self.at(TICK, Event::ToNode { node, input: Input::Tick { life } });
    }

    fn start_registry(&mut self) -> Checked {
        if self.registry.is_some() {
            return Ok(());
        }
        let group = "main".parse().unwrap();
        let now = self.elapsed();
        self.registry = Some(GroupRegistry::new(group, &self.config, self.record.clone(), now, now).unwrap());
        // What was on disk counts from now on, also what nobody was told of.
        match &self.record {
            Some(record) => self.truth.appointed(record, &self.nodes),
            None => Ok(()),
        }
    }

    fn registry_hears(&mut self, from: usize, question: u64, report: &GroupReport) -> Checked {
        let now = self.elapsed();
        let (id, region) = (self.nodes[from].id.clone(), self.nodes[from].region.clone());
        let Some(registry) = &mut self.registry else { return Ok(()) };
        registry.hear(&id, &region, report, now).unwrap();
        if !self.registry_writes()? {
            return Ok(());
        }
        let Some(registry) = &mut self.registry else { return Ok(()) };
        let view = registry.view(&id, report.known, now);
        let control = self.nodes.len();
        self.send(control, from, Input::View { question, view: Box::new(view) });
        Ok(())
    }

    /// Whether everything that had to be written is.
    fn registry_writes(&mut self) -> Result<bool, crate::truth::Violation> {
        let now = self.elapsed();
        loop {
            let Some(next) = self.registry.as_ref().and_then(|registry| registry.next(now)) else {
                return Ok(true);
            };
            let save = match self.random.below(60) {
                0 if !self.calm => Save::Lost,
                1 if !self.calm => Save::Unconfirmed,
                _ => Save::Fine,
            };
            if save != Save::Lost {
                self.record = Some(next.clone());
            }
            if save != Save::Fine {
                return Ok(false);
            }
            self.truth.appointed(&next, &self.nodes)?;
            self.counts.epochs = self.counts.epochs.max(next.epoch.0);
            if let Some(registry) = &mut self.registry {
                registry.commit(next, now);
            }
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    pub(crate) fn at(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    /// Sends to a host: late, twice, or never.
    pub(crate) fn send(&mut self, from: usize, to: usize, input: Input) {
        for delay in self.journeys(from, to) {
            self.at(delay, Event::ToNode { node: to, input: input.clone() });
        }
    }

    pub(crate) fn ask(&mut self, from: usize, report: GroupReport) {
        self.questions += 1;
        let question = self.questions;
        let control = self.nodes.len();
        for delay in self.journeys(from, control) {
            let report = Box::new(report.clone());
            self.at(delay, Event::ToRegistry { from, question, report });
        }
    }

    fn journeys(&mut self, from: usize, to: usize) -> VecDeque<u64> {
        let cut = |&(a, b, until): &(usize, usize, u64)| {
            until > self.now && ((a, b) == (from, to) || (b, a) == (from, to))
        };
        if self.cuts.iter().any(cut) || self.random.permille(self.loss_permille) {
            return VecDeque::new();
        }
        let mut journeys = VecDeque::new();
        for _ in 0..if self.random.permille(self.loss_permille / 3) { 2 } else { 1 } {
            let slow = self.random.permille(self.loss_permille / 2);
            let longest = if slow { 3_000 } else { 40 };
            journeys.push_back(self.random.between(1, longest));
        }
        journeys
    }

    fn make_calm(&mut self) {
        self.calm = true;
        self.cuts.clear();
        self.loss_permille = 0;
        self.registry_paused_until = 0;
        self.make_room();
        for node in 0..self.nodes.len() {
            self.nodes[node].paused_until = self.nodes[node].paused_until.min(self.now);
            self.nodes[node].slow_until = 0;
            self.at(0, Event::StartNode { node });
        }
        self.at(0, Event::StartRegistry);
    }
}
