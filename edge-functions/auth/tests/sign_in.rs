//! Staff sign in and out.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::{AuthFunction, password};
use kit::cookies;
use kit::params;
use kit::testing::{Answer, Client, World};
use serde_json::json;

const PASSWORD: &str = "correct horse battery";

async fn world() -> World {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let hash = password::hash(PASSWORD).unwrap();
    let sql = "UPDATE staff_user SET username = 'grey', name = 'Dr Grey', password_hash = ? WHERE id = ?";
    world.run(sql, params![hash, seeded.doctor]).await;
    // The password alone; what comes after it has tests of its own.
    world.run("UPDATE clinic SET second_factor = 'privileged'", vec![]).await;
    world.run("UPDATE staff_role SET role = 'nurse'", vec![]).await;
    world
}

async fn sign_in(client: &Client<'_>, username: &str, password: &str) -> Answer {
    client.post::<AuthFunction>("/auth/sessions", json!({"username": username, "password": password})).await
}

#[tokio::test]
async fn the_right_password_opens_a_session_that_can_be_closed() {
    let world = world().await;
    let client = world.client("demo");
    let answer = sign_in(&client, "Grey", PASSWORD).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.body["user"]["name"], "Dr Grey");
    assert_eq!(answer.body["user"]["roles"], json!(["nurse"]));
    let cookie = answer.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("locum_session="), "{cookie}");
    assert!(
        cookie.ends_with("; Domain=locum.test; Path=/c/demo/; HttpOnly; SameSite=Lax; Secure"),
        "{cookie}"
    );

    let session = client.get::<AuthFunction>("/auth/session").await;
    assert_eq!(session.body["user"], answer.body["user"]);
    assert_eq!(session.body["clinic"], json!({"name": "Test clinic", "timeZone": "Europe/Berlin"}));

    let kept = client.cookie(cookies::STAFF).unwrap();
    assert_eq!(
        client.send::<AuthFunction>(http::Method::DELETE, "/auth/session", None, &[]).await.status,
        204
    );
    assert_eq!(client.cookie(cookies::STAFF), None);
    client.set_cookie(cookies::STAFF, &kept);
    assert_eq!(client.get::<AuthFunction>("/auth/session").await.status, 401, "the old cookie still works");
    assert_eq!(world.audit_trail(), ["anonymous sign-in", "staff sign-out"]);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_look_the_same() {
    let world = world().await;
    let client = world.client("demo");
    let wrong = sign_in(&client, "grey", "correct horse batteri").await;
    let unknown = sign_in(&client, "nobody", PASSWORD).await;
    assert_eq!(wrong.refusal(), (401, "bad-credentials"));
    assert_eq!(wrong.body, unknown.body);
    assert_eq!(wrong.headers, unknown.headers);
    assert_eq!(client.cookie(cookies::STAFF), None);
    assert_eq!(world.count("SELECT count(*) FROM session").await, 0);
    assert_eq!(world.audit_trail(), ["anonymous sign-in-failed", "anonymous sign-in-failed"]);
    // Which account was tried is known to the auditor, a name that is none is not kept: it may be a password.
    let tried = world.audit_events().into_iter().filter(|event| event.get("entity").is_some());
    assert_eq!(tried.count(), 1);
}

#[tokio::test]
async fn an_account_is_of_one_clinic() {
    let world = world().await;
    world.seed("other", "Europe/Berlin").await;
    let answer = sign_in(&world.client("other"), "grey", PASSWORD).await;
    assert_eq!(answer.refusal(), (401, "bad-credentials"));
}

#[tokio::test]
async fn the_session_is_stored_as_a_hash() {
    let world = world().await;
    let client = world.client("demo");
    sign_in(&client, "grey", PASSWORD).await;
    let cookie = client.cookie(cookies::STAFF).unwrap();
    let secret = cookie.split('.').next().unwrap();
    assert_eq!(secret.len(), 43, "not 256 bit");
    let file = std::fs::read(world.file()).unwrap();
    let log = std::fs::read(world.file().with_extension("db-wal")).unwrap_or_default();
    for place in [file, log] {
        assert!(!String::from_utf8_lossy(&place).contains(secret));
    }
}

#[tokio::test]
async fn input_is_bounded() {
    let world = world().await;
    let client = world.client("demo");
    for body in [
        json!({"username": "grey"}),
        json!({"username": "grey", "password": "x".repeat(257)}),
        json!({"username": "x".repeat(65), "password": "x"}),
        json!({"username": "grey", "password": PASSWORD, "remember": true}),
        json!([]),
    ] {
        assert_eq!(client.post::<AuthFunction>("/auth/sessions", body).await.status, 422);
    }
}
