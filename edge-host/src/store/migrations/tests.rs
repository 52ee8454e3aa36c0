//! What migrations may do, in which order they go, and which database a release refuses.

use std::path::Path;

use super::additive::NotAdditive;
use super::ledger::Ledger;
use super::offline::{Leave, bring_up};
use super::*;
use crate::store::Value;
use crate::store::sqlite::{Database, DatabaseKey};

type Expected = dyn Fn(&NotAdditive) -> bool;

const TABLES: &str = "CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT NOT NULL) STRICT;
    CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE INDEX by_y ON a (y); INSERT INTO a VALUES (1, 'one');";

fn database(folder: &Path) -> Database {
    let mut database = Database::open(&folder.join("data.db"), &DatabaseKey::from([7; 32])).unwrap();
    database.host("PRAGMA journal_mode = WAL", &[]).unwrap();
    database
}

fn file(version: u32, phase: Phase, sql: &str) -> Migration {
    Migration::new(Series::Functions, version, "test", phase, sql.to_owned())
}

fn expand(version: u32, sql: &str) -> Migration {
    file(version, Phase::Expand, sql)
}

fn bring(database: &mut Database, files: &[Migration]) -> Result<(), MigrationError> {
    bring_up(database, &Schema::new(files)?, Leave::Contracts)
}

fn run_contract(database: &mut Database, contract: &Migration) {
    super::offline::apply(database, contract).unwrap();
}

/// What becomes of `sql` as an expand that follows [`TABLES`].
fn added(sql: &str) -> Result<(), ScriptError> {
    match Schema::new(&[expand(1, TABLES), expand(2, sql)]) {
        Ok(_) => Ok(()),
        Err(MigrationError::Apply { version: 2, source, .. }) => Err(source),
        Err(other) => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn each_is_applied_once() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (expand(1, TABLES), expand(2, "CREATE TABLE b (x); INSERT INTO b VALUES (2)"));
    bring(&mut database(folder.path()), std::slice::from_ref(&first)).unwrap();
    for _ in 0..2 {
        bring(&mut database(folder.path()), &[first.clone(), second.clone()]).unwrap();
    }
    let rows = database(folder.path()).host("SELECT x FROM a UNION ALL SELECT x FROM b", &[]).unwrap().rows;
    assert_eq!(rows, vec![vec![Value::Integer(1)], vec![Value::Integer(2)]]);
}

#[test]
fn an_older_release_goes_on_with_a_newer_schema_until_a_contract_has_run() {
    let folder = tempfile::tempdir().unwrap();
    let first = expand(1, "CREATE TABLE a (x, y)");
    let files = [
        first.clone(),
        expand(2, "CREATE TABLE b (x)"),
        file(3, Phase::Contract, "ALTER TABLE a DROP COLUMN y"),
        expand(4, "CREATE TABLE c (x)"),
    ];
    bring(&mut database(folder.path()), std::slice::from_ref(&first)).unwrap();
    bring(&mut database(folder.path()), &files).unwrap();
    let columns = "SELECT count(*) FROM pragma_table_info('a')";
    let count = |sql| database(folder.path()).host(sql, &[]).unwrap().rows[0][0].clone();
    assert_eq!(count(columns), Value::Integer(2), "a contract is for later");
    assert_eq!(count("SELECT count(*) FROM c"), Value::Integer(0), "an expand does not wait for a contract");
    bring(&mut database(folder.path()), std::slice::from_ref(&first)).unwrap();

    run_contract(&mut database(folder.path()), &files[2]);
    assert_eq!(count(columns), Value::Integer(1));
    bring(&mut database(folder.path()), &files).unwrap();
    let refused = bring(&mut database(folder.path()), std::slice::from_ref(&first)).unwrap_err();
    assert!(
        matches!(&refused, MigrationError::Contracted { series, found: 3, known: 1 } if series == "functions")
    );
    assert!(refused.to_string().contains("functions contract 3 and this release knows 1"), "{refused}");
}

#[test]
fn a_database_that_is_new_waits_for_no_older_release() {
    for leave in [Leave::Contracts, Leave::Backfills] {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            expand(1, "CREATE TABLE a (x, y)"),
            file(2, Phase::Contract, "ALTER TABLE a DROP COLUMN y"),
            expand(3, "CREATE TABLE b (x)"),
        ];
        let schema = Schema::new(&files).unwrap();
        bring_up(&mut database(folder.path()), &schema, leave).unwrap();
        let ledger = Ledger::read(&mut database(folder.path())).unwrap();
        let standing = schema.compare(&ledger).unwrap();
        assert!(standing.fits() && standing.contracts.is_empty(), "{leave:?}");
    }
}

#[test]
fn a_changed_file_is_refused_and_nothing_is_done() {
    let folder = tempfile::tempdir().unwrap();
    bring(&mut database(folder.path()), &[expand(1, "CREATE TABLE a (x)")]).unwrap();
    let files = [expand(1, "CREATE TABLE c (x)"), expand(2, "CREATE TABLE b (x)")];
    let changed = bring(&mut database(folder.path()), &files);
    assert!(matches!(changed, Err(MigrationError::Changed { version: 1, .. })));
    let sql = "SELECT name FROM sqlite_schema WHERE name IN ('b', 'c')";
    assert!(database(folder.path()).host(sql, &[]).unwrap().rows.is_empty());
}

/// As the release before this one made it: its rows are expands, and what it asks is still answered.
#[test]
fn the_ledger_of_the_first_release_is_understood_and_stays_legible_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = expand(1, "CREATE TABLE a (x)");
    let mut older = database(folder.path());
    older.host("CREATE TABLE a (x)", &[]).unwrap();
    let ledger = "CREATE TABLE locum_migrations (series TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL,
        checksum TEXT NOT NULL, applied_at_ms INTEGER NOT NULL, PRIMARY KEY (series, version)) STRICT, WITHOUT ROWID";
    older.host(ledger, &[]).unwrap();
    let row = [first.id.checksum.as_str().into()];
    older.host("INSERT INTO locum_migrations VALUES ('functions', 1, 'a', ?, 5)", &row).unwrap();
    assert!(Ledger::read(&mut older).unwrap().has(&first.id), "also before it is brought up to date");

    bring(&mut database(folder.path()), &[first.clone(), expand(2, "CREATE TABLE b (x)")]).unwrap();
    let sql = "SELECT version, phase FROM locum_migrations WHERE series = 'functions' ORDER BY version";
    let rows = older.host(sql, &[]).unwrap().rows;
    let row = |version| vec![Value::Integer(version), Value::from("expand")];
    assert_eq!(rows, vec![row(1), row(2)]);
    let its_question = "SELECT version, checksum FROM locum_migrations WHERE series = ? ORDER BY version";
    assert_eq!(older.host(its_question, &["functions".into()]).unwrap().rows.len(), 2);
}

#[test]
fn a_failing_file_is_found_before_a_database_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let failing = [expand(1, "CREATE TABLE a (x); INSERT INTO nowhere VALUES (1);")];
    let failed = bring(&mut database(folder.path()), &failing);
    assert!(matches!(failed, Err(MigrationError::Apply { version: 1, .. })));
    // Tried out on an empty database it runs; here it fails half-way.
    bring(&mut database(folder.path()), &[expand(1, "CREATE TABLE a (x NOT NULL)")]).unwrap();
    database(folder.path()).host("CREATE TABLE b (x)", &[]).unwrap();
    let here =
        [expand(1, "CREATE TABLE a (x NOT NULL)"), expand(2, "CREATE TABLE c (x); CREATE TABLE b (x)")];
    assert!(matches!(
        bring(&mut database(folder.path()), &here),
        Err(MigrationError::Apply { version: 2, .. })
    ));
    let left = database(folder.path()).host("SELECT name FROM sqlite_schema WHERE name = 'c'", &[]).unwrap();
    assert!(left.rows.is_empty());
}

#[test]
fn a_file_may_not_touch_the_host_s_tables_or_end_its_transaction() {
    for sql in [
        "DELETE FROM locum_migrations",
        "UPDATE locum_idempotency SET body = x''",
        "CREATE TABLE locum_mine (x)",
        "CREATE TRIGGER t AFTER INSERT ON locum_audit BEGIN SELECT 1; END",
        "COMMIT; CREATE TABLE c (x)",
        "SAVEPOINT s",
        "ATTACH 'x' AS z",
        "PRAGMA user_version = 3",
    ] {
        assert!(matches!(added(sql), Err(ScriptError::Sql(_) | ScriptError::NotAdditive(_))), "{sql}");
    }
}

#[test]
fn an_expand_adds() {
    for sql in [
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER NOT NULL REFERENCES a); INSERT INTO b SELECT x, x FROM a",
        "ALTER TABLE a ADD COLUMN z TEXT",
        "ALTER TABLE a ADD COLUMN z TEXT NOT NULL DEFAULT 'open' CHECK (z IN ('open', 'done'))",
        "ALTER TABLE a ADD COLUMN z TEXT; ALTER TABLE a ADD COLUMN w INTEGER REFERENCES parent",
        "ALTER TABLE a ADD COLUMN z TEXT GENERATED ALWAYS AS (upper(y)) VIRTUAL",
        "ALTER TABLE a ADD COLUMN z TEXT; UPDATE a SET z = y",
        "CREATE INDEX by_z ON a (y, x) WHERE x > 5",
        "CREATE TABLE b (x INTEGER UNIQUE); CREATE UNIQUE INDEX b_once ON b (x)",
        "CREATE VIEW names AS SELECT y FROM a",
        "CREATE VIRTUAL TABLE found USING fts5 (y); INSERT INTO found SELECT y FROM a",
        // Both ways: whichever release writes, the other finds it where it looks.
        "ALTER TABLE a ADD COLUMN z TEXT;
         CREATE TRIGGER a_new AFTER UPDATE OF y ON a BEGIN UPDATE a SET z = NEW.y WHERE x = NEW.x; END;
         CREATE TRIGGER a_old AFTER UPDATE OF z ON a BEGIN UPDATE a SET y = NEW.z WHERE x = NEW.x; END",
        "CREATE TABLE b (x INTEGER PRIMARY KEY);
         CREATE TRIGGER b_once BEFORE INSERT ON b BEGIN SELECT RAISE(ABORT, 'no'); END",
        "-- nothing but a comment",
    ] {
        added(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
}

#[test]
fn an_expand_leaves_what_was_there_as_it_was() {
    let statement = |error: &NotAdditive| matches!(error, NotAdditive::Statement(_));
    let rows = |error: &NotAdditive| matches!(error, NotAdditive::Rows(table) if table == "a");
    let lost = |error: &NotAdditive| matches!(error, NotAdditive::Lost { .. });
    let required = |error: &NotAdditive| matches!(error, NotAdditive::Required { .. });
    let check = |error: &NotAdditive| matches!(error, NotAdditive::Check(_));
    let unique = |error: &NotAdditive| matches!(error, NotAdditive::Unique { .. });
    let raise = |error: &NotAdditive| matches!(error, NotAdditive::Raise { .. });
    let breaks = |error: &NotAdditive| matches!(error, NotAdditive::Breaks(_));
    let cases: &[(&str, &Expected)] = &[
        ("DROP TABLE a", &statement),
        ("DROP INDEX by_y", &statement),
        ("REINDEX a", &statement),
        ("CREATE TABLE b (x); DROP TABLE b", &statement),
        ("CREATE TEMP TABLE b (x)", &statement),
        ("INSERT INTO a VALUES (2, 'two')", &rows),
        ("UPDATE a SET y = 'other'", &rows),
        ("DELETE FROM a", &rows),
        ("ALTER TABLE a ADD COLUMN z TEXT; UPDATE a SET z = 'new', y = 'other'", &rows),
        ("ALTER TABLE a RENAME COLUMN y TO z", &lost),
        ("ALTER TABLE parent ADD COLUMN z TEXT NOT NULL", &required),
        ("ALTER TABLE a ADD COLUMN z TEXT CHECK (y <> z)", &check),
        ("CREATE UNIQUE INDEX once ON a (y)", &unique),
        ("CREATE TRIGGER t BEFORE INSERT ON a BEGIN SELECT RAISE(ABORT, 'no'); END", &raise),
        ("CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO nowhere VALUES (1); END", &breaks),
        (
            "CREATE TABLE b (at); CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO b VALUES (datetime()); END",
            &breaks,
        ),
        ("CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM locum_key_value; END", &breaks),
    ];
    for (sql, is_expected) in cases {
        match added(sql) {
            Err(ScriptError::NotAdditive(error)) => assert!(is_expected(&error), "{sql}: {error:?}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn an_expand_works_before_and_after_the_contracts_it_follows() {
    let contract = file(2, Phase::Contract, "ALTER TABLE a DROP COLUMN y");
    let built_on_it = expand(3, "ALTER TABLE a ADD COLUMN y TEXT");
    let refused = Schema::new(&[expand(1, "CREATE TABLE a (x, y)"), contract.clone(), built_on_it]);
    assert!(matches!(refused, Err(MigrationError::Apply { version: 3, .. })), "{refused:?}");
    let free_of_it = expand(3, "ALTER TABLE a ADD COLUMN z TEXT");
    Schema::new(&[expand(1, "CREATE TABLE a (x, y)"), contract, free_of_it]).unwrap();
}

#[test]
fn a_backfill_goes_in_rounds_and_takes_nothing_away() {
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
        INSERT INTO a SELECT i, i FROM n";
    let mut database = Database::in_memory().unwrap();
    let files = [
        expand(1, "CREATE TABLE a (x INTEGER PRIMARY KEY, y)"),
        expand(2, "ALTER TABLE a ADD COLUMN z"),
        file(
            3,
            Phase::Backfill,
            "UPDATE a SET z = y WHERE x IN (SELECT x FROM a WHERE z IS NULL AND y IS NOT NULL LIMIT 1000)",
        ),
        expand(4, "CREATE INDEX by_z ON a (z)"),
    ];
    bring(&mut database, &files[..1]).unwrap();
    database.host(numbers, &[]).unwrap();
    let schema = Schema::new(&files).unwrap();
    bring_up(&mut database, &schema, Leave::Backfills).unwrap();
    let left = Ledger::read(&mut database).unwrap();
    let left: Vec<_> = schema.compare(&left).unwrap().missing.iter().map(|file| file.id.version).collect();
    assert_eq!(left, [3, 4], "what follows may build upon it");
    bring_up(&mut database, &schema, Leave::Contracts).unwrap();
    assert!(schema.compare(&Ledger::read(&mut database).unwrap()).unwrap().fits());
    let rows = database.host("SELECT count(*), sum(z = y) FROM a", &[]).unwrap().rows;
    assert_eq!(rows, vec![vec![Value::Integer(2_500), Value::Integer(2_500)]]);

    for (sql, version) in [
        ("UPDATE a SET z = 0", 5),
        ("DELETE FROM a", 5),
        ("UPDATE a SET z = 1 WHERE x = 1; UPDATE a SET z = 1 WHERE x = 2", 5),
        ("CREATE TABLE b (x)", 5),
        ("SELECT 1", 5),
        ("", 5),
    ] {
        let files = [files.as_slice(), &[file(version, Phase::Backfill, sql)]].concat();
        let refused = bring(&mut database, &files);
        assert!(matches!(refused, Err(MigrationError::Apply { version: 5, .. })), "{sql}: {refused:?}");
    }
}

#[test]
fn what_another_host_hands_over_is_what_it_was_and_no_contract() {
    let given = file(4, Phase::Backfill, "UPDATE a SET z = 1");
    let sent = serde_json::to_vec(&given.handed()).unwrap();
    let taken = serde_json::from_slice::<Handed>(&sent).unwrap().open().unwrap();
    assert_eq!((taken.id(), taken.phase), (given.id(), Phase::Backfill));
    assert!(file(4, Phase::Contract, "DROP TABLE a").handed().open().is_none());
}
