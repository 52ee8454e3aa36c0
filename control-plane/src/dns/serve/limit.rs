//! Bounds on what strangers can have us send and compute: response rate limiting for each network, and a budget of
//! signatures. A token bucket is one number (the "virtual scheduling" of the generic cell rate algorithm), a table
//! of them is of fixed size, and no lock is taken.

use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip::SipHasher13;

/// Buckets in the table: half a mebibyte.
const BUCKETS: usize = 1 << 16;
/// Buckets that one network may have, so that two of the same hash do not share.
const WAYS: usize = 4;
/// Time is counted in tenths of a microsecond, in 48 bits; differences are right around the end, too.
const TICKS_PER_S: u64 = 10_000_000;
const TIME_BITS: u32 = 48;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// A bucket holds the answers of this long.
const BURST_S: u64 = 2;
/// Rates beyond count as this one.
pub(crate) const MAX_RATE: u32 = 1_000_000;

/// Ticks since some moment in the past.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ticks(u64);

impl Ticks {
    /// From the time since some moment.
    pub(crate) fn new(elapsed: std::time::Duration) -> Self {
        let ticks = elapsed.as_secs().wrapping_mul(TICKS_PER_S) + u64::from(elapsed.subsec_nanos() / 100);
        Self(ticks & TIME_MASK)
    }
}

/// What to do with a question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Answer,
    /// Say only that TCP would answer: no larger than the question, and who really asks comes again.
    Truncate,
    Drop,
}

/// One bucket's rule.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Between two answers.
    interval: u64,
    /// How far ahead of time a bucket may be.
    burst: u64,
}

impl Rule {
    fn new(per_second: u32) -> Self {
        let interval = TICKS_PER_S / u64::from(per_second.clamp(1, MAX_RATE));
        Self { interval, burst: (BURST_S * TICKS_PER_S).max(interval) }
    }

    /// When the bucket is empty again after one more; `None` when it is full. `empty_at` may have passed.
    fn take(self, empty_at: u64, now: Ticks) -> Option<u64> {
        let ahead = ahead(empty_at, now) + self.interval;
        (ahead <= self.burst).then_some((now.0 + ahead) & TIME_MASK)
    }
}

/// How far `moment` is ahead; 0 if it has passed.
fn ahead(moment: u64, now: Ticks) -> u64 {
    let ahead = moment.wrapping_sub(now.0) & TIME_MASK;
    if ahead > TIME_MASK / 2 { 0 } else { ahead }
}

/// Response rate limiting for each IPv4 /24 and IPv6 /56.
pub(crate) struct RateLimit {
    rule: Option<Rule>,
    slip: u64,
    limited: AtomicU64,
    key: [u8; 16],
    /// 16 bits that tell networks apart, 48 bits of the time when the bucket is empty.
    buckets: Box<[AtomicU64]>,
}

impl RateLimit {
    /// `per_second` answers for each network, 0: as many as it asks for. Every `slip`-th question beyond is answered
    /// with a truncated answer, 0: none.
    pub(crate) fn new(per_second: u32, slip: u32) -> Result<Self, getrandom::Error> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        let rule = (per_second > 0).then(|| Rule::new(per_second));
        let buckets = if rule.is_some() { BUCKETS } else { 0 };
        let buckets = (0..buckets).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { rule, slip: slip.into(), limited: AtomicU64::new(0), key, buckets })
    }

    /// Counts a question from `client`.
    pub(crate) fn take(&self, client: IpAddr, now: Ticks) -> Verdict {
        let Some(rule) = self.rule else { return Verdict::Answer };
        if self.has_room(rule, self.hash(client), now) {
            return Verdict::Answer;
        }
        let limited = self.limited.fetch_add(1, Ordering::Relaxed);
        let slips = self.slip > 0 && limited.is_multiple_of(self.slip);
        if slips { Verdict::Truncate } else { Verdict::Drop }
    }

    fn has_room(&self, rule: Rule, hash: u64, now: Ticks) -> bool {
        let tag = (hash >> TIME_BITS).max(1) << TIME_BITS;
        let begin = (hash as usize % BUCKETS) & !(WAYS - 1);
        let ways = &self.buckets[begin..begin + WAYS];
        // Another thread may change a bucket meanwhile: then look again, but not for ever.
        for _ in 0..3 {
            let found = ways.iter().map(|way| (way, way.load(Ordering::Relaxed)));
            // Ours, or the one that has been empty longest or will be soonest.
            let Some((way, held)) = found.min_by_key(|(_, held)| match held & !TIME_MASK == tag {
                true => 0,
                false => 1 + ahead(held & TIME_MASK, now),
            }) else {
                return true;
            };
            let empty_at = if held & !TIME_MASK == tag { held & TIME_MASK } else { now.0 };
            let Some(next) = rule.take(empty_at, now) else { return false };
            if way.compare_exchange(held, tag | next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return true;
            }
        }
        true
    }

    fn hash(&self, client: IpAddr) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        match client {
            IpAddr::V4(client) => hasher.write(&client.octets()[..3]),
            IpAddr::V6(client) => hasher.write(&client.octets()[..7]),
        }
        hasher.finish()
    }
}

/// One bucket for everybody.
pub(crate) struct Budget {
    rule: Rule,
    empty_at: AtomicU64,
}

impl Budget {
    /// `per_second` at most.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { rule: Rule::new(per_second), empty_at: AtomicU64::new(0) }
    }

    /// Whether one more is within the budget.
    pub(crate) fn take(&self, now: Ticks) -> bool {
        let take = |empty_at| self.rule.take(empty_at, now);
        self.empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(milliseconds: u64) -> Ticks {
        Ticks::new(Duration::from_millis(milliseconds))
    }

    fn answered(limit: &RateLimit, client: &str, times: u32, now: Ticks) -> u32 {
        let client = client.parse().unwrap();
        (0..times).filter(|_| limit.take(client, now) == Verdict::Answer).count() as u32
    }

    #[test]
    fn a_network_gets_a_burst_and_then_its_rate() {
        let limit = RateLimit::new(100, 2).unwrap();
        assert_eq!(answered(&limit, "192.0.2.1", 500, at(1_000)), 200);
        assert_eq!(answered(&limit, "192.0.2.77", 500, at(1_000)), 0, "the same /24");
        assert_eq!(answered(&limit, "192.0.3.1", 100, at(1_000)), 100, "another");
        assert_eq!(answered(&limit, "192.0.2.1", 500, at(1_500)), 50);
        assert_eq!(answered(&limit, "192.0.2.1", 500, at(60_000)), 200);
        assert_eq!(answered(&limit, "2001:db8:0:aa00::1", 500, at(1_000)), 200);
        assert_eq!(answered(&limit, "2001:db8:0:aaff::1", 500, at(1_000)), 0, "the same /56");
        assert_eq!(answered(&limit, "2001:db8:0:ab00::1", 500, at(1_000)), 200);
    }

    #[test]
    fn every_second_one_beyond_is_told_to_use_tcp() {
        for (slip, expected) in [(0, 0), (1, 100), (2, 50)] {
            let limit = RateLimit::new(1, slip).unwrap();
            let client = "192.0.2.1".parse().unwrap();
            let verdicts: Vec<_> = (0..102).map(|_| limit.take(client, at(0))).collect();
            assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Truncate).count(), expected);
            assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Answer).count(), 2);
        }
        assert_eq!(RateLimit::new(0, 0).unwrap().take("::1".parse().unwrap(), at(0)), Verdict::Answer);
    }

    #[test]
    fn memory_is_bounded_and_a_flood_of_networks_does_not_free_the_worst() {
        let limit = RateLimit::new(100, 0).unwrap();
        assert_eq!(answered(&limit, "192.0.2.1", 1_000, at(1_000)), 200);
        for network in 0..200_000_u32 {
            limit.take(IpAddr::V4((network << 8).into()), at(1_001));
        }
        assert!(answered(&limit, "192.0.2.1", 1_000, at(1_001)) <= 1);
        assert_eq!(limit.buckets.len(), BUCKETS);
    }

    #[test]
    fn time_that_begins_anew_changes_nothing() {
        let end = Duration::from_micros((1 << TIME_BITS) / 10);
        let limit = RateLimit::new(100, 0).unwrap();
        let before = Ticks::new(end.checked_sub(Duration::from_millis(500)).unwrap());
        let after = Ticks::new(end + Duration::from_millis(500));
        assert!(before.0 > after.0);
        assert_eq!(answered(&limit, "192.0.2.1", 500, before), 200);
        assert_eq!(answered(&limit, "192.0.2.1", 500, after), 100);
    }

    #[test]
    fn a_budget_is_one_bucket() {
        let budget = Budget::new(10);
        let taken = |now| (0..100).filter(|_| budget.take(now)).count();
        assert_eq!((taken(at(0)), taken(at(100)), taken(at(60_000))), (20, 1, 20));
    }
}
