//! Letting the patient in, and ending the visit.

use kit::audit::Action;
use kit::call;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::form::{self, Empty};
use kit::ids::AppointmentId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;
use serde::Serialize;

use crate::day::{self, AppointmentView};

#[derive(Serialize)]
struct Changed {
    appointment: AppointmentView,
}

/// `POST /scheduling/appointments/{id}/admit`. Who was let in stays so; who is on hold comes back.
pub async fn admit_patient(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let id = context.path_id(AppointmentId::parse)?;
    let admitted = context.transaction(async || admit(context, id).await).await?;
    changed(context, id, if admitted { Action::PatientAdmitted } else { Action::AppointmentRead }).await
}

/// `POST /scheduling/appointments/{id}/end`. What is over stays so.
pub async fn end_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let id = context.path_id(AppointmentId::parse)?;
    let ended = context.transaction(async || end(context, id).await).await?;
    changed(context, id, if ended { Action::VisitEnded } else { Action::AppointmentRead }).await
}

async fn changed(context: &Context<'_>, id: AppointmentId, action: Action) -> Result<Reply, Problem> {
    let appointment = find(context, id).await?;
    context.audit(action, Some(&id));
    reply::ok(&Changed { appointment })
}

/// False: it was so before.
async fn admit(context: &Context<'_>, id: AppointmentId) -> Result<bool, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "UPDATE appointment SET held_at = NULL
               WHERE clinic = ? AND id = ? AND status = 'arrived' AND held_at IS NOT NULL";
    if database.execute(sql, params![clinic, id]).await? > 0 {
        return Ok(true);
    }
    let sql = "UPDATE appointment SET admitted_at = ?
               WHERE clinic = ? AND id = ? AND status = 'arrived' AND admitted_at IS NULL";
    if database.execute(sql, params![context.now, clinic, id]).await? == 0 {
        let found = find(context, id).await?;
        return match found.status {
            AppointmentStatus::Arrived if found.admitted => Ok(false),
            status if status.is_over() => Err(Problem::visit_over()),
            _ => Err(Problem::not_arrived()),
        };
    }
    database.execute(JOIN_GROUP, params![clinic, id]).await?;
    let sql = "INSERT INTO room (clinic, appointment, name, sink, created_at)
               SELECT clinic, coalesce(call_of, id), ?3, ?4, ?5 FROM appointment WHERE clinic = ?1 AND id = ?2
               ON CONFLICT (clinic, appointment) DO NOTHING";
    let (name, sink) = (secret::random_name()?, secret::random_name()?);
    database.execute(sql, params![clinic, id, name, sink, context.now]).await?;
    let sql = "UPDATE encounter SET status = 'in-progress', started_at = ?
               WHERE clinic = ? AND appointment = ? AND status = 'planned'";
    database.execute(sql, params![context.now, clinic, id]).await?;
    Ok(true)
}

/// Who is in a group comes into the call that others of it are in, or begins one.
const JOIN_GROUP: &str = "UPDATE appointment SET call_of = coalesce((
    SELECT o.call_of FROM appointment o
    JOIN hold oh ON oh.clinic = o.clinic AND oh.id = o.hold
    JOIN hold mine ON mine.clinic = o.clinic AND mine.id = appointment.hold
    JOIN room r ON r.clinic = o.clinic AND r.appointment = o.call_of
    WHERE o.clinic = ?1 AND o.practitioner = appointment.practitioner AND o.service = appointment.service
      AND o.start_at = appointment.start_at AND o.end_at = appointment.end_at AND oh.site IS mine.site
      AND o.status = 'arrived'
    ORDER BY o.admitted_at, o.id LIMIT 1), id)
  WHERE clinic = ?1 AND id = ?2 AND EXISTS (
    SELECT 1 FROM service s WHERE s.clinic = ?1 AND s.id = appointment.service AND s.capacity > 1)";

/// False: it was so before.
async fn end(context: &Context<'_>, id: AppointmentId) -> Result<bool, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "UPDATE appointment SET status = 'fulfilled', ended_at = ?
               WHERE clinic = ? AND id = ? AND status = 'arrived' AND admitted_at IS NOT NULL";
    if database.execute(sql, params![context.now, clinic, id]).await? == 0 {
        return match find(context, id).await?.status {
            AppointmentStatus::Fulfilled => Ok(false),
            AppointmentStatus::Arrived => Err(Problem::not_admitted()),
            AppointmentStatus::Booked => Err(Problem::not_arrived()),
            AppointmentStatus::Cancelled | AppointmentStatus::NoShow => Err(Problem::visit_over()),
        };
    }
    let sql = "UPDATE encounter SET status = 'finished', ended_at = ? WHERE clinic = ? AND appointment = ?";
    database.execute(sql, params![context.now, clinic, id]).await?;
    let room_of = call::place(context, id).await?.room_of;
    let sql = "SELECT 1 FROM appointment WHERE clinic = ? AND call_of = ? AND id <> ? AND status = 'arrived'";
    if !database.query(sql, params![clinic, room_of, id]).await?.is_empty() {
        // Others of the group go on.
        call::clear(context, id, call::Who::AllButStaff).await?;
        return Ok(true);
    }
    let sql = "SELECT r.name, a.end_at FROM room r
               JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
               WHERE r.clinic = ? AND r.appointment = ?";
    for row in database.query(sql, params![clinic, room_of]).await? {
        call::revoke(context, &row.text(0)?, None, row.time(1)?).await?;
    }
    // Of the call nothing stays but what meters it, and that its tokens are refused.
    for sql in [
        "DELETE FROM room_participant WHERE clinic = ? AND appointment = ?",
        "DELETE FROM room WHERE clinic = ? AND appointment = ?",
    ] {
        database.execute(sql, params![clinic, room_of]).await?;
    }
    Ok(true)
}

async fn find(context: &Context<'_>, id: AppointmentId) -> Result<AppointmentView, Problem> {
    let found = day::appointment(context, id).await?;
    found.ok_or_else(|| Problem::not_found("No such appointment"))
}
