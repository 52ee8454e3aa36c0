//! Proof that a device holds the key its token names (DPoP, RFC 9449 §4.3).
//!
//! Pure: time and what the node is called come in. ES256 and nothing else: the algorithm is fixed here, never taken
//! from the proof.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use ring::digest;
use serde::Deserialize;

use super::Refusal;

/// How far a proof's time may be off. Clients reckon from their token's time, so their clock does not matter.
pub const LASTS_SECONDS: u64 = 60;

/// Longest proof that is looked at. They have some 500 bytes.
const MAX_PROOF_BYTES: usize = 2 << 10;

/// Longest `jti`.
const MAX_ID_BYTES: usize = 64;

/// What a proof has to be about.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The key's RFC 7638 thumbprint, as the token has it.
    pub device: &'a str,
    /// The token.
    pub token: &'a str,
    /// URLs of the request, as this node announces itself.
    pub urls: &'a [String],
    /// Seconds since 1970.
    pub now_unix: u64,
}

/// Names a proof, to know it again.
pub type ProofId = [u8; 32];

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Key,
    crit: Option<serde_json::Value>,
}

/// Members that would hold a private key are refused with everything else that is unknown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    kty: String,
    crv: String,
    x: String,
    y: String,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: u64,
    ath: String,
}

/// Judges a proof.
///
/// # Errors
/// [`Refusal::Proof`].
pub fn verify(proof: &str, wanted: Wanted<'_>) -> Result<ProofId, Refusal> {
    check(proof, wanted).ok_or(Refusal::Proof)
}

fn check(proof: &str, wanted: Wanted<'_>) -> Option<ProofId> {
    let text = Some(proof).filter(|proof| proof.len() <= MAX_PROOF_BYTES)?;
    let header: Header = serde_json::from_slice(&BASE64.decode(text.split('.').next()?).ok()?).ok()?;
    let Header { typ, alg, jwk, crit } = header;
    if typ != "dpop+jwt" || alg != "ES256" || crit.is_some() || thumbprint(&jwk) != wanted.device {
        return None;
    }
    let key = DecodingKey::from_ec_components(&jwk.x, &jwk.y).ok()?;
    let claims = decode::<Claims>(proof, &key, &validation()).ok()?.claims;
    let fits = claims.htm == "POST"
        && wanted.urls.contains(&claims.htu)
        && claims.iat.abs_diff(wanted.now_unix) <= LASTS_SECONDS
        && claims.ath == BASE64.encode(digest::digest(&digest::SHA256, wanted.token.as_bytes()))
        && (1..=MAX_ID_BYTES).contains(&claims.jti.len());
    let mut id = digest::Context::new(&digest::SHA256);
    id.update(wanted.device.as_bytes());
    id.update(claims.jti.as_bytes());
    fits.then(|| id.finish().as_ref().try_into().ok())?
}

/// RFC 7638, for an elliptic curve. Empty, and so nobody's, for another kind of key.
fn thumbprint(key: &Key) -> String {
    if key.kty != "EC" || key.crv != "P-256" {
        return String::new();
    }
    // As canonical as the texts in it: another spelling of the same key is another thumbprint.
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, key.x, key.y);
    BASE64.encode(digest::digest(&digest::SHA256, members.as_bytes()))
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    struct Device(EcdsaKeyPair);

    impl Device {
        fn new() -> Self {
            let random = SystemRandom::new();
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
            let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
            Self(key.unwrap())
        }

        fn jwk(&self) -> Value {
            let point = self.0.public_key().as_ref();
            json!({"kty": "EC", "crv": "P-256", "x": BASE64.encode(&point[1..33]), "y": BASE64.encode(&point[33..])})
        }

        fn thumbprint(&self) -> String {
            thumbprint(&serde_json::from_value(self.jwk()).unwrap())
        }

        fn header(&self) -> Value {
            json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()})
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| BASE64.encode(value.to_string());
            let signed = format!("{}.{}", part(header), part(claims));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", BASE64.encode(signature))
        }
    }

    fn claims() -> Value {
        let ath = BASE64.encode(digest::digest(&digest::SHA256, b"token"));
        json!({"jti": "1", "htm": "POST", "htu": "http://m1.example/join", "iat": NOW, "ath": ath})
    }

    fn with(mut value: Value, path: &str, other: Value) -> Value {
        *value.pointer_mut(path).unwrap() = other;
        value
    }

    fn judge(device: &Device, proof: &str) -> Result<ProofId, Refusal> {
        let urls = ["http://m1.example/join".to_owned()];
        let thumbprint = device.thumbprint();
        verify(proof, Wanted { device: &thumbprint, token: "token", urls: &urls, now_unix: NOW })
    }

    #[test]
    fn a_proof_by_the_devices_key_is_believed_and_known_again() {
        let device = Device::new();
        let id = judge(&device, &device.sign(&device.header(), &claims())).unwrap();
        assert_eq!(judge(&device, &device.sign(&device.header(), &claims())).unwrap(), id);
        let other = with(claims(), "/jti", json!("2"));
        assert_ne!(judge(&device, &device.sign(&device.header(), &other)).unwrap(), id);
        let another = Device::new();
        let theirs = judge(&another, &another.sign(&another.header(), &claims())).unwrap();
        assert_ne!(theirs, id, "nobody uses up another's proofs");
    }

    #[test]
    fn a_proof_is_of_this_key_and_signed_with_it() {
        let (device, other) = (Device::new(), Device::new());
        let refused = |proof: &str| assert_eq!(judge(&device, proof), Err(Refusal::Proof), "{proof}");
        refused(&other.sign(&other.header(), &claims()));
        refused(&other.sign(&device.header(), &claims()));
        let signed = device.sign(&device.header(), &claims());
        let (text, _) = signed.rsplit_once('.').unwrap();
        refused(&format!("{text}."));
        refused(&format!("{text}.{}", BASE64.encode([0; 64])));
        for (path, value) in [
            ("/alg", json!("none")),
            ("/alg", json!("HS256")),
            ("/typ", json!("JWT")),
            ("/jwk/kty", json!("OKP")),
            ("/jwk/crv", json!("P-384")),
        ] {
            refused(&device.sign(&with(device.header(), path, value), &claims()));
        }
        let mut private = device.header();
        private["jwk"]["d"] = json!("AAAA");
        refused(&device.sign(&private, &claims()));
        let mut critical = device.header();
        critical["crit"] = json!(["b64"]);
        refused(&device.sign(&critical, &claims()));
    }

    #[test]
    fn a_proof_for_something_else_proves_nothing() {
        let device = Device::new();
        for (path, value) in [
            ("/htm", json!("GET")),
            ("/htu", json!("http://m2.example/join")),
            ("/ath", json!("AAAA")),
            ("/iat", json!(NOW - LASTS_SECONDS - 1)),
            ("/iat", json!(NOW + LASTS_SECONDS + 1)),
            ("/jti", json!("")),
            ("/jti", json!("x".repeat(MAX_ID_BYTES + 1))),
        ] {
            let proof = device.sign(&device.header(), &with(claims(), path, value));
            assert_eq!(judge(&device, &proof), Err(Refusal::Proof), "{path}");
        }
        for garbage in ["", ".", "..", "a.b.c", &"x".repeat(MAX_PROOF_BYTES + 1)] {
            assert_eq!(judge(&device, garbage), Err(Refusal::Proof));
        }
    }
}
