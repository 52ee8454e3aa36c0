//! Whole pages of a database, decrypted: what copies are compared by and brought up to date with.
//!
//! Through SQLite's own `sqlite_dbpage` table, so that the cipher, the log and snapshots are its business.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::readers::{Readers, Snapshot};
use super::sqlite::{Database, DatabaseKey};
use super::{ResultLimits, SqlError, Value};
use crate::store::gate::Authority;

/// SQLite locks this byte of a file; the page that holds it is never used and cannot be read or written.
const LOCK_BYTE: u32 = 1 << 30;
/// All bytes of a page that stands nowhere yet.
const WRITE: &str = "INSERT INTO sqlite_dbpage (pgno, data) VALUES (?, ?)";

/// How a database is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    /// Bytes of one page.
    pub(crate) page_bytes: u32,
    /// How many there are. Numbers begin at 1.
    pub(crate) pages: u32,
}

/// The pages of one snapshot.
pub(crate) struct PageReader {
    snapshot: Snapshot,
    shape: Shape,
}

/// A connection that writes whole pages.
pub(crate) struct PageWriter {
    database: Database,
    page_bytes: u32,
}

/// A database that is made of pages. Nobody else opens the file before [`Self::finish`] has returned, and
/// without that it is worth nothing.
pub(crate) struct PageBuilder {
    path: PathBuf,
    writer: PageWriter,
}

/// Pages that become visible together. Dropped without a commit, none does.
pub(crate) struct PageTransaction<'a> {
    writer: &'a mut PageWriter,
    /// Written last: it says which schema the other pages hold, and SQLite looks at that on the way.
    first: Option<Vec<u8>>,
    /// How many pages there were.
    size: u32,
    /// The highest page there is now.
    end: u32,
}

impl Shape {
    /// The numbers of all pages that hold anything.
    pub(crate) fn numbers(self) -> impl Iterator<Item = u32> + Send + use<> {
        (1..=self.pages).filter(move |number| !self.is_locked(*number))
    }

    /// Whether the page with this number holds anything.
    pub(crate) fn holds(self, number: u32) -> bool {
        (1..=self.pages).contains(&number) && !self.is_locked(number)
    }

    fn is_locked(self, number: u32) -> bool {
        number == LOCK_BYTE / self.page_bytes + 1
    }
}

impl PageReader {
    /// Takes a snapshot; reading from it ends at `until`. Blocks.
    pub(super) fn begin(readers: &Arc<Readers>, until: Instant) -> Result<Self, SqlError> {
        let mut snapshot = readers.begin(until)?;
        let mut pragma = |sql| {
            let answer = snapshot.run(sql, &[], Authority::Host, ResultLimits::default())?;
            number(answer.rows.first().and_then(|row| row.first()))
        };
        // The first of the two that reads: it fixes the snapshot.
        let pages = pragma("PRAGMA page_count")?;
        let page_bytes = pragma("PRAGMA page_size")?;
        Ok(Self { snapshot, shape: Shape { page_bytes, pages } })
    }

    /// Runs one statement on the same snapshot. Blocks.
    pub(crate) fn select(&mut self, sql: &str) -> Result<Vec<Vec<Value>>, SqlError> {
        let answer = self.snapshot.run(sql, &[], Authority::Host, ResultLimits::default())?;
        Ok(answer.rows)
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// The page that tells about the file. Blocks.
    pub(crate) fn first_page(&mut self) -> Result<Vec<u8>, SqlError> {
        let mut first = Vec::new();
        let take = |_, bytes| {
            first = bytes;
            Ok::<_, SqlError>(())
        };
        self.each([1], take)?;
        Ok(first)
    }

    /// Hands over the pages with these numbers, one after the other. Blocks.
    pub(crate) fn each<E: From<SqlError>>(
        &mut self,
        numbers: impl IntoIterator<Item = u32>,
        mut take: impl FnMut(u32, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = "SELECT pgno, data FROM sqlite_dbpage WHERE pgno = ?";
        let numbers = numbers.into_iter().map(|number| [Value::Integer(number.into())]);
        self.snapshot.run_each(sql, numbers, |row| {
            let mut row = row.into_iter();
            let page = number(row.next().as_ref())?;
            take(page, bytes(row.next())?)
        })
    }
}

impl PageWriter {
    /// On a database that others have open too. Every commit is synced; see [`Self::checkpoint`]. Blocks.
    pub(super) fn open(path: &Path, key: &DatabaseKey) -> Result<Self, SqlError> {
        Self::with(path, key, &["journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 0"])
    }

    fn with(path: &Path, key: &DatabaseKey, settings: &[&str]) -> Result<Self, SqlError> {
        let mut database = Database::open_tuned(path, key)?;
        database.allow_page_writes()?;
        for setting in settings {
            database.host(&format!("PRAGMA {setting}"), &[])?;
        }
        let page_bytes = ask(&mut database, "PRAGMA page_size")?;
        Ok(Self { database, page_bytes })
    }

    /// Waits for whoever writes to the file until `gives_up`, which is asked every two seconds. Blocks.
    pub(super) fn begin(&mut self, gives_up: impl Fn() -> bool) -> Result<PageTransaction<'_>, SqlError> {
        loop {
            match self.database.host("BEGIN IMMEDIATE", &[]) {
                Ok(_) => break,
                Err(error) if error.is_busy() && !gives_up() => {}
                Err(error) => return Err(error),
            }
        }
        let size = ask(&mut self.database, "PRAGMA page_count");
        let mut transaction = PageTransaction { writer: self, first: None, size: 0, end: 0 };
        transaction.size = size?;
        transaction.end = transaction.size;
        Ok(transaction)
    }

    /// Moves the log into the file as far as readers allow, and says how many pages the log has. It begins anew
    /// once nobody reads from it. Blocks.
    pub(super) fn checkpoint(&mut self) -> Result<u32, SqlError> {
        let answer = self.database.host("PRAGMA wal_checkpoint(PASSIVE)", &[])?;
        // -1 where there is no log.
        Ok(number(answer.rows.first().and_then(|row| row.get(1))).unwrap_or(0))
    }

    /// The first page as it is: only its first bytes are of interest to anybody but SQLite.
    pub(super) fn first_page(&mut self) -> Result<Vec<u8>, SqlError> {
        let answer = self.database.host("SELECT data FROM sqlite_dbpage WHERE pgno = 1", &[])?;
        bytes(answer.rows.into_iter().flatten().next())
    }
}

impl PageBuilder {
    /// A new file, or one that is to be changed where it stands: a failure leaves it torn. Blocks.
    pub(super) fn open(path: &Path, key: &DatabaseKey, page_bytes: u32) -> Result<Self, SqlError> {
        let page_size = format!("page_size = {page_bytes}");
        let writer = PageWriter::with(path, key, &[&page_size, "journal_mode = OFF", "synchronous = OFF"])?;
        if writer.page_bytes != page_bytes {
            return Err(SqlError::Misuse(format!("pages of {} bytes", writer.page_bytes)));
        }
        Ok(Self { path: path.to_owned(), writer })
    }

    /// Pages of the file.
    pub(super) fn begin(&mut self) -> Result<PageTransaction<'_>, SqlError> {
        self.writer.begin(|| true)
    }

    /// Closes the file. It is on disk when this returns.
    pub(super) fn finish(self) -> std::io::Result<()> {
        drop(self.writer);
        File::open(self.path).and_then(|file| file.sync_all())
    }
}

impl PageTransaction<'_> {
    /// Writes pages; a later one replaces an earlier one of the same number.
    pub(crate) fn write(&mut self, pages: impl IntoIterator<Item = (u32, Vec<u8>)>) -> Result<(), SqlError> {
        let shape = Shape { page_bytes: self.writer.page_bytes, pages: 0 };
        let (first, end) = (&mut self.first, &mut self.end);
        let mut is_wrong = false;
        let others = pages.into_iter().filter_map(|(number, bytes)| {
            let is_whole = u32::try_from(bytes.len()).is_ok_and(|length| length == shape.page_bytes);
            if !is_whole || number == 0 || shape.is_locked(number) {
                is_wrong = true;
            } else if number == 1 {
                *first = Some(bytes);
            } else {
                *end = (*end).max(number);
                return Some([Value::Integer(number.into()), Value::Blob(bytes)]);
            }
            None
        });
        self.writer.database.run_each(WRITE, others, |_| Ok::<_, SqlError>(()))?;
        if is_wrong { Err(SqlError::misuse("not a page of this database")) } else { Ok(()) }
    }

    /// How many pages there were before.
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// The first page as it will be, to be changed.
    pub(super) fn first_page(&mut self) -> Result<&mut Vec<u8>, SqlError> {
        let first = match self.first.take() {
            Some(first) => first,
            None => self.writer.first_page()?,
        };
        Ok(self.first.insert(first))
    }

    /// The database then has this many pages. Returns once that would survive a power cut, unless the file is
    /// still being built. Blocks.
    pub(crate) fn commit(mut self, pages: u32) -> Result<(), SqlError> {
        if pages > self.end {
            // Nothing is known of its last pages; a file that is shorter than its header says is refused.
            self.write([(pages, vec![0; self.writer.page_bytes as usize])])?;
        }
        let first = std::mem::take(self.first_page()?);
        let database = &mut self.writer.database;
        if pages < self.end {
            // One statement: it is checked against the schema once, before it writes. No data: the end.
            let sql = "INSERT INTO sqlite_dbpage (pgno, data) VALUES (1, ?), (?, NULL)";
            database.host(sql, &[Value::Blob(first), Value::Integer(i64::from(pages) + 1)])?;
        } else {
            database.host(WRITE, &[Value::Integer(1), Value::Blob(first)])?;
        }
        database.host("COMMIT", &[]).map(drop)
    }
}

impl Drop for PageTransaction<'_> {
    fn drop(&mut self) {
        let database = &mut self.writer.database;
        if !database.is_autocommit() {
            // Fails only when SQLite has rolled back already.
            let _ = database.host("ROLLBACK", &[]);
        }
        database.forget_pages();
    }
}

fn ask(database: &mut Database, sql: &str) -> Result<u32, SqlError> {
    number(database.host(sql, &[])?.rows.first().and_then(|row| row.first()))
}

fn number(value: Option<&Value>) -> Result<u32, SqlError> {
    match value {
        Some(Value::Integer(number)) => u32::try_from(*number).ok(),
        _ => None,
    }
    .ok_or_else(|| SqlError::misuse("not a number of pages"))
}

fn bytes(value: Option<Value>) -> Result<Vec<u8>, SqlError> {
    match value {
        Some(Value::Blob(bytes)) => Ok(bytes),
        _ => Err(SqlError::misuse("not a page")),
    }
}
