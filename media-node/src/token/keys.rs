//! Public keys of the edge hosts, and who publishes them.

use std::collections::{HashMap, HashSet};

use jsonwebtoken::DecodingKey;
use locum_identity::Jwk;

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
        if jwk.kty != "OKP" || jwk.crv != "Ed25519" || jwk.kid.is_empty() {
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
