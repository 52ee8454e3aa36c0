//! A slot is kept for ten minutes for somebody who is about to confirm.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use kit::clinic::Clinic;
use kit::context::Context;
use kit::form::{self, Instant, Jurisdiction};
use kit::ids::{HoldId, PractitionerId, ServiceId, SiteId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::catalogue::{self, Practitioner, Service, ServiceName};
use crate::licence;
use crate::openings::Slot;
use crate::slots::{self, Filter, Free, HORIZON, MAX_BUFFER, Plan, SiteName};

/// How long a slot is kept.
pub const HOLD: SignedDuration = SignedDuration::from_mins(10);
/// How many other slots a loser is shown.
const ALTERNATIVES: usize = 5;
/// How far around the lost slot they are looked for, in days.
const ALTERNATIVE_DAYS: i64 = 7;
/// No visit takes longer than a day: what began before that is over.
const LONGEST_VISIT: SignedDuration = SignedDuration::from_hours(24);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    service: ServiceId,
    /// `None`: whoever is free.
    practitioner: Option<PractitionerId>,
    site: Option<SiteId>,
    start: Instant,
    /// Where the patient will be.
    location: Option<Jurisdiction>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<SiteName>,
}

/// `POST /scheduling/holds`.
pub async fn create_hold(context: &Context<'_>) -> Result<Reply, Problem> {
    let wish: Wish = form::read(&context.request)?;
    let clinic = context.clinic().await?;
    if !clinic.is_open {
        let title = "This clinic does not take bookings yet";
        return Err(Problem::new(StatusCode::CONFLICT, "not-open", title));
    }
    let service = catalogue::service(context, wish.service).await?;
    let service = service.ok_or_else(|| Problem::not_found("No such service"))?;
    let plan = Plan::read(context, &clinic).await?;
    if wish.practitioner.is_some_and(|id| !plan.practitioners.iter().any(|known| known.id == id)) {
        return Err(Problem::not_found("No such practitioner"));
    }
    let mut candidates = find_slots(context, &clinic, &plan, &service, &wish).await?;
    if let Some(licensed) = licence::licensed(context, &clinic, wish.location.as_ref(), wish.start.0).await? {
        candidates.retain(|slot| licensed.contains(&slot.practitioner()));
        if candidates.is_empty() {
            return Err(licence::not_licensed());
        }
    }
    let location = wish.location.as_ref();

    let (id, secret, expires_at) = (HoldId::new(context.now)?, Secret::new::<16>()?, context.now + HOLD);
    for &slot in &candidates {
        if insert(context, (id, &secret, expires_at), &service, slot, location).await? {
            let practitioner = plan.practitioners.iter().find(|known| known.id == slot.practitioner());
            let view = HoldView {
                id,
                secret: secret.reveal(),
                expires_at,
                start: slot.start,
                end: slot.end,
                practitioner: practitioner.ok_or_else(|| Problem::not_found("No such practitioner"))?,
                service: ServiceName { id: service.id, name: service.name },
                site: plan.site_name(slot.site),
            };
            return reply::json(StatusCode::CREATED, &view);
        }
    }
    let lost = candidates.first().copied().ok_or_else(not_a_slot)?;
    Err(taken(context, &clinic, &service, lost, &plan).await?)
}

fn not_a_slot() -> Problem {
    let title = "This is not a time that can be booked";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-a-slot", title)
        .member("errors", serde_json::json!([{"pointer": "/start", "detail": "is no slot of this service"}]))
}

/// The slots that the wish names, whether or not they are still free. Where it is all the same with whom, those first
/// who have least to do on that day: so everybody gets their turn.
async fn find_slots(
    context: &Context<'_>,
    clinic: &Clinic,
    plan: &Plan,
    service: &Service,
    wish: &Wish,
) -> Result<Vec<Slot>, Problem> {
    let start = wish.start.0;
    if start <= context.now || start > context.now + HORIZON {
        return Err(not_a_slot());
    }
    let filter = Filter { practitioner: wish.practitioner, site: wish.site };
    let mut slots = plan.hours.slots(service.shape, start, start + SignedDuration::from_nanos(1));
    slots.retain(|slot| filter.allows(slot));
    if slots.is_empty() {
        return Err(not_a_slot());
    }
    if wish.practitioner.is_none() {
        let busy = visits_of_day(context, clinic, start).await?;
        let visits = |slot: &Slot| busy.iter().filter(|who| **who == slot.practitioner()).count();
        slots.sort_by_key(visits);
    }
    if service.capacity > 1 {
        // A group that has begun to fill is filled first.
        let taken = slots::taken(context, start, start + LONGEST_VISIT).await?;
        let wanted = service.wanted(&plan.rooms);
        slots.sort_by_key(|slot| match slot.places_left(&wanted, &taken) {
            0 => usize::MAX,
            left => left,
        });
    }
    Ok(slots)
}

/// Whose visits and holds the day of `start` has, once for each.
async fn visits_of_day(
    context: &Context<'_>,
    clinic: &Clinic,
    start: Timestamp,
) -> Result<Vec<PractitionerId>, Problem> {
    let day = clinic.day_of(start);
    let next = day.tomorrow().ok().and_then(|next| clinic.start_of(next));
    let (from, until) = (clinic.start_of(day).unwrap_or(start), next.unwrap_or(start));
    let sql = "SELECT practitioner FROM appointment
               WHERE clinic = ?1 AND start_at >= ?2 AND start_at < ?3 AND status <> 'cancelled'
               UNION ALL
               SELECT practitioner FROM hold
               WHERE clinic = ?1 AND start_at >= ?2 AND start_at < ?3 AND used_at IS NULL AND expires_at > ?4";
    let rows = context.database().query(sql, params![&context.clinic, from, until, context.now]).await?;
    Ok(rows.iter().map(|row| row.parsed(0, PractitionerId::parse)).collect::<Result<_, _>>()?)
}

/// Takes a place of the slot unless others have them all: one statement, so that of many at once no more are told yes
/// than there are places. What it says is what [`Slot::places_left`] says.
pub(crate) async fn insert(
    context: &Context<'_>,
    (id, secret, expires_at): (HoldId, &Secret, Timestamp),
    service: &Service,
    slot: Slot,
    location: Option<&Jurisdiction>,
) -> Result<bool, Problem> {
    let inserted = context
        .database()
        .execute(
            INSERT,
            params![
                &context.clinic,
                id,
                secret.hash(),
                slot.practitioner(),
                service.id,
                slot.start,
                slot.end,
                context.now,
                expires_at,
                slot.site,
                slot.busy.from,
                slot.busy.until,
                slot.busy.from - LONGEST_VISIT - MAX_BUFFER,
                slot.busy.until + MAX_BUFFER,
                location.map(Jurisdiction::as_str),
                service.capacity,
                u32::from(service.needs_room)
            ],
        )
        .await?;
    Ok(inserted == 1)
}

/// `others`: who has something of the practitioner's time. `same`: those of them who are in the same session.
const INSERT: &str = "INSERT INTO hold
  (clinic, id, secret_hash, practitioner, service, start_at, end_at, created_at, expires_at, site,
   patient_location, place, room)
WITH
others AS (
  SELECT t.service = ?5 AND t.start_at = ?6 AND t.end_at = ?7 AND t.site IS ?10 AS is_same, t.place, t.room
  FROM (
    SELECT h.clinic, h.service, h.start_at, h.end_at, h.site, h.place, h.room FROM hold h
    WHERE h.clinic = ?1 AND h.practitioner = ?4 AND h.start_at > ?13 AND h.start_at < ?14
      AND h.used_at IS NULL AND h.expires_at > ?8
    UNION ALL
    SELECT a.clinic, a.service, a.start_at, a.end_at, h.site, a.place, h.room
    FROM appointment a JOIN hold h ON h.clinic = a.clinic AND h.id = a.hold
    WHERE a.clinic = ?1 AND a.practitioner = ?4 AND a.start_at > ?13 AND a.start_at < ?14
      AND a.status IN ('booked', 'arrived', 'fulfilled')
  ) t JOIN service s ON s.clinic = t.clinic AND s.id = t.service
  WHERE t.start_at - 60000 * s.buffer_before_minutes < ?12
    AND t.end_at + 60000 * s.buffer_after_minutes > ?11
),
same AS (SELECT place, room FROM others WHERE is_same),
occupied AS (
  SELECT h.room FROM hold h JOIN service s ON s.clinic = h.clinic AND s.id = h.service
  WHERE h.clinic = ?1 AND h.room IS NOT NULL AND h.start_at > ?13 AND h.start_at < ?14
    AND h.start_at - 60000 * s.buffer_before_minutes < ?12
    AND h.end_at + 60000 * s.buffer_after_minutes > ?11
    AND ((h.used_at IS NULL AND h.expires_at > ?8) OR EXISTS (
      SELECT 1 FROM appointment a
      WHERE a.clinic = h.clinic AND a.hold = h.id AND a.status IN ('booked', 'arrived', 'fulfilled')))
),
chosen AS (
  SELECT CASE WHEN ?17 THEN coalesce(
    (SELECT room FROM same WHERE room IS NOT NULL LIMIT 1),
    (SELECT r.id FROM site_room r
     WHERE r.clinic = ?1 AND r.site = ?10 AND r.removed_at IS NULL AND r.id NOT IN (SELECT room FROM occupied)
     ORDER BY r.key, r.id LIMIT 1)) END AS room
)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?15,
  (SELECT min(n) FROM (SELECT 1 AS n UNION SELECT place + 1 FROM same)
   WHERE n NOT IN (SELECT place FROM same)),
  chosen.room
FROM chosen
WHERE NOT EXISTS (SELECT 1 FROM others WHERE NOT is_same)
  AND (SELECT count(*) FROM same) < ?16 AND (NOT ?17 OR chosen.room IS NOT NULL)";

/// The answer to a loser: the nearest slots that are still free, the same practitioner's first among equals.
async fn taken(
    context: &Context<'_>,
    clinic: &Clinic,
    service: &Service,
    lost: Slot,
    plan: &Plan,
) -> Result<Problem, Problem> {
    let day = clinic.day_of(lost.start);
    let from = day.checked_sub(ALTERNATIVE_DAYS.days()).unwrap_or(day);
    let days = (from, 2 * ALTERNATIVE_DAYS);
    let mut free = slots::free(context, clinic, plan, service, days, Filter::default()).await?;
    free.sort_by_key(|Free { slot, .. }| {
        let apart = slot.start.duration_since(lost.start).abs();
        (apart, slot.practitioner() != lost.practitioner())
    });
    free.truncate(ALTERNATIVES);
    let alternatives = serde_json::to_value(plan.views(service, &free)).map_err(Problem::internal)?;
    let title = "Somebody else was faster";
    Ok(Problem::new(StatusCode::CONFLICT, "slot-taken", title).member("alternatives", alternatives))
}
