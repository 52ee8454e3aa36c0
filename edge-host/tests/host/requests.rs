//! What a function sees and what comes back.

use http::{Request, StatusCode};
use http_body_util::Full;

use crate::harness::{Host, ROUTE, Settings, post};

#[tokio::test]
async fn a_function_answers_and_reads_what_it_wrote() {
    let host = Host::start().await;
    let written = host
        .post("sql INSERT INTO note (text) VALUES ('a')\nrowid\nchanges\nsql SELECT id, text FROM note")
        .await;
    assert_eq!(written.status, StatusCode::OK, "{}", written.text());
    assert_eq!(written.text(), "\n1\n1\n[1, \"a\"]");
    assert_eq!(host.get("sql SELECT text FROM note").await.text(), "[\"a\"]");
    assert!(written.header("x-request-id").is_some());
    assert_eq!(written.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(written.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn forged_headers_never_reach_a_function() {
    let host = Host::start().await;
    let request = Request::post(format!("{ROUTE}/a/b?x=1"))
        .header("spin-client-addr", "forged")
        .header("locum-request-id", "forged")
        .header("spin-path-match-clinic", "forged")
        .header("idempotency-key", "planted-key")
        .body(Full::from("headers"))
        .unwrap();
    let seen = host.send(request).await.text();
    assert!(!seen.contains("forged") && !seen.contains("planted-key"), "{seen}");
    for line in [
        "spin-path-info: /a/b",
        "spin-matched-route: /c/:clinic/test/...",
        "spin-component-route: /c/:clinic/test",
        "spin-raw-component-route: /c/:clinic/test/...",
        "spin-base-path: /",
        "spin-path-match-clinic: demo",
        &format!("spin-full-url: http://{}/c/demo/test/a/b?x=1", host.http),
    ] {
        assert!(seen.contains(line), "{line} is not in {seen}");
    }
}

#[tokio::test]
async fn unknown_clinics_and_routes_are_told_apart() {
    let host = Host::start().await;
    let unknown = host.send(post("/c/nobody/test", "say hello")).await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (StatusCode::NOT_FOUND, "unknown-clinic"));
    let nothing = host.send(post("/c/demo/nothing", "")).await;
    assert_eq!((nothing.status, nothing.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
    let pages =
        host.send(Request::get("/").header("accept", "text/html").body(Full::default()).unwrap()).await;
    assert_eq!((pages.status, pages.problem().as_str()), (StatusCode::NOT_FOUND, "pages-not-built"));
    let method = host.send(Request::builder().method("BREW").uri(ROUTE).body(Full::default()).unwrap()).await;
    assert_eq!(method.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn variables_and_key_values() {
    let host = Host::start().await;
    let variables =
        host.get("variable setup;;variable place;;variable nodes;;variable zone;;variable key").await.text();
    assert!(
        variables.starts_with("planted-setup-token\nlocum.localhost edge-alone\n{\"version\":0,\"nodes\":[],\"byRegion\":{}}\nerror"),
        "{variables}"
    );
    assert!(variables.contains("BEGIN PRIVATE KEY"));

    assert_eq!(host.post("set a 1\nset b 2\nset a 3\nget a\nkeys").await.text(), "set\nset\nset\n3\na,b");
    assert_eq!(host.get("get a;;get c;;keys").await.text(), "3\nnone\na,b");
    let other = host.send(post("/c/other/test", "keys\nset a 9")).await;
    assert_eq!(other.text(), "\nset", "clinics of one group do not see each other's keys");
    assert_eq!(host.get("get a").await.text(), "3");
    assert!(host.get("database secrets").await.text().contains("AccessDenied"));
}

#[tokio::test]
async fn the_host_tells_where_and_who_it_is() {
    let host = Host::start().await;
    let get = |path: &'static str| host.send(Request::get(path).body(Full::default()).unwrap());
    let found: serde_json::Value =
        serde_json::from_slice(&get("/.well-known/locum.json").await.body).unwrap();
    assert_eq!(found["zone"], "locum.localhost");
    assert_eq!(found["clinics"], serde_json::json!(["demo", "other"]));
    assert_eq!(found["apis"], serde_json::json!(["http://eu-central.locum.localhost:8080"]));
    let keys: serde_json::Value = serde_json::from_slice(&get("/.well-known/jwks.json").await.body).unwrap();
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
    assert!(keys["keys"][0].get("d").is_none());
}

#[tokio::test]
async fn declared_exceptions_change_what_a_method_may() {
    let component = "[component.test.tool.locum]\nwrites = [\"/c/:clinic/test/authorize\"]\n\
                     reads = [\"/c/:clinic/test/_search\"]";
    let host = Host::with(Settings { component, ..Settings::default() }).await;
    let insert = "sql INSERT INTO note (text) VALUES ('a')";
    let authorize =
        Request::get(format!("{ROUTE}/authorize")).header("x-script", insert).body(Full::default()).unwrap();
    assert_eq!(host.send(authorize).await.text(), "");
    let search =
        host.send(post(&format!("{ROUTE}/_search"), "sql SELECT text FROM note\nsql DELETE FROM note")).await;
    let text = search.text();
    assert!(text.starts_with("[\"a\"]\n") && text.contains("read-only request"), "{text}");
}
