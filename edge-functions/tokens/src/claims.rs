//! What a join token says, and its signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::{SignedDuration, Timestamp};
use kit::call;
use kit::context::Context;
use kit::problem::Problem;
use serde::Serialize;

/// Who the token is for.
pub const AUDIENCE: &str = "locum-media";
/// How far the clocks of two nodes may be apart.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(10);

/// The claims: random ids and times, nothing about the people.
#[derive(Serialize)]
pub struct Claims<'a> {
    iss: &'a str,
    aud: &'static str,
    sub: &'a str,
    jti: &'a str,
    nbf: i64,
    exp: i64,
    video: Grants<'a>,
    sink: &'a str,
    /// Somebody else has joined the call before: a media node that takes no new calls takes this person.
    running: bool,
    /// The device that must prove itself with the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation<'a>>,
}

/// A proof-of-possession key by its RFC 7638 thumbprint (RFC 9449 §6.1).
#[derive(Serialize)]
struct Confirmation<'a> {
    jkt: &'a str,
}

/// What LiveKit's clients and our media node call the grants of a token.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grants<'a> {
    room_join: bool,
    room: &'a str,
    can_publish: bool,
    can_subscribe: bool,
    can_publish_data: bool,
    can_publish_sources: [&'static str; 3],
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

/// A token could not be signed. Never shows the key.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key is not an Ed25519 private key in PKCS#8 PEM.
    #[error("the signing key is not Ed25519 in PKCS#8 PEM")]
    Key,
    /// The claims did not become JSON.
    #[error("write the claims")]
    Claims(#[source] serde_json::Error),
}

/// The random names of one person in one call.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Of the room.
    pub room: &'a str,
    /// Of the person in it.
    pub participant: &'a str,
    /// Of what meters the call.
    pub sink: &'a str,
    /// Of this token.
    pub token: &'a str,
    /// Of the key of the person's device, if it has one.
    pub device: Option<&'a str>,
}

impl<'a> Claims<'a> {
    /// The claims of a participant of a call that is planned to end at `end`; `running`: others joined before.
    pub fn new(issuer: &'a str, names: Names<'a>, running: bool, now: Timestamp, end: Timestamp) -> Self {
        Self {
            iss: issuer,
            aud: AUDIENCE,
            sub: names.participant,
            jti: names.token,
            nbf: (now - CLOCK_SKEW).as_second(),
            exp: call::expiry(now, end, names.device.is_some()).as_second(),
            video: Grants {
                room_join: true,
                room: names.room,
                can_publish: true,
                can_subscribe: true,
                can_publish_data: true,
                can_publish_sources: ["camera", "microphone", "screen_share"],
            },
            sink: names.sink,
            running,
            cnf: names.device.map(|jkt| Confirmation { jkt }),
        }
    }
}

/// The key that signs, of one request.
pub struct Signer {
    key: SigningKey,
    id: String,
}

impl Signer {
    /// From the variables of the component.
    pub async fn of(context: &Context<'_>) -> Result<Self, Problem> {
        let id = context.variable("token_key_id").await?;
        let pem = context.variable("token_signing_key").await?;
        let key = SigningKey::from_pkcs8_pem(&pem).map_err(|_| Problem::internal(SignError::Key))?;
        Ok(Self { key, id })
    }

    /// `claims` as a compact JWS (RFC 7515 §7.1) with EdDSA (RFC 8037) that says what it is for.
    pub fn sign(&self, typ: &'static str, claims: &impl Serialize) -> Result<String, Problem> {
        let part = |json: Result<Vec<u8>, serde_json::Error>| {
            json.map(|json| URL_SAFE_NO_PAD.encode(json))
                .map_err(|error| Problem::internal(SignError::Claims(error)))
        };
        let header = part(serde_json::to_vec(&Header { alg: "EdDSA", typ, kid: &self.id }))?;
        let message = format!("{header}.{}", part(serde_json::to_vec(claims))?);
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(message.as_bytes()).to_bytes());
        Ok(format!("{message}.{signature}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    #[ignore = "a measurement, for docs/benchmarks.md"]
    #[allow(clippy::print_stdout, reason = "a measurement")]
    fn bench_mint() {
        const TOKENS: u32 = 20_000;
        let signer = Signer { key: SigningKey::from_bytes(&[7; 32]), id: "k".repeat(43) };
        let names = Names { room: "r", participant: "p", sink: "s", token: "t", device: None };
        let began = Instant::now();
        for second in 0..TOKENS {
            let now = Timestamp::from_second(second.into()).unwrap();
            let token = signer.sign("JWT", &Claims::new("edge-1", names, false, now, now)).unwrap();
            assert!(token.len() > 100);
        }
        println!(
            "{:.0} tokens minted a second, one thread",
            f64::from(TOKENS) / began.elapsed().as_secs_f64()
        );
    }
}
