//! Starts hosts and talks to them.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use locum_identity::private_file;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// Longest wait for anything that should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The route of the test function, for the clinic `demo`.
pub(crate) const ROUTE: &str = "/c/demo/test";

/// `[limits]` stands last, so that a test can add to it.
const CONFIG: &str = include_str!("files/edge.toml");
/// `[component.test]` stands last.
const MANIFEST: &str = include_str!("files/spin.toml");
const SCHEMA: &str = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;";

/// One host and its folder.
pub(crate) struct Host {
    child: Child,
    pub(crate) folder: TempDir,
    pub(crate) http: SocketAddr,
    pub(crate) telemetry: SocketAddr,
}

/// What a host is started with.
#[derive(Default)]
pub(crate) struct Settings {
    /// Lines of `[limits]`.
    pub(crate) limits: &'static str,
    /// More lines of the test component.
    pub(crate) component: &'static str,
    /// More tables of the host's configuration.
    pub(crate) more: &'static str,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path(), &settings);
        share_compiled(folder.path());
        Self::run(folder).await
    }

    /// Starts a host on a folder that is there already.
    pub(crate) async fn run(folder: TempDir) -> Self {
        let ready_file = folder.path().join("ready.json");
        let _ = fs::remove_file(&ready_file);
        let mut child = spawn(folder.path());
        let started = Instant::now();
        let ready = loop {
            if let Ok(text) = fs::read_to_string(&ready_file) {
                break serde_json::from_str::<serde_json::Value>(&text).unwrap();
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the host ended with {status}: {}", log(folder.path()));
            }
            assert!(started.elapsed() < PATIENCE, "not ready: {}", log(folder.path()));
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let address = |name: &str| ready["addresses"][name].as_str().unwrap().parse().unwrap();
        Self { child, http: address("http"), telemetry: address("telemetry"), folder }
    }

    /// SIGKILL, as a power cut is to a process. The folder stays.
    pub(crate) fn kill(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    /// SIGTERM and a clean end. The folder stays.
    pub(crate) fn stop(mut self) -> TempDir {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let started = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < PATIENCE, "does not stop");
            std::thread::yield_now();
        }
        assert!(self.child.wait().unwrap().success(), "{}", log(self.folder.path()));
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }

    pub(crate) fn log(&self) -> String {
        log(self.folder.path())
    }

    /// Runs a script in a `POST`.
    pub(crate) async fn post(&self, script: &str) -> Answer {
        self.send(post(ROUTE, script)).await
    }

    /// Runs a script in a `GET`.
    pub(crate) async fn get(&self, script: &str) -> Answer {
        self.send(Request::get(ROUTE).header("x-script", script).body(Full::default()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        send(self.http, request).await
    }

    /// Waits until the metrics hold this line.
    pub(crate) async fn metric(&self, line: &str) {
        let started = Instant::now();
        while !self.metrics().await.lines().any(|found| found == line) {
            assert!(started.elapsed() < PATIENCE, "{line} never came: {}", self.metrics().await);
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn metrics(&self) -> String {
        send(self.telemetry, Request::get("/metrics").body(Full::default()).unwrap()).await.text()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The slug of a problem answer.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        problem["type"].as_str().unwrap().strip_prefix("urn:locum:problem:").unwrap().to_owned()
    }
}

pub(crate) fn post(path: &str, script: &str) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::from(script.to_owned())).unwrap()
}

/// One request on its own connection.
pub(crate) async fn send(address: SocketAddr, mut request: Request<Full<Bytes>>) -> Answer {
    request.headers_mut().entry("host").or_insert(address.to_string().parse().unwrap());
    let exchange = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("an answer in time")
}

/// Runs the binary to its end with this configuration: exit code and standard error.
pub(crate) fn refused(folder: &Path) -> (Option<i32>, String) {
    let status = spawn(folder).wait().unwrap();
    (status.code(), log(folder))
}

pub(crate) fn write_files(folder: &Path, settings: &Settings) {
    let key = "5a".repeat(32);
    fs::write(folder.join("store.key"), key).unwrap();
    fs::set_permissions(folder.join("store.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    fs::create_dir(folder.join("migrations")).unwrap();
    fs::write(folder.join("migrations/0001_note.sql"), SCHEMA).unwrap();
    let Settings { limits, component, more } = settings;
    fs::write(folder.join("edge.toml"), format!("{CONFIG}{limits}\n{more}\n")).unwrap();
    let manifest = MANIFEST.replace("GUEST", guest().to_str().unwrap());
    fs::write(folder.join("spin.toml"), format!("{manifest}{component}\n")).unwrap();
}

/// Replaces text in one of the folder's files; it must be there.
pub(crate) fn edit(folder: &Path, file: &str, from: &str, to: &str) {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in {file}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

fn spawn(folder: &Path) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_locum-edge"))
        .arg("--config")
        .arg(folder.join("edge.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Hosts of one test run share compiled functions, as restarts of one host do.
pub(crate) fn share_compiled(folder: &Path) {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    private_file::create_dir(&shared).unwrap();
    private_file::create_dir(&folder.join("state")).unwrap();
    std::os::unix::fs::symlink(shared, folder.join("state/cache")).unwrap();
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

/// The test function, built once.
fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "wasm"])
            .args(["-p", "locum-edge-test-guest", "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success(), "the test function does not build");
        target.join("wasm32-wasip2/wasm/locum_edge_test_guest.wasm")
    })
}
