//! A clinic's administrator takes an app in, and shuts it out.

use http::{StatusCode, Uri};
use jiff::Timestamp;
use jsonwebtoken::jwk::JwkSet;
use kit::audit::Action;
use kit::context::Context;
use kit::database::Row;
use kit::form::{self, Name};
use kit::ids::ClientId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::scopes::{Level, Scopes};
use kit::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::client::Kind;
use super::{client_keys, keys};

/// Of one clinic.
const MOST: i64 = 200;
const MOST_URIS: usize = 10;
const MAX_URI: usize = 500;
const MAX_SCOPES: usize = 2_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewClient {
    name: Name,
    kind: Kind,
    #[serde(default)]
    redirect_uris: Vec<WebAddress>,
    launch_uri: Option<WebAddress>,
    scopes: String,
    jwks: Option<Json>,
    jwks_uri: Option<WebAddress>,
}

/// `https`, or `http` on the same machine.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct WebAddress(pub(crate) String);

impl TryFrom<String> for WebAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let refusal = "must be a web address: https, or http of localhost, without a fragment";
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic()) && text.len() <= MAX_URI;
        let uri = text.parse::<Uri>().ok().filter(|_| plain && !text.contains(['#', '\\', '*']));
        let fits = uri.as_ref().and_then(|uri| {
            let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
            let here = matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
            let named = !authority.as_str().contains('@') && !authority.host().is_empty();
            Some(named && (scheme == "https" || scheme == "http" && here))
        });
        if fits == Some(true) { Ok(Self(text)) } else { Err(refusal) }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    id: ClientId,
    /// Shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize)]
struct Clients {
    clients: Vec<ClientView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientView {
    id: ClientId,
    name: String,
    kind: String,
    redirect_uris: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    launch_uri: Option<String>,
    scopes: String,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
}

/// `GET /auth/oauth/clients`.
pub(crate) async fn list(context: &Context<'_>) -> Result<Reply, Problem> {
    context.audit(Action::AppsRead, None);
    let sql = "SELECT id, name, kind, redirect_uris, launch_uri, scopes, created_at, ended_at
               FROM app_client WHERE clinic = ? ORDER BY ended_at IS NOT NULL, name, id";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &Row| {
        Ok(ClientView {
            id: row.parsed(0, ClientId::parse)?,
            name: row.text(1)?,
            kind: row.text(2)?,
            redirect_uris: row.text(3)?.lines().map(str::to_owned).collect(),
            launch_uri: row.text_or_null(4)?,
            scopes: row.text(5)?,
            created_at: row.time(6)?,
            ended_at: row.time_or_null(7)?,
        })
    };
    reply::ok(&Clients { clients: rows.iter().map(read).collect::<Result<_, Problem>>()? })
}

/// `POST /auth/oauth/clients`.
pub(crate) async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let new: NewClient = form::read(&context.request)?;
    let scopes = scopes(&new.scopes, new.kind)?;
    let keys = keys_of(context, &new).await?;
    if new.redirect_uris.len() > MOST_URIS || new.redirect_uris.is_empty() && new.kind != Kind::Key {
        return Err(Problem::invalid("/redirectUris", "must be 1 to 10"));
    }
    let id = ClientId::new(context.now)?;
    let secret = if new.kind == Kind::Secret { Some(Secret::new::<32>()?) } else { None };
    let uris: Vec<&str> = new.redirect_uris.iter().map(|uri| uri.0.as_str()).collect();
    let sql = "INSERT INTO app_client (clinic, id, name, kind, secret_hash, jwks, jwks_uri, redirect_uris,
                                       launch_uri, scopes, created_at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11
               WHERE (SELECT count(*) FROM app_client WHERE clinic = ?1 AND ended_at IS NULL) < ?12";
    let values = params![
        &context.clinic,
        id,
        new.name.as_str(),
        new.kind.as_str(),
        secret.as_ref().map(Secret::hash),
        keys,
        new.jwks_uri.map(|uri| uri.0),
        uris.join("\n"),
        new.launch_uri.map(|uri| uri.0),
        scopes.to_string(),
        context.now,
        MOST
    ];
    context
        .transaction(async || {
            if context.database().execute(sql, values).await? == 0 {
                let title = "A clinic has 200 apps at most";
                return Err(Problem::new(StatusCode::CONFLICT, "too-many-apps", title));
            }
            // Whoever asks for the key set first finds one.
            keys::ready(context).await
        })
        .await?;
    context.audit(Action::AppRegistered, Some(&id));
    let secret = secret.map(|secret| secret.reveal().to_owned());
    reply::json(StatusCode::CREATED, &Made { id, secret })
}

/// `DELETE /auth/oauth/clients/{id}`. What it was granted opens nothing from the next request on.
pub(crate) async fn end(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(ClientId::parse)?;
    let sql = "SELECT 1 FROM app_client WHERE clinic = ? AND id = ?";
    if context.database().query(sql, params![&context.clinic, id]).await?.is_empty() {
        return Err(Problem::not_found("No such app"));
    }
    let sql = "UPDATE app_client SET ended_at = ? WHERE clinic = ? AND id = ? AND ended_at IS NULL";
    if context.database().execute(sql, params![context.now, &context.clinic, id]).await? > 0 {
        context.audit(Action::AppEnded, Some(&id));
    }
    Ok(reply::no_content())
}

/// Each word must mean something, and an app that cannot prove who it is does nothing by itself.
fn scopes(text: &str, kind: Kind) -> Result<Scopes, Problem> {
    let refusal = |detail: &str| Problem::invalid("/scopes", detail);
    let known = text.split(' ').all(|word| !Scopes::parse(word).is_empty());
    if text.len() > MAX_SCOPES || !known {
        return Err(refusal("must be scopes that this clinic knows, such as patient/Encounter.rs"));
    }
    let scopes = Scopes::parse(text);
    let by_itself = scopes.resources().iter().any(|scope| scope.level == Level::System);
    if by_itself && kind != Kind::Key {
        return Err(refusal("system/ is for apps with a key"));
    }
    Ok(scopes)
}

/// The keys, if they are given here. Where they are elsewhere they must be there now: a place that the network's
/// operator has not allowed would only be noticed when the app comes.
async fn keys_of(context: &Context<'_>, new: &NewClient) -> Result<Option<String>, Problem> {
    let unusable =
        |pointer| Problem::invalid(pointer, "must be public keys with a kid, P-384 or RSA of 2048 bit");
    match (new.kind, &new.jwks, &new.jwks_uri) {
        (Kind::Key, Some(given), None) => {
            let secret =
                given["keys"].as_array().is_some_and(|keys| keys.iter().any(|key| key.get("d").is_some()));
            let keys: JwkSet = serde_json::from_value(given.clone()).map_err(|_| unusable("/jwks"))?;
            if secret || !client_keys::are_usable(&keys) {
                return Err(unusable("/jwks"));
            }
            serde_json::to_string(&keys).map(Some).map_err(Problem::internal)
        }
        (Kind::Key, None, Some(place)) => {
            let keys = client_keys::fetch(context, &place.0).await;
            let detail = "has no answer: the operator must let the network ask there";
            let keys = keys.ok_or_else(|| Problem::invalid("/jwksUri", detail))?;
            if client_keys::are_usable(&keys) { Ok(None) } else { Err(unusable("/jwksUri")) }
        }
        (Kind::Key, ..) => Err(Problem::invalid("/jwks", "either jwks or jwksUri is needed")),
        (_, None, None) => Ok(None),
        _ => Err(Problem::invalid("/kind", "keys are for apps of the kind key")),
    }
}
