//! A slot that is kept for somebody, used up.

use http::StatusCode;
use jiff::Timestamp;

use crate::context::Context;
use crate::database::DatabaseError;
use crate::form::SecretText;
use crate::ids::{HoldId, PractitionerId, ServiceId};
use crate::money::{Currency, Money};
use crate::params;
use crate::problem::Problem;
use crate::secret::Secret;

/// What a hold was for.
#[derive(Debug)]
pub struct Held {
    /// Whose time.
    pub practitioner: PractitionerId,
    /// What is done in it.
    pub service: ServiceId,
    /// Its beginning.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// What it costs.
    pub price: Money,
    /// Which of the time's places.
    pub place: i64,
}

/// A hold with what has become of it.
struct Found {
    held: Held,
    used: bool,
    expires: Timestamp,
}

/// The same for a hold that was made for somebody who is known otherwise.
pub async fn use_up_offered(context: &Context<'_>, id: HoldId) -> Result<Held, Problem> {
    let secret = Secret::new::<16>()?;
    let sql = "UPDATE hold SET secret_hash = ? WHERE clinic = ? AND id = ? AND used_at IS NULL";
    context.database().execute(sql, params![secret.hash(), &context.clinic, id]).await?;
    used(context, id, secret.hash()).await
}

/// Uses the hold up, in one conditional statement: of two who come with it exactly one gets past it.
pub async fn use_up(context: &Context<'_>, id: HoldId, secret: &SecretText) -> Result<Held, Problem> {
    used(context, id, Secret::presented(secret.as_str()).hash()).await
}

async fn used(context: &Context<'_>, id: HoldId, hash: [u8; 32]) -> Result<Held, Problem> {
    let sql = "UPDATE hold SET used_at = ?1
               WHERE clinic = ?2 AND id = ?3 AND secret_hash = ?4 AND used_at IS NULL AND expires_at > ?1";
    let used = context.database().execute(sql, params![context.now, &context.clinic, id, hash]).await?;
    let found = find(context, id, Some(hash)).await?;
    if used == 0 {
        return Err(if found.used { already_used() } else { expired() });
    }
    Ok(found.held)
}

/// What a hold is for, while it can be used.
pub async fn look_at(context: &Context<'_>, id: HoldId, secret: &SecretText) -> Result<Held, Problem> {
    let found = find(context, id, Some(Secret::presented(secret.as_str()).hash())).await?;
    match found {
        Found { used: true, .. } => Err(already_used()),
        Found { expires, .. } if expires <= context.now => Err(expired()),
        Found { held, .. } => Ok(held),
    }
}

/// Whether somebody holds the secret of a hold, whatever has become of it.
pub async fn is_holder(context: &Context<'_>, id: HoldId, secret: &SecretText) -> Result<bool, Problem> {
    let sql = "SELECT 1 FROM hold WHERE clinic = ? AND id = ? AND secret_hash = ?";
    let hash = Secret::presented(secret.as_str()).hash();
    Ok(!context.database().query(sql, params![&context.clinic, id, hash]).await?.is_empty())
}

/// Keeps the slot until then at least, if nobody has used it.
pub async fn keep_until(context: &Context<'_>, id: HoldId, until: Timestamp) -> Result<(), Problem> {
    let sql = "UPDATE hold SET expires_at = max(expires_at, ?)
               WHERE clinic = ? AND id = ? AND used_at IS NULL AND expires_at > ?";
    context.database().execute(sql, params![until, &context.clinic, id, context.now]).await?;
    Ok(())
}

/// Uses up a hold that is paid for. It may have expired while the bank took its time: what counts is that nobody else
/// has its place, or its room, by now, and that it is to come. `None`: somebody has, or it is past.
pub async fn use_up_paid(context: &Context<'_>, id: HoldId) -> Result<Option<Held>, Problem> {
    let used = context.database().execute(USE_UP_PAID, params![context.now, &context.clinic, id]).await?;
    Ok(if used == 1 { Some(find(context, id, None).await?.held) } else { None })
}

/// Of a hold that still keeps its place only appointments are looked at, whatever made them. One that expired takes the
/// first place that is free.
const USE_UP_PAID: &str = "UPDATE hold SET used_at = ?1,
  place = CASE WHEN expires_at > ?1 THEN place ELSE (
    WITH same AS (
      SELECT o.place FROM hold o
      WHERE o.clinic = ?2 AND o.practitioner = hold.practitioner AND o.service = hold.service
        AND o.start_at = hold.start_at AND o.used_at IS NULL AND o.expires_at > ?1
      UNION ALL
      SELECT a.place FROM appointment a
      WHERE a.clinic = ?2 AND a.practitioner = hold.practitioner AND a.service = hold.service
        AND a.start_at = hold.start_at AND a.status IN ('booked', 'arrived', 'fulfilled'))
    SELECT min(n) FROM (SELECT 1 AS n UNION SELECT place + 1 FROM same)
    WHERE n NOT IN (SELECT place FROM same)) END
WHERE clinic = ?2 AND id = ?3 AND used_at IS NULL AND start_at > ?1
  AND (expires_at > ?1 OR (
    NOT EXISTS (
      SELECT 1 FROM hold o
      JOIN service s ON s.clinic = o.clinic AND s.id = o.service
      JOIN service w ON w.clinic = o.clinic AND w.id = hold.service
      WHERE o.clinic = ?2 AND (o.practitioner = hold.practitioner OR o.room = hold.room)
        AND o.start_at - 60000 * s.buffer_before_minutes < hold.end_at + 60000 * w.buffer_after_minutes
        AND o.end_at + 60000 * s.buffer_after_minutes > hold.start_at - 60000 * w.buffer_before_minutes
        AND NOT (o.practitioner = hold.practitioner AND o.service = hold.service
          AND o.start_at = hold.start_at AND o.end_at = hold.end_at AND o.site IS hold.site)
        AND o.used_at IS NULL AND o.expires_at > ?1)
    AND (
      (SELECT count(*) FROM hold o
       WHERE o.clinic = ?2 AND o.practitioner = hold.practitioner AND o.service = hold.service
         AND o.start_at = hold.start_at AND o.used_at IS NULL AND o.expires_at > ?1)
      + (SELECT count(*) FROM appointment a
         WHERE a.clinic = ?2 AND a.practitioner = hold.practitioner AND a.service = hold.service
           AND a.start_at = hold.start_at AND a.status IN ('booked', 'arrived', 'fulfilled'))
      < (SELECT capacity FROM service w WHERE w.clinic = ?2 AND w.id = hold.service))))
  AND NOT EXISTS (
    SELECT 1 FROM appointment a
    JOIN hold h ON h.clinic = a.clinic AND h.id = a.hold
    JOIN service s ON s.clinic = a.clinic AND s.id = a.service
    JOIN service w ON w.clinic = a.clinic AND w.id = hold.service
    WHERE a.clinic = ?2 AND (a.practitioner = hold.practitioner OR h.room = hold.room)
      AND a.start_at - 60000 * s.buffer_before_minutes < hold.end_at + 60000 * w.buffer_after_minutes
      AND a.end_at + 60000 * s.buffer_after_minutes > hold.start_at - 60000 * w.buffer_before_minutes
      AND NOT (w.capacity > 1 AND a.practitioner = hold.practitioner AND a.service = hold.service
        AND a.start_at = hold.start_at AND a.end_at = hold.end_at AND h.site IS hold.site)
      AND a.status IN ('booked', 'arrived', 'fulfilled'))";

/// A wrong secret and an unknown hold are not told apart.
async fn find(context: &Context<'_>, id: HoldId, secret_hash: Option<[u8; 32]>) -> Result<Found, Problem> {
    // By the minute, at first what the booked time comes to for two.
    let sql = "SELECT h.practitioner, h.service, h.start_at, h.end_at,
                 s.price_minor * CASE WHEN m.service IS NULL THEN 1 ELSE 2 * (h.end_at - h.start_at) / 60000 END,
                 s.currency, h.used_at, h.expires_at, h.place
               FROM hold h JOIN service s ON s.clinic = h.clinic AND s.id = h.service
               LEFT JOIN service_per_minute m ON m.clinic = s.clinic AND m.service = s.id
               WHERE h.clinic = ?1 AND h.id = ?2 AND (?3 IS NULL OR h.secret_hash = ?3)";
    let rows = context.database().query(sql, params![&context.clinic, id, secret_hash]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such hold"))?;
    let shape = DatabaseError::Shape { column: 4, wanted: "an amount of money" };
    let price = Money::from_minor(row.integer(4)?, row.parsed(5, Currency::parse)?).ok_or(shape)?;
    let held = Held {
        practitioner: row.parsed(0, PractitionerId::parse)?,
        service: row.parsed(1, ServiceId::parse)?,
        start: row.time(2)?,
        end: row.time(3)?,
        price,
        place: row.integer(8)?,
    };
    Ok(Found { held, used: row.time_or_null(6)?.is_some(), expires: row.time(7)? })
}

fn already_used() -> Problem {
    Problem::new(StatusCode::CONFLICT, "hold-used", "This hold was used already")
}

fn expired() -> Problem {
    Problem::new(StatusCode::GONE, "hold-expired", "This hold has expired")
}
