//! An app asks what a token of its own is worth (RFC 7662), or gives it back (RFC 7009).
//!
//! Of another app's token both say what they say of one that never was.

use http::StatusCode;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::ids::{ClientId, GrantId, UserId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::Serialize;

use super::client::{Client, Kind};
use super::refusal::{Failed, refused};
use super::request::Parameters;
use super::{Place, client_auth, grant};

#[derive(Default, Serialize)]
struct State {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<String>,
}

/// `POST /auth/oauth/introspect`.
pub(crate) async fn introspect(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut seen = None;
    match state(context, &mut seen).await {
        Ok(state) => reply::ok(&state),
        Err(failed) => failed.answer(context, seen),
    }
}

async fn state(context: &Context<'_>, seen: &mut Option<ClientId>) -> Result<State, Failed> {
    let given = Parameters::of_form(&context.request)?;
    let client = client_auth::authenticate(context, &given, seen).await?;
    // RFC 7662 §2.1: whoever asks proves who they are.
    if client.kind == Kind::Public {
        return refused("invalid_client", "the app is not known, or did not prove who it is");
    }
    let hash = Secret::presented(given.required("token")?).hash();
    let sql = "SELECT x.scopes, x.created_at, x.expires_at, g.user, g.patient FROM (
                 SELECT t.clinic, t.grant_id, t.scopes, t.created_at, t.expires_at FROM app_access t
                 WHERE t.clinic = ?1 AND t.token_hash = ?2
                 UNION ALL
                 SELECT t.clinic, t.grant_id, NULL, t.created_at, NULL FROM app_refresh t
                 WHERE t.clinic = ?1 AND t.token_hash = ?2 AND t.used_at IS NULL) x
               JOIN app_grant g ON g.clinic = x.clinic AND g.id = x.grant_id
               LEFT JOIN staff_user u ON u.clinic = g.clinic AND u.id = g.user
               WHERE g.client = ?3 AND g.revoked_at IS NULL AND u.left_at IS NULL
                 AND coalesce(x.expires_at, g.created_at + ?4) > ?5";
    let offline = i64::try_from(grant::OFFLINE.as_millis()).unwrap_or(i64::MAX);
    let values = params![&context.clinic, hash, client.id, offline, context.now];
    let rows = context.database().query(sql, values).await?;
    let Some(row) = rows.first() else { return Ok(State::default()) };
    let access = row.time_or_null(2)?;
    let user = row.text_or_null(3)?.is_some().then(|| row.parsed(3, UserId::parse)).transpose()?;
    Ok(State {
        active: true,
        scope: row.text_or_null(0)?,
        client_id: Some(client.id),
        token_type: access.map(|_| "Bearer"),
        exp: access.map(Timestamp::as_second),
        iat: Some(row.time(1)?.as_second()),
        sub: user,
        iss: Some(Place::of(context).await?.issuer()),
        patient: row.text_or_null(4)?,
    })
}

/// `POST /auth/oauth/revoke`. A refresh token takes its whole grant along.
pub(crate) async fn revoke(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut seen = None;
    match end(context, &mut seen).await {
        Ok(()) => {
            let mut reply = reply::no_content();
            // RFC 7009 §2.2 wants 200, of a token that never was too.
            *reply.status_mut() = StatusCode::OK;
            Ok(reply)
        }
        Err(failed) => failed.answer(context, seen),
    }
}

async fn end(context: &Context<'_>, seen: &mut Option<ClientId>) -> Result<(), Failed> {
    let given = Parameters::of_form(&context.request)?;
    let client: Client = client_auth::authenticate(context, &given, seen).await?;
    let (database, hash) = (context.database(), Secret::presented(given.required("token")?).hash());
    let sql = "SELECT g.id FROM app_refresh t JOIN app_grant g ON g.clinic = t.clinic AND g.id = t.grant_id
               WHERE t.clinic = ? AND t.token_hash = ? AND g.client = ?";
    let rows = database.query(sql, params![&context.clinic, hash, client.id]).await?;
    if let Some(row) = rows.first() {
        grant::revoke(context, row.parsed(0, GrantId::parse)?, Action::AppRevoked).await?;
        return Ok(());
    }
    let sql = "DELETE FROM app_access WHERE clinic = ?1 AND token_hash = ?2 AND grant_id IN
                 (SELECT g.id FROM app_grant g WHERE g.clinic = ?1 AND g.client = ?3)";
    if database.execute(sql, params![&context.clinic, hash, client.id]).await? > 0 {
        context.audit(Action::AppRevoked, None);
    }
    Ok(())
}
