//! Copies that follow page by page, and files that are made of pages.

use std::time::Duration;

use super::*;

struct Copy {
    path: PathBuf,
    readers: Arc<Readers>,
}

fn key() -> DatabaseKey {
    DatabaseKey::from([7; 32])
}

fn pages(readers: &Arc<Readers>) -> (Shape, Vec<(u32, Vec<u8>)>) {
    let mut reader = PageReader::begin(readers, Instant::now() + Duration::from_secs(60)).unwrap();
    let (shape, mut pages) = (reader.shape(), Vec::new());
    let take = |number, bytes| -> Result<(), SqlError> {
        pages.push((number, bytes));
        Ok(())
    };
    reader.each(shape.numbers(), take).unwrap();
    (shape, pages)
}

impl Copy {
    fn of(path: PathBuf) -> Self {
        Self { readers: Readers::new(&path, key()), path }
    }

    /// What a log would bring.
    fn changed_since(&self, before: &[(u32, Vec<u8>)]) -> (u32, Vec<(u32, Vec<u8>)>) {
        let (shape, now) = pages(&self.readers);
        (shape.pages, now.into_iter().filter(|page| !before.contains(page)).collect())
    }

    fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        let mut reader = self.readers.connection().unwrap();
        let rows = reader.host(sql, &[]).unwrap().rows;
        self.readers.give_back(reader);
        rows
    }
}

fn source(folder: &Path) -> (Database, Copy) {
    let path = folder.join("source.db");
    let mut database = Database::open_tuned(&path, &key()).unwrap();
    // A commit that frees pages shortens the file.
    for setting in ["auto_vacuum = FULL", "journal_mode = WAL"] {
        database.host(&format!("PRAGMA {setting}"), &[]).unwrap();
    }
    database.host("CREATE TABLE a (x TEXT, y BLOB)", &[]).unwrap();
    (database, Copy::of(path))
}

const FILL: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
    INSERT INTO a SELECT 'planted', randomblob(900) FROM n";

#[test]
fn a_copy_follows_page_by_page_through_growth_new_tables_and_shrinking() {
    let folder = tempfile::tempdir().unwrap();
    let (mut database, source) = source(folder.path());
    let copy = Copy::of(folder.path().join("copy.db"));
    let (shape, mut before) = pages(&source.readers);
    let mut builder = PageBuilder::open(&copy.path, &key(), shape.page_bytes).unwrap();
    let mut building = builder.begin().unwrap();
    building.write(before.clone()).unwrap();
    building.commit(shape.pages).unwrap();
    builder.finish().unwrap();
    let mut follower = PageWriter::open(&copy.path, &key()).unwrap();
    for change in [
        FILL,
        "CREATE TABLE b (z)",
        "INSERT INTO b SELECT y FROM a LIMIT 100",
        "ALTER TABLE b ADD COLUMN w DEFAULT 5",
        "CREATE INDEX c ON a (y)",
        "DELETE FROM a WHERE rowid % 3 > 0",
        "DROP TABLE b",
        FILL,
    ] {
        // Open all the while, and asked before and after: it must see every new schema.
        copy.rows("SELECT count(*) FROM sqlite_schema");
        database.run_script(change, Authority::Host).unwrap();
        let (size, changed) = source.changed_since(&before);
        let mut transaction = follower.begin(|| true).unwrap();
        transaction.write(changed).unwrap();
        transaction.commit(size).unwrap();
        let tables = "SELECT * FROM sqlite_schema";
        assert_eq!(follower.database.host(tables, &[]).unwrap().rows, source.rows(tables), "{change}");
        for question in
            ["PRAGMA integrity_check", "SELECT * FROM a", "SELECT * FROM sqlite_schema", "PRAGMA page_count"]
        {
            assert_eq!(copy.rows(question), source.rows(question), "{change}: {question}");
        }
        before = pages(&source.readers).1;
    }
    assert_eq!(copy.rows("PRAGMA integrity_check"), [[Value::Text("ok".to_owned())]]);
}

#[test]
fn a_built_file_holds_nothing_in_the_clear_and_replaces_what_stood_there() {
    let folder = tempfile::tempdir().unwrap();
    let (mut database, source) = source(folder.path());
    let copy = Copy::of(folder.path().join("copy.db"));
    for _ in 0..2 {
        // The second time from a longer file.
        database.run_script(FILL, Authority::Host).unwrap();
    }
    for keep in ["1", "rowid < 300"] {
        database.host(&format!("DELETE FROM a WHERE NOT ({keep})"), &[]).unwrap();
        let (shape, all) = pages(&source.readers);
        let mut builder = PageBuilder::open(&copy.path, &key(), shape.page_bytes).unwrap();
        let mut building = builder.begin().unwrap();
        building.write(all).unwrap();
        building.commit(shape.pages).unwrap();
        builder.finish().unwrap();
        let bytes = std::fs::read(&copy.path).unwrap();
        assert_eq!(bytes.len(), shape.pages as usize * shape.page_bytes as usize);
        assert!(!bytes.windows(7).any(|window| window == b"planted"));
        let copy = Copy::of(copy.path.clone());
        assert_eq!(copy.rows("SELECT * FROM a"), source.rows("SELECT * FROM a"));
    }
}

#[test]
fn without_a_commit_nothing_has_happened() {
    let folder = tempfile::tempdir().unwrap();
    let (mut database, source) = source(folder.path());
    database.host("INSERT INTO a VALUES ('one', NULL)", &[]).unwrap();
    let before = pages(&source.readers).1;
    let mut writer = PageWriter::open(&source.path, &key()).unwrap();
    let mut transaction = writer.begin(|| true).unwrap();
    transaction.write([(2, vec![9; 4_096])]).unwrap();
    assert!(transaction.write([(2, vec![9; 100])]).is_err());
    assert!(transaction.write([(0, vec![9; 4_096])]).is_err());
    drop(transaction);
    assert_eq!(pages(&source.readers).1, before);
}

#[test]
fn whoever_writes_to_the_file_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (mut database, source) = source(folder.path());
    let mut writer = PageWriter::open(&source.path, &key()).unwrap();
    assert_eq!(ask(&mut writer.database, "PRAGMA synchronous").unwrap(), 2, "FULL");
    database.host("BEGIN IMMEDIATE", &[]).unwrap();
    let other = std::cell::RefCell::new(database);
    // Asked once SQLite's own patience is over.
    let gives_up = || other.borrow_mut().host("ROLLBACK", &[]).is_err();
    let transaction = writer.begin(gives_up).unwrap();
    let size = transaction.size();
    transaction.commit(size).unwrap();
    other.borrow_mut().host("BEGIN IMMEDIATE", &[]).unwrap();
    assert!(writer.begin(|| true).is_err_and(|error| error.is_busy()));
}

#[test]
fn the_page_that_is_locked_is_left_out() {
    let shape = Shape { page_bytes: 4_096, pages: 262_146 };
    let last = shape.numbers().skip(262_143).collect::<Vec<_>>();
    assert_eq!(last, [262_144, 262_146]);
}
