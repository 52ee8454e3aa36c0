//! Passkeys (WebAuthn Level 3), checked by `webauthn-rs`: user verification required, any authenticator.
//!
//! The relying party is the network's zone, so a passkey works in every region. What a question was is kept in a
//! row until it is answered: nothing of it travels with the browser, and it is answered once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use jiff::Timestamp;
use kit::context::Context;
use kit::database::Row;
use kit::form::{self, Name};
use kit::ids::{PasskeyId, UserId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::sessions;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use webauthn_rs::prelude::{
    CreationChallengeResponse, Passkey, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, RequestChallengeResponse, Url, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::account::{Account, Factor};
use crate::factors;

/// Of one person.
const MOST: usize = 20;

/// A browser's answer to [`ask`].
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Assertion(PublicKeyCredential);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPasskey {
    name: Name,
    credential: RegisterPublicKeyCredential,
}

/// A passkey, for its owner.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    id: PasskeyId,
    name: String,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_at: Option<Timestamp>,
}

struct Stored {
    id: PasskeyId,
    credential: Passkey,
}

/// `POST /auth/passkeys/options`: what the browser is to ask the authenticator for a new passkey.
pub(crate) async fn options(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let account = Account::with_id(context, factors::owner(context)?).await?;
    let user = account.user.id;
    let known = stored(context, user).await?;
    if known.len() >= MOST {
        let title = "You have as many passkeys as one person can have";
        return Err(Problem::new(StatusCode::CONFLICT, "too-many-passkeys", title));
    }
    let handle = Uuid::parse_str(&user.to_string()).map_err(Problem::internal)?;
    let known = known.iter().map(|passkey| passkey.credential.cred_id().clone()).collect();
    let (question, state): (CreationChallengeResponse, PasskeyRegistration) = relying_party(context)
        .await?
        .start_passkey_registration(handle, &account.username, &account.user.name, Some(known))
        .map_err(Problem::internal)?;
    let state = serde_json::to_string(&state).map_err(Problem::internal)?;
    let sql = "INSERT INTO passkey_ceremony (clinic, user, state, created_at) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT (clinic, user) DO UPDATE SET state = ?3, created_at = ?4";
    context.database().execute(sql, params![&context.clinic, user, state, context.now]).await?;
    reply::json(StatusCode::CREATED, &question)
}

/// `POST /auth/passkeys`.
pub(crate) async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let given: NewPasskey = form::read(&context.request)?;
    let account = Account::with_id(context, factors::owner(context)?).await?;
    let user = account.user.id;
    let Some(state) = take_registration(context, user).await? else { return Err(not_asked()) };
    let registered = relying_party(context).await?.finish_passkey_registration(&given.credential, &state);
    let credential = registered.map_err(|_| wrong())?;
    let id = PasskeyId::new(context.now)?;
    let text = serde_json::to_string(&credential).map_err(Problem::internal)?;
    let sql = "INSERT INTO passkey (clinic, id, user, credential_id, name, credential, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let values = params![
        &context.clinic,
        id,
        user,
        credential_id(&credential),
        given.name.as_str(),
        text,
        context.now
    ];
    match context.database().execute(sql, values).await {
        Err(error) if error.is_duplicate_of("passkey.") => {
            let title = "This passkey is known already";
            return Err(Problem::new(StatusCode::CONFLICT, "passkey-exists", title));
        }
        other => other?,
    };
    let view = View { id, name: given.name.as_str().to_owned(), created_at: context.now, used_at: None };
    factors::added(context, &account, view).await
}

/// `DELETE /auth/passkeys/{id}`.
pub(crate) async fn delete(context: &Context<'_>) -> Result<Reply, Problem> {
    let (user, id) = (context.staff()?.user, context.path_id(PasskeyId::parse)?);
    context
        .transaction(async || {
            if !list(context, user).await?.iter().any(|passkey| passkey.id == id) {
                return Err(Problem::not_found("No such passkey of yours"));
            }
            factors::may_go(context, user, Factor::Passkey).await?;
            let sql = "DELETE FROM passkey WHERE clinic = ? AND user = ? AND id = ?";
            context.database().execute(sql, params![&context.clinic, user, id]).await?;
            Ok(factors::removed(context, user))
        })
        .await
}

/// Somebody's passkeys, oldest first.
pub(crate) async fn list(context: &Context<'_>, user: UserId) -> Result<Vec<View>, Problem> {
    let sql = "SELECT p.id, p.name, p.created_at, p.used_at FROM passkey p
               WHERE p.clinic = ? AND p.user = ? ORDER BY p.created_at, p.id";
    let rows = context.database().query(sql, params![&context.clinic, user]).await?;
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

/// What a passkey's answer completes, by its key.
#[derive(Clone, Copy)]
pub(crate) enum Ceremony {
    SignIn([u8; 32]),
    Session([u8; 32]),
}

impl Ceremony {
    /// The table whose row keeps the question, and the row.
    const fn row(self) -> (&'static str, [u8; 32]) {
        match self {
            Self::SignIn(key) => ("sign_in", key),
            Self::Session(key) => ("session", key),
        }
    }
}

/// What the browser is to ask the passkeys of `user`.
pub(crate) async fn ask(
    context: &Context<'_>,
    user: UserId,
    ceremony: Ceremony,
) -> Result<RequestChallengeResponse, Problem> {
    let known = stored(context, user).await?;
    if known.is_empty() {
        return Err(Problem::not_found("You have no passkey"));
    }
    let credentials: Vec<Passkey> = known.into_iter().map(|passkey| passkey.credential).collect();
    let relying_party = relying_party(context).await?;
    let (question, state) =
        relying_party.start_passkey_authentication(&credentials).map_err(Problem::internal)?;
    let state = serde_json::to_string(&state).map_err(Problem::internal)?;
    let (table, key) = ceremony.row();
    let sql = format!("UPDATE {table} SET ceremony = ? WHERE clinic = ? AND secret_hash = ?");
    context.database().execute(&sql, params![state, &context.clinic, key]).await?;
    Ok(question)
}

/// Whether `assertion` answers what was asked last for this; it was asked once.
pub(crate) async fn check(
    context: &Context<'_>,
    user: UserId,
    ceremony: Ceremony,
    assertion: &Assertion,
) -> Result<bool, Problem> {
    let (table, key) = ceremony.row();
    let key = params![&context.clinic, key];
    let sql =
        format!("SELECT ceremony FROM {table} WHERE clinic = ? AND secret_hash = ? AND ceremony IS NOT NULL");
    let rows = context.database().query(&sql, key.clone()).await?;
    let Some(row) = rows.first() else { return Err(not_asked()) };
    let state: PasskeyAuthentication = serde_json::from_str(&row.text(0)?).map_err(Problem::internal)?;
    let sql = format!(
        "UPDATE {table} SET ceremony = NULL WHERE clinic = ? AND secret_hash = ? AND ceremony IS NOT NULL"
    );
    if context.database().execute(&sql, key).await? == 0 {
        return Err(not_asked());
    }
    let Ok(result) = relying_party(context).await?.finish_passkey_authentication(&assertion.0, &state) else {
        return Ok(false);
    };
    let known = stored(context, user).await?;
    let Some(mut used) = known.into_iter().find(|known| known.credential.cred_id() == result.cred_id())
    else {
        return Ok(false);
    };
    // A counter that does not grow was refused above: the key may have been copied (WebAuthn §7.2, step 22).
    used.credential.update_credential(&result);
    let text = serde_json::to_string(&used.credential).map_err(Problem::internal)?;
    let sql = "UPDATE passkey SET credential = ?, used_at = ? WHERE clinic = ? AND id = ?";
    context.database().execute(sql, params![text, context.now, &context.clinic, used.id]).await?;
    Ok(true)
}

async fn stored(context: &Context<'_>, user: UserId) -> Result<Vec<Stored>, Problem> {
    let sql = "SELECT p.id, p.credential FROM passkey p WHERE p.clinic = ? AND p.user = ?";
    let rows = context.database().query(sql, params![&context.clinic, user]).await?;
    let read = |row: &Row| {
        let credential = serde_json::from_str(&row.text(1)?).map_err(Problem::internal)?;
        Ok(Stored { id: row.parsed(0, PasskeyId::parse)?, credential })
    };
    rows.iter().map(read).collect()
}

/// What was asked for the new passkey; nobody can answer it a second time.
async fn take_registration(
    context: &Context<'_>,
    user: UserId,
) -> Result<Option<PasskeyRegistration>, Problem> {
    let sql = "SELECT y.state FROM passkey_ceremony y WHERE y.clinic = ? AND y.user = ? AND y.created_at > ?";
    let since = context.now - sessions::SIGN_IN;
    let rows = context.database().query(sql, params![&context.clinic, user, since]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let state = row.text(0)?;
    let sql = "DELETE FROM passkey_ceremony WHERE clinic = ? AND user = ? AND state = ?";
    if context.database().execute(sql, params![&context.clinic, user, state.as_str()]).await? == 0 {
        return Ok(None);
    }
    serde_json::from_str(&state).map(Some).map_err(Problem::internal)
}

pub(crate) async fn relying_party(context: &Context<'_>) -> Result<Webauthn, Problem> {
    let (zone, origin) = (context.variable("zone").await?, context.variable("pages_origin").await?);
    let origin = Url::parse(&origin).map_err(Problem::internal)?;
    let build = || -> Result<Webauthn, WebauthnError> {
        // On one machine each region has a port of its own; the name, and the browser, say whose page it is.
        WebauthnBuilder::new(&zone, &origin)?.rp_name("Locum").allow_any_port(true).build()
    };
    build().map_err(Problem::internal)
}

/// Has the device keep who the passkey is for, so that it can be found without a name.
pub(crate) fn kept_on_device(question: &mut CreationChallengeResponse) {
    if let Some(wanted) = &mut question.public_key.authenticator_selection {
        // The library does not give the word's type a name that could be written here.
        wanted.resident_key = serde_json::from_str("\"required\"").ok();
        wanted.require_resident_key = true;
    }
}

/// As the browser writes it.
pub(crate) fn credential_id(passkey: &Passkey) -> String {
    id_text(passkey.cred_id())
}

/// The same for the id itself.
pub(crate) fn id_text(id: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

pub(crate) fn wrong() -> Problem {
    let title = "The passkey does not answer what was asked";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong-passkey", title)
}

pub(crate) fn not_asked() -> Problem {
    let title = "Nothing was asked of a passkey, or it was answered already: begin again";
    Problem::new(StatusCode::CONFLICT, "passkey-not-asked", title)
}
