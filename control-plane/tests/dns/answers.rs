//! Who is answered what: by continent, by health.

use std::time::Duration;

use locum_cluster::NodeState;
use tokio::time::Instant;

use crate::zone::{EAST, EUROPE, WEST, Zone};

/// The scope in a client subnet's echo, as in `; CLIENT-SUBNET: 193.0.6.0/24/16`.
fn scope(told: &str, subnet: &str) -> u8 {
    let echo = told.split_once("; CLIENT-SUBNET: ").unwrap_or_else(|| panic!("{told}")).1;
    let scope = echo.lines().next().unwrap().strip_prefix(subnet).unwrap_or_else(|| panic!("{told}"));
    scope.trim_start_matches('/').parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_four_continents_are_sent_to_the_nearest_region() {
    let zone = Zone::start("").await;
    for (who, subnet, nearest) in [
        ("RIPE NCC, Amsterdam", "193.0.6.0/24", EUROPE),
        ("a university, Stuttgart", "129.69.0.0/16", EUROPE),
        ("MIT, Cambridge", "18.9.22.0/24", EAST),
        ("NIC.br, São Paulo", "200.160.0.0/20", EAST),
        ("WIDE, Tokyo", "203.178.128.0/17", WEST),
        ("a university, Sydney", "129.78.0.0/16", WEST),
        ("a university, Cape Town", "137.158.0.0/16", EUROPE),
        ("RIPE NCC, by IPv6", "2001:67c:2e8::/48", EUROPE),
    ] {
        let told = zone.dig(&format!("app.locum.test A +subnet={subnet}"));
        let answers: Vec<&str> = told.lines().filter(|line| line.contains("\tIN\tA\t")).collect();
        assert_eq!(answers.len(), 2, "nearest and next for {who}: {told}");
        assert!(answers[0].ends_with(nearest), "{who}: {told}");
        let scope = scope(&told, subnet);
        assert!(scope > 0, "{who}: {told}");
        // The scope is true: its last address is answered like its first.
        assert_eq!(zone.short(&format!("app.locum.test A +subnet={subnet}"))[0], nearest);
    }
    let told = zone.dig("eu-central.locum.test A +subnet=193.0.6.0/24");
    assert_eq!(scope(&told, "193.0.6.0/24"), 0, "the same for everybody");
    let told = zone.dig("app.locum.test A +subnet=0.0.0.0/0");
    assert_eq!(scope(&told, "0.0.0.0/0"), 0, "the resolver does not say");
    assert!(!zone.control.log().contains("193.0.6"), "no address of a client is ever logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_is_answered_within_a_second_and_kept_for_ten() {
    let mut zone = Zone::start("").await;
    let from_europe = "app.locum.test A +subnet=193.0.6.0/24";
    assert_eq!(zone.short(from_europe)[0], EUROPE);
    let draining =
        zone.nodes.iter().position(|node| node.agent.node_id().as_str() == "edge-eu-central").unwrap();
    zone.nodes[draining].agent.set_draining();
    zone.nodes[0].sees("edge-eu-central", NodeState::Draining).await;
    let verdict = Instant::now();
    zone.wait_for(from_europe, |answer| answer == [EAST, WEST]).await;
    assert!(verdict.elapsed() < Duration::from_secs(1), "{:?}", verdict.elapsed());
    let ttl = |words: &str| {
        let told = zone.dig(words);
        told.lines()
            .find(|line| line.contains("\tIN\tA\t"))
            .map(|line| line.split('\t').filter(|word| !word.is_empty()).nth(1).unwrap().to_owned())
    };
    assert_eq!(ttl(from_europe).as_deref(), Some("10"));
    assert_eq!(zone.short("eu-central.locum.test A"), [EUROPE], "it drains, and serves who is there");

    // It dies: its own name leads to the next region, and is never no name.
    zone.nodes.remove(draining);
    zone.nodes[0].sees("edge-eu-central", NodeState::Down).await;
    let verdict = Instant::now();
    zone.wait_for("eu-central.locum.test A", |answer| answer == [EAST, WEST]).await;
    assert!(verdict.elapsed() < Duration::from_secs(1), "{:?}", verdict.elapsed());
    assert_eq!(zone.status("eu-central.locum.test AAAA"), "NOERROR");

    // All die, and the member restarts knowing only its last list: all are answered rather than none.
    zone.nodes.clear();
    zone.control.kill();
    zone.control.run().await;
    zone.wait_for(from_europe, |answer| answer.len() == 2).await;
    let all = ["us-west.locum.test A", "us-east.locum.test A", "eu-central.locum.test A"];
    zone.wait_for(all[2], |answer| answer == [EUROPE]).await;
    assert_eq!(all.map(|name| zone.short(name).concat()), [WEST, EAST, EUROPE]);
}
