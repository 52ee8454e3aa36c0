//! A patient's passkeys: kept on the device with who they are for, so that nobody types an address to sign in, and
//! nobody is told whom the clinic knows.

use http::StatusCode;
use http::header::SET_COOKIE;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::database::Row;
use kit::form::{self, Name, SecretText};
use kit::ids::{AccountId, PasskeyId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use kit::sessions;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use webauthn_rs::prelude::{
    CreationChallengeResponse, DiscoverableAuthentication, DiscoverableKey, Passkey, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, RequestChallengeResponse,
};

use super::codes::SignedIn;
use super::enter;
use crate::factors::passkeys::{credential_id, id_text, kept_on_device, not_asked, relying_party, wrong};
use crate::throttle;

/// Of one patient.
const MOST: usize = 10;
/// Questions of one clinic that are not answered yet.
const MOST_REQUESTS: i64 = 10_000;

/// A passkey, for its owner.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    id: PasskeyId,
    name: String,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPasskey {
    name: Name,
    credential: RegisterPublicKeyCredential,
}

/// A question to whichever passkey somebody has.
#[derive(Serialize)]
struct Request {
    request: String,
    #[serde(flatten)]
    question: RequestChallengeResponse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    request: SecretText,
    credential: PublicKeyCredential,
}

/// `POST /auth/patient/passkeys/options`.
pub(crate) async fn options(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let account = context.person()?.account;
    let sql = "SELECT credential FROM patient_passkey WHERE clinic = ? AND account = ?";
    let rows = context.database().query(sql, params![&context.clinic, account]).await?;
    if rows.len() >= MOST {
        let title = "You have as many passkeys as one person can have";
        return Err(Problem::new(StatusCode::CONFLICT, "too-many-passkeys", title));
    }
    let known = rows.iter().map(|row| {
        let passkey: Passkey = serde_json::from_str(&row.text(0)?).map_err(Problem::internal)?;
        Ok(passkey.cred_id().clone())
    });
    let known = known.collect::<Result<Vec<_>, Problem>>()?;
    let handle = Uuid::parse_str(&account.to_string()).map_err(Problem::internal)?;
    // Shown by the device in its list: which clinic it is for, and nothing of the person.
    let name = context.clinic().await?.name;
    let (mut question, state): (CreationChallengeResponse, PasskeyRegistration) = relying_party(context)
        .await?
        .start_passkey_registration(handle, &name, &name, Some(known))
        .map_err(Problem::internal)?;
    kept_on_device(&mut question);
    let state = serde_json::to_string(&state).map_err(Problem::internal)?;
    let sql = "INSERT INTO patient_ceremony (clinic, account, state, created_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (clinic, account) DO UPDATE SET state = ?3, created_at = ?4";
    context.database().execute(sql, params![&context.clinic, account, state, context.now]).await?;
    context.audit(Action::AccountRead, Some(&account));
    reply::json(StatusCode::CREATED, &question)
}

/// `POST /auth/patient/passkeys`.
pub(crate) async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let given: NewPasskey = form::read(&context.request)?;
    let account = context.person()?.account;
    let Some(state) = take_registration(context, account).await? else { return Err(not_asked()) };
    let registered = relying_party(context).await?.finish_passkey_registration(&given.credential, &state);
    let credential = registered.map_err(|_| wrong())?;
    let (id, name) = (PasskeyId::new(context.now)?, given.name.as_str());
    let text = serde_json::to_string(&credential).map_err(Problem::internal)?;
    let sql = "INSERT INTO patient_passkey (clinic, id, account, credential_id, name, credential, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let values = params![&context.clinic, id, account, credential_id(&credential), name, text, context.now];
    match context.database().execute(sql, values).await {
        Err(error) if error.is_duplicate_of("patient_passkey.") => {
            let title = "This passkey is known already";
            return Err(Problem::new(StatusCode::CONFLICT, "passkey-exists", title));
        }
        other => other?,
    };
    context.audit(Action::PatientPasskeyAdded, Some(&account));
    let view = View { id, name: name.to_owned(), created_at: context.now, used_at: None };
    reply::json(StatusCode::CREATED, &view)
}

/// `DELETE /auth/patient/passkeys/{id}`. The code by mail stays as a way in.
pub(crate) async fn delete(context: &Context<'_>) -> Result<Reply, Problem> {
    let (account, id) = (context.person()?.account, context.path_id(PasskeyId::parse)?);
    let sql = "DELETE FROM patient_passkey WHERE clinic = ? AND account = ? AND id = ?";
    if context.database().execute(sql, params![&context.clinic, account, id]).await? == 0 {
        return Err(Problem::not_found("No such passkey of yours"));
    }
    context.audit(Action::PatientPasskeyRemoved, Some(&account));
    Ok(reply::no_content())
}

/// A patient's passkeys, oldest first.
pub(super) async fn list(context: &Context<'_>, account: AccountId) -> Result<Vec<View>, Problem> {
    let sql = "SELECT id, name, created_at, used_at FROM patient_passkey
               WHERE clinic = ? AND account = ? ORDER BY created_at, id";
    let rows = context.database().query(sql, params![&context.clinic, account]).await?;
    let view = |row: &Row| {
        Ok(View {
            id: row.parsed(0, PasskeyId::parse)?,
            name: row.text(1)?,
            created_at: row.time(2)?,
            used_at: row.time_or_null(3)?,
        })
    };
    rows.iter().map(view).collect()
}

/// `POST /auth/patient/passkey-requests`.
pub(crate) async fn create_request(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let (question, state): (RequestChallengeResponse, DiscoverableAuthentication) =
        relying_party(context).await?.start_discoverable_authentication().map_err(Problem::internal)?;
    let state = serde_json::to_string(&state).map_err(Problem::internal)?;
    let (clinic, database, secret) = (&context.clinic, context.database(), Secret::new::<16>()?);
    let sql = "DELETE FROM patient_passkey_request WHERE clinic = ? AND created_at <= ?";
    database.execute(sql, params![clinic, context.now - sessions::SIGN_IN]).await?;
    let sql = "INSERT INTO patient_passkey_request (clinic, secret_hash, state, created_at)
               SELECT ?1, ?2, ?3, ?4
               WHERE (SELECT count(*) FROM patient_passkey_request WHERE clinic = ?1) < ?5";
    let values = params![clinic, secret.hash(), state, context.now, MOST_REQUESTS];
    if database.execute(sql, values).await? == 0 {
        return Err(Problem::too_many_attempts(60));
    }
    reply::json(StatusCode::CREATED, &Request { request: secret.reveal().to_owned(), question })
}

/// `POST /auth/patient/passkey-sessions`.
pub(crate) async fn create_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let answer: Answer = form::read(&context.request)?;
    throttle::check(context).await?;
    let Some(state) = take_request(context, &answer.request).await? else { return Err(not_asked()) };
    let entered = match verified(context, &answer.credential, state).await? {
        Some(account) => Some(context.transaction(async || enter(context, account, None).await).await?),
        None => None,
    };
    let Some(cookie) = entered else {
        context.audit(Action::PatientSignInFailed, None);
        throttle::failed(context).await?;
        let title = "This passkey is nobody's here";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong-passkey", title));
    };
    let mut reply = reply::json(StatusCode::CREATED, &SignedIn {})?;
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

/// Whose passkey it is that answers rightly.
async fn verified(
    context: &Context<'_>,
    given: &PublicKeyCredential,
    state: DiscoverableAuthentication,
) -> Result<Option<AccountId>, Problem> {
    let sql = "SELECT id, account, credential FROM patient_passkey WHERE clinic = ? AND credential_id = ?";
    let id = id_text(given.get_credential_id());
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut passkey: Passkey = serde_json::from_str(&row.text(2)?).map_err(Problem::internal)?;
    let key = DiscoverableKey::from(&passkey);
    let relying_party = relying_party(context).await?;
    let Ok(result) = relying_party.finish_discoverable_authentication_v2(given, state, &key) else {
        return Ok(None);
    };
    passkey.update_credential(&result);
    let text = serde_json::to_string(&passkey).map_err(Problem::internal)?;
    let sql = "UPDATE patient_passkey SET credential = ?, used_at = ? WHERE clinic = ? AND id = ?";
    context.database().execute(sql, params![text, context.now, &context.clinic, row.text(0)?]).await?;
    Ok(Some(row.parsed(1, AccountId::parse)?))
}

/// What was asked; nobody can answer it a second time.
async fn take_request(
    context: &Context<'_>,
    request: &SecretText,
) -> Result<Option<DiscoverableAuthentication>, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let hash = Secret::presented(request.as_str()).hash();
    let sql =
        "SELECT state FROM patient_passkey_request WHERE clinic = ? AND secret_hash = ? AND created_at > ?";
    let rows = database.query(sql, params![clinic, hash, context.now - sessions::SIGN_IN]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let sql = "DELETE FROM patient_passkey_request WHERE clinic = ? AND secret_hash = ?";
    if database.execute(sql, params![clinic, hash]).await? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&row.text(0)?).map(Some).map_err(Problem::internal)
}

async fn take_registration(
    context: &Context<'_>,
    account: AccountId,
) -> Result<Option<PasskeyRegistration>, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "SELECT state FROM patient_ceremony WHERE clinic = ? AND account = ? AND created_at > ?";
    let rows = database.query(sql, params![clinic, account, context.now - sessions::SIGN_IN]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let state = row.text(0)?;
    let sql = "DELETE FROM patient_ceremony WHERE clinic = ? AND account = ? AND state = ?";
    if database.execute(sql, params![clinic, account, state.as_str()]).await? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&state).map(Some).map_err(Problem::internal)
}
