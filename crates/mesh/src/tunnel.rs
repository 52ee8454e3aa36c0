//! A stream of bytes between two nodes, for a protocol that wants a connection of its own.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use metrics::gauge;
use quinn::{Connection, RecvStream, SendStream, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{Datagrams, Limits, tls};

/// What the other side reads in its error when a tunnel is dropped before its end.
const ABANDONED: VarInt = VarInt::from_u32(2);

/// Bytes both ways, each way with its own end and its own flow control.
///
/// `shutdown` ends this side's bytes, and the other side reads the end after the last of them; reading goes on.
/// Dropped before that, the tunnel breaks: the other side reads an error, never an end that looks right. It
/// lives no longer than the [`crate::Client`] or [`crate::Server`] it came from.
pub struct Tunnel {
    send: SendStream,
    receive: RecvStream,
    ended: bool,
    // Last: room is given back when the streams are gone.
    place: Place,
}

impl Tunnel {
    pub(crate) fn new(send: SendStream, receive: RecvStream, place: Place) -> Self {
        Self { send, receive, ended: false, place }
    }

    /// The datagrams of the tunnel's connection. Tunnels that share it share them too: whoever needs them alone asks
    /// for a tunnel by [`crate::Client::own_tunnel`].
    pub fn datagrams(&self) -> Datagrams {
        Datagrams::of(self.place.0.connection())
    }

    /// The streams, for the words before the tunnel is open.
    pub(crate) fn streams(&mut self) -> (&mut SendStream, &mut RecvStream) {
        (&mut self.send, &mut self.receive)
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tunnel").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.receive), context, buffer)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Twice is harmless, as with a socket.
        if !self.ended {
            self.ended = true;
            self.send.finish()?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if !self.ended {
            // Dropped alone, the stream would end as if all had been said. Fails only when it is closed.
            let _ = self.send.reset(ABANDONED);
        }
    }
}

/// What is done with a tunnel that is accepted.
pub struct Carrier(Box<dyn FnOnce(Tunnel) -> Carrying + Send>);

type Carrying = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Carrier {
    /// Runs `carry` with the tunnel. Dropped unfinished when the server stops or the connection breaks.
    pub fn new<F, C>(carry: F) -> Self
    where
        F: FnOnce(Tunnel) -> C + Send + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(move |tunnel| Box::pin(carry(tunnel))))
    }

    pub(crate) fn carry(self, tunnel: Tunnel) -> Carrying {
        (self.0)(tunnel)
    }
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Carrier")
    }
}

/// A connection and its tunnels. Each tunnel brings room of its own, so that one whose reader rests takes none
/// from the questions and tunnels beside it.
#[derive(Clone)]
pub(crate) struct Link {
    connection: Connection,
    limits: Limits,
    open: Arc<Mutex<u32>>,
}

impl Link {
    pub(crate) fn new(connection: Connection, limits: Limits) -> Self {
        Self { connection, limits, open: Arc::default() }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// A place for one more tunnel; `None` when there are as many as may be.
    pub(crate) fn place(&self) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if *open >= self.limits.tunnels {
            return None;
        }
        *open += 1;
        gauge!("locum_mesh_tunnels").increment(1.0);
        self.make_room(*open);
        Some(Place(self.clone()))
    }

    fn make_room(&self, tunnels: u32) {
        self.connection.set_receive_window(tls::receive_window(&self.limits, tunnels));
        // Only whoever is called has streams opened to it.
        if self.connection.side().is_server() {
            let streams = VarInt::from_u32(self.limits.streams.saturating_add(tunnels));
            self.connection.set_max_concurrent_bi_streams(streams);
        }
    }
}

/// One tunnel's place on its connection.
pub(crate) struct Place(Link);

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = open.saturating_sub(1);
        gauge!("locum_mesh_tunnels").decrement(1.0);
        self.0.make_room(*open);
    }
}
