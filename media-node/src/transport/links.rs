//! The ways packets come and go: the node's UDP sockets, and the TCP connections of clients.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};

use bytes::BytesMut;
use mio::{Events, Interest, Registry, Token};

pub use super::streams::{Chunk, More, StreamId};

use super::datagrams::{BATCH, Inbound, Outbound, Sent};
use super::streams::Streams;

/// UDP sockets of a node.
pub const MAX_SOCKETS: usize = 16;

/// How a client is reached, and told from others.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Link {
    /// What of the node's it comes by.
    pub via: Via,
    /// Where it comes from.
    pub remote: SocketAddr,
}

/// What of the node's packets come by.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Via {
    /// A UDP socket.
    Socket(u8),
    /// A client's TCP connection.
    Stream(StreamId),
}

/// All of them.
pub struct Links {
    sockets: Vec<Socket>,
    streams: Streams,
    /// Streams from which more may be read.
    readable: Vec<(StreamId, SocketAddr)>,
    /// Streams that were given something since the last flush.
    given: Vec<StreamId>,
    registry: Registry,
}

struct Socket {
    socket: mio::net::UdpSocket,
    outbound: Outbound,
    /// More may be read.
    readable: bool,
}

impl Links {
    /// Registers the sockets with a poller, under tokens from `first_token` on; connections come behind them.
    ///
    /// # Errors
    /// When there are more than [`MAX_SOCKETS`], or the poller refuses one.
    pub fn new(sockets: Vec<UdpSocket>, registry: Registry, first_token: usize) -> io::Result<Self> {
        if sockets.len() > MAX_SOCKETS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many sockets"));
        }
        let mut registered = Vec::with_capacity(sockets.len());
        for (i, socket) in sockets.into_iter().enumerate() {
            socket.set_nonblocking(true)?;
            let mut socket = mio::net::UdpSocket::from_std(socket);
            registry.register(&mut socket, Token(first_token + i), Interest::READABLE)?;
            registered.push(Socket { socket, outbound: Outbound::default(), readable: true });
        }
        let streams = Streams::new(first_token + MAX_SOCKETS);
        Ok(Self { sockets: registered, streams, readable: Vec::new(), given: Vec::new(), registry })
    }

    /// TCP connections.
    #[must_use]
    pub fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Takes a client's connection in.
    ///
    /// # Errors
    /// When it broke meanwhile.
    pub fn add(&mut self, stream: TcpStream, remote: SocketAddr) -> io::Result<Link> {
        let id = self.streams.add(&self.registry, stream, remote)?;
        // What came before it was registered is no event.
        self.readable.push((id, remote));
        Ok(Link { via: Via::Stream(id), remote })
    }

    /// Notes what the poller says. Tokens that are not of a link are somebody else's.
    pub fn woken(&mut self, events: &Events, first_token: usize) {
        for event in events {
            let socket = event.token().0.checked_sub(first_token).and_then(|i| self.sockets.get_mut(i));
            if let Some(socket) = socket {
                socket.readable = true;
            } else if let Some(stream) = self.streams.of_token(event.token()) {
                if !self.readable.contains(&stream) {
                    self.readable.push(stream);
                }
                if event.is_writable() {
                    self.given.push(stream.0);
                }
            }
        }
    }

    /// Whether something may be read without waiting for the poller.
    #[must_use]
    pub fn more_waits(&self) -> bool {
        !self.readable.is_empty() || self.sockets.iter().any(|socket| socket.readable)
    }

    /// UDP sockets.
    #[must_use]
    pub fn socket_count(&self) -> u8 {
        u8::try_from(self.sockets.len()).unwrap_or(u8::MAX)
    }

    /// Whether something may be read from a socket.
    #[must_use]
    pub fn is_readable(&self, socket: u8) -> bool {
        self.sockets.get(usize::from(socket)).is_some_and(|socket| socket.readable)
    }

    /// The connections something may be read from; each is to be told by [`Links::reads_on`] if it is to be one of
    /// them again.
    pub fn take_readable_streams(&mut self) -> Vec<(StreamId, SocketAddr)> {
        std::mem::take(&mut self.readable)
    }

    /// A connection was not read to its end.
    pub fn reads_on(&mut self, stream: StreamId, remote: SocketAddr) {
        self.readable.push((stream, remote));
    }

    /// Takes a batch of what waits at a socket. `false` when it was the last.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn receive(&mut self, socket: u8, inbound: &mut Inbound) -> io::Result<bool> {
        let Some(from) = self.sockets.get_mut(usize::from(socket)) else { return Ok(false) };
        from.readable = inbound.receive(&from.socket)? == BATCH;
        Ok(from.readable)
    }

    /// Reads once from a connection.
    pub fn read(&mut self, stream: StreamId, chunk: &mut Chunk) -> More {
        self.streams.read(stream, chunk)
    }

    /// Queues a packet, and sends when there are enough for a system call.
    pub fn push(&mut self, to: Link, datagram: BytesMut) -> Sent {
        match to.via {
            Via::Socket(i) => {
                let Some(socket) = self.sockets.get_mut(usize::from(i)) else { return Sent::NOT };
                if socket.outbound.push(to.remote, datagram) {
                    return socket.outbound.flush(&socket.socket);
                }
                Sent::default()
            }
            Via::Stream(stream) => {
                if !self.streams.push(stream, &datagram) {
                    return Sent::NOT;
                }
                if self.given.last() != Some(&stream) {
                    self.given.push(stream);
                }
                Sent { datagrams: 1, dropped: 0 }
            }
        }
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Sent {
        let mut sent = Sent::default();
        for socket in &mut self.sockets {
            sent += socket.outbound.flush(&socket.socket);
        }
        for stream in std::mem::take(&mut self.given) {
            if !self.streams.flush(stream)
                && let Some(broken) = self.streams.of_token(stream.token())
            {
                // Whoever reads next learns that it is over.
                self.readable.push(broken);
            }
        }
        sent
    }

    /// Ends a connection. A socket stays.
    pub fn close(&mut self, link: Link) {
        if let Via::Stream(stream) = link.via {
            self.streams.close(stream);
        }
    }
}
