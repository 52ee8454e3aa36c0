//! What a vantage point sees of a node.

use std::time::Duration;

use locum_identity::NodeId;
use serde::{Deserialize, Serialize};

/// What is looked at.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProbeKind {
    /// An edge host's public endpoint.
    Https,
    /// A media node's UDP port: a connectivity check and the first flight of DTLS.
    Ice,
    /// A media node's signalling.
    Signalling,
    /// A read of the canary row of each record group that an edge host holds, and a write where it leads.
    Records,
    /// A member's name server.
    Dns,
}

impl ProbeKind {
    /// Whether a node that fails it is of no use to anybody. Records and names have judges of their own: the
    /// lease of a primary, and resolvers that ask the next server.
    pub(crate) fn condemns(self) -> bool {
        matches!(self, Self::Https | Self::Ice | Self::Signalling)
    }

    /// Its text, as in JSON and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Ice => "ice",
            Self::Signalling => "signalling",
            Self::Records => "records",
            Self::Dns => "dns",
        }
    }
}

/// Why a probe missed: coarse, so that it may stand in the timeline.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// No answer in time.
    Silent,
    /// The connection was refused, or there is no way there.
    Refused,
    /// Its name has no address.
    Unresolved,
    /// It does not prove who it is.
    Untrusted,
    /// An answer, but not the one expected.
    Wrong,
}

impl Reason {
    /// Its text, as in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Refused => "refused",
            Self::Unresolved => "unresolved",
            Self::Untrusted => "untrusted",
            Self::Wrong => "wrong",
        }
    }
}

/// How one probe ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// As it should, after this time.
    Good(Duration),
    /// Not so.
    Miss(Reason),
    /// Nobody can say: this process itself did not run for a while.
    Void,
}

/// One kind of probe of one node, as a vantage point remembers it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streak {
    misses: u32,
    good: u32,
    /// The last good answer; before there is one, the first probe.
    good_at: Option<Duration>,
    /// When the newest probe with a good answer began. Probes overlap: one that began before says nothing new.
    good_begun: Option<Duration>,
    ended_at: Duration,
    latency: Option<Duration>,
    reason: Option<Reason>,
    /// What others were told: it speaks against the node; it speaks for it.
    told: (bool, bool),
}

impl Streak {
    /// A probe that began at `begun` ended at `now`. Whether what others should be told without delay changed.
    pub(crate) fn note(&mut self, outcome: Outcome, begun: Duration, now: Duration) -> bool {
        match outcome {
            Outcome::Good(latency) => {
                (self.misses, self.good) = (0, self.good.saturating_add(1));
                (self.good_at, self.latency, self.reason) = (Some(now), Some(latency), None);
                self.good_begun = self.good_begun.max(Some(begun));
            }
            Outcome::Miss(_) if self.good_begun >= Some(begun) => return false,
            Outcome::Miss(reason) => {
                (self.misses, self.good) = (self.misses.saturating_add(1), 0);
                self.good_at.get_or_insert(begun);
                self.reason = Some(reason);
            }
            // Misses are counted anew: part of the time in which there was no good answer, nobody could have had one.
            Outcome::Void => {
                if self.misses > 0 {
                    (self.misses, self.good_at) = (0, Some(now));
                }
                return false;
            }
        }
        self.ended_at = now;
        let says = (self.speaks_against(now), self.good > 0);
        std::mem::replace(&mut self.told, says) != says
    }

    fn speaks_against(&self, now: Duration) -> bool {
        self.misses >= super::MISSES && self.failing(now) >= super::FAILING
    }

    fn failing(&self, now: Duration) -> Duration {
        if self.misses == 0 {
            return Duration::ZERO;
        }
        self.good_at.map_or(Duration::ZERO, |at| now.saturating_sub(at))
    }

    /// For the report; nothing before the first probe has ended.
    pub(crate) fn seen(&self, node: &NodeId, kind: ProbeKind, now: Duration) -> Option<Seen> {
        (self.misses > 0 || self.good > 0).then(|| Seen {
            node: node.clone(),
            kind,
            misses: self.misses,
            good: self.good,
            failing_ms: ms(self.failing(now)),
            latency_ms: self.latency.map(ms),
            reason: self.reason,
            age_ms: ms(now.saturating_sub(self.ended_at)),
        })
    }
}

/// How one kind of probe of one node stands at one vantage point. It says how it stands, not what happened: a
/// report that is lost takes nothing away. Times are ages, so that no two clocks have to agree.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    /// Which node.
    pub(crate) node: NodeId,
    /// Which probe.
    pub(crate) kind: ProbeKind,
    /// Misses in a row; 0: the last one was good.
    pub(crate) misses: u32,
    /// Good ones in a row.
    pub(crate) good: u32,
    /// How long there was no good answer; 0 while there is.
    pub(crate) failing_ms: u64,
    /// Round trip of the last good one.
    pub(crate) latency_ms: Option<u64>,
    /// Why the last one missed.
    pub(crate) reason: Option<Reason>,
    /// How long ago the last one ended.
    pub(crate) age_ms: u64,
}

/// Everything a vantage point sees.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// Counts reports since this member's process began, so that one that took its time does not replace a newer one.
    pub(crate) number: u64,
    /// Which process: another one counts anew.
    pub(crate) life: u64,
    /// In any order; what is not there was not probed yet.
    pub(crate) seen: Vec<Seen>,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn three_misses_over_three_seconds_are_news_and_so_is_the_next_good_one() {
        let mut streak = Streak::default();
        assert!(streak.note(Outcome::Good(at(5)), at(0), at(5)), "the first word");
        assert!(!streak.note(Outcome::Good(at(5)), at(750), at(755)));
        assert!(streak.note(Outcome::Miss(Reason::Refused), at(1_500), at(1_500)), "no longer good");
        for ms in [2_250, 3_000, 3_750] {
            assert!(!streak.note(Outcome::Miss(Reason::Refused), at(ms), at(ms)), "{ms}: too soon");
        }
        assert!(streak.note(Outcome::Miss(Reason::Refused), at(3_755), at(3_755)));
        let seen = streak.seen(&"edge-1".parse().unwrap(), ProbeKind::Https, at(4_000)).unwrap();
        assert_eq!((seen.misses, seen.failing_ms, seen.age_ms), (5, 3_245, 245));
        assert!(streak.note(Outcome::Good(at(1)), at(4_500), at(4_501)));
    }

    #[test]
    fn a_node_that_never_answered_fails_since_it_was_first_asked() {
        let mut streak = Streak::default();
        let node = "edge-1".parse().unwrap();
        assert_eq!(streak.seen(&node, ProbeKind::Https, at(900)), None);
        streak.note(Outcome::Miss(Reason::Silent), at(1_000), at(2_000));
        assert_eq!(streak.seen(&node, ProbeKind::Https, at(2_500)).unwrap().failing_ms, 1_500);
    }

    #[test]
    fn a_miss_that_began_before_a_good_one_says_nothing() {
        let mut streak = Streak::default();
        streak.note(Outcome::Good(at(5)), at(750), at(755));
        assert!(!streak.note(Outcome::Miss(Reason::Silent), at(0), at(1_000)));
        assert_eq!(streak.good, 1);
        streak.note(Outcome::Miss(Reason::Silent), at(1_500), at(2_500));
        assert_eq!((streak.good, streak.misses), (0, 1));
    }

    #[test]
    fn what_this_process_slept_through_says_nothing() {
        let mut streak = Streak::default();
        streak.note(Outcome::Good(at(5)), at(0), at(5));
        for ms in [9_000, 9_001, 9_002, 9_003] {
            assert!(!streak.note(Outcome::Void, at(1_000), at(ms)));
        }
        assert_eq!(streak.seen(&"edge-1".parse().unwrap(), ProbeKind::Https, at(9_003)).unwrap().misses, 0);
        for (begun, ms) in [(9_500, 10_500), (10_250, 11_250)] {
            streak.note(Outcome::Miss(Reason::Silent), at(begun), at(ms));
        }
        streak.note(Outcome::Void, at(11_000), at(19_000));
        streak.note(Outcome::Miss(Reason::Silent), at(19_000), at(20_000));
        let seen = streak.seen(&"edge-1".parse().unwrap(), ProbeKind::Https, at(20_000)).unwrap();
        assert_eq!((seen.misses, seen.failing_ms), (1, 1_000), "what was missed before is no word now");
    }
}
