//! A member of the control plane: its part of Raft, rounds of confirmation, and the registry while it leads.

use std::collections::BTreeSet;
use std::time::Duration;

use locum_replication::{Asked, GroupConfig, GroupRecord, GroupRegistry, GroupReport, Reign, Round};

use crate::raft::{Change, Disk, Entry, Message, Raft};
use crate::world::Fault;

const BEAT: Duration = Duration::from_millis(400);
const ROUND_WITHIN: Duration = Duration::from_millis(800);
const UNCONFIRMED: Duration = Duration::from_millis(1_600);
const AGREED_WITHIN: Duration = Duration::from_millis(2_000);

/// What a member says.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Raft(Message),
    Confirm {
        term: u64,
        number: u64,
        asserts: bool,
    },
    Confirmed {
        number: u64,
        age: Duration,
    },
    /// A host's report, on to the leader.
    Forward(Report),
    /// The answer, back to where the report came from.
    View {
        to: usize,
        question: u64,
        view: Box<locum_replication::GroupView>,
    },
}

/// A report on its way, with the member it came through.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) host: usize,
    pub(crate) question: u64,
    pub(crate) identity: (locum_identity::NodeId, locum_identity::RegionId),
    pub(crate) report: GroupReport,
    pub(crate) through: usize,
}

struct Running {
    number: u64,
    term: u64,
    round: Round,
    begun: Duration,
    shared_by: Vec<Report>,
}

pub(crate) struct Life {
    pub(crate) term: u64,
    pub(crate) registry: GroupRegistry,
    revision: usize,
    proposed: Option<(usize, GroupRecord, Duration)>,
}

/// What is lost with the process.
pub(crate) struct Process {
    pub(crate) raft: Raft,
    asked: Asked,
    heard_at: Duration,
    wait: Duration,
    /// It stood in vain: not again before then.
    again_at: Duration,
    beat_at: Duration,
    /// The newest round that a majority answered began here.
    sure: Duration,
    others_until: Option<(u64, Duration)>,
    ended_at: Duration,
    running: Option<Running>,
    rounds: u64,
    waiting: Vec<Report>,
    pub(crate) life: Option<Life>,
    pub(crate) reigns: u64,
    pub(crate) vain: u64,
    pub(crate) leases: u64,
}

pub(crate) type Out = Vec<(usize, Said)>;

/// What a member needs to know of its world.
pub(crate) struct Around<'a> {
    pub(crate) clock: Duration,
    pub(crate) fault: Fault,
    pub(crate) members: usize,
    pub(crate) config: &'a GroupConfig,
    pub(crate) random: u64,
    /// A voter that heard of a leader within this time is true to it. No lease depends on it.
    pub(crate) loyal: Duration,
}

impl Process {
    pub(crate) fn new(me: usize, around: &Around<'_>) -> Self {
        Self {
            raft: Raft::new(me, around.members),
            asked: Asked::new(around.clock),
            heard_at: around.clock,
            wait: wait(around),
            again_at: around.clock,
            beat_at: around.clock,
            sure: around.clock,
            others_until: None,
            ended_at: around.clock,
            running: None,
            rounds: 0,
            waiting: Vec::new(),
            life: None,
            reigns: 0,
            vain: 0,
            leases: 0,
        }
    }

    pub(crate) fn take(&mut self, disk: &mut Disk, from: usize, said: Said, around: &Around<'_>) -> Out {
        let mut out = match said {
            Said::Raft(message) => {
                let loyal = around.clock.saturating_sub(self.heard_at) <= around.loyal;
                let led = self.raft.leads();
                let answers = self.raft.take(disk, from, message, loyal);
                if std::mem::take(&mut self.raft.heard) {
                    (self.heard_at, self.again_at) = (around.clock, around.clock);
                }
                if !led && self.raft.leads() {
                    (self.sure, self.running) = (around.clock, None);
                }
                answers.into_iter().map(|(to, message)| (to, Said::Raft(message))).collect()
            }
            Said::Confirm { term, number, asserts } => {
                let answer = self.confirm(disk, from, term, number, around);
                // One that has given up keeps nobody from choosing.
                if answer.is_some() && asserts {
                    (self.heard_at, self.again_at) = (around.clock, around.clock);
                }
                answer.into_iter().collect()
            }
            Said::Confirmed { number, age } => {
                if let Some(running) = self.running.as_mut().filter(|running| running.number == number) {
                    running.round.confirmed(from as u64, age, around.clock);
                }
                self.finish(around)
            }
            Said::Forward(report) => self.hear(report, around),
            Said::View { .. } => Vec::new(),
        };
        out.extend(self.go_on(disk, around));
        out
    }

    /// A host's report, here or on its way to the leader.
    pub(crate) fn report(&mut self, disk: &mut Disk, report: Report, around: &Around<'_>) -> Out {
        let me = self.raft.me;
        match self.raft.leader {
            Some(leader) if leader != me => vec![(leader, Said::Forward(report))],
            _ => {
                let mut out = self.hear(report, around);
                out.extend(self.go_on(disk, around));
                out
            }
        }
    }

    fn hear(&mut self, report: Report, around: &Around<'_>) -> Out {
        let Some(life) = &mut self.life else { return Vec::new() };
        let (id, region) = &report.identity;
        life.registry.hear(id, region, &report.report, around.clock).unwrap();
        if around.fault == Fault::LeaseWithoutConfirmation && life.proposed.is_none() {
            return self.answer(report, around).into_iter().collect();
        }
        self.waiting.push(report);
        Vec::new()
    }

    fn answer(&mut self, report: Report, around: &Around<'_>) -> Option<(usize, Said)> {
        let life = self.life.as_mut()?;
        let view = life.registry.view(&report.identity.0, report.report.known, around.clock);
        self.leases += u64::from(view.lease_ms.is_some());
        let said = Said::View { to: report.host, question: report.question, view: Box::new(view) };
        Some((report.through, said))
    }

    pub(crate) fn tick(&mut self, disk: &mut Disk, around: &Around<'_>) -> Out {
        let mut out = Vec::new();
        let silent = around.clock.saturating_sub(self.heard_at);
        if !self.raft.leads() && silent >= self.wait && around.clock >= self.again_at {
            self.again_at = around.clock + Duration::from_millis(200 + around.random % 800);
            (self.sure, self.running) = (around.clock, None);
            out.extend(self.raft.stand(disk).into_iter().map(|(to, message)| (to, Said::Raft(message))));
        }
        if self.raft.leads() {
            self.wait = wait(around);
            if self.running.as_ref().is_some_and(|running| around.clock > running.begun + ROUND_WITHIN) {
                self.running = None;
                self.vain += 1;
            }
            let unsure = around.clock.saturating_sub(self.sure) > UNCONFIRMED;
            // One that is not confirmed does not keep the others from choosing, and votes with them.
            if unsure {
                self.end(around);
            } else {
                self.heard_at = around.clock;
            }
            if around.clock >= self.beat_at && !unsure {
                self.beat_at = around.clock + BEAT;
                out.extend(self.raft.beat(disk).into_iter().map(|(to, message)| (to, Said::Raft(message))));
            }
            out.extend(self.begin_round(disk, !unsure, around));
        }
        if let Some(life) = &mut self.life {
            life.registry.look(around.clock);
        }
        out.extend(self.go_on(disk, around));
        out
    }

    fn begin_round(&mut self, disk: &Disk, asserts: bool, around: &Around<'_>) -> Out {
        let due = !self.waiting.is_empty() || around.clock >= self.sure + BEAT;
        if self.running.is_some() || !due {
            return Vec::new();
        }
        self.rounds += 1;
        let (me, term) = (self.raft.me, disk.term);
        let mut round = Round::new(vec![(0..around.members as u64).collect::<BTreeSet<u64>>()]);
        let age = self.asked.note(Reign { term, leader: me as u64 }, around.clock);
        round.confirmed(me as u64, age, around.clock);
        let shared_by = std::mem::take(&mut self.waiting);
        self.running = Some(Running { number: self.rounds, term, round, begun: around.clock, shared_by });
        let number = self.rounds;
        let mut out: Out = (0..around.members)
            .filter(|other| *other != me)
            .map(|other| (other, Said::Confirm { term, number, asserts }))
            .collect();
        out.extend(self.finish(around));
        out
    }

    fn confirm(
        &mut self,
        disk: &Disk,
        from: usize,
        term: u64,
        number: u64,
        around: &Around<'_>,
    ) -> Option<(usize, Said)> {
        let age = self.asked.note(Reign { term, leader: from as u64 }, around.clock);
        let follows = disk.term == term && (disk.voted == Some(from) || self.raft.leader == Some(from));
        if !follows {
            return None;
        }
        let age = if around.fault == Fault::AgeForgotten { around.clock } else { age };
        Some((from, Said::Confirmed { number, age }))
    }

    /// A round that a majority answered.
    fn finish(&mut self, around: &Around<'_>) -> Out {
        let Some(running) = self.running.take_if(|running| running.round.holds()) else { return Vec::new() };
        self.sure = running.begun;
        if self.life.is_none() {
            self.others_until.get_or_insert((running.term, running.round.others_until()));
        }
        let agreed = self.life.as_ref().is_some_and(|life| {
            life.term == running.term && life.proposed.is_none() && life.registry.next(around.clock).is_none()
        });
        if !agreed {
            self.waiting.extend(running.shared_by);
            return Vec::new();
        }
        running.shared_by.into_iter().filter_map(|report| self.answer(report, around)).collect()
    }

    /// Begins and ends lives, and proposes what the registry decided.
    fn go_on(&mut self, disk: &mut Disk, around: &Around<'_>) -> Out {
        if !self.raft.leads() || self.life.as_ref().is_some_and(|life| life.term != disk.term) {
            self.end(around);
        }
        if !self.raft.leads() {
            self.others_until = None;
            return Vec::new();
        }
        self.rise(disk, around);
        self.settle(disk, around);
        Vec::new()
    }

    fn rise(&mut self, disk: &Disk, around: &Around<'_>) {
        let begun = self.raft.agreed > 0 && disk.log[self.raft.agreed - 1].term == disk.term;
        let Some((term, others_until)) = self.others_until.filter(|(term, _)| *term == disk.term) else {
            return;
        };
        if self.life.is_some() || !begun {
            return;
        }
        let (revision, record) = state(&disk.log[..self.raft.agreed]);
        let granted = match around.fault {
            Fault::NewLeaderDoesNotWait => Duration::ZERO,
            _ => others_until.max(self.ended_at),
        };
        let (group, config) = ("main".parse().unwrap(), around.config);
        let registry = GroupRegistry::new(group, config, record, granted, around.clock).unwrap();
        self.life = Some(Life { term, registry, revision, proposed: None });
        self.reigns += 1;
    }

    fn settle(&mut self, disk: &mut Disk, around: &Around<'_>) {
        loop {
            let Some(life) = &mut self.life else { return };
            match life.proposed.take() {
                Some((index, record, since)) if self.raft.agreed > index => {
                    let (revision, _) = state(&disk.log[..=index]);
                    if revision != index + 1 {
                        return self.end(around);
                    }
                    life.revision = revision;
                    life.registry.commit(record, around.clock);
                    let _ = since;
                }
                Some((index, record, since)) => {
                    if around.clock > since + AGREED_WITHIN {
                        return self.end(around);
                    }
                    life.proposed = Some((index, record, since));
                    return;
                }
                None => {
                    let Some(record) = life.registry.next(around.clock) else { return };
                    let change = Change::Record { base: life.revision, record: Box::new(record.clone()) };
                    let index = self.raft.propose(disk, change);
                    life.proposed = Some((index, record, around.clock));
                    // Sent with the next beat.
                    self.beat_at = around.clock;
                }
            }
        }
    }

    fn end(&mut self, around: &Around<'_>) {
        if self.life.take().is_some() {
            self.ended_at = around.clock;
            self.others_until = None;
            self.waiting.clear();
        }
    }
}

/// The revision and the record after these entries.
pub(crate) fn state(log: &[Entry]) -> (usize, Option<GroupRecord>) {
    let (mut revision, mut now) = (0, None);
    for (index, entry) in log.iter().enumerate() {
        match &entry.change {
            Change::Begin => revision = index + 1,
            Change::Record { base, record } if *base == revision => {
                revision = index + 1;
                now = Some((**record).clone());
            }
            Change::Record { .. } => {}
        }
    }
    (revision, now)
}

fn wait(around: &Around<'_>) -> Duration {
    around.loyal + Duration::from_millis(200 + around.random % 800)
}
