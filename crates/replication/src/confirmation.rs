//! Who may grant leases while the control plane has several members and any of them may be deposed without
//! knowing it.
//!
//! **The rule.** A leader grants a lease only after a majority of the voters has confirmed, in a round that
//! *began after the report arrived*, that it still leads; and a new leader waits [`crate::LEASE`] and
//! [`crate::MARGIN`] from the last moment at which a leader before it can have begun such a round.
//!
//! **Why at most one host holds a lease at any real instant.** A lease counts from `s`, just before its holder
//! asked. The report arrives at `a`, the round begins at `r`, and voter `n` of the confirming majority notes the
//! question at `c`: `s < a < r < c`. Let another leader have won since. Its own majority shares some `n` with
//! that one, and whoever voted for the new leader never confirms the old one again: so `n` confirmed before it
//! voted. The new leader's first round asks how long ago each voter last noted such a question; `n` answers with
//! an age that is no less true for being told later. So the new leader knows a moment that is not before `c`, and
//! from there it waits longer than any lease lasts on the slowest clock allowed ([`crate::MARGIN`]). It does not
//! matter when the old leader's answer leaves or arrives, or for how long that leader stood still in between. No wall
//! clock is involved; a clock that stops during suspend makes an age smaller and a wait longer.
//!
//! **When the voters change.** Sets that differ by one voter have majorities that share one; sets two changes apart need not.
//! So a leader changes them one at a time, after the leases of leaders before it are over, and begins each change only once
//! a round among the voters of that moment has held: the majority which confirmed last is then one that shares a voter with
//! every majority of the next set, and what it tells is later than anything confirmed by voters before it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Names one leadership: greater ones depose smaller ones.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Reign {
    /// The term it was elected in.
    pub term: u64,
    /// Who leads.
    pub leader: u64,
}

/// How many leaderships a voter tells apart; older ones count as one.
const REMEMBERED: usize = 4;

/// What a voter remembers of the rounds it was asked in. A process that starts knows nothing: then it may have been
/// asked until just before.
#[derive(Clone, Debug)]
pub struct Asked {
    begun: Duration,
    last: BTreeMap<Reign, Duration>,
}

impl Asked {
    /// At the start of a process.
    pub fn new(now: Duration) -> Self {
        Self { begun: now, last: BTreeMap::new() }
    }

    /// `reign` asks for a confirmation. Call it *before* looking up whether this voter still follows that leader:
    /// what is noted too early is noted, what is noted too late may be missed. Says how long ago another leader may
    /// last have been confirmed here.
    pub fn note(&mut self, reign: Reign, now: Duration) -> Duration {
        self.last.insert(reign, now);
        if self.last.len() > REMEMBERED
            && let Some((_, oldest)) = self.last.pop_first()
        {
            self.begun = self.begun.max(oldest);
        }
        let others = self.last.iter().filter(|(other, _)| **other != reign).map(|(_, at)| *at);
        now.saturating_sub(others.fold(self.begun, Duration::max))
    }
}

/// One round of a leader.
#[derive(Clone, Debug)]
pub struct Round {
    /// Each of these sets needs a majority: one, or two while the voters are being changed.
    voters: Vec<BTreeSet<u64>>,
    yes: BTreeSet<u64>,
    others: Duration,
}

impl Round {
    /// Among `voters`, of whom the leader itself may be one.
    pub fn new(voters: Vec<BTreeSet<u64>>) -> Self {
        Self { voters, yes: BTreeSet::new(), others: Duration::ZERO }
    }

    /// `member` still follows this leader, and `age` before its answer, which arrived at `now`, it may have
    /// confirmed another one.
    pub fn confirmed(&mut self, member: u64, age: Duration, now: Duration) {
        self.yes.insert(member);
        self.others = self.others.max(now.saturating_sub(age));
    }

    /// A majority has confirmed.
    pub fn holds(&self) -> bool {
        let majority = |voters: &BTreeSet<u64>| self.yes.intersection(voters).count() > voters.len() / 2;
        !self.voters.is_empty() && self.voters.iter().all(majority)
    }

    /// Once it [`Self::holds`]: no other leader was confirmed later than this.
    pub fn others_until(&self) -> Duration {
        self.others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn reign(term: u64) -> Reign {
        Reign { term, leader: term % 3 }
    }

    #[test]
    fn only_other_leaders_count_and_a_start_counts_as_one() {
        let mut asked = Asked::new(at(100));
        assert_eq!(asked.note(reign(1), at(150)), at(50), "the process before this one may have been asked");
        assert_eq!(asked.note(reign(1), at(900)), at(800));
        assert_eq!(asked.note(reign(2), at(1_000)), at(100));
        assert_eq!(asked.note(reign(2), at(5_000)), at(4_100));
        assert_eq!(asked.note(reign(1), at(5_001)), at(1), "a late question of the old leader");
        assert_eq!(asked.note(reign(2), at(5_101)), at(100));
    }

    #[test]
    fn what_is_no_longer_told_apart_still_counts() {
        let mut asked = Asked::new(at(0));
        for term in 1..=8 {
            asked.note(reign(term), at(term * 10));
        }
        assert_eq!(asked.note(reign(8), at(100)), at(30));
        assert!(asked.last.len() <= REMEMBERED);
    }

    #[test]
    fn a_round_needs_a_majority_of_each_set_of_voters() {
        let mut round = Round::new(vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 2, 3, 4])]);
        round.confirmed(1, at(500), at(1_000));
        round.confirmed(4, at(800), at(1_000));
        assert!(!round.holds());
        round.confirmed(3, at(100), at(1_000));
        assert!(round.holds());
        assert_eq!(round.others_until(), at(900));
        assert!(!Round::new(Vec::new()).holds(), "nobody is no majority");
        let mut alone = Round::new(vec![BTreeSet::from([7])]);
        alone.confirmed(7, at(10), at(20));
        assert!(alone.holds());
    }
}
