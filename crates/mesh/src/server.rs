//! The side that is called.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use locum_identity::{NodeIdentity, Zone};
use metrics::{counter, gauge, histogram};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, Endpoint, Incoming, RecvStream, SendStream, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::tunnel::{Link, Place};
use crate::wire::{Kind, ReadError, read_kind, read_question, write_answer};
use crate::{
    Caller, Carrier, Credentials, Handler, JOIN_ALPN, Limits, MESH_ALPN, MeshError, Refusal, RefusalCode,
    Tunnel,
};

/// Closing codes: what the other side reads in its error.
const CLOSED: VarInt = VarInt::from_u32(0);
const NO_CERTIFICATE: VarInt = VarInt::from_u32(1);

/// Answers questions on a UDP address.
pub struct Server {
    endpoint: Endpoint,
    address: SocketAddr,
    zone: Zone,
    limits: Limits,
}

impl Server {
    /// Binds `address` (port 0: any). Must be called inside a runtime.
    ///
    /// # Errors
    /// [`MeshError`].
    pub fn bind(address: SocketAddr, credentials: &Credentials, limits: Limits) -> Result<Self, MeshError> {
        let bind = |source: io::Error| MeshError::Bind { address, source };
        let endpoint = Endpoint::server(credentials.server_config(&limits)?, address).map_err(bind)?;
        let bound = endpoint.local_addr().map_err(bind)?;
        Ok(Self { endpoint, address: bound, zone: credentials.zone().clone(), limits })
    }

    /// The address bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What new callers are shown from now on.
    ///
    /// # Errors
    /// [`MeshError::Credentials`]; the old ones then stay.
    pub fn replace_credentials(&self, credentials: &Credentials) -> Result<(), MeshError> {
        self.endpoint.set_server_config(Some(credentials.server_config(&self.limits)?));
        Ok(())
    }

    /// Answers with `handler` until `stop`; then breaks the tunnels and finishes what was asked, for at most the
    /// deadline.
    pub async fn run<H: Handler>(&self, handler: H, stop: CancellationToken) {
        let context = Arc::new(Context {
            handler,
            zone: self.zone.clone(),
            limits: self.limits,
            // All connections together: a bound on memory, not on fairness.
            questions: Semaphore::new(self.limits.connections),
            stop: stop.clone(),
        });
        let connections = Arc::new(Semaphore::new(self.limits.connections));
        let tasks = TaskTracker::new();
        loop {
            let incoming = tokio::select! {
                () = stop.cancelled() => break,
                incoming = self.endpoint.accept() => incoming,
            };
            let Some(incoming) = incoming else { break };
            if let Some((incoming, slot)) = admit(incoming, &connections, self.limits.connections) {
                tasks.spawn(serve_connection(incoming, slot, context.clone()));
            }
        }
        tasks.close();
        if timeout(self.limits.deadline, tasks.wait()).await.is_err() {
            warn!(left = tasks.len(), "mesh connections left at the end");
        }
        self.endpoint.close(CLOSED, b"stopping");
        // The last acknowledgements; not worth waiting long for.
        let _ = timeout(Duration::from_millis(200), self.endpoint.wait_idle()).await;
    }
}

struct Context<H> {
    handler: H,
    zone: Zone,
    limits: Limits,
    questions: Semaphore,
    stop: CancellationToken,
}

/// A slot for the caller; none when full, and a proof of its address first when getting full.
fn admit(
    incoming: Incoming,
    connections: &Arc<Semaphore>,
    most: usize,
) -> Option<(Incoming, OwnedSemaphorePermit)> {
    let Ok(slot) = connections.clone().try_acquire_owned() else {
        counter!("locum_mesh_connections_refused_total").increment(1);
        incoming.refuse();
        return None;
    };
    if connections.available_permits() < most / 2 && incoming.may_retry() {
        // Fails only when the incoming may not retry.
        let _ = incoming.retry();
        return None;
    }
    Some((incoming, slot))
}

async fn serve_connection<H: Handler>(
    incoming: Incoming,
    slot: OwnedSemaphorePermit,
    context: Arc<Context<H>>,
) {
    let connection = match timeout(context.limits.deadline, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return debug!(%error, "mesh handshake failed"),
        Err(_) => return debug!("mesh handshake took too long"),
    };
    let Some(caller) = caller(&connection, &context.zone) else {
        counter!("locum_mesh_connections_refused_total").increment(1);
        return connection.close(NO_CERTIFICATE, b"a certificate of this network is needed");
    };
    gauge!("locum_mesh_connections").increment(1.0);
    match &caller {
        Caller::Node(_) => serve_streams(&connection, &caller, &context).await,
        // A joiner has one question; it does not stay.
        Caller::Joiner => {
            connection.set_max_concurrent_bi_streams(VarInt::from_u32(1));
            let _ = timeout(context.limits.deadline, serve_streams(&connection, &caller, &context)).await;
        }
    }
    gauge!("locum_mesh_connections").decrement(1.0);
    connection.close(CLOSED, b"done");
    drop(slot);
}

/// `None`: nobody of this network.
fn caller(connection: &Connection, zone: &Zone) -> Option<Caller> {
    let handshake = connection.handshake_data()?.downcast::<HandshakeData>().ok()?;
    match handshake.protocol.as_deref() {
        Some(JOIN_ALPN) => Some(Caller::Joiner),
        Some(MESH_ALPN) => {
            let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
            let identity = NodeIdentity::from_certificate(chain.first()?).ok()?;
            (identity.zone == *zone).then_some(Caller::Node(identity))
        }
        _ => None,
    }
}

async fn serve_streams<H: Handler>(connection: &Connection, caller: &Caller, context: &Arc<Context<H>>) {
    let tasks = TaskTracker::new();
    let link = Link::new(connection.clone(), context.limits);
    loop {
        let stream = tokio::select! {
            () = context.stop.cancelled() => break,
            stream = connection.accept_bi() => stream,
        };
        // Whoever leaves, leaves without an answer: nothing to wait for.
        let Ok((send, receive)) = stream else { return };
        let asked = Asked { send, receive, caller: caller.clone(), begun: Instant::now() };
        tasks.spawn(serve_stream(asked, link.clone(), context.clone()));
    }
    tasks.close();
    tasks.wait().await;
}

/// A stream that a caller opened.
struct Asked {
    send: SendStream,
    receive: RecvStream,
    caller: Caller,
    begun: Instant,
}

async fn serve_stream<H: Handler>(mut asked: Asked, link: Link, context: Arc<Context<H>>) {
    let deadline = context.limits.deadline;
    match timeout(deadline, read_kind(&mut asked.receive)).await {
        Ok(Ok(Kind::Question)) => {
            let answer = timeout(deadline, answer(&mut asked.receive, &asked.caller, &context)).await;
            let Some(answer) = in_time(answer) else { return };
            asked.count(if asked.caller == Caller::Joiner { "join" } else { "mesh" }, &answer);
            deliver(asked.send, answer, deadline).await;
        }
        Ok(Ok(Kind::Tunnel)) => {
            let accepted =
                timeout(deadline, accept(&mut asked.receive, &asked.caller, &link, &context)).await;
            let Some(accepted) = in_time(accepted) else { return };
            asked.count("tunnel", &accepted);
            match accepted {
                Ok((carrier, place)) => carry(asked, carrier, place, link.connection(), &context).await,
                Err(refusal) => deliver(asked.send, Err(refusal), deadline).await,
            }
        }
        Ok(Err(_)) | Err(_) => debug!("mesh stream without a question"),
    }
}

/// `None`: the caller left in the middle of its question.
fn in_time<T>(outcome: Result<Option<Result<T, Refusal>>, Elapsed>) -> Option<Result<T, Refusal>> {
    outcome.unwrap_or_else(|_| Some(Err(Refusal::new(RefusalCode::Deadline, "it took too long"))))
}

impl Asked {
    fn count<T>(&self, protocol: &'static str, answer: &Result<T, Refusal>) {
        let outcome = answer.as_ref().map_or_else(|refusal| refusal.code.as_str(), |_| "ok");
        counter!("locum_mesh_requests_total", "protocol" => protocol, "outcome" => outcome).increment(1);
        histogram!("locum_mesh_request_seconds", "protocol" => protocol).record(self.begun.elapsed());
    }
}

async fn deliver(mut send: SendStream, answer: Result<Vec<u8>, Refusal>, deadline: Duration) {
    let written = timeout(deadline, write_answer(&mut send, answer)).await;
    if !matches!(written, Ok(Ok(()))) || send.finish().is_err() {
        return debug!("mesh answer not delivered");
    }
    // A connection that is closed at once would take the answer with it.
    let _ = timeout(deadline, send.stopped()).await;
}

async fn carry<H: Handler>(
    asked: Asked,
    carrier: Carrier,
    place: Place,
    connection: &Connection,
    context: &Context<H>,
) {
    // A tunnel from the start: given up half open, it breaks and does not just end.
    let mut tunnel = Tunnel::new(asked.send, asked.receive, place);
    let accepted = timeout(context.limits.deadline, write_answer(tunnel.streams().0, Ok(Vec::new()))).await;
    if !matches!(accepted, Ok(Ok(()))) {
        return debug!("mesh tunnel not accepted: the caller left");
    }
    tokio::select! {
        () = context.stop.cancelled() => {}
        _ = connection.closed() => {}
        () = carrier.carry(tunnel) => {}
    }
}

/// `None`: the caller left in the middle of its question.
async fn answer<H: Handler>(
    receive: &mut RecvStream,
    caller: &Caller,
    context: &Context<H>,
) -> Option<Result<Vec<u8>, Refusal>> {
    let (question, _slot) = match read(receive, caller, context).await? {
        Ok(question) => question,
        Err(refusal) => return Some(Err(refusal)),
    };
    match context.handler.answer(caller.clone(), question).await {
        Ok(body) if body.len() > context.limits.message_bytes => {
            warn!(bytes = body.len(), "mesh answer too long to send");
            Some(Err(Refusal::new(RefusalCode::Internal, "the answer is too long")))
        }
        answer => Some(answer),
    }
}

/// `None`: the caller left in the middle of its question.
async fn accept<H: Handler>(
    receive: &mut RecvStream,
    caller: &Caller,
    link: &Link,
    context: &Context<H>,
) -> Option<Result<(Carrier, Place), Refusal>> {
    let (question, _slot) = match read(receive, caller, context).await? {
        Ok(question) => question,
        Err(refusal) => return Some(Err(refusal)),
    };
    if *caller == Caller::Joiner {
        return Some(Err(Refusal::new(RefusalCode::Denied, "tunnels are for nodes")));
    }
    let Some(place) = link.place() else {
        return Some(Err(Refusal::new(RefusalCode::Busy, "too many tunnels at once")));
    };
    let accepted = context.handler.tunnel(caller.clone(), question).await;
    Some(accepted.map(|carrier| (carrier, place)))
}

/// The question, with its place among those at once. `None`: the caller left in the middle of it.
async fn read<'a, H: Handler>(
    receive: &mut RecvStream,
    caller: &Caller,
    context: &'a Context<H>,
) -> Option<Result<(Bytes, SemaphorePermit<'a>), Refusal>> {
    let Ok(slot) = context.questions.try_acquire() else {
        return Some(Err(Refusal::new(RefusalCode::Busy, "too many questions at once")));
    };
    let limit = match caller {
        Caller::Node(_) => context.limits.message_bytes,
        Caller::Joiner => context.limits.join_message_bytes,
    };
    match read_question(receive, limit).await {
        Ok(question) => Some(Ok((Bytes::from(question), slot))),
        Err(ReadError::TooLarge) => {
            // Fails only when the caller has left.
            let _ = receive.stop(CLOSED);
            Some(Err(Refusal::new(RefusalCode::TooLarge, format!("at most {limit} bytes"))))
        }
        Err(ReadError::Broken(_)) => None,
    }
}
