//! Hosts of two releases in one group: whoever needs more of the schema gets it, whoever knows less goes on.

use std::sync::atomic::{AtomicBool, Ordering};

use locum_replication::Epoch;

use super::super::schema::{HandedAnswer, HandedOver};
use super::*;

const ADDED: (&str, &str) = (
    "0002_length.sql",
    "ALTER TABLE journal ADD COLUMN length INTEGER;
     CREATE TABLE reader (entry TEXT NOT NULL REFERENCES journal (entry) ON DELETE CASCADE, name TEXT) STRICT;
     CREATE INDEX reader_by_name ON reader (name) WHERE name IS NOT NULL;
     CREATE TRIGGER journal_length AFTER INSERT ON journal WHEN NEW.length IS NULL
     BEGIN UPDATE journal SET length = length(NEW.entry) WHERE rowid = NEW.rowid; END;",
);
const FILLED: (&str, &str) = (
    "0003_length.backfill.sql",
    "UPDATE journal SET length = length(entry)
     WHERE rowid IN (SELECT rowid FROM journal WHERE length IS NULL LIMIT 2)",
);
const GONE: (&str, &str) = ("0004_filler.contract.sql", "DROP TABLE filler");
/// What only functions of the newer release ask.
const NEWER: &str = "SELECT count(*), count(length), min(length(entry) = length) FROM journal";

fn at(hosts: &[Host], region: &str) -> usize {
    hosts.iter().position(|host| host.node.as_str() == format!("edge-{region}")).unwrap()
}

async fn query(host: &Host, sql: &str) -> Result<Vec<Vec<Value>>, SqlError> {
    let session = host.session(Access::Read);
    let rows = session.execute(sql.to_owned(), Vec::new(), Caller::Function).await?.rows;
    let kept = session.commit().await;
    kept.map_err(|_| SqlError::Ended(session.failure().unwrap_or(Failure::NotSettled)))?;
    Ok(rows)
}

/// Until functions of its release may run on its copy; before that none finds a schema that is not its own.
async fn until_fit(host: &Host, sql: &str) -> Vec<Vec<Value>> {
    let deadline = Instant::now() + WITHIN;
    loop {
        match query(host, sql).await {
            Ok(rows) => return rows,
            Err(SqlError::Ended(Failure::Upgrading | Failure::NotSettled)) => {}
            Err(error) => panic!("{} answers {error:?}", host.node),
        }
        assert!(Instant::now() < deadline, "{} does not get its schema", host.node);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn replace(network: &Arc<Network>, hosts: &mut Vec<Host>, index: usize, release: &[Migration]) {
    let region = hosts[index].node.as_str().strip_prefix("edge-").unwrap().to_owned();
    let host = hosts.remove(index);
    let store = Arc::downgrade(&host.store);
    host.die(network).await;
    // Whoever was asking it something has heard that it is gone.
    until("it lets go of its files", async || store.strong_count() == 0).await;
    hosts.insert(index, network.start_as(&region, release).await);
}

fn epoch_of(network: &Network) -> Epoch {
    network.registry.lock().unwrap().record().epoch
}

async fn three(network: &Arc<Network>, release: &[Migration]) -> (Vec<Host>, usize) {
    let mut hosts = Vec::new();
    for region in REGIONS {
        hosts.push(network.start_as(region, release).await);
    }
    let first = first_write(&hosts, "first").await;
    (hosts, first)
}

/// The followers first: the primary never heard of what it applies for them, and stays the primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_of_the_older_release_applies_what_a_newer_one_needs() {
    let network = Network::new();
    let older = schema(network.folder.path());
    let newer = release(network.folder.path(), &[ADDED, FILLED]);
    let (mut hosts, leads) = three(&network, &older).await;
    for entry in ["second", "third"] {
        hosts[leads].write(entry).await.unwrap();
    }
    let epoch = epoch_of(&network);
    for region in REGIONS {
        let index = at(&hosts, region);
        if index == leads {
            continue;
        }
        replace(&network, &mut hosts, index, &newer).await;
        let rows = until_fit(&hosts[index], NEWER).await;
        let Value::Integer(written) = rows[0][0] else { panic!("{rows:?}") };
        assert_eq!(rows[0][1..], [Value::Integer(written), Value::Integer(1)], "all is filled");
        assert!(hosts[index].store.is_fit());
        // What the older release writes is there for the newer one, whole.
        hosts[leads].write(&format!("while {region}")).await.unwrap();
        let whole = [Value::Integer(written + 1), Value::Integer(written + 1), Value::Integer(1)];
        until("the newer release reads it", async || query(&hosts[index], NEWER).await.unwrap()[0] == whole)
            .await;
    }
    assert_eq!(epoch_of(&network), epoch, "nobody had to lead anew");
    replace(&network, &mut hosts, leads, &newer).await;
    first_write(&hosts, "all are newer").await;
    for host in &hosts {
        until_fit(host, NEWER).await;
    }
    for host in hosts {
        host.die(&network).await;
    }
}

/// The primary first, and back again: the newer release begins an epoch with what it needs, the older one leads the next.
#[tokio::test(flavor = "multi_thread")]
async fn the_older_release_follows_and_leads_a_newer_schema() {
    let network = Network::new();
    let older = schema(network.folder.path());
    let newer = release(network.folder.path(), &[ADDED]);
    let (mut hosts, leads) = three(&network, &older).await;
    replace(&network, &mut hosts, leads, &newer).await;
    first_write(&hosts, "second").await;
    until_fit(&hosts[leads], NEWER).await;
    // Now the only newer host goes back, and older ones lead.
    replace(&network, &mut hosts, leads, &older).await;
    for round in 0..2 {
        let leads = first_write(&hosts, &format!("round {round}")).await;
        let region = hosts[leads].node.as_str().strip_prefix("edge-").unwrap().to_owned();
        hosts.remove(leads).die(&network).await;
        let leads = first_write(&hosts, &format!("round {round}, another")).await;
        assert_eq!(query(&hosts[leads], "SELECT count(*) FROM journal").await.unwrap().len(), 1);
        hosts.push(network.start_as(&region, &older).await);
    }
    let leads = first_write(&hosts, "last").await;
    let rows = query(&hosts[leads], "SELECT sum(length(entry) = length), count(length) FROM journal").await;
    let [all, filled] = rows.unwrap().remove(0).try_into().unwrap();
    assert!(all == filled && filled != Value::Integer(0), "the trigger went on: {all:?} {filled:?}");
    for host in hosts {
        host.die(&network).await;
    }
}

/// Nothing of others is lost or refused while a change runs beside them.
#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_while_a_change_is_applied() {
    let network = Network::new();
    let older = schema(network.folder.path());
    let newer = release(network.folder.path(), &[ADDED, FILLED]);
    let (mut hosts, leads) = three(&network, &older).await;
    let (primary, stop) = (Arc::clone(&hosts[leads].store), Arc::new(AtomicBool::new(false)));
    let stopping = Arc::clone(&stop);
    let writing = tokio::spawn(async move {
        let mut written = 0;
        while !stopping.load(Ordering::Relaxed) {
            let session = primary.session(&group(), Access::Write, Instant::now() + WITHIN).unwrap();
            let sql = "INSERT INTO journal (entry) VALUES (?)".to_owned();
            session.execute(sql, vec![format!("{written}").as_str().into()], Caller::Function).await.unwrap();
            session.commit().await.unwrap();
            written += 1;
        }
        written
    });
    let index = (leads + 1) % hosts.len();
    replace(&network, &mut hosts, index, &newer).await;
    until_fit(&hosts[index], NEWER).await;
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.unwrap();
    assert!(written > 0);
    let whole = [Value::Integer(written + 1), Value::Integer(written + 1), Value::Integer(1)];
    until("all of it is there", async || query(&hosts[index], NEWER).await.unwrap()[0] == whole).await;
    for host in hosts {
        host.die(&network).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_runs_once_every_host_knows_it_and_an_older_release_then_refuses_the_copy() {
    let network = Network::new();
    let before = release(network.folder.path(), &[ADDED, FILLED]);
    let after = release(network.folder.path(), &[ADDED, FILLED, GONE]);
    let (mut hosts, leads) = three(&network, &before).await;
    let still_there = "SELECT count(*) FROM filler";
    for step in 1..=2 {
        let index = (leads + step) % hosts.len();
        replace(&network, &mut hosts, index, &after).await;
        until_fit(&hosts[index], NEWER).await;
    }
    // From here on whoever leads knows it.
    let region = hosts[leads].node.as_str().strip_prefix("edge-").unwrap().to_owned();
    hosts.remove(leads).die(&network).await;
    let leads = first_write(&hosts, "two know it, the third is silent").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(query(&hosts[leads], still_there).await.is_ok(), "too soon: one is silent");
    hosts.push(network.start_as(&region, &before).await);
    until_fit(&hosts[2], NEWER).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(query(&hosts[leads], still_there).await.is_ok(), "too soon: one does not know it");
    replace(&network, &mut hosts, 2, &after).await;
    until("the contract runs", async || {
        let found = query(&hosts[leads], still_there).await;
        matches!(found, Err(SqlError::Sqlite { message, .. }) if message.contains("no such table"))
    })
    .await;
    let leads = first_write(&hosts, "without it").await;
    let index = (leads + 1) % hosts.len();
    replace(&network, &mut hosts, index, &before).await;
    // It follows, so that what is written is kept; nothing of its release runs on it.
    until("it holds the copy", async || {
        hosts[leads].write("kept").await.is_ok() || hosts[leads].write("kept too").await.is_ok()
    })
    .await;
    until("it refuses the copy", async || {
        let answer = query(&hosts[index], "SELECT 1").await;
        matches!(answer, Err(SqlError::Ended(Failure::Upgrading))) && !hosts[index].store.is_fit()
    })
    .await;
    assert!(!hosts[index].store.holders(&group()).is_empty(), "others answer for it");
    // It may hold what only the primary has beside it: then it begins the next epoch, and another one leads in the end.
    let outdated = hosts[index].node.clone();
    hosts.remove(leads).die(&network).await;
    let leads = first_write(&hosts, "the primary is gone").await;
    assert_ne!(hosts[leads].node, outdated);
    let kept = query(&hosts[leads], "SELECT count(*) FROM journal WHERE entry LIKE 'kept%'").await.unwrap();
    assert_ne!(kept, [[Value::Integer(0)]], "what was acknowledged is there");
    for host in hosts {
        host.die(&network).await;
    }
}

/// The two that are left hold different amounts, and the one that holds more can serve nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_release_that_alone_holds_the_last_write_hands_it_on() {
    let network = Network::new();
    let before = release(network.folder.path(), &[ADDED]);
    let after = release(network.folder.path(), &[ADDED, ("0003_filler.contract.sql", GONE.1)]);
    let (mut hosts, leads) = three(&network, &after).await;
    until("the contract runs", async || query(&hosts[leads], "SELECT count(*) FROM filler").await.is_err())
        .await;
    let leads = first_write(&hosts, "without it").await;
    let (older, behind) = ((leads + 1) % 3, (leads + 2) % 3);
    replace(&network, &mut hosts, older, &before).await;
    let behind = hosts[behind].node.as_str().strip_prefix("edge-").unwrap().to_owned();
    hosts.remove(at(&hosts, &behind)).die(&network).await;
    let leads = first_write(&hosts, "only two hold this").await;
    let region = hosts[leads].node.as_str().strip_prefix("edge-").unwrap().to_owned();
    hosts.remove(at(&hosts, &region)).die(&network).await;
    let epoch = epoch_of(&network);
    hosts.push(network.start_as(&behind, &after).await);
    let leads = first_write(&hosts, "they go on").await;
    assert_eq!(hosts[leads].node.as_str(), format!("edge-{behind}"));
    assert!(epoch_of(&network).0 >= epoch.0 + 2, "the older release led in between, to hand it on");
    let found = query(&hosts[leads], "SELECT count(*) FROM journal WHERE entry = 'only two hold this'").await;
    assert_eq!(found.unwrap(), [[Value::Integer(1)]]);
    for host in hosts {
        host.die(&network).await;
    }
}

/// A primary trusts no word of what is handed to it.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_adds_is_applied_for_another_host() {
    let network = Network::new();
    let older = schema(network.folder.path());
    let (hosts, leads) = three(&network, &older).await;
    let (primary, other) = (&hosts[leads], &hosts[(leads + 1) % 3]);
    let ask = async |from: &NodeId, epoch: Epoch, migration: serde_json::Value| {
        let migration = serde_json::from_value(migration).unwrap();
        let question = RecordsQuestion::HandOver(HandedOver { group: group(), epoch, migration });
        primary.store.answer(from.clone(), question).await
    };
    let file = |series: &str, version: u32, phase: &str, sql: &str| serde_json::json!({"series": series, "version": version, "name": "x", "phase": phase, "sql": sql});
    let epoch = epoch_of(&network);
    let good = || file("functions", 2, "expand", "CREATE TABLE more (x)");
    assert!(ask(&"edge-stranger".parse().unwrap(), epoch, good()).await.is_err(), "a stranger");
    assert!(ask(&other.node, Epoch(epoch.0 + 1), good()).await.is_err(), "another epoch");
    for (migration, answered) in [
        (file("functions", 2, "contract", "DROP TABLE filler"), "not an expand"),
        (file("functions", 1, "expand", "CREATE TABLE more (x)"), "another migration has its number"),
    ] {
        let refused = ask(&other.node, epoch, migration).await;
        let expected = HandedAnswer::Refused { why: answered.to_owned() };
        assert!(
            matches!(&refused, Ok(RecordsAnswer::HandedOver(given)) if *given == expected),
            "{refused:?}"
        );
    }
    for (series, sql) in [
        ("functions", "DROP TABLE filler"),
        ("functions", "DELETE FROM journal"),
        ("functions", "UPDATE locum_idempotency SET body = x''"),
        ("host", "DELETE FROM locum_audit_chain"),
        ("host", "DROP TRIGGER locum_audit_is_kept"),
        ("host", "PRAGMA writable_schema = ON"),
    ] {
        let taken = ask(&other.node, epoch, file(series, 9, "expand", sql)).await;
        assert!(matches!(taken, Ok(RecordsAnswer::HandedOver(HandedAnswer::Taken))), "{sql}: {taken:?}");
        until("it is refused", async || {
            let again = ask(&other.node, epoch, file(series, 9, "expand", sql)).await.unwrap();
            matches!(again, RecordsAnswer::HandedOver(HandedAnswer::Refused { .. }))
        })
        .await;
    }
    let taken = ask(&other.node, epoch, good()).await;
    assert!(matches!(taken, Ok(RecordsAnswer::HandedOver(HandedAnswer::Taken))), "{taken:?}");
    until("a good one is applied", async || query(primary, "SELECT count(*) FROM more").await.is_ok()).await;
    assert_eq!(query(primary, "SELECT count(*) FROM journal").await.unwrap(), [[Value::Integer(1)]]);
    assert!(primary.write("goes on").await.is_ok());
    for host in hosts {
        host.die(&network).await;
    }
}
