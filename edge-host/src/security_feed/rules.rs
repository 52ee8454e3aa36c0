//! Which events a security team is told of, and which of them together are more: pure, the time is the events' own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;

use super::config::SecurityRules;
use super::signal::{Kind, Signal};
use crate::audit::Event;

/// People and networks that are remembered; beyond it the one that was seen longest ago is forgotten.
const MAX_REMEMBERED: usize = 10_000;

/// An event, and where its request came from.
pub(super) struct Seen<'a> {
    pub(super) event: &'a Event,
    pub(super) from: IpAddr,
    pub(super) country: Option<&'a str>,
}

/// What was seen lately.
pub(super) struct Watch {
    rules: SecurityRules,
    /// Network → at which accounts wrong passwords were tried, and when.
    tried: Remembered<VecDeque<(i64, String)>>,
    /// Clinic and person → how much left, and when.
    exported: Remembered<VecDeque<(i64, u64)>>,
    /// Clinic and person → the country of the last sign-in.
    places: Remembered<(i64, String)>,
}

/// Bounded: whoever was seen longest ago makes room.
struct Remembered<T> {
    values: BTreeMap<String, (u64, T)>,
    order: BTreeSet<(u64, String)>,
    next: u64,
}

/// Whether an event is looked at at all.
pub(super) fn is_watched(event: &Event) -> bool {
    matches!(
        event.code.as_str(),
        "sign-in"
            | "sign-in-failed"
            | "sign-in-locked"
            | "emergency-access"
            | "access-refused"
            | "audit-exported"
            | "audit-printed"
    )
}

impl Watch {
    pub(super) fn new(rules: SecurityRules) -> Self {
        let (tried, exported, places) = (Remembered::new(), Remembered::new(), Remembered::new());
        Self { rules, tried, exported, places }
    }

    pub(super) fn see(&mut self, seen: &Seen<'_>) -> Vec<Signal> {
        match seen.event.code.as_str() {
            "sign-in-failed" => {
                let stuffing = self.tried_at(seen);
                [Some(seen.signal(Kind::SignInFailed)), stuffing].into_iter().flatten().collect()
            }
            "sign-in-locked" => vec![seen.signal(Kind::SignInLocked)],
            "emergency-access" => vec![seen.signal(Kind::EmergencyAccess)],
            "access-refused" => vec![seen.signal(Kind::AccessRefused)],
            "sign-in" => self.signed_in(seen).into_iter().collect(),
            "audit-exported" | "audit-printed" => self.taken_along(seen).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn since(&self, seen: &Seen<'_>) -> i64 {
        seen.event.recorded_at_ms - i64::from(self.rules.window_s) * 1_000
    }

    /// Many accounts from one network. A name that nobody has is an account of its own each time.
    fn tried_at(&mut self, seen: &Seen<'_>) -> Option<Signal> {
        let (event, since) = (seen.event, self.since(seen));
        let network = network(seen.from);
        let account = event.entity.clone().unwrap_or_else(|| event.request.clone());
        let tried = self.tried.of(network.clone(), VecDeque::new);
        tried.retain(|(at, other)| *at > since && *other != account);
        tried.push_back((event.recorded_at_ms, account));
        if tried.len() < self.rules.stuffing_accounts {
            return None;
        }
        let count = tried.len() as u64;
        // Said once for so many, not for each from then on.
        tried.clear();
        Some(Signal { network: Some(network), count: Some(count), ..seen.signal(Kind::Stuffing) })
    }

    fn signed_in(&mut self, seen: &Seen<'_>) -> Option<Signal> {
        let (event, country) = (seen.event, seen.country?);
        let person = format!("{}/{}", event.clinic, event.agent_id()?);
        let now = (event.recorded_at_ms, country.to_owned());
        let (at, before) = std::mem::replace(self.places.of(person, || now.clone()), now);
        let within = i64::from(self.rules.travel_minutes) * 60_000;
        let is_elsewhere = before != country && event.recorded_at_ms - at < within;
        is_elsewhere.then(|| Signal { country_before: Some(before), ..seen.signal(Kind::ImpossibleTravel) })
    }

    fn taken_along(&mut self, seen: &Seen<'_>) -> Option<Signal> {
        let (event, since) = (seen.event, self.since(seen));
        let person = format!("{}/{}", event.clinic, event.agent.as_deref()?);
        let events = event.new.as_deref().and_then(|count| count.parse().ok()).unwrap_or(0);
        let exported = self.exported.of(person, VecDeque::new);
        exported.retain(|(at, _)| *at > since);
        exported.push_back((event.recorded_at_ms, events));
        let count: u64 = exported.iter().map(|(_, events)| events).sum();
        if count < self.rules.export_events {
            return None;
        }
        exported.clear();
        Some(Signal { count: Some(count), ..seen.signal(Kind::MassExport) })
    }
}

impl Event {
    /// Whoever signed in: a sign-in is done by nobody yet, and to the account.
    fn agent_id(&self) -> Option<&str> {
        self.entity.as_deref().or(self.agent.as_deref())
    }
}

impl Seen<'_> {
    fn signal(&self, kind: Kind) -> Signal {
        let event = self.event.clone();
        let at = Timestamp::from_millisecond(event.recorded_at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        Signal {
            at: format!("{at:.3}"),
            kind,
            severity: kind.severity(),
            clinic: event.clinic,
            agent: event.agent,
            entity: event.entity,
            request: event.request,
            region: event.region,
            node: event.node,
            country: self.country.map(str::to_owned),
            country_before: None,
            network: None,
            count: None,
        }
    }
}

/// What one subscriber has: a /24 of IPv4, a /48 of IPv6.
fn network(from: IpAddr) -> String {
    match from.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{}/24", Ipv4Addr::new(a, b, c, 0))
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{}/48", Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

impl<T> Remembered<T> {
    const fn new() -> Self {
        Self { values: BTreeMap::new(), order: BTreeSet::new(), next: 0 }
    }

    fn of(&mut self, name: String, first: impl FnOnce() -> T) -> &mut T {
        self.next += 1;
        let known = self.values.get(&name).map(|(seen, _)| *seen);
        if let Some(seen) = known {
            self.order.remove(&(seen, name.clone()));
        } else if self.values.len() >= MAX_REMEMBERED
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.values.remove(&oldest);
        }
        self.order.insert((self.next, name.clone()));
        let (seen, value) = self.values.entry(name).or_insert_with(|| (0, first()));
        *seen = self.next;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing;

    fn event(at_ms: i64, code: &str, entity: &str) -> Event {
        let entity = Some(entity.to_owned());
        Event { recorded_at_ms: at_ms, code: code.to_owned(), entity, ..testing::event(0) }
    }

    fn see(watch: &mut Watch, event: &Event, from: &str, country: &str) -> Vec<Kind> {
        let seen = Seen { event, from: from.parse().unwrap(), country: Some(country) };
        watch.see(&seen).iter().map(|signal| signal.kind).collect()
    }

    #[test]
    fn many_accounts_from_one_network_within_the_window_are_stuffing() {
        let rules = SecurityRules { stuffing_accounts: 3, window_s: 60, ..SecurityRules::default() };
        let mut watch = Watch::new(rules);
        let mut fail = |at: i64, account: &str, from: &str| {
            see(&mut watch, &event(at, "sign-in-failed", account), from, "DE")
        };
        let one = [Kind::SignInFailed];
        assert_eq!(fail(0, "a", "192.0.2.1"), one);
        assert_eq!(fail(1, "a", "192.0.2.2"), one, "the same account again");
        assert_eq!(fail(2, "b", "198.51.100.1"), one, "another network");
        assert_eq!(fail(3, "b", "192.0.2.3"), one);
        assert_eq!(fail(70_000, "c", "192.0.2.4"), one, "the first two are too old");
        assert_eq!(fail(70_001, "d", "192.0.2.4"), one);
        assert_eq!(fail(70_002, "e", "::ffff:192.0.2.9"), [Kind::SignInFailed, Kind::Stuffing]);
        assert_eq!(fail(70_003, "f", "192.0.2.4"), one, "said once");
    }

    #[test]
    fn a_network_is_what_one_subscriber_has() {
        let of = |from: &str| network(from.parse().unwrap());
        assert_eq!(of("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(of("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(of("2001:db8:1:2::77"), "2001:db8:1::/48");
    }

    #[test]
    fn who_signs_in_elsewhere_too_soon_has_not_travelled() {
        let mut watch = Watch::new(SecurityRules::default());
        let mut enter = |minute: i64, person: &str, country: &str| {
            see(&mut watch, &event(minute * 60_000, "sign-in", person), "192.0.2.1", country)
        };
        assert!(enter(0, "a", "DE").is_empty() && enter(1, "b", "US").is_empty());
        assert!(enter(30, "a", "DE").is_empty());
        assert_eq!(enter(100, "a", "US"), [Kind::ImpossibleTravel]);
        assert!(enter(240, "a", "DE").is_empty(), "time enough for a flight");
    }

    #[test]
    fn what_one_person_takes_along_adds_up() {
        let rules = SecurityRules { export_events: 100, ..SecurityRules::default() };
        let mut watch = Watch::new(rules);
        let mut export = |at: i64, agent: &str, events: u32| {
            let event = Event {
                agent: Some(agent.to_owned()),
                new: Some(events.to_string()),
                ..event(at, "audit-exported", "x")
            };
            see(&mut watch, &event, "192.0.2.1", "DE")
        };
        assert!(export(0, "a", 60).is_empty() && export(1, "b", 60).is_empty());
        assert_eq!(export(2, "a", 40), [Kind::MassExport]);
        assert!(export(3, "a", 60).is_empty());
        assert!(export(3_700_000, "a", 60).is_empty(), "an hour later");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut remembered: Remembered<u32> = Remembered::new();
        for number in 0..MAX_REMEMBERED + 5 {
            *remembered.of(format!("{number}"), || 0) += 1;
            *remembered.of("kept".to_owned(), || 0) += 1;
        }
        assert_eq!((remembered.values.len(), remembered.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(*remembered.of("kept".to_owned(), || 0) > 5);
    }
}
