//! The form of a log of read events on disk.
//!
//! ```text
//! <log>-<first>.log   one file of a log: its random id, its first sequence, 16 digits each
//!
//! file  = "LOCUMAU1" ‖ log u64 ‖ first u64 ‖ hash before the first 32 bytes ‖ frame …   integers big endian
//! frame = length u32 ‖ sealed ‖ hash 32 bytes
//! sealed = nonce 12 ‖ AES-256-GCM(event), bound to group, log and sequence
//! hash  = SHA-256(hash before ‖ sequence u64 ‖ sealed)
//! ```
//!
//! Whoever holds no key still sees whether a file is whole and follows on from another.

use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};

use super::event::Event;
use crate::store::{DerivedKey, GroupId};

/// What the group's key is derived for.
pub(crate) const PURPOSE: &str = "locum audit read events v1";
/// Of a file.
pub(crate) const HEADER_BYTES: usize = 56;
const MAGIC: &[u8; 8] = b"LOCUMAU1";
/// Marks the ids of logs of which nothing is on their host's own disk.
const OVERFLOW: u64 = 1 << 63;
/// Longest sealed event.
const MAX_SEALED: usize = 4_096;

/// SHA-256 over everything before.
pub(crate) type Hash = [u8; 32];

/// One file of a log.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
pub(crate) struct FileName {
    /// Random: a host that lost its disk begins another log.
    pub(crate) log: u64,
    /// Sequence of its first event.
    pub(crate) first: u64,
}

/// Up to where a log is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct End {
    /// Of the last event; 0 before the first.
    pub(crate) sequence: u64,
    pub(crate) hash: Hash,
}

/// Seals and opens the events of one group.
#[derive(Clone)]
pub(crate) struct Sealer {
    group: GroupId,
    key: LessSafeKey,
}

/// Where a file stops making sense.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Damage {
    /// Not a file of this form, or not the one its name says.
    #[error("its head is not that of the file it is named as")]
    Head,
    /// It ends inside a frame.
    #[error("it ends inside an event")]
    CutOff,
    /// A frame is not what it was.
    #[error("the hash is wrong")]
    Hash,
}

/// A file, as far as it is whole.
pub(crate) struct Walked {
    /// What stands before its first event.
    pub(crate) before: End,
    pub(crate) end: End,
    /// Bytes up to that end.
    pub(crate) bytes: u64,
    /// Why no further.
    pub(crate) damage: Option<Damage>,
}

/// A frame as it stands in a file.
pub(crate) struct Frame<'a> {
    pub(crate) sequence: u64,
    pub(crate) sealed: &'a [u8],
    pub(crate) hash: Hash,
}

impl FileName {
    /// Of a log that begins.
    pub(crate) fn begin() -> Result<Self, getrandom::Error> {
        Ok(Self { log: getrandom::u64()? & !OVERFLOW, first: 1 })
    }

    /// Of a log that begins because the disk is full: each of its events is kept elsewhere, none here.
    pub(crate) fn overflow() -> Result<Self, getrandom::Error> {
        Ok(Self { log: getrandom::u64()? | OVERFLOW, first: 1 })
    }

    pub(crate) fn is_overflow(self) -> bool {
        self.log & OVERFLOW != 0
    }

    pub(crate) fn in_folder(self, folder: &Path) -> PathBuf {
        folder.join(format!("{:016x}-{:016}.log", self.log, self.first))
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (log, first) = name.strip_suffix(".log")?.split_once('-')?;
        let name = Self { log: u64::from_str_radix(log, 16).ok()?, first: first.parse().ok()? };
        (log.len() == 16 && first.len() == 16).then_some(name)
    }

    pub(crate) fn head(self, before: &Hash) -> Vec<u8> {
        [&MAGIC[..], &self.log.to_be_bytes(), &self.first.to_be_bytes(), before].concat()
    }

    /// What stands before the first event of a log.
    pub(crate) fn origin(log: u64, group: &GroupId) -> End {
        let hash = Sha256::new().chain_update(MAGIC).chain_update(log.to_be_bytes());
        End { sequence: 0, hash: hash.chain_update(group.as_str()).finalize().into() }
    }

    fn read_head(self, bytes: &[u8]) -> Option<End> {
        let (head, hash) = bytes.get(..HEADER_BYTES)?.split_at(24);
        let hash: Hash = hash.try_into().ok()?;
        (head == &self.head(&hash)[..24]).then_some(End { sequence: self.first.checked_sub(1)?, hash })
    }
}

impl End {
    /// With one more event.
    pub(crate) fn then(self, sealed: &[u8]) -> Self {
        let sequence = self.sequence + 1;
        let hash = Sha256::new().chain_update(self.hash).chain_update(sequence.to_be_bytes());
        Self { sequence, hash: hash.chain_update(sealed).finalize().into() }
    }
}

impl Sealer {
    pub(crate) fn new(group: &GroupId, key: &DerivedKey) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).ok()?;
        Some(Self { group: group.clone(), key: LessSafeKey::new(key) })
    }

    pub(crate) fn group(&self) -> &GroupId {
        &self.group
    }

    /// The frame of an event that follows `end`, and the new end. `None` without random bytes, or for an
    /// event that is too large, which none is.
    pub(crate) fn frame(&self, log: u64, end: End, event: &Event) -> Option<(Vec<u8>, End)> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut text = event.canonical();
        let aad = self.aad(log, end.sequence + 1);
        self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text).ok()?;
        let sealed = [&nonce[..], &text].concat();
        if sealed.len() > MAX_SEALED {
            return None;
        }
        let next = end.then(&sealed);
        let length = u32::try_from(sealed.len()).ok()?;
        Some(([&length.to_be_bytes()[..], &sealed, &next.hash].concat(), next))
    }

    /// The event in a frame; `None` when it was sealed with another key or for another place.
    pub(crate) fn open(&self, log: u64, frame: &Frame<'_>) -> Option<Event> {
        let (nonce, sealed) = frame.sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let aad = self.aad(log, frame.sequence);
        let text = self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut sealed).ok()?;
        serde_json::from_slice(text).ok()
    }

    fn aad(&self, log: u64, sequence: u64) -> Aad<String> {
        Aad::from(format!("{} {log:016x} {sequence}", self.group))
    }
}

/// Goes through a file's bytes and shows each whole frame to `each`.
pub(crate) fn walk(name: FileName, bytes: &[u8], mut each: impl FnMut(Frame<'_>)) -> Walked {
    let nowhere = End { sequence: name.first.saturating_sub(1), hash: [0; 32] };
    let Some(before) = name.read_head(bytes) else {
        return Walked { before: nowhere, end: nowhere, bytes: 0, damage: Some(Damage::Head) };
    };
    let rest = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let (end, used, damage) = follow(before, rest, &mut each);
    Walked { before, end, bytes: (HEADER_BYTES + used) as u64, damage }
}

/// Goes through frames that follow `end`: the new end, the bytes up to there, and why no further.
pub(crate) fn follow(
    mut end: End,
    bytes: &[u8],
    mut each: impl FnMut(Frame<'_>),
) -> (End, usize, Option<Damage>) {
    let mut used = 0;
    while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
        let Some((sealed, hash)) = split(rest) else { return (end, used, Some(Damage::CutOff)) };
        let next = end.then(sealed);
        if next.hash != hash {
            return (end, used, Some(Damage::Hash));
        }
        each(Frame { sequence: next.sequence, sealed, hash });
        used += 4 + sealed.len() + hash.len();
        end = next;
    }
    (end, used, None)
}

/// Shows the frames of a file without looking whether they are what they were: sealed events say that by themselves.
pub(crate) fn each(name: FileName, bytes: &[u8], mut show: impl FnMut(Frame<'_>)) {
    let Some(End { mut sequence, .. }) = name.read_head(bytes) else { return };
    let mut used = HEADER_BYTES;
    while let Some((sealed, hash)) = bytes.get(used..).and_then(split) {
        sequence += 1;
        show(Frame { sequence, sealed, hash });
        used += 4 + sealed.len() + hash.len();
    }
}

/// How many of `bytes`, which begin with a frame, are whole frames.
pub(crate) fn whole(bytes: &[u8]) -> usize {
    let mut used = 0;
    while let Some((sealed, hash)) = bytes.get(used..).and_then(split) {
        used += 4 + sealed.len() + hash.len();
    }
    used
}

fn split(bytes: &[u8]) -> Option<(&[u8], Hash)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (sealed, rest) = rest.split_at_checked(length.min(MAX_SEALED + 1))?;
    Some((sealed, *rest.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{event, group, sealer};
    use super::*;

    fn file(events: u64) -> (FileName, Vec<u8>) {
        let name = FileName { log: 7, first: 1 };
        let mut end = FileName::origin(7, &group());
        let mut bytes = name.head(&end.hash);
        for number in 0..events {
            let (frame, next) = sealer().frame(7, end, &event(number)).unwrap();
            bytes.extend(frame);
            end = next;
        }
        (name, bytes)
    }

    #[test]
    fn what_was_written_is_read_in_order() {
        let (name, bytes) = file(3);
        let mut events = Vec::new();
        let walked = walk(name, &bytes, |frame| events.push(sealer().open(7, &frame).unwrap()));
        assert_eq!(events, [event(0), event(1), event(2)]);
        assert_eq!((walked.end.sequence, walked.bytes, walked.damage), (3, bytes.len() as u64, None));
        assert_eq!(
            FileName::parse(name.in_folder(Path::new("/x")).file_name().unwrap().to_str().unwrap()),
            Some(name)
        );
    }

    #[test]
    fn any_flipped_byte_and_any_cut_is_seen() {
        let (name, bytes) = file(2);
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            let walked = walk(name, &flipped, |_| {});
            // A flipped hash before the first is seen by whoever knows the log's origin.
            let wrong = walked.damage.is_some() || walked.before != FileName::origin(7, &group());
            assert!(wrong, "byte {place}");
        }
        let whole = walk(name, &bytes, |_| {}).bytes as usize;
        for cut in HEADER_BYTES + 1..whole {
            let walked = walk(name, &bytes[..cut], |_| {});
            assert!(walked.damage.is_some() || walked.end.sequence < 2, "cut at {cut}");
        }
    }

    #[test]
    fn an_event_opens_only_where_it_was_written() {
        let (name, bytes) = file(2);
        walk(name, &bytes, |frame| {
            assert!(sealer().open(8, &frame).is_none(), "another log");
            let moved = Frame { sequence: frame.sequence + 1, sealed: frame.sealed, hash: frame.hash };
            assert!(sealer().open(7, &moved).is_none(), "another place");
        });
    }
}
