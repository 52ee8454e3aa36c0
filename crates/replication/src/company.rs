//! Whether a primary has the company without which nothing it writes is acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use locum_identity::NodeId;

use crate::{FRESH, GroupView};

/// How a primary stands among the voters of its group.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Company {
    /// Nobody would acknowledge a write now: begin none, so that what there is can still be shown.
    #[default]
    Alone,
    /// The same for some time, and by the group's policy one copy is enough meanwhile. Whatever is answered is
    /// marked.
    SingleCopy,
    /// Enough voters say that they hold copies of the epoch.
    Enough,
}

/// Who follows, from the beginning of an epoch. All times are on the primary's clock.
#[derive(Clone, Debug)]
pub struct Followers {
    needed: usize,
    one_copy_may_do: bool,
    enough_at: Duration,
    heard: BTreeMap<NodeId, Duration>,
}

impl Followers {
    /// Of the epoch of `view`, which begins now.
    pub fn new(view: &GroupView, now: Duration) -> Self {
        let (needed, one_copy_may_do) = (view.w.saturating_sub(1), view.single_copy);
        Self { needed, one_copy_may_do, enough_at: now, heard: BTreeMap::new() }
    }

    /// A voter says, as it does again and again, that it holds a complete copy of the epoch.
    pub fn heard(&mut self, voter: &NodeId, now: Duration) {
        self.heard.insert(voter.clone(), now);
    }

    /// How the primary stands at `now`.
    pub fn company(&mut self, now: Duration) -> Company {
        let fresh = |at: &&Duration| now.saturating_sub(**at) < FRESH;
        if self.heard.values().filter(fresh).count() >= self.needed {
            self.enough_at = now;
            return Company::Enough;
        }
        // Not at once: followers of a new epoch need a moment to be there.
        let waited = now.saturating_sub(self.enough_at) >= FRESH;
        if self.one_copy_may_do && waited { Company::SingleCopy } else { Company::Alone }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primary::tests::view;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn a_primary_is_alone_until_a_follower_says_that_it_holds_a_copy_and_when_it_falls_silent() {
        let mut followers = Followers::new(&view(&["a", "b", "c"]), at(0));
        assert_eq!(followers.company(at(10)), Company::Alone);
        followers.heard(&node("c"), at(20));
        assert_eq!(followers.company(at(20)), Company::Enough);
        assert_eq!(followers.company(at(3_019)), Company::Enough);
        assert_eq!(followers.company(at(3_020)), Company::Alone);
        assert_eq!(
            followers.company(at(60_000)),
            Company::Alone,
            "whatever the time, unless it is the policy"
        );
        followers.heard(&node("b"), at(60_000));
        assert_eq!(followers.company(at(60_000)), Company::Enough);
        assert_eq!(Followers::new(&view(&["a"]), at(0)).company(at(0)), Company::Enough);
    }

    #[test]
    fn one_copy_is_enough_only_by_policy_and_only_after_a_while() {
        let policy = GroupView { single_copy: true, ..view(&["a", "b"]) };
        let mut followers = Followers::new(&policy, at(0));
        assert_eq!(followers.company(at(2_999)), Company::Alone);
        assert_eq!(followers.company(at(3_000)), Company::SingleCopy);
        followers.heard(&node("b"), at(4_000));
        assert_eq!(followers.company(at(4_000)), Company::Enough);
        assert_eq!(followers.company(at(6_999)), Company::Enough);
        assert_eq!(followers.company(at(7_000)), Company::Alone);
        assert_eq!(followers.company(at(9_999)), Company::SingleCopy);
    }
}
