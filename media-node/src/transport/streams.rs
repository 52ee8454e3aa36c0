//! TCP connections that carry media (RFC 6544), for clients behind firewalls that let nothing else through.
//!
//! Whoever is here has proved to belong to a session. A connection that does not keep up loses packets, as a narrow
//! line does; what waits for it is bounded, by the kernel's limit for what is not sent yet and by [`MAX_UNSENT_BYTES`].

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;

use mio::{Interest, Registry, Token};
use socket2::SockRef;

use super::framing::{self, Partial};

/// What waits for one connection beyond what the kernel took: a keyframe, and the sound meanwhile. More would be late
/// when it arrives.
const MAX_UNSENT_BYTES: usize = 128 << 10;

/// What the kernel takes beyond what it has sent: old packets in its queue would be sent before newer ones of a sound.
const KERNEL_UNSENT_BYTES: u32 = 16 << 10;

/// One read.
const READ_BYTES: usize = 16 << 10;

/// Tells connections apart; never used twice, so that a late event cannot mean another one.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct StreamId(usize);

impl StreamId {
    pub(super) const fn token(self) -> Token {
        Token(self.0)
    }
}

/// All connections of an event loop.
pub(super) struct Streams {
    by_id: HashMap<StreamId, Stream>,
    next: usize,
}

struct Stream {
    socket: mio::net::TcpStream,
    remote: SocketAddr,
    partial: Partial,
    /// Framed packets, of which the first `sent` bytes are gone.
    out: Vec<u8>,
    sent: usize,
}

/// Packets of one read, and the room for them: one for all connections.
#[derive(Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    packets: Vec<Range<usize>>,
}

/// What may be read further.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum More {
    /// More may wait.
    Waits,
    /// Nothing, until the poller says so.
    Later,
    /// Nothing ever: the client is gone, or sent what is no packet.
    Never,
}

impl Chunk {
    /// The packets, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.packets.iter().map(|packet| &self.bytes[packet.clone()])
    }
}

impl Streams {
    /// No connections; their tokens begin there.
    pub(super) fn new(first_token: usize) -> Self {
        Self { by_id: HashMap::new(), next: first_token }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The connection an event is about.
    pub(super) fn of_token(&self, token: Token) -> Option<(StreamId, SocketAddr)> {
        let id = StreamId(token.0);
        self.by_id.get(&id).map(|stream| (id, stream.remote))
    }

    /// Takes a connection in.
    pub(super) fn add(
        &mut self,
        registry: &Registry,
        socket: TcpStream,
        remote: SocketAddr,
    ) -> io::Result<StreamId> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        SockRef::from(&socket).set_tcp_notsent_lowat(KERNEL_UNSENT_BYTES)?;
        let mut socket = mio::net::TcpStream::from_std(socket);
        let id = StreamId(self.next);
        registry.register(&mut socket, id.token(), Interest::READABLE | Interest::WRITABLE)?;
        self.next += 1;
        let stream = Stream { socket, remote, partial: Partial::default(), out: Vec::new(), sent: 0 };
        self.by_id.insert(id, stream);
        Ok(id)
    }

    /// Reads once.
    pub(super) fn read(&mut self, id: StreamId, chunk: &mut Chunk) -> More {
        chunk.packets.clear();
        let Some(stream) = self.by_id.get_mut(&id) else { return More::Later };
        stream.partial.resume(&mut chunk.bytes);
        let before = chunk.bytes.len();
        chunk.bytes.resize(before + READ_BYTES, 0);
        let (read, more) = match stream.socket.read(&mut chunk.bytes[before..]) {
            Ok(0) => (0, More::Never),
            Ok(read) => (read, More::Waits),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (0, More::Later),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (0, More::Waits),
            Err(_) => (0, More::Never),
        };
        chunk.bytes.truncate(before + read);
        match stream.partial.split(&chunk.bytes, &mut chunk.packets) {
            Ok(()) => more,
            Err(_) => More::Never,
        }
    }

    /// Queues a packet. `false` when too much waits already.
    pub(super) fn push(&mut self, id: StreamId, packet: &[u8]) -> bool {
        let Some(stream) = self.by_id.get_mut(&id) else { return false };
        let waits = stream.out.len() - stream.sent;
        waits + packet.len() <= MAX_UNSENT_BYTES && framing::append(&mut stream.out, packet)
    }

    /// Sends what the kernel takes. `false` when the connection is of no use any more.
    pub(super) fn flush(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.by_id.get_mut(&id) else { return true };
        while stream.sent < stream.out.len() {
            match stream.socket.write(&stream.out[stream.sent..]) {
                Ok(written) if written > 0 => stream.sent += written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                _ => return false,
            }
        }
        stream.out.drain(..stream.sent);
        stream.sent = 0;
        true
    }

    /// Ends a connection.
    pub(super) fn close(&mut self, id: StreamId) {
        self.by_id.remove(&id);
    }
}
