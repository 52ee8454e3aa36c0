//! Visits in which somebody has to interpret, and which of them nobody is invited to yet.

use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form::{self, Language};
use kit::ids::{AppointmentId, PractitionerId};
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::catalogue::Practitioner;
use crate::day;
use crate::visit::Named;

/// As many as somebody can work through.
const MOST: i64 = 200;
/// A visit that began longer ago and is not over has nobody in it.
const STILL_ON: SignedDuration = SignedDuration::from_hours(12);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Need {
    /// `null`: nobody has to.
    language: Option<Language>,
}

#[derive(Serialize)]
struct Changed {
    appointment: day::AppointmentView,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkView {
    time_zone: String,
    visits: Vec<VisitView>,
    /// There are more.
    more: bool,
}

/// Made to be answered: the patient's name in it is open.
#[derive(Serialize)]
struct VisitView {
    appointment: AppointmentId,
    start: Timestamp,
    end: Timestamp,
    patient: Named,
    practitioner: Practitioner,
    language: String,
}

/// `PUT /scheduling/appointments/{id}/interpreter`.
pub async fn put_interpreter(context: &Context<'_>) -> Result<Reply, Problem> {
    let Need { language } = form::read(&context.request)?;
    let id = context.path_id(AppointmentId::parse)?;
    let sql = "UPDATE appointment SET interpreter_language = ?
               WHERE clinic = ? AND id = ? AND status IN ('booked', 'arrived')";
    let values = params![language.as_ref().map(Language::as_str), &context.clinic, id];
    let changed = context.database().execute(sql, values).await? > 0;
    let appointment = day::appointment(context, id).await?;
    let appointment = appointment.ok_or_else(|| Problem::not_found("No such appointment"))?;
    if !changed {
        return Err(Problem::visit_over());
    }
    context.audit(Action::InterpreterChanged, Some(&id));
    reply::ok(&Changed { appointment })
}

/// `GET /scheduling/interpreters`: what is still to be done, the next visit first.
pub async fn list_missing_interpreters(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let sql = "SELECT a.id, a.start_at, a.end_at, t.name, p.id, p.name, a.interpreter_language
               FROM appointment a
               JOIN patient t ON t.clinic = a.clinic AND t.id = a.patient
               JOIN practitioner p ON p.clinic = a.clinic AND p.id = a.practitioner
               WHERE a.clinic = ? AND a.start_at > ? AND a.status IN ('booked', 'arrived')
                 AND a.interpreter_language IS NOT NULL AND NOT EXISTS (
                   SELECT 1 FROM guest g WHERE g.clinic = a.clinic AND g.appointment = a.id
                     AND g.role = 'interpreter' AND g.removed_at IS NULL)
               ORDER BY a.start_at, a.id LIMIT ?";
    let values = params![&context.clinic, context.now - STILL_ON, MOST + 1];
    let rows = context.database().query(sql, values).await?;
    let visits: Vec<VisitView> = rows.iter().take(MOST as usize).map(read).collect::<Result<_, _>>()?;
    let more = rows.len() > visits.len();
    context.audit(Action::InterpretersRead, None);
    reply::ok(&WorkView { time_zone: context.clinic().await?.time_zone, visits, more })
}

fn read(row: &Row) -> Result<VisitView, DatabaseError> {
    Ok(VisitView {
        appointment: row.parsed(0, AppointmentId::parse)?,
        start: row.time(1)?,
        end: row.time(2)?,
        patient: Named { name: row.text(3)? },
        practitioner: Practitioner { id: row.parsed(4, PractitionerId::parse)?, name: row.text(5)? },
        language: row.text(6)?,
    })
}
