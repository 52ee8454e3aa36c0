//! Slots as they are computed, against a reference that goes through every minute: random weeks, sites, time zones,
//! clock changes, exceptions, buffers, visits, groups and rooms. `LOCUM_SEED` begins elsewhere, `LOCUM_CASES` says how many.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use kit::hours::{ClockTime, WeeklyRule};
use kit::ids::{PractitionerId, ServiceId, SiteId, SiteRoomId};
use scheduling::openings::{
    Busy, Exception, Hours, Opening, Place, Room, Session, Shape, Slot, Taken, Timeline, Wanted,
};

/// North and south, half hours, half an hour of daylight saving, none, and a day that is twice.
const ZONES: [&str; 8] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Asia/Kolkata",
    "Africa/Casablanca",
    "Pacific/Auckland",
    "Etc/UTC",
];
const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
const DAY: i64 = 24 * 60;

/// Sebastiano Vigna's splitmix64: a stream of numbers from a seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: i64) -> i64 {
        i64::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn one_in(&mut self, n: i64) -> bool {
        self.below(n) == 0
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(i64::try_from(length).unwrap())).unwrap()
    }
}

/// What the clocks of a zone show in every minute of the year and of some days around it.
struct Clocks {
    zone: TimeZone,
    /// Local minutes since 1970 less those of UTC, a minute each from `first` on.
    offsets: Vec<i16>,
    first: i64,
    /// Days of UTC, since 1970, on which they change.
    changes: Vec<i64>,
}

impl Clocks {
    fn read(name: &str) -> Self {
        let zone = TimeZone::get(name).unwrap();
        let first = days_since_1970(date(2025, 12, 20)) * DAY;
        let last = days_since_1970(date(2027, 1, 12)) * DAY;
        let offset = |minute: i64| {
            let at = Timestamp::from_second(minute * 60).unwrap();
            i16::try_from(zone.to_offset(at).seconds() / 60).unwrap()
        };
        let offsets: Vec<i16> = (first..last).map(offset).collect();
        let changes =
            offsets.windows(2).zip(first + 1..).filter(|(pair, _)| pair[0] != pair[1]).map(|(_, m)| m / DAY);
        let changes = changes.collect();
        Self { zone, offsets, first, changes }
    }

    fn local(&self, minute: i64) -> i64 {
        minute + i64::from(self.offsets[usize::try_from(minute - self.first).unwrap()])
    }

    /// The first minute at which the clocks show `local`; where they never do, what they would show had they not been
    /// put forward.
    fn instant(&self, local: i64) -> i64 {
        let around = local - 16 * 60..local + 16 * 60;
        let shown = around.clone().find(|minute| self.local(*minute) == local);
        shown.unwrap_or_else(|| {
            let before = around.take_while(|minute| self.local(*minute) < local).last().unwrap();
            local - (self.local(before) - before)
        })
    }
}

fn days_since_1970(day: Date) -> i64 {
    i64::from((day - date(1970, 1, 1)).get_days())
}

/// Everything by numbers: practitioners and sites by their place in a list, times in minutes.
#[derive(Debug)]
struct Case {
    clinic_zone: usize,
    site_zones: Vec<usize>,
    openings: Vec<Week>,
    exceptions: Vec<Special>,
    before: i64,
    length: i64,
    after: i64,
    /// How many patients the service takes at once.
    capacity: usize,
    /// Where the rooms are, if it needs one.
    rooms: Option<Vec<usize>>,
    visits: Vec<Visit>,
    from: i64,
    until: i64,
}

/// What is taken: the practitioner from `from` to `until`, for a visit from `start` to `end`.
#[derive(Clone, Debug)]
struct Visit {
    who: usize,
    from: i64,
    until: i64,
    start: i64,
    end: i64,
    /// Of the service that is looked for.
    is_same: bool,
    site: Option<usize>,
    room: Option<usize>,
}

#[derive(Debug)]
struct Week {
    who: usize,
    site: Option<usize>,
    days: [bool; 7],
    opens: i64,
    closes: i64,
}

#[derive(Debug)]
struct Special {
    who: Option<usize>,
    site: Option<usize>,
    from: i64,
    until: i64,
    hours: Option<(i64, i64)>,
}

const PEOPLE: usize = 3;

impl Case {
    fn random(chance: &mut Chance, clocks: &[Clocks]) -> Self {
        let clinic_zone = chance.index(ZONES.len());
        let site_zones: Vec<usize> = (0..chance.below(3)).map(|_| chance.index(ZONES.len())).collect();
        let used = if site_zones.is_empty() || chance.one_in(2) {
            clinic_zone
        } else {
            site_zones[chance.index(site_zones.len())]
        };
        let changes = &clocks[used].changes;
        let day = if changes.is_empty() || chance.one_in(3) {
            days_since_1970(date(2026, 1, 1)) + chance.below(365)
        } else {
            changes[chance.index(changes.len())] - 1 + chance.below(3)
        };
        let from = (day - 1) * DAY + chance.below(2 * DAY);
        let until = from + 1 + chance.below(2 * DAY);
        let site = |chance: &mut Chance| {
            let choice = chance.index(site_zones.len() + 1);
            (choice < site_zones.len()).then_some(choice)
        };
        let hours = |chance: &mut Chance| {
            let step = if chance.one_in(3) { 1 } else { 15 };
            let opens = chance.below(DAY / step) * step;
            (opens, (opens + 1 + chance.below(600)).min(DAY))
        };
        let openings = (0..1 + chance.below(4)).map(|_| {
            let bits = 1 + chance.below(127);
            let whole = chance.one_in(8);
            let (opens, closes) = if whole { (0, DAY) } else { hours(chance) };
            let days = std::array::from_fn(|at| bits >> at & 1 == 1 || chance.one_in(2));
            Week { who: chance.index(PEOPLE), site: site(chance), days, opens, closes }
        });
        let openings = openings.collect();
        let exceptions = (0..chance.below(4)).map(|_| {
            let from = day - 2 + chance.below(4);
            let who = chance.one_in(2).then(|| chance.index(PEOPLE));
            let hours = (!chance.one_in(3)).then(|| hours(chance));
            Special { who, site: site(chance), from, until: from + chance.below(3), hours }
        });
        let exceptions = exceptions.collect();
        let buffer = |chance: &mut Chance| if chance.one_in(2) { 0 } else { chance.below(31) };
        let (before, after) = (buffer(chance), buffer(chance));
        let length = 5 + chance.below(60);
        let capacity = if chance.one_in(2) { 1 } else { 1 + chance.index(4) };
        let needs_room = !site_zones.is_empty() && chance.one_in(2);
        let rooms = needs_room
            .then(|| (0..chance.below(4)).map(|_| chance.index(site_zones.len())).collect::<Vec<_>>());
        let visits = (0..chance.below(6)).map(|_| {
            let begins = from - 200 + chance.below(until - from + 400);
            let (who, until) = (chance.index(PEOPLE), begins + 5 + chance.below(120));
            let (is_same, room) = (chance.one_in(3), room(chance, rooms.as_deref()));
            Visit { who, from: begins, until, start: begins, end: until, is_same, site: site(chance), room }
        });
        let visits = visits.collect();
        let case = Self {
            clinic_zone,
            site_zones,
            openings,
            exceptions,
            before,
            length,
            after,
            capacity,
            rooms,
            visits,
            from,
            until,
        };
        case.with_patients(chance, clocks)
    }

    /// Times that some have booked already, and a few that nearly are the same.
    fn with_patients(mut self, chance: &mut Chance, clocks: &[Clocks]) -> Self {
        let slots = self.hours(clocks).slots(self.shape(), at(self.from), at(self.until));
        for _ in 0..if slots.is_empty() { 0 } else { chance.below(6) } {
            let slot = slots[chance.index(slots.len())];
            let minute = |at: Timestamp| at.as_second() / 60;
            let shift = if chance.one_in(4) { chance.below(3) } else { 0 };
            let visit = Visit {
                who: (0..PEOPLE).find(|index| person(*index) == slot.practitioner()).unwrap(),
                from: minute(slot.busy.from) + shift,
                until: minute(slot.busy.until) + shift,
                start: minute(slot.start) + shift,
                end: minute(slot.end) + shift,
                is_same: !chance.one_in(5),
                site: (0..self.site_zones.len()).find(|index| Some(place(*index)) == slot.site),
                room: room(chance, self.rooms.as_deref()),
            };
            for _ in 0..=chance.index(self.capacity + 1) {
                self.visits.push(visit.clone());
            }
        }
        self
    }

    fn zone<'c>(&self, clocks: &'c [Clocks], site: Option<usize>) -> &'c Clocks {
        &clocks[site.map_or(self.clinic_zone, |site| self.site_zones[site])]
    }

    /// Minute by minute: which slots begin when, with whom, where.
    fn reference(&self, clocks: &[Clocks]) -> BTreeMap<(i64, usize, Option<usize>), usize> {
        let mut found = BTreeMap::new();
        for day in self.from / DAY - 1..=self.until / DAY + 1 {
            let mut open: Vec<(usize, Option<usize>, i64, i64)> = Vec::new();
            let today = |other: &&Special| (other.from..=other.until).contains(&day);
            let special = || self.exceptions.iter().filter(today);
            for week in &self.openings {
                // 1970 began on a Thursday.
                let weekday = usize::try_from((day + 3) % 7).unwrap();
                let replaced = special().any(|other| {
                    other.hours.is_some()
                        && other.who == Some(week.who)
                        && (other.site.is_none() || other.site == week.site)
                });
                if week.days[weekday] && !replaced {
                    open.push((week.who, week.site, week.opens, week.closes));
                }
            }
            for other in special() {
                if let (Some(who), Some((opens, closes))) = (other.who, other.hours) {
                    open.push((who, other.site, opens, closes));
                }
            }
            for (who, site, opens, closes) in open {
                let may = |clock: i64| {
                    let here = special().filter(|other| other.site.is_none() || other.site == site);
                    let closed = here.clone().any(|o| o.hours.is_none() && o.who.is_none_or(|w| w == who));
                    let limits = here.filter(|o| o.who.is_none()).filter_map(|other| other.hours);
                    (opens..closes).contains(&clock)
                        && !closed
                        && limits.clone().all(|(from, until)| (from..until).contains(&clock))
                };
                let Some(first) = (0..DAY).find(|clock| may(*clock)) else { continue };
                let last = (0..DAY).rev().find(|clock| may(*clock)).unwrap() + 1;
                let zone = self.zone(clocks, site);
                let mut run = 0;
                for minute in zone.instant(day * DAY + first)..zone.instant(day * DAY + last) {
                    run += 1;
                    if run == self.before + self.length + self.after {
                        run = 0;
                        let (begins, start) = (
                            minute + 1 - self.before - self.length - self.after,
                            minute + 1 - self.length - self.after,
                        );
                        let left = self.left(begins..minute + 1, start, who, site);
                        if left > 0 && (self.from..self.until).contains(&start) {
                            found.insert((start, who, site), left);
                        }
                    }
                }
            }
        }
        found
    }

    /// How many more patients can come: minute by minute nobody else has the practitioner, and one room is nobody's.
    fn left(&self, minutes: Range<i64>, start: i64, who: usize, site: Option<usize>) -> usize {
        let is_together = |visit: &&Visit| {
            visit.is_same
                && visit.who == who
                && visit.site == site
                && visit.start == start
                && visit.end == start + self.length
        };
        let at_once =
            |at: i64| self.visits.iter().filter(move |visit| (visit.from..visit.until).contains(&at));
        let alone =
            minutes.clone().all(|at| at_once(at).all(|visit| visit.who != who || is_together(&visit)));
        let together = self.visits.iter().filter(is_together);
        let has_room = match &self.rooms {
            None => true,
            Some(_) if together.clone().any(|visit| visit.room.is_some()) => true,
            Some(rooms) => (0..rooms.len()).any(|room| {
                let is_free = |at| at_once(at).all(|visit| visit.room != Some(room));
                Some(rooms[room]) == site && minutes.clone().all(is_free)
            }),
        };
        let places = self.capacity.saturating_sub(together.count());
        if alone && has_room { places } else { 0 }
    }

    fn shape(&self) -> Shape {
        let minutes = SignedDuration::from_mins;
        Shape { before: minutes(self.before), length: minutes(self.length), after: minutes(self.after) }
    }

    /// The same by the code that serves.
    fn computed(&self, clocks: &[Clocks]) -> Vec<(Slot, usize)> {
        let slots = self.hours(clocks).slots(self.shape(), at(self.from), at(self.until));
        let taken: Vec<Taken> = self
            .visits
            .iter()
            .map(|visit| Taken {
                busy: Busy { practitioner: person(visit.who), from: at(visit.from), until: at(visit.until) },
                session: Session {
                    service: service(visit.is_same),
                    start: at(visit.start),
                    end: at(visit.end),
                    site: visit.site.map(place),
                },
                room: visit.room.map(site_room),
            })
            .collect();
        let rooms = self.rooms.as_deref().map(|rooms| {
            let room = |(at, site): (usize, &usize)| Room {
                id: site_room(at),
                site: place(*site),
                name: String::new(),
            };
            rooms.iter().enumerate().map(room).collect::<Vec<_>>()
        });
        let wanted = Wanted { service: service(true), capacity: self.capacity, rooms: rooms.as_deref() };
        let taken = Timeline::of(taken);
        let left = slots.into_iter().map(|slot| {
            let around = taken.around(slot.busy.from, slot.busy.until);
            (slot, slot.places_left(&wanted, around))
        });
        left.filter(|(_, left)| *left > 0).collect()
    }

    fn hours(&self, clocks: &[Clocks]) -> Hours {
        let clock =
            |minute: i64| ClockTime::parse(&format!("{:02}:{:02}", minute / 60, minute % 60)).unwrap();
        let day = |day: i64| date(1970, 1, 1).checked_add(day.days()).unwrap();
        let openings = self.openings.iter().map(|week| {
            let days: Vec<_> =
                DAYS.iter().zip(week.days).filter(|(_, on)| *on).map(|(day, _)| *day).collect();
            Opening {
                practitioner: person(week.who),
                site: week.site.map(place),
                rule: WeeklyRule::parse(&format!("FREQ=WEEKLY;BYDAY={}", days.join(","))).unwrap(),
                opens: clock(week.opens),
                closes: clock(week.closes),
            }
        });
        let exceptions = self.exceptions.iter().map(|other| Exception {
            site: other.site.map(place),
            practitioner: other.who.map(person),
            from: day(other.from),
            until: day(other.until),
            hours: other.hours.map(|(opens, closes)| (clock(opens), clock(closes))),
        });
        let places = self.site_zones.iter().enumerate();
        Hours {
            zone: clocks[self.clinic_zone].zone.clone(),
            places: places
                .map(|(at, zone)| Place { site: place(at), zone: clocks[*zone].zone.clone() })
                .collect(),
            openings: openings.collect(),
            exceptions: exceptions.collect(),
        }
    }
}

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap()
}

fn person(index: usize) -> PractitionerId {
    PractitionerId::parse(&format!("0198c7f2-9f2b-7c4e-8a55-2b6f0d7f1c1{index}")).unwrap()
}

fn place(index: usize) -> SiteId {
    SiteId::parse(&format!("0198c7f2-9f2b-7c4e-8a55-2b6f0d7f1c2{index}")).unwrap()
}

fn service(is_same: bool) -> ServiceId {
    let last = if is_same { 'a' } else { 'b' };
    ServiceId::parse(&format!("0198c7f2-9f2b-7c4e-8a55-2b6f0d7f1c3{last}")).unwrap()
}

fn site_room(index: usize) -> SiteRoomId {
    SiteRoomId::parse(&format!("0198c7f2-9f2b-7c4e-8a55-2b6f0d7f1c4{index}")).unwrap()
}

/// One of them, or none.
fn room(chance: &mut Chance, rooms: Option<&[usize]>) -> Option<usize> {
    let rooms = rooms.filter(|rooms| !rooms.is_empty())?;
    (!chance.one_in(3)).then(|| chance.index(rooms.len()))
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn slots_are_what_every_minute_says() {
    let clocks: Vec<Clocks> = ZONES.iter().map(|name| Clocks::read(name)).collect();
    let changing = clocks.iter().filter(|clocks| clocks.changes.len() >= 2).count();
    assert_eq!(changing, 6, "zones with clock changes");
    let (seed, cases) = (setting("LOCUM_SEED", 1), setting("LOCUM_CASES", 10_000));
    let (mut slots, mut changed, mut cut) = (0, 0, 0);
    let (mut shared, mut full, mut in_rooms) = (0, 0, 0);
    for number in seed..seed + cases {
        let case = Case::random(&mut Chance(number), &clocks);
        let (wanted, computed) = (case.reference(&clocks), case.computed(&clocks));
        let starts: Vec<_> = computed.iter().map(|(slot, _)| slot.start).collect();
        assert!(starts.is_sorted(), "seed {number}: not in order: {case:?}");
        let mut found = BTreeMap::new();
        for (slot, left) in &computed {
            let who = (0..PEOPLE).find(|index| person(*index) == slot.practitioner()).unwrap();
            let site = (0..case.site_zones.len()).find(|index| Some(place(*index)) == slot.site);
            let twice = found.insert((slot.start.as_second() / 60, who, site), *left);
            assert!(twice.is_none(), "seed {number}: twice: {case:?}");
            assert_eq!(slot.end.duration_since(slot.start).as_mins(), case.length, "seed {number}");
        }
        assert_eq!(found, wanted, "seed {number}: {case:?}");
        slots += found.len();
        shared += found.values().filter(|left| **left < case.capacity).count();
        full += usize::from(case.capacity > 1 && !case.visits.is_empty() && found.is_empty());
        in_rooms += usize::from(case.rooms.is_some() && !found.is_empty());
        let days = case.from / DAY..=case.until / DAY;
        let zones = case.site_zones.iter().chain([&case.clinic_zone]);
        let change = |zone: &usize| clocks[*zone].changes.iter().any(|day| days.contains(day));
        changed += usize::from(!found.is_empty() && zones.clone().any(change));
        cut += usize::from(!found.is_empty() && !case.exceptions.is_empty());
    }
    let enough = usize::try_from(cases / 10).unwrap();
    assert!(slots > 10 * enough && changed > enough && cut > enough, "{slots} slots, {changed}, {cut}");
    let few = enough / 10;
    assert!(
        shared > few && full > few && in_rooms > few,
        "{shared} shared, {full} full, {in_rooms} in rooms"
    );
}
