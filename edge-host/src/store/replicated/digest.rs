//! Hashes of pages, by which two copies of one epoch are compared without moving them.

use std::ops::Range;

use super::applier::STAMP_AT;
use crate::store::keys::DerivedKey;

/// Bytes of a page's hash: two pages that differ have the same one once in 2^64 pages.
pub(super) const HASH_BYTES: usize = 16;

/// The first page differs from copy to copy in these bytes: SQLite counts its own writes and names its version
/// there, and the copy says where it stands.
const OWN_BYTES: [Range<usize>; 3] = [24..28, STAMP_AT, 92..100];

/// Of one page.
pub(super) type PageHash = [u8; HASH_BYTES];

/// Hashes with the group's key: a hash tells nothing to whoever lacks it.
#[derive(Clone)]
pub(super) struct PageHasher([u8; blake3::KEY_LEN]);

/// Of all pages, in order.
pub(super) struct WholeHash(blake3::Hasher);

impl PageHasher {
    /// `key` is derived for this purpose.
    pub(super) fn new(key: &DerivedKey) -> Self {
        Self(*key.expose())
    }

    /// Of the page with this number.
    pub(super) fn page(&self, number: u32, bytes: &[u8]) -> PageHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        if number == 1 {
            let mut bytes = bytes.to_vec();
            for range in OWN_BYTES {
                bytes.get_mut(range).unwrap_or_default().fill(0);
            }
            hasher.update(&bytes);
        } else {
            hasher.update(bytes);
        }
        let mut hash = [0; HASH_BYTES];
        hasher.finalize_xof().fill(&mut hash);
        hash
    }

    /// Of no page yet.
    pub(super) fn whole(&self) -> WholeHash {
        WholeHash(blake3::Hasher::new_keyed(&self.0))
    }
}

impl WholeHash {
    /// The next page.
    pub(super) fn add(&mut self, page: &PageHash) {
        self.0.update(page);
    }

    /// Of all that were added.
    pub(super) fn finish(&self) -> [u8; blake3::OUT_LEN] {
        *self.0.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::DatabaseKey;

    #[test]
    fn what_is_a_copys_own_does_not_count_and_everything_else_does() {
        let group = "main".parse().unwrap();
        let hasher = |key: u8| PageHasher::new(&DatabaseKey::from([key; 32]).derive(&group, "page hashes"));
        let page = [7; 4_096];
        for changed in [0, 23, 24, 28, 71, 72, 91, 92, 99, 100, 4_095] {
            let mut other = page;
            other[changed] = 8;
            let is_own = OWN_BYTES.iter().any(|range| range.contains(&changed));
            assert_eq!(hasher(1).page(1, &page) == hasher(1).page(1, &other), is_own, "{changed}");
            assert_ne!(hasher(1).page(2, &page), hasher(1).page(2, &other));
        }
        assert_ne!(hasher(1).page(2, &page), hasher(2).page(2, &page));
    }
}
