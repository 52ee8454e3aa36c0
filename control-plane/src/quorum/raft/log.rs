//! The log and the vote on disk. What was acknowledged to others is there after a power cut, or the member does not
//! start: it could promise the same thing twice.
//!
//! `vote`: JSON with a checksum, replaced whole. `log`:
//!
//! | bytes | what |
//! |---|---|
//! | 0..512 | magic, length, checksum, JSON: the entry up to which the log is gone into a snapshot |
//! | 512..1024, 1024..1536 | two marks, written in turn: checksum, counter, the index after the last synced entry |
//! | 1536.. | entries: length, checksum, JSON |
//!
//! Integers are little-endian, checksums CRC-32; an entry's goes on from the one before, so that none can be missing in
//! between. The mark tells a log that somebody cut short, or that rotted, from one whose last write a power cut
//! tore: an entry below the mark was synced before the mark was written, one above was never acknowledged.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use locum_identity::private_file;
use openraft::RaftLogId as _;
use serde::{Deserialize, Serialize};

use super::{Entry, LogId, Vote};

const MAGIC: &[u8; 16] = b"locum-quorum-1\n\0";
const MARKS: [u64; 2] = [512, 1024];
const ENTRIES: u64 = 1536;
const HEAD: usize = 8;
/// No change of the record is as long: a greater length is damage.
const MAX_ENTRY_BYTES: u32 = 64 << 20;

/// The files of a log cannot be used.
#[derive(Debug)]
pub(crate) enum LogError {
    Io { path: PathBuf, source: io::Error },
    Missing { file: &'static str },
    Damaged { file: &'static str, detail: String },
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct VoteFile {
    vote: Option<Vote>,
    crc: u32,
}

/// An entry, the place in the file at which it begins, and its checksum.
#[derive(Debug)]
struct Stored {
    at: u64,
    crc: u32,
    entry: Entry,
}

/// An open log. Every method blocks.
#[derive(Debug)]
pub(crate) struct LogFile {
    dir: PathBuf,
    file: File,
    purged: Option<LogId>,
    entries: VecDeque<Stored>,
    end: u64,
    marks: u64,
    vote: Option<Vote>,
}

impl LogFile {
    /// A log without anything.
    pub(crate) fn create(dir: &Path) -> Result<(), LogError> {
        write_vote(dir, None).map_err(at(&dir.join("vote")))?;
        let path = dir.join("log");
        private_file::write(&path, &image(None, 0, &[])).map_err(at(&path))
    }

    /// What is there, if it is whole.
    pub(crate) fn open(dir: &Path) -> Result<Self, LogError> {
        let vote = read_vote(dir)?;
        let path = dir.join("log");
        let bytes = match private_file::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(LogError::Missing { file: "log" });
            }
            Err(source) => return Err(LogError::Io { path, source }),
        };
        let damaged = |detail: String| LogError::Damaged { file: "log", detail };
        let purged = read_purged(&bytes).ok_or_else(|| damaged("its head does not verify".to_owned()))?;
        let (marks, acknowledged) =
            read_marks(&bytes).ok_or_else(|| damaged("its marks do not verify".to_owned()))?;
        let (entries, end) = read_entries(&bytes, purged);
        let next = entries.back().map_or_else(|| next_index(purged), |last| index(&last.entry) + 1);
        if next < acknowledged {
            return Err(damaged(format!(
                "entry {next} is unreadable, and entry {} was there",
                acknowledged - 1
            )));
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(at(&path))?;
        if end < bytes.len() as u64 {
            tracing::warn!(entry = next, "the end of the log was torn and never acknowledged: it is cut off");
            file.set_len(end).map_err(at(&path))?;
        }
        // What is read here counts as kept from now on, and may be in memory only: the process before died as it wrote.
        file.sync_all().map_err(at(&path))?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
        Ok(Self { dir: dir.to_owned(), file, purged, entries, end, marks, vote })
    }

    /// Nothing was ever said in its name.
    pub(crate) fn is_pristine(&self) -> bool {
        self.vote.is_none() && self.purged.is_none() && self.entries.is_empty()
    }

    /// The newest entry that went into a snapshot.
    pub(crate) fn purged_index(&self) -> Option<u64> {
        self.purged.map(|id| id.index)
    }

    pub(crate) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    pub(crate) fn last(&self) -> Option<LogId> {
        self.entries.back().map_or(self.purged, |last| Some(*last.entry.get_log_id()))
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.vote
    }

    /// Size of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.end
    }

    /// The entries from `from` until before `until`.
    pub(crate) fn range(&self, from: u64, until: u64) -> impl Iterator<Item = &Entry> {
        let place = |from: u64| self.entries.partition_point(|stored| index(&stored.entry) < from);
        let (from, until) = (place(from), place(until));
        self.entries.range(from.min(until)..until).map(|stored| &stored.entry)
    }

    /// The same, but no more than `most` and about `bytes`, and at least one if there is one.
    pub(crate) fn batch(
        &self,
        from: u64,
        until: u64,
        most: usize,
        bytes: u64,
    ) -> impl Iterator<Item = &Entry> {
        let place = |from: u64| self.entries.partition_point(|stored| index(&stored.entry) < from);
        let (from, until) = (place(from), place(until));
        let begin = self.entries.get(from).map_or(0, |first| first.at);
        let fits = move |(nth, stored): &(usize, &Stored)| {
            *nth == 0 || (*nth < most && stored.at.saturating_sub(begin) < bytes)
        };
        let entries = self.entries.range(from.min(until)..until);
        entries.enumerate().take_while(fits).map(|(_, stored)| &stored.entry)
    }

    /// Returns once `vote` would survive a power cut.
    pub(crate) fn save_vote(&mut self, vote: Vote) -> io::Result<()> {
        write_vote(&self.dir, Some(vote))?;
        self.vote = Some(vote);
        Ok(())
    }

    /// Returns once `entries`, which come after the last, would survive a power cut. After an error none is there. What a
    /// snapshot holds already is passed over.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) -> io::Result<()> {
        let (mut bytes, mut added) = (Vec::new(), Vec::with_capacity(entries.len()));
        let mut next = next_index(self.last());
        let mut crc = self.entries.back().map_or(0, |last| last.crc);
        let purged = next_index(self.purged);
        for entry in entries.into_iter().skip_while(|entry| index(entry) < purged) {
            if index(&entry) < next {
                return Err(io::Error::other("an entry does not come after the one before it"));
            }
            next = index(&entry) + 1;
            let at = self.end + bytes.len() as u64;
            crc = push_entry(&mut bytes, crc, &entry)?;
            added.push(Stored { at, crc, entry });
        }
        let written = self.file.write_all_at(&bytes, self.end).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Best effort: what is left over was not acknowledged, and the next start cuts it off.
            let _ = self.file.set_len(self.end);
            return Err(error);
        }
        self.end += bytes.len() as u64;
        self.entries.extend(added);
        // Reaches the disk with the next entry, or with the system's next write-back: never before this one.
        self.mark(next)
    }

    /// Takes away what stands from `from` on.
    pub(crate) fn truncate(&mut self, from: u64) -> io::Result<()> {
        let place = self.entries.partition_point(|stored| index(&stored.entry) < from);
        let Some(end) = self.entries.get(place).map(|first| first.at) else { return Ok(()) };
        let before = place.checked_sub(1).and_then(|before| self.entries.get(before));
        let next = before.map_or_else(|| next_index(self.purged), |before| index(&before.entry) + 1);
        // The mark first: between the two a shorter log would look like a damaged one.
        self.mark(next)?;
        self.file.sync_data()?;
        self.file.set_len(end)?;
        self.file.sync_all()?;
        self.entries.truncate(place);
        self.end = end;
        Ok(())
    }

    /// Forgets everything up to `upto`, which is in a snapshot.
    pub(crate) fn purge(&mut self, upto: LogId) -> io::Result<()> {
        if self.purged >= Some(upto) {
            return Ok(());
        }
        let (mut bytes, mut entries, mut crc) = (Vec::new(), VecDeque::new(), 0);
        for entry in self.range(upto.index + 1, u64::MAX) {
            let at = ENTRIES + bytes.len() as u64;
            crc = push_entry(&mut bytes, crc, entry)?;
            entries.push_back(Stored { at, crc, entry: entry.clone() });
        }
        let next = entries.back().map_or(upto.index, |last: &Stored| index(&last.entry)) + 1;
        let path = self.dir.join("log");
        private_file::write(&path, &image(Some(upto), next, &bytes))?;
        self.file = OpenOptions::new().read(true).write(true).mode(0o600).open(&path)?;
        (self.purged, self.entries, self.marks) = (Some(upto), entries, 1);
        self.end = ENTRIES + bytes.len() as u64;
        Ok(())
    }

    fn mark(&mut self, next: u64) -> io::Result<()> {
        self.marks += 1;
        let place = if self.marks.is_multiple_of(2) { MARKS[0] } else { MARKS[1] };
        self.file.write_all_at(&mark(self.marks, next), place)
    }
}

/// A whole file.
fn image(purged: Option<LogId>, next: u64, entries: &[u8]) -> Vec<u8> {
    let head = serde_json::to_vec(&purged).unwrap_or_default();
    let mut bytes = vec![0; ENTRIES as usize];
    bytes[..16].copy_from_slice(MAGIC);
    bytes[16..20].copy_from_slice(&(head.len() as u32).to_le_bytes());
    bytes[20..24].copy_from_slice(&crc32fast::hash(&head).to_le_bytes());
    bytes[24..24 + head.len()].copy_from_slice(&head);
    // Both: a file without one is no file of ours.
    bytes[512..532].copy_from_slice(&mark(0, next));
    bytes[1024..1044].copy_from_slice(&mark(1, next));
    bytes.extend_from_slice(entries);
    bytes
}

fn mark(counter: u64, next: u64) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[4..12].copy_from_slice(&counter.to_le_bytes());
    bytes[12..].copy_from_slice(&next.to_le_bytes());
    let crc = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn read_purged(bytes: &[u8]) -> Option<Option<LogId>> {
    let rest = bytes.get(..512)?.strip_prefix(MAGIC)?;
    let (length, crc) = (u32_at(rest, 0)?, u32_at(rest, 4)?);
    let json = rest.get(8..8usize.checked_add(usize::try_from(length).ok()?)?)?;
    (crc32fast::hash(json) == crc).then(|| serde_json::from_slice(json).ok()).flatten()
}

/// The newest mark: its counter, and the index after the last entry that must be there. One of the two may be torn.
fn read_marks(bytes: &[u8]) -> Option<(u64, u64)> {
    let read = |at: u64| {
        let slot = bytes.get(usize::try_from(at).ok()?..)?.get(..20)?;
        let sound = crc32fast::hash(&slot[4..]) == u32_at(slot, 0)?;
        sound.then_some((u64_at(slot, 4)?, u64_at(slot, 12)?))
    };
    MARKS.into_iter().filter_map(read).max()
}

/// The entries that can be read, and where they end.
fn read_entries(bytes: &[u8], purged: Option<LogId>) -> (VecDeque<Stored>, u64) {
    let (mut entries, mut at, mut crc) = (VecDeque::new(), ENTRIES as usize, 0);
    let mut next = next_index(purged);
    while let Some((stored, length)) = bytes.get(at..).and_then(|rest| read_entry(rest, at as u64, crc)) {
        if index(&stored.entry) < next {
            break;
        }
        next = index(&stored.entry) + 1;
        at += length;
        crc = stored.crc;
        entries.push_back(stored);
    }
    (entries, at as u64)
}

fn read_entry(bytes: &[u8], at: u64, before: u32) -> Option<(Stored, usize)> {
    let (length, crc) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?);
    if length > MAX_ENTRY_BYTES {
        return None;
    }
    let end = HEAD + usize::try_from(length).ok()?;
    let json = bytes.get(HEAD..end)?;
    if checksum(before, length, json) != crc {
        return None;
    }
    let entry = serde_json::from_slice(json).ok()?;
    Some((Stored { at, crc, entry }, end))
}

/// Its checksum.
fn push_entry(bytes: &mut Vec<u8>, before: u32, entry: &Entry) -> io::Result<u32> {
    let json = serde_json::to_vec(entry)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= MAX_ENTRY_BYTES);
    let length = length.ok_or_else(|| io::Error::other("an entry is longer than it may be"))?;
    let crc = checksum(before, length, &json);
    bytes.write_all(&length.to_le_bytes())?;
    bytes.write_all(&crc.to_le_bytes())?;
    bytes.write_all(&json)?;
    Ok(crc)
}

/// Over the length too: zeros are no empty entry.
fn checksum(before: u32, length: u32, json: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&before.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(json);
    hasher.finalize()
}

fn read_vote(dir: &Path) -> Result<Option<Vote>, LogError> {
    let path = dir.join("vote");
    let damaged = |detail: String| LogError::Damaged { file: "vote", detail };
    let text = match private_file::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LogError::Missing { file: "vote" });
        }
        Err(source) => return Err(LogError::Io { path, source }),
    };
    let VoteFile { vote, crc } = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    let same = vote_crc(vote).is_ok_and(|own| own == crc);
    same.then_some(vote).ok_or_else(|| damaged("its checksum does not match".to_owned()))
}

fn write_vote(dir: &Path, vote: Option<Vote>) -> io::Result<()> {
    let crc = vote_crc(vote)?;
    private_file::write(&dir.join("vote"), &serde_json::to_vec(&VoteFile { vote, crc })?)
}

fn vote_crc(vote: Option<Vote>) -> io::Result<u32> {
    Ok(crc32fast::hash(&serde_json::to_vec(&vote)?))
}

fn index(entry: &Entry) -> u64 {
    entry.get_log_id().index
}

fn next_index(last: Option<LogId>) -> u64 {
    last.map_or(0, |last| last.index + 1)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> LogError + use<> {
    let path = path.to_owned();
    move |source| LogError::Io { path, source }
}

#[cfg(test)]
mod tests;
