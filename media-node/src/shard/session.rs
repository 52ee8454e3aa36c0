//! One session as the event loop sees it, and what sends for all of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use bytes::BytesMut;
use tokio::sync::mpsc;

use super::ConnectionId;
use super::counters::Counters;
use crate::downlink::Downlink;
use crate::room::{Message, SessionId};
use crate::transport::Peer;
use crate::transport::addresses::Addresses;
use crate::transport::links::{Link, Links};

/// What sends: kept together so that a session can be served while it is borrowed.
pub(super) struct Sending {
    pub(super) links: Links,
    pub(super) addresses: Addresses,
    pub(super) counters: Counters,
}

/// One participant's connection and socket.
pub(super) struct Session<P> {
    peer: P,
    pub(super) socket: Option<Outbox>,
    /// What it receives of others' tracks.
    pub(super) downlink: Downlink,
    /// May have something to send, or timers that moved.
    pub(super) touched: bool,
    pub(super) next_timeout: Option<Instant>,
    /// When it is looked at next; not after `next_timeout`.
    pub(super) alarm: Option<Instant>,
    /// The peer panicked: it is not to be touched again.
    pub(super) broken: bool,
}

impl<P> Session<P> {
    pub(super) fn new(peer: P) -> Self {
        Self {
            peer,
            socket: None,
            downlink: Downlink::default(),
            touched: false,
            next_timeout: None,
            alarm: None,
            broken: false,
        }
    }

    /// Calls the peer; the session is to be touched. What a client sends goes through a great deal of parsing that is not ours: should it
    /// panic, that client's session ends, and the calls of all others go on.
    pub(super) fn call<R>(&mut self, call: impl FnOnce(&mut P) -> R) -> Option<R> {
        if self.broken {
            return None;
        }
        let result = catch_unwind(AssertUnwindSafe(|| call(&mut self.peer))).ok();
        self.broken = result.is_none();
        result
    }
}

/// The way to a client's socket.
pub(super) struct Outbox {
    pub(super) connection: ConnectionId,
    pub(super) messages: mpsc::Sender<Box<Message>>,
}

impl Sending {
    pub(super) fn new(links: Links) -> Self {
        Self { links, addresses: Addresses::default(), counters: Counters::default() }
    }

    /// Queues a packet.
    pub(super) fn push(&mut self, to: Link, datagram: BytesMut) {
        let sent = self.links.push(to, datagram);
        self.counters.add_sent(sent);
    }

    /// Queues what a session has to send to where its client was last.
    pub(super) fn send<P: Peer>(&mut self, session: SessionId, live: &mut Session<P>) {
        let remote = self.addresses.remote(session);
        while let Some(datagram) = live.call(Peer::poll_datagram).flatten() {
            if let Some(remote) = remote {
                self.push(remote, datagram);
            }
        }
    }

    /// Sends what is queued.
    pub(super) fn flush(&mut self) {
        let sent = self.links.flush();
        self.counters.add_sent(sent);
    }
}
