//! Requests that share a transaction.

use std::pin::pin;
use std::sync::Arc;

use futures_util::poll;

use super::*;
use crate::store::{QueryResult, Session};

async fn started() -> (Arc<Network>, Vec<Host>, usize) {
    let network = Network::new();
    let mut hosts = Vec::new();
    for region in REGIONS {
        hosts.push(network.start(region).await);
    }
    let first = first_write(&hosts, "first").await;
    (network, hosts, first)
}

async fn end(network: &Network, hosts: Vec<Host>) {
    for host in hosts {
        host.die(network).await;
    }
}

fn session(host: &Host) -> Arc<dyn Session> {
    host.session(Access::Write)
}

async fn run(session: &Arc<dyn Session>, sql: &str) -> Result<QueryResult, SqlError> {
    session.execute(sql.to_owned(), Vec::new(), Caller::Function).await
}

/// Sixty-four at once, some of which are undone: by themselves, by a refused statement, by being dropped.
#[tokio::test(flavor = "multi_thread")]
async fn each_request_ends_as_if_it_were_alone() {
    let (network, hosts, first) = started().await;
    let mut writers = Vec::new();
    for number in 0..64 {
        let session = session(&hosts[first]);
        writers.push(tokio::spawn(async move {
            let insert = format!("INSERT INTO journal VALUES ('kept {number:02}')");
            run(&session, "BEGIN").await.unwrap();
            run(&session, &insert).await.unwrap();
            run(&session, "SAVEPOINT inner").await.unwrap();
            run(&session, "INSERT INTO journal VALUES ('undone inside')").await.unwrap();
            run(&session, "ROLLBACK TO inner").await.unwrap();
            match number % 8 {
                1 => session.rollback().await,
                2 => drop(session),
                3 => {
                    let again = run(&session, &insert).await;
                    assert!(matches!(again, Err(SqlError::Sqlite { .. })), "{again:?}");
                    run(&session, "COMMIT").await.unwrap();
                    session.commit().await.unwrap();
                }
                _ => {
                    run(&session, "COMMIT").await.unwrap();
                    session.commit().await.unwrap();
                    return session.position();
                }
            }
            None
        }));
    }
    // Requests of one transaction stand at one position.
    let (mut committed, mut positions) = (0, std::collections::BTreeSet::new());
    for writer in writers {
        if let Some(position) = writer.await.unwrap() {
            committed += 1;
            positions.insert(position);
        }
    }
    assert!(positions.len() < committed / 2, "{committed} requests in {} transactions", positions.len());
    let kept: Vec<String> =
        (0..64).filter(|n| !matches!(n % 8, 1 | 2)).map(|n| format!("kept {n:02}")).collect();
    let mut wanted: Vec<&str> = kept.iter().map(String::as_str).collect();
    wanted.push("first");
    wanted.sort_unstable();
    for host in &hosts {
        let deadline = Instant::now() + WITHIN;
        loop {
            let mut found = host.entries().await.unwrap_or_default();
            found.sort_unstable();
            if found == wanted {
                break;
            }
            assert!(Instant::now() < deadline, "{} has {found:?}", host.node);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    end(&network, hosts).await;
}

/// What is done twice, here and in the engine, must be the same twice.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_that_another_copy_would_see_differently() {
    let (network, hosts, first) = started().await;
    for sql in [
        "INSERT INTO journal VALUES (hex(randomblob(8)))",
        "INSERT INTO journal VALUES (datetime('now'))",
        "INSERT INTO journal SELECT CURRENT_TIMESTAMP",
        "UPDATE journal SET entry = total_changes()",
    ] {
        let refused = run(&session(&hosts[first]), sql).await;
        assert!(matches!(refused, Err(SqlError::Refused { write: false, .. })), "{sql}: {refused:?}");
    }
    let session = session(&hosts[first]);
    run(&session, "INSERT INTO journal VALUES ('second')").await.unwrap();
    assert_eq!((session.last_insert_rowid(), session.changes()), (2, 1));
    // Reading may: it happens here only.
    assert_eq!(run(&session, "SELECT random(), datetime('now')").await.unwrap().rows.len(), 1);
    session.commit().await.unwrap();
    let update = super::sharing::session(&hosts[first]);
    run(&update, "UPDATE journal SET entry = 'third' WHERE entry = 'second'").await.unwrap();
    assert_eq!((update.last_insert_rowid(), update.changes()), (0, 1), "of another request");
    drop(update);
    let infinite = vec![Value::Real(f64::INFINITY)];
    let other = super::sharing::session(&hosts[first]);
    let refused =
        other.execute("INSERT INTO journal VALUES (?)".to_owned(), infinite, Caller::Function).await;
    assert!(matches!(refused, Err(SqlError::Misuse(_))), "{refused:?}");
    end(&network, hosts).await;
}

/// `OR ROLLBACK` ends the transaction for all who share it, and so does a statement that is interrupted. Only whoever
/// sent that feels it: those who wait for their answer and those who come after do not.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_the_transaction_ends_it_for_nobody_else() {
    const ENDLESS: &str =
        "INSERT INTO journal WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
                           SELECT 'endless ' || i FROM n WHERE i % 1000 = 0";
    let (network, hosts, first) = started().await;
    for ends in ["INSERT OR ROLLBACK INTO journal VALUES ('first')", ENDLESS] {
        let [before, breaking, after] = [(); 3].map(|()| session(&hosts[first]));
        for sql in ["SAVEPOINT own", "INSERT INTO journal VALUES ('before')", "RELEASE own"] {
            run(&before, sql).await.unwrap();
        }
        let mut gone = pin!(run(&breaking, "INSERT INTO journal VALUES ('gone')"));
        let mut next = pin!(run(&after, "INSERT INTO journal VALUES ('after')"));
        // Both wait for their turn, in this order; whoever carries the first out comes after them.
        assert!(poll!(gone.as_mut()).is_pending() && poll!(next.as_mut()).is_pending());
        let answered = tokio::spawn(async move { before.commit().await });
        gone.await.unwrap();
        assert!(run(&breaking, ends).await.is_err());
        let broken = breaking.commit().await;
        assert!(matches!(broken, Err(StoreError::Failed(_))), "{broken:?}");
        next.await.unwrap();
        after.commit().await.unwrap();
        answered.await.unwrap().unwrap();
        for host in &hosts {
            until_entries(host, &["first", "before", "after"]).await;
        }
        run_alone(&hosts[first], "DELETE FROM journal WHERE entry <> 'first'").await;
    }
    hosts[first].write("next").await.unwrap();
    let half = session(&hosts[first]);
    // The first row stays when the second fails: nobody knows that but this host's copy.
    let failed = run(&half, "INSERT OR FAIL INTO journal VALUES ('half'), ('first')").await;
    assert!(failed.is_err());
    assert!(half.commit().await.is_err());
    hosts[first].write("last").await.unwrap();
    for host in &hosts {
        until_entries(host, &["first", "next", "last"]).await;
    }
    end(&network, hosts).await;
}

async fn run_alone(host: &Host, sql: &str) {
    let session = session(host);
    run(&session, sql).await.unwrap();
    session.commit().await.unwrap();
}

/// Three share one transaction; the second is undone, and the third finds nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_undone_is_gone_for_whoever_comes_next() {
    let (network, hosts, first) = started().await;
    let (one, two, three) = (session(&hosts[first]), session(&hosts[first]), session(&hosts[first]));
    run(&one, "INSERT INTO journal VALUES ('one')").await.unwrap();
    let mut second = pin!(run(&two, "INSERT INTO journal VALUES ('once')"));
    let mut third = pin!(run(&three, "INSERT INTO journal VALUES ('once')"));
    // Both wait for their turn, in this order; whoever carries the first out comes after them.
    assert!(poll!(second.as_mut()).is_pending() && poll!(third.as_mut()).is_pending());
    let committed = tokio::spawn(async move { one.commit().await });
    second.await.unwrap();
    two.rollback().await;
    third.await.unwrap();
    three.commit().await.unwrap();
    committed.await.unwrap().unwrap();
    for host in &hosts {
        until_entries(host, &["first", "one", "once"]).await;
    }
    end(&network, hosts).await;
}
