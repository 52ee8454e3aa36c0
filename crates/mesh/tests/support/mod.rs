//! A small network for tests: an authority, credentials, servers that count.

#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub, reason = "support of tests")]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use locum_identity::{CertificateAuthority, CertificateRequest, NodeKey, Role, Zone};
use locum_mesh::{Caller, Client, Credentials, Handler, Limits, Peer, PeerName, Refusal, Server};
use tokio_util::sync::CancellationToken;

pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
pub const SOON: Duration = Duration::from_secs(5);

pub struct Network {
    pub zone: Zone,
    pub authority: CertificateAuthority,
}

impl Network {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let zone: Zone = "locum.localhost".parse().unwrap();
        let authority = CertificateAuthority::load_or_create(dir.path(), &zone, SystemTime::now()).unwrap();
        Self { zone, authority }
    }

    pub fn credentials(&self, role: &str, node: &str) -> Credentials {
        self.credentials_at(role, node, SystemTime::now())
    }

    pub fn credentials_at(&self, role: &str, node: &str, now: SystemTime) -> Credentials {
        let key = NodeKey::generate().unwrap();
        let request = CertificateRequest::from_pem(&key.request().unwrap()).unwrap();
        let identity = format!("spiffe://{}/west/{role}/{node}", self.zone).parse().unwrap();
        let certificate = self.authority.issue(&identity, &request, now).unwrap();
        Credentials::new(self.authority.pem(), &certificate, &key).unwrap()
    }

    pub fn client(&self, role: &str, node: &str) -> Client {
        Client::new(LOOPBACK, &self.credentials(role, node), Limits::default()).unwrap()
    }

    /// A member of the control plane that answers with `handler` until the end of the test.
    pub fn serve<H: Handler>(&self, handler: H, limits: Limits) -> Running {
        let server = Server::bind(LOOPBACK, &self.credentials("control", "control-1"), limits).unwrap();
        Running::start(server, handler)
    }
}

pub struct Running {
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub ended: tokio::task::JoinHandle<()>,
}

impl Running {
    pub fn start<H: Handler>(server: Server, handler: H) -> Self {
        let address = server.address();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let ended = tokio::spawn(async move { server.run(handler, stopped).await });
        Self { address, stop, ended }
    }

    pub fn control(&self) -> Peer {
        Peer { address: self.address, name: PeerName::Role(Role::Control) }
    }
}

/// Answers with who asked and what, and counts.
#[derive(Clone, Default)]
pub struct Echo {
    pub asked: Arc<AtomicUsize>,
}

impl Handler for Echo {
    async fn answer(&self, caller: Caller, question: Bytes) -> Result<Vec<u8>, Refusal> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let caller = match caller {
            Caller::Node(identity) => identity.to_string(),
            Caller::Joiner => "joiner".to_owned(),
        };
        Ok([caller.as_bytes(), b" ", &question].concat())
    }
}

/// A handler from a function.
pub struct By<F>(pub F);

impl<F, A> Handler for By<F>
where
    F: Fn(Bytes) -> A + Send + Sync + 'static,
    A: Future<Output = Result<Vec<u8>, Refusal>> + Send,
{
    fn answer(&self, _: Caller, question: Bytes) -> impl Future<Output = Result<Vec<u8>, Refusal>> + Send {
        (self.0)(question)
    }
}
