//! Keys that sign id tokens: ES384, each clinic its own.
//!
//! A new key is public for a day before it signs, and an old one for a day after it last did, so that whoever keeps a
//! copy of the key set for less than that never meets a token of a key that they do not have.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;
use p384::pkcs8::EncodePrivateKey as _;
use serde::Serialize;
use serde_json::Value as Json;

/// A key signs for so long.
pub(crate) const LIFE: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Before a key signs, and after it did, it is public for so long.
pub(crate) const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// A key could not be made or used. Never shows it.
#[derive(Debug, thiserror::Error)]
#[error("a key of id tokens cannot be used")]
struct KeyError;

#[derive(Serialize)]
struct KeySet {
    keys: Vec<Json>,
}

#[derive(Serialize)]
struct NewKey {
    kid: String,
}

struct Stored {
    id: String,
    created_at: Timestamp,
    signs_from: Timestamp,
}

/// `GET /auth/oauth/jwks`.
pub(crate) async fn get_jwks(context: &Context<'_>) -> Result<Reply, Problem> {
    let sql =
        "SELECT public_key FROM app_key WHERE clinic = ? AND retired_at IS NULL ORDER BY signs_from DESC";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &kit::database::Row| serde_json::from_str(&row.text(0)?).map_err(Problem::internal);
    reply::ok(&KeySet { keys: rows.iter().map(read).collect::<Result<_, Problem>>()? })
}

/// `POST /auth/oauth/keys`: for the day a key is known to somebody else.
pub(crate) async fn rotate(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let sql = "UPDATE app_key SET retired_at = ?, private_key = NULL WHERE clinic = ? AND retired_at IS NULL";
    context.database().execute(sql, params![context.now, &context.clinic]).await?;
    let kid = create(context, context.now).await?;
    context.audit(Action::KeysRotated, Some(&context.clinic));
    reply::json(StatusCode::CREATED, &NewKey { kid })
}

/// Signs `claims` as an id token, with the key whose turn it is.
pub(crate) async fn sign(context: &Context<'_>, claims: &impl Serialize) -> Result<String, Problem> {
    let kid = turn(context).await?;
    let sql = "SELECT private_key FROM app_key WHERE clinic = ? AND id = ? AND private_key IS NOT NULL";
    let rows = context.database().query(sql, params![&context.clinic, kid.as_str()]).await?;
    let key = rows.first().ok_or_else(|| Problem::internal(KeyError))?.blob(0)?;
    let header = Header { kid: Some(kid), ..Header::new(Algorithm::ES384) };
    let signed = jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&key));
    signed.map_err(|_| Problem::internal(KeyError))
}

/// Sees to it that there is a key.
pub(crate) async fn ready(context: &Context<'_>) -> Result<(), Problem> {
    turn(context).await.map(drop)
}

/// The key that signs now. Makes the next one when its time has come, and ends those whose time is over.
async fn turn(context: &Context<'_>) -> Result<String, Problem> {
    let (database, now) = (context.database(), context.now);
    let sql = "SELECT id, created_at, signs_from FROM app_key
               WHERE clinic = ? AND retired_at IS NULL ORDER BY signs_from DESC, id";
    let rows = database.query(sql, params![&context.clinic]).await?;
    let read = |row: &kit::database::Row| {
        Ok(Stored { id: row.text(0)?, created_at: row.time(1)?, signs_from: row.time(2)? })
    };
    let keys = rows.iter().map(read).collect::<Result<Vec<_>, Problem>>()?;
    let Some(newest) = keys.first() else { return create(context, now).await };
    if newest.created_at <= now - LIFE {
        create(context, now + OVERLAP).await?;
    }
    let current = keys.iter().position(|key| key.signs_from <= now).unwrap_or(keys.len() - 1);
    let current_since = keys[current].signs_from;
    if current_since <= now - OVERLAP {
        for over in &keys[current + 1..] {
            let sql = "UPDATE app_key SET retired_at = ?, private_key = NULL WHERE clinic = ? AND id = ?";
            database.execute(sql, params![now, &context.clinic, over.id.as_str()]).await?;
        }
    }
    Ok(keys[current].id.clone())
}

async fn create(context: &Context<'_>, signs_from: Timestamp) -> Result<String, Problem> {
    let error = || Problem::internal(KeyError);
    // Less than one in 2^190 is no key.
    let private = p384::SecretKey::from_slice(&secret::random::<48>()?).map_err(|_| error())?;
    let private = private.to_pkcs8_der().map_err(|_| error())?;
    let signing = EncodingKey::from_ec_der(private.as_bytes());
    let mut public = Jwk::from_encoding_key(&signing, Algorithm::ES384).map_err(|_| error())?;
    let kid = public.thumbprint(ThumbprintHash::SHA256).map_err(|_| error())?;
    public.common.key_id = Some(kid.clone());
    public.common.public_key_use = Some(PublicKeyUse::Signature);
    let public = serde_json::to_string(&public).map_err(Problem::internal)?;
    let sql = "INSERT INTO app_key (clinic, id, private_key, public_key, created_at, signs_from)
               VALUES (?, ?, ?, ?, ?, ?)";
    let values = params![&context.clinic, kid.as_str(), private.as_bytes(), public, context.now, signs_from];
    context.database().execute(sql, values).await?;
    Ok(kid)
}
