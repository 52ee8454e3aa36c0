//! Edge hosts in one process: the product's own parts, with a real mesh between them. Only who writes a group
//! is told by the test.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use locum_identity::{CertificateAuthority, CertificateRequest, NodeId, NodeKey, Zone, private_file};
use locum_mesh::{Client, Credentials, Limits, Peer, PeerName, RequestError, Server};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::config::EdgeConfig;
use crate::manifest::Application;
use crate::mesh::{AskError, HostHandler, Peers};
use crate::start::Host;
use crate::store::{
    Access, DerivedKey, Failure, GroupId, Position, RecordStore, Session, StoreError, Writer,
};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const CONFIG: &str = include_str!("../../../tests/host/files/edge.toml");
const MANIFEST: &str = include_str!("../../../tests/host/files/spin.toml");
const NO_CLINIC: &str = "[[trigger.http]]\nroute = \"/plain/...\"\ncomponent = \"test\"\n\n[component.test]";
const SCHEMA: &str = "CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;";
/// Who every request of these tests comes from.
pub(super) const PERSON: &str = "192.0.2.7:4711";

/// The authority of a network, and where its hosts are.
pub(super) struct Zoned {
    zone: Zone,
    authority: CertificateAuthority,
    addresses: Arc<Mutex<HashMap<NodeId, SocketAddr>>>,
}

/// A host of it.
pub(super) struct EdgeHost {
    pub(super) host: Host,
    pub(super) writer: Arc<Mutex<Writer>>,
    pub(super) peers: Arc<Direct>,
    pub(super) stop: CancellationToken,
    folder: TempDir,
}

/// A store that believes of the writer what the test says.
struct Told {
    store: Arc<dyn RecordStore>,
    writer: Arc<Mutex<Writer>>,
}

/// Asks over the mesh; loses the first answers when told to.
pub(super) struct Direct {
    me: String,
    client: Client,
    addresses: Arc<Mutex<HashMap<NodeId, SocketAddr>>>,
    pub(super) asked: AtomicUsize,
    pub(super) answers_to_lose: AtomicUsize,
}

impl Zoned {
    pub(super) fn new() -> Self {
        let (zone, folder) = ("locum.localhost".parse().unwrap(), tempfile::tempdir().unwrap());
        let authority =
            CertificateAuthority::load_or_create(folder.path(), &zone, SystemTime::now()).unwrap();
        Self { zone, authority, addresses: Arc::default() }
    }

    pub(super) fn credentials(&self, role: &str, node: &str) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let request = CertificateRequest::from_pem(&key.request().unwrap()).unwrap();
        let identity = format!("spiffe://{}/west/{role}/{node}", self.zone).parse().unwrap();
        let certificate = self.authority.issue(&identity, &request, SystemTime::now()).unwrap();
        Credentials::new(self.authority.pem(), &certificate, &key).unwrap()
    }

    pub(super) fn client(&self, role: &str, node: &str) -> Client {
        Client::new(LOOPBACK, &self.credentials(role, node), Limits::default()).unwrap()
    }

    pub(super) fn peer(&self, node: &str) -> Peer {
        let node: NodeId = node.parse().unwrap();
        let address = self.addresses.lock().unwrap()[&node];
        Peer { address, name: PeerName::Node(node) }
    }

    /// A host that others can ask, until `stop`. It writes its groups itself at first.
    pub(super) fn start(&self, node: &str, limits: &str) -> EdgeHost {
        let edge = self.silent(node, limits);
        let server = Server::bind(LOOPBACK, &self.credentials("edge", node), Limits::default()).unwrap();
        self.addresses.lock().unwrap().insert(node.parse().unwrap(), server.address());
        let (handler, stop) = (HostHandler::new(edge.host.edge.clone(), None), edge.stop.clone());
        tokio::spawn(async move { server.run(handler, stop).await });
        edge
    }

    /// A host that nobody can ask.
    pub(super) fn silent(&self, node: &str, limits: &str) -> EdgeHost {
        let folder = tempfile::tempdir().unwrap();
        write_files(folder.path(), limits);
        let config = EdgeConfig::read(&folder.path().join("edge.toml")).unwrap();
        let application = Application::read(&config.manifest).unwrap();
        let mut host = Host::build(&config, &application, LOOPBACK).unwrap();
        let writer = Arc::new(Mutex::new(Writer::Here));
        let peers = Arc::new(Direct {
            me: node.to_owned(),
            client: self.client("edge", node),
            addresses: self.addresses.clone(),
            asked: AtomicUsize::default(),
            answers_to_lose: AtomicUsize::default(),
        });
        let edge = Arc::get_mut(&mut host.edge).unwrap();
        edge.store = Arc::new(Told { store: edge.store.clone(), writer: writer.clone() });
        edge.peers = peers.clone();
        EdgeHost { host, writer, peers, stop: CancellationToken::new(), folder }
    }
}

impl EdgeHost {
    pub(super) fn believes(&self, writer: Writer) {
        *self.writer.lock().unwrap() = writer;
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        self.host.edge.answer(request, PERSON.parse().unwrap()).await
    }

    pub(super) async fn post(&self, script: &str) -> Response<Bytes> {
        self.send(post("/c/demo/test").body(Full::from(script.to_owned())).unwrap()).await
    }

    /// How many notes its own store holds.
    pub(super) async fn notes(&self) -> String {
        let request = Request::get("/c/demo/test").header("host", "x");
        let request = request.header("x-script", "sql SELECT count(*) FROM note");
        text(&self.send(request.body(Full::default()).unwrap()).await)
    }

    pub(super) fn asked(&self) -> usize {
        self.peers.asked.load(Ordering::SeqCst)
    }
}

impl RecordStore for Told {
    fn session(
        &self,
        group: &GroupId,
        access: Access,
        deadline: Instant,
    ) -> Result<Arc<dyn Session>, StoreError> {
        self.store.session(group, access, deadline)
    }

    fn writer(&self, _: &GroupId) -> Writer {
        self.writer.lock().unwrap().clone()
    }

    fn seal(&self, group: &GroupId, position: Position) -> Option<String> {
        self.store.seal(group, position)
    }

    fn catch_up<'a>(
        &'a self,
        group: &'a GroupId,
        token: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Position>, Failure>> {
        self.store.catch_up(group, token, deadline)
    }

    fn derived_key(&self, group: &GroupId, purpose: &str) -> Option<DerivedKey> {
        self.store.derived_key(group, purpose)
    }

    fn groups(&self) -> Vec<GroupId> {
        self.store.groups()
    }
}

impl Peers for Direct {
    fn ask<'a>(
        &'a self,
        node: &'a NodeId,
        question: &'a [u8],
        within: Duration,
    ) -> BoxFuture<'a, Result<Vec<u8>, AskError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let known = self.addresses.lock().unwrap().get(node).copied();
            let address = known.ok_or_else(|| AskError::Unknown(node.clone()))?;
            let peer = Peer { address, name: PeerName::Node(node.clone()) };
            let asked = self.client.request(&peer, question, within).await;
            let failed = |source| AskError::Request { node: node.clone(), source };
            let less = |left: usize| left.checked_sub(1);
            if self.answers_to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
                let source = std::io::ErrorKind::ConnectionReset.into();
                return Err(failed(RequestError::Lost { address, source }));
            }
            asked.map_err(failed)
        })
    }

    fn elsewhere(&self) -> Vec<NodeId> {
        let addresses = self.addresses.lock().unwrap();
        addresses.keys().filter(|node| node.as_str() != self.me).cloned().collect()
    }
}

pub(super) fn post(path: &str) -> http::request::Builder {
    Request::post(path).header("host", "eu-central.locum.localhost:8080")
}

pub(super) fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).trim_end().to_owned()
}

pub(super) fn at(node: &str) -> Writer {
    Writer::At(node.parse().unwrap())
}

fn write_files(folder: &Path, limits: &str) {
    private_file::write(&folder.join("store.key"), "5a".repeat(32).as_bytes()).unwrap();
    std::fs::create_dir(folder.join("migrations")).unwrap();
    std::fs::write(folder.join("migrations/0001_note.sql"), SCHEMA).unwrap();
    std::fs::write(folder.join("edge.toml"), format!("{CONFIG}{limits}\n")).unwrap();
    let manifest = MANIFEST.replace("GUEST", guest().to_str().unwrap());
    let manifest = manifest.replacen("[component.test]", NO_CLINIC, 1);
    let health = "[component.test.tool.locum]\nhealth = [\"/c/:clinic/test/health\"]\n";
    std::fs::write(folder.join("spin.toml"), format!("{manifest}\n{health}")).unwrap();
    let compiled = target().join("tmp/compiled");
    private_file::create_dir(&compiled).unwrap();
    private_file::create_dir(&folder.join("state")).unwrap();
    std::os::unix::fs::symlink(compiled, folder.join("state/cache")).unwrap();
}

/// `target` of `target/debug/deps/<test>`.
fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// The test function, built once.
fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "wasm"])
            .args(["-p", "locum-edge-test-guest", "--target-dir"])
            .arg(target())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.unwrap().success(), "the test function does not build");
        target().join("wasm32-wasip2/wasm/locum_edge_test_guest.wasm")
    })
}
