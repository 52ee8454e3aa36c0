//! Free slots: computed from opening hours and what is taken, never stored.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use kit::clinic::Clinic;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form;
use kit::hours::ClockTime;
use kit::ids::{PractitionerId, ServiceId};
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::catalogue::{self, Opening, Practitioner, Service};

/// The longest stretch of an answer, in days.
const MAX_DAYS: i64 = 14;
/// How far ahead anybody can book.
pub const HORIZON: SignedDuration = SignedDuration::from_hours(366 * 24);

/// A stretch of a practitioner's time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, exclusive.
    pub end: Timestamp,
    /// Whose time.
    pub practitioner: PractitionerId,
}

impl Slot {
    /// Whether the same practitioner cannot do both.
    pub fn collides_with(&self, other: &Self) -> bool {
        self.practitioner == other.practitioner && self.start < other.end && other.start < self.end
    }
}

/// A slot as the API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct SlotView {
    start: Timestamp,
    end: Timestamp,
    practitioner: Practitioner,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SlotsView {
    time_zone: String,
    slots: Vec<SlotView>,
}

/// `GET /scheduling/slots`.
pub async fn list_slots(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let service = query.required("service", "the id of a service", ServiceId::parse)?;
    let from = query.required("from", "a date such as 2026-01-31", form::parse_day)?;
    let days = |text: &str| text.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days));
    let days = query.optional("days", "1 to 14", days)?.unwrap_or(7);
    let practitioner = query.optional("practitioner", "the id of a practitioner", PractitionerId::parse)?;
    query.finish()?;

    let clinic = context.clinic().await?;
    let service = catalogue::service(context, service).await?;
    let service = service.ok_or_else(|| Problem::not_found("No such service"))?;
    let slots = free(context, &clinic, &service, from, days, practitioner).await?;
    let practitioners = catalogue::practitioners(context).await?;
    if practitioner.is_some_and(|id| !practitioners.iter().any(|known| known.id == id)) {
        return Err(Problem::not_found("No such practitioner"));
    }
    reply::ok(&SlotsView { time_zone: clinic.time_zone, slots: views(&slots, &practitioners) })
}

/// The free slots of `days` days, soonest first; of one practitioner, or of all.
pub async fn free(
    context: &Context<'_>,
    clinic: &Clinic,
    service: &Service,
    from: Date,
    days: i64,
    practitioner: Option<PractitionerId>,
) -> Result<Vec<Slot>, Problem> {
    let mut openings = catalogue::openings(context).await?;
    openings.retain(|opening| practitioner.is_none_or(|id| id == opening.practitioner));
    let latest = context.now + HORIZON;
    let mut slots: Vec<_> = (0..days)
        .map_while(|offset| from.checked_add(offset.days()).ok())
        .flat_map(|day| on_day(clinic, day, &openings, service.duration_minutes))
        .filter(|slot| slot.start > context.now && slot.start <= latest)
        .collect();
    let (Some(first), Some(last)) =
        (slots.iter().map(|slot| slot.start).min(), slots.iter().map(|slot| slot.end).max())
    else {
        return Ok(slots);
    };
    let taken = taken(context, first, last).await?;
    slots.retain(|slot| !taken.iter().any(|other| other.collides_with(slot)));
    Ok(slots)
}

/// The slots that the opening hours make on `day`, whoever took them. They follow each other in real time, so
/// that a day with a clock change has none twice and none that the clocks skip.
pub fn on_day(clinic: &Clinic, day: Date, openings: &[Opening], minutes: i64) -> Vec<Slot> {
    let length = SignedDuration::from_mins(minutes.max(1));
    let mut slots = Vec::new();
    for opening in openings.iter().filter(|opening| opening.rule.holds_on(day)) {
        let instant = |time: ClockTime| time.on(day).and_then(|local| clinic.at(local));
        let (Some(mut start), Some(closes)) = (instant(opening.opens), instant(opening.closes)) else {
            continue;
        };
        while let Ok(end) = start.checked_add(length) {
            if end > closes {
                break;
            }
            slots.push(Slot { start, end, practitioner: opening.practitioner });
            start = end;
        }
    }
    slots.sort_by_key(|slot| (slot.start, slot.practitioner.to_string()));
    // Where the hours of one practitioner overlap.
    slots.dedup();
    slots
}

/// What is booked or held between `from` and `until`.
async fn taken(context: &Context<'_>, from: Timestamp, until: Timestamp) -> Result<Vec<Slot>, Problem> {
    let rows = context
        .database()
        .query(
            "SELECT practitioner, start_at, end_at FROM appointment
             WHERE clinic = ?1 AND start_at < ?3 AND end_at > ?2
               AND status IN ('booked', 'arrived', 'fulfilled')
             UNION ALL
             SELECT practitioner, start_at, end_at FROM hold
             WHERE clinic = ?1 AND start_at < ?3 AND end_at > ?2 AND used_at IS NULL AND expires_at > ?4",
            params![&context.clinic, from, until, context.now],
        )
        .await?;
    let read = |row: &Row| {
        Ok::<_, DatabaseError>(Slot {
            practitioner: row.parsed(0, PractitionerId::parse)?,
            start: row.time(1)?,
            end: row.time(2)?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// `slots` with the names of their practitioners.
pub fn views(slots: &[Slot], practitioners: &[Practitioner]) -> Vec<SlotView> {
    let view = |slot: &Slot| {
        let practitioner = practitioners.iter().find(|known| known.id == slot.practitioner)?.clone();
        Some(SlotView { start: slot.start, end: slot.end, practitioner })
    };
    slots.iter().filter_map(view).collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use jiff::tz::TimeZone;
    use kit::hours::WeeklyRule;

    use super::*;

    const EVERY_DAY: &str = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU";

    fn clinic(zone: &str) -> Clinic {
        Clinic {
            name: "C".into(),
            time_zone: zone.into(),
            zone: TimeZone::get(zone).unwrap(),
            change_until: SignedDuration::ZERO,
        }
    }

    fn opening(opens: &str, closes: &str) -> Opening {
        Opening {
            practitioner: PractitionerId::parse("0198c7f2-9f2b-7c4e-8a55-2b6f0d7f1c11").unwrap(),
            rule: WeeklyRule::parse(EVERY_DAY).unwrap(),
            opens: ClockTime::parse(opens).unwrap(),
            closes: ClockTime::parse(closes).unwrap(),
        }
    }

    fn starts(zone: &str, day: Date, opens: &str, closes: &str) -> Vec<String> {
        let slots = on_day(&clinic(zone), day, &[opening(opens, closes)], 30);
        slots.iter().map(|slot| slot.start.to_string()).collect()
    }

    #[test]
    fn slots_fill_the_hours_and_never_outlast_them() {
        let slots = on_day(&clinic("Europe/Berlin"), date(2026, 1, 5), &[opening("09:00", "10:15")], 30);
        let times: Vec<_> = slots.iter().map(|slot| (slot.start.to_string(), slot.end.to_string())).collect();
        let expected = [
            ("2026-01-05T08:00:00Z", "2026-01-05T08:30:00Z"),
            ("2026-01-05T08:30:00Z", "2026-01-05T09:00:00Z"),
        ];
        assert_eq!(times, expected.map(|(start, end)| (start.to_owned(), end.to_owned())));
    }

    #[test]
    fn opening_hours_keep_their_local_time_across_a_clock_change() {
        // Berlin leaves UTC+1 on 2026-03-29 and returns to it on 2026-10-25.
        assert_eq!(starts("Europe/Berlin", date(2026, 3, 28), "09:00", "09:30"), ["2026-03-28T08:00:00Z"]);
        assert_eq!(starts("Europe/Berlin", date(2026, 3, 30), "09:00", "09:30"), ["2026-03-30T07:00:00Z"]);
        assert_eq!(starts("Europe/Berlin", date(2026, 10, 24), "09:00", "09:30"), ["2026-10-24T07:00:00Z"]);
        assert_eq!(starts("Europe/Berlin", date(2026, 10, 26), "09:00", "09:30"), ["2026-10-26T08:00:00Z"]);
    }

    #[test]
    fn the_hour_that_the_clocks_skip_has_no_slots() {
        // 02:00 to 03:00 does not happen: four slots from 01:00 to 04:00, not six.
        assert_eq!(
            starts("Europe/Berlin", date(2026, 3, 29), "01:00", "04:00"),
            ["2026-03-29T00:00:00Z", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]
        );
        // Hours that would begin inside it begin as long after the change.
        assert_eq!(starts("America/New_York", date(2026, 3, 8), "02:30", "04:00"), ["2026-03-08T07:30:00Z"]);
    }

    #[test]
    fn the_hour_that_happens_twice_has_its_slots_twice() {
        // 02:00 to 03:00 happens twice: eight slots from 01:00 to 04:00, each at its own instant.
        let starts = starts("Europe/Berlin", date(2026, 10, 25), "01:00", "04:00");
        assert_eq!(starts.len(), 8);
        assert_eq!(starts.first().unwrap(), "2026-10-24T23:00:00Z");
        assert_eq!(starts.last().unwrap(), "2026-10-25T02:30:00Z");
    }

    #[test]
    fn a_whole_day_is_as_long_as_the_clocks_make_it() {
        let whole = |day| starts("Europe/Berlin", day, "00:00", "24:00").len();
        assert_eq!(
            (whole(date(2026, 3, 28)), whole(date(2026, 3, 29)), whole(date(2026, 10, 25))),
            (48, 46, 50)
        );
    }

    #[test]
    fn overlapping_hours_give_each_slot_once() {
        let hours = [opening("09:00", "10:00"), opening("09:00", "10:30")];
        assert_eq!(on_day(&clinic("Europe/Berlin"), date(2026, 1, 5), &hours, 30).len(), 3);
    }

    #[test]
    fn neighbours_do_not_collide() {
        let slots = on_day(&clinic("Europe/Berlin"), date(2026, 1, 5), &[opening("09:00", "10:00")], 30);
        assert!(!slots[0].collides_with(&slots[1]));
        assert!(slots[0].collides_with(&slots[0]));
    }
}
