//! Ed25519 signing keys, and compact JWS (RFC 7515) signed and verified with them: EdDSA (RFC 8037) and
//! nothing else.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::private_file;

/// Longest compact JWS that is looked at: the largest answer that fits the mesh.
const MAX_JWS_BYTES: usize = 4 << 20;

/// A signing key could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read or is readable by others.
    #[error("read signing key {path}")]
    Read {
        /// The key's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file could not be written.
    #[error("write signing key {path}")]
    Write {
        /// The key's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not an Ed25519 key in PKCS#8 PEM.
    #[error("signing key is not Ed25519 in PKCS#8 PEM")]
    Malformed,
    /// No randomness.
    #[error("generate signing key")]
    Random(#[source] getrandom::Error),
}

/// A token is not to be believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum VerifyError {
    /// Not three base64url parts, or a header or body that is not the JSON expected.
    #[error("token is malformed")]
    Malformed,
    /// `alg` is not `EdDSA`, or `crit` asks for what we do not know (RFC 7515 §4.1.11).
    #[error("token is not signed with EdDSA")]
    Algorithm,
    /// `typ` is another than expected: a token of one use shown for another (RFC 8725 §3.11).
    #[error("token is of another type")]
    Type,
    /// No such key.
    #[error("token is signed by an unknown key")]
    UnknownKey,
    /// The signature is wrong.
    #[error("token has a wrong signature")]
    Signature,
}

/// An Ed25519 key that signs.
#[derive(Clone)]
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    jwk: Jwk,
}

impl SigningKey {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::Random`] when there is none.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(KeyError::Random)?;
        Ok(Self::from_key(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// The key in `path`, made there (mode 0600) when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written, others may read it, or it holds no Ed25519 key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        match private_file::read_to_string(path) {
            Ok(pem) => Self::from_private_pem(&pem),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate()?;
                private_file::write(path, key.private_pem()?.as_bytes())
                    .map_err(|source| KeyError::Write { path: path.to_owned(), source })?;
                Ok(key)
            }
            Err(source) => Err(KeyError::Read { path: path.to_owned(), source }),
        }
    }

    /// From PKCS#8 PEM.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_private_pem(pem: &str) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map_err(|_| KeyError::Malformed)?;
        Ok(Self::from_key(key))
    }

    /// As PKCS#8 PEM (RFC 8410, without the public key: what every reader understands). A secret.
    ///
    /// # Errors
    /// [`KeyError::Malformed`], which no valid key gives.
    pub fn private_pem(&self) -> Result<String, KeyError> {
        let bytes = ed25519_dalek::pkcs8::KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Malformed)?;
        Ok(pem.as_str().to_owned())
    }

    /// The key's id: its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.jwk.kid
    }

    /// The public half.
    pub fn jwk(&self) -> Jwk {
        self.jwk.clone()
    }

    /// The public half as a set of one.
    pub fn jwks(&self) -> Jwks {
        Jwks { keys: vec![self.jwk()] }
    }

    /// `claims` as a compact JWS of type `JWT`.
    ///
    /// # Errors
    /// [`serde_json::Error`] when `claims` is nothing JSON can say.
    pub fn sign_jws<T: Serialize>(&self, claims: &T) -> Result<String, serde_json::Error> {
        self.sign_typed("JWT", claims)
    }

    /// `claims` as a compact JWS whose header says what it is for (RFC 8725 §3.11).
    ///
    /// # Errors
    /// [`serde_json::Error`] when `claims` is nothing JSON can say.
    pub fn sign_typed<T: Serialize>(&self, typ: &str, claims: &T) -> Result<String, serde_json::Error> {
        let (header, payload) = (self.header(typ)?, URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?));
        let signature = self.signature(&header, &payload);
        Ok(format!("{header}.{payload}.{signature}"))
    }

    /// A detached JWS of `content` (RFC 7515 appendix F): it travels beside what it signs, which stays readable.
    ///
    /// # Errors
    /// [`serde_json::Error`], which no header gives.
    pub fn sign_detached(&self, typ: &str, content: &[u8]) -> Result<String, serde_json::Error> {
        let header = self.header(typ)?;
        let signature = self.signature(&header, &URL_SAFE_NO_PAD.encode(content));
        Ok(format!("{header}..{signature}"))
    }

    fn header(&self, typ: &str) -> Result<String, serde_json::Error> {
        let header = serde_json::json!({ "alg": "EdDSA", "typ": typ, "kid": self.kid() });
        Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header)?))
    }

    fn signature(&self, header: &str, payload: &str) -> String {
        let signature = self.key.sign(format!("{header}.{payload}").as_bytes());
        URL_SAFE_NO_PAD.encode(signature.to_bytes())
    }

    fn from_key(key: ed25519_dalek::SigningKey) -> Self {
        let jwk = Jwk::from_public(key.verifying_key().as_bytes());
        Self { key, jwk }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid()).finish_non_exhaustive()
    }
}

/// A public Ed25519 key (RFC 8037). Unknown members are ignored, as RFC 7517 §4 wants.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// The 32 bytes of the key, base64url.
    pub x: String,
    /// Its id: the RFC 7638 thumbprint.
    pub kid: String,
    /// `EdDSA`.
    pub alg: String,
    /// `sig`.
    #[serde(rename = "use")]
    pub use_: String,
}

impl Jwk {
    fn from_public(public: &[u8; 32]) -> Self {
        let x = URL_SAFE_NO_PAD.encode(public);
        // RFC 7638 §3.2 and RFC 8037 §2: required members only, in this order, without spaces.
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x,
            kid: URL_SAFE_NO_PAD.encode(Sha256::digest(canonical)),
            alg: "EdDSA".to_owned(),
            use_: "sig".to_owned(),
        }
    }

    fn verifying_key(&self) -> Option<VerifyingKey> {
        if self.kty != "OKP" || self.crv != "Ed25519" {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(&self.x).ok()?;
        VerifyingKey::from_bytes(&bytes.try_into().ok()?).ok()
    }
}

/// Public keys, as served under `/.well-known/jwks.json`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Jwks {
    /// In no particular order.
    pub keys: Vec<Jwk>,
}

impl Jwks {
    /// The claims of `token` if one of these keys signed it with EdDSA. Says nothing of expiry or audience:
    /// those are the claims' own.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify_jws<T: DeserializeOwned>(&self, token: &str) -> Result<T, VerifyError> {
        self.verify(None, token)
    }

    /// As [`Jwks::verify_jws`], and the header's `typ` must be `typ`.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify_typed<T: DeserializeOwned>(&self, typ: &str, token: &str) -> Result<T, VerifyError> {
        self.verify(Some(typ), token)
    }

    /// Whether one of these keys made the detached JWS `token` of type `typ` for exactly this `content`.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn verify_detached(&self, typ: &str, token: &str, content: &[u8]) -> Result<(), VerifyError> {
        let (header, signature) = token.split_once("..").ok_or(VerifyError::Malformed)?;
        self.check(Some(typ), header, &URL_SAFE_NO_PAD.encode(content), signature)
    }

    fn verify<T: DeserializeOwned>(&self, typ: Option<&str>, token: &str) -> Result<T, VerifyError> {
        if token.len() > MAX_JWS_BYTES {
            return Err(VerifyError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(VerifyError::Malformed)?;
        self.check(typ, header, claims, signature)?;
        decode_json(claims)
    }

    fn check(
        &self,
        typ: Option<&str>,
        encoded: &str,
        payload: &str,
        signature: &str,
    ) -> Result<(), VerifyError> {
        let header: Header = decode_json(encoded)?;
        if header.alg != "EdDSA" || header.crit.is_some() {
            return Err(VerifyError::Algorithm);
        }
        if typ.is_some_and(|typ| header.typ.as_deref() != Some(typ)) {
            return Err(VerifyError::Type);
        }
        let kid = header.kid.ok_or(VerifyError::UnknownKey)?;
        let key = self.keys.iter().find(|key| key.kid == kid).ok_or(VerifyError::UnknownKey)?;
        let key = key.verifying_key().ok_or(VerifyError::UnknownKey)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| VerifyError::Malformed)?;
        let signature = Signature::from_slice(&signature).map_err(|_| VerifyError::Malformed)?;
        let signed = format!("{encoded}.{payload}");
        key.verify_strict(signed.as_bytes(), &signature).map_err(|_| VerifyError::Signature)
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<serde_json::Value>,
}

fn decode_json<T: DeserializeOwned>(part: &str) -> Result<T, VerifyError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| VerifyError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| VerifyError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_signed_verifies_and_nothing_else_does() {
        let key = SigningKey::generate().unwrap();
        let other = SigningKey::generate().unwrap();
        let token = key.sign_typed("a", &json!({ "n": 1 })).unwrap();
        assert_eq!(key.jwks().verify_typed::<Value>("a", &token).unwrap(), json!({ "n": 1 }));
        assert_eq!(key.jwks().verify_typed::<Value>("b", &token), Err(VerifyError::Type));
        assert_eq!(other.jwks().verify_jws::<Value>(&token), Err(VerifyError::UnknownKey));

        let mut forged = other.jwks();
        forged.keys[0].kid = key.kid().to_owned();
        assert_eq!(forged.verify_jws::<Value>(&token), Err(VerifyError::Signature));

        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let body = URL_SAFE_NO_PAD.encode(r#"{"n":2}"#);
        let altered = format!("{header}.{body}.{signature}");
        assert_eq!(key.jwks().verify_jws::<Value>(&altered), Err(VerifyError::Signature));
    }

    #[test]
    fn a_detached_signature_is_of_this_content_and_type_only() {
        let key = SigningKey::generate().unwrap();
        let token = key.sign_detached("report", b"{ \"lost\": 0 }").unwrap();
        let verify = |typ: &str, content: &[u8]| key.jwks().verify_detached(typ, &token, content);
        assert_eq!(verify("report", b"{ \"lost\": 0 }"), Ok(()));
        assert_eq!(verify("report", b"{ \"lost\": 1 }"), Err(VerifyError::Signature));
        assert_eq!(verify("report", b"{\"lost\": 0}"), Err(VerifyError::Signature), "bytes, not meaning");
        assert_eq!(verify("other", b"{ \"lost\": 0 }"), Err(VerifyError::Type));
        let other = SigningKey::generate().unwrap();
        assert_eq!(other.jwks().verify_detached("report", &token, b""), Err(VerifyError::UnknownKey));
        let whole = key.sign_typed("report", &json!({ "lost": 0 })).unwrap();
        assert_eq!(key.jwks().verify_detached("report", &whole, b""), Err(VerifyError::Malformed));
    }

    #[test]
    fn only_eddsa_is_believed() {
        let key = SigningKey::generate().unwrap();
        for alg in ["none", "None", "HS256", "ES256", "eddsa", ""] {
            let header = URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "kid": key.kid() }).to_string());
            let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode("{}"));
            let signature = URL_SAFE_NO_PAD.encode(key.key.sign(signed.as_bytes()).to_bytes());
            for token in [format!("{signed}.{signature}"), format!("{signed}.")] {
                assert_eq!(key.jwks().verify_jws::<Value>(&token), Err(VerifyError::Algorithm), "{alg}");
            }
        }
    }

    #[test]
    fn garbage_is_malformed() {
        let jwks = SigningKey::generate().unwrap().jwks();
        for token in ["", ".", "..", "...", "a.b.c", "é.é.é"] {
            assert_eq!(jwks.verify_jws::<Value>(token), Err(VerifyError::Malformed), "{token:?}");
        }
    }

    /// The key and thumbprint of RFC 8037 appendix A.
    #[test]
    fn thumbprint_of_rfc_8037() {
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        let jwk = Jwk::from_public(&x.try_into().unwrap());
        assert_eq!(jwk.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn keys_survive_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let made = SigningKey::load_or_create(&path).unwrap();
        let loaded = SigningKey::load_or_create(&path).unwrap();
        assert_eq!(made.kid(), loaded.kid());
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }
}
