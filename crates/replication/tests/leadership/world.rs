//! Members, hosts, what travels between them, and what goes wrong.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use locum_replication::{Epoch, GroupConfig};

use crate::host::Host;
use crate::member::{Around, Process, Report, Said, state};
use crate::raft::{Change, Disk, Entry};
use crate::random::Random;

const TROUBLE: u64 = 40_000;
const RECOVERY: u64 = 25_000;
const TICK: u64 = 50;

/// Mistakes that somebody could make.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    /// A new leader takes earlier leases for over.
    NewLeaderDoesNotWait,
    /// A leader grants leases because it takes itself for one.
    LeaseWithoutConfirmation,
    /// Voters do not remember whom they confirmed.
    AgeForgotten,
    /// A member that crashed does not know its term, nor for whom it voted in it.
    TermForgotten,
}

#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) detail: String,
}

type Checked = Result<(), Violation>;

fn hold(invariant: &'static str, holds: bool, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

/// A simulation in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) reigns: u64,
    pub(crate) epochs: u64,
    pub(crate) leases: u64,
    pub(crate) crashes: u64,
    pub(crate) vain: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.reigns += other.reigns;
        self.epochs += other.epochs;
        self.leases += other.leases;
        self.crashes += other.crashes;
        self.vain += other.vain;
    }
}

#[derive(Clone)]
enum Event {
    Tick { member: usize, life: u64 },
    Poll { host: usize },
    Said { from: usize, to: usize, said: Said },
    Report { to: usize, report: Report },
    Weather,
    Start { member: usize },
}

struct Member {
    disk: Disk,
    process: Option<Process>,
    life: u64,
    paused_until: u64,
    /// Its clock stood still for so long: suspended.
    lost: u64,
    suspended: bool,
    rate: u64,
    /// So much of what it takes for agreed was compared with what others do.
    compared: usize,
}

impl Member {
    fn clock(&self, now: u64) -> Duration {
        Duration::from_micros((now - self.lost) * self.rate)
    }
}

pub(crate) struct World {
    random: Random,
    fault: Fault,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    config: GroupConfig,
    members: Vec<Member>,
    hosts: Vec<Host>,
    /// From, to, when. Hosts come after all members.
    cuts: Vec<(usize, usize, Range<u64>)>,
    loss_permille: u64,
    /// How soon members choose another leader.
    loyal: Duration,
    calm: bool,
    questions: u64,
    agreed: Vec<Entry>,
    leaders: BTreeMap<u64, usize>,
    primaries: BTreeMap<Epoch, String>,
    pub(crate) counts: Counts,
}

impl World {
    pub(crate) fn new(seed: u64, fault: Fault) -> Self {
        let mut random = Random(seed);
        let members = [3, 3, 3, 3, 5, 1][random.index(6)];
        let names = ["west", "east", "central"];
        let hosts =
            (0..3).map(|at| Host::new(names[at], at as u64 + 1, random.between(970, 1_031))).collect();
        let member = |rate| Member {
            disk: Disk::default(),
            process: None,
            life: 0,
            paused_until: 0,
            lost: 0,
            suspended: false,
            rate,
            compared: 0,
        };
        let members: Vec<Member> = (0..members).map(|_| member(random.between(970, 1_031))).collect();
        let config = GroupConfig {
            regions: names.iter().map(|name| name.parse().unwrap()).collect(),
            single_copy: false,
        };
        let loss_permille = if random.permille(500) { random.below(120) } else { 0 };
        let loyal =
            Duration::from_millis(if random.permille(500) { 1_500 } else { random.between(550, 1_500) });
        let mut world = Self {
            random,
            fault,
            now: 10_000,
            events: BTreeMap::new(),
            sequence: 0,
            config,
            members,
            hosts,
            cuts: Vec::new(),
            loss_permille,
            loyal,
            calm: false,
            questions: 0,
            agreed: Vec::new(),
            leaders: BTreeMap::new(),
            primaries: BTreeMap::new(),
            counts: Counts::default(),
        };
        for member in 0..world.members.len() {
            world.at(0, Event::Start { member });
        }
        for host in 0..3 {
            let begin = world.random.below(500);
            world.at(begin, Event::Poll { host });
        }
        world.at(6_000, Event::Weather);
        world
    }

    /// Lives until something is wrong or, after trouble is over, somebody holds a lease.
    pub(crate) fn run(&mut self) -> Checked {
        let (trouble, end) = (self.now + TROUBLE, self.now + TROUBLE + RECOVERY);
        let mut well_since = None;
        while let Some(((now, _), event)) = self.events.pop_first() {
            self.now = now;
            if !self.calm && now > trouble {
                self.make_calm();
            }
            self.happens(event);
            self.check()?;
            let served = self.calm && self.hosts.iter().any(|host| host.holds_lease(now));
            well_since = if served { well_since.or(Some(now)) } else { None };
            if now > end || well_since.is_some_and(|since| now > since + 1_500) {
                break;
            }
        }
        for member in &self.members {
            self.counts.add(of(member.process.as_ref()));
        }
        hold("available_after_healing", well_since.is_some(), || {
            let leading: Vec<_> =
                self.members.iter().map(|m| m.process.as_ref().map(|p| p.raft.leads())).collect();
            let status = self.members.iter().find_map(|member| {
                let life = member.process.as_ref()?.life.as_ref()?;
                Some(life.registry.status(member.clock(self.now)))
            });
            format!("{leading:?} {status:?}")
        })
    }

    fn check(&mut self) -> Checked {
        let holders: Vec<_> = self
            .hosts
            .iter()
            .filter(|host| host.holds_lease(self.now))
            .map(|host| host.id.to_string())
            .collect();
        hold("one_lease", holders.len() <= 1, || format!("at {} {holders:?}", self.now))?;
        for member in 0..self.members.len() {
            let (term, Some(process)) = (self.members[member].disk.term, &self.members[member].process)
            else {
                continue;
            };
            if process.raft.leads() {
                let leader = *self.leaders.entry(term).or_insert(member);
                hold("one_leader", leader == member, || format!("{leader} and {member} lead term {term}"))?;
            }
            let (from, to) = (self.members[member].compared, process.raft.agreed);
            for at in from..to {
                let entry = self.members[member].disk.log[at].clone();
                match self.agreed.get(at) {
                    Some(agreed) => {
                        hold("agreed_stays", *agreed == entry, || format!("entry {at} is two"))?;
                    }
                    None => self.agreed_on(entry)?,
                }
            }
            self.members[member].compared = to.max(from);
        }
        Ok(())
    }

    fn agreed_on(&mut self, entry: Entry) -> Checked {
        let (revision, _) = state(&self.agreed);
        if let Change::Record { base, record } = &entry.change
            && *base == revision
            && let Some(primary) = &record.primary
        {
            let name = primary.to_string();
            let newest = self.primaries.last_key_value().map_or(Epoch::ZERO, |(epoch, _)| *epoch);
            hold("epochs_grow", record.epoch >= newest, || format!("{} after {newest}", record.epoch))?;
            let before = self.primaries.insert(record.epoch, name.clone());
            hold("one_primary", before.as_ref().is_none_or(|before| *before == name), || {
                format!("{before:?} and {name} lead epoch {}", record.epoch)
            })?;
            self.counts.epochs = self.counts.epochs.max(record.epoch.0);
        }
        self.agreed.push(entry);
        Ok(())
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Tick { member, life } => {
                if self.waits(member, Event::Tick { member, life }) || self.members[member].life != life {
                    return;
                }
                self.at(TICK, Event::Tick { member, life });
                self.with(member, |process, disk, around| process.tick(disk, around));
            }
            Event::Said { from, to, said } => {
                if to >= self.members.len() {
                    return self.host_hears(to - self.members.len(), said);
                }
                if self.waits(to, Event::Said { from, to, said: said.clone() }) {
                    return;
                }
                // An answer on its way through.
                if let Said::View { to: host, .. } = &said {
                    let host = self.members.len() + host;
                    return self.send(to, host, said);
                }
                self.with(to, |process, disk, around| process.take(disk, from, said, around));
            }
            Event::Report { to, report } => {
                if !self.waits(to, Event::Report { to, report: report.clone() }) {
                    self.with(to, |process, disk, around| process.report(disk, report, around));
                }
            }
            Event::Poll { host } => self.poll(host),
            Event::Weather => {
                let pause = self.random.between(300, 3_000);
                self.at(pause, Event::Weather);
                if !self.calm {
                    self.weather();
                }
            }
            Event::Start { member } => self.start(member),
        }
    }

    /// Whoever stands still has it happen later.
    fn waits(&mut self, member: usize, event: Event) -> bool {
        let until = self.members[member].paused_until;
        if until <= self.now {
            self.members[member].suspended = false;
            return false;
        }
        let delay = until - self.now;
        self.at(delay, event);
        true
    }

    fn with(
        &mut self,
        member: usize,
        what: impl FnOnce(&mut Process, &mut Disk, &Around<'_>) -> Vec<(usize, Said)>,
    ) {
        let random = self.random.next();
        let clock = self.members[member].clock(self.now);
        let (fault, members) = (self.fault, self.members.len());
        let (config, loyal) = (&self.config, self.loyal);
        let around = Around { clock, fault, members, config, random, loyal };
        let Member { disk, process, .. } = &mut self.members[member];
        let Some(process) = process else { return };
        let out = what(process, disk, &around);
        for (to, said) in out {
            match said {
                // Through nobody but itself.
                Said::View { to: host, .. } if to == member => {
                    let host = self.members.len() + host;
                    self.send(member, host, said);
                }
                said => self.send(member, to, said),
            }
        }
    }

    fn start(&mut self, member: usize) {
        if self.members[member].process.is_some() {
            return;
        }
        let random = self.random.next();
        let clock = self.members[member].clock(self.now);
        let (fault, members) = (self.fault, self.members.len());
        let (config, loyal) = (&self.config, self.loyal);
        let around = Around { clock, fault, members, config, random, loyal };
        let process = Process::new(member, &around);
        let known = &mut self.members[member];
        known.life += 1;
        known.compared = 0;
        known.process = Some(process);
        if fault == Fault::TermForgotten {
            (known.disk.term, known.disk.voted) = (0, None);
        }
        let life = known.life;
        self.at(0, Event::Tick { member, life });
    }

    fn poll(&mut self, host: usize) {
        if self.hosts[host].paused_until > self.now {
            let delay = self.hosts[host].paused_until - self.now;
            return self.at(delay, Event::Poll { host });
        }
        self.questions += 1;
        let (question, members) = (self.questions, self.members.len());
        let (to, report) = self.hosts[host].report(question, members, self.now);
        let identity = (self.hosts[host].id.clone(), self.hosts[host].region.clone());
        for delay in self.journeys(members + host, to) {
            let (report, identity) = (report.clone(), identity.clone());
            let report = Report { host, question, identity, report, through: to };
            self.at(delay, Event::Report { to, report });
        }
        let again = self.hosts[host].again_ms();
        self.at(again, Event::Poll { host });
    }

    fn host_hears(&mut self, host: usize, said: Said) {
        if self.hosts[host].paused_until > self.now {
            let delay = self.hosts[host].paused_until - self.now;
            let to = self.members.len() + host;
            return self.at(delay, Event::Said { from: 0, to, said });
        }
        if let Said::View { question, view, .. } = said {
            self.hosts[host].view(question, &view, self.now);
        }
    }

    fn send(&mut self, from: usize, to: usize, said: Said) {
        for delay in self.journeys(from, to) {
            self.at(delay, Event::Said { from, to, said: said.clone() });
        }
    }

    fn journeys(&mut self, from: usize, to: usize) -> Vec<u64> {
        if from == to {
            return vec![0];
        }
        let cut = self.cuts.iter().any(|(a, b, when)| when.contains(&self.now) && (*a, *b) == (from, to));
        if cut || self.random.permille(self.loss_permille) {
            return Vec::new();
        }
        let times = if self.random.permille(self.loss_permille / 3) { 2 } else { 1 };
        let mut journeys = Vec::new();
        for _ in 0..times {
            let slow = self.random.permille(self.loss_permille / 2);
            let longest = if slow { 3_000 } else { 60 };
            journeys.push(self.random.between(1, longest));
        }
        journeys
    }

    fn at(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    fn weather(&mut self) {
        let leads = |member: &Member| member.process.as_ref().is_some_and(|process| process.life.is_some());
        let leader = self.members.iter().position(leads).filter(|_| self.random.permille(600));
        let member = leader.unwrap_or_else(|| self.random.index(self.members.len()));
        let host = self.random.index(3);
        let until = self.now + self.random.between(200, 9_000);
        match self.random.below(100) {
            0..20 => self.crash(member),
            20..35 => {
                // A clock that stands still goes on only when its time has come.
                if !self.members[member].suspended {
                    self.members[member].paused_until = until;
                }
            }
            35..43 => self.suspend(member, until),
            43..60 => {
                // From the other members, both ways or one; hosts may still reach it.
                let ways = [(true, true), (true, false), (false, true)][self.random.index(3)];
                for other in (0..self.members.len()).filter(|other| *other != member) {
                    self.cut_ways(member, other, ways, until);
                }
            }
            60..70 => {
                for other in (0..self.members.len() + 3).filter(|other| *other != member) {
                    self.cut_ways(member, other, (true, true), until);
                }
            }
            70..78 => {
                let other = self.random.index(self.members.len() + 3);
                let both = self.random.permille(700);
                self.cut_ways(member, other, (both, true), until);
            }
            78..83 => self.hosts[host].paused_until = until,
            83..87 => self.hosts[host].crash(),
            87..90 => self.hosts[host].engine_dies(),
            90..94 => {
                // A region goes: a member, and whoever holds the lease.
                self.crash(member);
                let holder = self.holder().unwrap_or(host);
                self.hosts[holder].crash();
                self.hosts[holder].paused_until = until;
            }
            _ => {
                // It is cut off, link by link or all at once: in the end the two have only each other.
                let holder = self.members.len() + self.holder().unwrap_or(host);
                let slowest = if self.random.permille(500) { 4_000 } else { 1 };
                for other in (0..self.members.len() + 3).filter(|other| ![member, holder].contains(other)) {
                    let from = self.now + self.random.between(0, slowest);
                    self.cut_later(member, other, (true, true), from..from + 9_000);
                    self.cut_later(holder, other, (true, true), from..from + 9_000);
                }
            }
        }
    }

    fn holder(&self) -> Option<usize> {
        self.hosts.iter().position(|host| host.primary.is_some())
    }

    fn cut_ways(&mut self, one: usize, other: usize, ways: (bool, bool), until: u64) {
        self.cut_later(one, other, ways, self.now..until);
    }

    fn cut_later(&mut self, one: usize, other: usize, (out, back): (bool, bool), when: Range<u64>) {
        self.cuts.retain(|(_, _, when)| when.end > self.now);
        self.cuts.extend(out.then_some((one, other, when.clone())));
        self.cuts.extend(back.then_some((other, one, when)));
    }

    fn crash(&mut self, member: usize) {
        let known = &mut self.members[member];
        self.counts.crashes += u64::from(known.process.is_some());
        let counts = of(known.process.take().as_ref());
        known.paused_until = self.now.min(known.paused_until);
        self.counts.add(counts);
        let longest = if self.random.permille(500) { 300 } else { 8_000 };
        let back = self.random.between(10, longest);
        self.at(back, Event::Start { member });
    }

    /// Neither it nor its clock goes on.
    fn suspend(&mut self, member: usize, until: u64) {
        let known = &mut self.members[member];
        if known.paused_until <= self.now {
            known.paused_until = until;
            known.suspended = true;
            known.lost += until - self.now;
        }
    }

    fn make_calm(&mut self) {
        self.calm = true;
        self.cuts.clear();
        self.loss_permille = 0;
        for member in 0..self.members.len() {
            // A clock that stood still does not catch up.
            if !self.members[member].suspended {
                self.members[member].paused_until = self.members[member].paused_until.min(self.now);
            }
            self.at(0, Event::Start { member });
        }
        for host in &mut self.hosts {
            host.paused_until = host.paused_until.min(self.now);
        }
    }
}

fn of(process: Option<&Process>) -> Counts {
    let Some(process) = process else { return Counts::default() };
    Counts { reigns: process.reigns, leases: process.leases, vain: process.vain, ..Counts::default() }
}
