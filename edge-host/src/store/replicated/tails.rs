//! What a lost primary's copy held and nobody acknowledged, kept for people to read.
//!
//! ```text
//! records/<group>/tails/<epoch>-<frame>.db         every row that differs, encrypted with a key of its own
//! records/<group>/tails/<epoch>-<frame>.key.json   that key, wrapped by the host's: without it the rest is noise
//! ```
//!
//! Nothing is ever merged back. What differs is found by comparing the lost copy with the one that replaced it,
//! so changes of the first moments after that are in the file too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use locum_identity::private_file;
use locum_replication::Position;
use serde::{Deserialize, Serialize};

use super::tail_rows::{compare, tables};
use crate::store::group::folder_of;
use crate::store::keys::KeyError;
use crate::store::sqlite::{Database, DatabaseKey};
use crate::store::{GroupId, MasterKey, SqlError, Value};

/// How long a tail is kept.
pub(super) const KEEP: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Which copy holds a tail.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TailMark {
    /// Where that copy stood.
    pub(super) copy: Position,
    /// Up to here it is history.
    pub(super) after: Option<Position>,
}

/// The tails of one group.
pub(crate) struct Tails {
    group: GroupId,
    folder: PathBuf,
    master_key: MasterKey,
}

/// A row that differs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct LostRow {
    /// Its table.
    pub(crate) table: String,
    /// As the lost copy had it, column by column; `None`: the lost copy had no such row.
    pub(crate) lost: Option<serde_json::Value>,
    /// As the history has it.
    pub(crate) kept: Option<serde_json::Value>,
}

/// A tail cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TailError {
    #[error("use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("use the tail's key")]
    Key(#[source] KeyError),
    #[error("compare the copies")]
    Compare(#[source] SqlError),
    #[error("write or read {path}")]
    Database {
        path: PathBuf,
        #[source]
        source: SqlError,
    },
    #[error("no tail `{0}`")]
    Unknown(String),
}

impl Tails {
    /// Those that a host has of `group`.
    pub(crate) fn of_host(state_dir: &Path, group: &GroupId, master_key: &MasterKey) -> Self {
        Self::new(group, &folder_of(state_dir, group), master_key)
    }

    /// Below the group's `folder`.
    pub(super) fn new(group: &GroupId, folder: &Path, master_key: &MasterKey) -> Self {
        Self { group: group.clone(), folder: folder.join("tails"), master_key: master_key.clone() }
    }

    /// Names, in order.
    pub(crate) fn names(&self) -> Result<Vec<String>, TailError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|source| self.file_error(&self.folder, source))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|source| self.file_error(&self.folder, source))?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".db")).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Every row of a tail. Blocks.
    pub(crate) fn read(
        &self,
        name: &str,
        mut take: impl FnMut(LostRow) -> Result<(), TailError>,
    ) -> Result<(), TailError> {
        if !self.names()?.iter().any(|known| known == name) {
            return Err(TailError::Unknown(name.to_owned()));
        }
        let (path, key) = self.paths(name);
        let key = self.master_key.kept_key(&self.group, &key).map_err(TailError::Key)?;
        let key = key.ok_or_else(|| TailError::Key(KeyError::Missing(self.group.clone())))?;
        let wrong = |source| TailError::Database { path: path.clone(), source };
        let mut database = Database::open_tuned(&path, &key).map_err(wrong)?;
        let (mut failed, none) = (None, Vec::<Value>::new());
        let sql = "SELECT name, lost, kept FROM row ORDER BY rowid";
        let ran = database.run_each(sql, [none], |row| {
            let mut texts =
                row.into_iter().map(|value| if let Value::Text(text) = value { Some(text) } else { None });
            let (table, lost, kept) =
                (texts.next().flatten(), texts.next().flatten(), texts.next().flatten());
            let parse = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
            let row = LostRow { table: table.unwrap_or_default(), lost: parse(lost), kept: parse(kept) };
            take(row).map_err(|error| {
                failed = Some(error);
                SqlError::misuse("given up")
            })
        });
        match (failed, ran) {
            (Some(error), _) => Err(error),
            (None, ran) => ran.map_err(wrong),
        }
    }

    /// Keeps what `lost` holds and `kept` does not, or otherwise. Durable when this returns; done twice it is
    /// the same. Blocks.
    pub(super) fn keep(
        &self,
        mark: TailMark,
        lost: &mut Database,
        kept: &mut Database,
    ) -> Result<u64, TailError> {
        private_file::create_dir(&self.folder).map_err(|source| self.file_error(&self.folder, source))?;
        let (path, key) = self.paths(&format!("{}-{}", mark.copy.epoch.0, mark.copy.frame.0));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.file_error(&path, error));
            }
            _ => {}
        }
        let key = self.master_key.group_key(&self.group, &key, &path).map_err(TailError::Key)?;
        self.write(&path, &key, lost, kept)
    }

    fn write(
        &self,
        path: &Path,
        key: &DatabaseKey,
        lost: &mut Database,
        kept: &mut Database,
    ) -> Result<u64, TailError> {
        let wrong = |source| TailError::Database { path: path.to_owned(), source };
        let mut database = Database::open_tuned(path, key).map_err(wrong)?;
        for sql in [
            "PRAGMA synchronous = FULL",
            "BEGIN IMMEDIATE",
            "CREATE TABLE row (name TEXT, lost TEXT, kept TEXT)",
        ] {
            database.host(sql, &[]).map_err(wrong)?;
        }
        let mut rows = 0;
        for table in tables(lost).map_err(TailError::Compare)? {
            compare(&table, lost, kept, |lost, kept| {
                rows += 1;
                let text = |row: Option<serde_json::Value>| {
                    row.map_or(Value::Null, |row| Value::Text(row.to_string()))
                };
                let row = [Value::Text(table.clone()), text(lost), text(kept)];
                database.host("INSERT INTO row VALUES (?, ?, ?)", &row).map(drop)
            })
            .map_err(TailError::Compare)?;
        }
        database.host("COMMIT", &[]).map_err(wrong)?;
        Ok(rows)
    }

    /// Removes what was kept long enough; says how many are left.
    pub(super) fn expire(&self) -> Result<usize, TailError> {
        let mut left = 0;
        for name in self.names()? {
            let (path, key) = self.paths(&name);
            let written = fs::metadata(&path).and_then(|file| file.modified());
            if written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age < KEEP)) {
                left += 1;
                continue;
            }
            for path in [key, path] {
                fs::remove_file(&path).map_err(|source| self.file_error(&path, source))?;
            }
        }
        Ok(left)
    }

    fn paths(&self, name: &str) -> (PathBuf, PathBuf) {
        (self.folder.join(format!("{name}.db")), self.folder.join(format!("{name}.key.json")))
    }

    fn file_error(&self, path: &Path, source: io::Error) -> TailError {
        TailError::File { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use locum_replication::{Epoch, FrameNo};
    use serde_json::json;

    use super::*;
    use crate::store::gate::Authority;

    fn database(path: &Path, sql: &str) -> Database {
        let mut database = Database::open_tuned(path, &DatabaseKey::from([7; 32])).unwrap();
        database.run_script(sql, Authority::Host).unwrap();
        database
    }

    fn tails(folder: &Path) -> Tails {
        let key = folder.join("master.key");
        private_file::write(&key, "5a".repeat(32).as_bytes()).unwrap();
        Tails::new(&"main".parse().unwrap(), folder, &MasterKey::read(&key).unwrap())
    }

    fn read(tails: &Tails, name: &str) -> Vec<LostRow> {
        let mut rows = Vec::new();
        let take = |row| {
            rows.push(row);
            Ok(())
        };
        tails.read(name, take).unwrap();
        rows
    }

    /// The application's tables have no row numbers.
    #[test]
    fn rows_without_a_number_are_told_apart_by_their_key() {
        let folder = tempfile::tempdir().unwrap();
        let shared =
            "CREATE TABLE hold (clinic TEXT, id TEXT, at INTEGER, PRIMARY KEY (id, clinic)) WITHOUT ROWID;
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                INSERT INTO hold SELECT 'c', printf('%04d', i), 7 FROM n;";
        let lost = "UPDATE hold SET at = 8 WHERE id = '0500'; DELETE FROM hold WHERE id = '0700';
            INSERT INTO hold VALUES ('b', '0201', 9), ('z', '1000', 9);";
        let mut lost = database(&folder.path().join("lost.db"), &format!("{shared} {lost}"));
        let mut kept = database(&folder.path().join("kept.db"), shared);
        let (tails, copy) = (tails(folder.path()), Position::new(Epoch(3), FrameNo(12)));
        assert_eq!(tails.keep(TailMark { copy, after: None }, &mut lost, &mut kept).unwrap(), 4);
        let hold = |clinic: &str, id: &str, at: i64| Some(json!({ "clinic": clinic, "id": id, "at": at }));
        let row = |lost, kept| LostRow { table: "hold".to_owned(), lost, kept };
        let expected = [
            row(hold("b", "0201", 9), None),
            row(hold("c", "0500", 8), hold("c", "0500", 7)),
            row(None, hold("c", "0700", 7)),
            row(hold("z", "1000", 9), None),
        ];
        assert_eq!(read(&tails, "3-12"), expected);
    }

    #[test]
    fn a_person_reads_what_was_lost_and_nobody_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let shared = "CREATE TABLE note (id INTEGER PRIMARY KEY, text);
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                INSERT INTO note SELECT i, 'same' FROM n;";
        let mut lost = database(
            &folder.path().join("lost.db"),
            &format!(
                "{shared} UPDATE note SET text = 'planted' WHERE id = 500; DELETE FROM note WHERE id = 700;
                INSERT INTO note VALUES (1001, 'planted too'); CREATE TABLE gone (x); INSERT INTO gone VALUES (1);"
            ),
        );
        let mut kept = database(
            &folder.path().join("kept.db"),
            &format!("{shared} ALTER TABLE note ADD COLUMN newer DEFAULT 5;"),
        );
        let tails = tails(folder.path());
        let copy = Position::new(Epoch(3), FrameNo(12));
        for _ in 0..2 {
            assert_eq!(tails.keep(TailMark { copy, after: None }, &mut lost, &mut kept).unwrap(), 4);
        }
        assert_eq!(tails.names().unwrap(), ["3-12"]);
        let note = |id: i64, text: &str| Some(json!({ "id": id, "text": text }));
        let row = |table: &str, lost, kept| LostRow { table: table.to_owned(), lost, kept };
        let expected = [
            row("gone", Some(json!({ "x": 1 })), None),
            row("note", note(500, "planted"), note(500, "same")),
            row("note", None, note(700, "same")),
            row("note", note(1_001, "planted too"), None),
        ];
        assert_eq!(read(&tails, "3-12"), expected);
        let bytes = fs::read(folder.path().join("tails/3-12.db")).unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"planted"));
        assert!(matches!(tails.read("../3-12", |_| Ok(())), Err(TailError::Unknown(_))));
        assert_eq!(tails.expire().unwrap(), 1);
        fs::remove_file(folder.path().join("tails/3-12.key.json")).unwrap();
        assert!(matches!(tails.read("3-12", |_| Ok(())), Err(TailError::Key(_))));
    }
}
