//! What the store costs, without HTTP and functions: three hosts in one process with a real engine each, beside
//! that engine by itself and a plain SQLite file. `make bench` runs it.
#![allow(clippy::print_stdout, reason = "what a benchmark is for")]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
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
async fn together<F: Future<Output = ()> + Send>(call: impl Fn(usize) -> F + Clone + Send + 'static) -> f64
where
    F: 'static,
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
