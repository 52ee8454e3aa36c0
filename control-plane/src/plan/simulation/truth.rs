//! What is really so, and what must hold of what is said about it.

use std::collections::BTreeSet;

use locum_cluster::{NodeOrder, Subject, Wish};
use locum_identity::{NodeId, RegionId};

use super::world::World;
use crate::health::{Change, Condition};
use crate::plan::{Action, Operations, Step};

/// Whoever was seen all this time was not missed three times.
const SEEN_FOR: u64 = 4_000;
/// A node that answers within [`BRISK`] and is within reach for so long was asked meanwhile.
const ASKED_WITHIN: u64 = 1_500;
const BRISK: u64 = 300;
/// So soon after it was within reach nobody can have missed it for three seconds: the last good answer was at most one
/// probe, and its answer, older.
const TOO_SOON: u64 = 3_000 - 825 - BRISK;
/// The last word of a member that reaches nobody, or whom nobody hears, has no weight any more: what it saw was recent
/// then, on its way for a moment, and fresh.
const SILENT_FOR: u64 = 2 * 2_500 + 200;
/// A node that nobody can reach is out of the list by then.
const OUT_WITHIN: u64 = 4_000;
/// Five probes that follow each other as fast as they may.
const FIVE_PROBES: u64 = 4 * 675;

/// An invariant that does not hold.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) invariant: &'static str,
    pub(super) detail: String,
}

impl Violation {
    pub(super) fn new(invariant: &'static str, detail: String) -> Self {
        Self { invariant, detail }
    }

    pub(super) fn unless(
        holds: bool,
        invariant: &'static str,
        detail: impl FnOnce() -> String,
    ) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::new(invariant, detail())) }
    }
}

/// Since when something is so; `None`: it is not.
type Since = Option<u64>;

pub(super) struct Truth {
    reaches: Vec<Vec<Since>>,
    /// A member reaches a node, and it answers at once.
    brisk: Vec<Vec<Since>>,
    /// When that was last so for long enough; 0: never.
    answered: Vec<Vec<u64>>,
    /// A member reaches nobody.
    blind: Vec<Since>,
    /// A member reaches somebody.
    sighted: Vec<Since>,
    /// Its reports reach the leader, and it does not stand still.
    linked: Vec<Since>,
    unlinked: Vec<Since>,
    /// Its word reaches the leader.
    speaks: Vec<Since>,
    /// Nobody reaches it, and its word reaches nobody.
    hidden: Vec<Since>,
    /// Nothing changed about members and the leader.
    quiet_since: u64,
    links: (u64, Vec<bool>, Vec<bool>),
    lost_at: Vec<u64>,
    /// When a node that was lost was first within reach again.
    came_at: Vec<Since>,
    wanted: BTreeSet<Subject>,
}

fn mark(since: &mut Since, holds: bool, now: u64) {
    *since = if holds { Some(since.unwrap_or(now)) } else { None };
}

fn lasts(since: Since, now: u64, least: u64) -> bool {
    since.is_some_and(|since| now - since >= least)
}

impl World {
    /// Notes what is so from now on. To be called after every change of weather or leader.
    pub(super) fn observe(&mut self) {
        let mut truth = std::mem::replace(&mut self.truth, Truth::new(0, 0));
        truth.observe(self);
        self.truth = truth;
    }
}

impl Truth {
    pub(super) fn new(members: usize, nodes: usize) -> Self {
        Self {
            reaches: vec![vec![None; nodes]; members],
            brisk: vec![vec![None; nodes]; members],
            answered: vec![vec![0; nodes]; members],
            blind: vec![None; members],
            sighted: vec![None; members],
            linked: vec![None; members],
            unlinked: vec![None; members],
            speaks: vec![None; nodes],
            hidden: vec![None; nodes],
            quiet_since: 0,
            links: (0, Vec::new(), Vec::new()),
            lost_at: vec![0; nodes],
            came_at: vec![None; nodes],
            wanted: BTreeSet::new(),
        }
    }

    fn observe(&mut self, world: &World) {
        let now = world.now;
        let (members, nodes) = (world.members.len(), world.nodes.len());
        for member in 0..members {
            for node in 0..nodes {
                let reaches = world.reaches(member, node);
                mark(&mut self.reaches[member][node], reaches, now);
                mark(&mut self.brisk[member][node], reaches && world.nodes[node].latency <= BRISK, now);
                if lasts(self.brisk[member][node], now, ASKED_WITHIN) {
                    self.answered[member][node] = now;
                }
            }
            let somebody = self.reaches[member].iter().any(Option::is_some);
            mark(&mut self.sighted[member], somebody, now);
            mark(&mut self.blind[member], !somebody, now);
            let runs = world.members[member].stalled_until <= now;
            let linked = runs && world.leader.is_some_and(|leader| world.talk(member, leader));
            mark(&mut self.linked[member], linked, now);
            mark(&mut self.unlinked[member], !linked, now);
        }
        for node in 0..nodes {
            let there = &world.nodes[node];
            let heard =
                there.alive && !there.frozen && world.leader.is_some_and(|leader| !world.deaf[leader][node]);
            mark(&mut self.speaks[node], heard, now);
            let reached = (0..members).any(|member| self.reaches[member][node].is_some());
            mark(&mut self.hidden[node], !heard && !reached, now);
            if heard || reached {
                self.came_at[node].get_or_insert(now);
            }
        }
        let sighted = self.sighted.iter().map(Option::is_some).collect();
        let linked = self.linked.iter().map(Option::is_some).collect();
        let links = (world.term, sighted, linked);
        if links != self.links {
            (self.links, self.quiet_since) = (links, now);
        }
        let until = world.members.iter().map(|member| member.stalled_until).max();
        self.quiet_since = self.quiet_since.max(until.unwrap_or(0));
    }

    pub(super) fn wish(&mut self, wish: &Wish) {
        match wish {
            Wish::Drain(subject) => drop(self.wanted.insert(subject.clone())),
            Wish::Undrain(subject) => drop(self.wanted.remove(subject)),
            Wish::Pin { .. } | Wish::Unpin { .. } => {}
        }
    }

    pub(super) fn wants(&self, node: &NodeId, region: &RegionId) -> bool {
        self.wanted.iter().any(|subject| subject.covers(node, region))
    }

    pub(super) fn changed(&mut self, node: usize, change: Change, now: u64) {
        if change == Change::Lost {
            self.lost_at[node] = now;
            self.came_at[node] = self.hidden[node].is_none().then_some(now);
        }
    }

    /// A node did as it was told.
    pub(super) fn obeyed(&self, before: NodeOrder, order: NodeOrder) -> Result<(), Violation> {
        let grows = order.generation > before.generation || order == before;
        Violation::unless(grows, "orders_only_grow", || format!("{before:?}, then {order:?}"))
    }

    pub(super) fn check_drains(&self, operations: &Operations) -> Result<(), Violation> {
        let kept = operations.drains.keys().eq(&self.wanted);
        let detail = || format!("{:?} of {:?}", operations.drains, self.wanted);
        Violation::unless(kept, "drains_survive", detail)
    }

    pub(super) fn check_step(
        &self,
        now: u64,
        step: &Step,
        before: &Operations,
        world: &World,
    ) -> Result<(), Violation> {
        match &step.action {
            Action::Node { node, change: Change::Lost, .. } => self.check_lost(now, node, step, world),
            Action::Node { node, change: Change::Back, .. } => self.check_back(now, node, before, world),
            Action::MovePrimary { to, .. } => {
                let place = &world.nodes.iter().find(|node| node.place.node == *to).unwrap().place;
                let welcome = !self.wants(to, &place.region);
                Violation::unless(welcome, "moves_where_it_is_welcome", || format!("{step:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Nobody is given up whom a majority of those who see anybody has seen all the time.
    fn check_lost(&self, now: u64, id: &NodeId, step: &Step, world: &World) -> Result<(), Violation> {
        let node = world.nodes.iter().position(|node| node.place.node == *id).unwrap();
        let (mut counted, mut missing, mut unclear) = (0, 0, 0);
        for member in 0..world.members.len() {
            let says_nothing =
                lasts(self.unlinked[member], now, SILENT_FOR) || lasts(self.blind[member], now, SILENT_FOR);
            let counts = lasts(self.linked[member], now, SEEN_FOR)
                && lasts(self.sighted[member], now, SEEN_FOR)
                && now >= world.members[member].stalled_until + SEEN_FOR;
            match (says_nothing, counts) {
                (true, _) => {}
                (_, true) => {
                    counted += 1;
                    let answered = self.answered[member][node];
                    let sees = lasts(self.reaches[member][node], now, SEEN_FOR)
                        || (answered > 0 && now < answered + TOO_SOON);
                    missing += usize::from(!sees);
                }
                _ => unclear += 1,
            }
        }
        let detail = || format!("{missing} of {counted} miss it, {unclear} unclear: {step:?}");
        let seen = counted > 0 && 2 * (missing + unclear) <= counted + unclear;
        Violation::unless(!seen, "no_false_down", detail)?;
        let speaks = counted + unclear <= 1 && lasts(self.speaks[node], now, SEEN_FOR);
        Violation::unless(!speaks, "no_false_down", || format!("it speaks: {step:?}"))
    }

    /// Nobody comes back without having been there for a while, and who came and went waits longer.
    fn check_back(&self, now: u64, id: &NodeId, before: &Operations, world: &World) -> Result<(), Violation> {
        let node = world.nodes.iter().position(|node| node.place.node == *id).unwrap();
        let there = lasts(self.came_at[node], now, FIVE_PROBES);
        Violation::unless(there, "damped", || format!("{id} was not there for long enough"))?;
        let hold = u64::try_from(before.standing(id).hold().as_millis()).unwrap();
        let held = now - self.lost_at[node] >= hold;
        Violation::unless(held, "damped", || format!("{id} was lost at {}", self.lost_at[node]))
    }

    /// Whoever is hidden from everybody is out in time. How many more it was so for.
    pub(super) fn check_hidden(&self, now: u64, leader: usize, world: &World) -> Result<u64, Violation> {
        let somebody_sees = (0..world.members.len()).any(|member| {
            let quiet = self.quiet_since;
            self.sighted[member].is_some_and(|since| since + 1_500 <= now)
                && self.linked[member].is_some_and(|since| since <= quiet)
        });
        if !somebody_sees || world.members[leader].stalled_until > now {
            return Ok(0);
        }
        let mut count = 0;
        for (node, hidden) in self.hidden.iter().enumerate() {
            let Some(since) = hidden.map(|since| since.max(self.quiet_since)) else { continue };
            if now.saturating_sub(since) <= OUT_WITHIN {
                continue;
            }
            let id = &world.nodes[node].place.node;
            let is_out = world.operations.condition(id) != Condition::Up;
            Violation::unless(is_out, "down_within", || format!("{id} is hidden since {since}, at {now}"))?;
            count += 1;
        }
        Ok(count)
    }
}
