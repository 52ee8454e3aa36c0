//! Hours in which a clinic sends nothing that can wait.

use jiff::Timestamp;
use kit::clinic::Clinic;
use kit::hours::ClockTime;

/// From one local time to another, over midnight too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quiet {
    /// When it begins.
    pub from: ClockTime,
    /// When it ends.
    pub until: ClockTime,
}

impl Quiet {
    /// The first moment from `now` on that is not quiet in the clinic, by its clocks.
    pub fn over(self, clinic: &Clinic, now: Timestamp) -> Timestamp {
        let today = clinic.day_of(now);
        // A night that began yesterday, and one that begins today.
        for day in [today.yesterday().ok(), Some(today)].into_iter().flatten() {
            let ends_on = if self.from < self.until { Some(day) } else { day.tomorrow().ok() };
            let begins = self.from.on(day).and_then(|local| clinic.at(local));
            let ends = ends_on.and_then(|day| self.until.on(day)).and_then(|local| clinic.at(local));
            if let Some((begins, ends)) = begins.zip(ends)
                && begins <= now
                && now < ends
            {
                return ends;
            }
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::tz::TimeZone;

    use super::*;

    fn clinic(zone: &str) -> Clinic {
        Clinic {
            name: "Test".to_owned(),
            time_zone: zone.to_owned(),
            zone: TimeZone::get(zone).unwrap(),
            change_until: SignedDuration::ZERO,
            is_open: true,
        }
    }

    fn over(zone: &str, from: &str, until: &str, now: &str) -> String {
        let quiet = Quiet { from: ClockTime::parse(from).unwrap(), until: ClockTime::parse(until).unwrap() };
        quiet.over(&clinic(zone), now.parse().unwrap()).to_string()
    }

    #[test]
    fn a_night_is_the_clinics_also_when_clocks_change() {
        let madrid = |now| over("Europe/Madrid", "21:00", "08:00", now);
        assert_eq!(madrid("2026-03-02T19:59:59Z"), "2026-03-02T19:59:59Z");
        assert_eq!(madrid("2026-03-02T20:00:00Z"), "2026-03-03T07:00:00Z");
        assert_eq!(madrid("2026-03-03T06:59:59Z"), "2026-03-03T07:00:00Z");
        assert_eq!(madrid("2026-03-03T07:00:00Z"), "2026-03-03T07:00:00Z");
        // One hour less, and one more.
        assert_eq!(madrid("2026-03-28T22:00:00Z"), "2026-03-29T06:00:00Z");
        assert_eq!(madrid("2026-10-24T22:00:00Z"), "2026-10-25T07:00:00Z");
        let phoenix = over("America/Phoenix", "12:00", "14:00", "2026-03-02T19:30:00Z");
        assert_eq!(phoenix, "2026-03-02T21:00:00Z");
        let same = over("Europe/Madrid", "09:00", "09:00", "2026-03-02T12:00:00Z");
        assert_eq!(same, "2026-03-03T08:00:00Z", "a whole day is a night as well");
    }
}
