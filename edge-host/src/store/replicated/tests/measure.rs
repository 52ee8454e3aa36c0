//! What the store costs, without HTTP and functions: three hosts in one process with a real engine each, beside
//! that engine by itself and a plain SQLite file. `make bench` runs it.
#![allow(clippy::print_stdout, reason = "what a benchmark is for")]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::store::Position;
use crate::store::group::Group as _;
use crate::store::replicated::engine::{Engine, EngineSettings};
use crate::store::replicated::hrana::Statement;
use crate::store::sqlite::{Database, DatabaseKey};

const CALLS: usize = 300;
const WRITERS: usize = 64;
const FOR: Duration = Duration::from_secs(5);

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1000.0;
    println!("{what}: p50 {:.3} ms, p99 {:.3} ms", at(50), at(99));
}

async fn sequential<F: Future<Output = ()>>(what: &str, mut call: impl FnMut(usize) -> F) {
    let mut times = Vec::new();
    for number in 0..CALLS {
        let begun = Instant::now();
        call(number).await;
        times.push(begun.elapsed());
    }
    report(what, times);
}

/// Calls a second with all writers at once.
async fn together<F>(call: impl Fn(usize) -> F + Clone + Send + 'static) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let (done, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (done, call) = (Arc::clone(&done), call.clone());
        writers.push(tokio::spawn(async move {
            for number in 0.. {
                if begun.elapsed() > FOR {
                    break;
                }
                call(1_000_000 * (writer + 1) + number).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

async fn plain_file(folder: &Path) {
    let mut database = Database::open_tuned(&folder.join("plain.db"), &DatabaseKey::from([7; 32])).unwrap();
    for sql in [
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE journal (entry TEXT NOT NULL UNIQUE)",
    ] {
        database.host(sql, &[]).unwrap();
    }
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for number in 0..CALLS {
        let begun = Instant::now();
        database.host("INSERT INTO journal VALUES (?)", &[Value::Text(format!("{number}"))]).unwrap();
        writes.push(begun.elapsed());
        let begun = Instant::now();
        database.host("SELECT entry FROM journal WHERE rowid = 1", &[]).unwrap();
        reads.push(begun.elapsed());
    }
    report("plain SQLite file: write", writes);
    report("plain SQLite file: read", reads);
}

/// Each writer with a connection of its own, as applications use `sqld`.
async fn plain_engine(folder: &Path) -> f64 {
    let folder = folder.join("plain-engine");
    private_file::create_dir(&folder).unwrap();
    let key = DatabaseKey::from([7; 32]);
    let settings = EngineSettings { binary: &engine(), folder: &folder, key: &key };
    let engine = Engine::start(&settings).await.unwrap();
    let insert = |number: usize| Statement {
        sql: "INSERT INTO journal VALUES (?)".to_owned(),
        parameters: vec![Value::Text(format!("{number}"))],
    };
    let create = Statement { sql: schema_sql().to_owned(), parameters: Vec::new() };
    engine.writer.carry_out(&[create], 0).await.unwrap();
    let client = engine.another_client();
    sequential("plain sqld: write", |number| {
        let (client, insert) = (&client, insert(number));
        async move {
            client.autocommit(&insert).await.unwrap();
        }
    })
    .await;
    sequential("plain sqld: read over HTTP", |_| async {
        let sql = "SELECT entry FROM journal WHERE rowid = 1".to_owned();
        client.autocommit(&Statement { sql, parameters: Vec::new() }).await.unwrap();
    })
    .await;
    let clients: Arc<Vec<_>> = Arc::new((0..WRITERS).map(|_| engine.another_client()).collect());
    together(move |number| {
        let clients = Arc::clone(&clients);
        async move {
            clients[number / 1_000_000 - 1].autocommit(&insert(number)).await.unwrap();
        }
    })
    .await
}

fn schema_sql() -> &'static str {
    "CREATE TABLE journal (entry TEXT NOT NULL UNIQUE)"
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn measure_the_store() {
    let network = Network::new();
    plain_file(network.folder.path()).await;
    let plain = plain_engine(network.folder.path()).await;
    let mut hosts = Vec::new();
    for region in REGIONS {
        hosts.push(network.start(region).await);
    }
    let first = first_write(&hosts, "first").await;
    let leader = Arc::new(hosts.remove(first));
    sequential("replicated: acknowledged write", |number| {
        let leader = Arc::clone(&leader);
        async move { leader.write(&format!("one by one {number}")).await.unwrap() }
    })
    .await;
    sequential("replicated: local read", |_| async {
        let session = leader.store.session(&group(), Access::Read, Instant::now() + WITHIN).unwrap();
        let sql = "SELECT entry FROM journal WHERE rowid = 1".to_owned();
        session.execute(sql, Vec::new(), Caller::Function).await.unwrap();
        session.commit().await.unwrap();
    })
    .await;
    let writing = Arc::clone(&leader);
    let replicated = together(move |number| {
        let leader = Arc::clone(&writing);
        async move { leader.write(&format!("together {number}")).await.unwrap() }
    })
    .await;
    println!(
        "{WRITERS} writers: replicated {replicated:.0}/s, plain sqld {plain:.0}/s, ratio {:.2}",
        replicated / plain
    );
    for host in hosts {
        host.die(&network).await;
    }
    Arc::into_inner(leader).unwrap().die(&network).await;
}

/// One way.
const FAR: Duration = Duration::from_millis(40);

/// A second region that is a round trip of 80 ms away: what a write costs at the primary. At another region it
/// is one round trip more.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn measure_far_apart() {
    let network = Network::far_apart(FAR);
    let mut hosts = Vec::new();
    for region in REGIONS {
        hosts.push(network.start(region).await);
    }
    let first = first_write(&hosts, "first").await;
    sequential("80 ms between regions: acknowledged write at the primary", |number| {
        let (leader, text) = (&hosts[first], format!("{number}"));
        async move { leader.write(&text).await.unwrap() }
    })
    .await;
    for host in hosts {
        host.die(&network).await;
    }
}

/// Databases of this size, in MiB, unless `LOCUM_BENCH_MIB` says otherwise.
const SIZES: &str = "10 100";
/// Each fills a page.
const ROW_BYTES: i64 = 3_900;
const ROWS_AT_ONCE: i64 = 2_000;
const LAGS: usize = 200;
/// How often the primary's host dies, but once where the database is larger than this, in MiB.
const DEATHS: usize = 5;
const LARGE: i64 = 100;

/// How everything grows with the database, and how long nobody can write when the primary's host dies.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark"]
async fn measure_growth() {
    let sizes = std::env::var("LOCUM_BENCH_MIB").unwrap_or_else(|_| SIZES.to_owned());
    for size in sizes.split_whitespace() {
        println!("== {size} MiB");
        measure_size(size.parse().unwrap()).await;
    }
}

async fn measure_size(mebibytes: i64) {
    let network = Network::new();
    let mut hosts = Vec::new();
    for region in REGIONS {
        hosts.push(network.start(region).await);
    }
    let first = first_write(&hosts, "first").await;
    let begun = Instant::now();
    let rows = (mebibytes << 20) / 4_096;
    for from in (1..=rows).step_by(usize::try_from(ROWS_AT_ONCE).unwrap()) {
        fill(&hosts[first], from, (from + ROWS_AT_ONCE - 1).min(rows)).await;
    }
    println!("filled in {:.1} s", begun.elapsed().as_secs_f64());
    sequential("acknowledged write", |number| {
        let (leader, text) = (&hosts[first], format!("one by one {number}"));
        async move { leader.write(&text).await.unwrap() }
    })
    .await;
    sequential("local read", |number| {
        let session = hosts[first].session(Access::Read);
        async move {
            let row = vec![Value::Integer(i64::try_from(number).unwrap() % rows + 1)];
            let sql = "SELECT length(text) FROM filler WHERE rowid = ?".to_owned();
            session.execute(sql, row, Caller::Function).await.unwrap();
            session.commit().await.unwrap();
        }
    })
    .await;
    lag(&hosts, first).await;
    let deaths = if mebibytes > LARGE { 1 } else { DEATHS };
    let (mut times, mut first) = (Vec::new(), first);
    for death in 0..deaths {
        let dead = hosts.remove(first);
        network.hosts.lock().unwrap().remove(&dead.node);
        let begun = Instant::now();
        dead.stop.cancel();
        first_write(&hosts, &format!("after death {death}")).await;
        times.push(begun.elapsed().as_secs_f64());
        let region = dead.node.as_str().strip_prefix("edge-").unwrap().to_owned();
        dead.die(&network).await;
        hosts.push(network.start(&region).await);
        first = first_write(&hosts, &format!("all are there {death}")).await;
        let newest = |host: &Host| host.store.groups[&group()].newest();
        let written = newest(&hosts[first]);
        until("all hold it", async || hosts.iter().all(|host| newest(host) >= written)).await;
    }
    times.sort_unstable_by(f64::total_cmp);
    println!("primary dies to first acknowledged write: {times:.1?} s, median {:.1} s", times[deaths / 2]);
    for host in hosts {
        host.die(&network).await;
    }
}

/// Rows that differ from each other.
async fn fill(host: &Host, from: i64, to: i64) {
    let sql = "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)
               INSERT INTO filler SELECT printf('%.*c', ?, char(65 + i % 26)) || i FROM n";
    let bounds = vec![Value::Integer(from), Value::Integer(to), Value::Integer(ROW_BYTES)];
    let session = host.session(Access::Write);
    session.execute(sql.to_owned(), bounds, Caller::Function).await.unwrap();
    // Large transactions one after the other: the copies may be some seconds behind.
    match session.commit().await {
        Ok(()) | Err(StoreError::Failed(Failure::NotDurableYet)) => {}
        Err(error) => panic!("{error:?}"),
    }
}

/// From the answer to a write until the slowest host shows it.
async fn lag(hosts: &[Host], first: usize) {
    let mut times = Vec::new();
    for number in 0..LAGS {
        let session = hosts[first].session(Access::Write);
        let sql = "INSERT INTO journal VALUES (?)".to_owned();
        session.execute(sql, vec![Value::Text(format!("lag {number}"))], Caller::Function).await.unwrap();
        session.commit().await.unwrap();
        let (begun, written) = (Instant::now(), session.position().unwrap());
        for host in hosts {
            until_held(host, written).await;
        }
        times.push(begun.elapsed());
    }
    report("slowest copy behind an acknowledged write", times);
}

async fn until_held(host: &Host, position: Position) {
    let copy = host.store.groups[&group()].serving.borrow().copy.clone().unwrap();
    assert_eq!(copy.epoch, position.epoch);
    copy.progress.held().wait_for(|held| held.frame >= Some(position.frame)).await.unwrap();
}
