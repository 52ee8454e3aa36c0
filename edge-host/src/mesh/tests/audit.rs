//! No event, no data: what a function shows or does is recorded before anybody sees it.

use http::{Method, Request, StatusCode};
use http_body_util::Full;

use super::hosts::*;
use super::*;
use crate::audit::{self, Report};
use crate::store::{GroupId, MasterKey};

const EVENT: &str = r#"{"action":"R","code":"note-read","agent":{"type":"staff","id":"u-1"}}"#;

async fn ask(host: &EdgeHost, method: Method, path: &str, script: &str) -> http::Response<Bytes> {
    let request = Request::builder().method(method).uri(path).header("host", "x").header("x-script", script);
    let answer = host.send(request.body(Full::default()).unwrap()).await;
    assert!(!answer.headers().contains_key("locum-audit"), "the event left the host");
    answer
}

fn main_group() -> GroupId {
    GroupId::try_from("main".to_owned()).unwrap()
}

async fn verify(host: &EdgeHost) -> Report {
    host.host.edge.audit.round(&main_group(), host.host.edge.peers.as_ref()).await;
    let folder = host.folder().to_owned();
    let master_key = MasterKey::read(&folder.join("store.key")).unwrap();
    let on_disk = audit::HostOnDisk { name: "host".to_owned(), state_dir: folder.join("state"), master_key };
    audit::verify(&[on_disk], &main_group()).unwrap()
}

fn said(event: &str) -> String {
    format!("header locum-audit: {event};;say shown")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_on_the_disk_before_it_is_shown() {
    let network = Zoned::new();
    let host = network.start("edge-1", "");
    let answer = ask(&host, Method::GET, "/c/demo/test/health", &said(EVENT)).await;
    assert_eq!((answer.status(), text(&answer).trim()), (StatusCode::OK, "shown"));
    let report = verify(&host).await.to_string();
    assert!(report.contains("events 1 to 1"), "{report}");
    // An answer that shows nothing needs no event.
    let answer = ask(&host, Method::GET, "/c/demo/test/health", "status 404").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    for said in ["say shown".to_owned(), said("{}"), said(&EVENT.replace("u-1", "Jane Roe"))] {
        let answer = ask(&host, Method::GET, "/c/demo/test/health", &said).await;
        assert_problem(&answer, Problem::AUDIT_MISSING);
    }
    assert!(verify(&host).await.to_string().contains("events 1 to 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_and_its_event_are_there_together_or_not_at_all() {
    let network = Zoned::new();
    let (one, two) = (network.start("edge-1", ""), network.start("edge-2", ""));
    two.believes(at("edge-1"));
    let insert = "sql INSERT INTO note (text) VALUES ('x')";
    // Carried out at the writer, for another host.
    let answer = ask(&two, Method::POST, "/c/demo/test", &format!("{};;{insert}", said(EVENT))).await;
    assert_eq!(answer.status(), StatusCode::OK);
    for (event, status) in [(EVENT, "status 500"), ("{}", "status 200")] {
        let undone = format!("{};;{};;{status}", said(event), insert.replace("'x'", "'y'"));
        let answer = ask(&one, Method::POST, "/c/demo/test", &undone).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(one.notes().await, "[1]");
    // Each of the two clinics is told, beside, that its records are written here.
    let report = verify(&one).await.to_string();
    assert!(report.contains("3 events chained, 0 not yet"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_given_again_is_a_reading() {
    let network = Zoned::new();
    let host = network.start("edge-1", "");
    let script = format!("{};;sql INSERT INTO note (text) VALUES ('x')", said(EVENT));
    for _ in 0..3 {
        let request = post("/c/demo/test/health").header("idempotency-key", "k").header("x-script", &script);
        let answer = host.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(!answer.headers().contains_key("locum-audit"));
    }
    assert_eq!(host.notes().await, "[1]");
    let report = verify(&host).await.to_string();
    assert!(report.contains("3 events chained") && report.contains("events 1 to 2"), "{report}");
}

/// What an event costs a reading: `cargo test -p locum-edge --lib -- --ignored --nocapture measure_a_reading`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_a_reading() {
    const READS: usize = 400;
    let network = Zoned::new();
    let host = network.start("edge-1", "");
    let without = "sql SELECT count(*) FROM note;;say shown".to_owned();
    let with = format!("sql SELECT count(*) FROM note;;{}", said(EVENT));
    for script in std::iter::repeat_n([&without, &with], 50).flatten() {
        ask(&host, Method::GET, "/c/demo/test", script).await;
    }
    for (what, script) in [("without", &without), ("with", &with), ("without", &without), ("with", &with)] {
        let mut times = Vec::new();
        for _ in 0..READS {
            let begun = Instant::now();
            let answer = ask(&host, Method::GET, "/c/demo/test", script).await;
            times.push(begun.elapsed());
            assert_eq!(answer.status(), StatusCode::OK);
        }
        times.sort_unstable();
        println!("{what} an event: p50 {:?}, p99 {:?}", times[READS / 2], times[READS * 99 / 100]);
        let begun = Instant::now();
        let all = (0..READS).map(|_| ask(&host, Method::GET, "/c/demo/test", script));
        futures_util::future::join_all(all).await;
        let a_second = READS as f64 / begun.elapsed().as_secs_f64();
        println!("{what} an event, {READS} readers at once: {a_second:.0} a second");
    }
}
