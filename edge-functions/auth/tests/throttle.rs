//! Wrong attempts from one address.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::{AuthFunction, throttle};
use kit::params;
use kit::testing::{Answer, Client, World};
use serde_json::json;

/// Opens a link that is none: as wrong as a wrong password, and quicker.
async fn guess(client: &Client<'_>) -> Answer {
    client.post::<AuthFunction>("/auth/visit-sessions", json!({"token": "AAAAAAAAAAAAAAAAAAAAAA"})).await
}

async fn sign_in(client: &Client<'_>) -> Answer {
    let body = json!({"username": "nobody", "password": "correct horse battery"});
    client.post::<AuthFunction>("/auth/sessions", body).await
}

async fn clinic() -> World {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    world
}

#[tokio::test]
async fn one_address_is_blocked_whatever_it_tries_and_others_are_not() {
    let world = clinic().await;
    let (here, there) = (world.client("demo"), world.client("demo"));
    here.at("192.0.2.1:4711");
    there.at("192.0.2.2:4711");
    for n in 1..=throttle::FREE {
        assert_eq!(guess(&here).await.refusal(), (404, "unknown-link"), "{n}");
    }
    for answer in [guess(&here).await, sign_in(&here).await] {
        assert_eq!(answer.refusal(), (429, "too-many-attempts"));
        assert_eq!(answer.headers["retry-after"], "900");
    }
    assert_eq!(sign_in(&there).await.status, 401);
    let blocked = world.audit_trail().into_iter().filter(|line| line.ends_with("address-blocked")).count();
    assert_eq!(blocked, 1);
    world.advance(throttle::BLOCKED);
    assert_eq!(sign_in(&here).await.status, 401);
}

#[tokio::test]
async fn a_household_counts_as_one_address_of_ipv6() {
    let world = clinic().await;
    for n in 0..throttle::FREE {
        let client = world.client("demo");
        client.at(&format!("[2001:db8:1:2::{n:x}]:443"));
        assert_eq!(guess(&client).await.status, 404, "{n}");
    }
    let client = world.client("demo");
    for (address, status) in
        [("[2001:db8:1:2:ffff::1]:1", 429), ("[2001:db8:1:3::1]:1", 404), ("[::ffff:192.0.2.9]:1", 404)]
    {
        client.at(address);
        assert_eq!(guess(&client).await.status, status, "{address}");
    }
    client.at("192.0.2.9:1");
    guess(&client).await;
    let of = "SELECT failures FROM address_failure WHERE network = '192.0.2.9'";
    assert_eq!(world.count(of).await, 2, "an address written as IPv6 is another one");
}

#[tokio::test]
async fn what_is_long_ago_is_forgotten_and_there_is_room_for_so_many_only() {
    let world = clinic().await;
    let client = world.client("demo");
    client.at("192.0.2.1:1");
    guess(&client).await;
    world.advance(throttle::WINDOW);
    client.at("192.0.2.2:1");
    guess(&client).await;
    assert_eq!(world.count("SELECT count(*) FROM address_failure").await, 1);

    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
               INSERT INTO address_failure (clinic, network, failures, since) SELECT 'demo', 'x' || i, i, ?2 FROM n";
    world.run(sql, params![throttle::MOST, world.now()]).await;
    guess(&client).await;
    assert_eq!(world.count("SELECT count(*) FROM address_failure").await, throttle::MOST);
    let kept = world.count("SELECT count(*) FROM address_failure WHERE network = 'x4096'").await;
    assert_eq!(kept, 1, "who failed most was forgotten first");
}
