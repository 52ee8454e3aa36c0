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
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "UPDATE hold SET used_at = ?1
               WHERE clinic = ?2 AND id = ?3 AND secret_hash = ?4 AND used_at IS NULL AND expires_at > ?1";
    let used = database.execute(sql, params![context.now, clinic, id, hash]).await?;
    let sql = "SELECT h.practitioner, h.service, h.start_at, h.end_at, s.price_minor, s.currency, h.used_at
               FROM hold h JOIN service s ON s.clinic = h.clinic AND s.id = h.service
               WHERE h.clinic = ? AND h.id = ? AND h.secret_hash = ?";
    let rows = database.query(sql, params![clinic, id, hash]).await?;
    // A wrong secret and an unknown hold are not told apart.
    let row = rows.first().ok_or_else(|| Problem::not_found("No such hold"))?;
    if used == 0 {
        return Err(match row.time_or_null(6)? {
            Some(_) => Problem::new(StatusCode::CONFLICT, "hold-used", "This hold was used already"),
            None => Problem::new(StatusCode::GONE, "hold-expired", "This hold has expired"),
        });
    }
    let shape = DatabaseError::Shape { column: 4, wanted: "an amount of money" };
    let price = Money::from_minor(row.integer(4)?, row.parsed(5, Currency::parse)?).ok_or(shape)?;
    Ok(Held {
        practitioner: row.parsed(0, PractitionerId::parse)?,
        service: row.parsed(1, ServiceId::parse)?,
        start: row.time(2)?,
        end: row.time(3)?,
        price,
    })
}
