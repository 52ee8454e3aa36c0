//! Requests that write, between hosts.

mod audit;
mod hosts;
mod wire;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use locum_cluster::probe::{MemberAnswer, MemberQuestion};
use locum_mesh::{RefusalCode, RequestError};

use crate::problem::Problem;
use crate::store::Writer;
use hosts::{EdgeHost, PERSON, Zoned, at, post, text};

const INSERT: &str =
    "sql INSERT INTO note (text) SELECT 'n' || count(*) FROM note\nrowid\nheader set-cookie: a=b; Path=/";
/// A function's longest run, which is also how long somebody waits for another host.
const BRIEF: &str = "deadline_ms = 1200";

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

fn assert_problem(response: &Response<Bytes>, problem: Problem) {
    let expected = problem.response();
    assert_eq!((response.status(), response.body()), (expected.status(), expected.body()));
    assert_eq!(header(response, "retry-after"), header(&expected, "retry-after"));
}

/// Two hosts; `edge-1` writes, `edge-2` knows it.
fn two(network: &Zoned) -> (EdgeHost, EdgeHost) {
    let (one, two) = (network.start("edge-1", ""), network.start("edge-2", ""));
    two.believes(at("edge-1"));
    (one, two)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_runs_once_at_the_writer_and_its_answer_is_the_same() {
    let network = Zoned::new();
    let (one, two) = two(&network);
    let direct = one.post(INSERT).await;
    let replayed = two.post(INSERT).await;
    assert_eq!((direct.status(), text(&direct).as_str()), (StatusCode::OK, "\n1"));
    assert_eq!((replayed.status(), text(&replayed).as_str()), (StatusCode::OK, "\n2"));
    for name in ["set-cookie", "content-type", "cache-control"] {
        assert_eq!(header(&direct, name), header(&replayed, name), "{name}");
    }
    assert_eq!((one.notes().await.as_str(), two.notes().await.as_str()), ("[2]", "[0]"));
    assert_eq!(two.asked(), 1);

    let seen = two.post("headers").await;
    let id = header(&seen, "x-request-id").unwrap().to_owned();
    for line in [format!("locum-request-id: {id}"), format!("spin-client-addr: {PERSON}")] {
        assert!(text(&seen).lines().any(|seen| seen == line), "{line} is not in {}", text(&seen));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_holds_wherever_the_request_arrives() {
    let network = Zoned::new();
    let (one, two) = two(&network);
    let keyed = || post("/c/demo/test").header("idempotency-key", "k").body(Full::from(INSERT)).unwrap();
    let first = two.send(keyed()).await;
    assert_eq!((first.status(), header(&first, "idempotency-replayed")), (StatusCode::OK, None));
    for host in [&two, &one] {
        let again = host.send(keyed()).await;
        assert_eq!((again.body(), header(&again, "idempotency-replayed")), (first.body(), Some("true")));
    }
    assert_eq!(one.notes().await, "[1]");
    let bad = post("/c/demo/test").header("idempotency-key", "").body(Full::from(INSERT)).unwrap();
    assert_problem(&two.send(bad).await, Problem::BAD_IDEMPOTENCY_KEY);
    assert_eq!(two.asked(), 2, "a bad key does not travel");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_asked_for_again_and_has_one_effect() {
    let network = Zoned::new();
    let (one, two) = two(&network);
    for (requests, key) in [(1, None), (2, Some("k"))] {
        two.peers.answers_to_lose.store(1, Ordering::SeqCst);
        let request = post("/c/demo/test");
        let request = key.map(|key| post("/c/demo/test").header("idempotency-key", key)).unwrap_or(request);
        let answer = two.send(request.body(Full::from(INSERT)).unwrap()).await;
        assert_eq!((answer.status(), text(&answer)), (StatusCode::OK, format!("\n{requests}")));
        assert_eq!(one.notes().await, format!("[{requests}]"));
    }
    // Who cannot say says so, and nothing else.
    two.peers.answers_to_lose.store(2, Ordering::SeqCst);
    assert_problem(&two.post(INSERT).await, Problem::OUTCOME_UNKNOWN);
    assert_eq!(one.notes().await, "[3]");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_writer_is_asked_and_may_be_this_host() {
    let network = Zoned::new();
    let (one, two) = two(&network);
    let three = network.start("edge-3", "");
    three.believes(at("edge-2"));
    // Of old news: `edge-2` says who it is.
    let answer = three.post(INSERT).await;
    assert_eq!((answer.status(), three.asked()), (StatusCode::OK, 2));
    assert_eq!((one.notes().await.as_str(), two.notes().await.as_str()), ("[1]", "[0]"));
    three.believes(Writer::Here);
    assert_eq!(three.post(INSERT).await.status(), StatusCode::OK);
    assert_eq!((three.asked(), three.notes().await.as_str()), (2, "[1]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_request_is_never_replayed_again() {
    let network = Zoned::new();
    let (one, two) = two(&network);
    one.believes(at("edge-2"));
    assert_problem(&two.post(INSERT).await, Problem::NO_PRIMARY);
    assert_eq!((one.asked(), two.asked()), (0, 2));
    assert_eq!((one.notes().await.as_str(), two.notes().await.as_str()), ("[0]", "[0]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_writer_a_write_is_refused_and_a_read_is_not() {
    let network = Zoned::new();
    let host = network.silent("edge-1", "");
    host.believes(Writer::Nowhere);
    assert_problem(&host.post(INSERT).await, Problem::NO_PRIMARY);
    assert_eq!(host.notes().await, "[0]");
    host.believes(at("edge-9"));
    assert_problem(&host.post(INSERT).await, Problem::NO_PRIMARY);
    assert_eq!(host.notes().await, "[0]");
    // No clinic, no group, no writer.
    let plain = host.send(post("/plain/x").body(Full::from("say here")).unwrap()).await;
    assert_eq!((plain.status(), text(&plain).as_str()), (StatusCode::OK, "here"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_never_reached_did_nothing_and_one_that_fell_silent_may_have() {
    let network = Zoned::new();
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _one = {
        let _inside = doomed.enter();
        network.start("edge-1", "")
    };
    let (two, three) = (network.silent("edge-2", BRIEF), network.silent("edge-3", BRIEF));
    two.believes(at("edge-1"));
    three.believes(at("edge-1"));
    assert_eq!(two.post(INSERT).await.status(), StatusCode::OK);
    doomed.shutdown_background();
    let begun = Instant::now();
    assert_problem(&two.post(INSERT).await, Problem::OUTCOME_UNKNOWN);
    assert_problem(&three.post(INSERT).await, Problem::NO_PRIMARY);
    assert!(begun.elapsed() < Duration::from_secs(5), "a person waits: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_another_manifest_is_not_carried_out() {
    let network = Zoned::new();
    let (one, two) = two(&network);
    let client = network.client("edge", "edge-9");
    let (id, client_address) = (uuid::Uuid::now_v7(), PERSON.parse().unwrap());
    for (method, path) in [("GET", "/c/nobody/test"), ("POST", "/c/nobody/test"), ("POST", "/elsewhere")] {
        let request = http::Request::builder().method(method).uri(path).body(Bytes::new()).unwrap();
        let replay = super::Replay { id, client: client_address, node: None, request: &request };
        let question = replay.question(Duration::from_secs(5)).unwrap();
        let asked = client.request(&network.peer("edge-1"), &question, Duration::from_secs(5)).await;
        assert_eq!(refusal(asked), RefusalCode::Invalid, "{method} {path}");
    }
    drop((one, two));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_edge_hosts_may_ask() {
    let network = Zoned::new();
    let one = network.start("edge-1", "");
    let request = post("/c/demo/test").body(Bytes::from(INSERT)).unwrap();
    let replay = super::Replay {
        id: uuid::Uuid::now_v7(),
        client: PERSON.parse().unwrap(),
        node: None,
        request: &request,
    };
    let question = replay.question(Duration::from_secs(5)).unwrap();
    // A media node may tell of calls, and this is none.
    for (role, code) in [("media", RefusalCode::Invalid), ("control", RefusalCode::Denied)] {
        let client = network.client(role, "nosy");
        let asked = client.request(&network.peer("edge-1"), &question, Duration::from_secs(5)).await;
        assert_eq!(refusal(asked), code, "{role}");
    }
    assert_eq!(one.notes().await, "[0]");
    let canary = serde_json::to_vec(&MemberQuestion::Canary { write: true }).unwrap();
    let member = network.client("control", "control-1");
    let asked = member.request(&network.peer("edge-1"), &canary, Duration::from_secs(5)).await.unwrap();
    let MemberAnswer::Canary(canaries) = serde_json::from_slice(&asked).unwrap();
    assert_eq!(canaries.len(), 1);
    assert!(canaries[0].is_good() && canaries[0].write.is_some(), "{canaries:?}");
    let media = network.client("media", "nosy");
    let asked = media.request(&network.peer("edge-1"), &canary, Duration::from_secs(5)).await;
    assert_eq!(refusal(asked), RefusalCode::Invalid);
    let edge = network.client("edge", "edge-2");
    let asked = edge.request(&network.peer("edge-1"), &question, Duration::from_secs(5)).await;
    assert!(asked.is_ok());
    assert_eq!(one.notes().await, "[1]");
    let nonsense = edge.request(&network.peer("edge-1"), b"nonsense", Duration::from_secs(5)).await;
    assert_eq!(refusal(nonsense), RefusalCode::Invalid);
}

fn refusal(asked: Result<Vec<u8>, RequestError>) -> RefusalCode {
    match asked {
        Err(RequestError::Refused { refusal, .. }) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}
