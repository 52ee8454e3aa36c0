//! The member as a process: configuration, health, exclusive use of its folder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use support::{Control, command};

#[tokio::test]
async fn it_says_how_it_is_and_stops_when_told() {
    let mut control = Control::start().await;
    assert!(control.get("/livez").0.contains("200"));
    assert!(control.get("/readyz").0.contains("200"));
    assert!(control.get("/other").0.contains("404"));
    assert_eq!(control.terminate().await, Some(0));
    assert!(!control.path("ready.json").exists(), "a process that is gone is not ready");
}

#[tokio::test]
async fn two_members_do_not_share_a_folder() {
    let control = Control::start().await;
    let text = std::fs::read_to_string(control.path("control.toml")).unwrap();
    let mesh = control.mesh().to_string();
    let second = control.path("second.toml");
    std::fs::write(&second, text.replace(&mesh, "127.0.0.1:0").replace("ready.json", "second.json")).unwrap();
    let refused = command(&second).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("another member runs on"), "{said}");
}

#[test]
fn a_wrong_configuration_is_64_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.toml");
    let good = "zone = \"locum.localhost\"\nregion = \"eu-central\"\nstate_dir = \"control-1\"\n\
                telemetry_listen = \"127.0.0.1:0\"\nmesh_listen = \"127.0.0.1:0\"\n";
    let check = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let checked = command(&path).arg("--check").output().unwrap();
        (checked.status.code(), String::from_utf8_lossy(&checked.stderr).into_owned())
    };
    assert_eq!(check(good), (Some(0), String::new()));
    let (code, said) = check(&format!("{good}mesh_lisen = \"127.0.0.1:0\"\n"));
    assert_eq!(code, Some(64));
    assert!(said.contains("unknown key `mesh_lisen` in control.toml"), "{said}");
    let (code, said) = check(&format!("{good}node = \"Not a label\"\n"));
    assert_eq!(code, Some(64));
    assert!(said.contains("key `node`"), "{said}");
    let groups = |regions: &str| format!("{good}[groups.main]\nregions = [{regions}]\n");
    assert_eq!(check(&groups("\"us-west\", \"us-east\"")).0, Some(0));
    for wrong in ["", "\"us-west\", \"us-west\""] {
        let (code, said) = check(&groups(wrong));
        assert_eq!(code, Some(64), "{wrong}");
        assert!(said.contains("key `groups`") && said.contains("`main`"), "{said}");
    }
    assert_eq!(check(&groups("\"Not a label\"")).0, Some(64));
    let (code, said) = check(&groups("\"us-west\"").replace("regions", "region"));
    assert_eq!(code, Some(64));
    assert!(said.contains("region"), "{said}");
    let (code, _) = check("zone = \"locum.localhost\"\n");
    assert_eq!(code, Some(64));
    assert!(!dir.path().join("control-1").exists(), "a check changes nothing");
}

#[test]
fn no_token_without_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.toml");
    let text = "zone = \"locum.localhost\"\nregion = \"eu-central\"\nstate_dir = \"control-1\"\n\
                telemetry_listen = \"127.0.0.1:0\"\nmesh_listen = \"127.0.0.1:0\"\n";
    std::fs::write(&path, text).unwrap();
    for role in ["edge", "control"] {
        let made = command(&path).args(["join-token", "--role", role]).output().unwrap();
        assert_eq!((made.status.code(), made.stdout.is_empty()), (Some(1), true));
    }
    assert!(!dir.path().join("control-1").exists());
}
