//! Sealing one object: a key derived for it alone, bound to its name.
//!
//! On disk: magic (8 bytes), salt (32), AES-256-GCM ciphertext and tag. A key seals exactly one object, so
//! its nonce may be constant.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::keyring::BackupKey;

const MAGIC: &[u8; 8] = b"LOCUMBK1";
const SALT_BYTES: usize = 32;
pub(crate) const HEAD_BYTES: usize = MAGIC.len() + SALT_BYTES;
pub(crate) const TAG_BYTES: usize = 16;

/// An object cannot be sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SealError {
    /// The operating system gave no random bytes.
    #[error("no random bytes")]
    Random,
    /// A bound of the cipher or the compressor.
    #[error("too large to be sealed")]
    TooLarge,
}

/// An object is not what was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OpenError {
    /// It does not begin as ours do.
    #[error("not a sealed object of this release")]
    Foreign,
    /// Cut off, altered, another object's content, or another backup's.
    #[error("truncated or altered")]
    Altered,
}

/// Seals `content` as the object `name`.
pub(crate) fn seal(key: &BackupKey, name: &str, content: Vec<u8>) -> Result<Vec<u8>, SealError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|_| SealError::Random)?;
    let key = derive(key, name, &salt).ok_or(SealError::TooLarge)?;
    let mut sealed = Vec::with_capacity(HEAD_BYTES + content.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(MAGIC);
    sealed.extend_from_slice(&salt);
    let mut content = content;
    let tag = key.seal_in_place_separate_tag(nonce(), Aad::from(name), &mut content);
    let tag = tag.map_err(|_| SealError::TooLarge)?;
    sealed.extend_from_slice(&content);
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// Opens what [`seal`] made under that name.
pub(crate) fn open(key: &BackupKey, name: &str, object: &[u8]) -> Result<Vec<u8>, OpenError> {
    let (magic, rest) = object.split_first_chunk::<8>().ok_or(OpenError::Altered)?;
    if magic != MAGIC {
        return Err(OpenError::Foreign);
    }
    let (salt, sealed) = rest.split_first_chunk::<SALT_BYTES>().ok_or(OpenError::Altered)?;
    let key = derive(key, name, salt).ok_or(OpenError::Altered)?;
    let mut content = sealed.to_vec();
    let opened = key.open_in_place(nonce(), Aad::from(name), &mut content).map_err(|_| OpenError::Altered)?;
    let length = opened.len();
    content.truncate(length);
    Ok(content)
}

fn derive(key: &BackupKey, name: &str, salt: &[u8; SALT_BYTES]) -> Option<LessSafeKey> {
    let pseudorandom = Salt::new(HKDF_SHA256, salt).extract(key.expose());
    let info = [b"locum backup object v1 ".as_slice(), name.as_bytes()];
    let expanded = pseudorandom.expand(&info, &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(expanded)))
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_name_open() {
        let (key, other) = (BackupKey::from([1; 32]), BackupKey::from([2; 32]));
        let sealed = seal(&key, "a/1", b"content".to_vec()).unwrap();
        assert_eq!(open(&key, "a/1", &sealed).unwrap(), b"content");
        assert_eq!(open(&key, "a/2", &sealed), Err(OpenError::Altered));
        assert_eq!(open(&other, "a/1", &sealed), Err(OpenError::Altered));
        assert_ne!(seal(&key, "a/1", b"content".to_vec()).unwrap(), sealed);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let key = BackupKey::from([1; 32]);
        let sealed = seal(&key, "a", b"some content".to_vec()).unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(open(&key, "a", &altered).is_err(), "byte {at}");
            assert!(open(&key, "a", &sealed[..at]).is_err(), "cut at {at}");
        }
    }
}
