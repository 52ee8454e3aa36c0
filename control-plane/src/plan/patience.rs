//! How long to wait before a primary that would not move is asked to move again.

use std::collections::BTreeMap;
use std::time::Duration;

use locum_replication::GroupId;

/// Each try lets nobody write for up to five seconds: rare from the second on.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

/// The leader's memory of its tries. A new leader tries at once.
#[derive(Debug, Default)]
pub(crate) struct Patience(BTreeMap<GroupId, (Duration, u32)>);

impl Patience {
    /// Whether it may be tried now.
    pub(crate) fn is_over(&self, group: &GroupId, now: Duration) -> bool {
        self.0.get(group).is_none_or(|(at, tries)| now.saturating_sub(*at) >= wait(*tries))
    }

    /// It is tried now.
    pub(crate) fn tried(&mut self, group: &GroupId, now: Duration) {
        let (at, tries) = self.0.entry(group.clone()).or_insert((now, 0));
        (*at, *tries) = (now, tries.saturating_add(1));
    }

    /// It moved.
    pub(crate) fn moved(&mut self, group: &GroupId) {
        self.0.remove(group);
    }
}

fn wait(tries: u32) -> Duration {
    FIRST.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rarer_until_one_succeeds() {
        let (mut patience, group) = (Patience::default(), "main".parse().unwrap());
        let mut now = Duration::ZERO;
        let mut waited = Vec::new();
        for _ in 0..8 {
            assert!(patience.is_over(&group, now));
            patience.tried(&group, now);
            let wait = (0..).map(Duration::from_secs).find(|wait| patience.is_over(&group, now + *wait));
            now += wait.unwrap();
            waited.push(wait.unwrap().as_secs());
        }
        assert_eq!(waited, [10, 20, 40, 80, 160, 300, 300, 300]);
        patience.tried(&group, now);
        patience.moved(&group);
        assert!(patience.is_over(&group, now));
    }
}
