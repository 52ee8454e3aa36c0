//! Whose records a clinician may open (45 CFR 164.502(b)), and how a clinic wants that looked after.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::audit::{Action, Purpose};
use crate::context::{Context, Staff};
use crate::database::Row;
use crate::hours::ClockTime;
use crate::ids::{AppointmentId, EncounterId};
use crate::params;
use crate::policy::Role;
use crate::problem::Problem;

/// A nurse prepares and accompanies the visits of these hours around now.
const SHIFT: SignedDuration = SignedDuration::from_hours(24);

/// How a clinic wants it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Oversight {
    /// Whose records clinicians open without a reason.
    pub record_access: RecordAccess,
    /// How long an access with a reason lasts.
    pub emergency_minutes: u16,
    /// Outside these local times an access is looked at.
    pub day_begins: ClockTime,
    /// The same.
    pub day_ends: ClockTime,
    /// So many patients within an hour are looked at.
    pub mass_patients: u16,
    /// One of so many ordinary accesses is looked at; 0: none.
    pub sample_one_in: u16,
    /// Who is written to when a record is opened in an emergency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_email: Option<crate::form::Email>,
}

/// Whose records clinicians open without a reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordAccess {
    /// Those of the clinic.
    Clinic,
    /// Those of their own patients; nurses also those of the day.
    Assigned,
}

impl RecordAccess {
    /// As in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clinic => "clinic",
            Self::Assigned => "assigned",
        }
    }

    /// What the database says.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Clinic, Self::Assigned].into_iter().find(|access| access.as_str() == text)
    }
}

impl Context<'_> {
    /// What the clinic has chosen, or what holds until it chooses.
    pub async fn oversight(&self) -> Result<Oversight, Problem> {
        let sql =
            "SELECT record_access, emergency_minutes, day_begins, day_ends, mass_patients, sample_one_in,
                          alert_email
                   FROM oversight WHERE clinic = ?";
        let rows = self.database().query(sql, params![&self.clinic]).await?;
        let Some(row) = rows.first() else {
            let clock = |text: &str| ClockTime::parse(text).ok_or_else(|| unreadable(text));
            return Ok(Oversight {
                record_access: RecordAccess::Clinic,
                emergency_minutes: 60,
                day_begins: clock("06:00")?,
                day_ends: clock("22:00")?,
                mass_patients: 30,
                sample_one_in: 200,
                alert_email: None,
            });
        };
        Ok(read(row)?)
    }

    /// Refuses a clinician who has nothing to do with the patient of this encounter.
    pub async fn may_open(&self, encounter: EncounterId) -> Result<(), Problem> {
        let sql = "SELECT a.id, e.id FROM encounter e
                   JOIN appointment a ON a.clinic = e.clinic AND a.id = e.appointment
                   WHERE e.clinic = ? AND e.id = ?";
        let rows = self.database().query(sql, params![&self.clinic, encounter]).await?;
        match rows.first() {
            Some(row) => self.may_open_visit(row.parsed(0, AppointmentId::parse)?).await,
            // Whoever asks is told that there is none.
            None => Ok(()),
        }
    }

    /// The same by the patient, for whom there may be no visit.
    pub async fn may_open_patient(&self, patient: &str) -> Result<(), Problem> {
        if self.caller.grant.is_some() && self.caller.staff.is_none() {
            return Ok(());
        }
        let near = (self.now - SHIFT, self.now + SHIFT);
        let staff = self.staff()?;
        let is_nurse = i64::from(staff.roles.contains(&Role::Nurse));
        let sql = "SELECT (SELECT o.record_access FROM oversight o WHERE o.clinic = ?1),
                     EXISTS (SELECT 1 FROM appointment a
                             LEFT JOIN practitioner p ON p.clinic = a.clinic AND p.id = a.practitioner
                             WHERE a.clinic = ?1 AND a.patient = ?2
                               AND (p.user = ?3 OR (?4 AND a.start_at > ?5 AND a.start_at < ?6))),
                     EXISTS (SELECT 1 FROM emergency_access x
                             WHERE x.clinic = ?1 AND x.user = ?3 AND x.patient = ?2 AND x.expires_at > ?7)";
        let values = params![&self.clinic, patient, staff.user, is_nurse, near.0, near.1, self.now];
        let rows = self.database().query(sql, values).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let access = row.text_or_null(0)?.as_deref().and_then(RecordAccess::parse);
        if access != Some(RecordAccess::Assigned) || row.integer(1)? == 1 {
            return Ok(());
        }
        if row.integer(2)? == 1 {
            self.purpose(Purpose::BreakTheGlass);
            return Ok(());
        }
        self.audit(Action::OperationRefused, None);
        let title = "This is not your patient: say why you have to see the record";
        Err(Problem::new(StatusCode::FORBIDDEN, "not-assigned", title))
    }

    /// The same by the appointment.
    pub async fn may_open_visit(&self, appointment: AppointmentId) -> Result<(), Problem> {
        // An app by itself has no patients of its own: its scopes are what an administrator gave it.
        if self.caller.grant.is_some() && self.caller.staff.is_none() {
            return Ok(());
        }
        let staff = self.staff()?;
        let sql = "SELECT e.id, a.start_at,
                     (SELECT o.record_access FROM oversight o WHERE o.clinic = ?1),
                     EXISTS (SELECT 1 FROM appointment own
                             JOIN practitioner p ON p.clinic = own.clinic AND p.id = own.practitioner
                             WHERE own.clinic = ?1 AND own.patient = a.patient AND p.user = ?3)
                     OR EXISTS (SELECT 1 FROM call_person r
                                WHERE r.clinic = ?1 AND r.appointment = coalesce(a.call_of, a.id) AND r.person = ?3),
                     (SELECT max(x.expires_at) FROM emergency_access x
                      WHERE x.clinic = ?1 AND x.user = ?3 AND x.patient = a.patient AND x.expires_at > ?4)
                   FROM appointment a JOIN encounter e ON e.clinic = a.clinic AND e.appointment = a.id
                   WHERE a.clinic = ?1 AND a.id = ?2";
        let values = params![&self.clinic, appointment, staff.user, self.now];
        let rows = self.database().query(sql, values).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let access = row.text_or_null(2)?.as_deref().and_then(RecordAccess::parse);
        if access != Some(RecordAccess::Assigned)
            || row.integer(3)? == 1
            || is_of_shift(staff, row.time(1)?, self.now)
        {
            return Ok(());
        }
        if row.time_or_null(4)?.is_some() {
            self.purpose(Purpose::BreakTheGlass);
            return Ok(());
        }
        let encounter = row.text(0)?;
        self.audit(Action::AccessRefused, Some(&encounter));
        let title = "This is not your patient: say why you have to see the record";
        Err(Problem::new(StatusCode::FORBIDDEN, "not-assigned", title))
    }
}

fn is_of_shift(staff: &Staff, start: Timestamp, now: Timestamp) -> bool {
    let is_near = now - SHIFT < start && start < now + SHIFT;
    is_near && staff.roles.contains(&Role::Nurse)
}

fn read(row: &Row) -> Result<Oversight, crate::database::DatabaseError> {
    let number =
        |column| Ok::<_, crate::database::DatabaseError>(row.integer(column)?.try_into().unwrap_or(0));
    let email = row.text_or_null(6)?.and_then(|text| text.try_into().ok());
    Ok(Oversight {
        record_access: row.parsed(0, RecordAccess::parse)?,
        emergency_minutes: number(1)?,
        day_begins: row.parsed(2, ClockTime::parse)?,
        day_ends: row.parsed(3, ClockTime::parse)?,
        mass_patients: number(4)?,
        sample_one_in: number(5)?,
        alert_email: email,
    })
}

fn unreadable(text: &str) -> Problem {
    Problem::internal(std::io::Error::other(format!("{text} is no time")))
}
