//! Which app asks, and that it is the one (RFC 6749 §2.3, RFC 7523).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use jiff::SignedDuration;
use kit::context::Context;
use kit::ids::ClientId;
use kit::params;
use kit::secret::Secret;
use serde::Deserialize;

use super::Place;
use super::client::{Client, Kind};
use super::client_keys;
use super::jwt::{self, Audience, Seconds, Times};
use super::refusal::{Failed, Refusal, refused};
use super::request::Parameters;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Longest life of an assertion (SMART App Launch: five minutes).
const LONGEST: SignedDuration = SignedDuration::from_mins(5);
const MAX_JTI: usize = 255;

#[derive(Deserialize)]
struct Subject {
    sub: String,
}

#[derive(Deserialize)]
struct Assertion {
    iss: String,
    sub: String,
    aud: Audience,
    exp: Seconds,
    nbf: Option<Seconds>,
    iat: Option<Seconds>,
    jti: String,
}

/// What an app shows of itself.
enum Shown<'r> {
    Nothing(&'r str),
    Secret(String, String),
    Assertion(&'r str),
}

const UNKNOWN: Refusal = Refusal::new("invalid_client", "the app is not known, or did not prove who it is");

/// The app that asks. `seen` is told which one it says it is, for the audit.
pub(crate) async fn authenticate(
    context: &Context<'_>,
    given: &Parameters,
    seen: &mut Option<ClientId>,
) -> Result<Client, Failed> {
    let shown = shown(context, given)?;
    let id = match &shown {
        Shown::Nothing(id) => ClientId::parse(id),
        Shown::Secret(id, _) => ClientId::parse(id),
        Shown::Assertion(text) => {
            let subject = jsonwebtoken::dangerous::insecure_decode::<Subject>(text).ok();
            subject.and_then(|subject| ClientId::parse(&subject.claims.sub))
        }
    };
    *seen = id;
    let client = Client::find(context, id.ok_or(UNKNOWN)?).await?.ok_or(UNKNOWN)?;
    if given.get("client_id").is_some_and(|other| other != client.id.to_string()) {
        return Err(UNKNOWN.into());
    }
    match (&shown, client.kind) {
        (Shown::Nothing(_), Kind::Public) => {}
        (Shown::Secret(_, secret), Kind::Secret) => {
            // Hashes are compared: how far two of them agree says nothing of the secret.
            if client.secret_hash != Some(Secret::presented(secret).hash()) {
                return Err(UNKNOWN.into());
            }
        }
        (Shown::Assertion(text), Kind::Key) => assertion(context, &client, text).await?,
        _ => return Err(UNKNOWN.into()),
    }
    Ok(client)
}

fn shown<'r>(context: &Context<'_>, given: &'r Parameters) -> Result<Shown<'r>, Failed> {
    let basic = context.request.headers().get(AUTHORIZATION);
    let basic = basic.and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
    let basic = basic.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let (secret, assertion) = (given.get("client_secret"), given.get("client_assertion"));
    match (basic, secret, assertion) {
        (Some((_, text)), None, None) => {
            let (id, secret) = credentials(text).ok_or(UNKNOWN)?;
            Ok(Shown::Secret(id, secret))
        }
        (None, Some(secret), None) => {
            Ok(Shown::Secret(given.required("client_id")?.to_owned(), secret.to_owned()))
        }
        (None, None, Some(text)) if given.get("client_assertion_type") == Some(ASSERTION) => {
            Ok(Shown::Assertion(text))
        }
        (None, None, None) => Ok(Shown::Nothing(given.get("client_id").ok_or(UNKNOWN)?)),
        // RFC 6749 §2.3: one way only.
        _ => refused("invalid_request", "an app proves who it is in one way"),
    }
}

/// Form-encoded, then Base64 (RFC 6749 §2.3.1).
fn credentials(text: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded =
        |text: &str| form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned());
    Some((decoded(id)?, decoded(secret)?))
}

async fn assertion(context: &Context<'_>, client: &Client, text: &str) -> Result<(), Failed> {
    let keys = client_keys::of(context, client).await.ok_or(UNKNOWN)?;
    let said: Assertion = jwt::verify(text, &keys, &client_keys::ALGORITHMS).map_err(|_| UNKNOWN)?;
    let place = Place::of(context).await?;
    let own = client.id.to_string();
    let here = [place.endpoint("token"), place.issuer()].iter().any(|name| said.aud.holds(name));
    let jti = (1..=MAX_JTI).contains(&said.jti.len());
    let times = Times { exp: said.exp, nbf: said.nbf, iat: said.iat };
    let expires = times.check(context.now, LONGEST).map_err(|_| UNKNOWN)?;
    if said.iss != own || said.sub != own || !here || !jti {
        return Err(UNKNOWN.into());
    }
    let database = context.database();
    // One that has expired would be refused for that. The bound of skew stays on our side.
    let sql = "DELETE FROM app_assertion WHERE clinic = ? AND client = ? AND expires_at <= ?";
    let long_ago = context.now - LONGEST;
    database.execute(sql, params![&context.clinic, client.id, long_ago]).await?;
    let sql = "INSERT INTO app_assertion (clinic, client, jti_hash, expires_at) VALUES (?, ?, ?, ?)
               ON CONFLICT (clinic, client, jti_hash) DO NOTHING";
    let hash = Secret::presented(&said.jti).hash();
    match database.execute(sql, params![&context.clinic, client.id, hash, expires]).await? {
        0 => Err(UNKNOWN.into()),
        _ => Ok(()),
    }
}
