//! The side that calls: connections are kept and made again when they break.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use locum_identity::{Zone, node_name, role_name};
use quinn::{Connection, Endpoint, VarInt};
use tokio::time::{Instant, timeout_at};

use crate::tunnel::Link;
use crate::wire::{Kind, ReadError, read_answer, write_question};
use crate::{
    ConnectError, Credentials, Limits, MeshError, Peer, PeerName, Refusal, RefusalCode, RequestError, Tunnel,
};

/// How long one address of a node is tried before the next one is tried as well.
const HEAD_START: Duration = Duration::from_millis(250);

/// Asks other nodes. Clone-free: share it by reference or `Arc`.
pub struct Client {
    endpoint: Endpoint,
    zone: Zone,
    limits: Limits,
    config: RwLock<quinn::ClientConfig>,
    /// Tunnels have connections of their own: what they carry in bulk must not hold up a question.
    connections: Mutex<HashMap<(Peer, Kind), Link>>,
}

impl Client {
    /// Calls peers of `reachable`'s address family. Must be called inside a runtime.
    ///
    /// # Errors
    /// [`MeshError`].
    pub fn new(reachable: SocketAddr, credentials: &Credentials, limits: Limits) -> Result<Self, MeshError> {
        Self::from(any_address(reachable), credentials, limits)
    }

    /// The same, from this address of the machine's.
    ///
    /// # Errors
    /// [`MeshError`].
    pub fn from(own: IpAddr, credentials: &Credentials, limits: Limits) -> Result<Self, MeshError> {
        let address = SocketAddr::new(own, 0);
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
        self.request_any(std::slice::from_ref(peer), question, deadline).await
    }

    /// The same of whichever of `peers` can be reached: the addresses of one node, best first.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub async fn request_any(
        &self,
        peers: &[Peer],
        question: &[u8],
        deadline: Duration,
    ) -> Result<Vec<u8>, RequestError> {
        if question.len() > self.limits.message_bytes {
            return Err(RequestError::TooLarge { bytes: question.len() });
        }
        let ask = async |link: Link, address| {
            exchange(link.connection(), address, question, self.limits.message_bytes).await
        };
        self.on_link(peers, Kind::Question, deadline, ask).await
    }

    /// Asks `peer` for a tunnel, within `deadline` and the limits; the tunnel itself may last.
    ///
    /// # Errors
    /// [`RequestError`]. After `Deadline` and `Lost` the peer may have accepted; it then reads an error.
    pub async fn tunnel(
        &self,
        peer: &Peer,
        question: &[u8],
        deadline: Duration,
    ) -> Result<Tunnel, RequestError> {
        self.tunnel_any(std::slice::from_ref(peer), question, deadline).await
    }

    /// The same of whichever of `peers` can be reached: the addresses of one node, best first.
    ///
    /// # Errors
    /// As [`Self::tunnel`].
    pub async fn tunnel_any(
        &self,
        peers: &[Peer],
        question: &[u8],
        deadline: Duration,
    ) -> Result<Tunnel, RequestError> {
        if question.len() > self.limits.message_bytes {
            return Err(RequestError::TooLarge { bytes: question.len() });
        }
        let open = async |link: Link, address| {
            open_tunnel(&link, address, question, self.limits.message_bytes).await
        };
        self.on_link(peers, Kind::Tunnel, deadline, open).await
    }

    /// Asks whichever of `peers` can be reached for a tunnel on a connection of its own, which ends with it: nothing
    /// else shares its datagrams or waits behind its bytes, and a connection that is perhaps dead is not used again.
    ///
    /// # Errors
    /// As [`Self::tunnel`].
    pub async fn own_tunnel(
        &self,
        peers: &[Peer],
        question: &[u8],
        deadline: Duration,
    ) -> Result<Tunnel, RequestError> {
        let Some(best) = peers.first() else { return Err(RequestError::Nowhere) };
        if question.len() > self.limits.message_bytes {
            return Err(RequestError::TooLarge { bytes: question.len() });
        }
        let deadline = Instant::now() + deadline.min(self.limits.deadline);
        let late = RequestError::Connect { address: best.address, source: ConnectError::Deadline };
        let link = timeout_at(deadline, self.first_link(peers, None)).await;
        let (peer, link) = link.unwrap_or(Err(late))?;
        let opened = open_tunnel(&link, peer.address, question, self.limits.message_bytes);
        let late = RequestError::Deadline { address: peer.address };
        timeout_at(deadline, opened).await.unwrap_or(Err(late))
    }

    async fn on_link<T>(
        &self,
        peers: &[Peer],
        kind: Kind,
        deadline: Duration,
        ask: impl AsyncFnOnce(Link, SocketAddr) -> Result<T, RequestError>,
    ) -> Result<T, RequestError> {
        let Some(best) = peers.first() else { return Err(RequestError::Nowhere) };
        let deadline = Instant::now() + deadline.min(self.limits.deadline);
        let link = timeout_at(deadline, self.first_link(peers, Some(kind))).await;
        // Not sent: it matters to whoever must not ask twice.
        let late = RequestError::Connect { address: best.address, source: ConnectError::Deadline };
        let (peer, link) = link.unwrap_or(Err(late))?;
        let address = peer.address;
        let asked = timeout_at(deadline, ask(link, address)).await;
        let answer = asked.unwrap_or(Err(RequestError::Deadline { address }));
        if matches!(answer, Err(RequestError::Deadline { .. } | RequestError::Lost { .. })) {
            // The peer may have died without a word: the next question finds out by a new handshake.
            self.pool().remove(&(peer.clone(), kind));
        }
        answer
    }

    /// A connection that is kept for such questions, or the first one to come about: each address gets a head start
    /// before the next. Without a kind, a new one that is not kept.
    async fn first_link<'a>(
        &self,
        peers: &'a [Peer],
        kind: Option<Kind>,
    ) -> Result<(&'a Peer, Link), RequestError> {
        let kept = |kind| peers.iter().find_map(|peer| Some((peer, self.kept(peer, kind)?)));
        if let Some(kept) = kind.and_then(kept) {
            return Ok(kept);
        }
        let connect = async |peer: &'a Peer| Ok((peer, self.connect(peer, kind).await?));
        let mut trying = FuturesUnordered::new();
        let mut failed = RequestError::Nowhere;
        for peer in peers {
            trying.push(connect(peer));
            let head_start = Instant::now() + HEAD_START;
            while let Ok(Some(ended)) = timeout_at(head_start, trying.next()).await {
                match ended {
                    Ok(link) => return Ok(link),
                    Err(error) => failed = error,
                }
            }
        }
        while let Some(ended) = trying.next().await {
            match ended {
                Ok(link) => return Ok(link),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn kept(&self, peer: &Peer, kind: Kind) -> Option<Link> {
        let key = (peer.clone(), kind);
        self.pool().get(&key).filter(|kept| kept.connection().close_reason().is_none()).cloned()
    }

    async fn connect(&self, peer: &Peer, kept_for: Option<Kind>) -> Result<Link, RequestError> {
        let name = match &peer.name {
            PeerName::Node(node) => node_name(&self.zone, node),
            PeerName::Role(role) => role_name(&self.zone, *role),
        };
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = shake_hands(&self.endpoint, config, peer.address, &name).await?;
        let link = Link::new(connection, self.limits);
        let Some(kind) = kept_for else { return Ok(link) };
        let mut pool = self.pool();
        pool.retain(|_, kept| kept.connection().close_reason().is_none());
        if pool.len() < self.limits.connections {
            pool.insert((peer.clone(), kind), link.clone());
        }
        Ok(link)
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, HashMap<(Peer, Kind), Link>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(0), b"done");
    }
}

/// The system chooses among its addresses of `reachable`'s family.
pub(crate) fn any_address(reachable: SocketAddr) -> IpAddr {
    match reachable {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
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
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| lost(address, error.into()))?;
    let mut written = write_question(&mut send, Kind::Question, question).await;
    if written.is_ok() {
        written = send.finish().map_err(io::Error::from);
    }
    outcome(read_answer(&mut receive, limit).await, written, address)
}

async fn open_tunnel(
    link: &Link,
    address: SocketAddr,
    question: &[u8],
    limit: usize,
) -> Result<Tunnel, RequestError> {
    let Some(place) = link.place() else {
        let refusal = Refusal::new(RefusalCode::Busy, "this node has too many tunnels there already");
        return Err(RequestError::Refused { address, refusal });
    };
    let opened = link.connection().open_bi().await;
    let (send, receive) = opened.map_err(|error| lost(address, error.into()))?;
    // A tunnel from the start: given up half open, it breaks and does not just end.
    let mut tunnel = Tunnel::new(send, receive, place);
    let (send, receive) = tunnel.streams();
    let written = write_question(send, Kind::Tunnel, question).await;
    outcome(read_answer(receive, limit).await, written, address)?;
    Ok(tunnel)
}

/// A peer that refuses a question while it is being written stops the stream and says why: so what was read is
/// judged before how the writing went.
fn outcome(
    read: Result<Result<Vec<u8>, Refusal>, ReadError>,
    written: io::Result<()>,
    address: SocketAddr,
) -> Result<Vec<u8>, RequestError> {
    match read {
        Ok(answer) => answer.map_err(|refusal| RequestError::Refused { address, refusal }),
        Err(ReadError::TooLarge) => {
            Err(lost(address, io::Error::new(io::ErrorKind::InvalidData, "the answer is too long")))
        }
        Err(ReadError::Broken(error)) => Err(lost(address, written.err().unwrap_or(error))),
    }
}

fn lost(address: SocketAddr, source: io::Error) -> RequestError {
    RequestError::Lost { address, source }
}
