//! A patient has lost the link to a visit.

use http::StatusCode;
use jiff::SignedDuration;
use kit::audit::Action;
use kit::context::Context;
use kit::form::{self, Email};
use kit::ids::AppointmentId;
use kit::invitation::{self, News};
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::{Deserialize, Serialize};

/// Between two messages to the same address.
pub const PAUSE: SignedDuration = SignedDuration::from_mins(10);
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// A link is of use for so long after the planned end: visits overrun.
const AFTER_END: SignedDuration = SignedDuration::from_hours(12);
/// In one message each.
const MOST: i64 = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    email: Phi<Email>,
}

#[derive(Serialize)]
struct Accepted {}

/// `POST /messages/link-requests`. Whether the address is known can be told neither by the answer nor by the work: the
/// request is written down in both cases, and what follows happens in the same commit.
pub async fn create_link_request(context: &Context<'_>) -> Result<Reply, Problem> {
    let request: Request = form::read(&context.request)?;
    let clinic = context.clinic().await?;
    let address = request.email.open().as_str().to_ascii_lowercase();
    context
        .transaction(async || {
            context.audit(Action::LinkRequested, None);
            if !note(context, &address).await? {
                return Ok(());
            }
            let sql = "SELECT a.id, a.start_at, p.email
                       FROM patient p JOIN appointment a ON a.clinic = p.clinic AND a.patient = p.id
                       WHERE p.clinic = ? AND lower(p.email) = ? AND a.status IN ('booked', 'arrived')
                         AND a.end_at > ?
                       ORDER BY a.start_at LIMIT ?";
            let values = params![&context.clinic, address.as_str(), context.now - AFTER_END, MOST];
            for row in context.database().query(sql, values).await? {
                let appointment = row.parsed(0, AppointmentId::parse)?;
                let (email, start) = (row.text(2)?, row.time(1)?);
                invitation::send(context, &clinic, &email, appointment, start, News::Booked).await?;
            }
            Ok(())
        })
        .await?;
    reply::json(StatusCode::ACCEPTED, &Accepted {})
}

/// Whether it is time for a message to this address.
async fn note(context: &Context<'_>, address: &str) -> Result<bool, Problem> {
    let sql = "DELETE FROM link_request WHERE clinic = ? AND at <= ?";
    context.database().execute(sql, params![&context.clinic, context.now - REMEMBERED]).await?;
    let sql = "INSERT INTO link_request (clinic, email_hash, at) VALUES (?1, ?2, ?3)
               ON CONFLICT (clinic, email_hash) DO UPDATE SET at = ?3 WHERE at <= ?4";
    let hash = Secret::presented(address).hash();
    let values = params![&context.clinic, hash, context.now, context.now - PAUSE];
    Ok(context.database().execute(sql, values).await? > 0)
}
