//! The patient's side of a visit: what is booked, and the waiting room.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::form::{self, Jurisdiction};
use kit::ids::{AppointmentId, PractitionerId, ServiceId};
use kit::params;
use kit::problem::Problem;
use kit::questionnaire;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::catalogue::ServiceName;
use crate::licence;
use crate::people::{self, Asks, Person};
use crate::waiting_list::{self, Waits};

/// Whoever arrived longer ago and was never let in has left.
const WAITS_AT_MOST: SignedDuration = SignedDuration::from_hours(12);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arrival {
    /// Where the patient is.
    location: Option<Jurisdiction>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VisitView {
    appointment: AppointmentView,
    clinic: ClinicView,
    practitioner: Named,
    service: ServiceName,
    /// Until when the patient may move or cancel it.
    change_until: Option<Timestamp>,
    waiting: Option<Waiting>,
    /// They were let in, and there is a call to be in.
    admitted: bool,
    /// They were let in, and wait until the clinician goes on.
    on_hold: bool,
    people: Vec<Person>,
    /// That the patient would come earlier, and what is offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_list: Option<Waits>,
    /// By how much the clinic is late, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    clinic_late_minutes: Option<i64>,
    /// Where practitioners are licensed; left out where patients need not say where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    licensed_in: Option<Vec<String>>,
    /// Where the patient said they would be, or are.
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

#[derive(Serialize)]
struct AppointmentView {
    id: AppointmentId,
    start: Timestamp,
    end: Timestamp,
    status: AppointmentStatus,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClinicView {
    pub(crate) name: String,
    pub(crate) time_zone: String,
}

#[derive(Serialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

/// A place in the waiting room; the next one in has position 1.
#[derive(Serialize)]
struct Waiting {
    position: i64,
}

/// `GET /scheduling/visit`.
pub async fn get_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    shown(context, Action::AppointmentRead).await
}

/// `POST /scheduling/visit/arrive`. Arriving twice is arriving once.
pub async fn arrive_at_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let Arrival { location } = form::read(&context.request)?;
    let appointment = context.visitor()?.appointment;
    check_licence(context, appointment, location.as_ref()).await?;
    if questionnaire::is_missing(context, appointment).await? {
        let title = "Some questions have to be answered first";
        return Err(Problem::new(StatusCode::CONFLICT, "intake-required", title));
    }
    let sql = "UPDATE appointment SET status = 'arrived', arrived_at = ?, patient_location = ?
               WHERE clinic = ? AND id = ? AND status = 'booked'";
    let values =
        params![context.now, location.as_ref().map(Jurisdiction::as_str), &context.clinic, appointment];
    let arrived = context.database().execute(sql, values).await? > 0;
    shown(context, if arrived { Action::PatientArrived } else { Action::AppointmentRead }).await
}

/// Again, for people travel and licences end. Whoever is in the waiting room has been asked.
async fn check_licence(
    context: &Context<'_>,
    appointment: AppointmentId,
    location: Option<&Jurisdiction>,
) -> Result<(), Problem> {
    let sql = "SELECT practitioner FROM appointment WHERE clinic = ? AND id = ? AND status = 'booked'";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (practitioner, clinic) = (row.parsed(0, PractitionerId::parse)?, context.clinic().await?);
    match licence::licensed(context, &clinic, location, context.now).await? {
        Some(licensed) if !licensed.contains(&practitioner) => Err(licence::not_licensed()),
        _ => Ok(()),
    }
}

async fn shown(context: &Context<'_>, action: Action) -> Result<Reply, Problem> {
    let view = view(context).await?;
    context.audit(action, Some(&view.appointment.id));
    reply::ok(&view)
}

async fn view(context: &Context<'_>) -> Result<VisitView, Problem> {
    let appointment = context.visitor()?.appointment;
    let rows = context
        .database()
        .query(
            "SELECT a.id, a.start_at, a.end_at, a.status, a.arrived_at, a.admitted_at, p.name, s.name, p.id, s.id,
                    a.held_at, coalesce(a.patient_location, h.patient_location),
                    a.clinic_late_minutes
             FROM appointment a
             JOIN hold h ON h.clinic = a.clinic AND h.id = a.hold
             JOIN practitioner p ON p.clinic = a.clinic AND p.id = a.practitioner
             JOIN service s ON s.clinic = a.clinic AND s.id = a.service
             WHERE a.clinic = ? AND a.id = ?",
            params![&context.clinic, appointment],
        )
        .await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such visit"))?;
    let status = row.parsed(3, AppointmentStatus::parse)?;
    if status.is_over() {
        return Err(Problem::visit_over());
    }
    let let_in = row.time_or_null(5)?.is_some();
    let on_hold = row.time_or_null(10)?.is_some();
    let admitted = let_in && !on_hold;
    let waiting = match row.time_or_null(4)? {
        Some(arrived_at) if !let_in => {
            let position =
                position(context, row.parsed(8, PractitionerId::parse)?, appointment, arrived_at).await?;
            Some(Waiting { position })
        }
        _ => None,
    };
    let people = if admitted { people::of(context, appointment, Asks::Visitor).await? } else { Vec::new() };
    let clinic = context.clinic().await?;
    let start = row.time(1)?;
    let may_change = !let_in && context.visitor()?.proxy.is_none();
    let change_until = Some(start - clinic.change_until).filter(|until| may_change && *until >= context.now);
    Ok(VisitView {
        appointment: AppointmentView {
            id: row.parsed(0, AppointmentId::parse)?,
            start,
            end: row.time(2)?,
            status,
        },
        clinic: ClinicView { name: clinic.name, time_zone: clinic.time_zone },
        practitioner: Named { name: row.text(6)? },
        service: ServiceName { id: row.parsed(9, ServiceId::parse)?, name: row.text(7)? },
        change_until,
        waiting,
        admitted,
        on_hold,
        people,
        waiting_list: waiting_list::waits(context, appointment).await?,
        clinic_late_minutes: row.integer_or_null(12)?.filter(|minutes| *minutes > 0),
        licensed_in: licence::asked(context).await?,
        location: row.text_or_null(11)?,
    })
}

/// The place among those who wait for the same practitioner, in the order of their arrival.
async fn position(
    context: &Context<'_>,
    practitioner: PractitionerId,
    appointment: AppointmentId,
    arrived_at: Timestamp,
) -> Result<i64, Problem> {
    let rows = context
        .database()
        .query(
            "SELECT count(*) FROM appointment
             WHERE clinic = ?1 AND practitioner = ?2 AND status = 'arrived' AND admitted_at IS NULL
               AND arrived_at > ?5 AND (arrived_at < ?4 OR (arrived_at = ?4 AND id < ?3))",
            params![&context.clinic, practitioner, appointment, arrived_at, context.now - WAITS_AT_MOST],
        )
        .await?;
    Ok(1 + rows.first().map_or(Ok(0), |row| row.integer(0))?)
}
