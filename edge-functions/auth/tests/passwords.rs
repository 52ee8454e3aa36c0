//! What a clinic may ask of passwords beyond their length: none of the last ones, and, if it insists, age and kinds.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::{AuthFunction, password};
use http::Method;
use jiff::SignedDuration;
use kit::params;
use kit::testing::{Answer, World};
use serde_json::json;

const FIRST: &str = "correct horse battery";

async fn world() -> World {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let hash = password::hash(FIRST).unwrap();
    world.run("UPDATE staff_user SET username = 'grey', password_hash = ?", params![hash]).await;
    world.run("UPDATE clinic SET second_factor = 'privileged'", vec![]).await;
    world.run("UPDATE staff_role SET role = 'nurse' WHERE user = ?", params![seeded.doctor]).await;
    world
}

async fn sign_in(world: &World, password: &str, new: Option<&str>) -> Answer {
    let mut body = json!({"username": "grey", "password": password});
    if let Some(new) = new {
        body["newPassword"] = json!(new);
    }
    world.client("demo").post::<AuthFunction>("/auth/sessions", body).await
}

async fn change(world: &World, from: &str, to: &str) -> Answer {
    world.advance(SignedDuration::from_secs(1));
    let client = world.client("demo");
    let body = json!({"username": "grey", "password": from});
    assert_eq!(client.post::<AuthFunction>("/auth/sessions", body).await.status, 201);
    let body = json!({"current": from, "new": to});
    client.send::<AuthFunction>(Method::PUT, "/auth/password", Some(body), &[]).await
}

#[tokio::test]
async fn none_of_the_last_passwords_is_taken_again() {
    let world = world().await;
    world.run("UPDATE clinic SET password_history = 2", vec![]).await;
    let (second, third) = ("tulips over Oslo tonight", "greyhounds at dawn, again");
    assert_eq!(change(&world, FIRST, FIRST).await.status, 422, "the present one");
    assert_eq!(change(&world, FIRST, second).await.status, 204);
    let again = change(&world, second, FIRST).await;
    assert_eq!(again.body["errors"][0]["detail"], "is one of your last passwords");
    assert_eq!(change(&world, second, third).await.status, 204);
    assert_eq!(change(&world, third, FIRST).await.status, 204, "two are remembered");
    world.run("UPDATE clinic SET password_history = 0", vec![]).await;
    assert_eq!(change(&world, FIRST, third).await.status, 204);
}

#[tokio::test]
async fn a_clinic_that_insists_has_passwords_grow_old() {
    let world = world().await;
    world.advance(SignedDuration::from_hours(24 * 1_000));
    assert_eq!(sign_in(&world, FIRST, None).await.status, 201, "off by default");
    world.run("UPDATE clinic SET password_max_days = 30", vec![]).await;
    assert_eq!(sign_in(&world, FIRST, None).await.refusal(), (403, "password-expired"));
    assert_eq!(sign_in(&world, "wrong", Some("tulips over Oslo tonight")).await.status, 401);
    assert_eq!(sign_in(&world, FIRST, Some(FIRST)).await.status, 422);
    assert_eq!(sign_in(&world, FIRST, Some("tulips over Oslo tonight")).await.status, 201);
    assert_eq!(sign_in(&world, FIRST, None).await.status, 401);
    // A new one is not taken from somebody whose password is young.
    let answer = sign_in(&world, "tulips over Oslo tonight", Some("greyhounds at dawn, again")).await;
    assert_eq!(answer.status, 201);
    assert_eq!(sign_in(&world, "greyhounds at dawn, again", None).await.status, 401);
    world.advance(SignedDuration::from_hours(24 * 30));
    assert_eq!(sign_in(&world, "tulips over Oslo tonight", None).await.problem(), "password-expired");
}

#[tokio::test]
async fn a_clinic_that_insists_wants_several_kinds_of_characters() {
    let world = world().await;
    world.run("UPDATE clinic SET password_composition = 1", vec![]).await;
    assert_eq!(change(&world, FIRST, "tulips over oslo tonight").await.status, 422);
    assert_eq!(change(&world, FIRST, "Tulips over oslo tonight").await.status, 204);
}

#[tokio::test]
async fn a_password_of_the_operators_list_is_refused() {
    let world = world().await;
    // SHA-1 of `tulips over oslo tonight`, as `sha1sum` prints it.
    world.set_breached(&["07251EAF50A652469D37E6BD6B0B3A9EFFB6DDDE"]);
    let refused = change(&world, FIRST, "tulips over oslo tonight").await;
    assert_eq!(refused.body["errors"][0]["detail"], "is known from a breach");
    assert_eq!(change(&world, FIRST, "Tulips over oslo tonight").await.status, 204);
}
