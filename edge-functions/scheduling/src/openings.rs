//! When practitioners are open, and the slots that this makes: hours of a week, days that are not like others, sites
//! with their time zones, and what a service needs before and after. Pure: no clock, no database.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use kit::hours::{ClockTime, WeeklyRule};
use kit::ids::{PractitionerId, ServiceId, SiteId, SiteRoomId};

/// Hours of a week of a practitioner at a site.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Who.
    pub practitioner: PractitionerId,
    /// Where; `None`: the clinic itself.
    pub site: Option<SiteId>,
    /// On which days.
    pub rule: WeeklyRule,
    /// From.
    pub opens: ClockTime,
    /// Until.
    pub closes: ClockTime,
}

/// Days that are not like others.
#[derive(Clone, Debug)]
pub struct Exception {
    /// Where; `None`: everywhere.
    pub site: Option<SiteId>,
    /// Whose; `None`: everybody's.
    pub practitioner: Option<PractitionerId>,
    /// The first day.
    pub from: Date,
    /// The last day.
    pub until: Date,
    /// `None`: closed.
    pub hours: Option<(ClockTime, ClockTime)>,
}

/// A site and its time zone.
#[derive(Clone, Debug)]
pub struct Place {
    /// Which.
    pub site: SiteId,
    /// Its rules of local time.
    pub zone: TimeZone,
}

/// How long a service takes, and what a practitioner needs before and after it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Before the patient comes.
    pub before: SignedDuration,
    /// With the patient.
    pub length: SignedDuration,
    /// After the patient left.
    pub after: SignedDuration,
}

/// A stretch of a practitioner's time that is taken, what is needed before and after included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Busy {
    /// Whose.
    pub practitioner: PractitionerId,
    /// Its beginning.
    pub from: Timestamp,
    /// Its end, exclusive.
    pub until: Timestamp,
}

/// A time that can be booked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Slot {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, exclusive.
    pub end: Timestamp,
    /// Where.
    pub site: Option<SiteId>,
    /// All that it takes of the practitioner.
    pub busy: Busy,
}

impl Slot {
    /// Whose time.
    pub const fn practitioner(&self) -> PractitionerId {
        self.busy.practitioner
    }

    /// Whether the same practitioner cannot do both.
    pub fn collides_with(&self, other: &Busy) -> bool {
        let Busy { practitioner, from, until } = self.busy;
        practitioner == other.practitioner && from < other.until && other.from < until
    }

    /// How many more patients can have it. Who is in the same session shares its practitioner and its room; nobody else
    /// shares either.
    pub fn places_left(&self, wanted: &Wanted<'_>, taken: &[Taken]) -> usize {
        let session = Session { service: wanted.service, start: self.start, end: self.end, site: self.site };
        let (mut same, mut has_room) = (0, false);
        for other in taken.iter().filter(|other| self.collides_with(&other.busy)) {
            if other.session != session {
                return 0;
            }
            same += 1;
            has_room |= other.room.is_some();
        }
        let left = wanted.capacity.saturating_sub(same);
        match wanted.rooms {
            Some(rooms) if !has_room && !rooms.iter().any(|room| self.has_free(room, taken)) => 0,
            _ => left,
        }
    }

    fn has_free(&self, room: &Room, taken: &[Taken]) -> bool {
        let Busy { from, until, .. } = self.busy;
        let is_in_it =
            |other: &Taken| other.room == Some(room.id) && from < other.busy.until && other.busy.from < until;
        self.site == Some(room.site) && !taken.iter().any(is_in_it)
    }
}

/// What patients share who have a place in it: the same, at the same time and place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Session {
    /// What is done.
    pub service: ServiceId,
    /// Its beginning.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// Where.
    pub site: Option<SiteId>,
}

/// A place that is booked or held.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// All that it takes of the practitioner.
    pub busy: Busy,
    /// What it is a place of.
    pub session: Session,
    /// The room that it has.
    pub room: Option<SiteRoomId>,
}

/// What is taken, by its beginning, so that not all of it is looked at for each slot.
pub struct Timeline {
    taken: Vec<Taken>,
    longest: SignedDuration,
}

impl Timeline {
    /// In any order.
    pub fn of(mut taken: Vec<Taken>) -> Self {
        taken.sort_unstable_by_key(|one| one.busy.from);
        let lengths = taken.iter().map(|one| one.busy.until.duration_since(one.busy.from));
        let longest = lengths.max().unwrap_or(SignedDuration::ZERO);
        Self { taken, longest }
    }

    /// All that has to do with this stretch of time, and little else.
    pub fn around(&self, from: Timestamp, until: Timestamp) -> &[Taken] {
        let first = self.taken.partition_point(|one| from.duration_since(one.busy.from) >= self.longest);
        let end = self.taken.partition_point(|one| one.busy.from < until);
        self.taken.get(first..end).unwrap_or_default()
    }
}

/// A room of a site.
#[derive(Clone, Debug)]
pub struct Room {
    /// Which.
    pub id: SiteRoomId,
    /// Where.
    pub site: SiteId,
    /// Its name.
    pub name: String,
}

/// What a service wants of a time.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// Which service.
    pub service: ServiceId,
    /// For so many patients at once.
    pub capacity: usize,
    /// One of these of the site, if it needs any.
    pub rooms: Option<&'w [Room]>,
}

/// All that decides when a clinic is open.
#[derive(Clone, Debug)]
pub struct Hours {
    /// The clinic's own rules of local time.
    pub zone: TimeZone,
    /// Its sites.
    pub places: Vec<Place>,
    /// Hours of a week.
    pub openings: Vec<Opening>,
    /// Days that are not like others.
    pub exceptions: Vec<Exception>,
}

/// A stretch of one day in local time.
struct Stretch {
    practitioner: PractitionerId,
    site: Option<SiteId>,
    opens: ClockTime,
    closes: ClockTime,
}

impl Hours {
    /// The slots that begin from `from` to before `until`, soonest first, whoever took them. They follow each other in
    /// real time, so that a day with a clock change has none twice and none that the clocks skip.
    pub fn slots(&self, shape: Shape, from: Timestamp, until: Timestamp) -> Vec<Slot> {
        let mut slots = Vec::new();
        let mut days: Vec<(Date, Vec<Stretch>)> = Vec::new();
        // A day of a zone begins up to a day before or after that of another.
        let first = TimeZone::UTC.to_datetime(from).date().checked_sub(1.days());
        let mut day = first.unwrap_or(Date::MIN);
        let last = TimeZone::UTC.to_datetime(until).date().checked_add(1.days()).unwrap_or(Date::MAX);
        while day <= last {
            days.push((day, self.stretches(day)));
            let Ok(next) = day.checked_add(1.days()) else { break };
            day = next;
        }
        for (day, stretches) in &days {
            for stretch in stretches {
                self.fill(stretch, *day, shape, &mut slots);
            }
        }
        slots.retain(|slot| slot.start >= from && slot.start < until);
        slots.sort_unstable_by_key(|slot| (slot.start, slot.practitioner(), slot.site));
        // Where the hours of one practitioner overlap.
        slots.dedup();
        slots
    }

    fn fill(&self, stretch: &Stretch, day: Date, shape: Shape, slots: &mut Vec<Slot>) {
        let zone = self.zone_of(stretch.site);
        let instant = |time: ClockTime| time.on(day).and_then(|local| kit::clinic::instant(zone, local));
        let (Some(mut from), Some(closes)) = (instant(stretch.opens), instant(stretch.closes)) else {
            return;
        };
        let whole = shape.before + shape.length + shape.after;
        if whole <= SignedDuration::ZERO {
            return;
        }
        while let Ok(until) = from.checked_add(whole) {
            if until > closes {
                break;
            }
            let busy = Busy { practitioner: stretch.practitioner, from, until };
            slots.push(Slot {
                start: from + shape.before,
                end: until - shape.after,
                site: stretch.site,
                busy,
            });
            from = until;
        }
    }

    fn zone_of(&self, site: Option<SiteId>) -> &TimeZone {
        let place = self.places.iter().find(|place| Some(place.site) == site);
        place.map_or(&self.zone, |place| &place.zone)
    }

    /// Who is open on `day`, a day of the site's own calendar. Hours that a practitioner has on such a day alone come
    /// in place of theirs of the week; what is said of a site, or of all, cuts those of everybody there; closed is
    /// closed, whatever else is said.
    fn stretches(&self, day: Date) -> Vec<Stretch> {
        let today: Vec<&Exception> =
            self.exceptions.iter().filter(|other| (other.from..=other.until).contains(&day)).collect();
        let replaced = |opening: &Opening| {
            today.iter().any(|other| {
                other.hours.is_some()
                    && other.practitioner == Some(opening.practitioner)
                    && other.covers(opening.site)
            })
        };
        let weekly = self.openings.iter().filter(|opening| opening.rule.holds_on(day) && !replaced(opening));
        let weekly = weekly.map(|&Opening { practitioner, site, opens, closes, .. }| Stretch {
            practitioner,
            site,
            opens,
            closes,
        });
        let own = today.iter().filter_map(|other| {
            let (practitioner, (opens, closes)) = other.practitioner.zip(other.hours)?;
            Some(Stretch { practitioner, site: other.site, opens, closes })
        });
        weekly.chain(own).filter_map(|stretch| cut(stretch, &today)).collect()
    }
}

impl Exception {
    fn covers(&self, site: Option<SiteId>) -> bool {
        self.site.is_none() || self.site == site
    }
}

/// What the day's exceptions leave of a stretch.
fn cut(mut stretch: Stretch, today: &[&Exception]) -> Option<Stretch> {
    for other in today.iter().filter(|other| other.covers(stretch.site)) {
        match (other.practitioner, other.hours) {
            (None, Some((opens, closes))) => {
                stretch.opens = stretch.opens.max(opens);
                stretch.closes = stretch.closes.min(closes);
            }
            (None, None) => return None,
            (Some(who), None) if who == stretch.practitioner => return None,
            // Another's; or what this stretch is made of.
            (Some(_), _) => {}
        }
    }
    (stretch.opens < stretch.closes).then_some(stretch)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const EVERY_DAY: &str = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU";

    fn opening(opens: &str, closes: &str) -> Opening {
        Opening {
            practitioner: PractitionerId::parse("0198c7f2-9f2b-7c4e-8a55-2b6f0d7f1c11").unwrap(),
            site: None,
            rule: WeeklyRule::parse(EVERY_DAY).unwrap(),
            opens: ClockTime::parse(opens).unwrap(),
            closes: ClockTime::parse(closes).unwrap(),
        }
    }

    /// All slots of thirty minutes on a day of `zone`.
    fn on_day(zone: &str, day: Date, openings: &[Opening]) -> Vec<Slot> {
        let zone = TimeZone::get(zone).unwrap();
        let midnight = |day: Date| kit::clinic::instant(&zone, day.at(0, 0, 0, 0)).unwrap();
        let (from, until) = (midnight(day), midnight(day.tomorrow().unwrap()));
        let (places, exceptions) = (Vec::new(), Vec::new());
        let hours = Hours { zone: zone.clone(), places, openings: openings.to_vec(), exceptions };
        let length = SignedDuration::from_mins(30);
        let shape = Shape { before: SignedDuration::ZERO, length, after: SignedDuration::ZERO };
        hours.slots(shape, from, until)
    }

    fn starts(zone: &str, day: Date, opens: &str, closes: &str) -> Vec<String> {
        let slots = on_day(zone, day, &[opening(opens, closes)]);
        slots.iter().map(|slot| slot.start.to_string()).collect()
    }

    #[test]
    fn slots_fill_the_hours_and_never_outlast_them() {
        let slots = on_day("Europe/Berlin", date(2026, 1, 5), &[opening("09:00", "10:15")]);
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
        assert_eq!(on_day("Europe/Berlin", date(2026, 1, 5), &hours).len(), 3);
    }

    #[test]
    fn neighbours_do_not_collide() {
        let slots = on_day("Europe/Berlin", date(2026, 1, 5), &[opening("09:00", "10:00")]);
        assert!(!slots[0].collides_with(&slots[1].busy));
        assert!(slots[0].collides_with(&slots[0].busy));
    }
}
