//! Which apps somebody has let in, and how to shut them out.

use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::database::Row;
use kit::ids::GrantId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Serialize;

use super::grant;

#[derive(Serialize)]
struct Grants {
    grants: Vec<GrantView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GrantView {
    id: GrantId,
    /// The app's name.
    name: String,
    scopes: String,
    created_at: Timestamp,
    /// Whether it comes back without the person.
    offline: bool,
}

/// `GET /auth/oauth/grants`: one's own, newest first.
pub(crate) async fn list(context: &Context<'_>) -> Result<Reply, Problem> {
    let sql = "SELECT g.id, c.name, g.scopes, g.created_at
               FROM app_grant g JOIN app_client c ON c.clinic = g.clinic AND c.id = g.client
               WHERE g.clinic = ?1 AND g.user = ?2 AND g.revoked_at IS NULL AND c.ended_at IS NULL
                 AND (EXISTS (SELECT 1 FROM app_access t WHERE t.clinic = g.clinic AND t.grant_id = g.id
                              AND t.expires_at > ?3)
                      OR g.created_at > ?4 AND ' ' || g.scopes || ' ' LIKE '% offline_access %')
               ORDER BY g.created_at DESC, g.id DESC LIMIT 100";
    let since = context.now - grant::OFFLINE;
    let values = params![&context.clinic, context.staff()?.user, context.now, since];
    let rows = context.database().query(sql, values).await?;
    let read = |row: &Row| {
        let scopes = row.text(2)?;
        let offline = scopes.split(' ').any(|scope| scope == "offline_access");
        let (id, created_at) = (row.parsed(0, GrantId::parse)?, row.time(3)?);
        Ok(GrantView { id, name: row.text(1)?, scopes, created_at, offline })
    };
    reply::ok(&Grants { grants: rows.iter().map(read).collect::<Result<_, Problem>>()? })
}

/// `DELETE /auth/oauth/grants/{id}`. Ended is ended, also the second time.
pub(crate) async fn end(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(GrantId::parse)?;
    let sql = "SELECT 1 FROM app_grant WHERE clinic = ? AND user = ? AND id = ?";
    let values = params![&context.clinic, context.staff()?.user, id];
    if context.database().query(sql, values).await?.is_empty() {
        return Err(Problem::not_found("You let no such app in"));
    }
    grant::revoke(context, id, Action::AppRevoked).await?;
    Ok(reply::no_content())
}
