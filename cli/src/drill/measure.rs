//! How long what took: from what was seen, without a clock of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::log::{Seen, What};

/// A pause between two acknowledged changes that is worth telling.
const SILENCE: Duration = Duration::from_secs(1);

/// What is measured, from the fault on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Measure {
    /// A node list says that all is down that is.
    Detect,
    /// The control plane has another leader, and its members agree on something new.
    Control,
    /// The record group has another primary appointed.
    Decide,
    /// A change is acknowledged through some region that is left.
    Records,
    /// A client has a good answer.
    Edge,
    /// A person in a call is let in elsewhere, by the list they held.
    HeldCall,
    /// A person who asks anew is let in at the first node named.
    NewCall,
    /// Name servers no longer name what is gone, counted from the node list on.
    Names,
}

/// A fault, as those need to know it who look for what came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault {
    /// When the first process was told, since the round began.
    pub at: Duration,
    /// When the last was.
    pub done: Duration,
    /// Nodes that are dead, standing still or cut off.
    pub away: BTreeSet<String>,
    /// Those of them that are in the node list.
    pub listed: BTreeSet<String>,
    /// The canary's record group.
    pub group: String,
    /// Its epoch before.
    pub epoch: u64,
    /// What is to be measured.
    pub expected: BTreeSet<Measure>,
    /// Which region each edge host is in.
    pub hosts: BTreeMap<String, String>,
}

/// How long what took; `None`: it has not come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Measured {
    /// What was expected.
    pub all: BTreeMap<Measure, Option<Duration>>,
    /// The first acknowledged change through each region that is left.
    pub records_by_region: BTreeMap<String, Option<Duration>>,
}

/// A stretch without an acknowledged change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Silence {
    /// From the last one before.
    pub from: Duration,
    /// To the first one after.
    pub to: Duration,
}

impl Measure {
    /// In the order in which they are told.
    pub(super) const ALL: [Self; 8] = [
        Self::Detect,
        Self::Control,
        Self::Decide,
        Self::Records,
        Self::Edge,
        Self::HeldCall,
        Self::NewCall,
        Self::Names,
    ];

    /// Its key in a report.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Control => "control",
            Self::Decide => "decide",
            Self::Records => "records",
            Self::Edge => "edge",
            Self::HeldCall => "heldCall",
            Self::NewCall => "newCall",
            Self::Names => "names",
        }
    }

    /// In words.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Detect => "marked down in a node list",
            Self::Control => "members of the control plane agree again",
            Self::Decide => "another primary appointed",
            Self::Records => "first acknowledged change",
            Self::Edge => "a client's first good answer",
            Self::HeldCall => "a call goes on at another node of its list",
            Self::NewCall => "a new call begins at the node named first",
            Self::Names => "name servers' answers right, after the verdict",
        }
    }
}

impl Measured {
    /// Whether all came.
    pub(super) fn is_complete(&self) -> bool {
        self.all.values().chain(self.records_by_region.values()).all(Option::is_some)
    }
}

impl Fault {
    /// Edge hosts that are left, and their regions.
    fn left(&self) -> impl Iterator<Item = (&String, &String)> {
        self.hosts.iter().filter(|(host, _)| !self.away.contains(*host))
    }

    fn is_left(&self, host: &str) -> bool {
        self.hosts.contains_key(host) && !self.away.contains(host)
    }
}

/// Looks through what was seen.
pub(super) fn measure(seen: &[Seen], fault: &Fault) -> Measured {
    let after = |holds: &dyn Fn(&What) -> bool| {
        seen.iter().find(|seen| seen.at >= fault.at && holds(&seen.what)).map(|seen| seen.at)
    };
    let since = |at: Option<Duration>| at.map(|at| at.saturating_sub(fault.at));
    let verdict = after(&|what| match what {
        What::List { host, down, .. } => fault.is_left(host) && fault.listed.is_subset(down),
        _ => false,
    });
    let through = |host: &str| {
        // Sent when all was done: nothing that is away can have had a part in it.
        after(
            &|what| matches!(what, What::Acknowledged { host: by, asked } if by == host && *asked >= fault.done),
        )
    };
    let mut records_by_region: BTreeMap<String, Option<Duration>> = BTreeMap::new();
    if fault.expected.contains(&Measure::Records) {
        for (host, region) in fault.left() {
            let first = records_by_region.entry(region.clone()).or_default();
            *first = [*first, since(through(host))].into_iter().flatten().min();
        }
    }
    let one = |measure: &Measure| match measure {
        Measure::Detect => since(verdict),
        Measure::Control => {
            let agreed = |seen: &Seen| match seen.what {
                What::Agreed { index, .. } if seen.at < fault.at => Some(index),
                _ => None,
            };
            let before = seen.iter().filter_map(agreed).max().unwrap_or(0);
            since(after(&|what| match what {
                What::Agreed { member, index } => !fault.away.contains(member) && *index > before,
                _ => false,
            }))
        }
        Measure::Decide => since(after(&|what| match what {
            What::Group(seen) => seen.group == fault.group && seen.epoch > fault.epoch,
            _ => false,
        })),
        Measure::Records => records_by_region.values().flatten().min().copied(),
        Measure::Edge => since(after(&|what| matches!(what, What::Edge { .. }))),
        Measure::HeldCall => since(after(&|what| matches!(what, What::Held { .. }))),
        Measure::NewCall => {
            since(after(&|what| matches!(what, What::Joined { node } if !fault.away.contains(node))))
        }
        Measure::Names => {
            let named = after(&|what| matches!(what, What::Named { .. }));
            named.zip(verdict).map(|(named, verdict)| named.saturating_sub(verdict))
        }
    };
    let all = fault.expected.iter().map(|measure| (*measure, one(measure))).collect();
    Measured { all, records_by_region }
}

/// Where no change through `host` was acknowledged for longer than a moment, up to `end`.
pub(super) fn silences(seen: &[Seen], host: &str, end: Duration) -> Vec<Silence> {
    let acknowledged =
        seen.iter().filter(|seen| matches!(&seen.what, What::Acknowledged { host: by, .. } if by == host));
    let times: Vec<Duration> = acknowledged.map(|seen| seen.at).chain([end]).collect();
    let pairs = times.windows(2).map(|pair| Silence { from: pair[0], to: pair[1] });
    pairs.filter(|pause| pause.to.saturating_sub(pause.from) > SILENCE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::GroupSeen;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn fault() -> Fault {
        let hosts = [("edge-a", "a"), ("edge-b", "b"), ("edge-c", "c")];
        Fault {
            at: ms(1_000),
            done: ms(1_010),
            away: names(&["edge-a", "media-a", "control-a"]),
            listed: names(&["edge-a", "media-a"]),
            group: "main".to_owned(),
            epoch: 4,
            expected: BTreeSet::from(Measure::ALL),
            hosts: hosts.map(|(host, region)| (host.to_owned(), region.to_owned())).into(),
        }
    }

    fn acknowledged(host: &str, asked: u64) -> What {
        What::Acknowledged { host: host.to_owned(), asked: ms(asked) }
    }

    fn list(host: &str, down: &[&str]) -> What {
        What::List { host: host.to_owned(), version: 1, down: names(down) }
    }

    fn group(epoch: u64) -> What {
        let (member, group) = ("control-1".to_owned(), "main".to_owned());
        What::Group(GroupSeen { member, group, epoch, served: true, complete: 3, voters: 3, missing: 0 })
    }

    fn agreed(member: &str, index: u64) -> What {
        What::Agreed { member: member.to_owned(), index }
    }

    fn log(seen: Vec<(u64, What)>) -> Vec<Seen> {
        seen.into_iter().map(|(at, what)| Seen { at: ms(at), what }).collect()
    }

    #[test]
    fn each_time_is_that_of_the_first_that_counts() {
        let name = |name: &str| name.to_owned();
        let seen = log(vec![
            (900, list("edge-b", &["edge-a", "media-a"])), // of an earlier round
            (950, agreed("control-a", 70)),
            (1_005, acknowledged("edge-b", 990)), // on its way when it happened
            (1_050, What::Edge { host: name("edge-b") }),
            (2_000, list("edge-b", &["edge-a"])), // not all of it
            (2_100, list("edge-a", &["edge-a", "media-a"])), // who is away says nothing
            (2_500, What::Joined { node: name("media-a") }),
            (3_000, What::Held { node: name("media-b") }),
            (4_000, list("edge-c", &["edge-a", "media-a", "other"])),
            (4_300, What::Named { servers: 2 }),
            (4_350, agreed("control-a", 71)), // who is away agrees with nobody
            (4_360, agreed("control-b", 70)), // nothing new
            (4_370, agreed("control-b", 71)),
            (4_400, group(4)),
            (4_500, group(5)),
            (5_000, acknowledged("edge-a", 4_900)), // who is away does not count
            (6_000, acknowledged("edge-c", 5_500)),
            (6_200, What::Joined { node: name("media-c") }),
            (7_000, acknowledged("edge-b", 1_020)),
        ]);
        let measured = measure(&seen, &fault());
        let all = |measure| measured.all[&measure];
        assert_eq!(all(Measure::Detect), Some(ms(3_000)));
        assert_eq!(all(Measure::Control), Some(ms(3_370)));
        assert_eq!(all(Measure::Decide), Some(ms(3_500)));
        assert_eq!(all(Measure::Records), Some(ms(5_000)));
        assert_eq!(measured.records_by_region["b"], Some(ms(6_000)));
        assert_eq!(measured.records_by_region["c"], Some(ms(5_000)));
        assert!(!measured.records_by_region.contains_key("a"));
        assert_eq!(all(Measure::Edge), Some(ms(50)));
        assert_eq!(all(Measure::HeldCall), Some(ms(2_000)));
        assert_eq!(all(Measure::NewCall), Some(ms(5_200)));
        assert_eq!(all(Measure::Names), Some(ms(300)), "from the verdict on");
        assert!(measured.is_complete());
    }

    #[test]
    fn what_has_not_come_is_not_complete() {
        let seen = log(vec![(2_000, acknowledged("edge-b", 1_500))]);
        let expected = BTreeSet::from([Measure::Records]);
        let half = measure(&seen, &Fault { expected, ..fault() });
        assert_eq!(half.all[&Measure::Records], Some(ms(1_000)));
        assert!(!half.is_complete(), "nothing through region c");
        let nothing = measure(&seen, &fault());
        assert_eq!(nothing.all[&Measure::Detect], None);
        assert_eq!(nothing.all.len(), Measure::ALL.len());
    }

    #[test]
    fn silence_is_between_two_acknowledgements() {
        let times = [100, 300, 2_000, 2_100];
        let seen = log(times.iter().map(|&at| (at, acknowledged("edge-b", at))).collect());
        let found = silences(&seen, "edge-b", ms(2_500));
        assert_eq!(found, [Silence { from: ms(300), to: ms(2_000) }]);
        assert_eq!(silences(&seen, "edge-b", ms(9_000)).len(), 2, "and at the end");
        assert!(silences(&seen, "edge-c", ms(9_000)).is_empty(), "it never wrote");
    }
}
