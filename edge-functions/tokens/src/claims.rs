//! What a join token says, and its signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signer as _, SigningKey};
use jiff::{SignedDuration, Timestamp};
use kit::call;
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
            exp: call::expiry(now, end).as_second(),
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
        }
    }

    /// The compact JWS (RFC 7515 §7.1) with EdDSA (RFC 8037) by the key in `pem`.
    pub fn sign(&self, pem: &str, key_id: &str) -> Result<String, SignError> {
        let key = SigningKey::from_pkcs8_pem(pem).map_err(|_| SignError::Key)?;
        let part = |json: Result<Vec<u8>, serde_json::Error>| json.map(|json| URL_SAFE_NO_PAD.encode(json));
        let header = Header { alg: "EdDSA", typ: "JWT", kid: key_id };
        let header = part(serde_json::to_vec(&header)).map_err(SignError::Claims)?;
        let claims = part(serde_json::to_vec(self)).map_err(SignError::Claims)?;
        let message = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()).to_bytes());
        Ok(format!("{message}.{signature}"))
    }
}
