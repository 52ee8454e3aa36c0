//! Accepts TCP connections: a bounded number that have not shown yet what they are, and none of those for longer than
//! a request takes.
//!
//! One port takes HTTP, TLS and media, told apart by the first byte: a firewall that lets only 443/tcp through lets
//! calls through.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics::counter;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::shard::Shard;
use crate::transport::stun::MAX_REQUEST_BYTES;

/// Connections that are not, or not yet, a session's WebSocket or media; those of sessions are bounded by the node's
/// capacity.
const MAX_CONNECTIONS: usize = 1_024;

/// For the first byte and the first packet to arrive, TLS to be agreed on, a request's head to arrive, and between two
/// requests.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// A pause after an error that would otherwise come again at once (no file descriptors, say).
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Takes connections, by whichever listener they come.
pub struct Acceptor {
    router: Router,
    shard: Shard,
    tls: Option<TlsAcceptor>,
    slots: Arc<Semaphore>,
}

/// What a connection carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Http,
    Tls,
    /// RFC 6544.
    Media,
    Unknown,
}

impl Kind {
    /// By its first byte. A request begins with a method, a letter (RFC 9112 §3); a handshake of TLS with 22 (RFC 8446
    /// §5.1); media with the length of a check, which has less than [`MAX_REQUEST_BYTES`] (RFC 4571 §2).
    const fn of(first: u8) -> Self {
        match first {
            b'A'..=b'Z' => Self::Http,
            22 => Self::Tls,
            byte if (byte as usize) <= MAX_REQUEST_BYTES >> 8 => Self::Media,
            _ => Self::Unknown,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Media => "media",
            Self::Unknown => "unknown",
        }
    }
}

impl Acceptor {
    /// One that answers requests with `router`, over TLS alone if it is given, and hands media on to `shard`.
    #[must_use]
    pub fn new(router: Router, shard: Shard, tls: Option<Arc<ServerConfig>>) -> Self {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Self { router, shard, tls: tls.map(TlsAcceptor::from), slots }
    }

    /// Serves until `over`.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, over: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = over.cancelled() => break,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "accept failed");
                    tokio::time::sleep(AFTER_ERROR).await;
                    continue;
                }
            };
            let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
                counter!("locum_media_connections_refused_total").increment(1);
                continue;
            };
            let (this, over) = (Arc::clone(&self), over.clone());
            connections.spawn(async move {
                tokio::select! {
                    () = this.connection(stream, remote) => {}
                    () = over.cancelled() => {}
                }
                drop(slot);
            });
        }
        connections.close();
        connections.wait().await;
    }

    /// Ends when the client does, or when it becomes a WebSocket or media.
    async fn connection(&self, stream: TcpStream, remote: SocketAddr) {
        let mut first = [0];
        let Ok(Ok(1)) = timeout(HEAD_WITHIN, stream.peek(&mut first)).await else { return };
        let kind = Kind::of(first[0]);
        counter!("locum_media_connections_total", "kind" => kind.label()).increment(1);
        // Signalling is small messages that somebody waits for.
        let _ = stream.set_nodelay(true);
        match (kind, &self.tls) {
            (Kind::Media, _) => self.media(stream, remote).await,
            (Kind::Tls, Some(tls)) => match timeout(HEAD_WITHIN, tls.accept(stream)).await {
                Ok(Ok(stream)) => http(stream, self.router.clone()).await,
                Ok(Err(error)) => debug!(%error, "TLS not agreed on"),
                Err(_) => {}
            },
            (Kind::Http, None) => http(stream, self.router.clone()).await,
            // In the clear where there is TLS, a token would have been sent already: there is nothing to answer.
            (Kind::Http, Some(_)) | (Kind::Tls, None) | (Kind::Unknown, _) => {}
        }
    }

    async fn media(&self, mut stream: TcpStream, remote: SocketAddr) {
        let Ok(Ok(first)) = timeout(HEAD_WITHIN, first_packet(&mut stream)).await else { return };
        if let Ok(stream) = stream.into_std() {
            let _ = self.shard.take_stream(stream, remote, first).await;
        }
    }
}

/// The first packet, and not a byte more: the event loop reads on.
async fn first_packet(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_REQUEST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

async fn http<S>(stream: S, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(%error, "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_what_a_connection_carries() {
        assert_eq!([b'G', b'P', b'O'].map(Kind::of), [Kind::Http; 3]);
        assert_eq!(Kind::of(0x16), Kind::Tls);
        assert_eq!([0, 1, 5].map(Kind::of), [Kind::Media; 3]);
        assert_eq!([6, 20, 23, b'g', 0x80, 0xFF].map(Kind::of), [Kind::Unknown; 6]);
    }
}
