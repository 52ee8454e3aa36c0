//! Keys at rest: one random key a record group, wrapped by the host's master key.
//!
//! The wrapped key stands beside the database. AES-256-GCM authenticates it, so a wrong master key is
//! recognised before the database is touched at all (the database's own cipher, AES-256-CBC, would not tell).

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use locum_identity::private_file;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use serde::{Deserialize, Serialize};

use super::GroupId;
use super::sqlite::DatabaseKey;

const VERSION: u32 = 1;

/// The host's key-encrypting key, read from `store_key_file`.
#[derive(Clone)]
pub struct MasterKey(LessSafeKey);

/// A key made from a group's key for one purpose; it tells nothing of the group's key or of other purposes.
#[derive(Clone)]
pub struct DerivedKey([u8; 32]);

/// Reading or unwrapping a key failed. No variant holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("key file {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not 32 bytes in hex.
    #[error("key file {0}: not 32 bytes in hexadecimal")]
    Malformed(PathBuf),
    /// The master key is not the one that wrapped this group's key.
    #[error("the key in `store_key_file` does not open record group `{0}`: wrong key, nothing was touched")]
    WrongKey(GroupId),
    /// Data without its key.
    #[error("record group `{0}` has a database but no wrapped key beside it")]
    Missing(GroupId),
    /// The operating system gave no random bytes.
    #[error("no random bytes for a new key")]
    Random,
}

/// What the file `key.json` of a group holds.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct WrappedKey {
    version: u32,
    /// Base64 of nonce ‖ ciphertext ‖ tag.
    wrapped: String,
}

impl MasterKey {
    /// Reads 32 bytes in hexadecimal.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = private_file::read_to_string(path)
            .map_err(|source| KeyError::File { path: path.into(), source })?;
        let bytes = from_hex(text.trim()).ok_or_else(|| KeyError::Malformed(path.into()))?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| KeyError::Malformed(path.into()))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// One that nothing but this process ever knows.
    pub(crate) fn random() -> Result<Self, KeyError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| KeyError::Random)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| KeyError::Random)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// The group's key, made at its first start. `database` is the file it protects.
    pub(super) fn group_key(
        &self,
        group: &GroupId,
        path: &Path,
        database: &Path,
    ) -> Result<DatabaseKey, KeyError> {
        if let Some(key) = self.kept_key(group, path)? {
            return Ok(key);
        }
        if database.exists() {
            return Err(KeyError::Missing(group.clone()));
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| KeyError::Random)?;
        // Durable before the first byte of the database exists: a key is never lost after its data.
        self.keep_key(group, path, &key)?;
        Ok(DatabaseKey::from(key))
    }

    /// The group's key, if this host has it.
    pub(super) fn kept_key(&self, group: &GroupId, path: &Path) -> Result<Option<DatabaseKey>, KeyError> {
        match fs::read(path) {
            Ok(bytes) => self.unwrap(group, &bytes).map(Some),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeyError::File { path: path.into(), source }),
        }
    }

    /// Takes over the key of a group that other hosts hold already, 64 hexadecimal digits.
    pub(super) fn adopt_key(&self, group: &GroupId, path: &Path, key: &str) -> Result<DatabaseKey, KeyError> {
        let key = from_hex(key).ok_or_else(|| KeyError::Malformed(path.into()))?;
        self.keep_key(group, path, &key)?;
        Ok(DatabaseKey::from(key))
    }

    fn keep_key(&self, group: &GroupId, path: &Path, key: &[u8; 32]) -> Result<(), KeyError> {
        let wrapped = self.wrap(group, key)?;
        private_file::write(path, &wrapped).map_err(|source| KeyError::File { path: path.into(), source })
    }

    fn wrap(&self, group: &GroupId, key: &[u8; 32]) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| KeyError::Random)?;
        let mut sealed = key.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(group), &mut sealed)
            .map_err(|_| KeyError::Random)?;
        let wrapped = BASE64.encode([&nonce[..], &sealed].concat());
        serde_json::to_vec(&WrappedKey { version: VERSION, wrapped }).map_err(|_| KeyError::Random)
    }

    fn unwrap(&self, group: &GroupId, file: &[u8]) -> Result<DatabaseKey, KeyError> {
        let wrong = || KeyError::WrongKey(group.clone());
        let file: WrappedKey = serde_json::from_slice(file).map_err(|_| wrong())?;
        let bytes = BASE64.decode(file.wrapped).map_err(|_| wrong())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let key = self.0.open_in_place(nonce, aad(group), &mut sealed).map_err(|_| wrong())?;
        <[u8; 32]>::try_from(&*key).map(DatabaseKey::from).map_err(|_| wrong())
    }
}

impl DatabaseKey {
    /// HKDF-SHA256 (RFC 5869): the same on every host of the group.
    pub(super) fn derive(&self, group: &GroupId, purpose: &str) -> DerivedKey {
        struct Length;
        impl KeyType for Length {
            fn len(&self) -> usize {
                32
            }
        }
        let salt = Salt::new(HKDF_SHA256, b"locum record group");
        let mut key = [0; 32];
        let info = [purpose.as_bytes(), b"\0", group.as_str().as_bytes()];
        let extracted = salt.extract(self.expose().as_bytes());
        // Only a length over 255 hashes fails (RFC 5869 §2.3).
        if let Ok(expanded) = extracted.expand(&info, Length) {
            let _ = expanded.fill(&mut key);
        }
        DerivedKey(key)
    }
}

impl DerivedKey {
    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn of_test(byte: u8) -> Self {
        Self([byte; 32])
    }
}

impl fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKey([secret])")
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey([secret])")
    }
}

/// Binds a wrapped key to its group, so that two groups' files cannot be swapped.
fn aad(group: &GroupId) -> Aad<String> {
    Aad::from(format!("locum record group key v{VERSION} {group}"))
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master(hex_digit: char) -> (tempfile::TempDir, MasterKey) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        private_file::write(&path, hex_digit.to_string().repeat(64).as_bytes()).unwrap();
        let key = MasterKey::read(&path).unwrap();
        (folder, key)
    }

    fn group(name: &str) -> GroupId {
        GroupId::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn only_the_wrapping_key_opens_and_only_for_its_group() {
        let (folder, key) = master('a');
        let (path, database) = (folder.path().join("key.json"), folder.path().join("data.db"));
        let made = key.group_key(&group("main"), &path, &database).unwrap();
        assert_eq!(key.group_key(&group("main"), &path, &database).unwrap().expose(), made.expose());
        let other_group = key.group_key(&group("other"), &path, &database);
        assert!(matches!(other_group, Err(KeyError::WrongKey(_))));
        let (_other_folder, other) = master('b');
        let other_key = other.group_key(&group("main"), &path, &database);
        assert!(matches!(other_key, Err(KeyError::WrongKey(_))));
    }

    #[test]
    fn derived_keys_differ_by_purpose_and_group() {
        let key = DatabaseKey::from([7; 32]);
        let made = |name: &str, purpose: &str| *key.derive(&group(name), purpose).expose();
        assert_eq!(made("main", "a"), made("main", "a"));
        assert_ne!(made("main", "a"), made("main", "b"));
        assert_ne!(made("main", "a"), made("other", "a"));
        assert_ne!(made("main", "a"), [0; 32]);
    }

    #[test]
    fn a_database_without_its_key_gets_no_new_one() {
        let (folder, key) = master('a');
        let (path, database) = (folder.path().join("key.json"), folder.path().join("data.db"));
        fs::write(&database, "x").unwrap();
        assert!(matches!(key.group_key(&group("main"), &path, &database), Err(KeyError::Missing(_))));
        assert!(!path.exists());
    }
}
