//! What people typed stands in no log, no metric and, in the clear, in no file.

use std::path::Path;

use http::Request;
use http_body_util::Full;

use crate::harness::{Host, ROUTE, send};

const PLANTED: &str = "Plantagenet Zweistein";

#[tokio::test]
async fn planted_text_is_found_nowhere() {
    let host = Host::start().await;
    let quoted = format!("'{PLANTED}'");
    // In a row, a key, an idempotent answer, an error, a printed line, a panic, a path, a query, a header and
    // a cookie.
    let script = format!(
        "sql INSERT INTO note (text) VALUES ({quoted})\nset {PLANTED} x\nset x {PLANTED}\nsay {PLANTED}\n\
         print {PLANTED}\nsql INSERT INTO note (text) VALUES ({quoted})\nsql SELECT {PLANTED}\n\
         header set-cookie: a={PLANTED}"
    );
    let path = format!("{ROUTE}/{0}?q={0}", PLANTED.replace(' ', "%20"));
    let request = Request::post(&path)
        .header("idempotency-key", PLANTED)
        .header("cookie", PLANTED)
        .header("x-a", PLANTED);
    let answer = host.send(request.body(Full::from(script)).unwrap()).await;
    assert!(answer.text().contains("UNIQUE constraint failed"), "{}", answer.text());
    host.post(&format!("sql SELECT {quoted}\npanic {PLANTED}")).await;
    host.post(&format!("sql INSERT INTO note (text) VALUES ('2 {PLANTED}')\nstatus 500")).await;
    let page = Request::get(format!("/{}", PLANTED.replace(' ', "%20"))).body(Full::default()).unwrap();
    send(host.http, page).await;

    let metrics = host.metrics().await;
    assert!(metrics.contains("locum_edge_requests_total{component=\"test\",status=\"2xx\"}"), "{metrics}");
    assert!(metrics.contains("locum_edge_function_output_bytes_total"), "printing is counted");
    for text in [&metrics, &host.log()] {
        for word in PLANTED.split(' ').chain(["demo", "planted-setup-token"]) {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
    assert!(host.log().contains("\"route\":\"/c/:clinic/test/...\""), "{}", host.log());
    // While it runs (with its -wal), and after it stopped.
    assert!(host.folder.path().join("state/records/main/data.db-wal").exists());
    search(&host.folder.path().join("state"));
    let folder = host.stop();
    search(&folder.path().join("state"));
    let host = Host::run(folder).await;
    assert!(host.get("sql SELECT text FROM note").await.text().contains(PLANTED), "it was really stored");
}

/// Fails when a file below holds the text, or can be read by others.
fn search(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o077, 0, "{} is open to others", path.display());
        if path.is_dir() {
            search(&path);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for word in PLANTED.split(' ') {
            let found = bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(
                !found || path.extension().is_some_and(|extension| extension == "cwasm"),
                "{}",
                path.display()
            );
        }
    }
}
