//! Join tokens, verified offline with the keys the edge hosts publish.
//!
//! Pure: keys and time come in. A token is a JWT signed with EdDSA and nothing else (RFC 8725 §3.1): the
//! algorithm is fixed here, never taken from the token.

mod keys;
mod proof;
mod revoked;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, Validation, decode};
use livekit_protocol as proto;
use proto::TrackSource;
use serde::Deserialize;

pub use keys::KeySet;
pub use proof::{LASTS_SECONDS as PROOF_LASTS_SECONDS, ProofId, Wanted, verify as verify_proof};
pub use revoked::Revoked;

use crate::room::{Identity, RoomName, Sink};

/// Whom tokens are for.
const AUDIENCE: &str = "locum-media";

/// How far clocks of edge and media node may differ.
const LEEWAY_SECONDS: u64 = 30;

/// Longest token that is looked at. Ours have some 600 bytes.
const MAX_TOKEN_BYTES: usize = 4 << 10;

/// What a believed token admits to. A token names one room, so there is no other it could open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admission {
    /// Who.
    pub identity: Identity,
    /// Where.
    pub room: RoomName,
    /// To do what.
    pub grants: Grants,
    /// Others are in the call already, here or at a node that it lost.
    pub running: bool,
    /// What meters the call.
    pub sink: Option<Sink>,
}

/// A token that is believed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Believed {
    /// What it admits to, once the device has proved itself.
    pub admission: Admission,
    /// RFC 7638 thumbprint of the key of the device it is bound to, if it is.
    pub device: Option<String>,
}

/// What a participant may do. What a token does not grant is denied.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Grants {
    /// Publish tracks.
    pub publish: bool,
    /// Sources of those; empty: all (as LiveKit reads `canPublishSources`).
    pub sources: Vec<TrackSource>,
    /// Receive tracks.
    pub subscribe: bool,
    /// Send data packets.
    pub data: bool,
    /// Mute others' tracks.
    pub admin: bool,
}

impl Grants {
    /// Whether a track of the source may be published.
    #[must_use]
    pub fn allows(&self, source: TrackSource) -> bool {
        self.publish && (self.sources.is_empty() || self.sources.contains(&source))
    }

    /// As clients are told.
    #[must_use]
    pub fn permission(&self) -> proto::ParticipantPermission {
        proto::ParticipantPermission {
            can_publish: self.publish,
            can_publish_sources: self.sources.iter().map(|source| i32::from(*source)).collect(),
            can_subscribe: self.subscribe,
            can_publish_data: self.data,
            can_update_metadata: true,
            ..proto::ParticipantPermission::default()
        }
    }
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("a token is required")]
    Missing,
    /// Not a JWT, or claims of another shape.
    #[error("the token is malformed")]
    Malformed,
    /// Signed otherwise than with EdDSA, or not at all.
    #[error("the token is not signed with EdDSA")]
    Algorithm,
    /// No edge host publishes the key.
    #[error("the token is signed by an unknown key")]
    UnknownKey,
    /// Another edge host publishes the key.
    #[error("the token's key is not its issuer's")]
    Issuer,
    /// The signature is wrong.
    #[error("the token's signature is wrong")]
    Signature,
    /// For somebody else.
    #[error("the token is not for a media node")]
    Audience,
    /// Over.
    #[error("the token has expired")]
    Expired,
    /// Not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// The visit is over, or its bearer was removed from it.
    #[error("the token was revoked")]
    Revoked,
    /// It lets nobody into a room.
    #[error("the token does not grant joining a room")]
    Grant,
    /// It alone is not enough.
    #[error("the token is bound to a device, which must prove itself at /join")]
    Bound,
    /// The proof does not prove it.
    #[error("the proof of the device's key is missing or wrong")]
    Proof,
    /// The proof was shown before.
    #[error("the proof of the device's key was used before")]
    Replayed,
    /// The pass is unknown, used or over.
    #[error("the pass is not good, or not any more")]
    Pass,
}

impl Refusal {
    /// Label of the metric: one of few constants.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown-key",
            Self::Issuer => "issuer",
            Self::Signature => "signature",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYet => "not-yet",
            Self::Revoked => "revoked",
            Self::Grant => "grant",
            Self::Bound => "bound",
            Self::Proof => "proof",
            Self::Replayed => "replayed",
            Self::Pass => "pass",
        }
    }

    /// Whether the token is genuine, but does not allow what was asked.
    #[must_use]
    pub const fn is_authenticated(self) -> bool {
        matches!(self, Self::Grant)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

/// Claims that are read; names and metadata are not among them, so they end here.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: u64,
    nbf: u64,
    #[serde(default)]
    running: bool,
    sink: Option<String>,
    cnf: Option<Confirmation>,
    video: VideoGrant,
}

/// RFC 9449 §6.1. A confirmation of another kind is none that can be met here.
#[derive(Deserialize)]
struct Confirmation {
    jkt: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VideoGrant {
    #[serde(default)]
    room_join: bool,
    #[serde(default)]
    room: String,
    #[serde(default)]
    can_publish: bool,
    #[serde(default)]
    can_publish_sources: Vec<String>,
    #[serde(default)]
    can_subscribe: bool,
    #[serde(default)]
    can_publish_data: bool,
    #[serde(default)]
    room_admin: bool,
}

/// Judges a token that has to be enough by itself, at a time (seconds since 1970).
///
/// # Errors
/// See [`Refusal`].
pub fn verify(token: &str, keys: &KeySet, revoked: &Revoked, now_unix: u64) -> Result<Admission, Refusal> {
    let Believed { admission, device } = believe(token, keys, revoked, now_unix)?;
    if device.is_some() { Err(Refusal::Bound) } else { Ok(admission) }
}

/// Judges a token at a time (seconds since 1970); who was removed has no good one. Whether its device is the one that
/// shows it is another question.
///
/// # Errors
/// See [`Refusal`].
pub fn believe(token: &str, keys: &KeySet, revoked: &Revoked, now_unix: u64) -> Result<Believed, Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::Malformed);
    }
    let header = header(token).ok_or(Refusal::Malformed)?;
    if header.alg != "EdDSA" {
        return Err(Refusal::Algorithm);
    }
    let key = header.kid.and_then(|kid| keys.get(&kid)).ok_or(Refusal::UnknownKey)?;
    let claims = decode::<Claims>(token, key.decoding(), &validation());
    let claims = claims.map_err(|error| refusal(error.kind()))?.claims;
    if !key.is_of(&claims.iss) {
        return Err(Refusal::Issuer);
    }
    if claims.exp.saturating_add(LEEWAY_SECONDS) <= now_unix {
        return Err(Refusal::Expired);
    }
    if claims.nbf > now_unix.saturating_add(LEEWAY_SECONDS) {
        return Err(Refusal::NotYet);
    }
    let admission = revoked.unless_covered(admission(&claims)?)?;
    Ok(Believed { admission, device: claims.cnf.map(|confirmation| confirmation.jkt) })
}

/// `None` also when the header demands an extension: none is known here (RFC 7515 §4.1.11).
fn header(token: &str) -> Option<Header> {
    let bytes = BASE64.decode(token.split('.').next()?).ok()?;
    serde_json::from_slice(&bytes).ok().filter(|header: &Header| header.crit.is_none())
}

fn admission(claims: &Claims) -> Result<Admission, Refusal> {
    let grant = &claims.video;
    if !grant.room_join {
        return Err(Refusal::Grant);
    }
    let room = RoomName::parse(&grant.room).ok_or(Refusal::Grant)?;
    let identity = Identity::parse(&claims.sub).ok_or(Refusal::Malformed)?;
    let sources: Option<Vec<_>> = grant.can_publish_sources.iter().map(|name| source(name)).collect();
    let grants = Grants {
        publish: grant.can_publish,
        sources: sources.ok_or(Refusal::Malformed)?,
        subscribe: grant.can_subscribe,
        data: grant.can_publish_data,
        admin: grant.room_admin,
    };
    let sink = claims.sink.as_deref().map(|sink| Sink::parse(sink).ok_or(Refusal::Malformed)).transpose()?;
    Ok(Admission { identity, room, grants, running: claims.running, sink })
}

/// Whose genuine token it is that was refused: only what an edge host signed is worth telling the record.
#[must_use]
pub fn named(token: &str, keys: &KeySet) -> Option<(Sink, Identity)> {
    let header =
        header(token).filter(|_| token.len() <= MAX_TOKEN_BYTES).filter(|header| header.alg == "EdDSA")?;
    let key = keys.get(&header.kid?)?;
    let claims = decode::<Claims>(token, key.decoding(), &validation()).ok()?.claims;
    let names = Sink::parse(&claims.sink?).zip(Identity::parse(&claims.sub));
    names.filter(|_| key.is_of(&claims.iss))
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "nbf", "aud", "sub", "iss"]);
    // Times are compared with the time that was given.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

fn source(name: &str) -> Option<TrackSource> {
    match name {
        "camera" => Some(TrackSource::Camera),
        "microphone" => Some(TrackSource::Microphone),
        "screen_share" => Some(TrackSource::ScreenShare),
        "screen_share_audio" => Some(TrackSource::ScreenShareAudio),
        _ => None,
    }
}

fn refusal(error: &jsonwebtoken::errors::ErrorKind) -> Refusal {
    use jsonwebtoken::errors::ErrorKind;
    match error {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::InvalidAudience => Refusal::Audience,
        _ => Refusal::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use locum_cluster::revocation::Revocation;
    use locum_identity::{Jwk, SigningKey};
    use ring::hmac;
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn claims() -> Value {
        json!({
            "iss": "edge-1", "aud": "locum-media", "sub": "p-1", "jti": "j", "nbf": NOW, "exp": NOW + 60,
            "name": "Ana Meyer", "metadata": "anything", "sink": "s",
            "video": {
                "roomJoin": true, "room": "room-1", "canPublish": true, "canSubscribe": true,
                "canPublishData": true, "canPublishSources": ["camera", "microphone", "screen_share"],
            },
        })
    }

    fn with(path: &str, value: Value) -> Value {
        let mut claims = claims();
        *claims.pointer_mut(path).unwrap() = value;
        claims
    }

    fn keys(key: &SigningKey) -> KeySet {
        let mut keys = KeySet::default();
        assert!(keys.add(Some("edge-1"), &key.jwk()));
        keys
    }

    fn verify(token: &str, keys: &KeySet, now_unix: u64) -> Result<Admission, Refusal> {
        super::verify(token, keys, &Revoked::default(), now_unix)
    }

    fn judge(claims: &Value) -> Result<Admission, Refusal> {
        let key = SigningKey::generate().unwrap();
        verify(&key.sign_jws(claims).unwrap(), &keys(&key), NOW)
    }

    /// A token put together by hand, as an attacker would.
    fn forged(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        format!("{signed}.{}", BASE64.encode(sign(signed.as_bytes())))
    }

    #[test]
    fn a_good_token_admits_to_its_room_with_its_grants() {
        let admission = judge(&claims()).unwrap();
        assert_eq!((admission.identity.as_str(), admission.room.as_str()), ("p-1", "room-1"));
        assert!(admission.grants.allows(TrackSource::Camera));
        assert!(!admission.grants.allows(TrackSource::ScreenShareAudio));
        assert!(admission.grants.subscribe && admission.grants.data);
        assert!(!format!("{admission:?}").contains("Ana"), "names end at the door");
    }

    #[test]
    fn only_a_genuine_token_names_whose_it_is() {
        let key = SigningKey::generate().unwrap();
        let old = key.sign_jws(&with("/exp", json!(1))).unwrap();
        assert_eq!(verify(&old, &keys(&key), NOW), Err(Refusal::Expired));
        let (sink, participant) = named(&old, &keys(&key)).unwrap();
        assert_eq!((sink.as_str(), participant.as_str()), ("s", "p-1"));
        let other = SigningKey::generate().unwrap();
        assert_eq!(named(&old, &keys(&other)), None, "signed by somebody else");
        let elsewhere = key.sign_jws(&with("/iss", json!("edge-2"))).unwrap();
        assert_eq!(named(&elsewhere, &keys(&key)), None, "another host's key");
    }

    #[test]
    fn what_is_not_granted_is_denied() {
        let bare = json!({"roomJoin": true, "room": "room-1"});
        assert_eq!(judge(&with("/video", bare)).unwrap().grants, Grants::default());
        assert!(!Grants::default().allows(TrackSource::Camera));
    }

    #[test]
    fn a_bound_token_is_not_enough_by_itself() {
        let mut bound = claims();
        bound["cnf"] = json!({"jkt": "thumbprint"});
        assert_eq!(judge(&bound), Err(Refusal::Bound));
        let key = SigningKey::generate().unwrap();
        let believed =
            believe(&key.sign_jws(&bound).unwrap(), &keys(&key), &Revoked::default(), NOW).unwrap();
        assert_eq!(believed.device.as_deref(), Some("thumbprint"));
        bound["cnf"] = json!({"x5t#S256": "of another kind"});
        assert_eq!(judge(&bound), Err(Refusal::Malformed));
    }

    #[test]
    fn who_was_removed_has_no_good_token_bound_or_not() {
        let key = SigningKey::generate().unwrap();
        let removed = |participant: &str| {
            let participant = Some(participant.to_owned());
            Revoked::of(std::iter::once(&Revocation { room: "room-1".into(), participant, until_ms: 1 }), 0)
        };
        let mut bound = claims();
        bound["cnf"] = json!({"jkt": "thumbprint"});
        for claims in [claims(), bound] {
            let token = key.sign_jws(&claims).unwrap();
            let judged = |removed: &Revoked| believe(&token, &keys(&key), removed, NOW).map(|_| ());
            assert_eq!(judged(&removed("p-1")), Err(Refusal::Revoked));
            assert_eq!(judged(&removed("p-2")), Ok(()));
        }
    }

    #[test]
    fn times_are_kept_with_a_small_leeway() {
        let exp = |exp| judge(&with("/exp", json!(exp)));
        assert!(exp(NOW + 1 - LEEWAY_SECONDS).is_ok());
        assert_eq!(exp(NOW - LEEWAY_SECONDS), Err(Refusal::Expired));
        let nbf = |nbf| judge(&with("/nbf", json!(nbf)));
        assert!(nbf(NOW + LEEWAY_SECONDS).is_ok());
        assert_eq!(nbf(NOW + LEEWAY_SECONDS + 1), Err(Refusal::NotYet));
    }

    #[test]
    fn a_changed_claim_is_noticed() {
        let key = SigningKey::generate().unwrap();
        let token = key.sign_jws(&claims()).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let other = BASE64.encode(with("/video/room", json!("room-2")).to_string());
        let forged = format!("{}.{other}.{}", parts[0], parts[2]);
        assert_eq!(verify(&forged, &keys(&key), NOW), Err(Refusal::Signature));
    }

    #[test]
    fn only_eddsa_is_believed() {
        let key = SigningKey::generate().unwrap();
        let jwk = key.jwk();
        let public = BASE64.decode(&jwk.x).unwrap();
        let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": jwk.kid});

        let none = forged(&header("none"), &claims(), |_| Vec::new());
        assert_eq!(verify(&none, &keys(&key), NOW), Err(Refusal::Algorithm));

        // The public key used as a shared secret, in each way a careless verifier might read it.
        for secret in [public.as_slice(), jwk.x.as_bytes()] {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let confused = forged(&header("HS256"), &claims(), |m| hmac::sign(&secret, m).as_ref().to_vec());
            assert_eq!(verify(&confused, &keys(&key), NOW), Err(Refusal::Algorithm));
        }

        let crit = json!({"alg": "EdDSA", "kid": jwk.kid, "crit": ["b64"], "b64": false});
        assert_eq!(
            verify(&forged(&crit, &claims(), |_| Vec::new()), &keys(&key), NOW),
            Err(Refusal::Malformed)
        );

        let unsigned = forged(&header("EdDSA"), &claims(), |_| Vec::new());
        assert_eq!(verify(&unsigned, &keys(&key), NOW), Err(Refusal::Signature));
    }

    #[test]
    fn keys_are_looked_up_and_belong_to_their_issuer() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let token = key.sign_jws(&claims()).unwrap();
        assert_eq!(verify(&token, &keys(&other), NOW), Err(Refusal::UnknownKey));
        assert_eq!(verify(&token, &KeySet::default(), NOW), Err(Refusal::UnknownKey));
        assert_eq!(judge(&with("/iss", json!("edge-2"))), Err(Refusal::Issuer));

        let kid_of_other = json!({"alg": "EdDSA", "kid": other.kid()});
        let signature = token.rsplit('.').next().unwrap().to_owned();
        let borrowed = forged(&kid_of_other, &claims(), |_| BASE64.decode(&signature).unwrap());
        let mut both = keys(&key);
        both.add(None, &other.jwk());
        assert_eq!(verify(&borrowed, &both, NOW), Err(Refusal::Signature));
    }

    #[test]
    fn a_token_for_something_else_opens_nothing() {
        assert_eq!(judge(&with("/aud", json!("locum-edge"))), Err(Refusal::Audience));
        assert_eq!(judge(&with("/video/roomJoin", json!(false))), Err(Refusal::Grant));
        assert_eq!(judge(&with("/video/room", json!(""))), Err(Refusal::Grant));
        assert_eq!(judge(&with("/sub", json!("Ana Meyer"))), Err(Refusal::Malformed));
        assert_eq!(judge(&with("/video/canPublishSources", json!(["telepathy"]))), Err(Refusal::Malformed));
        for missing in ["iss", "aud", "sub", "exp", "nbf", "video"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(missing);
            assert!(judge(&claims).is_err(), "{missing}");
        }
    }

    #[test]
    fn garbage_is_malformed() {
        for garbage in ["", ".", "..", "a.b.c", "\u{0}", &"x".repeat(MAX_TOKEN_BYTES + 1)] {
            assert_eq!(verify(garbage, &KeySet::default(), NOW), Err(Refusal::Malformed), "{garbage:.10}");
        }
    }

    #[test]
    fn keys_of_other_kinds_are_left_out() {
        let good = SigningKey::generate().unwrap().jwk();
        let mut keys = KeySet::default();
        for bad in [
            Jwk { kty: "EC".into(), ..good.clone() },
            Jwk { crv: "X25519".into(), ..good.clone() },
            Jwk { kid: "somebody-else's".into(), ..good.clone() },
            Jwk { x: "***".into(), ..good },
        ] {
            assert!(!keys.add(None, &bad));
        }
        assert!(keys.is_empty());
    }

    /// `tests/bench media`; one thread, whose processor time counts.
    #[test]
    #[ignore = "a measurement, for docs/benchmarks.md"]
    #[allow(clippy::print_stdout, reason = "a measurement")]
    fn bench_tokens() {
        const TOKENS: u32 = 20_000;
        let key = SigningKey::generate().unwrap();
        let (token, keys) = (key.sign_jws(&claims()).unwrap(), keys(&key));
        let processor_seconds = || {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
        };
        let began = processor_seconds();
        for _ in 0..TOKENS {
            assert!(verify(&token, &keys, NOW).is_ok());
        }
        let seconds = processor_seconds() - began;
        println!("{:.0} tokens verified a second and core", f64::from(TOKENS) / seconds);
    }
}
