//! Raft in its simplest form: whole suffixes of the log travel, and nothing is compacted.

use std::collections::{BTreeMap, BTreeSet};

use locum_replication::GroupRecord;

/// What is agreed on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// A reign begins.
    Begin,
    /// The record becomes this one, if nothing came in between.
    Record { base: usize, record: Box<GroupRecord> },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) term: u64,
    pub(crate) change: Change,
}

#[derive(Clone, Debug)]
pub(crate) enum Message {
    Vote { term: u64, last: (u64, usize) },
    Voted { term: u64, yes: bool },
    Append { term: u64, before: usize, before_term: u64, entries: Vec<Entry>, agreed: usize },
    Appended { term: u64, ok: bool, length: usize },
}

/// What outlives the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) term: u64,
    pub(crate) voted: Option<usize>,
    pub(crate) log: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub(crate) enum Role {
    Follower,
    Candidate(BTreeSet<usize>),
    /// How much of the log each other one has, and how much was last sent from.
    Leader(BTreeMap<usize, (usize, usize)>),
}

/// One member's part.
#[derive(Clone, Debug)]
pub(crate) struct Raft {
    pub(crate) me: usize,
    members: usize,
    pub(crate) role: Role,
    pub(crate) leader: Option<usize>,
    /// How many entries are agreed on, as far as it knows.
    pub(crate) agreed: usize,
    /// A leader was heard from, or somebody was voted for, since this was last taken.
    pub(crate) heard: bool,
}

pub(crate) type Out = Vec<(usize, Message)>;

impl Raft {
    pub(crate) fn new(me: usize, members: usize) -> Self {
        Self { me, members, role: Role::Follower, leader: None, agreed: 0, heard: false }
    }

    pub(crate) fn leads(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let me = self.me;
        (0..self.members).filter(move |other| *other != me)
    }

    fn majority(&self, count: usize) -> bool {
        count > self.members / 2
    }

    /// Asks to lead.
    pub(crate) fn stand(&mut self, disk: &mut Disk) -> Out {
        disk.term += 1;
        disk.voted = Some(self.me);
        self.leader = None;
        self.role = Role::Candidate(BTreeSet::from([self.me]));
        if self.majority(1) {
            self.win(disk);
        }
        let message = Message::Vote { term: disk.term, last: last(disk) };
        self.others().map(|other| (other, message.clone())).collect()
    }

    fn win(&mut self, disk: &mut Disk) {
        self.leader = Some(self.me);
        self.role = Role::Leader(self.others().map(|other| (other, (0, disk.log.len()))).collect());
        self.propose(disk, Change::Begin);
    }

    /// Leaders: one more entry; its index.
    pub(crate) fn propose(&mut self, disk: &mut Disk, change: Change) -> usize {
        disk.log.push(Entry { term: disk.term, change });
        self.count(disk);
        disk.log.len() - 1
    }

    /// Leaders: what the others should hear now.
    pub(crate) fn beat(&self, disk: &Disk) -> Out {
        let Role::Leader(others) = &self.role else { return Vec::new() };
        let append = |(other, (_, next)): (&usize, &(usize, usize))| {
            let before = (*next).min(disk.log.len());
            let before_term = before.checked_sub(1).map_or(0, |at| disk.log[at].term);
            let entries = disk.log[before..].to_vec();
            (*other, Message::Append { term: disk.term, before, before_term, entries, agreed: self.agreed })
        };
        others.iter().map(append).collect()
    }

    fn newer_term(&mut self, disk: &mut Disk, term: u64) {
        if term > disk.term {
            (disk.term, disk.voted) = (term, None);
            self.role = Role::Follower;
            self.leader = None;
        }
    }

    /// Takes a message, unless it would vote against a leader it still hears of.
    pub(crate) fn take(&mut self, disk: &mut Disk, from: usize, message: Message, loyal: bool) -> Out {
        match message {
            Message::Vote { term, last: theirs } => {
                if loyal {
                    return vec![(from, Message::Voted { term: disk.term, yes: false })];
                }
                self.newer_term(disk, term);
                let free = disk.voted.is_none_or(|voted| voted == from);
                let yes = term == disk.term && free && theirs >= last(disk);
                if yes {
                    disk.voted = Some(from);
                    self.heard = true;
                }
                vec![(from, Message::Voted { term: disk.term, yes })]
            }
            Message::Voted { term, yes } => {
                self.newer_term(disk, term);
                let Role::Candidate(votes) = &mut self.role else { return Vec::new() };
                if term == disk.term && yes {
                    votes.insert(from);
                }
                let votes = votes.len();
                if self.majority(votes) {
                    self.win(disk);
                    return self.beat(disk);
                }
                Vec::new()
            }
            Message::Append { term, before, before_term, entries, agreed } => {
                self.newer_term(disk, term);
                if term < disk.term {
                    return vec![(from, Message::Appended { term: disk.term, ok: false, length: 0 })];
                }
                self.role = Role::Follower;
                self.leader = Some(from);
                self.heard = true;
                let fits = before <= disk.log.len()
                    && before.checked_sub(1).is_none_or(|at| disk.log[at].term == before_term);
                if !fits {
                    let length = before.saturating_sub(1).min(disk.log.len());
                    return vec![(from, Message::Appended { term, ok: false, length })];
                }
                let length = before + entries.len();
                for (at, entry) in (before..).zip(entries) {
                    if disk.log.get(at) != Some(&entry) {
                        disk.log.truncate(at);
                        disk.log.push(entry);
                    }
                }
                self.agreed = self.agreed.max(agreed.min(length));
                vec![(from, Message::Appended { term, ok: true, length })]
            }
            Message::Appended { term, ok, length } => {
                self.newer_term(disk, term);
                if term != disk.term {
                    return Vec::new();
                }
                if let Role::Leader(others) = &mut self.role
                    && let Some((has, next)) = others.get_mut(&from)
                {
                    if ok {
                        *has = length.max(*has);
                    }
                    *next = length;
                }
                self.count(disk);
                Vec::new()
            }
        }
    }

    /// Entries of the own term that a majority has are agreed on, and all before them.
    fn count(&mut self, disk: &Disk) {
        let Role::Leader(others) = &self.role else { return };
        for length in (self.agreed + 1..=disk.log.len()).rev() {
            let have = 1 + others.values().filter(|(has, _)| *has >= length).count();
            if self.majority(have) && disk.log[length - 1].term == disk.term {
                self.agreed = length;
                return;
            }
        }
    }
}

fn last(disk: &Disk) -> (u64, usize) {
    (disk.log.last().map_or(0, |entry| entry.term), disk.log.len())
}
