//! An edge host without data: it promises, leads and holds a lease, by the crate's own machines.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;

use locum_identity::{NodeId, RegionId};
use locum_replication::{
    Action, Epoch, Event, FrameNo, GroupReport, GroupView, Kept, Position, Primary, StoreId, Voter,
};

/// A member that has not answered for this long is not asked first any more.
const PATIENCE: Duration = Duration::from_millis(1_000);

pub(crate) struct Host {
    pub(crate) id: NodeId,
    pub(crate) region: RegionId,
    kept: Kept,
    copy: Option<Position>,
    voter: Voter,
    pub(crate) primary: Option<Primary>,
    /// Questions and when they were asked, on its own clock.
    asked: BTreeMap<u64, Duration>,
    answered: Duration,
    /// Whom it asks.
    pub(crate) prefers: usize,
    pub(crate) paused_until: u64,
    /// How fast its clock runs, per mille of true time.
    rate: u64,
}

impl Host {
    pub(crate) fn new(name: &str, store: u64, rate: u64) -> Self {
        let (id, region): (NodeId, RegionId) =
            (format!("edge-{name}").parse().unwrap(), name.parse().unwrap());
        let kept = Kept { store: StoreId(store), promised: Epoch::ZERO, started: Epoch::ZERO };
        let voter = Voter::new("main".parse().unwrap(), id.clone(), kept, None);
        Self {
            id,
            region,
            kept,
            copy: None,
            voter,
            primary: None,
            asked: BTreeMap::new(),
            answered: Duration::ZERO,
            prefers: 0,
            paused_until: 0,
            rate,
        }
    }

    pub(crate) fn clock(&self, now: u64) -> Duration {
        Duration::from_micros(now * self.rate)
    }

    /// At this true moment.
    pub(crate) fn holds_lease(&self, now: u64) -> bool {
        self.primary.as_ref().is_some_and(|primary| primary.holds_lease(self.clock(now)))
    }

    pub(crate) fn crash(&mut self) {
        self.voter = Voter::new("main".parse().unwrap(), self.id.clone(), self.kept, self.copy);
        self.primary = None;
        self.asked.clear();
    }

    /// What it reports, and to whom of so many members.
    pub(crate) fn report(&mut self, question: u64, members: usize, now: u64) -> (usize, GroupReport) {
        let clock = self.clock(now);
        if clock.saturating_sub(self.answered) > PATIENCE {
            self.prefers = (self.prefers + 1) % members;
            self.answered = clock;
        }
        self.asked.insert(question, clock);
        if self.asked.len() > 30 {
            self.asked.pop_first();
        }
        (self.prefers, self.voter.report())
    }

    pub(crate) fn again_ms(&self) -> u64 {
        self.voter.view().map_or(200, |view| view.again_ms)
    }

    pub(crate) fn view(&mut self, question: u64, view: &GroupView, now: u64) {
        let clock = self.clock(now);
        let Some(sent_at) = self.asked.get(&question).copied() else { return };
        self.answered = clock;
        let actions = self.voter.heard(view.clone());
        let events = self.primary.as_mut().map(|primary| primary.heard(view, sent_at, clock));
        if events.is_some_and(|events| events.contains(&Event::Fenced)) {
            self.engine_dies();
        }
        self.carry_out(actions);
    }

    /// Its engine dies alone: that is a new epoch too.
    pub(crate) fn engine_dies(&mut self) {
        let Some(primary) = self.primary.take() else { return };
        let actions = self.voter.engine_stopped(primary.epoch());
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            actions.extend(match action {
                Action::Stop => {
                    self.primary = None;
                    Vec::new()
                }
                Action::Persist(kept) => {
                    self.kept = kept;
                    self.voter.persisted(kept, self.copy)
                }
                Action::Follow { epoch, .. } => {
                    let at = Position::new(epoch, FrameNo(1));
                    self.copy = self.copy.max(Some(at));
                    self.voter.copied(at)
                }
                Action::Lead { epoch } => {
                    let Some(view) = self.voter.view() else { continue };
                    self.primary = Some(Primary::new(self.id.clone(), view));
                    self.copy = self.copy.max(Some(Position::new(epoch, FrameNo(1))));
                    self.voter.committed(epoch, FrameNo(1))
                }
                _ => Vec::new(),
            });
        }
    }
}
