//! Pages that changed since the snapshot, or since the segment before.
//!
//! In an object, before it is sealed: length of the head (u32, big endian), the head (JSON), and compressed
//! with zstd each page's number (u32, big endian) and bytes.

use jiff::Timestamp;
use locum_replication::Position;
use serde::{Deserialize, Serialize};

/// Most pages of one segment; more are split.
pub const MAX_PAGES: usize = 2_048;

const LEVEL: i32 = 1;
/// Largest page SQLite knows, with its number.
const MAX_PAGE_BYTES: usize = 65_536 + 4;

/// What a segment says of itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentHead {
    /// When the snapshot that its pages come from was taken.
    pub taken_at: Timestamp,
    /// Everything up to here is in it; `None` where there is one copy only.
    pub position: Option<Position>,
    /// Size of a page.
    pub page_bytes: u32,
    /// Pages of the database afterwards.
    pub pages_after: u32,
    /// The last of those with the same `taken_at`: the database is consistent after it.
    pub ends: bool,
    /// Lists of the documents that rows name since then.
    #[serde(default)]
    pub document_lists: u32,
}

/// A segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Segment {
    /// What it says of itself.
    pub head: SegmentHead,
    /// Number and bytes of each page.
    pub pages: Vec<(u32, Vec<u8>)>,
}

impl Segment {
    /// As bytes, not sealed yet.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let head = serde_json::to_vec(&self.head).ok()?;
        let mut pages = Vec::new();
        for (number, page) in &self.pages {
            pages.extend_from_slice(&number.to_be_bytes());
            pages.extend_from_slice(page);
        }
        let pages = zstd::bulk::compress(&pages, LEVEL).ok()?;
        let length = u32::try_from(head.len()).ok()?.to_be_bytes();
        Some([&length[..], &head, &pages].concat())
    }

    /// What [`Self::encode`] made; `None` for anything else.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (head, pages) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        let head: SegmentHead = serde_json::from_slice(head).ok()?;
        if pages.is_empty() {
            // Nothing would decompress to nothing.
            return None;
        }
        let pages = zstd::bulk::decompress(pages, MAX_PAGES * MAX_PAGE_BYTES).ok()?;
        let entries = pages.chunks_exact(head.page_bytes as usize + 4);
        if !entries.remainder().is_empty() {
            return None;
        }
        let entry = |entry: &[u8]| {
            let (number, page) = entry.split_first_chunk::<4>()?;
            Some((u32::from_be_bytes(*number), page.to_vec()))
        };
        Some(Self { head, pages: entries.map(entry).collect::<Option<_>>()? })
    }
}

pub(crate) fn segment_name(below: &str, number: u32) -> String {
    format!("{below}/log/{number:08}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_comes_back() {
        let head = SegmentHead {
            taken_at: "2026-11-22T10:00:00Z".parse().unwrap(),
            position: None,
            page_bytes: 4_096,
            pages_after: 9,
            ends: true,
            document_lists: 1,
        };
        let segment = Segment { head, pages: vec![(1, vec![1; 4_096]), (9, vec![9; 4_096])] };
        let bytes = segment.encode().unwrap();
        assert_eq!(Segment::decode(&bytes).unwrap(), segment);
        for cut in 0..bytes.len() {
            assert_eq!(Segment::decode(&bytes[..cut]), None, "cut at {cut}");
        }
    }
}
