//! Dates and times of FHIR, which may be of a year, a month, a day or a fraction of a second: the time that each covers.

/// From when until before when, in Unix milliseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// The first millisecond.
    pub from_ms: i64,
    /// The first one that is not in it.
    pub until_ms: i64,
}

const DAY_MS: i64 = 86_400_000;

/// What a `date`, `dateTime` or `instant` covers; without a zone: in UTC.
pub fn range(text: &str) -> Option<Range> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let (year, month, day) = date_parts(date)?;
    match (month, day, time) {
        (Some(month), Some(day), Some(time)) => {
            let (time, offset_minutes) = split_zone(time)?;
            let clock = clock_ms(time)?;
            let from_ms = days(year, month, day) * DAY_MS + clock.from_ms - offset_minutes * 60_000;
            Some(Range { from_ms, until_ms: from_ms + clock.until_ms - clock.from_ms })
        }
        (_, _, Some(_)) => None,
        (Some(month), Some(day), None) => {
            let from_ms = days(year, month, day) * DAY_MS;
            Some(Range { from_ms, until_ms: from_ms + DAY_MS })
        }
        (Some(month), None, None) => {
            let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            Some(Range {
                from_ms: days(year, month, 1) * DAY_MS,
                until_ms: days(next_year, next, 1) * DAY_MS,
            })
        }
        (None, _, None) => {
            Some(Range { from_ms: days(year, 1, 1) * DAY_MS, until_ms: days(year + 1, 1, 1) * DAY_MS })
        }
    }
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// Year, month and day, the latter two if they are there; a day that does not exist is none.
pub(crate) fn date_parts(text: &str) -> Option<(i64, Option<i64>, Option<i64>)> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4).filter(|year| *year > 0)?;
    let month = match parts.next() {
        Some(month) => Some(number(month, 2).filter(|month| (1..=12).contains(month))?),
        None => None,
    };
    let day = match parts.next() {
        Some(day) => {
            let last = days_in(year, month?);
            Some(number(day, 2).filter(|day| (1..=last).contains(day))?)
        }
        None => None,
    };
    parts.next().is_none().then_some((year, month, day))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01, by the proleptic Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The clock's part and the minutes east of Greenwich; a time has a zone.
pub(crate) fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix('Z') {
        return Some((time, 0));
    }
    let (time, zone) = text.split_at_checked(text.len().checked_sub(6)?)?;
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    let valid = (hours < 14 && minutes < 60) || (hours == 14 && minutes == 0);
    valid.then_some((time, sign * (hours * 60 + minutes)))
}

/// `hh:mm:ss`, with or without a fraction: milliseconds since midnight.
pub(crate) fn clock_ms(text: &str) -> Option<Range> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let mut parts = clock.split(':');
    let (hours, minutes) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let seconds = number(parts.next()?, 2)?;
    if parts.next().is_some() || hours > 23 || minutes > 59 || seconds > 60 {
        return None;
    }
    let whole = ((hours * 60 + minutes) * 60 + seconds) * 1_000;
    let Some(fraction) = fraction else { return Some(Range { from_ms: whole, until_ms: whole + 1_000 }) };
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let from_ms = whole + number(&digits, 3)?;
    let width = match fraction.len() {
        1 => 100,
        2 => 10,
        _ => 1,
    };
    Some(Range { from_ms, until_ms: from_ms + width })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_less_exact_covers_more() {
        for (text, from_ms, length) in [
            ("1970", 0, 365 * DAY_MS),
            ("1970-01", 0, 31 * DAY_MS),
            ("2024-02", 1_706_745_600_000, 29 * DAY_MS),
            ("2026-03-02", 1_772_409_600_000, DAY_MS),
            ("2026-03-02T08:00:00Z", 1_772_438_400_000, 1_000),
            ("2026-03-02T10:00:00.25+02:00", 1_772_438_400_250, 10),
            ("2026-03-02T00:00:00.123456-08:00", 1_772_438_400_123, 1),
            ("1969-12-31", -DAY_MS, DAY_MS),
            ("0001-01-01", -62_135_596_800_000, DAY_MS),
        ] {
            assert_eq!(range(text), Some(Range { from_ms, until_ms: from_ms + length }), "{text}");
        }
        for none in [
            "",
            "0000",
            "26",
            "2026-3",
            "2026-02-29",
            "2026-13",
            "2026-03-02T08:00Z",
            "2026-03-02T08:00:00",
            "2026-03-02T24:00:00Z",
            "2026-03-02T08:00:00.Z",
            "2026-03-02T08:00:00+15:00",
            "2026-03T08:00:00Z",
            "2026-03-02-01",
            "２０２６",
        ] {
            assert_eq!(range(none), None, "{none}");
        }
    }
}
