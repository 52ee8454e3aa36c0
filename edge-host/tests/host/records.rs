//! Transactions, what a function may not do, and what survives.

use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::{Host, PATIENCE, ROUTE, Settings, edit, refused};

const COUNT: &str = "sql SELECT count(*) FROM note";

fn insert(text: &str) -> String {
    format!("sql INSERT INTO note (text) VALUES ('{text}')")
}

#[tokio::test]
async fn an_error_or_a_trap_undoes_everything() {
    let host = Host::start().await;
    for end in ["status 500", "panic", "hog"] {
        let failed = host.post(&format!("{}\n{end}", insert(end))).await;
        assert_eq!(failed.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(host.get(COUNT).await.text(), "[0]", "{end}");
    }
    let refused = host.post(&format!("{}\nstatus 401", insert("kept"))).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(host.get(COUNT).await.text(), "[1]", "a refusal may count failures");
}

#[tokio::test]
async fn a_functions_transaction_is_a_savepoint_of_the_hosts() {
    let host = Host::start().await;
    let script = [
        "sql BEGIN IMMEDIATE",
        &insert("kept"),
        "sql COMMIT",
        "sql BEGIN",
        &insert("undone"),
        "sql ROLLBACK",
        &insert("outside"),
        "sql BEGIN",
        &insert("never committed"),
    ]
    .join("\n");
    host.post(&script).await;
    let kept = host.get("sql SELECT text FROM note ORDER BY id").await.text();
    assert_eq!(kept, "[\"kept\"] [\"outside\"]");
    let rolled_back =
        host.post(&format!("sql BEGIN\n{}\nsql COMMIT\nstatus 500", insert("committed inside"))).await;
    assert_eq!(rolled_back.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(host.get(COUNT).await.text(), "[2]", "the host has the last word");
    let words = host.post("sql COMMIT\nsql BEGIN\nsql BEGIN").await.text();
    assert!(words.contains("no transaction is active") && words.contains("within a transaction"), "{words}");
}

#[tokio::test]
async fn a_get_that_writes_is_told_so() {
    let host = Host::start().await;
    let told = host.get(&insert("a")).await;
    assert!(told.text().contains("read-only request"), "{}", told.text());
    let failed = host.get(&format!("{};;status 500", insert("a"))).await;
    assert_eq!(failed.problem(), "read-only-request");
    assert_eq!(host.get("set a 1;;status 500").await.problem(), "read-only-request");
    assert_eq!(host.get(COUNT).await.text(), "[0]");
}

#[tokio::test]
async fn doors_out_of_the_database_are_shut() {
    let host = Host::start().await;
    for statement in [
        "ATTACH DATABASE 'x.db' AS x",
        "DETACH DATABASE main",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA query_only = OFF",
        "PRAGMA synchronous = OFF",
        "SELECT load_extension('x')",
        "SELECT * FROM locum_idempotency",
        "SELECT * FROM \"LOCUM_key_value\"",
        "DELETE FROM locum_migrations",
        "CREATE TABLE mine (a)",
        "CREATE TEMP TABLE mine (a)",
        "DROP TABLE note",
        "ALTER TABLE note ADD COLUMN a TEXT",
        "VACUUM INTO 'copy.db'",
        "SAVEPOINT locum_function",
        "REINDEX",
    ] {
        for answer in
            [host.post(&format!("sql {statement}")).await, host.get(&format!("sql {statement}")).await]
        {
            let text = answer.text();
            assert!(
                ["not authorized", "read-only", "cannot VACUUM"].iter().any(|words| text.contains(words)),
                "{statement}: {text}"
            );
        }
    }
    let two = host.post(&format!("{}; DELETE FROM note", insert("a"))).await.text();
    assert!(two.contains("more than one statement"), "{two}");
    let constraint = host.post(&format!("{0}\n{0}", insert("twice"))).await.text();
    assert!(constraint.contains("UNIQUE constraint failed: note.text"), "{constraint}");
}

#[tokio::test]
async fn odd_text_neither_panics_nor_is_cut() {
    let host = Host::start().await;
    let text = host.get("sql SELECT CAST(x'ff' AS TEXT)").await.text();
    assert!(text.contains("UTF-8"), "{text}");
    let text = host.get("sql SELECT CAST(x'610062' AS TEXT), zeroblob(0), 1.5, NULL").await.text();
    assert_eq!(text, "[\"a\\0b\", x'', 1.5, NULL]");
}

#[tokio::test]
async fn answers_of_the_store_have_a_size_and_a_time() {
    let host = Host::with(Settings { limits: "deadline_ms = 1000", ..Settings::default() }).await;
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT";
    let text = host.get(&format!("sql {numbers} 10001) SELECT i FROM n")).await.text();
    assert!(text.contains("over the limit of 10000 rows"), "{text}");
    let text = host.get(&format!("sql {numbers} 6) SELECT zeroblob(1000000) FROM n")).await.text();
    assert!(text.contains("bytes"), "{text}");
    assert_eq!(host.get(&format!("sql {numbers} -1) SELECT max(i) FROM n")).await.problem(), "deadline");
    assert_eq!(host.get(COUNT).await.text(), "[0]", "the connection is free again");
}

#[tokio::test]
async fn a_held_transaction_is_taken_back() {
    let limits = "transaction_hold_ms = 300\ntransaction_wait_ms = 1000";
    let host = Host::with(Settings { limits, ..Settings::default() }).await;
    let holding = format!("{}\nsleep 4000", insert("held"));
    // The other one would be refused long before the sleep ends.
    let (held, other) = tokio::join!(host.post(&holding), async {
        host.metric("locum_edge_transactions_open 1").await;
        host.post(&insert("other")).await
    });
    assert_eq!(
        (held.status, held.problem().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "transaction-timeout")
    );
    assert_eq!(other.status, StatusCode::OK, "{}", other.text());
    assert_eq!(host.get("sql SELECT text FROM note").await.text(), "[\"other\"]");
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let long = format!("sql INSERT INTO note (text) {endless}");
    assert_eq!(host.post(&long).await.problem(), "transaction-timeout");
    assert_eq!(host.get(COUNT).await.text(), "[1]");
}

#[tokio::test]
async fn or_rollback_cannot_leave_statements_outside_a_transaction() {
    let host = Host::start().await;
    host.post(&insert("there")).await;
    let or_rollback = "sql INSERT OR ROLLBACK INTO note (text) VALUES ('there')";
    let lost = host.post(&format!("{or_rollback}\n{}", insert("outside"))).await;
    assert_eq!(lost.problem(), "store-failed");
    assert_eq!(host.get(COUNT).await.text(), "[1]");
}

#[tokio::test]
async fn twenty_writers_take_turns() {
    let host = Host::start().await;
    let script =
        "sql BEGIN IMMEDIATE\nsql INSERT INTO note (text) SELECT 'n' || count(*) FROM note\nsql COMMIT";
    let answers = futures_util::future::join_all((0..20).map(|_| host.post(script))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK && !answer.text().contains("error")));
    assert_eq!(host.get(COUNT).await.text(), "[20]");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_and_nothing_else_does() {
    let host = Host::start().await;
    host.post(&insert("acknowledged")).await;
    let unfinished = format!("{}\nsleep 1000", insert("unfinished"));
    let head = format!("POST {ROUTE} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", unfinished.len());
    // Its answer never comes.
    let mut stream = TcpStream::connect(host.http).await.unwrap();
    stream.write_all((head + &unfinished).as_bytes()).await.unwrap();
    host.metric("locum_edge_transactions_open 1").await;
    let folder = host.kill();
    let host = Host::run(folder).await;
    assert_eq!(host.get("sql SELECT text FROM note").await.text(), "[\"acknowledged\"]");
    let host = Host::run(host.stop()).await;
    assert_eq!(host.get(COUNT).await.text(), "[1]");
}

#[tokio::test]
async fn another_release_or_another_key_does_not_touch_the_records() {
    let host = Host::start().await;
    host.post(&insert("a")).await;
    let folder = host.stop();
    let database = folder.path().join("state/records/main/data.db");
    let before = std::fs::read(&database).unwrap();

    edit(folder.path(), "store.key", "5a", "5b");
    let (code, log) = refused(folder.path());
    assert!(code == Some(1) && log.contains("wrong key"), "{log}");
    edit(folder.path(), "store.key", "5b", "5a");

    std::fs::write(folder.path().join("migrations/0002_more.sql"), "CREATE TABLE more (a) STRICT;").unwrap();
    let (_, log) = refused(folder.path());
    assert!(log.contains("functions migration 2"), "a file that does not run: {log}");
    assert_eq!(std::fs::read(&database).unwrap(), before, "nothing was touched");

    std::fs::write(folder.path().join("migrations/0002_more.sql"), "CREATE TABLE more (a TEXT) STRICT;")
        .unwrap();
    let folder = Host::run(folder).await.stop();
    std::fs::write(folder.path().join("migrations/0002_more.sql"), "CREATE TABLE other (a TEXT) STRICT;")
        .unwrap();
    let (_, log) = refused(folder.path());
    assert!(log.contains("was changed after it was applied"), "{log}");
}

/// The release before goes on with what a newer one has added, until that takes away what it needs.
#[tokio::test]
async fn one_may_go_back_to_the_release_before_until_a_contract_has_run() {
    let more = "[migrations]\ncontract_after_s = 1";
    let host = Host::with(Settings { more, ..Settings::default() }).await;
    host.post(&insert("a")).await;
    let folder = host.stop();
    let migrations = folder.path().join("migrations");
    let file = |name: &str| migrations.join(name);
    let expand = file("0002_length.sql");
    let write_expand = || std::fs::write(&expand, "ALTER TABLE note ADD COLUMN length INTEGER;").unwrap();
    write_expand();
    let backfill = file("0003_length.backfill.sql");
    let fill = "UPDATE note SET length = length(text) WHERE id IN (SELECT id FROM note WHERE length IS NULL LIMIT 9)";
    let write_backfill = || std::fs::write(&backfill, fill).unwrap();
    write_backfill();
    let contract = file("0004_length.contract.sql");
    let host = Host::run(folder).await;
    assert_eq!(host.get("sql SELECT length FROM note").await.text(), "[1]");
    let folder = host.stop();
    for file in [&expand, &backfill] {
        std::fs::remove_file(file).unwrap();
    }
    let host = Host::run(folder).await;
    host.post(&insert("the release before")).await;
    assert_eq!(host.get(COUNT).await.text(), "[2]");
    let folder = host.stop();
    write_expand();
    write_backfill();
    std::fs::write(&contract, "ALTER TABLE note DROP COLUMN length;").unwrap();
    let host = Host::run(folder).await;
    let began = std::time::Instant::now();
    while !host.get("sql SELECT length FROM note").await.text().contains("no such column") {
        assert!(began.elapsed() < PATIENCE, "the contract does not run");
    }
    assert_eq!(host.get(COUNT).await.text(), "[2]");
    let folder = host.stop();
    std::fs::remove_file(&contract).unwrap();
    let (_, log) = refused(folder.path());
    assert!(log.contains("functions contract 4 and this release knows 3"), "{log}");
}

#[tokio::test]
async fn a_second_process_does_not_open_the_same_records() {
    let host = Host::start().await;
    let (code, log) = refused(host.folder.path());
    assert!(code == Some(1) && log.contains("in use by another process"), "{log}");
    assert_eq!(host.get(COUNT).await.text(), "[0]");
}

#[tokio::test]
async fn a_client_that_leaves_leaves_nothing_behind() {
    let host = Host::start().await;
    let unfinished = format!("{}\nsleep 10000", insert("unfinished"));
    let head = format!("POST {ROUTE} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", unfinished.len());
    let mut stream = TcpStream::connect(host.http).await.unwrap();
    stream.write_all((head + &unfinished).as_bytes()).await.unwrap();
    host.metric("locum_edge_transactions_open 1").await;
    drop(stream);
    host.metric("locum_edge_transactions_open 0").await;
    host.metric("locum_edge_calls_running 0").await;
    assert_eq!(host.post(&insert("next")).await.status, StatusCode::OK);
    assert_eq!(host.get("sql SELECT text FROM note").await.text(), "[\"next\"]");
}
