//! A request sent again.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;

use crate::harness::{Answer, Host, ROUTE};

const INSERT: &str =
    "sql INSERT INTO note (text) SELECT 'n' || count(*) FROM note\nrowid\nheader set-cookie: a=b; Path=/";

fn keyed(key: &str, cookie: &str, script: &str) -> Request<Full<Bytes>> {
    let request = Request::post(ROUTE).header("idempotency-key", key).header("cookie", cookie);
    request.body(Full::from(script.to_owned())).unwrap()
}

async fn notes(host: &Host) -> String {
    host.get("sql SELECT count(*) FROM note").await.text()
}

fn same(one: &Answer, other: &Answer) {
    assert_eq!((one.status, &one.body), (other.status, &other.body));
    for name in ["set-cookie", "content-type"] {
        assert_eq!(one.header(name), other.header(name));
    }
}

#[tokio::test]
async fn the_same_request_again_has_one_effect_and_one_answer() {
    let host = Host::start().await;
    let first = host.send(keyed("k", "locum_session=1", INSERT)).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (StatusCode::OK, None));
    // The session's cookie was renewed meanwhile.
    let again = host.send(keyed("k", "locum_session=1.later.mac", INSERT)).await;
    same(&first, &again);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_ne!(first.header("x-request-id"), again.header("x-request-id"));
    assert_eq!(notes(&host).await, "[1]");

    for other in [keyed("k", "locum_session=1", "say another body"), keyed("k", "locum_session=2", INSERT)] {
        let reused = host.send(other).await;
        let expected = (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused".to_owned());
        assert_eq!((reused.status, reused.problem()), expected);
    }
    let host = Host::run(host.kill()).await;
    same(&first, &host.send(keyed("k", "locum_session=1", INSERT)).await);
    assert_eq!(notes(&host).await, "[1]", "a crash between effect and answer changes nothing");
}

#[tokio::test]
async fn twenty_at_once_have_one_effect_and_one_answer() {
    let host = Host::start().await;
    let script = format!("{INSERT}\nprint once");
    let answers = futures_util::future::join_all((0..20).map(|_| host.send(keyed("k", "", &script)))).await;
    let replayed = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_some()).count();
    assert_eq!(replayed, 19);
    for answer in &answers {
        same(&answers[0], answer);
    }
    // "once" and a line break, on both streams: the other nineteen never ran.
    host.metric("locum_edge_function_output_bytes_total{component=\"test\"} 10").await;
    assert_eq!(notes(&host).await, "[1]");
}

#[tokio::test]
async fn refusals_are_kept_and_failures_are_not() {
    let host = Host::start().await;
    let refusal = "status 409\nsay no";
    let first = host.send(keyed("refused", "", refusal)).await;
    let again = host.send(keyed("refused", "", refusal)).await;
    same(&first, &again);
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::CONFLICT, Some("true")));

    let failing = format!("{INSERT}\nstatus 500");
    for _ in 0..2 {
        let failed = host.send(keyed("failed", "", &failing)).await;
        assert_eq!(
            (failed.status, failed.header("idempotency-replayed")),
            (StatusCode::INTERNAL_SERVER_ERROR, None)
        );
    }
    assert_eq!(notes(&host).await, "[0]");
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let host = Host::start().await;
    let invalid = host.send(keyed("", "", INSERT)).await;
    assert_eq!(
        (invalid.status, invalid.problem().as_str()),
        (StatusCode::BAD_REQUEST, "idempotency-key-invalid")
    );
    assert_eq!(notes(&host).await, "[0]");
}
