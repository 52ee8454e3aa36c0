//! Web origins, preflights, pages.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;

use crate::harness::{Host, ROUTE, Settings};

const PAGES: &str = "http://app.locum.localhost:8080";

fn from(origin: &str, method: &str, script: &str) -> Request<Full<Bytes>> {
    let request =
        Request::builder().method(method).uri(ROUTE).header("origin", origin).header("x-script", script);
    request.body(Full::default()).unwrap()
}

#[tokio::test]
async fn only_our_pages_may_call_with_credentials() {
    let host = Host::start().await;
    let ours = host.send(from(PAGES, "POST", "say hello;;header access-control-allow-origin: *")).await;
    assert_eq!(ours.status, StatusCode::OK);
    assert_eq!(ours.header("access-control-allow-origin"), Some(PAGES));
    assert_eq!(ours.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(ours.headers.get_all("access-control-allow-origin").iter().count(), 1);

    for foreign in
        ["http://evil.example", "null", "http://evil.locum.localhost:8080", "http://app.locum.localhost"]
    {
        let insert = "sql INSERT INTO note (text) VALUES ('a')";
        let refused = host.send(from(foreign, "POST", insert)).await;
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (StatusCode::FORBIDDEN, "foreign-origin"),
            "{foreign}"
        );
        let read = host.send(from(foreign, "GET", "say hello")).await;
        assert_eq!(read.header("access-control-allow-origin"), None, "{foreign} may not read it");
    }
    assert_eq!(host.get("sql SELECT count(*) FROM note").await.text(), "[0]");
    let own = host.send(from("http://eu-central.locum.localhost:8080", "POST", "say hello")).await;
    assert_eq!(own.text(), "hello");
}

#[tokio::test]
async fn preflights_are_answered_by_the_host() {
    let host = Host::start().await;
    let preflight = |origin: &str| {
        let mut request = from(origin, "OPTIONS", "panic");
        request.headers_mut().insert("access-control-request-method", "PUT".parse().unwrap());
        request
    };
    let ours = host.send(preflight(PAGES)).await;
    assert_eq!(ours.status, StatusCode::NO_CONTENT);
    assert_eq!(ours.header("access-control-allow-origin"), Some(PAGES));
    let allowed = ours.header("access-control-allow-headers").unwrap();
    assert!(allowed.contains("idempotency-key") && allowed.contains("if-match"), "{allowed}");
    let foreign = host.send(preflight("http://evil.example")).await;
    assert_eq!(foreign.header("access-control-allow-origin"), None);
    assert_eq!(foreign.header("access-control-allow-methods"), None);
}

#[tokio::test]
async fn pages_of_others_may_ask_what_apps_ask_without_cookies() {
    let component = "[component.test.tool.locum]\napps = [\"/c/:clinic/test/...\"]";
    let host = Host::with(Settings { component, ..Settings::default() }).await;
    let mut request = from("http://app.example", "POST", "headers");
    request.headers_mut().insert("cookie", "locum_session=secret".parse().unwrap());
    let answer = host.send(request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert!(
        answer.text().contains("x-script: headers") && !answer.text().contains("secret"),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let mut preflight = from("http://app.example", "OPTIONS", "panic");
    preflight.headers_mut().insert("access-control-request-method", "POST".parse().unwrap());
    let allowed = host.send(preflight).await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some("*"));
    assert!(allowed.header("access-control-allow-headers").unwrap().contains("authorization"));
    let ours = host.send(from(PAGES, "POST", "say hello")).await;
    assert_eq!(ours.header("access-control-allow-origin"), Some(PAGES));
}

#[tokio::test]
async fn pages_have_their_own_rules() {
    let host = Host::start().await;
    let pages = host.folder.path().join("pages");
    std::fs::create_dir_all(pages.join("assets")).unwrap();
    std::fs::write(pages.join("index.html"), "<p>page</p>").unwrap();
    std::fs::write(pages.join("assets/app-1a2b.js"), "1").unwrap();
    let get = |path: &str| {
        host.send(Request::get(path).header("accept", "text/html").body(Full::default()).unwrap())
    };
    for path in ["/", "/c/demo", "/c/demo/visit", "/clinic/demo/today"] {
        let page = get(path).await;
        assert_eq!((page.status, page.text().as_str()), (StatusCode::OK, "<p>page</p>"), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("connect-src 'self' http://*.locum.localhost:* ws://*.locum.localhost:*"),
            "{policy}"
        );
        assert!(
            policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert_eq!(page.header("strict-transport-security"), None, "only with TLS");
    }
    let script = get("/assets/app-1a2b.js").await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert!(script.header("cache-control").unwrap().contains("immutable"));
    for path in ["/../edge.toml", "/..%2fedge.toml", "/assets/../../edge.toml", "/.hidden"] {
        let answer = get(path).await;
        assert!(
            !answer.text().contains("store_key_file") && answer.status == StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}
