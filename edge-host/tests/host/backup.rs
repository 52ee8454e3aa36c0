//! Backups of a running host, and the way back from backup, keyring and key only.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use locum_identity::private_file;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Host, PATIENCE, Settings, share_compiled, write_files};

const TEXTS: &str = "sql SELECT text FROM note ORDER BY id";
const BACKUP: &str = "[backup]\nto = \"backups\"\nkey_file = \"backup.key\"\nsegments = \"1s\"";

fn insert(text: &str) -> String {
    format!("sql INSERT INTO note (text) VALUES ('{text}')")
}

async fn host() -> Host {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), &Settings { more: BACKUP, ..Settings::default() });
    private_file::write(&folder.path().join("backup.key"), "c3".repeat(32).as_bytes()).unwrap();
    share_compiled(folder.path());
    Host::run(folder).await
}

/// Asks over the operations socket.
fn ask(folder: &Path, what: &str) -> Value {
    let mut stream = UnixStream::connect(folder.join("state/operations.sock")).unwrap();
    writeln!(stream, "{{\"do\": \"{what}\"}}").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap();
    answer["groups"][0].clone()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        match path.is_dir() {
            true => found.extend(files(&path)),
            // No sockets.
            false if path.is_file() => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

/// When the log was shipped last.
async fn shipped(host: &Host) -> f64 {
    let metrics = host.metrics().await;
    let line = metrics.lines().find(|line| line.starts_with("locum_edge_backup_newest_timestamp_seconds{"));
    line.and_then(|line| line.split_whitespace().last()?.parse().ok()).unwrap_or(0.0)
}

/// Waits until what was written by now has left the host: the look that may have begun ends, then another.
async fn until_shipped(host: &Host) {
    let began = Instant::now();
    for _ in 0..2 {
        let before = shipped(host).await;
        while shipped(host).await == before {
            assert!(began.elapsed() < PATIENCE, "nothing is shipped");
            tokio::task::yield_now().await;
        }
    }
}

/// Restores to the folder's own state, which is gone; what it said when it refused.
fn restore(folder: &Path, more: &[&str]) -> Result<Value, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_locum-edge"))
        .args(["restore", "--config"])
        .arg(folder.join("edge.toml"))
        .arg("--from")
        .arg(folder.join("backups"))
        .arg("--key")
        .arg(folder.join("backup.key"))
        .args(more)
        .output()
        .unwrap();
    match output.status.code() {
        Some(0) => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        Some(1) => Err(String::from_utf8(output.stderr).unwrap()),
        other => panic!("{other:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn lose_everything(folder: &TempDir) {
    fs::remove_dir_all(folder.path().join("state")).unwrap();
}

async fn texts(folder: TempDir) -> (TempDir, String) {
    fs::create_dir_all(folder.path().join("state")).unwrap();
    let host = Host::run(folder).await;
    let found = host.get(TEXTS).await.text();
    (host.stop(), found)
}

#[tokio::test]
async fn everything_comes_back_or_as_much_as_there_was_at_a_time() {
    let host = host().await;
    host.post(&insert("planted-one")).await;
    let taken = ask(host.folder.path(), "backup");
    assert!(taken["bytes"].as_u64().unwrap() > 4_096, "{taken}");
    host.post(&insert("planted-two")).await;
    until_shipped(&host).await;
    let between = jiff::Timestamp::now().to_string();
    host.post(&insert("planted-three")).await;
    until_shipped(&host).await;
    let folder = host.kill();
    for path in files(folder.path()) {
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"planted") || path.ends_with("edge.toml"), "{path:?}");
    }

    lose_everything(&folder);
    let said = restore(folder.path(), &[]).unwrap();
    assert_eq!(said["restored"][0]["group"], "main", "{said}");
    let (folder, found) = texts(folder).await;
    assert_eq!(found, "[\"planted-one\"] [\"planted-two\"] [\"planted-three\"]");

    lose_everything(&folder);
    // Not from the backup that the restored host has begun: it is younger.
    restore(folder.path(), &["--at", &between]).unwrap();
    let (_folder, found) = texts(folder).await;
    assert_eq!(found, "[\"planted-one\"] [\"planted-two\"]");
}

#[tokio::test]
async fn a_restore_that_is_refused_names_the_file_and_touches_nothing() {
    let host = host().await;
    host.post(&insert("one")).await;
    ask(host.folder.path(), "backup");
    host.post(&insert("two")).await;
    until_shipped(&host).await;
    let folder = host.stop();
    let told = restore(folder.path(), &[]).unwrap_err();
    assert!(told.contains("records/main exists"), "{told}");
    lose_everything(&folder);

    let taken = files(&folder.path().join("backups"));
    let newest = taken.iter().rfind(|path| path.ends_with("manifest")).unwrap().parent().unwrap().to_owned();
    let untouched = || !folder.path().join("state/records/main").exists();
    let no_scratch = || {
        let records = folder.path().join("state/records");
        !records.exists() || fs::read_dir(records).unwrap().all(|entry| entry.unwrap().file_name() == "lock")
    };
    for path in files(&newest) {
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&flipped[..], &whole[..whole.len() - 1]] {
            fs::write(&path, damaged).unwrap();
            let told = restore(folder.path(), &[]).unwrap_err();
            assert!(told.contains(&*path.canonicalize().unwrap().to_string_lossy()), "{path:?}: {told}");
            assert!(untouched() && no_scratch(), "{path:?}");
        }
        fs::write(&path, whole).unwrap();
    }
    private_file::write(&folder.path().join("backup.key"), "c4".repeat(32).as_bytes()).unwrap();
    let told = restore(folder.path(), &[]).unwrap_err();
    assert!(told.contains("wrong key") && told.contains("keyring"), "{told}");
    let told = restore(folder.path(), &["--group", "nobody"]).unwrap_err();
    assert!(told.contains("`nobody`: no backup"), "{told}");
    assert!(untouched() && no_scratch());

    private_file::write(&folder.path().join("backup.key"), "c3".repeat(32).as_bytes()).unwrap();
    let told = restore(folder.path(), &["--at", "2020-01-01T00:00:00Z"]).unwrap_err();
    assert!(told.contains("no backup is that old"), "{told}");
    assert!(untouched());
    let aside = folder.path().join("aside");
    fs::rename(&newest, &aside).unwrap();
    let told = restore(folder.path(), &[]).unwrap_err();
    let missing = newest.file_name().unwrap().to_string_lossy().into_owned();
    assert!(told.contains(&format!("{missing} is missing; --backup 2")), "{told}");
    assert!(untouched());
    fs::rename(&aside, &newest).unwrap();
    restore(folder.path(), &[]).unwrap();
}

#[tokio::test]
async fn a_drill_finds_out_whether_the_newest_backup_can_be_restored() {
    let host = host().await;
    host.post(&insert("one")).await;
    ask(host.folder.path(), "backup");
    let held = ask(host.folder.path(), "drill");
    assert!(held["problem"].is_null() && held["rows"].as_u64().unwrap() > 0, "{held}");
    host.metric("locum_edge_restore_drill_success{group=\"main\"} 1").await;

    let path = files(&host.folder.path().join("backups"))
        .into_iter()
        .rfind(|path| path.parent().is_some_and(|folder| folder.ends_with("pages")))
        .unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let held = ask(host.folder.path(), "drill");
    assert!(held["problem"].as_str().unwrap().contains("pages/00000001"), "{held}");
    host.metric("locum_edge_restore_drill_success{group=\"main\"} 0").await;
    let left = files(&host.folder.path().join("state/drills"));
    assert!(left.iter().all(|path| path.ends_with("main.json")), "{left:?}");

    // It is still true after a restart, and the next drill is an hour away.
    let host = Host::run(host.kill()).await;
    host.metric("locum_edge_restore_drill_success{group=\"main\"} 0").await;
}
