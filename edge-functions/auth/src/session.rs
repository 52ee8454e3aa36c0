//! Who is signed in, where else, and how to end that.

use http::header::SET_COOKIE;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::ids::SessionId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::sessions;
use serde::Serialize;

use crate::account::UserView;

#[derive(Serialize)]
struct SessionView {
    user: UserView,
    clinic: ClinicView,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClinicView {
    name: String,
    time_zone: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Elsewhere {
    id: SessionId,
    began_at: Timestamp,
    /// As the browser called itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// Where they last showed who they are, if that is known (ISO 3166-1).
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    /// Whether it is the one that asks.
    current: bool,
}

#[derive(Serialize)]
struct Sessions {
    sessions: Vec<Elsewhere>,
}

/// `GET /auth/session`.
pub(crate) async fn get_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let staff = context.staff()?;
    let clinic = context.clinic().await?;
    let user = UserView { id: staff.user, name: staff.name.open().clone(), roles: staff.roles.clone() };
    reply::ok(&SessionView { user, clinic: ClinicView { name: clinic.name, time_zone: clinic.time_zone } })
}

/// `DELETE /auth/session`.
pub(crate) async fn delete_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let user = context.staff()?.user;
    let cookie = context
        .transaction(async || {
            context.audit(Action::SignOut, Some(&user));
            sessions::end_staff(context).await
        })
        .await?;
    let mut reply = reply::no_content();
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

/// `GET /auth/sessions`: one's own, newest first.
pub(crate) async fn list_sessions(context: &Context<'_>) -> Result<Reply, Problem> {
    let staff = context.staff()?;
    let sql = "SELECT s.id, s.created_at, s.device, s.secret_hash = ?, s.country FROM session s
               WHERE s.clinic = ? AND s.user = ? AND s.ended_at IS NULL AND s.created_at > ? AND s.id IS NOT NULL
               ORDER BY s.created_at DESC LIMIT 100";
    let since = context.now - sessions::ABSOLUTE;
    let values = params![staff.session, &context.clinic, staff.user, since];
    let rows = context.database().query(sql, values).await?;
    let view = |row: &kit::database::Row| {
        Ok(Elsewhere {
            id: row.parsed(0, SessionId::parse)?,
            began_at: row.time(1)?,
            device: row.text_or_null(2)?,
            country: row.text_or_null(4)?,
            current: row.integer(3)? == 1,
        })
    };
    let sessions = rows.iter().map(view).collect::<Result<_, Problem>>()?;
    reply::ok(&Sessions { sessions })
}

/// `DELETE /auth/sessions`: all but the one that asks.
pub(crate) async fn delete_sessions(context: &Context<'_>) -> Result<Reply, Problem> {
    end_others(context).await?;
    Ok(reply::no_content())
}

/// Ends every session of whoever asks but this one.
pub(crate) async fn end_others(context: &Context<'_>) -> Result<(), Problem> {
    let staff = context.staff()?;
    let sql = "UPDATE session SET ended_at = ?
               WHERE clinic = ? AND user = ? AND secret_hash <> ? AND ended_at IS NULL";
    let values = params![context.now, &context.clinic, staff.user, staff.session];
    if context.database().execute(sql, values).await? > 0 {
        context.audit(Action::SessionsEnded, Some(&staff.user));
    }
    Ok(())
}

/// `DELETE /auth/sessions/{id}`. Ended is ended, also the second time.
pub(crate) async fn end_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let (staff, id) = (context.staff()?, context.path_id(SessionId::parse)?);
    let sql = "SELECT 1 FROM session WHERE clinic = ? AND user = ? AND id = ?";
    if context.database().query(sql, params![&context.clinic, staff.user, id]).await?.is_empty() {
        return Err(Problem::not_found("No such session of yours"));
    }
    let sql = "UPDATE session SET ended_at = ? WHERE clinic = ? AND user = ? AND id = ? AND ended_at IS NULL";
    context.database().execute(sql, params![context.now, &context.clinic, staff.user, id]).await?;
    context.audit(Action::SessionsEnded, Some(&staff.user));
    Ok(reply::no_content())
}
