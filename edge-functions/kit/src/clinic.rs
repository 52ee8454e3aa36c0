//! The clinic of a request.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::context::Context;
use crate::params;
use crate::problem::Problem;

/// What everybody may know of a clinic.
#[derive(Clone, Debug)]
pub struct Clinic {
    /// Its name.
    pub name: String,
    /// The IANA name of its time zone.
    pub time_zone: String,
    /// The rules of that time zone.
    pub zone: TimeZone,
    /// Patients move and cancel by themselves until so long before the start.
    pub change_until: SignedDuration,
    /// Whether patients can book: its set-up is complete.
    pub is_open: bool,
}

impl Clinic {
    /// Midnight, or what comes first after it, at the beginning of `day` in the clinic.
    pub fn start_of(&self, day: Date) -> Option<Timestamp> {
        self.at(day.to_datetime(Time::midnight()))
    }

    /// The instant of a local time of the clinic.
    pub fn at(&self, local: DateTime) -> Option<Timestamp> {
        instant(&self.zone, local)
    }

    /// The calendar day that `at` falls on in the clinic.
    pub fn day_of(&self, at: Timestamp) -> Date {
        self.zone.to_datetime(at).date()
    }
}

/// The instant of a local time. One that a clock change skips is taken as long after the change as it is after its
/// beginning; one that happens twice is taken the first time (RFC 5545 §3.3.5).
pub fn instant(zone: &TimeZone, local: DateTime) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(local).compatible().ok()
}

impl Context<'_> {
    /// The clinic in the URL, once it is set up.
    pub async fn clinic(&self) -> Result<Clinic, Problem> {
        let sql = "SELECT name, time_zone, change_until_minutes, is_open FROM clinic WHERE clinic = ?";
        let rows = self.database().query(sql, params![&self.clinic]).await?;
        let row = rows.first().ok_or_else(|| {
            Problem::new(http::StatusCode::NOT_FOUND, "unknown-clinic", "There is no such clinic")
        })?;
        let time_zone = row.text(1)?;
        let zone = TimeZone::get(&time_zone).map_err(Problem::internal)?;
        let change_until = SignedDuration::from_mins(row.integer(2)?);
        let is_open = row.integer(3)? == 1;
        Ok(Clinic { name: row.text(0)?, time_zone, zone, change_until, is_open })
    }
}
