//! A function that loops, eats memory, talks too much or comes too often harms nobody else.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Host, PATIENCE, ROUTE, Settings, post};

#[tokio::test]
async fn a_loop_ends_at_its_deadline_while_others_are_answered() {
    let host = Host::with(Settings { limits: "deadline_ms = 1500", ..Settings::default() }).await;
    let started = Instant::now();
    // More loops than the machine has threads.
    let threads = std::thread::available_parallelism().unwrap().get();
    let loops = futures_util::future::join_all((0..threads * 2).map(|_| host.post("loop")));
    let others = async {
        let mut answered = 0;
        while started.elapsed() < Duration::from_millis(1_200) {
            let asked = Instant::now();
            assert_eq!(host.post("say hello").await.text(), "hello");
            assert!(asked.elapsed() < Duration::from_millis(500), "starved for {:?}", asked.elapsed());
            answered += 1;
        }
        answered
    };
    let (looped, answered) = tokio::join!(loops, others);
    assert!(answered > 5, "only {answered} answers beside the loops");
    for answer in looped {
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::GATEWAY_TIMEOUT, "deadline"));
    }
    assert!(started.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn waiting_ends_at_the_deadline_too() {
    let host = Host::with(Settings { limits: "deadline_ms = 200", ..Settings::default() }).await;
    assert_eq!(host.post("sleep 60000").await.problem(), "deadline");
}

#[tokio::test]
async fn a_memory_hog_ends_at_its_limit_while_others_are_answered() {
    let host = Host::start().await;
    let (hog, other) = tokio::join!(host.post("hog"), host.post("say hello"));
    assert_eq!(
        (hog.status, hog.problem().as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "function-memory-limit")
    );
    assert_eq!(other.text(), "hello");
    let less = "[component.test.tool.locum]\nmemory_mib = 8";
    let host = Host::with(Settings { component: less, ..Settings::default() }).await;
    assert_eq!(host.post("big 16000000").await.problem(), "function-memory-limit");
}

#[tokio::test]
async fn many_hogs_do_not_take_the_hosts_memory() {
    let host = Host::with(Settings { limits: "total_memory_mib = 64", ..Settings::default() }).await;
    let hogs = futures_util::future::join_all((0..8).map(|_| host.post("hog"))).await;
    for hog in hogs {
        assert_eq!((hog.status, hog.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "busy"));
    }
    assert_eq!(host.post("say hello").await.text(), "hello", "the memory is given back");
}

#[tokio::test]
async fn a_panic_is_a_clear_error() {
    let host = Host::start().await;
    let panicked = host.post("panic planted-panic-text").await;
    assert_eq!(
        (panicked.status, panicked.problem().as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "function-failed")
    );
    assert_eq!(host.post("say hello").await.text(), "hello");
}

#[tokio::test]
async fn bodies_and_answers_have_a_size() {
    let host = Host::start().await;
    let large = "say ".to_owned() + &"x".repeat(1 << 20);
    let refused = host.post(&large).await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large")
    );
    let fits = "say ".to_owned() + &"x".repeat((1 << 20) - 4);
    assert_eq!(host.post(&fits).await.body.len(), fits.len() - 3);
    assert_eq!(host.post("big 5000000").await.problem(), "answer-too-large");
}

#[tokio::test]
async fn a_chunked_body_is_counted_as_it_comes() {
    let host = Host::start().await;
    let mut stream = TcpStream::connect(host.http).await.unwrap();
    let head = format!("POST {ROUTE} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut answer = Vec::new();
    for _ in 0..40 {
        // The host may close before everything is sent: that is the point.
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(
        String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn slow_heads_and_bodies_are_cut_off() {
    let host = Host::with(Settings { limits: "read_timeout_ms = 300", ..Settings::default() }).await;
    for (sent, expected) in [
        ("POST / HTTP/1.1\r\nhost: a\r\n", ""),
        (&*format!("POST {ROUTE} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"), "HTTP/1.1 408"),
    ] {
        let mut stream = TcpStream::connect(host.http).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the connection stays open");
        assert!(
            String::from_utf8_lossy(&answer).starts_with(expected),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
}

#[tokio::test]
async fn slow_bodies_keep_nobody_out() {
    let host =
        Host::with(Settings { limits: "concurrent_calls = 1\nqueued_calls = 1", ..Settings::default() })
            .await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(host.http).await.unwrap();
        let head = format!("POST {ROUTE} HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc");
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    host.metric("locum_edge_connections 8").await;
    assert_eq!(host.post("say hello").await.text(), "hello");
}

#[tokio::test]
async fn heads_have_a_size() {
    let host = Host::start().await;
    let request = Request::get(ROUTE).header("x-script", "a".repeat(20_000)).body(Full::default()).unwrap();
    assert_eq!(host.send(request).await.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let mut request = Request::get(ROUTE).body(Full::<Bytes>::default()).unwrap();
    for number in 0..200 {
        request.headers_mut().append("x-many", number.into());
    }
    assert_eq!(host.send(request).await.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

#[tokio::test]
async fn beyond_the_bounds_requests_are_told_when_to_come_back() {
    let limits = "concurrent_calls = 1\nqueued_calls = 1\nqueue_wait_ms = 10000";
    let host = Host::with(Settings { limits, ..Settings::default() }).await;
    let five = (0..5).map(|_| host.send(post(ROUTE, "sleep 300")));
    let answers = futures_util::future::join_all(five).await;
    let ran = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!(ran, 2, "one ran, one waited");
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        assert_eq!((answer.status, answer.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "busy"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(host.post("say hello").await.text(), "hello");
}

#[tokio::test]
async fn nothing_is_sent_to_hosts_that_are_not_named() {
    let other = Host::start().await;
    let denied = other.get("fetch https://example.org/").await.text();
    assert!(denied.contains("HttpRequestDenied"), "{denied}");
    assert!(other.metrics().await.contains("outcome=\"host-not-allowed\"} 1"), "{}", other.metrics().await);

    let component = "allowed_outbound_hosts = [\"http://127.0.0.1:*\"]";
    let host = Host::with(Settings { component, ..Settings::default() }).await;
    let fetch = format!("fetch http://{}/.well-known/locum.json", other.http);
    let fetched = host.get(&fetch).await.text();
    assert!(fetched.starts_with("200 OK {\"zone\""), "{fetched}");
    let inside = host.post(&format!("sql BEGIN\n{fetch}")).await.text();
    assert!(inside.contains("HttpRequestDenied"), "inside a transaction: {inside}");
}
