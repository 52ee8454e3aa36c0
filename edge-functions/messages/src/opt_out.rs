//! Somebody wants no more of the messages that they can do without.

use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::outbox;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::{Deserialize, Serialize};

const MAX_TOKEN_BYTES: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Of the link in a message.
    token: String,
    /// No more of them, or again.
    out: bool,
}

#[derive(Serialize)]
struct View {
    out: bool,
}

/// `POST /messages/opt-outs`. Codes, and what is asked for or was booked, come all the same.
pub async fn create_opt_out(context: &Context<'_>) -> Result<Reply, Problem> {
    let request: Request = form::read(&context.request)?;
    if request.token.len() > MAX_TOKEN_BYTES {
        return Err(Problem::not_found("No such link"));
    }
    let sql = "SELECT address_hash FROM opt_out_link WHERE clinic = ? AND token_hash = ?";
    let values = params![&context.clinic, Secret::presented(&request.token).hash()];
    let rows = context.database().query(sql, values).await?;
    let hash = rows.first().ok_or_else(|| Problem::not_found("No such link"))?.bytes::<32>(0)?;
    outbox::note_wish(context, hash, request.out).await?;
    context.audit(Action::OptedOut, None);
    reply::ok(&View { out: request.out })
}
