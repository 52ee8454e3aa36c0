//! What a browser is sent elsewhere with, and what it has to come back with.

use http::StatusCode;
use http::header::{HeaderValue, SET_COOKIE};
use jiff::SignedDuration;
use kit::context::Context;
use kit::cookies;
use kit::form;
use kit::ids::{ProviderId, UserId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::{Deserialize, Serialize};

use super::provider::Provider;
use crate::oauth::{Place, pkce};

/// How long somebody may take there.
const LIFE: SignedDuration = SignedDuration::from_mins(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    provider: ProviderId,
}

#[derive(Serialize)]
struct Begun {
    url: String,
}

/// A question that has no answer yet.
pub(super) struct Question {
    key: [u8; 32],
    state_hash: [u8; 32],
    pub(super) provider: ProviderId,
    pub(super) nonce: String,
    pub(super) verifier: String,
    /// Whose account is to be tied.
    pub(super) user: Option<UserId>,
}

/// `POST /auth/external-sign-ins`.
pub(crate) async fn sign_in(context: &Context<'_>) -> Result<Reply, Problem> {
    ask(context, None).await
}

/// `POST /auth/external-identities`.
pub(crate) async fn link(context: &Context<'_>) -> Result<Reply, Problem> {
    ask(context, Some(context.staff()?.user)).await
}

async fn ask(context: &Context<'_>, user: Option<UserId>) -> Result<Reply, Problem> {
    let wish: Wish = form::read(&context.request)?;
    let provider = Provider::find(context, wish.provider).await?;
    let provider = provider.ok_or_else(|| Problem::not_found("No such provider"))?;
    let (secret, state) = (Secret::new::<32>()?, Secret::new::<32>()?);
    let (nonce, verifier) = (Secret::new::<16>()?, Secret::new::<32>()?);
    let database = context.database();
    let sql = "DELETE FROM external_sign_in WHERE clinic = ? AND created_at <= ?";
    database.execute(sql, params![&context.clinic, context.now - LIFE]).await?;
    let sql = "INSERT INTO external_sign_in
                 (clinic, secret_hash, provider, state_hash, nonce, verifier, user, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![
        &context.clinic,
        secret.hash(),
        provider.id,
        state.hash(),
        nonce.reveal(),
        verifier.reveal(),
        user,
        context.now
    ];
    database.execute(sql, values).await?;

    let back = Place::of(context).await?.page("external");
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("response_type", "code"),
        ("client_id", provider.client_id.as_str()),
        ("redirect_uri", back.as_str()),
        ("scope", "openid"),
        ("state", state.reveal()),
        ("nonce", nonce.reveal()),
        ("code_challenge", pkce::challenge_of(&verifier).as_str()),
        ("code_challenge_method", "S256"),
    ]);
    let joint = if provider.authorization_endpoint.contains('?') { '&' } else { '?' };
    let url = format!("{}{joint}{}", provider.authorization_endpoint, query.finish());
    let mut reply = reply::json(StatusCode::CREATED, &Begun { url })?;
    let zone = context.variable("zone").await?;
    let cookie = cookies::set(cookies::EXTERNAL, secret.reveal(), &zone, &context.clinic);
    reply.headers_mut().insert(SET_COOKIE, cookie.map_err(Problem::internal)?);
    Ok(reply)
}

impl Question {
    /// The one that this browser carried away.
    pub(super) async fn of(context: &Context<'_>) -> Result<Option<Self>, Problem> {
        let Some(secret) = cookies::read(context.request.headers(), cookies::EXTERNAL) else {
            return Ok(None);
        };
        let key = Secret::presented(secret).hash();
        let sql = "SELECT state_hash, provider, nonce, verifier, user FROM external_sign_in
                   WHERE clinic = ? AND secret_hash = ? AND created_at > ?";
        let values = params![&context.clinic, key, context.now - LIFE];
        let rows = context.database().query(sql, values).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let user = row.text_or_null(4)?.is_some().then(|| row.parsed(4, UserId::parse)).transpose()?;
        Ok(Some(Self {
            key,
            state_hash: row.bytes::<32>(0)?,
            provider: row.parsed(1, ProviderId::parse)?,
            nonce: row.text(2)?,
            verifier: row.text(3)?,
            user,
        }))
    }

    /// Whether an answer is one to this question.
    pub(super) fn is_answered_by(&self, state: &str) -> bool {
        self.state_hash == Secret::presented(state).hash()
    }

    /// It is answered once, whatever the answer is. Whether this was the first.
    pub(super) async fn spend(&self, context: &Context<'_>) -> Result<bool, Problem> {
        let sql = "DELETE FROM external_sign_in WHERE clinic = ? AND secret_hash = ?";
        Ok(context.database().execute(sql, params![&context.clinic, self.key]).await? > 0)
    }
}

/// The cookie is not needed any more.
pub(super) async fn forget(context: &Context<'_>) -> Result<HeaderValue, Problem> {
    let zone = context.variable("zone").await?;
    cookies::clear(cookies::EXTERNAL, &zone, &context.clinic).map_err(Problem::internal)
}
