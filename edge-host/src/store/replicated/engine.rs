//! `sqld` under supervision: one process an epoch, on loopback, never outliving this host.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use locum_identity::{KeyError, SigningKey};
use locum_replication::FrameNo;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use serde::Serialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::hrana::{CarryError, HranaClient};
use crate::store::sqlite::DatabaseKey;

/// A promoted copy of some GiB is read once before `sqld` serves it.
const SERVING_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Its log may grow to this before it is compacted: a copy waits until that is done, which takes half a second
/// for so much. A test does not write so much.
const MAX_LOG_MIB: &str = if cfg!(test) { "2" } else { "64" };
const MAX_ANSWER: &str = "8MB";
/// `sqld` ends a transaction by itself after this; the host's own bound is shorter.
const TRANSACTION_TIMEOUT_S: u64 = 4;

/// A running `sqld`. Dropping it kills the process.
pub(super) struct Engine {
    pub(super) writer: Arc<HranaClient>,
    /// Where its replication log is served.
    pub(super) log_address: SocketAddr,
    /// The newest frame when it began to serve: where the epoch starts.
    pub(super) first: FrameNo,
    key: SigningKey,
    pid: i32,
    ended: watch::Receiver<bool>,
}

/// What an engine is started with.
pub(super) struct EngineSettings<'a> {
    pub(super) binary: &'a Path,
    /// Its own folder; the data file may already be in it, see [`data_file`].
    pub(super) folder: &'a Path,
    pub(super) key: &'a DatabaseKey,
}

/// `sqld` does not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("start {binary}")]
    Start {
        binary: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("make a key for the engine's tokens")]
    Key(#[source] KeyError),
    #[error("find free ports on loopback")]
    Port(#[source] io::Error),
    #[error("the engine ended while it started")]
    Ended,
    #[error("the engine does not serve in time")]
    Silent,
    #[error("ask the engine")]
    Ask(#[source] CarryError),
    #[error("the engine does not sync its commits")]
    NotDurable,
}

/// What a token allows.
#[derive(Clone, Copy)]
pub(super) enum Scope {
    /// The replication log.
    Read,
    /// Everything.
    Write,
}

/// The claims that `sqld` reads.
#[derive(Serialize)]
struct Claims {
    a: &'static str,
}

/// Loopback ports of one engine.
struct Ports {
    http: SocketAddr,
    log: SocketAddr,
    admin: SocketAddr,
}

impl Engine {
    /// Starts it and returns once it serves, with every commit synced to disk.
    pub(super) async fn start(settings: &EngineSettings<'_>) -> Result<Self, EngineError> {
        let key = SigningKey::generate().map_err(EngineError::Key)?;
        let admin_key = Uuid::new_v4().simple().to_string();
        let ports = Ports::free().await.map_err(EngineError::Port)?;
        let (pid, mut ended) = spawn(settings, &ports, &key, &admin_key).await?;
        // From here on a failure kills it.
        let kill = Killer { pid, ended: ended.clone() };
        let serving = tokio::time::timeout(SERVING_WITHIN, make_durable(ports.admin, &admin_key));
        tokio::select! {
            serving = serving => serving.map_err(|_| EngineError::Silent)?,
            _ = ended.wait_for(|ended| *ended) => return Err(EngineError::Ended),
        }
        let token = token(&key, Scope::Write)?;
        let writer = Arc::new(HranaClient::new(ports.http, &token).ok_or(EngineError::Silent)?);
        if !writer.is_durable().await.map_err(EngineError::Ask)? {
            return Err(EngineError::NotDurable);
        }
        let (first, given_up) = (writer.newest(), Arc::clone(&writer));
        tokio::spawn(async move {
            // Kills it when it is given up; when it is gone there is nothing left to kill.
            let mut ended = kill.ended.clone();
            tokio::select! {
                () = given_up.given_up() => drop(kill),
                _ = ended.wait_for(|ended| *ended) => {}
            }
        });
        Ok(Self { writer, log_address: ports.log, first, key, pid, ended })
    }

    /// A token for its interfaces.
    pub(super) fn token(&self, scope: Scope) -> Result<String, EngineError> {
        token(&self.key, scope)
    }

    /// With a connection of its own.
    #[cfg(test)]
    pub(super) fn another_client(&self) -> HranaClient {
        HranaClient::new(self.writer.address(), &self.token(Scope::Write).unwrap()).unwrap()
    }

    /// Resolves when the process is gone, whoever ended it.
    pub(super) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(Killer { pid: self.pid, ended: self.ended.clone() });
    }
}

/// Where the data file of an engine stands in its folder.
pub(super) fn data_file(folder: &Path) -> PathBuf {
    folder.join("dbs").join("default").join("data")
}

fn token(key: &SigningKey, scope: Scope) -> Result<String, EngineError> {
    let a = match scope {
        Scope::Read => "ro",
        Scope::Write => "rw",
    };
    key.sign_jws(&Claims { a }).map_err(|_| EngineError::Silent)
}

impl Ports {
    /// Free now; `sqld` takes them a moment later and ends if somebody was faster.
    async fn free() -> io::Result<Self> {
        let mut listeners = Vec::new();
        for _ in 0..3 {
            listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        }
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        match addresses.as_slice() {
            [http, log, admin] => Ok(Self { http: *http, log: *log, admin: *admin }),
            _ => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }
}

/// Kills the process when dropped, unless it has ended.
struct Killer {
    pid: i32,
    ended: watch::Receiver<bool>,
}

impl Drop for Killer {
    fn drop(&mut self) {
        // `ended` is set only after the wait that frees its number for others.
        if let (false, Some(pid)) = (*self.ended.borrow(), Pid::from_raw(self.pid)) {
            // Fails only when it is gone already.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// A thread of its own starts the process and waits for it: the kernel kills the process when that thread
/// ends, which is when this host does.
async fn spawn(
    settings: &EngineSettings<'_>,
    ports: &Ports,
    key: &SigningKey,
    admin_key: &str,
) -> Result<(i32, watch::Receiver<bool>), EngineError> {
    let mut command = command(settings, ports, key, admin_key);
    let binary = settings.binary.to_owned();
    let (started, start) = oneshot::channel();
    let (end, ended) = watch::channel(false);
    let supervise = move || {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return drop(started.send(Err(error))),
        };
        // Nobody waits any more: the killer of an unfinished start finds the number in vain.
        let _ = started.send(Ok(child.id().cast_signed()));
        report(child.wait());
        end.send_replace(true);
    };
    let start_error = |source| EngineError::Start { binary, source };
    if let Err(error) = thread::Builder::new().name("sqld".to_owned()).spawn(supervise) {
        return Err(start_error(error));
    }
    match start.await {
        Ok(Ok(pid)) => Ok((pid, ended)),
        Ok(Err(error)) => Err(start_error(error)),
        Err(_) => Err(EngineError::Ended),
    }
}

#[allow(unsafe_code)]
fn command(settings: &EngineSettings<'_>, ports: &Ports, key: &SigningKey, admin_key: &str) -> Command {
    let mut command = Command::new(settings.binary);
    command.arg("--db-path").arg(settings.folder).arg("--no-welcome");
    for (flag, address) in [
        ("--http-listen-addr", ports.http),
        ("--grpc-listen-addr", ports.log),
        ("--admin-listen-addr", ports.admin),
    ] {
        command.arg(flag).arg(address.to_string());
    }
    command.args(["--max-log-size", MAX_LOG_MIB, "--max-response-size", MAX_ANSWER]);
    // Secrets by environment: arguments are for everybody to read. Its own words can quote statements, so
    // they go nowhere.
    command.env_clear().env("RUST_LOG", "off");
    command.env("SQLD_ENCRYPTION_KEY", settings.key.expose());
    command.env("SQLD_ADMIN_AUTH_KEY", admin_key);
    command.env("SQLD_AUTH_JWT_KEY", key.jwks().keys.first().map_or("", |key| key.x.as_str()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: the child makes one system call, which allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    command
}

fn report(waited: io::Result<ExitStatus>) {
    match waited {
        Ok(status) if status.signal() == Some(Signal::KILL.as_raw()) => {
            tracing::info!("the record engine was killed")
        }
        Ok(status) => {
            tracing::error!(code = status.code(), signal = status.signal(), "the record engine ended")
        }
        Err(error) => tracing::error!(%error, "the record engine cannot be waited for"),
    }
}

/// Before the first write: `sqld` starts with `synchronous=NORMAL`, which a power cut can take back.
async fn make_durable(admin: SocketAddr, admin_key: &str) {
    let body = json!({
        "block_reads": false, "block_writes": false, "durability_mode": "strong",
        "txn_timeout_s": TRANSACTION_TIMEOUT_S,
    });
    let body = Bytes::from(body.to_string());
    loop {
        if let Some(StatusCode::OK) = configure(admin, admin_key, body.clone()).await {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn configure(admin: SocketAddr, admin_key: &str, body: Bytes) -> Option<StatusCode> {
    let stream = TcpStream::connect(admin).await.ok()?;
    let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.ok()?;
    let connection = tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri("/v1/namespaces/default/config")
        .header(HOST, "sqld")
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, format!("basic {admin_key}"))
        .body(Full::from(body))
        .ok()?;
    let status = sender.send_request(request).await.ok().map(|response| response.status());
    connection.abort();
    status
}
