//! The engine's stream stays open between transactions.

use super::*;
use crate::store::replicated::engine::{Engine, EngineSettings};
use crate::store::replicated::hrana::{CarryError, Statement};
use crate::store::sqlite::DatabaseKey;

/// Longer than the engine keeps a stream.
const PAUSE: Duration = Duration::from_secs(12);
const MORE_THAN_IT_HOLDS: usize = 200;

fn insert(entry: &str) -> [Statement; 1] {
    [Statement {
        sql: "INSERT INTO journal VALUES (?)".to_owned(),
        parameters: vec![Value::Text(entry.to_owned())],
    }]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transaction_is_compared_and_happens_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("engine");
    private_file::create_dir(&folder).unwrap();
    let key = DatabaseKey::from([7; 32]);
    let engine = Engine::start(&EngineSettings { binary: &engine(), folder: &folder, key: &key }).await;
    let engine = engine.unwrap();
    let writer = &engine.writer;
    let create = Statement { sql: "CREATE TABLE journal (entry UNIQUE)".to_owned(), parameters: Vec::new() };
    writer.carry_out(&[create], 0).await.unwrap();

    let mut newest = writer.newest();
    for entry in ["one", "two", "three"] {
        let frame = writer.carry_out(&insert(entry), 1).await.unwrap();
        assert!(frame > newest);
        newest = frame;
    }
    // One row where two were changed on the copy.
    let other = writer.carry_out(&insert("other"), 2).await;
    assert!(matches!(other, Err(CarryError::Refused { step: 2, .. })), "{other:?}");
    let [twice] = insert("one");
    let [before] = insert("before");
    let refused = writer.carry_out(&[before, twice], 2).await;
    assert_eq!(refused, Err(CarryError::Refused { step: 2, code: "SQLITE_CONSTRAINT" }));
    assert_eq!(writer.newest(), newest, "nothing of them was written");
    // Neither holds a transaction open, and what they changed counts for nobody else.
    for entry in ["before", "other"] {
        writer.carry_out(&insert(entry), 1).await.unwrap();
    }
    // The engine has room for 128 streams at once.
    for _ in 0..MORE_THAN_IT_HOLDS {
        let refused = writer.carry_out(&insert("one"), 1).await;
        assert_eq!(refused, Err(CarryError::Refused { step: 1, code: "SQLITE_CONSTRAINT" }));
    }
    tokio::time::sleep(PAUSE).await;
    writer.carry_out(&insert("after a pause"), 1).await.unwrap();
    let count = Statement {
        sql: "INSERT INTO journal SELECT 'all ' || count(*) FROM journal".to_owned(),
        parameters: Vec::new(),
    };
    writer.carry_out(&[count], 1).await.unwrap();
    let taken = writer.carry_out(&insert("all 6"), 1).await;
    assert!(matches!(taken, Err(CarryError::Refused { code: "SQLITE_CONSTRAINT", .. })), "{taken:?}");
}
