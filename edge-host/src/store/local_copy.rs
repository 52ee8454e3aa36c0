//! This host's own copy of a group as backups see it: all pages of one moment, then those that changed until
//! another.
//!
//! Which pages changed is read off the headers of the frames in the copy's write-ahead log; their content
//! comes from a snapshot, decrypted by SQLite. A snapshot that is kept from one look to the next keeps the
//! log from beginning anew more than once between them, and then nothing of the old one is missed
//! (<https://www.sqlite.org/walformat.html>).

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pages::{PageReader, Shape};
use super::readers::Readers;
use super::sqlite::DatabaseKey;
use super::{SqlError, Value};

/// A snapshot is read for this long at most.
const READ_WITHIN: Duration = Duration::from_secs(6 * 3_600);
const HEADER_BYTES: u64 = 32;
const FRAME_HEADER_BYTES: u64 = 24;

/// A copy that can be backed up.
#[derive(Clone)]
pub struct LocalCopy {
    pub(super) path: PathBuf,
    pub(super) key: DatabaseKey,
    pub(super) readers: Arc<Readers>,
}

/// One moment of a copy. While it lives the next one can be told from it.
pub(crate) struct Moment {
    copy: LocalCopy,
    reader: PageReader,
    mark: Mark,
}

/// Where a write-ahead log stood, or a little before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Mark {
    /// Another log in the same file has others; `None`: it is empty.
    salts: Option<[u32; 2]>,
    frames: u64,
}

/// What is needed of the head of a log.
struct Log {
    file: File,
    salts: [u32; 2],
    frame_bytes: u64,
    /// As many fit into the file; the last ones may be left-overs.
    most: u64,
}

/// A copy cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MomentError {
    #[error("read the copy")]
    Database(#[source] SqlError),
    #[error("read the copy's log")]
    Log(#[source] io::Error),
    /// More happened than can be told: only all pages will do.
    #[error("the copy's log began anew more than once")]
    Gap,
}

impl From<SqlError> for MomentError {
    fn from(source: SqlError) -> Self {
        Self::Database(source)
    }
}

impl LocalCopy {
    pub(super) fn new(path: PathBuf, key: DatabaseKey) -> Self {
        let readers = Readers::new(&path, key.clone());
        Self { path, key, readers }
    }

    /// The group's key, as text.
    pub(crate) fn key(&self) -> &str {
        self.key.expose()
    }

    /// Whether both are the same file: pages of one mean nothing in the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.path == other.path
    }

    /// Takes a snapshot. Blocks.
    pub(crate) fn moment(&self) -> Result<Moment, MomentError> {
        let before = self.mark()?;
        let reader = PageReader::begin(&self.readers, Instant::now() + READ_WITHIN)?;
        let after = self.mark()?;
        // A log that began anew meanwhile is looked at from its beginning.
        let mark = if before.salts == after.salts { before } else { Mark { frames: 0, ..after } };
        Ok(Moment { copy: self.clone(), reader, mark })
    }

    fn mark(&self) -> Result<Mark, MomentError> {
        let Some(log) = Log::open(&self.path).map_err(MomentError::Log)? else { return Ok(Mark::default()) };
        let frames = log.frames(0, |_| {}).map_err(MomentError::Log)?;
        Ok(Mark { salts: Some(log.salts), frames })
    }

    /// Pages that were written since `mark`, and perhaps some more.
    fn written_since(&self, mark: Mark) -> Result<BTreeSet<u32>, MomentError> {
        let mut written = BTreeSet::new();
        let Some(log) = Log::open(&self.path).map_err(MomentError::Log)? else { return Ok(written) };
        let from = match mark.salts {
            Some(salts) if salts == log.salts => mark.frames,
            // The first salt counts how often the log began anew.
            Some(salts) if salts[0].wrapping_add(1) != log.salts[0] => return Err(MomentError::Gap),
            _ => 0,
        };
        log.frames(from, |page| {
            written.insert(page);
        })
        .map_err(MomentError::Log)?;
        Ok(written)
    }
}

impl Moment {
    /// A later moment of the same copy, and the pages that may differ. Blocks.
    pub(crate) fn next(&self) -> Result<(Self, BTreeSet<u32>), MomentError> {
        let next = self.copy.moment()?;
        let mut written = self.copy.written_since(self.mark)?;
        written.retain(|page| next.shape().holds(*page));
        Ok((next, written))
    }

    /// How its database is cut.
    pub(crate) fn shape(&self) -> Shape {
        self.reader.shape()
    }

    /// Hands over the pages with these numbers, one after the other. Blocks.
    pub(crate) fn each<E: From<SqlError>>(
        &mut self,
        numbers: impl IntoIterator<Item = u32>,
        take: impl FnMut(u32, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.reader.each(numbers, take)
    }

    /// Runs one statement that reads. Blocks.
    pub(crate) fn select(&mut self, sql: &str) -> Result<Vec<Vec<Value>>, SqlError> {
        self.reader.select(sql)
    }
}

impl Log {
    /// `None`: there is none, or it has not begun.
    fn open(database: &Path) -> io::Result<Option<Self>> {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        if length < HEADER_BYTES {
            return Ok(None);
        }
        let mut header = [0; HEADER_BYTES as usize];
        file.read_exact_at(&mut header, 0)?;
        let frame_bytes = FRAME_HEADER_BYTES + u64::from(word(&header, 8));
        let most = (length - HEADER_BYTES) / frame_bytes;
        Ok(Some(Self { file, salts: [word(&header, 16), word(&header, 20)], frame_bytes, most }))
    }

    /// Names the page of each frame after the first `from`; gives the number of frames. What was written and
    /// never committed is among them.
    fn frames(&self, from: u64, mut name: impl FnMut(u32)) -> io::Result<u64> {
        let mut header = [0; FRAME_HEADER_BYTES as usize];
        for frame in from..self.most {
            self.file.read_exact_at(&mut header, HEADER_BYTES + frame * self.frame_bytes)?;
            if [word(&header, 8), word(&header, 12)] != self.salts {
                return Ok(frame);
            }
            name(word(&header, 0));
        }
        Ok(self.most.max(from))
    }
}

/// Big endian, as all of the format is. Past the end: 0.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::sqlite::Database;

    type Pages = BTreeMap<u32, Vec<u8>>;

    struct Source {
        _folder: tempfile::TempDir,
        database: Database,
        copy: LocalCopy,
    }

    fn source() -> Source {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.db");
        let key = DatabaseKey::from([7; 32]);
        let mut database = Database::open_tuned(&path, &key).unwrap();
        for sql in [
            "PRAGMA auto_vacuum = FULL",
            "PRAGMA journal_mode = WAL",
            "PRAGMA wal_autocheckpoint = 20",
            "CREATE TABLE a (x, y)",
        ] {
            database.host(sql, &[]).unwrap();
        }
        Source { _folder: folder, database, copy: LocalCopy::new(path, key) }
    }

    fn all(moment: &mut Moment) -> Pages {
        let numbers: Vec<u32> = moment.shape().numbers().collect();
        read(moment, numbers)
    }

    fn read(moment: &mut Moment, numbers: impl IntoIterator<Item = u32>) -> Pages {
        let mut pages = Pages::new();
        let take = |number, bytes| -> Result<(), SqlError> {
            pages.insert(number, bytes);
            Ok(())
        };
        moment.each(numbers, take).unwrap();
        pages
    }

    fn change(source: &mut Source, round: i64) {
        let blob = |bytes: usize| vec![Value::Blob(vec![u8::try_from(round % 251).unwrap(); bytes])];
        let (statement, parameters) = match round % 5 {
            0 => ("INSERT INTO a SELECT value, ? FROM json_each('[1,2,3,4,5,6,7,8,9]')", blob(600)),
            1 => ("UPDATE a SET y = ? WHERE x = 3", blob(50)),
            2 => ("PRAGMA wal_checkpoint(PASSIVE)", Vec::new()),
            3 => ("DELETE FROM a WHERE rowid % 4 = 1", Vec::new()),
            _ => ("INSERT INTO a VALUES (0, ?)", blob(9_000)),
        };
        source.database.host(statement, &parameters).unwrap();
    }

    /// With checkpoints and logs that begin anew at every possible place.
    #[test]
    fn what_changed_is_told_from_moment_to_moment() {
        let mut source = source();
        let mut moment = source.copy.moment().unwrap();
        let mut kept = all(&mut moment);
        let (mut moved, mut round) = (0, 0);
        for pause in (1..9).cycle().take(120) {
            for _ in 0..pause {
                change(&mut source, round);
                round += 1;
            }
            let (mut next, changed) = moment.next().unwrap();
            moved += changed.len();
            let changed = read(&mut next, changed);
            kept.extend(changed);
            kept.retain(|page, _| *page <= next.shape().pages);
            moment = next;
            assert!(kept == all(&mut moment), "after {round} changes");
        }
        let mut everything = 120 * moment.shape().pages as usize;
        everything /= 2;
        assert!(moved < everything, "{moved} pages of {everything}: it tells no difference");
    }

    #[test]
    fn nothing_changed_is_nothing() {
        let source = source();
        let (moment, changed) = source.copy.moment().unwrap().next().unwrap();
        assert!(changed.is_empty());
        assert!(moment.next().unwrap().1.is_empty());
    }

    #[test]
    fn a_log_that_began_anew_unseen_is_a_gap() {
        let mut source = source();
        let moment = source.copy.moment().unwrap();
        let mark = moment.mark;
        drop(moment);
        let count =
            |source: &mut Source| source.database.host("PRAGMA wal_checkpoint(RESTART)", &[]).unwrap();
        for _ in 0..2 {
            source.database.host("INSERT INTO a VALUES (1, 2)", &[]).unwrap();
            assert!(count(&mut source).rows[0][0] == Value::Integer(0));
        }
        source.database.host("INSERT INTO a VALUES (1, 2)", &[]).unwrap();
        assert!(matches!(source.copy.written_since(mark), Err(MomentError::Gap)));
    }
}
