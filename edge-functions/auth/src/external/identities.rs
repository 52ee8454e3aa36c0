//! To which accounts elsewhere somebody's own is tied.

use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::database::Row;
use kit::ids::ProviderId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Serialize;

#[derive(Serialize)]
struct Identities {
    identities: Vec<IdentityView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct IdentityView {
    provider: ProviderId,
    name: String,
    linked_at: Timestamp,
}

/// `GET /auth/external-identities`.
pub(crate) async fn list(context: &Context<'_>) -> Result<Reply, Problem> {
    let sql = "SELECT i.provider, p.name, i.created_at
               FROM staff_identity i JOIN identity_provider p ON p.clinic = i.clinic AND p.id = i.provider
               WHERE i.clinic = ? AND i.user = ? ORDER BY p.name, p.id";
    let rows = context.database().query(sql, params![&context.clinic, context.staff()?.user]).await?;
    let read = |row: &Row| {
        let (provider, name) = (row.parsed(0, ProviderId::parse)?, row.text(1)?);
        Ok(IdentityView { provider, name, linked_at: row.time(2)? })
    };
    reply::ok(&Identities { identities: rows.iter().map(read).collect::<Result<_, Problem>>()? })
}

/// `DELETE /auth/external-identities/{id}`, by the provider's id.
pub(crate) async fn delete(context: &Context<'_>) -> Result<Reply, Problem> {
    let (provider, user) = (context.path_id(ProviderId::parse)?, context.staff()?.user);
    let sql = "DELETE FROM staff_identity WHERE clinic = ? AND provider = ? AND user = ?";
    if context.database().execute(sql, params![&context.clinic, provider, user]).await? == 0 {
        return Err(Problem::not_found("Your account is not tied to one of theirs"));
    }
    context.audit(Action::IdentityUnlinked, Some(&user));
    Ok(reply::no_content())
}
