//! An app gets tokens (RFC 6749 §3.2).
//!
//! Everything is looked at before anything is spent: a request that is refused for what it asks for can be put right.
//! A code or refresh token that comes a second time is not the app's alone any more, and ends its grant.

use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::context::Context;
use kit::database::Row;
use kit::ids::{ClientId, EncounterId, GrantId, PatientId, UserId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::scopes::Scopes;
use kit::secret::Secret;
use serde::Serialize;

use super::client::{Client, Kind};
use super::client_auth;
use super::grant::{self, NewGrant};
use super::pkce;
use super::refusal::{Failed, Refusal, refused};
use super::request::Parameters;
use super::{Place, keys};

/// How long an id token holds: it says who signed in, not that they still are.
const ID_TOKEN: SignedDuration = SignedDuration::from_mins(10);

const BAD_GRANT: Refusal =
    Refusal::new("invalid_grant", "it is not known, was used, has expired, or is another app's");

/// RFC 6749 §5.1, with what SMART and OpenID Connect add.
#[derive(Serialize)]
struct Tokens {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<PatientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encounter: Option<EncounterId>,
    /// The app must show whose record it is: our page that did is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    need_patient_banner: Option<bool>,
}

/// OpenID Connect Core §2.
#[derive(Serialize)]
struct IdToken<'a> {
    iss: String,
    sub: UserId,
    aud: ClientId,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "fhirUser")]
    fhir_user: Option<String>,
}

/// A grant that lives, of a person who is still there.
struct Grant {
    id: GrantId,
    user: UserId,
    scopes: Scopes,
    patient: Option<PatientId>,
    encounter: Option<EncounterId>,
    auth_at: Option<Timestamp>,
}

/// `POST /auth/oauth/token`.
pub(crate) async fn create_token(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut seen = None;
    match answer(context, &mut seen).await {
        Ok(tokens) => reply::ok(&tokens),
        Err(failed) => failed.answer(context, seen),
    }
}

async fn answer(context: &Context<'_>, seen: &mut Option<ClientId>) -> Result<Tokens, Failed> {
    let given = Parameters::of_form(&context.request)?;
    let client = client_auth::authenticate(context, &given, seen).await?;
    match given.required("grant_type")? {
        "authorization_code" => by_code(context, &client, &given).await,
        "refresh_token" => by_refresh(context, &client, &given).await,
        "client_credentials" => by_itself(context, &client, &given).await,
        _ => refused("unsupported_grant_type", "use authorization_code, refresh_token or client_credentials"),
    }
}

async fn by_code(context: &Context<'_>, client: &Client, given: &Parameters) -> Result<Tokens, Failed> {
    let (verifier, uri) = (given.required("code_verifier")?, given.required("redirect_uri")?);
    let code = Secret::presented(given.required("code")?).hash();
    let sql = "SELECT k.redirect_uri, k.challenge, k.nonce, k.created_at, k.used_at, k.grant_id
               FROM app_code k JOIN app_grant g ON g.clinic = k.clinic AND g.id = k.grant_id
               WHERE k.clinic = ? AND k.code_hash = ? AND g.client = ?";
    let rows = context.database().query(sql, params![&context.clinic, code, client.id]).await?;
    let row = rows.first().ok_or(BAD_GRANT)?;
    let id = row.parsed(5, GrantId::parse)?;
    if row.time_or_null(4)?.is_some() {
        return reused(context, id).await;
    }
    let (challenge, nonce) = (row.bytes::<32>(1)?, row.text_or_null(2)?);
    if row.time(3)? <= context.now - grant::CODE
        || row.text(0)? != uri
        || !pkce::matches(verifier, &challenge)
    {
        return Err(BAD_GRANT.into());
    }
    let found = living(context, id).await?;
    let sql = "UPDATE app_code SET used_at = ? WHERE clinic = ? AND code_hash = ? AND used_at IS NULL";
    if context.database().execute(sql, params![context.now, &context.clinic, code]).await? == 0 {
        return reused(context, id).await;
    }
    let scopes = found.scopes.clone();
    issue(context, client, &found, &scopes, nonce.as_deref()).await
}

async fn by_refresh(context: &Context<'_>, client: &Client, given: &Parameters) -> Result<Tokens, Failed> {
    let token = Secret::presented(given.required("refresh_token")?).hash();
    let sql = "SELECT t.used_at, t.grant_id
               FROM app_refresh t JOIN app_grant g ON g.clinic = t.clinic AND g.id = t.grant_id
               WHERE t.clinic = ? AND t.token_hash = ? AND g.client = ?";
    let rows = context.database().query(sql, params![&context.clinic, token, client.id]).await?;
    let row = rows.first().ok_or(BAD_GRANT)?;
    let id = row.parsed(1, GrantId::parse)?;
    if row.time_or_null(0)?.is_some() {
        return reused(context, id).await;
    }
    let found = living(context, id).await?;
    let scopes = match given.get("scope") {
        None => found.scopes.clone(),
        Some(text) => {
            let asked = Scopes::parse(text);
            // What means nothing here is more than was granted, too.
            let all =
                text.split(' ').filter(|word| !word.is_empty()).all(|word| !Scopes::parse(word).is_empty());
            let within = asked.within(&found.scopes).filter(|_| all);
            within.ok_or(Refusal::new("invalid_scope", "that is more than was granted"))?
        }
    };
    let sql = "UPDATE app_refresh SET used_at = ? WHERE clinic = ? AND token_hash = ? AND used_at IS NULL";
    if context.database().execute(sql, params![context.now, &context.clinic, token]).await? == 0 {
        return reused(context, id).await;
    }
    issue(context, client, &found, &scopes, None).await
}

async fn by_itself(context: &Context<'_>, client: &Client, given: &Parameters) -> Result<Tokens, Failed> {
    if client.kind != Kind::Key {
        return refused("unauthorized_client", "an app that comes by itself proves itself by a key");
    }
    let scopes = Scopes::parse(given.required("scope")?).for_system(&client.scopes);
    if scopes.is_empty() {
        return refused("invalid_scope", "nothing of that is granted to this app by itself");
    }
    let new = NewGrant {
        client: client.id,
        user: None,
        scopes: scopes.clone(),
        patient: None,
        encounter: None,
        auth_at: None,
    };
    let id = grant::create(context, &new).await?;
    let access_token = grant::access(context, id, &scopes, grant::SYSTEM_ACCESS).await?;
    Ok(Tokens {
        access_token,
        token_type: "Bearer",
        expires_in: grant::SYSTEM_ACCESS.as_secs(),
        scope: scopes.to_string(),
        refresh_token: None,
        id_token: None,
        patient: None,
        encounter: None,
        need_patient_banner: None,
    })
}

/// Somebody else has it too.
async fn reused<T>(context: &Context<'_>, id: GrantId) -> Result<T, Failed> {
    grant::revoke(context, id, Action::AppTokenReused).await?;
    Err(BAD_GRANT.into())
}

/// The grant, unless it has ended, is too old, or its person has left.
async fn living(context: &Context<'_>, id: GrantId) -> Result<Grant, Failed> {
    let sql = "SELECT g.id, g.user, g.scopes, g.patient, g.encounter, g.auth_at
               FROM app_grant g JOIN staff_user u ON u.clinic = g.clinic AND u.id = g.user
               WHERE g.clinic = ? AND g.id = ? AND g.revoked_at IS NULL AND g.created_at > ? AND u.left_at IS NULL";
    let since = context.now - grant::OFFLINE;
    let rows = context.database().query(sql, params![&context.clinic, id, since]).await?;
    let row = rows.first().ok_or(BAD_GRANT)?;
    Ok(Grant {
        id,
        user: row.parsed(1, UserId::parse)?,
        scopes: Scopes::parse(&row.text(2)?),
        patient: optional(row, 3, PatientId::parse)?,
        encounter: optional(row, 4, EncounterId::parse)?,
        auth_at: row.time_or_null(5)?,
    })
}

fn optional<T>(row: &Row, column: usize, parse: fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let there = row.text_or_null(column)?.is_some();
    Ok(there.then(|| row.parsed(column, parse)).transpose()?)
}

async fn issue(
    context: &Context<'_>,
    client: &Client,
    found: &Grant,
    scopes: &Scopes,
    nonce: Option<&str>,
) -> Result<Tokens, Failed> {
    let access_token = grant::access(context, found.id, scopes, grant::ACCESS).await?;
    let refresh_token = match found.scopes.has("offline_access") {
        true => Some(grant::refresh(context, found.id).await?),
        false => None,
    };
    let id_token = match scopes.has("openid") {
        true => Some(id_token(context, client, found, nonce).await?),
        false => None,
    };
    Ok(Tokens {
        access_token,
        token_type: "Bearer",
        expires_in: grant::ACCESS.as_secs(),
        scope: scopes.to_string(),
        refresh_token,
        id_token,
        patient: found.patient,
        encounter: found.encounter,
        need_patient_banner: found.patient.is_some().then_some(true),
    })
}

async fn id_token(
    context: &Context<'_>,
    client: &Client,
    found: &Grant,
    nonce: Option<&str>,
) -> Result<String, Problem> {
    let place = Place::of(context).await?;
    let claims = IdToken {
        iss: place.issuer(),
        sub: found.user,
        aud: client.id,
        iat: context.now.as_second(),
        exp: (context.now + ID_TOKEN).as_second(),
        auth_time: found.auth_at.map(Timestamp::as_second),
        nonce,
        fhir_user: found.scopes.has("fhirUser").then(|| fhir_user(&place, found.user)),
    };
    keys::sign(context, &claims).await
}

/// The person as a FHIR resource.
pub(super) fn fhir_user(place: &Place, user: UserId) -> String {
    format!("{}/Practitioner/{user}", place.fhir())
}
