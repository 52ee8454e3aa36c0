//! Who comes late says so, and the other sees it; who did not come is marked so.

use http::StatusCode;
use kit::audit::Action;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::form::{self, Empty};
use kit::ids::AppointmentId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Deserialize;

const MOST_MINUTES: u32 = 240;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Late {
    /// 0: in time after all.
    minutes: u32,
}

/// `POST /scheduling/visit/late`: the patient says it, the day's list shows it.
pub async fn say_patient_is_late(context: &Context<'_>) -> Result<Reply, Problem> {
    say(context, context.visitor()?.appointment, "patient_late_minutes").await
}

/// `POST /scheduling/appointments/{id}/late`: staff say it, the patient sees it.
pub async fn say_clinic_is_late(context: &Context<'_>) -> Result<Reply, Problem> {
    say(context, context.path_id(AppointmentId::parse)?, "clinic_late_minutes").await
}

async fn say(context: &Context<'_>, id: AppointmentId, column: &str) -> Result<Reply, Problem> {
    let Late { minutes } = form::read(&context.request)?;
    if minutes > MOST_MINUTES {
        return Err(Problem::invalid("/minutes", format!("must be 0 to {MOST_MINUTES}")));
    }
    let sql = format!(
        "UPDATE appointment SET {column} = ?
         WHERE clinic = ? AND id = ? AND status IN ('booked', 'arrived') AND admitted_at IS NULL"
    );
    if context.database().execute(&sql, params![minutes, &context.clinic, id]).await? == 0 {
        return Err(not_any_more(context, id).await?);
    }
    context.audit(Action::LatenessSaid, Some(&id));
    Ok(reply::no_content())
}

/// `POST /scheduling/appointments/{id}/no-show`, so long after the start as the clinic has set. Twice is once.
pub async fn mark_no_show(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let id = context.path_id(AppointmentId::parse)?;
    let sql = "UPDATE appointment SET status = 'noshow'
               WHERE clinic = ?1 AND id = ?2 AND status = 'booked' AND start_at <= ?3 - 60000 * (
                 SELECT c.no_show_after_minutes FROM clinic c WHERE c.clinic = ?1)";
    if context.database().execute(sql, params![&context.clinic, id, context.now]).await? == 0 {
        let sql = "SELECT status FROM appointment WHERE clinic = ? AND id = ?";
        let rows = context.database().query(sql, params![&context.clinic, id]).await?;
        let row = rows.first().ok_or_else(|| Problem::not_found("No such appointment"))?;
        match row.parsed(0, AppointmentStatus::parse)? {
            AppointmentStatus::NoShow => {}
            AppointmentStatus::Booked => {
                let title = "It is too early to say that the patient does not come";
                return Err(Problem::new(StatusCode::CONFLICT, "too-early", title));
            }
            AppointmentStatus::Arrived => {
                let title = "The patient has come";
                return Err(Problem::new(StatusCode::CONFLICT, "visit-begun", title));
            }
            AppointmentStatus::Fulfilled | AppointmentStatus::Cancelled => return Err(Problem::visit_over()),
        }
    }
    context.audit(Action::PatientDidNotCome, Some(&id));
    Ok(reply::no_content())
}

async fn not_any_more(context: &Context<'_>, id: AppointmentId) -> Result<Problem, Problem> {
    let sql = "SELECT status FROM appointment WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such appointment"))?;
    if row.parsed(0, AppointmentStatus::parse)?.is_over() {
        return Ok(Problem::visit_over());
    }
    let title = "The patient has been let in";
    Ok(Problem::new(StatusCode::CONFLICT, "visit-begun", title))
}
