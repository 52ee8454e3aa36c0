//! QUIC connections between the members of a network: questions and answers, tunnels for other protocols, and
//! datagrams beside them, under mutual TLS, everything bounded.
//!
//! Two protocols share one UDP port, told apart by ALPN: [`MESH_ALPN`] between nodes that hold a certificate
//! of the network's authority, [`JOIN_ALPN`] for a node that has none yet and knows the authority by its
//! fingerprint.

mod client;
mod datagrams;
mod join;
mod server;
mod tls;
mod tunnel;
mod wire;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use locum_identity::{NodeId, NodeIdentity, Role};
use serde::{Deserialize, Serialize};

pub use client::Client;
pub use datagrams::{Datagrams, Sent};
pub use join::join;
pub use server::Server;
pub use tls::Credentials;
pub use tunnel::{Carrier, Tunnel};

/// ALPN between nodes.
pub const MESH_ALPN: &[u8] = b"locum-mesh/1";
/// ALPN of a node that asks for its first certificate.
pub const JOIN_ALPN: &[u8] = b"locum-join/1";

/// The bounds of one side of the mesh.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest question or answer.
    pub message_bytes: usize,
    /// Longest question of a caller without a certificate.
    pub join_message_bytes: usize,
    /// From the first byte of a question to the last of its answer; of a tunnel, to its acceptance.
    pub deadline: Duration,
    /// After this long without a packet a connection is dead.
    pub silence: Duration,
    /// Questions at once on a connection.
    pub streams: u32,
    /// Tunnels at once on a connection, each with room of its own.
    pub tunnels: u32,
    /// Connections at once, of callers, and kept open to others.
    pub connections: usize,
    /// Datagrams of a connection that wait to be sent, and as much again that wait to be read.
    pub datagram_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 4 << 20,
            join_message_bytes: 64 << 10,
            deadline: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            streams: 64,
            tunnels: 16,
            connections: 1024,
            // Some 50 ms of the busiest link: what waits longer is of no use to a call.
            datagram_bytes: 1 << 20,
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Caller {
    /// A node, by its certificate.
    Node(NodeIdentity),
    /// Anybody: what is asked must carry its own proof.
    Joiner,
}

/// Whom to ask.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Peer {
    /// Where.
    pub address: SocketAddr,
    /// Who must answer there.
    pub name: PeerName,
}

/// Who must answer.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum PeerName {
    /// This node.
    Node(NodeId),
    /// Any node of this role.
    Role(Role),
}

/// Answers questions.
pub trait Handler: Send + Sync + 'static {
    /// The answer to `question`. Dropped unfinished at the deadline.
    fn answer(
        &self,
        caller: Caller,
        question: Bytes,
    ) -> impl Future<Output = Result<Vec<u8>, Refusal>> + Send;

    /// Whether the caller gets a tunnel for `question`, and what is done with it: whatever must be there for
    /// that is best made sure of before. Dropped unfinished at the deadline, to which an accepted tunnel is
    /// not bound.
    fn tunnel(
        &self,
        _caller: Caller,
        _question: Bytes,
    ) -> impl Future<Output = Result<Carrier, Refusal>> + Send {
        let refusal = Refusal::new(RefusalCode::Invalid, "nothing here takes a tunnel");
        std::future::ready(Err(refusal))
    }
}

/// A question that got no answer, and why.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("refused as {code}: {detail}")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people. No secrets, no names of people.
    pub detail: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// The question makes no sense here.
    Invalid,
    /// Not for this caller.
    Denied,
    /// The question is longer than it may be.
    TooLarge,
    /// Too much to do; ask again later.
    Busy,
    /// It took too long.
    Deadline,
    /// Something broke on the answering side, or it says no in words of a newer release.
    #[serde(other)]
    Internal,
}

impl RefusalCode {
    /// Its text, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalCode::Invalid => "invalid",
            RefusalCode::Denied => "denied",
            RefusalCode::TooLarge => "too-large",
            RefusalCode::Busy => "busy",
            RefusalCode::Deadline => "deadline",
            RefusalCode::Internal => "internal",
        }
    }
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The mesh could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The address is not to be had.
    #[error("bind mesh address {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Key, certificate and authority do not fit each other.
    #[error("set up mesh credentials")]
    Credentials(#[source] rustls::Error),
    /// A certificate that is not in PEM.
    #[error("read the authority's certificate")]
    Authority(#[source] rustls::pki_types::pem::Error),
}

/// A question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No address was given; nothing was sent.
    #[error("no address to ask at")]
    Nowhere,
    /// No connection; nothing was sent.
    #[error("connect to {address}")]
    Connect {
        /// The peer.
        address: SocketAddr,
        /// Why.
        #[source]
        source: ConnectError,
    },
    /// No answer in time. It may have been carried out.
    #[error("no answer from {address} in time")]
    Deadline {
        /// The peer.
        address: SocketAddr,
    },
    /// The connection broke. It may have been carried out.
    #[error("connection to {address} lost")]
    Lost {
        /// The peer.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The question is longer than it may be; it was not sent.
    #[error("question of {bytes} bytes is too long")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The peer says no.
    #[error("{address} refuses")]
    Refused {
        /// The peer.
        address: SocketAddr,
        /// Its words.
        #[source]
        refusal: Refusal,
    },
}

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No socket of our own.
    #[error("open a socket")]
    Socket(#[source] io::Error),
    /// Our own credentials do not work.
    #[error("prepare the handshake")]
    Prepare(#[source] MeshError),
    /// Address or name cannot be called.
    #[error("start the handshake")]
    Start(#[source] quinn::ConnectError),
    /// No handshake in time: nobody there, or nobody awake.
    #[error("shake hands in time")]
    Deadline,
    /// The handshake failed: nobody there, or not who should be.
    #[error("shake hands")]
    Handshake(#[source] quinn::ConnectionError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_a_newer_release_is_one() {
        let refusal: Refusal = serde_json::from_str(r#"{"code":"newer","detail":"no","more":1}"#).unwrap();
        assert_eq!(refusal, Refusal::new(RefusalCode::Internal, "no"));
        let refusal: Refusal = serde_json::from_str(r#"{"code":"too-large","detail":"no"}"#).unwrap();
        assert_eq!(refusal.code, RefusalCode::TooLarge);
    }
}
