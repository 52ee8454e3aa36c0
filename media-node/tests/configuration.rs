//! Configuration mistakes are named before anything is bound.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "this is a test")]

use std::fs;
use std::process::{Command, Output};

fn run(config: &str, more: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("media.toml");
    fs::write(&path, config).unwrap();
    Command::new(env!("CARGO_BIN_EXE_locum-media")).arg("--config").arg(&path).args(more).output().unwrap()
}

const GOOD: &str = r#"
zone = "locum.localhost"
region = "eu-central"
state_dir = "state"
jwks_file = "keys.json"
announce_host = "localhost"
signal_listen = "127.0.0.1:0"
media_listen = "127.0.0.1:0"
"#;

#[test]
fn check_accepts_a_good_file_and_does_nothing_else() {
    let output = run(GOOD, &["--check"]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty());
}

#[test]
fn an_unknown_key_is_named_with_exit_code_64() {
    for more in [&[][..], &["--check"]] {
        let output = run(&format!("{GOOD}signal_lisen = 1\n"), more);
        assert_eq!(output.status.code(), Some(64));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("unknown key `signal_lisen` in media.toml"), "{text}");
    }
}
