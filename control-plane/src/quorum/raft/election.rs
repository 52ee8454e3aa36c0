//! When a member asks to lead. `openraft`'s own timer is off: it would let a member that hears nobody raise the term
//! again and again, and depose a good leader when it is back.
//!
//! A member that has not heard of a leader for a while asks the others whether they would vote for it ("pre-vote",
//! Raft dissertation §9.6), and stands only if a majority would: they hear of no leader either, and have no more in
//! their logs.

use std::collections::BTreeSet;
use std::time::Duration;

use super::LogId;
use crate::quorum::MemberId;

/// Followers hear of a leader this often at least; Raft's own tick comes at one and a half times as much.
pub(super) const HEARTBEAT: Duration = Duration::from_millis(400);
/// A voter that heard of a leader within this time votes for nobody else.
pub(super) const LEADER_LEASE: Duration = Duration::from_millis(1_500);
/// A member that hears of no leader for this long asks to lead, …
const SILENCE: Duration = Duration::from_millis(1_700);
/// … or up to this much later, so that not all do at once.
const SPREAD: Duration = Duration::from_millis(800);

/// A member's patience.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    heard: Duration,
    /// A leader was heard from at all, in this process.
    ever: bool,
    wait: Duration,
    /// It asked in vain since: not again before then.
    again_at: Duration,
}

impl Patience {
    /// From the start of a process: whoever led may still do so.
    pub(super) fn new(now: Duration, random: u32) -> Self {
        Self { heard: now, ever: false, wait: wait(random), again_at: now }
    }

    /// A leader that this member follows was heard from.
    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = self.heard.max(now);
        self.again_at = now;
        self.ever = true;
    }

    /// Whether somebody leads, as far as this member can tell: not whoever did when it stopped, or died since.
    pub(super) fn hears_somebody(&self, now: Duration) -> bool {
        self.ever && !self.hears_nobody(now)
    }

    /// Whether this member would vote for another one at all.
    pub(super) fn hears_nobody(&self, now: Duration) -> bool {
        now.saturating_sub(self.heard) > LEADER_LEASE
    }

    /// Whether to ask to lead now.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.heard) >= self.wait && now >= self.again_at
    }

    /// It asked in vain; the next time is soon, and not at the same moment as another's.
    pub(super) fn again(&mut self, now: Duration, random: u32) {
        self.again_at = now + LEADER_LEASE / 5 + share(SPREAD, random);
    }

    /// A leader is there: the next silence is measured anew.
    pub(super) fn settle(&mut self, random: u32) {
        self.wait = wait(random);
    }
}

fn wait(random: u32) -> Duration {
    SILENCE + share(SPREAD, random)
}

fn share(of: Duration, random: u32) -> Duration {
    of.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Whether a member whose log ends at `own` would vote for one whose log ends at `theirs`.
pub(super) fn would_vote(theirs: Option<LogId>, own: Option<LogId>) -> bool {
    theirs >= own
}

/// Whether `yes` is a majority of each of `voters`.
pub(super) fn majority(voters: &[BTreeSet<MemberId>], yes: &BTreeSet<MemberId>) -> bool {
    let of = |voters: &BTreeSet<MemberId>| voters.intersection(yes).count() > voters.len() / 2;
    !voters.is_empty() && voters.iter().all(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn nobody_stands_while_a_voter_would_still_refuse() {
        for random in [0, u32::MAX / 3, u32::MAX] {
            let mut patience = Patience::new(at(0), random);
            assert!(!patience.hears_somebody(at(1)) && !patience.hears_nobody(at(1)), "nothing is known yet");
            patience.heard(at(10_000));
            assert!(patience.hears_somebody(at(11_500)) && !patience.hears_somebody(at(11_501)));
            let over = (10_000..).step_by(10).find(|ms| patience.is_over(at(*ms))).unwrap();
            assert!((11_700..=12_500).contains(&over), "{over}");
            assert!(patience.hears_nobody(at(over)) && !patience.hears_nobody(at(11_500)));
            patience.again(at(over), random);
            let again = (over..).step_by(10).find(|ms| patience.is_over(at(*ms))).unwrap();
            assert!((300..=1_110).contains(&(again - over)), "{}", again - over);
            patience.heard(at(again));
            patience.settle(random);
            assert!(!patience.is_over(at(again + 1_600)));
        }
    }

    /// A long outage must not make the next one longer.
    #[test]
    fn patience_does_not_grow_with_what_was_in_vain() {
        let mut patience = Patience::new(at(0), 7);
        for second in 2..60 {
            patience.again(at(second * 1_000), 7);
        }
        patience.heard(at(60_000));
        assert!(!patience.is_over(at(61_600)) && patience.is_over(at(62_500)));
    }

    #[test]
    fn a_majority_is_more_than_half() {
        let set = |ids: &[u64]| ids.iter().copied().map(MemberId).collect::<BTreeSet<_>>();
        assert!(majority(&[set(&[1, 2, 3])], &set(&[1, 3])));
        assert!(!majority(&[set(&[1, 2, 3, 4])], &set(&[1, 3])));
        assert!(!majority(&[set(&[1, 2, 3]), set(&[3, 4, 5])], &set(&[1, 3])));
        assert!(!majority(&[], &set(&[1])));
    }
}
