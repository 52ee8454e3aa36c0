//! `cargo bench -p locum-edge`: what a function call costs on a fresh instance, in process and through HTTP on loopback.
//!
//! Arguments: a component (`.wasm`) and a path; without them the test function, which then answers a constant line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measuring tool")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use locum_edge::config::Limits;
use locum_edge::manifest::AllowedHosts;
use locum_edge::runtime::{Call, Environment, Function, FunctionEngine, OutboundClient};
use locum_edge::store::{
    Access, GroupId, MasterKey, RecordStore, ResultLimits, SingleFileStore, StoreSettings, TransactionLimits,
};
use locum_edge::variables::Variables;
use tokio::net::TcpStream;

const WARM_UP: usize = 500;
const CALLS: usize = 5_000;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let component = arguments.next().map_or_else(build_guest, PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("component {} ({} KiB)", component.display(), component.metadata().unwrap().len() / 1024);
    runtime.block_on(in_process(&component, folder.path()));
    runtime.block_on(over_http(&component, folder.path()));
}

async fn in_process(component: &Path, folder: &Path) {
    let limits = Limits::default();
    let engine = FunctionEngine::new(&limits, folder.join("cache")).unwrap();
    let _ticker = engine.start_ticker().unwrap();
    let function = engine.load(&component.to_owned(), environment(&limits)).unwrap();
    let store = store(folder);
    let scripts = [
        ("call", "say hello"),
        ("call + key-value read", "get a"),
        ("call + SQL read", "sql SELECT text FROM note WHERE id = 1"),
        ("call + SQL write + commit (fsync)", "sql INSERT INTO note (text) VALUES ('a')"),
    ];
    for (name, script) in scripts {
        let mut times = Vec::with_capacity(CALLS);
        let (warm_up, calls) = if name.contains("fsync") { (20, 500) } else { (WARM_UP, CALLS) };
        for index in 0..warm_up + calls {
            let started = Instant::now();
            call(&function, &store, script).await;
            if index >= warm_up {
                times.push(started.elapsed());
            }
        }
        report(&format!("in process: fresh instance, {name}"), times);
    }
}

async fn call(function: &Function, store: &SingleFileStore, script: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let group = GroupId::try_from("main".to_owned()).unwrap();
    let access = if script.contains("INSERT") { Access::Write } else { Access::Read };
    let session = store.session(&group, access, deadline).unwrap();
    let request =
        Request::post("http://localhost/c/demo/test").body(Bytes::copy_from_slice(script.as_bytes()));
    let call = Call {
        request: request.unwrap(),
        session: Some(Arc::clone(&session)),
        clinic: "demo".to_owned(),
        deadline,
    };
    let response = function.call(call).await.unwrap();
    session.commit().await.unwrap();
    assert!(
        response.status().is_success() && !response.body().starts_with(b"error"),
        "{:?}",
        response.body()
    );
}

/// The whole host as a process, one keep-alive connection.
async fn over_http(component: &Path, folder: &Path) {
    let (mut host, address) = start_host(component, folder);
    let stream = TcpStream::connect(&address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut times = Vec::with_capacity(CALLS);
    for index in 0..WARM_UP + CALLS {
        let request = Request::post("/c/demo/test").header("host", "localhost");
        let request = request.body(Full::from("say hello")).unwrap();
        let started = Instant::now();
        let response = sender.send_request(request).await.unwrap();
        assert!(response.status().is_success());
        response.into_body().collect().await.unwrap();
        if index >= WARM_UP {
            times.push(started.elapsed());
        }
    }
    report("over HTTP/1.1 on loopback, one connection: fresh instance, call", times);
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.id())).unwrap_or_default();
    let memory = status.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("VmRSS unknown");
    println!("host process {memory}");
    host.kill().unwrap();
    host.wait().unwrap();
}

fn start_host(component: &Path, folder: &Path) -> (std::process::Child, String) {
    let manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"bench\"\n[[trigger.http]]\n\
         route = \"/c/:clinic/test/...\"\ncomponent = \"test\"\n[component.test]\nsource = \"{}\"\n\
         sqlite_databases = [\"default\"]\nkey_value_stores = [\"default\"]\n",
        component.canonicalize().unwrap().display()
    );
    std::fs::write(folder.join("spin.toml"), manifest).unwrap();
    let config = "zone = \"locum.localhost\"\nregion = \"eu-central\"\nstate_dir = \"host\"\nready_file = \"ready\"\n\
        telemetry_listen = \"127.0.0.1:0\"\nmanifest = \"spin.toml\"\nhttp_listen = \"127.0.0.1:0\"\n\
        store_key_file = \"store.key\"\n[clinics]\ndemo = \"main\"\n";
    std::fs::write(folder.join("edge.toml"), config).unwrap();
    let host = Command::new(env!("CARGO_BIN_EXE_locum-edge"))
        .arg("--config")
        .arg(folder.join("edge.toml"))
        .env("LOCUM_LOG", "warn")
        .spawn()
        .unwrap();
    let started = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(folder.join("ready")) {
            let ready: serde_json::Value = serde_json::from_str(&text).unwrap();
            return (host, ready["addresses"]["http"].as_str().unwrap().to_owned());
        }
        assert!(started.elapsed() < Duration::from_secs(60), "the host does not start");
        std::thread::yield_now();
    }
}

fn environment(limits: &Limits) -> Arc<Environment> {
    Arc::new(Environment {
        component: "test".to_owned(),
        environment: BTreeMap::new(),
        templates: BTreeMap::new(),
        variables: Variables::default(),
        sqlite_databases: vec!["default".to_owned()],
        key_value_stores: vec!["default".to_owned()],
        outbound: AllowedHosts::default(),
        client: OutboundClient::new().unwrap(),
        deadline: limits.deadline(),
        memory_bytes: limits.memory_bytes(),
        answer_bytes: limits.answer_bytes as usize,
    })
}

fn store(folder: &Path) -> SingleFileStore {
    let key = folder.join("store.key");
    locum_identity::private_file::write(&key, "5a".repeat(32).as_bytes()).unwrap();
    let migrations = folder.join("migrations");
    std::fs::create_dir(&migrations).unwrap();
    let schema = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;";
    std::fs::write(migrations.join("0001_note.sql"), schema).unwrap();
    let settings = StoreSettings {
        state_dir: folder,
        master_key: &MasterKey::read(&key).unwrap(),
        migrations: &locum_edge::store::load_migrations(&migrations).unwrap(),
        results: ResultLimits::default(),
        transactions: TransactionLimits::default(),
    };
    SingleFileStore::open([GroupId::try_from("main".to_owned()).unwrap()], &settings).unwrap()
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1_000];
    println!("{name}: p50 {:?}, p99 {:?}, n {}", at(500), at(990), times.len());
}

fn build_guest() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "wasm"])
        .args(["-p", "locum-edge-test-guest", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success(), "the test function does not build");
    target.join("wasm32-wasip2/wasm/locum_edge_test_guest.wasm")
}
