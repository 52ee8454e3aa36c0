//! The keys that sign the zone, in one private file that every member serving DNS has a copy of. One key signs
//! everything (a CSK); during a rollover there are two.
//!
//! A rollover goes in three steps with time between them, so that whatever is kept in resolvers always has a key
//! that verifies it: `roll` publishes the next key, `switch` signs with it, `retire` forgets the last one.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hickory_server::proto::dnssec::crypto::EcdsaSigningKey;
use hickory_server::proto::dnssec::rdata::DNSKEY;
use hickory_server::proto::dnssec::{Algorithm, DigestType, SigningKey as _};
use hickory_server::proto::rr::Name;
use locum_identity::private_file;
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};

use super::{DNSKEY_TTL_S, MAX_TTL_S};

/// Zone key, secure entry point: a CSK has both.
const CSK_FLAGS: u16 = 257;
/// After a step, the time until every resolver has seen it, beside what it may keep.
const MARGIN_S: u64 = 300;
/// How long parents usually let their DS record be kept.
const PARENT_TTL_S: u64 = 24 * 60 * 60;

/// What a key is used for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyState {
    /// Published; it will sign.
    Incoming,
    /// Signs everything.
    Active,
    /// Still published: answers that it signed may be kept somewhere.
    Outgoing,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    state: KeyState,
    /// Second in which it came to this state.
    since: u64,
    /// PKCS#8, base64.
    key: String,
}

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    keys: Vec<Stored>,
}

/// Keys cannot be used, or not yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("use the file of keys")]
    File(#[source] io::Error),
    #[error("there is a file of keys already")]
    Exists,
    #[error("read the file of keys: not one of format 1")]
    Format,
    #[error("read the file of keys: it needs one active key, and at most one more")]
    Keys,
    #[error("use a key: {0}")]
    Key(String),
    #[error("there is a key too many or too few for this step of a rollover")]
    Step,
    #[error(
        "too early: resolvers may still rely on what was before; {0} s to go (--now does it all the same)"
    )]
    Early(u64),
}

/// One key as it is used.
pub(crate) struct ZoneKey {
    pub(crate) state: KeyState,
    pub(crate) since: u64,
    pub(crate) tag: u16,
    pub(crate) dnskey: DNSKEY,
    pkcs8: Vec<u8>,
}

/// All keys of the zone, the active one first.
pub(crate) struct ZoneKeys(Vec<ZoneKey>);

impl ZoneKeys {
    /// Makes the first key and its file.
    pub(crate) fn create(path: &Path, now_s: u64) -> Result<Self, KeyError> {
        if path.exists() {
            return Err(KeyError::Exists);
        }
        let keys = Self(vec![ZoneKey::generate(KeyState::Active, now_s)?]);
        keys.save(path)?;
        Ok(keys)
    }

    /// Reads the file, which nobody else may.
    pub(crate) fn read(path: &Path) -> Result<Self, KeyError> {
        let text = private_file::read_to_string(path).map_err(KeyError::File)?;
        // Not the parser's own words: they may quote a key.
        let file: File = serde_json::from_str(&text).map_err(|_| KeyError::Format)?;
        if file.format != 1 {
            return Err(KeyError::Format);
        }
        let mut keys = file.keys.iter().map(ZoneKey::restore).collect::<Result<Vec<_>, _>>()?;
        keys.sort_by_key(|key| key.state != KeyState::Active);
        let active = keys.iter().filter(|key| key.state == KeyState::Active).count();
        if active != 1 || keys.len() > 2 {
            return Err(KeyError::Keys);
        }
        Ok(Self(keys))
    }

    /// Writes the file whole, mode 0600.
    pub(crate) fn save(&self, path: &Path) -> Result<(), KeyError> {
        let store = |key: &ZoneKey| Stored {
            state: key.state,
            since: key.since,
            key: BASE64_STANDARD.encode(&key.pkcs8),
        };
        let file = File { format: 1, keys: self.0.iter().map(store).collect() };
        let text = serde_json::to_vec_pretty(&file).map_err(|error| KeyError::File(error.into()))?;
        private_file::write(path, &text).map_err(KeyError::File)
    }

    /// The active one first.
    pub(crate) fn list(&self) -> &[ZoneKey] {
        &self.0
    }

    /// Step one: a next key, published and not used.
    pub(crate) fn roll(&mut self, now_s: u64) -> Result<(), KeyError> {
        if self.0.len() != 1 {
            return Err(KeyError::Step);
        }
        self.0.push(ZoneKey::generate(KeyState::Incoming, now_s)?);
        Ok(())
    }

    /// Step two: the next key signs. Once every resolver has seen it.
    pub(crate) fn switch(&mut self, now_s: u64, early: bool) -> Result<(), KeyError> {
        let incoming = self.position(KeyState::Incoming)?;
        wait(self.0[incoming].since, u64::from(DNSKEY_TTL_S) + MARGIN_S, now_s, early)?;
        for key in &mut self.0 {
            key.state = if key.state == KeyState::Incoming { KeyState::Active } else { KeyState::Outgoing };
            key.since = now_s;
        }
        self.0.sort_by_key(|key| key.state != KeyState::Active);
        Ok(())
    }

    /// Step three: the last key goes. Once nothing it signed is kept anywhere, and the parent zone names the
    /// next.
    pub(crate) fn retire(&mut self, now_s: u64, early: bool) -> Result<(), KeyError> {
        let outgoing = self.position(KeyState::Outgoing)?;
        let kept = u64::from(MAX_TTL_S).max(PARENT_TTL_S) + MARGIN_S;
        wait(self.0[outgoing].since, kept, now_s, early)?;
        self.0.remove(outgoing);
        Ok(())
    }

    fn position(&self, state: KeyState) -> Result<usize, KeyError> {
        self.0.iter().position(|key| key.state == state).ok_or(KeyError::Step)
    }
}

impl ZoneKey {
    fn generate(state: KeyState, since: u64) -> Result<Self, KeyError> {
        let pkcs8 = EcdsaSigningKey::generate_pkcs8(Algorithm::ECDSAP256SHA256).map_err(wrong)?;
        Self::new(state, since, pkcs8.secret_pkcs8_der().to_vec())
    }

    fn restore(stored: &Stored) -> Result<Self, KeyError> {
        let pkcs8 = BASE64_STANDARD.decode(&stored.key).map_err(|_| KeyError::Format)?;
        Self::new(stored.state, stored.since, pkcs8)
    }

    fn new(state: KeyState, since: u64, pkcs8: Vec<u8>) -> Result<Self, KeyError> {
        let public = signing_key(&pkcs8)?.to_public_key().map_err(wrong)?;
        let dnskey = DNSKEY::with_flags(CSK_FLAGS, public);
        let tag = dnskey.calculate_key_tag().map_err(wrong)?;
        Ok(Self { state, since, tag, dnskey, pkcs8 })
    }

    /// What signs.
    pub(crate) fn signing_key(&self) -> Result<EcdsaSigningKey, KeyError> {
        signing_key(&self.pkcs8)
    }

    /// SHA-256 of the key and the zone's name: what stands in the parent zone.
    pub(crate) fn digest(&self, origin: &Name) -> Result<Vec<u8>, KeyError> {
        let digest = self.dnskey.to_digest(origin, DigestType::SHA256).map_err(wrong)?;
        Ok(digest.as_ref().to_vec())
    }

    /// The DS record as registrars want it.
    pub(crate) fn ds(&self, origin: &Name) -> Result<String, KeyError> {
        let digest: String = self.digest(origin)?.iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(format!("{origin} IN DS {} 13 2 {digest}", self.tag))
    }
}

fn signing_key(pkcs8: &[u8]) -> Result<EcdsaSigningKey, KeyError> {
    let der = PrivatePkcs8KeyDer::from(pkcs8);
    EcdsaSigningKey::from_pkcs8(&der, Algorithm::ECDSAP256SHA256).map_err(wrong)
}

fn wrong(error: impl std::fmt::Display) -> KeyError {
    KeyError::Key(error.to_string())
}

fn wait(since: u64, needed: u64, now_s: u64, early: bool) -> Result<(), KeyError> {
    let left = (since + needed).saturating_sub(now_s);
    if left > 0 && !early { Err(KeyError::Early(left)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollover_keeps_its_order_and_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dns.key");
        let first = ZoneKeys::create(&path, 1_000).unwrap().0[0].tag;
        assert!(matches!(ZoneKeys::create(&path, 1_000), Err(KeyError::Exists)));
        let mut keys = ZoneKeys::read(&path).unwrap();
        assert!(matches!(keys.switch(2_000, true), Err(KeyError::Step)));
        keys.roll(2_000).unwrap();
        assert!(matches!(keys.roll(2_000), Err(KeyError::Step)));
        assert!(matches!(keys.switch(2_010, false), Err(KeyError::Early(3_890))));
        keys.switch(2_000 + 3_900, false).unwrap();
        assert!(matches!(keys.retire(6_000, false), Err(KeyError::Early(_))));
        keys.save(&path).unwrap();
        let mut keys = ZoneKeys::read(&path).unwrap();
        assert_eq!((keys.0[0].state, keys.0[1].state), (KeyState::Active, KeyState::Outgoing));
        assert_eq!(keys.0[1].tag, first);
        keys.retire(5_900 + 24 * 3_600 + 300, false).unwrap();
        assert_eq!(keys.0.len(), 1);
        assert_ne!(keys.0[0].tag, first);
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_none_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dns.key");
        ZoneKeys::create(&path, 1).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(ZoneKeys::read(&path), Err(KeyError::File(_))));
        private_file::write(&path, br#"{"format":1,"keys":[]}"#).unwrap();
        assert!(matches!(ZoneKeys::read(&path), Err(KeyError::Keys)));
        private_file::write(&path, b"{}").unwrap();
        assert!(matches!(ZoneKeys::read(&path), Err(KeyError::Format)));
    }

    #[test]
    fn a_ds_is_written_as_registrars_want_it() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ZoneKeys::create(&dir.path().join("dns.key"), 1).unwrap();
        let ds = keys.0[0].ds(&Name::from_ascii("locum.test.").unwrap()).unwrap();
        let start = format!("locum.test. IN DS {} 13 2 ", keys.0[0].tag);
        assert_eq!(ds.strip_prefix(&start).unwrap().len(), 64);
    }
}
