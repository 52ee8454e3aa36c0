//! One client's WebSocket: binary messages, one protobuf each.

use std::time::{Duration, Instant};

use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol as proto;
use metrics::counter;
use prost::Message as _;
use tokio::time::timeout;

use super::Signal;
use super::budget::{self, Budget};
use crate::room::Message;
use crate::shard::Attached;
use crate::token::Admission;
use crate::transport::sdp::MAX_OFFER_BYTES;

/// Longest message of a client: an offer and its envelope.
const MAX_MESSAGE_BYTES: usize = MAX_OFFER_BYTES + (4 << 10);

/// A client that says nothing for so long is gone: it should ping every 5 s.
const SILENT_FOR: Duration = Duration::from_secs(30);

/// Longest a client may take to accept a message.
const SEND_WITHIN: Duration = Duration::from_secs(10);

/// How often a device that proved itself gets a pass for its next connection: twice while one lasts.
const RENEW_EVERY: Duration = Duration::from_secs(30);

/// Why a socket ends.
#[derive(Clone, Copy)]
enum End {
    /// The node is done with it.
    Done,
    /// The client closed it, or the network did.
    Gone,
    Silent,
    /// More requests than anybody needs.
    Flood,
    Malformed,
    Overloaded,
}

impl End {
    const fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::Flood => "flood",
            Self::Malformed => "malformed",
            Self::Overloaded => "overloaded",
        }
    }
}

/// Upgrades, and serves the session until the socket ends. `renewing` is what the client's next pass admits to.
pub(super) fn accept(
    upgrade: WebSocketUpgrade,
    signal: Signal,
    attached: Attached,
    renewing: Option<Admission>,
) -> Response {
    let (shard, session, connection) = (signal.shard.clone(), attached.session, attached.connection);
    bounded(upgrade)
        .on_failed_upgrade(move |_| {
            tokio::spawn(async move { shard.detach(session, connection).await });
        })
        .on_upgrade(move |socket| {
            let sockets = signal.sockets.clone();
            sockets.track_future(serve(socket, signal, attached, renewing))
        })
}

/// Upgrades only to say why not: a failed upgrade would tell the client nothing.
pub(super) fn dismiss(upgrade: WebSocketUpgrade, signal: Signal, farewell: Message) -> Response {
    bounded(upgrade).on_upgrade(move |mut socket| {
        signal.sockets.track_future(async move {
            let _ = send(&mut socket, farewell).await;
            let _ = timeout(SEND_WITHIN, socket.close()).await;
        })
    })
}

fn bounded(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .max_message_size(MAX_MESSAGE_BYTES)
        .max_frame_size(MAX_MESSAGE_BYTES)
        .max_write_buffer_size(4 * MAX_MESSAGE_BYTES)
}

async fn serve(mut socket: WebSocket, signal: Signal, mut attached: Attached, renewing: Option<Admission>) {
    let end = pump(&mut socket, &signal, &mut attached, renewing.as_ref()).await;
    counter!("locum_media_sockets_ended_total", "end" => end.label()).increment(1);
    // When it fails, the session's own deadlines end it.
    let _ = signal.shard.detach(attached.session, attached.connection).await;
    let _ = timeout(SEND_WITHIN, socket.close()).await;
}

async fn pump(
    socket: &mut WebSocket,
    signal: &Signal,
    attached: &mut Attached,
    renewing: Option<&Admission>,
) -> End {
    let mut budget = Budget::new(budget::CLIENT, Instant::now());
    let mut heard_at = tokio::time::Instant::now();
    let mut renewal = tokio::time::interval(RENEW_EVERY);
    // SDKs want to hear that they are in before anything else.
    let mut greeted = false;
    loop {
        tokio::select! {
            message = attached.outbox.recv() => {
                let Some(message) = message else { return End::Done };
                if !send(socket, *message).await {
                    return End::Gone;
                }
                greeted = true;
            }
            _ = renewal.tick(), if greeted && renewing.is_some() => {
                let Some(admission) = renewing else { continue };
                let pass = signal.pass_for(admission.clone());
                if !send(socket, Message::RefreshToken(pass)).await {
                    return End::Gone;
                }
            }
            frame = socket.next() => {
                let Some(Ok(frame)) = frame else { return End::Gone };
                heard_at = tokio::time::Instant::now();
                if let Err(end) = receive(frame, &mut budget, signal, attached).await {
                    return end;
                }
            }
            () = tokio::time::sleep_until(heard_at + SILENT_FOR) => return End::Silent,
        }
    }
}

async fn receive(frame: Frame, budget: &mut Budget, signal: &Signal, attached: &Attached) -> Result<(), End> {
    let bytes = match frame {
        Frame::Binary(bytes) => bytes,
        Frame::Close(_) => return Err(End::Gone),
        Frame::Ping(_) | Frame::Pong(_) => return Ok(()),
        Frame::Text(_) => return Err(End::Malformed),
    };
    if !budget.take(Instant::now()) {
        return Err(End::Flood);
    }
    let request = proto::SignalRequest::decode(bytes).map_err(|_| End::Malformed)?;
    match request.message {
        Some(request) => signal.shard.request(attached, request).await.map_err(|_| End::Overloaded),
        // A request of a newer protocol.
        None => Ok(()),
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    let bytes = proto::SignalResponse { message: Some(message) }.encode_to_vec();
    matches!(timeout(SEND_WITHIN, socket.send(Frame::Binary(bytes.into()))).await, Ok(Ok(())))
}
