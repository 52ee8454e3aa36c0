//! Files that change while it runs, and what is set by command.

use std::fs;

use crate::support::command;
use crate::zone::{EAST, EUROPE, WEST, Zone};

const FROM_EUROPE: &str = "app.locum.test A +subnet=193.0.6.0/24";

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_again_when_they_change_and_bad_ones_are_not_used() {
    let zone = Zone::start("").await;
    assert_eq!(zone.short(FROM_EUROPE)[0], EUROPE);
    let write = |name: &str, text: &str| {
        let beside = zone.control.path("new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, zone.control.path(name)).unwrap();
    };

    write("round-trips.txt", "193.0.0.0/16 us-west=20 eu-central=90\n");
    zone.wait_for(FROM_EUROPE, |answer| answer == [WEST, EUROPE]).await;
    write("overrides.txt", "193.0.6.0/24 us-east # the operator knows best\n");
    zone.wait_for(FROM_EUROPE, |answer| answer == [EAST, WEST]).await;
    let told = zone.dig(FROM_EUROPE);
    assert!(told.contains("CLIENT-SUBNET: 193.0.6.0/24/24"), "{told}");

    write("overrides.txt", "193.0.6.0/24 us-east\nnonsense\n");
    let failures =
        || zone.control.get("/metrics").1.contains("locum_dns_reload_failures_total{file=\"overrides\"} 1");
    zone.wait_for("locum.test SOA", |_| failures()).await;
    assert_eq!(zone.short(FROM_EUROPE)[0], EAST, "the last good one counts");
    write("overrides.txt", "");
    write("round-trips.txt", "");
    zone.wait_for(FROM_EUROPE, |answer| answer[0] == EUROPE).await;

    write("geography.mmdb", "damaged");
    let failures =
        || zone.control.get("/metrics").1.contains("locum_dns_reload_failures_total{file=\"geography\"} 1");
    zone.wait_for("locum.test SOA", |_| failures()).await;
    assert_eq!(zone.short(FROM_EUROPE)[0], EUROPE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_authority_finds_what_was_set() {
    let zone = Zone::start("").await;
    let name = "_acme-challenge.app.locum.test";
    assert_eq!(zone.status(&format!("{name} TXT")), "NXDOMAIN");
    let run = |words: &[&str]| zone.control.run_command(&[&["dns-challenge"], words].concat());
    run(&["set", name, "gfj9Xq-Rg85nM_one"]);
    run(&["set", name, "gfj9Xq-Rg85nM_two"]);
    let both = ["\"gfj9Xq-Rg85nM_one\"", "\"gfj9Xq-Rg85nM_two\""];
    zone.wait_for(&format!("{name} TXT"), |answer| answer == both).await;
    run(&["clear", name, "gfj9Xq-Rg85nM_one"]);
    zone.wait_for(&format!("{name} TXT"), |answer| answer == [both[1]]).await;
    run(&["clear", name]);
    zone.wait_for(&format!("{name} TXT"), |answer| answer.is_empty()).await;
    assert_eq!(zone.status(&format!("{name} TXT")), "NXDOMAIN");
    let wrong = command(&zone.control.path("control.toml"))
        .args(["dns-challenge", "set", "app.locum.test", "x"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn a_wrong_configuration_is_64_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control.toml");
    let base = "zone = \"locum.test\"\nregion = \"eu-central\"\nstate_dir = \"control-1\"\n\
                telemetry_listen = \"127.0.0.1:0\"\nmesh_listen = \"127.0.0.1:0\"\n";
    let servers = "[dns.name_servers]\nns1 = [\"192.0.2.53\"]\n";
    let check = |dns: &str, below: &str| {
        fs::write(&path, format!("{base}[dns]\n{dns}\n{below}\n")).unwrap();
        let checked = command(&path).arg("--check").output().unwrap();
        (checked.status.code(), String::from_utf8_lossy(&checked.stderr).into_owned())
    };
    let listen = "listen = [\"127.0.0.1:0\"]";
    let good = check(listen, servers);
    assert_eq!(good, (Some(0), String::new()));
    fs::write(dir.path().join("overrides.txt"), "10.0.0.0/8\n").unwrap();
    for (key, dns, below) in [
        ("dns.listen", "listen = []", servers),
        ("dns.listen", "listen = [\"0.0.0.0:53\"]", servers),
        ("dns.name_servers", listen, "[dns.name_servers]\n"),
        ("dns.name_servers", listen, "[dns.name_servers]\napp = [\"192.0.2.53\"]\n"),
        ("dns.name_servers", listen, "[dns.name_servers]\nns1 = []\n"),
        ("dns.hostmaster", &format!("{listen}\nhostmaster = \"nobody\""), servers),
        ("dns.caa", &format!("{listen}\ncaa = [\"Not a name\"]"), servers),
        (
            "dns.regions",
            listen,
            &format!("{servers}[dns.regions]\nx = {{ latitude = 91.0, longitude = 0.0 }}\n"),
        ),
        ("dns.countries", listen, &format!("{servers}[dns.countries]\nGermany = [\"x\"]\n")),
        ("dns.overrides_file", &format!("{listen}\noverrides_file = \"overrides.txt\""), servers),
        ("dns.round_trips_file", &format!("{listen}\nround_trips_file = \"none.txt\""), servers),
        ("dns.geography_file", &format!("{listen}\ngeography_file = \"overrides.txt\""), servers),
        ("dns.key_file", &format!("{listen}\nkey_file = \"overrides.txt\""), servers),
        ("dns.threads", &format!("{listen}\nthreads = 0"), servers),
        ("dns.tcp_connections", &format!("{listen}\ntcp_connections = 1"), servers),
    ] {
        let (code, said) = check(dns, below);
        assert_eq!(code, Some(64), "{key}: {said}");
        assert!(said.contains(&format!("key `{key}`")), "{said}");
    }
    let (code, said) = check(&format!("{listen}\nlisten_at = 1"), servers);
    assert_eq!(code, Some(64));
    assert!(said.contains("unknown key `listen_at`"), "{said}");
    assert!(!dir.path().join("control-1").exists(), "a check changes nothing");
}
