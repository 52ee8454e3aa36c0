//! Public keys of the edge hosts, and who publishes them.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::DecodingKey;
use locum_identity::Jwk;
use ring::digest;

/// Public keys of the edge hosts.
#[derive(Clone, Default)]
pub struct KeySet(HashMap<String, Key>);

/// A key tokens can be verified with.
#[derive(Clone)]
pub(super) struct Key {
    key: DecodingKey,
    /// Edge hosts that publish it; empty: any issuer is believed.
    issuers: HashSet<String>,
}

impl Key {
    /// As the verifier wants it.
    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.key
    }

    /// Whether the issuer publishes it: no edge host may sign for another.
    pub(super) fn is_of(&self, issuer: &str) -> bool {
        self.issuers.is_empty() || self.issuers.contains(issuer)
    }
}

impl KeySet {
    /// Adds a key of an issuer (`None`: of whoever). Returns whether it is one tokens can be verified with.
    pub fn add(&mut self, issuer: Option<&str>, jwk: &Jwk) -> bool {
        if jwk.kty != "OKP" || jwk.crv != "Ed25519" || jwk.kid != thumbprint(jwk) {
            return false;
        }
        let Ok(key) = DecodingKey::from_ed_components(&jwk.x) else { return false };
        let entry = self.0.entry(jwk.kid.clone()).or_insert_with(|| Key { key, issuers: HashSet::new() });
        entry.issuers.extend(issuer.map(str::to_owned));
        true
    }

    /// The key with an id.
    pub(super) fn get(&self, kid: &str) -> Option<&Key> {
        self.0.get(kid)
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody can be verified.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for KeySet {
    /// Equal ids are equal keys.
    fn eq(&self, other: &Self) -> bool {
        let issuers_of = |set: &Self, kid: &String| set.0.get(kid).map(|key| key.issuers.clone());
        self.len() == other.len() && self.0.keys().all(|kid| issuers_of(self, kid) == issuers_of(other, kid))
    }
}

/// RFC 7638. A key under another id is left out: it could stand in the way of the key that has that id by
/// right.
fn thumbprint(jwk: &Jwk) -> String {
    let members = format!(r#"{{"crv":"{}","kty":"{}","x":"{}"}}"#, jwk.crv, jwk.kty, jwk.x);
    BASE64.encode(digest::digest(&digest::SHA256, members.as_bytes()))
}
