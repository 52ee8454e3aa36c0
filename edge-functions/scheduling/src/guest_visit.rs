//! The guest's side of a visit: which it is, and the wait until the clinician lets them in. Nothing of the patient.

use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::form::{self, Empty};
use kit::ids::GuestId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::guests::GuestRole;
use crate::people::{self, Asks, Person};
use crate::visit::{ClinicView, Named};

#[derive(Serialize)]
struct GuestVisitView {
    id: GuestId,
    start: Timestamp,
    end: Timestamp,
    clinic: ClinicView,
    practitioner: Named,
    role: GuestRole,
    arrived: bool,
    /// They were let in, and there is a call to be in.
    admitted: bool,
    people: Vec<Person>,
}

/// `GET /scheduling/guest-visit`.
pub async fn get_guest_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    shown(context, Action::GuestsRead).await
}

/// `POST /scheduling/guest-visit/arrive`. Arriving twice is arriving once.
pub async fn arrive_as_guest(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let sql = "UPDATE guest SET arrived_at = ? WHERE clinic = ? AND id = ?
               AND arrived_at IS NULL AND removed_at IS NULL";
    let values = params![context.now, &context.clinic, context.guest()?];
    let arrived = context.database().execute(sql, values).await? > 0;
    shown(context, if arrived { Action::GuestArrived } else { Action::GuestsRead }).await
}

async fn shown(context: &Context<'_>, action: Action) -> Result<Reply, Problem> {
    let view = view(context).await?;
    context.audit(action, Some(&context.visitor()?.appointment));
    reply::ok(&view)
}

async fn view(context: &Context<'_>) -> Result<GuestVisitView, Problem> {
    let sql =
        "SELECT a.start_at, a.end_at, a.status, a.admitted_at, p.name, g.role, g.arrived_at, g.admitted_at,
                 g.removed_at, a.held_at
               FROM guest g
               JOIN appointment a ON a.clinic = g.clinic AND a.id = g.appointment
               JOIN practitioner p ON p.clinic = a.clinic AND p.id = a.practitioner
               WHERE g.clinic = ? AND g.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, context.guest()?]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such visit"))?;
    if row.time_or_null(8)?.is_some() {
        return Err(Problem::link_withdrawn());
    }
    if row.parsed(2, AppointmentStatus::parse)?.is_over() {
        return Err(Problem::visit_over());
    }
    let on_hold = row.time_or_null(9)?.is_some();
    let admitted = row.time_or_null(7)?.is_some() && row.time_or_null(3)?.is_some() && !on_hold;
    let people = match admitted {
        true => people::of(context, context.visitor()?.appointment, Asks::Visitor).await?,
        false => Vec::new(),
    };
    let clinic = context.clinic().await?;
    Ok(GuestVisitView {
        id: context.guest()?,
        start: row.time(0)?,
        end: row.time(1)?,
        clinic: ClinicView { name: clinic.name, time_zone: clinic.time_zone },
        practitioner: Named { name: row.text(4)? },
        role: row.parsed(5, GuestRole::parse)?,
        arrived: row.time_or_null(6)?.is_some(),
        admitted,
        people,
    })
}
