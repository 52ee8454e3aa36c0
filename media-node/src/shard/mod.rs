//! One event loop on its own thread: the media sockets, the rooms, and every session's media.
//!
//! All state has one owner, so nothing here is locked. The rest of the process talks to it by a bounded
//! queue.

mod acting;
mod counters;
mod event_loop;
mod forwarding;
mod probes;
mod relaying;
mod session;
mod sessions;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use livekit_protocol::signal_request::Message as Request;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::events::Recorder;
use crate::relay::NodeName;
use crate::room::{JoinError, Joining, Message, Rooms, SessionId};
use crate::token::Revoked;
use crate::transport::{Transport, datagrams};
pub(crate) use counters::describe;
use event_loop::EventLoop;
use relaying::Arrivals;
pub use relaying::RelayEvent;

/// Commands that may wait for the event loop.
const MAX_COMMANDS: usize = 1_024;

/// Messages that may wait for one client's socket. Who is further behind is asked to come back.
const MAX_OUTBOX: usize = 256;

/// Longest wait for the event loop, which answers in microseconds unless the host is overwhelmed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Tells sockets of the same session apart: a resumed session has a new one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ConnectionId(u64);

/// A socket's place in a session.
#[derive(Debug)]
pub struct Attached {
    /// Which session.
    pub session: SessionId,
    /// Which of its sockets.
    pub connection: ConnectionId,
    /// What to send; the socket is to be closed when it ends.
    pub outbox: mpsc::Receiver<Box<Message>>,
}

/// The event loop does not answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the media node is overloaded")]
pub struct Overloaded;

enum Command {
    Join { joining: Box<Joining>, reply: oneshot::Sender<Result<Attached, JoinError>> },
    Request { session: SessionId, connection: ConnectionId, request: Box<Request> },
    Detach { session: SessionId, connection: ConnectionId },
    TakeStream { stream: TcpStream, remote: SocketAddr, first: Vec<u8> },
    Drain,
    TakeIn,
    PutOut(Arc<Revoked>),
    AnswerProbes { ufrag: String, password: String },
    Relay(RelayEvent),
    Stop,
}

/// Talks to the event loop.
#[derive(Clone)]
pub struct Shard {
    commands: mpsc::Sender<Command>,
    waker: Arc<mio::Waker>,
    sessions: Arc<AtomicU32>,
    draining: Arc<AtomicBool>,
    arrivals: Arc<Arrivals>,
}

impl Shard {
    /// Starts an event loop on bound sockets. The receiver resolves when it has ended, which it does on
    /// [`Shard::stop`] only.
    ///
    /// # Errors
    /// When a socket, the poller or the thread cannot be set up.
    pub fn start<T>(
        sockets: Vec<UdpSocket>,
        transport: T,
        rooms: Rooms,
        recorder: Recorder,
    ) -> io::Result<(Self, oneshot::Receiver<()>)>
    where
        T: Transport + Send + 'static,
        T::Peer: Send + 'static,
    {
        sockets.iter().try_for_each(datagrams::enlarge_buffers)?;
        let (commands, inbox) = mpsc::channel(MAX_COMMANDS);
        let sessions = Arc::new(AtomicU32::new(0));
        let arrivals = Arc::new(Arrivals::default());
        let shared = (Arc::clone(&sessions), Arc::clone(&arrivals));
        let (event_loop, waker) = EventLoop::new(sockets, transport, (rooms, recorder), inbox, shared)?;
        let (ended, has_ended) = oneshot::channel();
        thread::Builder::new().name("media".to_owned()).spawn(move || {
            if let Err(error) = event_loop.run() {
                error!(%error, "event loop ended");
            }
            let _ = ended.send(());
        })?;
        let draining = Arc::default();
        Ok((Self { commands, waker: Arc::new(waker), sessions, draining, arrivals }, has_ended))
    }

    /// Lets somebody in.
    ///
    /// # Errors
    /// [`Overloaded`] when there is no answer in time, otherwise what the rooms decided.
    pub async fn join(&self, joining: Joining) -> Result<Result<Attached, JoinError>, Overloaded> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Join { joining: Box::new(joining), reply }).await?;
        tokio::time::timeout(ANSWER_WITHIN, answer).await.ok().and_then(Result::ok).ok_or(Overloaded)
    }

    /// Passes on what a client asked for.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn request(&self, attached: &Attached, request: Request) -> Result<(), Overloaded> {
        let (session, connection) = (attached.session, attached.connection);
        self.send(Command::Request { session, connection, request: Box::new(request) }).await
    }

    /// A socket is gone.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn detach(&self, session: SessionId, connection: ConnectionId) -> Result<(), Overloaded> {
        self.send(Command::Detach { session, connection }).await
    }

    /// Hands over a connection that carries media, with its first packet. It is closed if that is no client's check.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn take_stream(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        first: Vec<u8>,
    ) -> Result<(), Overloaded> {
        self.send(Command::TakeStream { stream, remote, first }).await
    }

    /// Has everybody move to another node.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn drain(&self) -> Result<(), Overloaded> {
        self.draining.store(true, Ordering::Relaxed);
        self.send(Command::Drain).await
    }

    /// Lets people in again.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn take_in(&self) -> Result<(), Overloaded> {
        self.draining.store(false, Ordering::Relaxed);
        self.send(Command::TakeIn).await
    }

    /// Ends the stay of everybody whose token is refused by now.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn put_out(&self, revoked: Arc<Revoked>) -> Result<(), Overloaded> {
        self.send(Command::PutOut(revoked)).await
    }

    /// Answers probes under these credentials.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn answer_probes(&self, ufrag: String, password: String) -> Result<(), Overloaded> {
        self.send(Command::AnswerProbes { ufrag, password }).await
    }

    /// Something happened between this node and others.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn relay(&self, event: RelayEvent) -> Result<(), Overloaded> {
        self.send(Command::Relay(event)).await
    }

    /// Another node sent a datagram. Never waits.
    pub fn relay_datagram(&self, node: &NodeName, datagram: bytes::Bytes) {
        if self.arrivals.push(node, datagram) {
            let _ = self.waker.wake();
        }
    }

    /// Ends the event loop.
    ///
    /// # Errors
    /// [`Overloaded`].
    pub async fn stop(&self) -> Result<(), Overloaded> {
        self.send(Command::Stop).await
    }

    /// Sessions now.
    #[must_use]
    pub fn session_count(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Whether nobody is let in any more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    async fn send(&self, command: Command) -> Result<(), Overloaded> {
        let sent = self.commands.send_timeout(command, ANSWER_WITHIN).await.map_err(|_| Overloaded);
        if sent.is_err() {
            metrics::counter!("locum_media_commands_refused_total").increment(1);
        }
        // Wakes by a file descriptor of its own; it cannot be full in a way that matters.
        let _ = self.waker.wake();
        sent
    }
}
