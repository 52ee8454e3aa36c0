//! The clinic's list of a day.

use jiff::{Timestamp, ToSpan as _};
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::fhir::AppointmentStatus;
use kit::form;
use kit::ids::{AppointmentId, EncounterId, PractitionerId, ServiceId};
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::catalogue::{Practitioner, ServiceName};

/// One statement for the list and for a single appointment; what follows `WHERE` is added to it.
macro_rules! select_appointments {
    ($condition:literal) => {
        concat!(
            "SELECT a.id, a.start_at, a.end_at, a.status, t.name, p.id, p.name, s.name,
                    a.arrived_at, e.id, a.admitted_at,
                    (SELECT max(r.at) FROM call_report r WHERE r.clinic = e.clinic AND r.encounter = e.id
                       AND r.kind = 'phone-instead'), s.id, a.held_at,
                    (SELECT r.kind FROM call_report r WHERE r.clinic = e.clinic AND r.encounter = e.id
                       AND r.kind <> 'phone-instead' ORDER BY r.at DESC, r.id LIMIT 1),
                    a.patient_late_minutes, a.clinic_late_minutes, s.capacity, a.place, i.name, m.name,
                    a.interpreter_language, EXISTS (
                      SELECT 1 FROM guest g WHERE g.clinic = a.clinic AND g.appointment = a.id
                        AND g.role = 'interpreter' AND g.removed_at IS NULL)
             FROM appointment a
             JOIN hold h ON h.clinic = a.clinic AND h.id = a.hold
             LEFT JOIN site i ON i.clinic = h.clinic AND i.id = h.site
             LEFT JOIN site_room m ON m.clinic = h.clinic AND m.id = h.room
             JOIN patient t ON t.clinic = a.clinic AND t.id = a.patient
             JOIN practitioner p ON p.clinic = a.clinic AND p.id = a.practitioner
             JOIN service s ON s.clinic = a.clinic AND s.id = a.service
             JOIN encounter e ON e.clinic = a.clinic AND e.appointment = a.id
             WHERE a.clinic = ? AND ",
            $condition
        )
    };
}

/// An appointment as staff see it. Made to be answered: the patient's name in it is open.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppointmentView {
    id: AppointmentId,
    start: Timestamp,
    end: Timestamp,
    /// Where it stands.
    pub(crate) status: AppointmentStatus,
    patient: Named,
    practitioner: Practitioner,
    service: ServiceName,
    arrived_at: Option<Timestamp>,
    encounter: EncounterId,
    /// Whether the patient was let in.
    pub(crate) admitted: bool,
    /// When that was.
    admitted_at: Option<Timestamp>,
    /// Since when they are out of the call again, for a while.
    held_at: Option<Timestamp>,
    /// What somebody last said does not work in the call.
    trouble: Option<String>,
    /// By how much the patient is late, as they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    patient_late_minutes: Option<i64>,
    /// By how much the clinic is.
    #[serde(skip_serializing_if = "Option::is_none")]
    clinic_late_minutes: Option<i64>,
    /// When the patient last asked to be called by phone instead.
    phone_instead: Option<Timestamp>,
    /// Of a service for several at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Group>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<Named>,
    /// In which of its rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<Named>,
    /// Somebody has to interpret.
    #[serde(skip_serializing_if = "Option::is_none")]
    interpreter: Option<Interpreter>,
}

/// Those who share practitioner, service, site and time are one group.
#[derive(Serialize)]
struct Group {
    place: i64,
    /// How many there are.
    capacity: i64,
}

#[derive(Serialize)]
pub(crate) struct Interpreter {
    /// BCP 47.
    pub(crate) language: String,
    /// One has a link to the visit.
    pub(crate) invited: bool,
}

impl AppointmentView {
    /// Whether the patient was let in and waits all the same.
    pub(crate) fn on_hold(&self) -> bool {
        self.held_at.is_some()
    }
}

#[derive(Serialize)]
struct Named {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DayView {
    time_zone: String,
    appointments: Vec<AppointmentView>,
}

/// `GET /scheduling/appointments`.
pub async fn list_appointments(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let day = query.required("date", "a date such as 2026-01-31", form::parse_day)?;
    query.finish()?;
    let clinic = context.clinic().await?;
    let next = day.checked_add(1.days()).ok();
    let bounds = (clinic.start_of(day), next.and_then(|next| clinic.start_of(next)));
    let (Some(from), Some(until)) = bounds else {
        return Err(Problem::invalid("?date", "is beyond the calendar"));
    };
    let sql = select_appointments!(
        "a.start_at >= ? AND a.start_at < ? AND (? IS NULL OR a.patient = ?) ORDER BY a.start_at, a.id"
    );
    let only = context.only_patient();
    let rows = context.database().query(sql, params![&context.clinic, from, until, only, only]).await?;
    let appointments = rows.iter().map(read).collect::<Result<_, _>>()?;
    context.audit(Action::DayRead, Some(&day));
    reply::ok(&DayView { time_zone: clinic.time_zone, appointments })
}

/// The appointment `id`, if the clinic has it.
pub async fn appointment(
    context: &Context<'_>,
    id: AppointmentId,
) -> Result<Option<AppointmentView>, Problem> {
    let sql = select_appointments!("a.id = ?");
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    Ok(rows.first().map(read).transpose()?)
}

fn read(row: &Row) -> Result<AppointmentView, DatabaseError> {
    Ok(AppointmentView {
        id: row.parsed(0, AppointmentId::parse)?,
        start: row.time(1)?,
        end: row.time(2)?,
        status: row.parsed(3, AppointmentStatus::parse)?,
        patient: Named { name: row.text(4)? },
        practitioner: Practitioner { id: row.parsed(5, PractitionerId::parse)?, name: row.text(6)? },
        service: ServiceName { id: row.parsed(12, ServiceId::parse)?, name: row.text(7)? },
        arrived_at: row.time_or_null(8)?,
        encounter: row.parsed(9, EncounterId::parse)?,
        admitted: row.time_or_null(10)?.is_some(),
        admitted_at: row.time_or_null(10)?,
        held_at: row.time_or_null(13)?,
        trouble: row.text_or_null(14)?,
        phone_instead: row.time_or_null(11)?,
        group: match row.integer(17)? {
            1 => None,
            capacity => Some(Group { place: row.integer(18)?, capacity }),
        },
        site: row.text_or_null(19)?.map(|name| Named { name }),
        room: row.text_or_null(20)?.map(|name| Named { name }),
        interpreter: match row.text_or_null(21)? {
            Some(language) => Some(Interpreter { language, invited: row.integer(22)? == 1 }),
            None => None,
        },
        patient_late_minutes: row.integer_or_null(15)?.filter(|minutes| *minutes > 0),
        clinic_late_minutes: row.integer_or_null(16)?.filter(|minutes| *minutes > 0),
    })
}
