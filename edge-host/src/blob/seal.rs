//! A document's id, its own key, and its sealed form.
//!
//! ```text
//! id     = HMAC-SHA-256(content) under a key derived from the group's: the same content has the same id
//! key    = random, wrapped by a key derived from the group's; it stands in the row and goes with it
//! sealed = AES-256-GCM of each MiB, one after the other; nonce: its place; bound to object, place and "last"
//! ```
//!
//! The file's name is random. A document that comes twice is stored under one id; the second file is of no
//! use and is swept away.

use std::fmt;
use std::str::FromStr;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::store::{DerivedKey, GroupId};

/// What the group's key is derived for.
pub(super) const ID_PURPOSE: &str = "locum blob ids v1";
pub(super) const KEY_PURPOSE: &str = "locum blob keys v1";
/// Of content, in one chunk.
pub(crate) const CHUNK_BYTES: usize = 1 << 20;
const TAG_BYTES: usize = 16;
/// Of a chunk as it is kept; only the last one is shorter.
pub(super) const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;

/// Name of a file of sealed chunks, in 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ObjectId(pub(super) [u8; 16]);

/// Name of a document's content.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct BlobId(pub(super) [u8; 32]);

/// What names a group's documents and opens their keys.
pub(super) struct GroupKeys {
    group: GroupId,
    ids: hmac::Key,
    keys: LessSafeKey,
}

/// Seals or opens the chunks of one object.
pub(super) struct ObjectKey {
    object: ObjectId,
    key: LessSafeKey,
}

/// Not what was sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not what was sealed")]
pub(crate) struct Altered;

impl GroupKeys {
    pub(super) fn new(group: &GroupId, ids: &DerivedKey, keys: &DerivedKey) -> Option<Self> {
        let keys = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, keys.expose()).ok()?);
        let ids = hmac::Key::new(hmac::HMAC_SHA256, ids.expose());
        Some(Self { group: group.clone(), ids, keys })
    }

    /// Takes the content in, piece by piece.
    pub(super) fn naming(&self) -> hmac::Context {
        hmac::Context::with_key(&self.ids)
    }

    /// A key for a new object, and its wrapped form.
    pub(super) fn new_key(&self, object: ObjectId) -> Option<(ObjectKey, Vec<u8>)> {
        let (mut key, mut nonce) = ([0; 32], [0; NONCE_LEN]);
        getrandom::fill(&mut key).ok()?;
        getrandom::fill(&mut nonce).ok()?;
        let mut sealed = key.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.keys.seal_in_place_append_tag(unique, self.aad(object), &mut sealed).ok()?;
        Some((ObjectKey::new(object, &key)?, [&nonce[..], &sealed].concat()))
    }

    pub(super) fn unwrap(&self, object: ObjectId, wrapped: &[u8]) -> Result<ObjectKey, Altered> {
        let (nonce, sealed) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(Altered)?;
        let (mut sealed, nonce) = (sealed.to_vec(), Nonce::assume_unique_for_key(*nonce));
        let key = self.keys.open_in_place(nonce, self.aad(object), &mut sealed).map_err(|_| Altered)?;
        ObjectKey::new(object, key).ok_or(Altered)
    }

    fn aad(&self, object: ObjectId) -> Aad<String> {
        Aad::from(format!("{} {object}", self.group))
    }
}

impl ObjectKey {
    fn new(object: ObjectId, key: &[u8]) -> Option<Self> {
        Some(Self { object, key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?) })
    }

    /// Seals the chunk at `place`, once: its place is its nonce.
    pub(super) fn seal(&self, place: u64, is_last: bool, mut chunk: Vec<u8>) -> Result<Vec<u8>, Altered> {
        let aad = self.aad(place, is_last);
        self.key.seal_in_place_append_tag(nonce(place), aad, &mut chunk).map_err(|_| Altered)?;
        Ok(chunk)
    }

    pub(super) fn open(&self, place: u64, is_last: bool, mut sealed: Vec<u8>) -> Result<Vec<u8>, Altered> {
        let aad = self.aad(place, is_last);
        let length = self.key.open_in_place(nonce(place), aad, &mut sealed).map_err(|_| Altered)?.len();
        sealed.truncate(length);
        Ok(sealed)
    }

    fn aad(&self, place: u64, is_last: bool) -> Aad<String> {
        Aad::from(format!("{} {place} {is_last}", self.object))
    }
}

impl ObjectId {
    pub(super) fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }
}

/// How long content of `bytes` is once sealed. Nothing at all is one chunk too.
pub(super) fn sealed_bytes(bytes: u64) -> u64 {
    bytes + chunks(bytes) * TAG_BYTES as u64
}

/// In how many chunks.
pub(super) fn chunks(bytes: u64) -> u64 {
    bytes.div_ceil(CHUNK_BYTES as u64).max(1)
}

fn nonce(place: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&place.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ObjectId {
    type Err = Altered;

    fn from_str(text: &str) -> Result<Self, Altered> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_hex) {
            return Err(Altered);
        }
        u128::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| Altered)
    }
}

impl TryFrom<String> for ObjectId {
    type Error = Altered;

    fn try_from(text: String) -> Result<Self, Altered> {
        text.parse()
    }
}

impl From<ObjectId> for String {
    fn from(object: ObjectId) -> Self {
        object.to_string()
    }
}

/// It tells whether two documents are the same: not for logs.
impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobId([phi])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(byte: u8) -> GroupKeys {
        let group = GroupId::try_from("main".to_owned()).unwrap();
        GroupKeys::new(&group, &DerivedKey::of_test(byte), &DerivedKey::of_test(byte + 1)).unwrap()
    }

    #[test]
    fn a_chunk_opens_only_in_its_place_and_with_its_own_key() {
        let object = ObjectId([7; 16]);
        let (key, wrapped) = keys(1).new_key(object).unwrap();
        let sealed = key.seal(3, true, b"content".to_vec()).unwrap();
        let again = keys(1).unwrap(object, &wrapped).unwrap();
        assert_eq!(again.open(3, true, sealed.clone()).unwrap(), b"content");
        for (place, is_last) in [(3, false), (2, true)] {
            assert_eq!(again.open(place, is_last, sealed.clone()), Err(Altered));
        }
        assert!(keys(1).unwrap(ObjectId([8; 16]), &wrapped).is_err());
        assert!(keys(3).unwrap(object, &wrapped).is_err());
        let (other, _) = keys(1).new_key(object).unwrap();
        assert_eq!(other.open(3, true, sealed), Err(Altered));
    }

    #[test]
    fn names_are_read_strictly() {
        let object = ObjectId([0xa7; 16]);
        assert_eq!(object.to_string().parse(), Ok(object));
        for bad in ["", "../../../../../../../etc/passwd0", &"A7".repeat(16), &"a7".repeat(17)] {
            assert_eq!(bad.parse::<ObjectId>(), Err(Altered), "{bad}");
        }
    }

    #[test]
    fn lengths_of_the_sealed_form() {
        let mib = CHUNK_BYTES as u64;
        for (bytes, parts) in [(0, 1), (1, 1), (mib, 1), (mib + 1, 2), (25 * mib, 25)] {
            assert_eq!((chunks(bytes), sealed_bytes(bytes)), (parts, bytes + 16 * parts), "{bytes}");
        }
    }
}
