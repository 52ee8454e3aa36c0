//! The side that calls: connections are kept and made again when they break.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use locum_identity::{Zone, node_name, role_name};
use quinn::{Connection, ConnectionError, Endpoint, VarInt};
use tokio::time::timeout;

use crate::wire::{ReadError, read_answer, write_question};
use crate::{ConnectError, Credentials, Limits, MeshError, Peer, PeerName, RequestError};

/// Asks other nodes. Clone-free: share it by reference or `Arc`.
pub struct Client {
    endpoint: Endpoint,
    zone: Zone,
    limits: Limits,
    config: RwLock<quinn::ClientConfig>,
    connections: Mutex<HashMap<Peer, Connection>>,
}

impl Client {
    /// Calls peers of `reachable`'s address family. Must be called inside a runtime.
    ///
    /// # Errors
    /// [`MeshError`].
    pub fn new(reachable: SocketAddr, credentials: &Credentials, limits: Limits) -> Result<Self, MeshError> {
        let address = any_port(reachable);
        let endpoint = Endpoint::client(address).map_err(|source| MeshError::Bind { address, source })?;
        Ok(Self {
            endpoint,
            zone: credentials.zone().clone(),
            limits,
            config: RwLock::new(credentials.client_config(&limits)?),
            connections: Mutex::default(),
        })
    }

    /// What peers are shown from now on. Connections made before are left to finish what they carry.
    ///
    /// # Errors
    /// [`MeshError::Credentials`]; the old ones then stay.
    pub fn replace_credentials(&self, credentials: &Credentials) -> Result<(), MeshError> {
        let config = credentials.client_config(&self.limits)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        self.pool().clear();
        Ok(())
    }

    /// Asks `peer`, within `deadline` and the limits.
    ///
    /// # Errors
    /// [`RequestError`]. After `Deadline` and `Lost` the question may have been carried out: ask again only
    /// what may be done twice.
    pub async fn request(
        &self,
        peer: &Peer,
        question: &[u8],
        deadline: Duration,
    ) -> Result<Vec<u8>, RequestError> {
        if question.len() > self.limits.message_bytes {
            return Err(RequestError::TooLarge { bytes: question.len() });
        }
        let asked = timeout(deadline.min(self.limits.deadline), self.ask(peer, question)).await;
        let answer = asked.unwrap_or(Err(RequestError::Deadline { address: peer.address }));
        if matches!(answer, Err(RequestError::Deadline { .. } | RequestError::Lost { .. })) {
            // The peer may have died without a word: the next question finds out by a new handshake.
            self.pool().remove(peer);
        }
        answer
    }

    async fn ask(&self, peer: &Peer, question: &[u8]) -> Result<Vec<u8>, RequestError> {
        let kept = self.pool().get(peer).filter(|kept| kept.close_reason().is_none()).cloned();
        let connection = match kept {
            Some(connection) => connection,
            None => self.connect(peer).await?,
        };
        exchange(&connection, peer.address, question, self.limits.message_bytes).await
    }

    async fn connect(&self, peer: &Peer) -> Result<Connection, RequestError> {
        let name = match &peer.name {
            PeerName::Node(node) => node_name(&self.zone, node),
            PeerName::Role(role) => role_name(&self.zone, *role),
        };
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = shake_hands(&self.endpoint, config, peer.address, &name).await?;
        let mut pool = self.pool();
        pool.retain(|_, kept| kept.close_reason().is_none());
        if pool.len() < self.limits.connections {
            pool.insert(peer.clone(), connection.clone());
        }
        Ok(connection)
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, HashMap<Peer, Connection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(0), b"done");
    }
}

pub(crate) fn any_port(reachable: SocketAddr) -> SocketAddr {
    match reachable {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

pub(crate) async fn shake_hands(
    endpoint: &Endpoint,
    config: quinn::ClientConfig,
    address: SocketAddr,
    name: &str,
) -> Result<Connection, RequestError> {
    let failed = |source| RequestError::Connect { address, source };
    let connecting =
        endpoint.connect_with(config, address, name).map_err(|error| failed(ConnectError::Start(error)))?;
    connecting.await.map_err(|error| failed(ConnectError::Handshake(error)))
}

pub(crate) async fn exchange(
    connection: &Connection,
    address: SocketAddr,
    question: &[u8],
    limit: usize,
) -> Result<Vec<u8>, RequestError> {
    let lost = |source| RequestError::Lost { address, source };
    let closed = |error: ConnectionError| lost(error.into());
    let (mut send, mut receive) = connection.open_bi().await.map_err(closed)?;
    let written = write_question(&mut send, question).await;
    // A peer that refuses a question while it is being written stops the stream and says why: so read first,
    // then judge.
    match read_answer(&mut receive, limit).await {
        Ok(answer) => answer.map_err(|refusal| RequestError::Refused { address, refusal }),
        Err(ReadError::TooLarge) => {
            Err(lost(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long")))
        }
        Err(ReadError::Broken(error)) => Err(lost(written.err().unwrap_or(error))),
    }
}
