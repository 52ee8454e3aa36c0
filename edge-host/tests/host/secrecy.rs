//! What people typed stands in no log, no metric and, in the clear, in no file.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use http::Request;
use http_body_util::Full;
use rustix::process::{Pid, Signal};

use crate::harness::{Host, PATIENCE, ROUTE, Settings, send, share_compiled, write_files};

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

#[tokio::test]
async fn a_crash_leaves_no_core() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), &Settings::default());
    share_compiled(folder.path());
    // As generous as the shell may be: what forbids cores is the host itself.
    let generous = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -c unlimited; {script}")]).current_dir(folder.path());
        shell
    };
    let aborts = generous("kill -ABRT $$").status().unwrap();
    assert_eq!(aborts.signal(), Some(Signal::ABORT.as_raw()));
    let is_possible = aborts.core_dumped();
    let files = || -> Vec<_> {
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let cores = files().into_iter().filter(|name| name.to_string_lossy().starts_with("core"));
    cores.for_each(|name| std::fs::remove_file(folder.path().join(name)).unwrap());
    let before = files().len();

    let mut host = generous("exec \"$0\" --config edge.toml 2>log")
        .arg(env!("CARGO_BIN_EXE_locum-edge"))
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !folder.path().join("ready.json").exists() {
        assert!(began.elapsed() < PATIENCE && host.try_wait().unwrap().is_none(), "the host does not start");
        tokio::task::yield_now().await;
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", host.id())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(cores.split_whitespace().skip(4).eq(["1", "1", "bytes"]), "{cores}");
    rustix::process::kill_process(Pid::from_child(&host), Signal::ABORT).unwrap();
    let ended = host.wait().unwrap();
    assert_eq!(ended.signal(), Some(Signal::ABORT.as_raw()));
    assert!(!ended.core_dumped(), "a core was dumped");
    // `log` and `ready.json`.
    assert_eq!(files().len(), before + 2, "cores are possible: {is_possible}; {:?}", files());
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
