//! Whoever would come earlier is offered what gets free: the first who wants it, for a while, then it is anybody's.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::form::{self, Empty};
use kit::ids::{AppointmentId, HoldId, PractitionerId, ServiceId};
use kit::invitation::{self, News};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::Serialize;

use crate::catalogue;
use crate::holds;
use crate::slots::Plan;

/// How long an offer is kept for one person.
pub const OFFER: SignedDuration = SignedDuration::from_hours(2);
/// What begins sooner is offered to nobody: they could not come.
const NOTICE: SignedDuration = SignedDuration::from_hours(3);

/// A time that nobody has any more.
pub(crate) struct Freed {
    pub(crate) practitioner: PractitionerId,
    pub(crate) service: ServiceId,
    pub(crate) start: Timestamp,
}

/// Where a visit stands on the list.
#[derive(Serialize)]
pub(crate) struct Waits {
    /// What is offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<Offer>,
}

#[derive(Serialize)]
struct Offer {
    start: Timestamp,
    end: Timestamp,
    /// Until when it is kept.
    until: Timestamp,
}

/// `POST /scheduling/visit/waiting-list`. Twice is once.
pub async fn join(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let appointment = context.visitor()?.appointment;
    let sql = "INSERT INTO waiting_list (clinic, appointment, created_at)
               SELECT ?1, ?2, ?3 WHERE EXISTS (
                 SELECT 1 FROM appointment WHERE clinic = ?1 AND id = ?2 AND status = 'booked')
               ON CONFLICT (clinic, appointment) DO NOTHING";
    context.database().execute(sql, params![&context.clinic, appointment, context.now]).await?;
    context.audit(Action::WaitingListChanged, Some(&appointment));
    Ok(reply::no_content())
}

/// `DELETE /scheduling/visit/waiting-list`. What was offered is anybody's.
pub async fn leave(context: &Context<'_>) -> Result<Reply, Problem> {
    let appointment = context.visitor()?.appointment;
    context.transaction(async || forget(context, appointment).await).await?;
    context.audit(Action::WaitingListChanged, Some(&appointment));
    Ok(reply::no_content())
}

/// Inside a transaction: the visit is on no list, and what it was offered is free.
pub(crate) async fn forget(context: &Context<'_>, appointment: AppointmentId) -> Result<(), Problem> {
    let sql = "UPDATE hold SET expires_at = ?1
               WHERE clinic = ?2 AND used_at IS NULL AND expires_at > ?1 AND id IN (
                 SELECT offered_hold FROM waiting_list WHERE clinic = ?2 AND appointment = ?3)";
    context.database().execute(sql, params![context.now, &context.clinic, appointment]).await?;
    let sql = "DELETE FROM waiting_list WHERE clinic = ? AND appointment = ?";
    context.database().execute(sql, params![&context.clinic, appointment]).await?;
    Ok(())
}

/// What is offered to the visit now.
pub(crate) async fn offered(
    context: &Context<'_>,
    appointment: AppointmentId,
) -> Result<Option<HoldId>, Problem> {
    let sql = "SELECT offered_hold FROM waiting_list
               WHERE clinic = ? AND appointment = ? AND offered_until > ?";
    let rows = context.database().query(sql, params![&context.clinic, appointment, context.now]).await?;
    Ok(rows.first().map(|row| row.parsed(0, HoldId::parse)).transpose()?)
}

/// `None`: the visit is not on the list.
pub(crate) async fn waits(
    context: &Context<'_>,
    appointment: AppointmentId,
) -> Result<Option<Waits>, Problem> {
    let sql = "SELECT h.start_at, h.end_at, h.expires_at FROM waiting_list w
               LEFT JOIN hold h ON h.clinic = w.clinic AND h.id = w.offered_hold AND h.used_at IS NULL
                 AND h.expires_at > ?3
               WHERE w.clinic = ?1 AND w.appointment = ?2";
    let rows = context.database().query(sql, params![&context.clinic, appointment, context.now]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let offer = match row.time_or_null(0)? {
        Some(start) => Some(Offer { start, end: row.time(1)?, until: row.time(2)? }),
        None => None,
    };
    Ok(Some(Waits { offer }))
}

/// Inside the transaction that freed it: whoever has waited longest for this practitioner and service, and comes later
/// than that, is offered the time.
pub(crate) async fn offer(context: &Context<'_>, clinic: &Clinic, freed: &Freed) -> Result<(), Problem> {
    if freed.start < context.now + NOTICE {
        return Ok(());
    }
    let Some(service) = catalogue::service(context, freed.service).await? else { return Ok(()) };
    // Hours may have changed since it was booked.
    let plan = Plan::read(context, clinic).await?;
    let end = freed.start + SignedDuration::from_nanos(1);
    let mut slots = plan.hours.slots(service.shape, freed.start, end);
    slots.retain(|slot| slot.practitioner() == freed.practitioner);
    let Some(slot) = slots.first().copied() else { return Ok(()) };
    let sql = "SELECT w.appointment, t.email FROM waiting_list w
               JOIN appointment a ON a.clinic = w.clinic AND a.id = w.appointment
               JOIN patient t ON t.clinic = a.clinic AND t.id = a.patient
               WHERE w.clinic = ? AND a.practitioner = ? AND a.service = ? AND a.start_at > ?
                 AND a.status = 'booked' AND (w.offered_until IS NULL OR w.offered_until <= ?)
               ORDER BY w.created_at, w.appointment LIMIT 1";
    let values = params![&context.clinic, freed.practitioner, freed.service, freed.start, context.now];
    let rows = context.database().query(sql, values).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (waiter, email) = (row.parsed(0, AppointmentId::parse)?, row.text(1)?);
    let (id, until) = (HoldId::new(context.now)?, context.now + OFFER);
    // Nobody is told the secret: the offer is the visit's.
    let secret = Secret::new::<16>()?;
    if !holds::insert(context, (id, &secret, until), &service, slot, None).await? {
        return Ok(());
    }
    let sql =
        "UPDATE waiting_list SET offered_hold = ?, offered_until = ? WHERE clinic = ? AND appointment = ?";
    context.database().execute(sql, params![id, until, &context.clinic, waiter]).await?;
    invitation::send(context, clinic, &email, waiter, slot.start, News::Offered).await?;
    context.audit(Action::SlotOffered, Some(&waiter));
    Ok(())
}

/// There is no offer any more.
pub(crate) fn offer_gone() -> Problem {
    let title = "The offer is over: somebody else may have this time";
    Problem::new(StatusCode::GONE, "offer-over", title)
}
