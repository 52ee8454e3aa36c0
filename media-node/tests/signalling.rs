//! The WebSocket's life: joining, misbehaving, coming back, being sent away.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

mod support;

use std::io::{Read as _, Write as _};

use futures_util::SinkExt as _;
use livekit_protocol as proto;
use proto::leave_request::Action as LeaveAction;
use proto::participant_info::State;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use support::{Client, Node, join_request, until};
use tokio_tungstenite::tungstenite::{self, Message as Frame};

async fn leave_of(client: &mut Client) -> proto::LeaveRequest {
    client.hear_until(|message| if let Response::Leave(leave) = message { Some(leave) } else { None }).await
}

#[tokio::test]
async fn a_join_is_answered_and_others_see_it_and_its_end() {
    let node = Node::start();
    let mut first = node.join("p-1", "room", &Default::default()).await;
    let joined = first.joined().await;
    assert_eq!((joined.ping_interval, joined.ping_timeout), (5, 15));
    let mut second = node.join("p-2", "room", &Default::default()).await;
    assert_eq!(second.joined().await.other_participants[0].identity, "p-1");
    let state_of = |message, identity: &str| match message {
        Response::Update(update) if update.participants[0].identity == identity => {
            Some(update.participants[0].state())
        }
        _ => None,
    };
    assert_eq!(first.hear_until(|m| state_of(m, "p-2")).await, State::Joined);

    second.request(Request::Leave(proto::LeaveRequest::default())).await;
    assert_eq!(first.hear_until(|m| state_of(m, "p-2")).await, State::Disconnected);
    while second.hear().await.is_some() {}
}

#[tokio::test]
async fn a_v0_client_is_offered_what_it_receives() {
    let node = Node::start();
    let mut client =
        node.try_join_v0(&node.token("p-1", "room"), "auto_subscribe=1&sdk=android").await.unwrap();
    let joined = client.joined().await;
    assert!(joined.subscriber_primary);
    let offer = client.hear_until(|m| if let Response::Offer(offer) = m { Some(offer) } else { None }).await;
    assert_eq!((offer.r#type.as_str(), offer.id), ("offer", 1));
    for line in ["m=application ", "a=ice-lite", "a=setup:actpass", "a=candidate:", "a=ice-ufrag:"] {
        assert!(offer.sdp.contains(line), "{line} in {}", offer.sdp);
    }

    let sid = joined.participant.unwrap().sid;
    let back = format!("reconnect=1&sid={sid}");
    let mut again = node.try_join_v0(&node.token("p-1", "room"), &back).await.unwrap();
    assert!(matches!(again.hear().await, Some(Response::Reconnect(_))));
    again.hear_until(|m| matches!(m, Response::Offer(offer) if offer.id == 2).then_some(())).await;

    let garbage = proto::SessionDescription { sdp: "m=".into(), id: 2, ..Default::default() };
    again.request(Request::Answer(garbage)).await;
    assert_eq!(leave_of(&mut again).await.action(), LeaveAction::Reconnect);
    assert!(node.try_join_v0("nonsense", "").await.is_err());
}

#[tokio::test]
async fn paths_and_requests_that_are_wrong_say_so() {
    let node = Node::start();
    let (status, _, body) = node.get("signal", "/");
    assert_eq!((status, body.as_str()), (200, "OK"), "whether anybody is there");
    let status_of = |path: &str| node.get("signal", path).0;
    assert_eq!(status_of("/rtc"), 400, "no WebSocket, and not a 404: that means another version");
    assert_eq!(status_of("/elsewhere"), 404);
    assert_eq!(node.get("telemetry", "/readyz").0, 200);

    let token = node.token("p-1", "room");
    for wrong in ["*", "AAAA"] {
        match node.try_join(&token, wrong).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 400, "{wrong}"),
            other => panic!("{wrong}: {:?}", other.map(|_| "joined")),
        }
    }
    assert_eq!(node.try_join(&token, &join_request(&Default::default())).await.map(|_| ()).ok(), Some(()));
}

#[tokio::test]
async fn a_misbehaving_socket_is_closed_and_the_others_are_not() {
    let mut node = Node::start();
    let mut good = node.join("good", "room", &Default::default()).await;
    good.joined().await;
    let garbage = Frame::Binary(vec![0xFF; 64].into());
    let ping = proto::SignalRequest { message: Some(Request::Ping(1)) };
    let flood = Frame::Binary(prost::Message::encode_to_vec(&ping).into());
    for (end, frame, times) in
        [("malformed", garbage, 1), ("malformed", Frame::Text("hello".into()), 1), ("flood", flood, 2_000)]
    {
        let before = node.metric("locum_media_sockets_ended_total", end);
        let mut bad = node.join("bad", "room", &Default::default()).await;
        bad.joined().await;
        for _ in 0..times {
            if bad.socket.send(frame.clone()).await.is_err() {
                break;
            }
        }
        while bad.hear().await.is_some() {}
        until(end, || (node.metric("locum_media_sockets_ended_total", end) > before + 0.5).then_some(()));
    }
    good.request(Request::Ping(7)).await;
    let pong = good.hear_until(|m| if let Response::Pong(at) = m { Some(at) } else { None }).await;
    assert_eq!(pong, 7);
    assert!(node.is_alive());
}

#[tokio::test]
async fn a_connection_that_sends_no_request_is_closed() {
    let node = Node::start();
    let mut idle = std::net::TcpStream::connect(node.addresses["signal"]).unwrap();
    idle.write_all(b"GET /rtc/v1/validate HTTP/1.1\r\n").unwrap();
    idle.set_read_timeout(Some(support::DEADLINE)).unwrap();
    let mut answer = Vec::new();
    idle.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
}

#[tokio::test]
async fn a_stay_is_resumed_on_a_new_socket_and_the_old_one_ends() {
    let node = Node::start();
    let mut old = node.join("p-1", "room", &Default::default()).await;
    let sid = old.joined().await.participant.unwrap().sid;
    let resume = proto::JoinRequest { reconnect: true, participant_sid: sid, ..Default::default() };
    let mut new = node.join("p-1", "room", &resume).await;
    assert!(matches!(new.hear().await, Some(Response::Reconnect(_))));
    while old.hear().await.is_some() {}
    new.request(Request::Ping(1)).await;
    new.hear_until(|m| matches!(m, Response::Pong(1)).then_some(())).await;

    for (identity, room) in [("p-2", "room"), ("p-1", "other")] {
        let mut thief = node.join(identity, room, &resume).await;
        let leave = leave_of(&mut thief).await;
        assert_eq!(leave.action(), LeaveAction::Reconnect);
        assert_eq!(leave.reason(), proto::DisconnectReason::StateMismatch);
    }
}

#[tokio::test]
async fn a_node_that_is_full_says_when_to_come_back() {
    let node = Node::start_with("capacity = 1");
    let mut first = node.join("p-1", "room", &Default::default()).await;
    first.joined().await;
    match node.try_join(&node.token("p-2", "room"), &join_request(&Default::default())).await {
        Err(tungstenite::Error::Http(response)) => {
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()["retry-after"], "1");
        }
        other => panic!("{:?}", other.map(|_| "joined")),
    }
}

/// `None` when joined, otherwise the status.
async fn refusal(node: &Node, token: &str) -> (Option<Client>, Option<u16>) {
    match node.try_join(token, &join_request(&Default::default())).await {
        Ok(client) => (Some(client), None),
        Err(tungstenite::Error::Http(response)) => {
            assert_eq!(response.headers()["retry-after"], "1");
            (None, Some(response.status().as_u16()))
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn from_seventy_percent_on_new_calls_are_refused_and_running_ones_are_not() {
    let node = Node::start_with("capacity = 4");
    assert_eq!(node.get("signal", "/probe").0, 204);
    let mut inside = Vec::new();
    for room in ["a", "b", "c"] {
        let mut client = node.join("p-1", room, &Default::default()).await;
        client.joined().await;
        inside.push(client);
    }
    assert_eq!(node.get("signal", "/probe").0, 503, "three of four");
    assert_eq!(refusal(&node, &node.token("p-1", "d")).await.1, Some(503), "a new call");
    assert_eq!(node.get("signal", "/rtc/v1/validate").0, 401, "and it still answers");
    assert!(node.metric("locum_media_joins_refused_total", "no-new-calls") > 0.5);

    let mut running = node.claims("p-1", "d");
    running["running"] = true.into();
    let moved = node.key.sign_jws(&running).unwrap();
    let (_fourth, refused) = refusal(&node, &moved).await;
    assert_eq!(refused, None, "a call that lost its node");
    assert_eq!(refusal(&node, &node.token("p-2", "a")).await.1, Some(503), "more than there may be");

    // Somebody leaves: there is room for a call that is here, and still none for a new one.
    inside[2].request(Request::Leave(proto::LeaveRequest::default())).await;
    while inside[2].hear().await.is_some() {}
    let (_second, refused) = refusal(&node, &node.token("p-2", "a")).await;
    assert_eq!(refused, None, "a call that is here");
    assert_eq!(refusal(&node, &node.token("p-1", "e")).await.1, Some(503));
}

#[tokio::test]
async fn a_probe_is_read_by_pages_costs_no_line_of_the_log_and_is_limited() {
    let mut node = Node::start();
    let (status, head, body) = node.get("signal", "/probe");
    assert_eq!((status, body.as_str()), (204, ""));
    for header in ["access-control-allow-origin: *", "timing-allow-origin: *", "cache-control: no-store"] {
        assert!(head.contains(header), "{header} in {head}");
    }
    assert!(!node.log().contains("/probe"));
    let mut stream = std::net::TcpStream::connect(node.addresses["signal"]).unwrap();
    stream.set_read_timeout(Some(support::DEADLINE)).unwrap();
    let mut read = std::io::BufReader::new(stream.try_clone().unwrap());
    let batch = b"GET /probe HTTP/1.1\r\nhost: x\r\n\r\n".repeat(500);
    let limited = (0..40).any(|_| {
        stream.write_all(&batch).unwrap();
        (0..500).filter(|_| status_line(&mut read).contains(" 429 ")).count() > 0
    });
    assert!(limited, "20,000 at once are answered");
    assert!(node.is_alive());
}

fn status_line(read: &mut impl std::io::BufRead) -> String {
    let (mut first, mut line) = (String::new(), String::new());
    read.read_line(&mut first).unwrap();
    while read.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    first
}

#[tokio::test]
async fn a_drain_sends_clients_elsewhere_and_ends_cleanly() {
    let mut node = Node::start_with("drain_grace_ms = 2000");
    let mut client = node.join("p-1", "room", &Default::default()).await;
    client.joined().await;
    node.terminate();
    let moving = |m| if let Response::RoomUpdate(update) = m { update.room } else { None };
    let room = client.hear_until(moving).await;
    assert_eq!(room.metadata, r#"{"moving":{"withinMs":1000}}"#);
    assert_eq!(node.get("signal", "/probe").0, 503, "nobody should come any more");
    let leave = leave_of(&mut client).await;
    assert_eq!((leave.action(), leave.can_reconnect), (LeaveAction::Reconnect, true));
    while client.hear().await.is_some() {}
    assert_eq!(node.exit_code(), 0);
}
