//! A passkey in software (WebAuthn Level 3): ES256, attestation "none", user verified without asking anybody.
//!
//! Not for people: whoever holds the key file is the person. The canary clinic's staff, whom no human is, and
//! tests sign in with it, over the same questions and answers as browsers.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// User present, user verified (WebAuthn §6.1).
const VERIFIED: u8 = 0b0000_0101;
/// Credential data follows.
const ATTESTED: u8 = 0b0100_0000;

/// A key pair with the id it goes by.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Passkey {
    /// base64url.
    id: String,
    /// PKCS#8, base64url.
    key: String,
}

/// What may go wrong.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyError {
    /// No key could be made, read or used.
    #[error("the passkey's key does not work")]
    Key,
    /// The question is not one of WebAuthn.
    #[error("the question lacks {0}")]
    Question(&'static str),
}

/// Nothing of the key.
impl fmt::Debug for Passkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passkey").finish_non_exhaustive()
    }
}

impl Passkey {
    /// A new one.
    pub fn generate() -> Result<Self, PasskeyError> {
        let random = SystemRandom::new();
        let mut id = [0; 16];
        random.fill(&mut id).map_err(|_| PasskeyError::Key)?;
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| PasskeyError::Key)?;
        Ok(Self { id: URL_SAFE_NO_PAD.encode(id), key: URL_SAFE_NO_PAD.encode(key.as_ref()) })
    }

    /// Answers `navigator.credentials.create` with `options` on a page of `origin`.
    pub fn create(&self, options: &Value, origin: &str) -> Result<Value, PasskeyError> {
        let question = &options["publicKey"];
        let zone = question["rp"]["id"].as_str().ok_or(PasskeyError::Question("rp.id"))?;
        let client_data = client_data("webauthn.create", question, origin)?;
        let id = URL_SAFE_NO_PAD.decode(&self.id).map_err(|_| PasskeyError::Key)?;
        let mut data = authenticator_data(zone, VERIFIED | ATTESTED);
        data.extend([0; 16]);
        data.extend([0, u8::try_from(id.len()).map_err(|_| PasskeyError::Key)?]);
        data.extend(&id);
        data.extend(cose_key(self.pair()?.public_key().as_ref())?);
        // CBOR (RFC 8949): {"fmt": "none", "attStmt": {}, "authData": data}.
        let mut attestation = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        attestation.push(u8::try_from(data.len()).map_err(|_| PasskeyError::Key)?);
        attestation.extend(data);
        Ok(self.answer(&json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
            "attestationObject": URL_SAFE_NO_PAD.encode(attestation),
        })))
    }

    /// Answers `navigator.credentials.get`.
    pub fn get(&self, options: &Value, origin: &str) -> Result<Value, PasskeyError> {
        let question = &options["publicKey"];
        let zone = question["rpId"].as_str().ok_or(PasskeyError::Question("rpId"))?;
        let client_data = client_data("webauthn.get", question, origin)?;
        let data = authenticator_data(zone, VERIFIED);
        let signed = [data.as_slice(), digest(&SHA256, client_data.as_bytes()).as_ref()].concat();
        let signature = self.pair()?.sign(&SystemRandom::new(), &signed).map_err(|_| PasskeyError::Key)?;
        Ok(self.answer(&json!({
            "clientDataJSON": URL_SAFE_NO_PAD.encode(client_data),
            "authenticatorData": URL_SAFE_NO_PAD.encode(data),
            "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
        })))
    }

    /// As `PublicKeyCredential.toJSON()` has it.
    fn answer(&self, response: &Value) -> Value {
        json!({
            "id": self.id, "rawId": self.id, "type": "public-key",
            "response": response, "clientExtensionResults": {},
        })
    }

    fn pair(&self) -> Result<EcdsaKeyPair, PasskeyError> {
        let key = URL_SAFE_NO_PAD.decode(&self.key).map_err(|_| PasskeyError::Key)?;
        let random = SystemRandom::new();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &key, &random)
            .map_err(|_| PasskeyError::Key)
    }
}

fn client_data(kind: &str, question: &Value, origin: &str) -> Result<String, PasskeyError> {
    let challenge = question["challenge"].as_str().ok_or(PasskeyError::Question("challenge"))?;
    Ok(json!({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false}).to_string())
}

/// Without extensions; the counter stays 0, as it does in passkeys that are copied to several devices.
fn authenticator_data(zone: &str, flags: u8) -> Vec<u8> {
    let mut data = digest(&SHA256, zone.as_bytes()).as_ref().to_vec();
    data.push(flags);
    data.extend([0; 4]);
    data
}

/// COSE (RFC 9053 §7.1): {1: 2, 3: -7, -1: 1, -2: x, -3: y}, from an uncompressed point.
fn cose_key(point: &[u8]) -> Result<Vec<u8>, PasskeyError> {
    let (x, y) = match point {
        [4, rest @ ..] if rest.len() == 64 => rest.split_at(32),
        _ => return Err(PasskeyError::Key),
    };
    Ok([b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20", x, b"\x22\x58\x20", y].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_from_its_file() {
        let passkey = Passkey::generate().unwrap();
        let text = serde_json::to_string(&passkey).unwrap();
        let again: Passkey = serde_json::from_str(&text).unwrap();
        assert_eq!(
            again.pair().unwrap().public_key().as_ref(),
            passkey.pair().unwrap().public_key().as_ref()
        );
        assert_eq!(format!("{passkey:?}"), "Passkey { .. }");
    }

    #[test]
    fn a_question_that_is_none_is_not_answered() {
        let passkey = Passkey::generate().unwrap();
        assert!(passkey.create(&json!({}), "https://app.example.org").is_err());
        assert!(
            passkey.get(&json!({"publicKey": {"rpId": "example.org"}}), "https://app.example.org").is_err()
        );
    }
}
