//! Connections: accepted up to a bound, TLS or not, HTTP/1.1 or 2, slow heads cut off, drained on stop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::service::Edge;
use crate::config::Limits;

/// A request's head, all headers together.
const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_HEADERS: usize = 100;
/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 32;
/// What HTTP/2 takes in before somebody reads it, for a connection and for one request.
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// After a failed accept (no file descriptors, say): a pause instead of a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections for an [`Edge`].
pub(crate) struct Server {
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    builder: Builder<TokioExecutor>,
    read_timeout: Duration,
}

impl Server {
    /// A server with so many places for connections, whichever listener they come by.
    pub(crate) fn new(tls: Option<TlsAcceptor>, limits: &Limits) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.read_timeout())
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD_BYTES as u32);
        let places = Arc::new(Semaphore::new(limits.connections as usize));
        Self { tls, places, builder, read_timeout: limits.read_timeout() }
    }

    /// Accepts until `stop`; connections then finish what they are answering. `tasks` holds them.
    pub(crate) async fn run(
        self: Arc<Self>,
        listener: TcpListener,
        edge: Arc<Edge>,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) {
        loop {
            // A full house leaves newcomers in the kernel's own bounded queue.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (server, edge, stop) = (Arc::clone(&self), Arc::clone(&edge), stop.clone());
            tasks.spawn(async move {
                metrics::gauge!("locum_edge_connections").increment(1.0);
                server.connection(stream, peer, edge, stop).await;
                metrics::gauge!("locum_edge_connections").decrement(1.0);
                drop(place);
            });
        }
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        edge: Arc<Edge>,
        stop: CancellationToken,
    ) {
        // Small answers must not wait for an acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => self.http(stream, peer, edge, stop).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = tokio::time::timeout(self.read_timeout, tls.accept(stream)).await {
                    self.http(stream, peer, edge, stop).await;
                }
            }
        }
    }

    async fn http<S>(&self, stream: S, peer: SocketAddr, edge: Arc<Edge>, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let service = service_fn(move |request: Request<Incoming>| {
            let edge = Arc::clone(&edge);
            async move {
                let response: Response<Full<Bytes>> = edge.answer(request, peer).await.map(Full::new);
                Ok::<_, Infallible>(response)
            }
        });
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        // What goes wrong on one connection is between the peer and hyper: nothing to log, nothing to do.
        let _ = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
    }
}
