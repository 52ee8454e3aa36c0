//! The network of one run: members that probe, nodes that answer, what travels between them, and time.

use std::collections::BTreeMap;
use std::time::Duration;

use locum_cluster::NodeOrder;
use locum_identity::{NodeId, Role};
use locum_replication::{Epoch, VoterStatus};

use super::truth::{Truth, Violation};
use super::{Counts, Fault, Random};
use crate::health::{Change, Condition, Health, Outcome, ProbeKind, Reason, Report, Seen, Streak};
use crate::plan::{Action, Author, GroupSight, Operations, Patience, Place, Sight, Step, plan};

/// How long trouble lasts, milliseconds of simulated time.
const TROUBLE: u64 = 20_000;
/// Longest wait for a network without trouble to be whole again: the longest hold of a node that came and went.
const RECOVERY: u64 = 200_000;
const REGIONS: usize = 3;
/// A member later than this knows that it stood still.
const LATE: u64 = 300;

pub(super) enum Event {
    Probe { member: usize, node: usize },
    ProbeEnds { member: usize, node: usize, begun: u64, due: u64, outcome: Outcome },
    Report { member: usize, again: bool },
    Arrives { term: u64, member: usize, report: Report },
    Beat { node: usize, life: u64 },
    Heard { term: u64, node: usize, life: u64, draining: bool },
    Ordered { node: usize, life: u64, order: NodeOrder },
    Again { step: Box<Step> },
    Moved { epoch: Epoch, to: usize },
    Look,
    Weather,
    People,
}

pub(super) struct Member {
    pub(super) id: NodeId,
    streaks: BTreeMap<usize, Streak>,
    pub(super) stalled_until: u64,
    /// Its own clock began at another moment than everybody else's.
    offset: u64,
}

pub(super) struct Node {
    pub(super) place: Place,
    /// The process is there.
    pub(super) alive: bool,
    /// It stands still: nothing is refused, nothing is answered.
    pub(super) frozen: bool,
    pub(super) latency: u64,
    pub(super) life: u64,
    pub(super) up_since: u64,
    pub(super) order: NodeOrder,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) fault: Fault,
    pub(super) now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    pub(super) members: Vec<Member>,
    pub(super) nodes: Vec<Node>,
    /// Which member reaches which node.
    pub(super) cut: Vec<Vec<bool>>,
    /// Whose word does not reach which member.
    pub(super) deaf: Vec<Vec<bool>>,
    /// Members that reach no other member.
    pub(super) apart: Vec<bool>,
    pub(super) leader: Option<usize>,
    pub(super) term: u64,
    health: Health,
    patience: Patience,
    pub(super) operations: Operations,
    pub(super) primary: usize,
    epoch: Epoch,
    moving_until: u64,
    pub(super) truth: Truth,
    pub(super) counts: Counts,
}

impl World {
    pub(super) fn new(seed: u64, fault: Fault) -> Self {
        let mut random = Random(seed);
        let size = [1, 3, 3, 3, 5][random.index(5)];
        let members: Vec<_> = (0..size).map(|index| Member::new(index, &mut random)).collect();
        let nodes: Vec<_> = (0..2 * REGIONS).map(Node::new).collect();
        let mut world = Self {
            now: 0,
            events: BTreeMap::new(),
            sequence: 0,
            cut: vec![vec![false; nodes.len()]; size],
            deaf: vec![vec![false; nodes.len()]; size],
            apart: vec![false; size],
            leader: Some(0),
            term: 1,
            health: Health::new(Duration::ZERO),
            patience: Patience::default(),
            operations: Operations::default(),
            primary: 0,
            epoch: Epoch(1),
            moving_until: 0,
            truth: Truth::new(size, nodes.len()),
            counts: Counts::default(),
            random,
            fault,
            members,
            nodes,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for member in 0..self.members.len() {
            for node in 0..self.nodes.len() {
                let after = self.random.between(0, 750);
                self.push(after, Event::Probe { member, node });
            }
            let after = self.random.between(0, 1_000);
            self.push(after, Event::Report { member, again: true });
        }
        for node in 0..self.nodes.len() {
            let after = self.random.between(0, 500);
            self.push(after, Event::Beat { node, life: 0 });
        }
        for event in [Event::Look, Event::Weather, Event::People] {
            self.push(2_000, event);
        }
        self.lead(0);
        self.observe();
    }

    pub(super) fn push(&mut self, after: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + after, self.sequence), event);
    }

    pub(super) fn is_trouble(&self) -> bool {
        self.now < TROUBLE
    }

    pub(super) fn run(&mut self) -> Result<(), Violation> {
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.now = at;
            self.happen(event)?;
            if at >= TROUBLE && self.is_whole() {
                return Ok(());
            }
            if at > TROUBLE + RECOVERY {
                return Err(Violation::new("recovers", format!("{:?}", self.operations)));
            }
        }
        Ok(())
    }

    /// Everybody is there, and told what people want and nothing else.
    fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| {
            let id = &node.place.node;
            let wanted = self.truth.wants(id, &node.place.region);
            self.operations.condition(id) == Condition::Up
                && self.operations.is_told_to_drain(id) == wanted
                && node.order.drain == wanted
        })
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        if let Some(until) = self.asleep(&event) {
            self.push(until - self.now, event);
            return Ok(());
        }
        match event {
            Event::Probe { member, node } => self.probe(member, node),
            Event::ProbeEnds { member, node, begun, due, outcome } => {
                self.probe_ends(member, node, begun, due, outcome);
            }
            Event::Report { member, again } => self.report(member, again),
            Event::Arrives { term, member, report } if term == self.term => {
                let now = self.clock();
                self.health.report(&self.members[member].id, report, now);
            }
            Event::Beat { node, life } => self.beat(node, life),
            Event::Heard { term, node, life, draining } if term == self.term => {
                self.heard(node, life, draining);
            }
            Event::Ordered { node, life, order } => return self.ordered(node, life, order),
            Event::Again { step } => return self.again(*step),
            Event::Moved { epoch, to } => self.moved(epoch, to),
            Event::Look => return self.look(),
            Event::Weather => self.weather(),
            Event::People => return self.people(),
            Event::Arrives { .. } | Event::Heard { .. } => {}
        }
        Ok(())
    }

    /// What a process that stands still does when it goes on.
    fn asleep(&self, event: &Event) -> Option<u64> {
        let member = match event {
            Event::Probe { member, .. } | Event::ProbeEnds { member, .. } | Event::Report { member, .. } => {
                Some(*member)
            }
            Event::Arrives { .. } | Event::Heard { .. } | Event::Look => self.leader,
            _ => None,
        }?;
        Some(self.members[member].stalled_until).filter(|until| *until > self.now)
    }

    pub(super) fn reaches(&self, member: usize, node: usize) -> bool {
        let there = &self.nodes[node];
        there.alive && !there.frozen && there.latency < 1_000 && !self.cut[member][node]
    }

    fn probe(&mut self, member: usize, node: usize) {
        let begun = self.now;
        let again = self.random.between(675, 825);
        self.push(again, Event::Probe { member, node });
        let refused = !self.nodes[node].alive && !self.cut[member][node];
        let (after, outcome) = match (self.reaches(member, node), refused) {
            (true, _) => {
                let latency = self.nodes[node].latency;
                (latency, Outcome::Good(Duration::from_millis(latency)))
            }
            (false, true) => (1, Outcome::Miss(Reason::Refused)),
            (false, false) => (1_000, Outcome::Miss(Reason::Silent)),
        };
        self.push(after, Event::ProbeEnds { member, node, begun, due: begun + after, outcome });
    }

    fn probe_ends(&mut self, member: usize, node: usize, begun: u64, due: u64, outcome: Outcome) {
        let late = self.now > due + LATE;
        let outcome = match outcome {
            _ if late => Outcome::Void,
            Outcome::Good(_) if !self.reaches(member, node) && self.now < begun + 1_000 => {
                let (due, outcome) = (begun + 1_000, Outcome::Miss(Reason::Silent));
                return self.push(due - self.now, Event::ProbeEnds { member, node, begun, due, outcome });
            }
            outcome => outcome,
        };
        let (begun, now) = (self.clock_of(member, begun), self.clock_of(member, self.now));
        let streak = self.members[member].streaks.entry(node).or_default();
        if streak.note(outcome, begun, now) {
            self.push(0, Event::Report { member, again: false });
        }
    }

    fn report(&mut self, member: usize, again: bool) {
        if again {
            self.push(1_000, Event::Report { member, again });
        }
        let Some(leader) = self.leader else { return };
        if !self.talk(member, leader) {
            return;
        }
        let after = self.random.between(5, 150);
        let report = self.sees(member);
        self.push(after, Event::Arrives { term: self.term, member, report });
    }

    fn sees(&self, member: usize) -> Report {
        let (now, me) = (self.clock_of(member, self.now), &self.members[member]);
        let seen = me.streaks.iter().filter_map(|(node, streak)| {
            let place = &self.nodes[*node].place;
            let kind = if place.role == Role::Edge { ProbeKind::Https } else { ProbeKind::Ice };
            streak.seen(&place.node, kind, now)
        });
        let mut seen: Vec<Seen> = seen.collect();
        for one in &mut seen {
            match self.fault {
                Fault::Impatient if one.misses >= 2 => (one.misses, one.failing_ms) = (3, 3_000),
                Fault::NotDamped if one.good >= 1 => one.good = 5,
                _ => {}
            }
        }
        if self.fault == Fault::BlindCounts && !seen.is_empty() {
            let nobody = Seen { node: "nobody".parse().unwrap(), misses: 0, good: 9, ..seen[0].clone() };
            seen.push(nobody);
        }
        // The number of events grows with each.
        Report { number: self.sequence, life: 0, seen }
    }

    fn beat(&mut self, node: usize, life: u64) {
        let there = &self.nodes[node];
        if !there.alive || there.life != life {
            return;
        }
        let (frozen, draining) = (there.frozen, false);
        self.push(500, Event::Beat { node, life });
        if let Some(leader) = self.leader.filter(|leader| !frozen && !self.deaf[*leader][node]) {
            let after = self.random.between(2, 100) + u64::from(self.apart[leader]);
            self.push(after, Event::Heard { term: self.term, node, life, draining });
        }
    }

    fn heard(&mut self, node: usize, life: u64, draining: bool) {
        let now = self.clock();
        let id = self.nodes[node].place.node.clone();
        self.health.heard(&id, draining, now);
        if let Some(order) = self.operations.orders.get(&id).copied() {
            // Now and then one takes its time, and comes after the next.
            let late = self.random.permille(30);
            let after = if late { self.random.between(1_000, 4_000) } else { self.random.between(2, 100) };
            self.push(after, Event::Ordered { node, life, order });
        }
    }

    fn ordered(&mut self, node: usize, life: u64, order: NodeOrder) -> Result<(), Violation> {
        let there = &mut self.nodes[node];
        if !there.alive || there.life != life {
            return Ok(());
        }
        let is_old = order.generation < there.order.generation;
        self.counts.old_orders += u64::from(is_old);
        if is_old && self.fault != Fault::ObeysAnybody {
            return Ok(());
        }
        let before = std::mem::replace(&mut there.order, order);
        self.truth.obeyed(before, order)
    }

    fn again(&mut self, step: Step) -> Result<(), Violation> {
        self.counts.old_steps += 1;
        let generation = match self.fault {
            Fault::OldStepsCount => self.operations.generation + 1,
            _ => step.generation,
        };
        let applied = self.apply(&Step { generation, ..step.clone() });
        Violation::unless(applied.is_none(), "old_steps_are_refused", || format!("{step:?}"))
    }

    fn moved(&mut self, epoch: Epoch, to: usize) {
        let runs = |node: &Node| node.alive && !node.frozen;
        if self.epoch == epoch && runs(&self.nodes[self.primary]) && runs(&self.nodes[to]) {
            self.led_by(to);
        }
    }

    fn led_by(&mut self, edge: usize) {
        (self.primary, self.epoch) = (edge, Epoch(self.epoch.0 + 1));
        self.counts.moves += 1;
        self.patience.moved(&"main".parse().unwrap());
    }

    fn look(&mut self) -> Result<(), Violation> {
        self.push(200, Event::Look);
        self.observe();
        self.elect();
        self.fail_over();
        let Some(leader) = self.leader.filter(|leader| self.has_majority(*leader)) else { return Ok(()) };
        let now = self.clock();
        self.health.look(now);
        let steps = self.plan(now);
        for step in steps {
            self.take(&step)?;
            if self.random.permille(100) {
                let after = self.random.between(200, 8_000);
                self.push(after, Event::Again { step: Box::new(step) });
            }
        }
        let hidden = self.truth.check_hidden(self.now, leader, self)?;
        self.counts.hidden += hidden;
        self.truth.check_drains(&self.operations)
    }

    fn plan(&self, now: Duration) -> Vec<Step> {
        let places: Vec<Place> = self.nodes.iter().map(|node| node.place.clone()).collect();
        let standing = |place: &Place| {
            let standing = self.operations.standing(&place.node);
            if self.fault == Fault::NotDamped { standing.forgiven() } else { standing }
        };
        let standings: Vec<_> = places.iter().map(|place| (&place.node, standing(place))).collect();
        let verdicts = self.health.judge(standings, self.members.len(), now);
        let (groups, records) = ([self.group()], self.records());
        let sight = Sight {
            places: &places,
            verdicts: &verdicts,
            groups: &groups,
            records: &records,
            patience: &self.patience,
        };
        plan(&self.operations, &sight, now)
    }

    fn group(&self) -> GroupSight {
        let voter = |node: &Node| VoterStatus {
            node: node.place.node.clone(),
            region: node.place.region.clone(),
            is_current: node.alive && !node.frozen && self.now >= node.up_since + 1_500,
            behind: 0,
        };
        let primary = &self.nodes[self.primary];
        GroupSight {
            group: "main".parse().unwrap(),
            epoch: self.epoch,
            is_served: primary.alive && !primary.frozen,
            is_moving: self.now < self.moving_until,
            leads: Some(primary.place.node.clone()),
            voters: self.nodes[..REGIONS].iter().map(voter).collect(),
        }
    }

    fn records(&self) -> BTreeMap<NodeId, bool> {
        let answers = |node: &Node| node.alive && !node.frozen && self.now >= node.up_since + 1_500;
        self.nodes[..REGIONS].iter().map(|node| (node.place.node.clone(), answers(node))).collect()
    }

    /// Puts a step into the record, and carries it out.
    pub(super) fn take(&mut self, step: &Step) -> Result<(), Violation> {
        let Some(next) = self.apply(step) else { return Ok(()) };
        let before = std::mem::replace(&mut self.operations, next);
        self.truth.check_step(self.now, step, &before, self)?;
        match &step.action {
            Action::Node { node, change, .. } => {
                let held = before.standing(node).hold() > Duration::ZERO;
                match change {
                    Change::Lost => self.counts.lost += 1,
                    Change::Back => {
                        self.counts.back += 1;
                        self.counts.held += u64::from(held);
                    }
                    Change::Left | Change::Forgiven => {}
                }
                self.truth.changed(self.index(node), *change, self.now);
                let now = self.clock();
                self.health.changed(node, now);
            }
            Action::Region { down, .. } => self.counts.regions += u64::from(*down),
            Action::MovePrimary { group, epoch, to, .. } => {
                let now = self.clock();
                self.patience.tried(group, now);
                self.moving_until = self.now + 5_000;
                let to = self.index(to);
                self.push(400, Event::Moved { epoch: *epoch, to });
            }
            _ => {}
        }
        Ok(())
    }

    fn apply(&mut self, step: &Step) -> Option<Operations> {
        let by = Author::Member(self.members[self.leader.unwrap_or(0)].id.clone());
        // Whatever the clock on the wall says.
        let at_ms = self.random.next() as i64;
        let role_of =
            |id: &NodeId| self.nodes.iter().find(|node| node.place.node == *id).map(|n| n.place.role);
        self.operations.apply(step, by, at_ms, role_of).ok()
    }

    /// A primary that died is replaced by whoever is there: not this planner's doing.
    fn fail_over(&mut self) {
        let runs = |node: &Node| node.alive && !node.frozen;
        if !runs(&self.nodes[self.primary]) && self.random.permille(40) {
            let other = (0..REGIONS).find(|edge| runs(&self.nodes[*edge]));
            if let Some(other) = other {
                self.led_by(other);
            }
        }
    }

    /// A leader that has lost the others, or stands still for long, is replaced.
    fn elect(&mut self) {
        if self.leader.is_none_or(|leader| !self.is_fit(leader)) && self.random.permille(150) {
            self.leader = None;
            let next = (0..self.members.len()).find(|member| self.is_fit(*member));
            if let Some(next) = next {
                self.lead(next);
            }
        }
    }

    /// Whether a member can lead.
    pub(super) fn is_fit(&self, member: usize) -> bool {
        self.has_majority(member) && self.members[member].stalled_until <= self.now
    }

    pub(super) fn lead(&mut self, member: usize) {
        self.leader = Some(member);
        self.term += 1;
        self.counts.leaders += 1;
        let now = self.clock();
        (self.health, self.patience) = (Health::new(now), Patience::default());
        if self.fault == Fault::DrainsForgotten {
            self.operations.drains.clear();
        }
        self.observe();
    }

    pub(super) fn has_majority(&self, member: usize) -> bool {
        let all = self.members.len();
        let with = (0..all).filter(|other| {
            *other == member || (self.talk(member, *other) && self.members[*other].stalled_until <= self.now)
        });
        2 * with.count() > all
    }

    pub(super) fn talk(&self, one: usize, other: usize) -> bool {
        one == other || !(self.apart[one] || self.apart[other])
    }

    fn index(&self, id: &NodeId) -> usize {
        self.nodes.iter().position(|node| node.place.node == *id).unwrap()
    }

    fn clock(&self) -> Duration {
        self.clock_of(self.leader.unwrap_or(0), self.now)
    }

    fn clock_of(&self, member: usize, at: u64) -> Duration {
        Duration::from_millis(at + self.members[member].offset)
    }
}

impl Member {
    fn new(index: usize, random: &mut Random) -> Self {
        let id = format!("control-{}", index + 1).parse().unwrap();
        let offset = random.between(0, 1_000_000);
        Self { id, streaks: BTreeMap::new(), stalled_until: 0, offset }
    }
}

impl Node {
    /// The edge hosts first, then the media nodes; a region has one of each.
    fn new(index: usize) -> Self {
        let (role, region) = (if index < REGIONS { Role::Edge } else { Role::Media }, index % REGIONS);
        let place = Place {
            node: format!("{role}-{region}").parse().unwrap(),
            role,
            region: format!("region-{region}").parse().unwrap(),
        };
        let order = NodeOrder { generation: 0, drain: false };
        Self { place, alive: true, frozen: false, latency: 20, life: 0, up_since: 0, order }
    }
}
