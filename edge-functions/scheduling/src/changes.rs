//! An appointment gets another time, or is cancelled: by the patient while there is time for it, by staff until the
//! patient is let in.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::form::{self, Empty, SecretText};
use kit::hold::{self, Held};
use kit::ids::{AppointmentId, HoldId, PractitionerId, ServiceId};
use kit::invitation::{self, News};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::waiting_list::{self, Freed};

/// A hold of the other time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherTime {
    hold: HoldId,
    secret: SecretText,
}

#[derive(Serialize)]
struct Changed {
    appointment: ChangedView,
}

#[derive(Serialize)]
struct ChangedView {
    id: AppointmentId,
    start: Timestamp,
    end: Timestamp,
    status: AppointmentStatus,
}

/// What is to be changed.
struct Booked {
    id: AppointmentId,
    practitioner: PractitionerId,
    service: ServiceId,
    start: Timestamp,
    end: Timestamp,
    status: AppointmentStatus,
    admitted: bool,
    email: String,
}

/// `POST /scheduling/visit/move`.
pub async fn move_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let wanted: OtherTime = form::read(&context.request)?;
    let clinic = context.clinic().await?;
    change(context, &clinic, context.visitor()?.appointment, Some(clinic.change_until), Some(&wanted)).await
}

/// `POST /scheduling/visit/offer`: the visit gets the earlier time that it is offered.
pub async fn accept_offer(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let (clinic, id) = (context.clinic().await?, context.visitor()?.appointment);
    let appointment = context
        .transaction(async || {
            let booked = find(context, id).await?;
            booked.may_change(None)?;
            let hold = waiting_list::offered(context, id).await?.ok_or_else(waiting_list::offer_gone)?;
            let held = hold::use_up_offered(context, hold).await?;
            take(context, &clinic, booked, hold, held).await
        })
        .await?;
    reply::ok(&Changed { appointment })
}

/// `POST /scheduling/visit/cancel`. What is cancelled stays so.
pub async fn cancel_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let clinic = context.clinic().await?;
    change(context, &clinic, context.visitor()?.appointment, Some(clinic.change_until), None).await
}

/// `POST /scheduling/appointments/{id}/move`.
pub async fn move_appointment(context: &Context<'_>) -> Result<Reply, Problem> {
    let wanted: OtherTime = form::read(&context.request)?;
    let clinic = context.clinic().await?;
    change(context, &clinic, context.path_id(AppointmentId::parse)?, None, Some(&wanted)).await
}

/// `POST /scheduling/appointments/{id}/cancel`. What is cancelled stays so.
pub async fn cancel_appointment(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let clinic = context.clinic().await?;
    change(context, &clinic, context.path_id(AppointmentId::parse)?, None, None).await
}

/// To another time, or to none. `until`: only so long before the start.
async fn change(
    context: &Context<'_>,
    clinic: &Clinic,
    id: AppointmentId,
    until: Option<SignedDuration>,
    to: Option<&OtherTime>,
) -> Result<Reply, Problem> {
    let appointment = context
        .transaction(async || {
            let booked = find(context, id).await?;
            if to.is_none() && booked.status == AppointmentStatus::Cancelled {
                context.audit(Action::AppointmentRead, Some(&id));
                return Ok(booked.view());
            }
            booked.may_change(until.map(|before| context.now + before))?;
            match to {
                Some(other) => move_to(context, clinic, booked, other).await,
                None => cancel(context, clinic, booked).await,
            }
        })
        .await?;
    reply::ok(&Changed { appointment })
}

async fn find(context: &Context<'_>, id: AppointmentId) -> Result<Booked, Problem> {
    let sql = "SELECT a.service, a.start_at, a.end_at, a.status, a.admitted_at, t.email, a.practitioner
               FROM appointment a JOIN patient t ON t.clinic = a.clinic AND t.id = a.patient
               WHERE a.clinic = ? AND a.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such appointment"))?;
    Ok(Booked {
        id,
        practitioner: row.parsed(6, PractitionerId::parse)?,
        service: row.parsed(0, ServiceId::parse)?,
        start: row.time(1)?,
        end: row.time(2)?,
        status: row.parsed(3, AppointmentStatus::parse)?,
        admitted: row.time_or_null(4)?.is_some(),
        email: row.text(5)?,
    })
}

impl Booked {
    /// With `from`, a visit that begins sooner stays as it is.
    fn may_change(&self, from: Option<Timestamp>) -> Result<(), Problem> {
        if self.status.is_over() {
            return Err(Problem::visit_over());
        }
        if self.admitted {
            let title = "The patient has been let in";
            return Err(Problem::new(StatusCode::CONFLICT, "visit-begun", title));
        }
        if from.is_some_and(|from| self.start < from) {
            let title = "It is too late to change this by yourself: please call the clinic";
            return Err(Problem::new(StatusCode::CONFLICT, "too-late-to-change", title));
        }
        Ok(())
    }

    /// What is free once it is elsewhere.
    const fn freed(&self) -> Freed {
        Freed { practitioner: self.practitioner, service: self.service, start: self.start }
    }

    fn view(&self) -> ChangedView {
        ChangedView { id: self.id, start: self.start, end: self.end, status: self.status }
    }
}

/// The hold becomes the appointment's; what it had is free again in the same commit.
async fn move_to(
    context: &Context<'_>,
    clinic: &Clinic,
    booked: Booked,
    to: &OtherTime,
) -> Result<ChangedView, Problem> {
    let held = hold::use_up(context, to.hold, &to.secret).await?;
    take(context, clinic, booked, to.hold, held).await
}

async fn take(
    context: &Context<'_>,
    clinic: &Clinic,
    booked: Booked,
    hold: HoldId,
    held: Held,
) -> Result<ChangedView, Problem> {
    let Held { practitioner, service, start, end, price: _, place } = held;
    if service != booked.service {
        // Another service has another price.
        return Err(Problem::invalid("/hold", "is of another service"));
    }
    let sql = "UPDATE appointment SET hold = ?, practitioner = ?, start_at = ?, end_at = ?, place = ?,
                 status = 'booked', arrived_at = NULL, sequence = sequence + 1,
                 patient_late_minutes = NULL, clinic_late_minutes = NULL
               WHERE clinic = ? AND id = ? AND status IN ('booked', 'arrived') AND admitted_at IS NULL";
    let values = params![hold, practitioner, start, end, place, &context.clinic, booked.id];
    changed_one(context.database().execute(sql, values).await?)?;
    invitation::send(context, clinic, &booked.email, booked.id, start, News::Moved).await?;
    waiting_list::forget(context, booked.id).await?;
    waiting_list::offer(context, clinic, &booked.freed()).await?;
    context.audit(Action::AppointmentMoved, Some(&booked.id));
    Ok(ChangedView { id: booked.id, start, end, status: AppointmentStatus::Booked })
}

async fn cancel(context: &Context<'_>, clinic: &Clinic, booked: Booked) -> Result<ChangedView, Problem> {
    let database = context.database();
    let sql = "UPDATE appointment SET status = 'cancelled', cancelled_at = ?, sequence = sequence + 1
               WHERE clinic = ? AND id = ? AND status IN ('booked', 'arrived') AND admitted_at IS NULL";
    changed_one(database.execute(sql, params![context.now, &context.clinic, booked.id]).await?)?;
    let sql = "UPDATE invoice SET cancelled_at = ? WHERE clinic = ? AND appointment = ?";
    database.execute(sql, params![context.now, &context.clinic, booked.id]).await?;
    invitation::call_off(context, clinic, &booked.email, booked.id, booked.start).await?;
    waiting_list::forget(context, booked.id).await?;
    waiting_list::offer(context, clinic, &booked.freed()).await?;
    context.audit(Action::AppointmentCancelled, Some(&booked.id));
    Ok(ChangedView { status: AppointmentStatus::Cancelled, ..booked.view() })
}

/// Somebody else was faster with something else.
fn changed_one(rows: u64) -> Result<(), Problem> {
    if rows == 1 {
        return Ok(());
    }
    Err(Problem::new(StatusCode::CONFLICT, "visit-changed", "This visit was changed meanwhile"))
}
