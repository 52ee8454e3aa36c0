//! How long each participant was in a call, from what media nodes told. Pure.
//!
//! Time at two nodes at once counts once: a call that moves is on both for a moment. Silences do not count. A stay whose
//! end nobody told, because its node died, lasts until it was last told of.

use std::collections::BTreeMap;

/// What was told of one stay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    /// It began, or went on; or it was over then.
    There,
    /// Nothing was heard for so many milliseconds before.
    Gap(i64),
}

/// One thing told.
#[derive(Clone, Debug)]
pub struct Event {
    /// Who.
    pub participant: String,
    /// Which stay; a node's names of stays are its own.
    pub stay: (String, String),
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// What.
    pub told: Told,
}

/// What one participant's time comes to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Metered {
    /// Time in the call, in milliseconds.
    pub connected_ms: i64,
    /// How often they joined.
    pub stays: u32,
}

/// From when to when.
type Span = (i64, i64);

/// Adds up, by participant. The order of the events does not matter.
#[must_use]
pub fn meter(events: &[Event]) -> BTreeMap<&str, Metered> {
    let mut stays: BTreeMap<(&str, &(String, String)), Stay> = BTreeMap::new();
    for event in events {
        let stay = stays.entry((&event.participant, &event.stay)).or_default();
        stay.seen(event.at);
        if let Told::Gap(length) = event.told {
            stay.gaps.push((event.at - length.max(0), event.at));
        }
    }
    let mut spans: BTreeMap<&str, (Vec<Span>, u32)> = BTreeMap::new();
    for ((participant, _), stay) in stays {
        let (spans, count) = spans.entry(participant).or_default();
        spans.extend(stay.connected());
        *count += 1;
    }
    let total = |(participant, (spans, stays))| {
        (participant, Metered { connected_ms: length_of_union(spans), stays })
    };
    spans.into_iter().map(total).collect()
}

#[derive(Default)]
struct Stay {
    span: Option<Span>,
    gaps: Vec<Span>,
}

impl Stay {
    fn seen(&mut self, at: i64) {
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
    }

    /// Its span without its gaps.
    fn connected(mut self) -> Vec<Span> {
        let Some((mut from, until)) = self.span else { return Vec::new() };
        self.gaps.sort_unstable();
        let mut connected = Vec::new();
        for (silent, heard) in self.gaps {
            if silent > from {
                connected.push((from, silent.min(until)));
            }
            from = from.max(heard);
        }
        connected.push((from, until));
        connected.retain(|(from, until)| from < until);
        connected
    }
}

fn length_of_union(mut spans: Vec<Span>) -> i64 {
    spans.sort_unstable();
    let mut length = 0;
    let mut counted_until = i64::MIN;
    for (from, until) in spans {
        let from = from.max(counted_until);
        if until > from {
            length += until - from;
            counted_until = until;
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(stay: &str, at: i64, told: Told) -> Event {
        Event { participant: "p".to_owned(), stay: ("n".to_owned(), stay.to_owned()), at, told }
    }

    fn metered(events: &[Event]) -> Metered {
        let metered = meter(events).remove("p").unwrap_or_default();
        let reversed: Vec<_> = events.iter().rev().cloned().collect();
        assert_eq!(meter(&reversed).remove("p").unwrap_or_default(), metered, "order matters");
        metered
    }

    #[test]
    fn a_stay_lasts_from_its_first_word_to_its_last() {
        let events = [event("a", 1_000, Told::There), event("a", 61_000, Told::There)];
        assert_eq!(metered(&events), Metered { connected_ms: 60_000, stays: 1 });
        assert_eq!(metered(&events[..1]), Metered { connected_ms: 0, stays: 1 });
        assert_eq!(metered(&[]), Metered::default());
    }

    #[test]
    fn a_call_that_moves_counts_once() {
        let there = |stay, at| event(stay, at, Told::There);
        let moved = [there("a", 0), there("a", 10_000), there("b", 9_000), there("b", 20_000)];
        assert_eq!(metered(&moved), Metered { connected_ms: 20_000, stays: 2 });
        let away = [there("a", 0), there("a", 10_000), there("b", 15_000), there("b", 20_000)];
        assert_eq!(metered(&away).connected_ms, 15_000);
    }

    #[test]
    fn silence_does_not_count() {
        let there = |at| event("a", at, Told::There);
        let silent = [there(0), event("a", 30_000, Told::Gap(20_000)), there(40_000)];
        assert_eq!(metered(&silent).connected_ms, 20_000);
        let overlapping = [
            there(0),
            event("a", 30_000, Told::Gap(20_000)),
            event("a", 35_000, Told::Gap(10_000)),
            there(40_000),
        ];
        assert_eq!(metered(&overlapping).connected_ms, 15_000);
        // Longer than the stay: a node's clock was put right meanwhile.
        assert_eq!(metered(&[there(0), event("a", 10_000, Told::Gap(50_000))]).connected_ms, 0);
    }
}
