//! A clinic is set up once, by whoever holds the network's token.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::AuthFunction;
use http::Method;
use kit::testing::{Answer, World};
use serde_json::{Value as Json, json};

const TOKEN: [(&str, &str); 1] = [("authorization", "Bearer set-up-token")];

fn document() -> Json {
    json!({
        "name": "Clinic at the lake",
        "timeZone": "Europe/Berlin",
        "practitioners": [{
            "name": "Dr Grey", "username": "grey", "password": "correct horse battery", "roles": ["doctor"],
            "hours": [{"rrule": "FREQ=WEEKLY;BYDAY=MO,TU", "start": "08:00", "end": "18:00"}]
        }],
        "staff": [{
            "name": "Fran Desk", "username": "desk", "password": "staple horse battery",
            "roles": ["front-desk"]
        }],
        "services": [{
            "name": "Consult", "durationMinutes": 30, "price": {"amount": "60.00", "currency": "EUR"}
        }]
    })
}

async fn put(world: &World, document: &Json) -> Answer {
    let client = world.client("demo");
    client.send::<AuthFunction>(Method::PUT, "/auth/clinic", Some(document.clone()), &TOKEN).await
}

async fn world() -> World {
    let world = World::new().await;
    world.set("setup_token", "set-up-token");
    world
}

#[tokio::test]
async fn the_same_document_again_changes_nothing_and_another_is_refused() {
    let world = world().await;
    let first = put(&world, &document()).await;
    assert_eq!(first.status, 201, "{}", first.body);
    assert_eq!(first.body, json!({"name": "Clinic at the lake", "timeZone": "Europe/Berlin"}));
    let people = "SELECT count(*) FROM staff_user";
    assert_eq!(world.count(people).await, 2);

    assert_eq!(put(&world, &document()).await.status, 200);
    for (pointer, value) in [("/name", "Another"), ("/staff/0/password", "another password")] {
        let mut other = document();
        *other.pointer_mut(pointer).unwrap() = json!(value);
        assert_eq!(put(&world, &other).await.refusal(), (409, "clinic-exists"), "{pointer}");
    }
    assert_eq!(world.count(people).await, 2);
    assert_eq!(world.audit_trail(), ["operator clinic-set-up"]);
}

#[tokio::test]
async fn passwords_are_stored_as_argon2id_only() {
    let world = world().await;
    put(&world, &document()).await;
    let hashed =
        "SELECT count(*) FROM staff_user WHERE password_hash LIKE '$argon2id$v=19$m=19456,t=2,p=1$%'";
    assert_eq!(world.count(hashed).await, 2);
    let file = std::fs::read(world.file()).unwrap();
    let log = std::fs::read(world.file().with_extension("db-wal")).unwrap_or_default();
    for place in [file, log] {
        assert!(!String::from_utf8_lossy(&place).contains("horse battery"));
    }
}

#[tokio::test]
async fn only_the_token_opens() {
    let world = world().await;
    let client = world.client("demo");
    for headers in [
        vec![],
        vec![("authorization", "Bearer wrong")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", "set-up-token")],
        vec![("authorization", "Basic set-up-token")],
    ] {
        let answer =
            client.send::<AuthFunction>(Method::PUT, "/auth/clinic", Some(document()), &headers).await;
        assert_eq!(answer.refusal(), (401, "sign-in-required"), "{headers:?}");
    }
    world.set("setup_token", "");
    let empty = [("authorization", "Bearer ")];
    let answer = client.send::<AuthFunction>(Method::PUT, "/auth/clinic", Some(document()), &empty).await;
    assert_eq!(answer.status, 401, "an empty token opened");
    assert_eq!(world.count("SELECT count(*) FROM clinic").await, 0);
}

#[tokio::test]
async fn what_is_wrong_is_pointed_at() {
    let world = world().await;
    let hours = |rrule: &str, start: &str, end: &str| json!([{"rrule": rrule, "start": start, "end": end}]);
    for (pointer, value, refused) in [
        ("/timeZone", json!("Mars/Olympus"), "/timeZone"),
        ("/name", json!(""), "/name"),
        ("/practitioners", json!([]), "/practitioners"),
        ("/services", json!([]), "/services"),
        ("/staff/0/username", json!("GREY"), "/staff/0/username"),
        ("/staff/0/password", json!("too short"), "/staff/0/password"),
        ("/staff/0/roles", json!(["patient"]), "/staff/0/roles"),
        ("/staff/0/roles", json!(["ops"]), "/staff/0/roles"),
        ("/staff/0/roles", json!([]), "/staff/0/roles"),
        ("/staff/0/roles", json!(["king"]), "/staff/0/roles/0"),
        ("/services/0/durationMinutes", json!(0), "/services/0/durationMinutes"),
        ("/services/0/durationMinutes", json!(-30), "/services/0/durationMinutes"),
        ("/services/0/price", json!({"amount": "60", "currency": "EUR"}), "/services/0/price"),
        ("/practitioners/0/hours", hours("FREQ=DAILY", "08:00", "18:00"), "/practitioners/0/hours/0/rrule"),
        (
            "/practitioners/0/hours",
            hours("FREQ=WEEKLY;BYDAY=MO", "18:00", "08:00"),
            "/practitioners/0/hours/0/end",
        ),
    ] {
        let mut wrong = document();
        *wrong.pointer_mut(pointer).unwrap() = value;
        let answer = put(&world, &wrong).await;
        assert_eq!(answer.refusal(), (422, "invalid-input"), "{pointer}: {}", answer.body);
        assert_eq!(answer.body["errors"][0]["pointer"], refused, "{}", answer.body);
    }
    let mut unknown = document();
    unknown["colour"] = json!("red");
    assert_eq!(put(&world, &unknown).await.body["errors"][0]["pointer"], "/colour");
    assert_eq!(world.count("SELECT count(*) FROM clinic").await, 0);
}
