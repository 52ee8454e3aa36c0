//! `cargo bench -p locum-edge`: what a function call costs on a fresh instance, in process and through HTTP
//! on loopback.
//!
//! With `WASMTIME` naming a `wasmtime` program, the same component is also measured under `wasmtime serve`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measuring tool")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
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
    Access, Caller, GroupId, MasterKey, RecordStore, ResultLimits, SingleFileStore, StoreSettings,
    TransactionLimits,
};
use locum_edge::variables::Variables;
use tokio::net::TcpStream;

const WARM_UP: usize = 500;
const CALLS: usize = 5_000;
const ROUNDS: usize = 3;

/// Ends with its owner.
struct Host(Child);

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(in_process(&build("locum-edge-test-guest"), folder.path()));
    let hello = build("locum-edge-bench-hello");
    println!("over HTTP: {} KiB of WebAssembly, fresh instances", hello.metadata().unwrap().len() / 1024);
    let peer = std::env::var_os("WASMTIME");
    // The order alternates, so that a change of the machine's speed does not favour one side.
    for round in 0..ROUNDS {
        let (host, address) = start_host(&hello, &folder.path().join(round.to_string()));
        runtime.block_on(over_http("locum-edge", host, &address));
        if let Some(wasmtime) = &peer {
            let (host, address) = start_peer(Path::new(wasmtime), &hello);
            runtime.block_on(over_http("wasmtime serve", host, &address));
        }
    }
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
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let started = Instant::now();
        read(&store).await;
        times.push(started.elapsed());
    }
    report("in process: SQL read, no function", times);
}

/// The same row, without a function.
async fn read(store: &SingleFileStore) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let group = GroupId::try_from("main".to_owned()).unwrap();
    let session = store.session(&group, Access::Read, deadline).unwrap();
    let sql = "SELECT text FROM note WHERE id = 1".to_owned();
    session.execute(sql, Vec::new(), Caller::Function).await.unwrap();
    session.commit().await.unwrap();
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
        audit: None,
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

/// One keep-alive connection, one request at a time; then the process's memory.
async fn over_http(name: &str, host: Host, address: &str) {
    let stream = connect(address).await;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut times = Vec::with_capacity(CALLS);
    for index in 0..WARM_UP + CALLS {
        let request = Request::post("/c/demo/test").header("host", "localhost");
        let request = request.body(Full::new(Bytes::from_static(b"say hello"))).unwrap();
        let started = Instant::now();
        let response = sender.send_request(request).await.unwrap();
        assert!(response.status().is_success());
        response.into_body().collect().await.unwrap();
        if index >= WARM_UP {
            times.push(started.elapsed());
        }
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.0.id())).unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("unknown").trim();
    report(&format!("{name} ({memory})"), times);
}

async fn connect(address: &str) -> TcpStream {
    let started = Instant::now();
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).unwrap();
                return stream;
            }
            Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn start_peer(wasmtime: &Path, component: &Path) -> (Host, String) {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let peer = Command::new(wasmtime)
        .args(["serve", "-S", "cli,p3", "-W", "component-model-async=y"])
        .args(["--max-instance-reuse-count", "1", "--addr", &address])
        .arg(component)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    (Host(peer), address)
}

fn start_host(component: &Path, folder: &Path) -> (Host, String) {
    std::fs::create_dir(folder).unwrap();
    locum_identity::private_file::write(&folder.join("store.key"), "5a".repeat(32).as_bytes()).unwrap();
    let manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"bench\"\n[[trigger.http]]\n\
         route = \"/c/:clinic/test/...\"\ncomponent = \"test\"\n[component.test]\nsource = \"{}\"\n\
         sqlite_databases = [\"default\"]\nkey_value_stores = [\"default\"]\n",
        component.canonicalize().unwrap().display()
    );
    std::fs::write(folder.join("spin.toml"), manifest).unwrap();
    let config = "\
        zone = \"locum.localhost\"\nregion = \"eu-central\"\nstate_dir = \"host\"\n\
        ready_file = \"ready\"\ntelemetry_listen = \"127.0.0.1:0\"\nmanifest = \"spin.toml\"\n\
        http_listen = \"127.0.0.1:0\"\nstore_key_file = \"store.key\"\n[clinics]\ndemo = \"main\"\n";
    std::fs::write(folder.join("edge.toml"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_locum-edge"));
    command.arg("--config").arg(folder.join("edge.toml")).env("LOCUM_LOG", "warn");
    let host = Host(command.spawn().unwrap());
    let started = Instant::now();
    while !folder.join("ready").exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "the host does not start");
        std::thread::yield_now();
    }
    let ready: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("ready")).unwrap()).unwrap();
    (host, ready["addresses"]["http"].as_str().unwrap().to_owned())
}

fn environment(limits: &Limits) -> Arc<Environment> {
    Arc::new(Environment {
        component: "test".to_owned(),
        environment: BTreeMap::new(),
        templates: BTreeMap::new(),
        variables: Variables::default(),
        sqlite_databases: vec!["default".to_owned()],
        breached: None,
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
        contract_after: Duration::ZERO,
    };
    SingleFileStore::open([GroupId::try_from("main".to_owned()).unwrap()], &settings).unwrap()
}

fn report(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1_000];
    println!("{name}: p50 {:?}, p99 {:?}, n {}", at(500), at(990), times.len());
}

fn build(package: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "wasm", "-p", package])
        .arg("--target-dir")
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success(), "{package} does not build");
    target.join(format!("wasm32-wasip2/wasm/{}.wasm", package.replace('-', "_")))
}
