//! A visit is put on hold, or another practitioner takes it over.

use http::StatusCode;
use jiff::Timestamp;
use kit::audit::Action;
use kit::call;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::form::{self, Empty};
use kit::ids::{AppointmentId, PractitionerId};
use kit::invitation::{self, News};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::day::{self, AppointmentView};

/// Who takes it over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    practitioner: PractitionerId,
}

#[derive(Serialize)]
struct Changed {
    appointment: AppointmentView,
}

/// `POST /scheduling/appointments/{id}/hold`. What is on hold stays so until the patient is let in again.
pub async fn hold_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let id = context.path_id(AppointmentId::parse)?;
    let held = context.transaction(async || hold(context, id).await).await?;
    changed(context, id, if held { Action::VisitHeld } else { Action::AppointmentRead }).await
}

/// `POST /scheduling/appointments/{id}/transfer`. The patient keeps their place; in a call they are put on hold.
pub async fn transfer_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let To { practitioner } = form::read(&context.request)?;
    let id = context.path_id(AppointmentId::parse)?;
    let transferred = context.transaction(async || transfer(context, id, practitioner).await).await?;
    changed(context, id, if transferred { Action::VisitTransferred } else { Action::AppointmentRead }).await
}

async fn changed(context: &Context<'_>, id: AppointmentId, action: Action) -> Result<Reply, Problem> {
    let appointment = day::appointment(context, id).await?.ok_or_else(no_appointment)?;
    context.audit(action, Some(&id));
    reply::ok(&Changed { appointment })
}

/// False: it was so before.
async fn hold(context: &Context<'_>, id: AppointmentId) -> Result<bool, Problem> {
    let sql = "UPDATE appointment SET held_at = ? WHERE clinic = ? AND id = ? AND status = 'arrived'
               AND admitted_at IS NOT NULL AND held_at IS NULL";
    if context.database().execute(sql, params![context.now, &context.clinic, id]).await? == 0 {
        let found = day::appointment(context, id).await?.ok_or_else(no_appointment)?;
        return match found.status {
            AppointmentStatus::Arrived if found.on_hold() => Ok(false),
            status if status.is_over() => Err(Problem::visit_over()),
            _ => Err(Problem::not_admitted()),
        };
    }
    call::clear(context, id, call::Who::AllButStaff).await?;
    Ok(true)
}

/// False: it was theirs before.
async fn transfer(context: &Context<'_>, id: AppointmentId, to: PractitionerId) -> Result<bool, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let booked = find(context, id).await?;
    if booked.status.is_over() {
        return Err(Problem::visit_over());
    }
    if booked.practitioner == to {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM practitioner WHERE clinic = ? AND id = ?";
    if database.query(sql, params![clinic, to]).await?.is_empty() {
        return Err(Problem::invalid("/practitioner", "is nobody who sees patients here"));
    }
    let sql =
        "SELECT 1 FROM appointment WHERE clinic = ? AND practitioner = ? AND start_at < ? AND end_at > ?
               AND status IN ('booked', 'arrived')";
    if !database.query(sql, params![clinic, to, booked.end, booked.start]).await?.is_empty() {
        let title = "They see somebody else at that time";
        return Err(Problem::new(StatusCode::CONFLICT, "practitioner-busy", title));
    }
    let sql = "UPDATE appointment SET practitioner = ?3, sequence = sequence + 1,
                 held_at = CASE WHEN admitted_at IS NULL THEN NULL ELSE coalesce(held_at, ?4) END
               WHERE clinic = ?1 AND id = ?2";
    database.execute(sql, params![clinic, id, to, context.now]).await?;
    call::clear(context, id, call::Who::Everybody).await?;
    if booked.status == AppointmentStatus::Booked {
        let clinic = context.clinic().await?;
        invitation::send(context, &clinic, &booked.email, id, booked.start, News::Moved).await?;
    }
    Ok(true)
}

struct Booked {
    practitioner: PractitionerId,
    status: AppointmentStatus,
    start: Timestamp,
    end: Timestamp,
    email: String,
}

async fn find(context: &Context<'_>, id: AppointmentId) -> Result<Booked, Problem> {
    let sql = "SELECT a.practitioner, a.status, a.start_at, a.end_at, t.email
               FROM appointment a JOIN patient t ON t.clinic = a.clinic AND t.id = a.patient
               WHERE a.clinic = ? AND a.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(no_appointment)?;
    Ok(Booked {
        practitioner: row.parsed(0, PractitionerId::parse)?,
        status: row.parsed(1, AppointmentStatus::parse)?,
        start: row.time(2)?,
        end: row.time(3)?,
        email: row.text(4)?,
    })
}

fn no_appointment() -> Problem {
    Problem::not_found("No such appointment")
}
