//! What a report asks for, and in which order it answers.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::event::{Action, Event};
use crate::store::Value;

/// Most events of one answer.
pub(crate) const MOST: usize = 5_000;
/// Where events of changes stand, among the names of logs.
pub(super) const ROWS: &str = "rows";

/// Which events of a clinic; what is `None` or empty is not looked at.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Wish {
    /// Unix milliseconds, from the first to before the second.
    pub(crate) from_ms: Option<i64>,
    pub(crate) until_ms: Option<i64>,
    /// Id of whoever did it.
    pub(crate) agent: Option<String>,
    /// Kind of whoever did it.
    pub(crate) agent_type: Option<String>,
    /// Whose record it was, or one of `entities`.
    pub(crate) patient: Option<String>,
    pub(crate) entities: Vec<Seen>,
    pub(crate) action: Option<Action>,
    /// One of these.
    pub(crate) codes: Vec<String>,
    pub(crate) outcome: Option<Outcome>,
    /// Of this request only.
    pub(crate) request: Option<String>,
    pub(crate) sort: Sort,
    pub(crate) descending: bool,
    /// Behind this one.
    pub(crate) after: Option<Place>,
    pub(crate) limit: usize,
}

/// Something that shows a person since it was made, such as the list of a day.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Seen {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) since_ms: i64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Success,
    Failure,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sort {
    #[default]
    Recorded,
    Agent,
    Patient,
    Code,
    Outcome,
}

/// Where an event stands in an order: no two stand at the same place.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
pub(crate) struct Place {
    pub(crate) value: String,
    pub(crate) recorded_at_ms: i64,
    /// Its log, or [`ROWS`].
    pub(crate) origin: String,
    pub(crate) sequence: u64,
}

/// An event and where it is kept.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub(crate) struct Found {
    pub(crate) event: Event,
    pub(crate) origin: String,
    pub(crate) sequence: u64,
}

/// The first events of an order, and how many there are in all.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Best {
    pub(crate) events: Vec<Found>,
    /// With those that stand before `after`.
    pub(crate) matched: u64,
    /// There are others behind the last of these.
    pub(crate) more: bool,
}

impl Wish {
    pub(super) fn limit(&self) -> usize {
        self.limit.clamp(1, MOST)
    }

    pub(super) fn takes(&self, event: &Event) -> bool {
        let is = |wanted: &Option<String>, given: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| given == Some(wanted))
        };
        self.is_in_time(event.recorded_at_ms)
            && is(&self.agent, event.agent.as_deref())
            && is(&self.agent_type, Some(&event.agent_type))
            && is(&self.request, Some(&event.request))
            && self.action.is_none_or(|action| action == event.action)
            && (self.codes.is_empty() || self.codes.contains(&event.code))
            && self.outcome.is_none_or(|outcome| outcome == Outcome::of(event.status))
            && self.is_of_patient(event)
    }

    fn is_in_time(&self, at_ms: i64) -> bool {
        self.from_ms.is_none_or(|from| at_ms >= from) && self.until_ms.is_none_or(|until| at_ms < until)
    }

    fn is_of_patient(&self, event: &Event) -> bool {
        if self.patient.is_none() && self.entities.is_empty() {
            return true;
        }
        let of_entity = |entity: &str| {
            let seen = |seen: &Seen| seen.id == entity && event.recorded_at_ms >= seen.since_ms;
            self.entities.iter().any(seen)
        };
        self.patient.is_some() && event.patient == self.patient
            || event.entity.as_deref().is_some_and(of_entity)
    }

    /// Whether anything of these times can be wanted, in any order, behind `after`.
    pub(super) fn may_want(&self, first_ms: i64, last_ms: i64) -> bool {
        self.from_ms.is_none_or(|from| last_ms >= from) && self.until_ms.is_none_or(|until| first_ms < until)
    }

    pub(super) fn place(&self, found: &Found) -> Place {
        let Found { event, origin, sequence } = found;
        let value = self.value(event).into_owned();
        let (recorded_at_ms, sequence) = (event.recorded_at_ms, *sequence);
        Place { value, recorded_at_ms, origin: origin.clone(), sequence }
    }

    /// What comes first in the order.
    fn value<'e>(&self, event: &'e Event) -> Cow<'e, str> {
        match self.sort {
            Sort::Recorded => "".into(),
            Sort::Agent => event.agent.as_deref().unwrap_or_default().into(),
            Sort::Patient => event.patient.as_deref().unwrap_or_default().into(),
            Sort::Code => event.code.as_str().into(),
            Sort::Outcome => event.status.to_string().into(),
        }
    }

    /// Whether an event stands behind a place. Nothing is copied: most events of a large log are not among the best.
    fn stands_behind(&self, (event, origin, sequence): (&Event, &str, u64), place: &Place) -> bool {
        let value = self.value(event);
        let own = (value.as_ref(), event.recorded_at_ms, origin, sequence);
        let order = own.cmp(&(&place.value, place.recorded_at_ms, &place.origin, place.sequence));
        order == if self.descending { Ordering::Less } else { Ordering::Greater }
    }

    pub(super) fn order(&self, one: &Place, other: &Place) -> Ordering {
        let order = one.cmp(other);
        if self.descending { order.reverse() } else { order }
    }

    /// Conditions on the rows of changes, beside the clinic's: SQL and its values.
    pub(super) fn conditions(&self) -> (String, Vec<Value>) {
        let (mut sql, mut values) = (String::new(), Vec::new());
        let mut and = |condition: &str, given: Vec<Value>| {
            sql.push_str(" AND ");
            sql.push_str(condition);
            values.extend(given);
        };
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        for (condition, value) in [
            ("recorded_at_ms >= ?", self.from_ms.map(Value::Integer)),
            ("recorded_at_ms < ?", self.until_ms.map(Value::Integer)),
            ("agent = ?", text(&self.agent)),
            ("agent_type = ?", text(&self.agent_type)),
            ("request = ?", text(&self.request)),
            ("action = ?", self.action.map(|action| action.as_str().into())),
        ] {
            if let Some(value) = value {
                and(condition, vec![value]);
            }
        }
        match self.outcome {
            Some(Outcome::Success) => and("status < 400", Vec::new()),
            Some(Outcome::Failure) => and("status >= 400", Vec::new()),
            None => {}
        }
        if !self.codes.is_empty() {
            let marks = vec!["?"; self.codes.len()].join(", ");
            and(&format!("code IN ({marks})"), self.codes.iter().map(|code| code.as_str().into()).collect());
        }
        let mut any = Vec::new();
        let mut of_any = Vec::new();
        if let Some(patient) = text(&self.patient) {
            any.push("patient = ?".to_owned());
            of_any.push(patient);
        }
        for seen in &self.entities {
            any.push("entity = ? AND recorded_at_ms >= ?".to_owned());
            of_any.extend([seen.id.as_str().into(), Value::Integer(seen.since_ms)]);
        }
        if !any.is_empty() {
            and(&format!("({})", any.join(" OR ")), of_any);
        }
        (sql, values)
    }

    /// The order of the rows, and the condition that they stand behind `after`.
    pub(super) fn ordered(&self) -> (String, String, Vec<Value>) {
        let column = match self.sort {
            Sort::Recorded => "''",
            Sort::Agent => "coalesce(agent, '')",
            Sort::Patient => "coalesce(patient, '')",
            Sort::Code => "code",
            Sort::Outcome => "CAST(status AS TEXT)",
        };
        let (direction, beyond) = if self.descending { ("DESC", "<") } else { ("ASC", ">") };
        let order = match self.sort {
            Sort::Recorded => format!("recorded_at_ms {direction}, sequence {direction}"),
            _ => format!("{column} {direction}, recorded_at_ms {direction}, sequence {direction}"),
        };
        let Some(after) = &self.after else { return (order, String::new(), Vec::new()) };
        // Among events of the same time those of logs stand before or behind all rows.
        let sequence = match (ROWS.cmp(after.origin.as_str()), self.descending) {
            (Ordering::Equal, _) => i64::try_from(after.sequence).unwrap_or(i64::MAX),
            (Ordering::Greater, false) => -1,
            (Ordering::Less, false) => i64::MAX,
            (Ordering::Greater, true) => -1,
            (Ordering::Less, true) => i64::MAX,
        };
        let (condition, mut values) = match self.sort {
            Sort::Recorded => (format!(" AND (recorded_at_ms, sequence) {beyond} (?, ?)"), Vec::new()),
            _ => (
                format!(" AND ({column}, recorded_at_ms, sequence) {beyond} (?, ?, ?)"),
                vec![after.value.as_str().into()],
            ),
        };
        values.extend([Value::Integer(after.recorded_at_ms), Value::Integer(sequence)]);
        (order, condition, values)
    }
}

impl Outcome {
    fn of(status: u16) -> Self {
        if status < 400 { Self::Success } else { Self::Failure }
    }
}

/// Takes events in any order and keeps the best.
pub(super) struct Picking<'w> {
    wish: &'w Wish,
    best: Vec<(Place, Found)>,
    /// Behind it nothing is among the best any more.
    worst: Option<Place>,
    matched: u64,
    more: bool,
}

impl<'w> Picking<'w> {
    pub(super) fn new(wish: &'w Wish) -> Self {
        Self { wish, best: Vec::new(), worst: None, matched: 0, more: false }
    }

    /// One that is wanted.
    pub(super) fn take(&mut self, event: Event, origin: &str, sequence: u64) {
        self.matched += 1;
        let stands_behind = |place: &Place| self.wish.stands_behind((&event, origin, sequence), place);
        if self.wish.after.as_ref().is_some_and(|after| !stands_behind(after)) {
            return;
        }
        if self.worst.as_ref().is_some_and(stands_behind) {
            self.more = true;
            return;
        }
        let found = Found { event, origin: origin.to_owned(), sequence };
        self.best.push((self.wish.place(&found), found));
        if self.best.len() >= 2 * self.wish.limit() {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.best.sort_unstable_by(|(one, _), (other, _)| self.wish.order(one, other));
        if self.best.len() > self.wish.limit() {
            self.more = true;
            self.best.truncate(self.wish.limit());
        }
        if self.best.len() == self.wish.limit() {
            self.worst = self.best.last().map(|(place, _)| place.clone());
        }
    }

    pub(super) fn best(mut self) -> Best {
        self.cut();
        let events = self.best.into_iter().map(|(_, found)| found).collect();
        Best { events, matched: self.matched, more: self.more }
    }
}

/// One list out of several, whose origins are different.
pub(super) fn merge(wish: &Wish, lists: Vec<Best>) -> Best {
    // Behind the last event of a list that was cut off nothing is known of it.
    let ends = lists.iter().filter(|list| list.more).filter_map(|list| list.events.last());
    let known_to = ends.map(|last| wish.place(last)).min_by(|one, other| wish.order(one, other));
    let mut merged = Best::default();
    let mut places = Vec::new();
    for list in lists {
        merged.matched += list.matched;
        merged.more |= list.more;
        places.extend(list.events.into_iter().map(|found| (wish.place(&found), found)));
    }
    places.sort_by(|(one, _), (other, _)| wish.order(one, other));
    let is_known =
        |place: &Place| known_to.as_ref().is_none_or(|end| wish.order(place, end) != Ordering::Greater);
    let all = places.len();
    merged.events = places.into_iter().filter(|(place, _)| is_known(place)).map(|(_, found)| found).collect();
    merged.events.truncate(wish.limit());
    merged.more |= merged.events.len() < all;
    merged
}

#[cfg(test)]
mod tests {
    use super::super::testing::event;
    use super::*;

    fn found(origin: &str, sequence: u64, at: u64, code: &str) -> Found {
        let event = Event { code: code.to_owned(), ..event(at) };
        Found { event, origin: origin.to_owned(), sequence }
    }

    /// Page after page, in each order: everything once, whatever lists it comes from.
    #[test]
    fn pages_of_several_lists_hold_everything_once_and_in_order() {
        let codes = ["note-read", "sign-in", "day-read"];
        let lists: Vec<Vec<Found>> = (0..3_u64)
            .map(|list| {
                let one = |n: u64| {
                    found(&format!("{list}"), n, (n * 7 + list) % 11, codes[((n + list) % 3) as usize])
                };
                (1..20 + list * 5).map(one).collect()
            })
            .collect();
        let all = lists.iter().map(Vec::len).sum::<usize>();
        for sort in [Sort::Recorded, Sort::Code, Sort::Agent] {
            for descending in [false, true] {
                let mut wish = Wish { sort, descending, limit: 4, ..Wish::default() };
                let mut seen: Vec<Place> = Vec::new();
                loop {
                    // The first answers less than it is asked for, as one does whose events are long.
                    let short = Wish { limit: 2, ..wish.clone() };
                    let parts = lists.iter().enumerate().map(|(place, list)| {
                        let mut picking = Picking::new(if place == 0 { &short } else { &wish });
                        list.iter()
                            .cloned()
                            .for_each(|found| picking.take(found.event, &found.origin, found.sequence));
                        picking.best()
                    });
                    let page = merge(&wish, parts.collect());
                    assert_eq!(page.matched as usize, all);
                    seen.extend(page.events.iter().map(|found| wish.place(found)));
                    if !page.more {
                        break;
                    }
                    wish.after = seen.last().cloned();
                }
                assert_eq!(seen.len(), all, "{sort:?} {descending}");
                assert!(seen.windows(2).all(|two| wish.order(&two[0], &two[1]) == Ordering::Less));
            }
        }
    }
}
