//! A slot is kept for ten minutes for somebody who is about to confirm.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use kit::clinic::Clinic;
use kit::context::Context;
use kit::form::{self, Instant};
use kit::ids::{HoldId, PractitionerId, ServiceId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::catalogue::{self, Practitioner, Service, ServiceName};
use crate::slots::{self, HORIZON, Slot};

/// How long a slot is kept.
pub const HOLD: SignedDuration = SignedDuration::from_mins(10);
/// How many other slots a loser is shown.
const ALTERNATIVES: usize = 5;
/// How far around the lost slot they are looked for, in days.
const ALTERNATIVE_DAYS: i64 = 7;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    service: ServiceId,
    practitioner: PractitionerId,
    start: Instant,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HoldView<'a> {
    id: HoldId,
    secret: &'a str,
    expires_at: Timestamp,
    start: Timestamp,
    end: Timestamp,
    practitioner: &'a Practitioner,
    service: ServiceName,
}

/// `POST /scheduling/holds`.
pub async fn create_hold(context: &Context<'_>) -> Result<Reply, Problem> {
    let wish: Wish = form::read(&context.request)?;
    let clinic = context.clinic().await?;
    let service = catalogue::service(context, wish.service).await?;
    let service = service.ok_or_else(|| Problem::not_found("No such service"))?;
    let practitioners = catalogue::practitioners(context).await?;
    let practitioner = practitioners.iter().find(|known| known.id == wish.practitioner);
    let practitioner = practitioner.ok_or_else(|| Problem::not_found("No such practitioner"))?;
    let slot = find_slot(context, &clinic, &service, &wish).await?;

    let (id, secret, expires_at) = (HoldId::new(context.now)?, Secret::new::<16>()?, context.now + HOLD);
    if !insert(context, id, &secret, &service, slot, expires_at).await? {
        return Err(taken(context, &clinic, &service, slot, &practitioners).await?);
    }
    let view = HoldView {
        id,
        secret: secret.reveal(),
        expires_at,
        start: slot.start,
        end: slot.end,
        practitioner,
        service: ServiceName { id: service.id, name: service.name },
    };
    reply::json(StatusCode::CREATED, &view)
}

/// The slot that the wish names, whether or not it is still free.
async fn find_slot(
    context: &Context<'_>,
    clinic: &Clinic,
    service: &Service,
    wish: &Wish,
) -> Result<Slot, Problem> {
    let refusal = || {
        let title = "This is not a time that can be booked";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-a-slot", title).member(
            "errors",
            serde_json::json!([{"pointer": "/start", "detail": "is no slot of this service"}]),
        )
    };
    let start = wish.start.0;
    if start <= context.now || start > context.now + HORIZON {
        return Err(refusal());
    }
    let mut openings = catalogue::openings(context).await?;
    openings.retain(|opening| opening.practitioner == wish.practitioner);
    let slots = slots::on_day(clinic, clinic.day_of(start), &openings, service.duration_minutes);
    slots.into_iter().find(|slot| slot.start == start).ok_or_else(refusal)
}

/// Takes the slot unless somebody has it: one statement, so that of many at once exactly one is told yes.
async fn insert(
    context: &Context<'_>,
    id: HoldId,
    secret: &Secret,
    service: &Service,
    slot: Slot,
    expires_at: Timestamp,
) -> Result<bool, Problem> {
    let inserted = context
        .database()
        .execute(
            "INSERT INTO hold
               (clinic, id, secret_hash, practitioner, service, start_at, end_at, created_at, expires_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
             WHERE NOT EXISTS (
               SELECT 1 FROM hold
               WHERE clinic = ?1 AND practitioner = ?4 AND start_at < ?7 AND end_at > ?6
                 AND used_at IS NULL AND expires_at > ?8)
             AND NOT EXISTS (
               SELECT 1 FROM appointment
               WHERE clinic = ?1 AND practitioner = ?4 AND start_at < ?7 AND end_at > ?6
                 AND status IN ('booked', 'arrived', 'fulfilled'))",
            params![
                &context.clinic,
                id,
                secret.hash(),
                slot.practitioner,
                service.id,
                slot.start,
                slot.end,
                context.now,
                expires_at
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// The answer to a loser: the nearest slots that are still free, the same practitioner's first among equals.
async fn taken(
    context: &Context<'_>,
    clinic: &Clinic,
    service: &Service,
    lost: Slot,
    practitioners: &[Practitioner],
) -> Result<Problem, Problem> {
    let day = clinic.day_of(lost.start);
    let from = day.checked_sub(ALTERNATIVE_DAYS.days()).unwrap_or(day);
    let mut free = slots::free(context, clinic, service, from, 2 * ALTERNATIVE_DAYS, None).await?;
    free.sort_by_key(|slot| {
        let apart = slot.start.duration_since(lost.start).abs();
        (apart, slot.practitioner != lost.practitioner)
    });
    free.truncate(ALTERNATIVES);
    let alternatives = serde_json::to_value(slots::views(&free, practitioners)).map_err(Problem::internal)?;
    let title = "Somebody else was faster";
    Ok(Problem::new(StatusCode::CONFLICT, "slot-taken", title).member("alternatives", alternatives))
}
