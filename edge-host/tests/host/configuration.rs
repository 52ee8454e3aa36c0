//! Wrong configuration ends with exit code 64 and names the key.

use std::process::Command;

use crate::harness::{Settings, edit, refused, write_files};

fn wrong(file: &str, from: &str, to: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), &Settings::default());
    edit(folder.path(), file, from, to);
    let (code, log) = refused(folder.path());
    assert_eq!(code, Some(64), "{log}");
    assert!(!folder.path().join("state").exists(), "nothing was touched");
    log
}

#[test]
fn unknown_keys_are_named() {
    assert!(
        wrong("edge.toml", "http_listen", "http_lisen").contains("unknown key `http_lisen` in edge.toml")
    );
    assert!(wrong("edge.toml", "[limits]", "[limits]\nmemroy_mib = 1").contains("unknown key `memroy_mib`"));
    assert!(
        wrong("spin.toml", "sqlite_databases", "sqlite_database")
            .contains("unknown key `sqlite_database` in spin.toml")
    );
    assert!(wrong("spin.toml", "pages = ", "pagse = ").contains("unknown key `pagse` in spin.toml"));
}

#[test]
fn values_that_cannot_be_are_named_but_not_quoted() {
    let log = wrong("edge.toml", "[limits]", "[limits]\nmemory_mib = 4096");
    assert!(log.contains("`memory_mib` is between 1 and 128"), "{log}");
    let log = wrong("edge.toml", "setup_token", "setup_tokne");
    assert!(log.contains("`setup_tokne` is not declared") && !log.contains("planted-setup-token"), "{log}");
    let log = wrong("edge.toml", "setup_token = \"planted-setup-token\"", "");
    assert!(log.contains("`setup_token` is required"), "{log}");
    let log = wrong("edge.toml", "demo = \"main\"", "demo = \"../main\"");
    assert!(log.contains("1 to 63 of a-z"), "{log}");
}

#[test]
fn wrong_keys_of_backups_are_named() {
    let with = |more: &str| {
        wrong("edge.toml", "[clinics]", &format!("[backup]\nto = \"b\"\nkey_file = \"k\"\n{more}\n[clinics]"))
    };
    assert!(with("evry = \"24h\"").contains("unknown key `evry`"));
    assert!(with("every = \"daily\"").contains("key `backup.every`"));
    assert!(with("segments = \"1d\"").contains("key `backup.segments`"));
    assert!(with("keyring = \"https://there\"").contains("key `backup.keyring`"));
}

#[test]
fn lists_that_are_none_are_named() {
    for key in ["geography_file", "breached_passwords_file"] {
        for file in ["no-such-file", "spin.toml"] {
            let log = wrong("edge.toml", "zone =", &format!("{key} = \"{file}\"\nzone ="));
            assert!(log.contains(&format!("key `{key}`")), "{log}");
        }
    }
}

#[test]
fn a_host_of_a_network_can_be_called() {
    let control = "[clinics]";
    let with = |mesh: &str| format!("{mesh}\n[control]\naddress = \"127.0.0.1:4443\"\n[clinics]");
    assert!(wrong("edge.toml", control, &with("")).contains("key `mesh_listen`"));
    let anywhere = wrong("edge.toml", control, &with("mesh_listen = \"0.0.0.0:4443\""));
    assert!(anywhere.contains("key `mesh_announce_ips`"), "{anywhere}");
    let alone = wrong("edge.toml", control, "mesh_listen = \"127.0.0.1:4443\"\n[clinics]");
    assert!(alone.contains("key `mesh_listen`"), "{alone}");
}

#[test]
fn check_says_so_and_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write_files(folder.path(), &Settings::default());
    let check = || {
        let config = folder.path().join("edge.toml");
        Command::new(env!("CARGO_BIN_EXE_locum-edge"))
            .arg("--config")
            .arg(config)
            .arg("--check")
            .output()
            .unwrap()
    };
    assert_eq!(check().status.code(), Some(0));
    edit(folder.path(), "edge.toml", "zone =", "zoen =");
    let output = check();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown key `zoen`"));
    assert!(!folder.path().join("state").exists());
}
