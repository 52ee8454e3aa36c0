//! A visit is put on hold, or another practitioner takes it over.

use http::StatusCode;
use jiff::Timestamp;
use kit::audit::Action;
use kit::call;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
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

/// `POST /scheduling/appointments/{id}/transfer`. The patient keeps their place; in a call they are put on hold. Of a
/// group all go who have not gone yet: there is one call, and one practitioner in it.
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
    let sql = "SELECT 1 FROM appointment
               WHERE clinic = ?1 AND practitioner = ?2 AND start_at < ?3 AND end_at > ?4
                 AND (status IN ('booked', 'arrived') OR (status = 'fulfilled' AND start_at = ?4))";
    if !database.query(sql, params![clinic, to, booked.end, booked.start]).await?.is_empty() {
        let title = "They see somebody else at that time";
        return Err(Problem::new(StatusCode::CONFLICT, "practitioner-busy", title));
    }
    let group = group(context, id).await?;
    for (other, _) in &group {
        let sql = "UPDATE appointment SET practitioner = ?3, sequence = sequence + 1,
                     held_at = CASE WHEN admitted_at IS NULL THEN NULL ELSE coalesce(held_at, ?4) END
                   WHERE clinic = ?1 AND id = ?2";
        database.execute(sql, params![clinic, *other, to, context.now]).await?;
        // Once somebody is in it: it is the same call for all.
        call::clear(context, *other, call::Who::Everybody).await?;
    }
    let about = context.clinic().await?;
    for (other, email) in &group {
        if let Some(email) = email {
            invitation::send(context, &about, email, *other, booked.start, News::Moved).await?;
        }
    }
    Ok(true)
}

/// Who is in the same session, the one who was asked for among them; with the address of those who have not come yet.
async fn group(
    context: &Context<'_>,
    id: AppointmentId,
) -> Result<Vec<(AppointmentId, Option<String>)>, Problem> {
    let sql = "SELECT o.id, CASE o.status WHEN 'booked' THEN t.email END FROM appointment a
               JOIN hold h ON h.clinic = a.clinic AND h.id = a.hold
               JOIN service s ON s.clinic = a.clinic AND s.id = a.service
               JOIN appointment o ON o.clinic = a.clinic AND o.practitioner = a.practitioner
                 AND o.service = a.service AND o.start_at = a.start_at AND o.end_at = a.end_at
               JOIN hold oh ON oh.clinic = o.clinic AND oh.id = o.hold
               JOIN patient t ON t.clinic = o.clinic AND t.id = o.patient
               WHERE a.clinic = ? AND a.id = ? AND o.status IN ('booked', 'arrived')
                 AND (o.id = a.id OR (s.capacity > 1 AND oh.site IS h.site)) ORDER BY o.id";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let read =
        |row: &Row| Ok::<_, DatabaseError>((row.parsed(0, AppointmentId::parse)?, row.text_or_null(1)?));
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

struct Booked {
    practitioner: PractitionerId,
    status: AppointmentStatus,
    start: Timestamp,
    end: Timestamp,
}

async fn find(context: &Context<'_>, id: AppointmentId) -> Result<Booked, Problem> {
    let sql = "SELECT practitioner, status, start_at, end_at FROM appointment WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(no_appointment)?;
    Ok(Booked {
        practitioner: row.parsed(0, PractitionerId::parse)?,
        status: row.parsed(1, AppointmentStatus::parse)?,
        start: row.time(2)?,
        end: row.time(3)?,
    })
}

fn no_appointment() -> Problem {
    Problem::not_found("No such appointment")
}
