//! The backup master key, and the keys of backups that it wraps.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use locum_identity::private_file;
use locum_replication::GroupId;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;

/// Opens the keyring. Kept by the operator, apart from backups and keyring.
#[derive(Clone)]
pub struct MasterKey(LessSafeKey);

/// Seals one backup or archive. It exists wrapped in the keyring and nowhere else.
#[derive(Clone)]
pub struct BackupKey([u8; 32]);

/// A key cannot be read, made or unwrapped. No variant holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("backup key file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Never replaced: backups that only the old key opens would be lost.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// Not 32 bytes in hex.
    #[error("backup key file {0}: not 32 bytes in hexadecimal")]
    Malformed(PathBuf),
    /// The operating system gave no random bytes.
    #[error("no random bytes for a new key")]
    Random,
    /// Another master key wrapped it, or it was altered.
    #[error("the backup key does not open {0}: wrong key, or the file was altered")]
    Wrong(String),
}

/// An entry of the keyring.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    version: u32,
    /// Base64 of nonce ‖ ciphertext ‖ tag.
    wrapped: String,
}

impl MasterKey {
    /// Reads 32 bytes in hexadecimal.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = private_file::read_to_string(path)
            .map_err(|source| KeyError::File { path: path.to_owned(), source })?;
        let key = from_hex(text.trim()).and_then(|bytes| UnboundKey::new(&AES_256_GCM, &bytes).ok());
        key.map(|key| Self(LessSafeKey::new(key))).ok_or_else(|| KeyError::Malformed(path.to_owned()))
    }

    /// Writes a new one to `path`, where nothing may be yet.
    ///
    /// # Errors
    /// [`KeyError::Exists`], [`KeyError::File`], [`KeyError::Random`].
    pub fn generate(path: &Path) -> Result<(), KeyError> {
        if path.exists() {
            return Err(KeyError::Exists(path.to_owned()));
        }
        let key = BackupKey::random()?;
        let text: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
        private_file::write(path, format!("{text}\n").as_bytes())
            .map_err(|source| KeyError::File { path: path.to_owned(), source })
    }

    /// The keyring's entry for the key of a backup or archive, by its name.
    pub(crate) fn wrap(&self, group: &GroupId, of: &str, key: &BackupKey) -> Result<Vec<u8>, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| KeyError::Random)?;
        let mut sealed = key.0.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        let done = self.0.seal_in_place_append_tag(unique, aad(group, of), &mut sealed);
        done.map_err(|_| KeyError::Random)?;
        let wrapped = BASE64.encode([&nonce[..], &sealed].concat());
        serde_json::to_vec(&Wrapped { version: VERSION, wrapped }).map_err(|_| KeyError::Random)
    }

    /// What [`Self::wrap`] wrapped; `None` for anything else.
    pub(crate) fn unwrap(&self, group: &GroupId, of: &str, entry: &[u8]) -> Option<BackupKey> {
        let entry: Wrapped = serde_json::from_slice(entry).ok().filter(|e: &Wrapped| e.version == VERSION)?;
        let bytes = BASE64.decode(entry.wrapped).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let key = self.0.open_in_place(nonce, aad(group, of), &mut sealed).ok()?;
        <[u8; 32]>::try_from(&*key).ok().map(BackupKey)
    }
}

impl BackupKey {
    /// A new one.
    pub(crate) fn random() -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| KeyError::Random)?;
        Ok(Self(bytes))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 32]> for BackupKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey([secret])")
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackupKey([secret])")
    }
}

/// Binds a key to what it is of, so that two entries cannot be swapped.
fn aad(group: &GroupId, of: &str) -> Aad<String> {
    Aad::from(format!("locum backup key v{VERSION} {group} {of}"))
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

    fn master(folder: &Path, name: &str) -> MasterKey {
        let path = folder.join(name);
        MasterKey::generate(&path).unwrap();
        assert!(matches!(MasterKey::generate(&path), Err(KeyError::Exists(_))));
        MasterKey::read(&path).unwrap()
    }

    #[test]
    fn a_wrapped_key_opens_with_its_master_key_and_for_its_backup_only() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (master(folder.path(), "one"), master(folder.path(), "two"));
        let group: GroupId = "main".parse().unwrap();
        let (id, other) = ("20261122T120000.000000Z-00000001", "20261122T120000.000000Z-00000002");
        let entry = one.wrap(&group, id, &BackupKey::from([7; 32])).unwrap();
        assert_eq!(one.unwrap(&group, id, &entry).unwrap().0, [7; 32]);
        assert!(two.unwrap(&group, id, &entry).is_none());
        assert!(one.unwrap(&group, other, &entry).is_none());
        assert!(one.unwrap(&"other".parse().unwrap(), id, &entry).is_none());
    }
}
