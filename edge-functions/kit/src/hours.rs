//! Opening hours: weekly recurrence rules (RFC 5545 §3.3.10) and local times.

use std::fmt;

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, Time, Weekday};
use serde::{Deserialize, Serialize};

/// The days of the week by their names in RFC 5545, Monday first.
const DAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// `FREQ=WEEKLY;BYDAY=…`: every week, on some days. Any other part of the language is refused rather than
/// misread.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WeeklyRule {
    /// Whether the rule holds on a day, Monday first.
    days: [bool; 7],
}

impl WeeklyRule {
    /// `None` unless `text` is such a rule. `INTERVAL=1` may be said, for it changes nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut weekly, mut days, mut interval) = (false, None, false);
        for part in text.split(';') {
            match part.split_once('=')? {
                ("FREQ", "WEEKLY") if !weekly => weekly = true,
                ("INTERVAL", "1") if !interval => interval = true,
                ("BYDAY", list) if days.is_none() => days = Some(parse_days(list)?),
                _ => return None,
            }
        }
        weekly.then_some(Self { days: days? })
    }

    /// Whether the rule holds on `day`.
    pub fn holds_on(&self, day: Date) -> bool {
        self.days.get(weekday_index(day.weekday())).copied().unwrap_or(false)
    }
}

fn parse_days(list: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for name in list.split(',') {
        let day = DAYS.iter().position(|known| *known == name)?;
        let held = days.get_mut(day)?;
        if std::mem::replace(held, true) {
            return None;
        }
    }
    Some(days)
}

fn weekday_index(day: Weekday) -> usize {
    usize::try_from(day.to_monday_zero_offset()).unwrap_or(0)
}

impl fmt::Display for WeeklyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: Vec<_> =
            DAYS.iter().zip(self.days).filter_map(|(name, held)| held.then_some(*name)).collect();
        write!(f, "FREQ=WEEKLY;BYDAY={}", held.join(","))
    }
}

impl TryFrom<String> for WeeklyRule {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("must be a weekly rule such as FREQ=WEEKLY;BYDAY=MO,TU")
    }
}

impl From<WeeklyRule> for String {
    fn from(rule: WeeklyRule) -> Self {
        rule.to_string()
    }
}

/// A local time to the minute, `HH:MM`, in minutes since midnight. `24:00` is the end of the day (ISO 8601-1
/// §5.3.1).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClockTime(u16);

impl ClockTime {
    /// `None` unless `text` is `00:00` to `24:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|c| c.is_ascii_digit());
        if !two_digits(hour) || !two_digits(minute) {
            return None;
        }
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let minutes = hour * 60 + minute;
        (minute < 60 && minutes <= 24 * 60).then_some(Self(minutes))
    }

    /// This time of `day`; `None` beyond the calendar.
    pub fn on(self, day: Date) -> Option<DateTime> {
        day.to_datetime(Time::midnight()).checked_add(i64::from(self.0).minutes()).ok()
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl TryFrom<String> for ClockTime {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("must be a time such as 08:30")
    }
}

impl From<ClockTime> for String {
    fn from(time: ClockTime) -> Self {
        time.to_string()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_weekly_rule_holds_on_its_days() {
        let rule = WeeklyRule::parse("BYDAY=FR,MO;FREQ=WEEKLY;INTERVAL=1").unwrap();
        assert!(rule.holds_on(date(2026, 3, 30)) && rule.holds_on(date(2026, 4, 3)));
        assert!(!rule.holds_on(date(2026, 3, 31)) && !rule.holds_on(date(2026, 4, 5)));
        assert_eq!(rule.to_string(), "FREQ=WEEKLY;BYDAY=MO,FR");
    }

    #[test]
    fn what_the_parser_does_not_know_is_refused() {
        for text in [
            "",
            "FREQ=WEEKLY",
            "BYDAY=MO",
            "FREQ=DAILY;BYDAY=MO",
            "FREQ=WEEKLY;BYDAY=",
            "FREQ=WEEKLY;BYDAY=MO,",
            "FREQ=WEEKLY;BYDAY=MO,MO",
            "FREQ=WEEKLY;BYDAY=1MO",
            "FREQ=WEEKLY;BYDAY=MO;BYDAY=TU",
            "FREQ=WEEKLY;BYDAY=MO;INTERVAL=2",
            "FREQ=WEEKLY;BYDAY=MO;UNTIL=20270101T000000Z",
            "FREQ=WEEKLY;BYDAY=MO;COUNT=3",
            "FREQ=WEEKLY;FREQ=WEEKLY;BYDAY=MO",
            "RRULE:FREQ=WEEKLY;BYDAY=MO",
            "FREQ=WEEKLY;BYDAY=MO;",
            "freq=weekly;byday=mo",
        ] {
            assert!(WeeklyRule::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn clock_times_are_hours_and_minutes() {
        assert_eq!(ClockTime::parse("08:30").unwrap().to_string(), "08:30");
        assert!(ClockTime::parse("08:30") < ClockTime::parse("18:00"));
        assert_eq!(ClockTime::parse("24:00").unwrap().to_string(), "24:00");
        assert_eq!(
            ClockTime::parse("24:00").unwrap().on(date(2026, 12, 31)),
            Some(date(2027, 1, 1).at(0, 0, 0, 0))
        );
        for text in ["24:01", "25:00", "8:30", "08:60", "08:30:00", "+8:30", "", "08.30"] {
            assert!(ClockTime::parse(text).is_none(), "{text}");
        }
    }
}
