//! The outbox, which a demonstration shows instead of sending.

use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::ids::MessageId;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::Serialize;

/// As much as a console can show.
const MAX_MESSAGES: i64 = 200;

#[derive(Serialize)]
struct OutboxView {
    messages: Vec<MessageView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageView {
    id: MessageId,
    created_at: Timestamp,
    to: String,
    subject: String,
    body: String,
    link: String,
}

/// `GET /messages/outbox`. It shows links that open visits, so only a demonstration has it.
pub async fn list_outbox(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    if context.variable("demo").await? != "true" {
        return Err(Problem::no_route());
    }
    let sql = "SELECT id, created_at, recipient, subject, body, link FROM outbox_message
               WHERE clinic = ? ORDER BY created_at DESC, id DESC LIMIT ?";
    let rows = context.database().query(sql, params![&context.clinic, MAX_MESSAGES]).await?;
    let messages = rows.iter().map(read).collect::<Result<_, _>>()?;
    context.audit(Action::OutboxRead, None);
    reply::ok(&OutboxView { messages })
}

fn read(row: &Row) -> Result<MessageView, DatabaseError> {
    Ok(MessageView {
        id: row.parsed(0, MessageId::parse)?,
        created_at: row.time(1)?,
        to: row.text(2)?,
        subject: row.text(3)?,
        body: row.text(4)?,
        link: row.text(5)?,
    })
}
