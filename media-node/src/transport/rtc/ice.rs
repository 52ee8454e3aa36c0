//! Satisfies the backend's ICE agent without a network.
//!
//! The agent routes nothing until a pair is selected, and as a controlled agent it selects one only after its
//! own check succeeded and the client nominated again (RFC 8445 §7.3.1.5): a second lost at every start. The
//! event loop has the real checks, so the agent gets a made-up client: its nomination, its answer to the
//! agent's check, its nomination again. All real packets then come and go under that client's address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use ::rtc::peer_connection::RTCPeerConnection;
use ::rtc::sansio::Protocol as _;
use ::rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use bytes::BytesMut;

use crate::transport::stun::{self, IntegrityKey, TransactionId};

/// Both ends of the pair the agent believes in.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    announced: SocketAddr,
    client: SocketAddr,
}

/// User name fragment and password of one side.
pub(super) struct Credentials<'a> {
    /// User name fragment.
    pub(super) ufrag: &'a str,
    /// Password.
    pub(super) password: &'a str,
}

impl Pair {
    /// A pair for the node's own address.
    pub(super) fn new(announced: SocketAddr) -> Self {
        // Documentation addresses (RFC 5737, RFC 3849): never anyone's, whatever ends up in a log.
        let client: IpAddr = match announced {
            SocketAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
            SocketAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        };
        Self { announced, client: SocketAddr::new(client, 9) }
    }

    /// A datagram as the backend wants it, from the made-up client.
    pub(super) fn received(&self, now: Instant, datagram: &[u8]) -> TaggedBytesMut {
        let transport = TransportContext {
            local_addr: self.announced,
            peer_addr: self.client,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        TaggedBytesMut { now, transport, message: BytesMut::from(datagram) }
    }

    /// Makes the agent select the pair. To be called whenever credentials changed.
    pub(super) fn select(
        &self,
        now: Instant,
        connection: &mut RTCPeerConnection,
        node: &Credentials<'_>,
        client: &Credentials<'_>,
    ) {
        let username = format!("{}:{}", node.ufrag, client.ufrag);
        let (node_key, client_key) = (IntegrityKey::new(node.password), IntegrityKey::new(client.password));
        for transaction in [[1; 12], [2; 12]] as [TransactionId; 2] {
            let nomination = stun::nomination(transaction, &username, &node_key);
            // The agent only ever answers with datagrams; errors are its warnings.
            let _ = connection.handle_read(self.received(now, &nomination));
            while let Some(sent) = connection.poll_write() {
                if let Some(check) = stun::request_transaction(&sent.message) {
                    let answer = stun::success(check, self.announced, &client_key);
                    let _ = connection.handle_read(self.received(now, &answer));
                }
            }
        }
    }
}
