//! Messages that did not go out, or of which nobody knows: for people.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form;
use kit::ids::{AppointmentId, MessageId};
use kit::outbox;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

/// As many as somebody can work through.
const MOST: i64 = 200;
/// What is sent once more is of use for so long.
const USEFUL: SignedDuration = SignedDuration::from_hours(24);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkView {
    time_zone: String,
    messages: Vec<MessageView>,
    /// There are more.
    more: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageView {
    id: MessageId,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
    channel: String,
    to: String,
    kind: String,
    state: String,
    reason: Option<String>,
    attempts: i64,
    /// A visit of whom it was to, where the address is corrected.
    appointment: Option<AppointmentId>,
    /// Nothing is left of it to send once more: a server had taken it, and then it came back.
    came_back: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution {
    action: Resolve,
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Resolve {
    /// Send it once more.
    Resend,
    /// It was seen to.
    Close,
}

#[derive(Serialize)]
struct ResolvedView {
    state: &'static str,
}

/// `GET /messages/work`.
pub async fn list_message_work(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let sql = "SELECT m.id, m.created_at, m.ended_at, m.channel, m.recipient, m.kind, m.state, m.reason, m.attempts,
                 (SELECT a.id FROM patient p JOIN appointment a ON a.clinic = p.clinic AND a.patient = p.id
                  WHERE p.clinic = m.clinic AND (p.id = m.patient OR lower(p.email) = lower(m.recipient))
                  ORDER BY a.start_at DESC, a.id LIMIT 1), m.body = '' AND m.link = ''
               FROM outbox_message m WHERE m.clinic = ? AND m.state IN ('failed', 'unknown', 'expired')
               ORDER BY m.created_at DESC, m.id DESC LIMIT ?";
    let mut rows = context.database().query(sql, params![&context.clinic, MOST + 1]).await?;
    let more = rows.len() as i64 > MOST;
    rows.truncate(MOST as usize);
    let messages = rows.iter().map(read).collect::<Result<_, _>>()?;
    context.audit(Action::MessageWorkRead, None);
    reply::ok(&WorkView { time_zone: context.clinic().await?.time_zone, messages, more })
}

fn read(row: &Row) -> Result<MessageView, DatabaseError> {
    Ok(MessageView {
        id: row.parsed(0, MessageId::parse)?,
        created_at: row.time(1)?,
        ended_at: row.time_or_null(2)?,
        channel: row.text(3)?,
        to: row.text(4)?,
        kind: row.text(5)?,
        state: row.text(6)?,
        reason: row.text_or_null(7)?,
        attempts: row.integer(8)?,
        appointment: row.text_or_null(9)?.and_then(|text| AppointmentId::parse(&text)),
        came_back: row.integer(10)? == 1,
    })
}

/// `POST /messages/work/{id}`. Sent once more only by a person's word, and that once for each.
pub async fn resolve_message(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(MessageId::parse)?;
    let Resolution { action } = match form::read(&context.request) {
        Ok(resolution) => resolution,
        // An id that is not here is told first.
        Err(problem) => return Err(find(context, id).await.map_or_else(|missing| missing, |_| problem)),
    };
    let (recipient, came_back) = find(context, id).await?;
    if came_back && action == Resolve::Resend {
        let title = "It came back, and nothing is kept of what a server has taken";
        return Err(Problem::new(StatusCode::CONFLICT, "came-back", title));
    }
    let (state, done) = match action {
        Resolve::Resend => ("waiting", Action::MessageResent),
        Resolve::Close => ("closed", Action::MessageClosed),
    };
    context
        .transaction(async || {
            // Whoever was claimed before has nothing more to say of it.
            let sql = "UPDATE outbox_message SET state = ?3, claim = NULL, claim_until = NULL, attempts = 0,
                         not_before = ?4, ended_at = ?5, useful_until = ?6
                       WHERE clinic = ?1 AND id = ?2 AND state IN ('failed', 'unknown', 'expired')";
            let resend = action == Resolve::Resend;
            let values = params![
                &context.clinic,
                id,
                state,
                context.now,
                (!resend).then_some(context.now),
                context.now + USEFUL
            ];
            if context.database().execute(sql, values).await? == 0 {
                return Err(Problem::not_found("No such message to see to"));
            }
            if resend {
                outbox::note_corrected(context, &recipient).await?;
            }
            context.audit(done, Some(&id));
            Ok(())
        })
        .await?;
    reply::ok(&ResolvedView { state })
}

async fn find(context: &Context<'_>, id: MessageId) -> Result<(String, bool), Problem> {
    let sql = "SELECT recipient, body = '' AND link = '' FROM outbox_message
               WHERE clinic = ? AND id = ? AND state IN ('failed', 'unknown', 'expired')";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such message to see to"))?;
    Ok((row.text(0)?, row.integer(1)? == 1))
}
