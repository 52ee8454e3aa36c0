//! What comes after the password: passkeys, an authenticator app, recovery codes.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::{AuthFunction, password};
use http::Method;
use jiff::SignedDuration;
use kit::cookies;
use kit::params;
use kit::testing::{Answer, Client, World};
use locum_passkey::Passkey;
use serde_json::{Value as Json, json};
use totp_rs::{Algorithm, Builder, Secret, Totp};

const PASSWORD: &str = "correct horse battery";
const ORIGIN: &str = "https://app.locum.test";

async fn world() -> World {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let hash = password::hash(PASSWORD).unwrap();
    let sql = "UPDATE staff_user SET username = 'grey', name = 'Dr Grey', password_hash = ? WHERE id = ?";
    world.run(sql, params![hash, seeded.doctor]).await;
    world
}

async fn post(client: &Client<'_>, path: &str, body: Json) -> Answer {
    client.post::<AuthFunction>(path, body).await
}

async fn give_password(client: &Client<'_>) -> Answer {
    post(client, "/auth/sessions", json!({"username": "grey", "password": PASSWORD})).await
}

async fn is_in(client: &Client<'_>) -> bool {
    client.get::<AuthFunction>("/auth/session").await.status == 200
}

fn app(secret: &str) -> Totp {
    let secret = Secret::try_from_base32(secret).unwrap();
    Builder::new().with_algorithm(Algorithm::SHA1).with_secret(secret).with_account_name("x").build().unwrap()
}

fn code(world: &World, app: &Totp, steps: i64) -> String {
    app.generate(u64::try_from(world.now().as_second() + steps * 30).unwrap()).to_string()
}

/// Enrols an app at the first sign-in: the app and the recovery codes.
async fn enrol_app(world: &World, client: &Client<'_>) -> (Totp, Vec<String>) {
    assert_eq!(give_password(client).await.body["next"], "enrolment");
    let made = post(client, "/auth/totp", json!({})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let app = app(&made.text("/secret"));
    let confirmed = post(client, "/auth/totp/confirm", json!({"code": code(world, &app, 0)})).await;
    assert_eq!(confirmed.status, 201, "{}", confirmed.body);
    let codes = confirmed.body["recoveryCodes"].as_array().unwrap();
    (app, codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect())
}

async fn enrol_passkey(client: &Client<'_>) -> (Passkey, Answer) {
    let passkey = Passkey::generate().unwrap();
    let options = post(client, "/auth/passkeys/options", json!({})).await;
    assert_eq!(options.status, 201, "{}", options.body);
    let credential = passkey.create(&options.body, ORIGIN).unwrap();
    let kept = post(client, "/auth/passkeys", json!({"name": "Phone", "credential": credential})).await;
    (passkey, kept)
}

#[tokio::test]
async fn who_has_no_second_factor_gets_to_enrolment_and_no_further() {
    let world = world().await;
    let client = world.client("demo");
    let answer = give_password(&client).await;
    assert_eq!((answer.status, &answer.body["next"]), (201, &json!("enrolment")));
    assert_eq!(answer.body.get("factors"), None);
    assert_eq!(client.cookie(cookies::STAFF), None);
    assert!(!is_in(&client).await);
    for (method, path) in [
        (Method::GET, "/auth/sessions"),
        (Method::GET, "/auth/staff"),
        (Method::DELETE, "/auth/totp"),
        (Method::POST, "/auth/recovery-codes"),
    ] {
        let answer = client.send::<AuthFunction>(method.clone(), path, None, &[]).await;
        assert_eq!(answer.refusal(), (401, "sign-in-required"), "{method} {path}");
    }
    // It owes no second factor that it could give.
    assert_eq!(post(&client, "/auth/second-factor", json!({"totp": "000000"})).await.status, 401);
    world.advance(SignedDuration::from_mins(10));
    assert_eq!(post(&client, "/auth/totp", json!({})).await.status, 401, "after ten minutes");
}

#[tokio::test]
async fn an_app_is_enrolled_and_its_codes_work_once() {
    let world = world().await;
    let client = world.client("demo");
    let (app, codes) = enrol_app(&world, &client).await;
    assert!(is_in(&client).await, "enrolling completed the sign-in");
    assert_eq!((codes.len(), client.cookie(cookies::SIGN_IN)), (10, None));

    let other = world.client("demo");
    let begun = give_password(&other).await;
    assert_eq!(begun.body["next"], "second-factor");
    assert_eq!(begun.body["factors"], json!(["totp", "recovery-code", "approval"]));
    assert!(!is_in(&other).await);
    // The code that enrolled is used.
    let replayed = post(&other, "/auth/second-factor", json!({"totp": code(&world, &app, 0)})).await;
    assert_eq!(replayed.refusal(), (401, "wrong-second-factor"));
    for steps in [-2, 2] {
        let answer = post(&other, "/auth/second-factor", json!({"totp": code(&world, &app, steps)})).await;
        assert_eq!(answer.status, 401, "{steps} steps away");
    }
    let next = code(&world, &app, 1);
    assert_eq!(post(&other, "/auth/second-factor", json!({"totp": next})).await.status, 201);
    assert!(is_in(&other).await);

    let third = world.client("demo");
    give_password(&third).await;
    assert_eq!(post(&third, "/auth/second-factor", json!({"totp": next})).await.status, 401, "used twice");
    let trail = world.audit_trail();
    assert!(trail.contains(&"signing-in factor-added".to_owned()), "{trail:?}");
    assert_eq!(trail.iter().filter(|line| line.ends_with(" sign-in-failed")).count(), 4, "{trail:?}");
}

#[tokio::test]
async fn a_secret_counts_once_a_code_was_right() {
    let world = world().await;
    let client = world.client("demo");
    give_password(&client).await;
    let made = post(&client, "/auth/totp", json!({})).await;
    assert!(made.text("/uri").starts_with("otpauth://totp/Test%20clinic:grey?secret="), "{}", made.body);
    let wrong = post(&client, "/auth/totp/confirm", json!({"code": "000 000"})).await;
    assert_eq!(wrong.refusal(), (422, "wrong-code"));
    assert_eq!(give_password(&world.client("demo")).await.body["next"], "enrolment");
    let file = std::fs::read(world.file()).unwrap();
    assert!(!String::from_utf8_lossy(&file).contains(&made.text("/secret")));
}

#[tokio::test]
async fn a_recovery_code_works_once() {
    let world = world().await;
    let (_, codes) = enrol_app(&world, &world.client("demo")).await;
    let give = async |code: &str| {
        let client = world.client("demo");
        give_password(&client).await;
        (post(&client, "/auth/second-factor", json!({"recoveryCode": code})).await, is_in(&client).await)
    };
    let (answer, is_in) = give(&codes[0].to_uppercase().replace('-', " ")).await;
    assert_eq!((answer.status, is_in), (201, true), "{}", answer.body);
    let (answer, is_in) = give(&codes[0]).await;
    assert_eq!((answer.refusal(), is_in), ((401, "wrong-second-factor"), false));
    let file = std::fs::read(world.file()).unwrap();
    let log = std::fs::read(world.file().with_extension("db-wal")).unwrap_or_default();
    for place in [file, log] {
        let place = String::from_utf8_lossy(&place);
        assert!(!place.contains(&codes[1]) && !place.contains(&codes[1].replace('-', "")));
    }
}

#[tokio::test]
async fn a_passkey_signs_in_and_answers_only_what_it_was_asked() {
    let world = world().await;
    let client = world.client("demo");
    give_password(&client).await;
    let (passkey, kept) = enrol_passkey(&client).await;
    assert_eq!((kept.status, &kept.body["name"]), (201, &json!("Phone")), "{}", kept.body);
    assert_eq!(kept.body["recoveryCodes"].as_array().unwrap().len(), 10);
    assert!(is_in(&client).await);

    let other = world.client("demo");
    assert_eq!(give_password(&other).await.body["factors"], json!(["passkey", "recovery-code", "approval"]));
    let give = async |client: &Client<'_>, credential: &Json| {
        post(client, "/auth/second-factor", json!({"passkey": credential})).await
    };
    let question = post(&other, "/auth/second-factor/passkey", json!({})).await;
    let answer = passkey.get(&question.body, ORIGIN).unwrap();
    assert_eq!(give(&world.client("demo"), &answer).await.status, 401, "without the password");
    let third = world.client("demo");
    give_password(&third).await;
    assert_eq!(give(&third, &answer).await.refusal(), (409, "passkey-not-asked"), "another sign-in's answer");
    post(&third, "/auth/second-factor/passkey", json!({})).await;
    assert_eq!(give(&third, &answer).await.refusal(), (401, "wrong-second-factor"), "another's question");
    assert_eq!(give(&other, &answer).await.status, 201);
    assert!(is_in(&other).await && !is_in(&third).await);
}

#[tokio::test]
async fn a_passkey_of_another_page_or_person_opens_nothing() {
    let world = world().await;
    let client = world.client("demo");
    give_password(&client).await;
    let (passkey, _) = enrol_passkey(&client).await;
    let strange = Passkey::generate().unwrap();
    for (name, key, origin) in [
        ("page", &passkey, "https://app.locum.example"),
        ("plain page", &passkey, "http://app.locum.test"),
        ("key", &strange, ORIGIN),
    ] {
        let other = world.client("demo");
        give_password(&other).await;
        let question = post(&other, "/auth/second-factor/passkey", json!({})).await;
        let mut answer = key.get(&question.body, origin).unwrap();
        if name == "key" {
            // Another key that says it is this one.
            let id = passkey.get(&question.body, ORIGIN).unwrap()["id"].clone();
            answer["id"] = id.clone();
            answer["rawId"] = id;
        }
        let answer = post(&other, "/auth/second-factor", json!({"passkey": answer})).await;
        assert_eq!(answer.refusal(), (401, "wrong-second-factor"), "{name}");
    }
}

#[tokio::test]
async fn the_last_factor_stays() {
    let world = world().await;
    let client = world.client("demo");
    enrol_app(&world, &client).await;
    let delete = async |path: &str| client.send::<AuthFunction>(Method::DELETE, path, None, &[]).await;
    assert_eq!(delete("/auth/totp").await.refusal(), (409, "last-factor"));
    let (_, kept) = enrol_passkey(&client).await;
    assert_eq!(kept.body.get("recoveryCodes"), None, "the codes there are stay");
    assert_eq!(delete("/auth/totp").await.status, 204);
    let passkey = format!("/auth/passkeys/{}", kept.text("/id"));
    assert_eq!(delete(&passkey).await.refusal(), (409, "last-factor"));
    assert_eq!(enrol_passkey(&client).await.1.status, 201);
    assert_eq!(delete(&passkey).await.status, 204);
    let gone = delete(&passkey).await;
    assert_eq!(gone.refusal(), (404, "not-found"), "gone is said before that it would be the last");
    let left = client.get::<AuthFunction>("/auth/factors").await;
    assert_eq!(left.body["passkeys"].as_array().unwrap().len(), 1);
    assert_eq!((&left.body["recoveryCodesLeft"], &left.body["required"]), (&json!(10), &json!(true)));
}

#[tokio::test]
async fn new_recovery_codes_end_the_old_ones() {
    let world = world().await;
    let client = world.client("demo");
    let (_, codes) = enrol_app(&world, &client).await;
    let new = post(&client, "/auth/recovery-codes", json!({})).await;
    assert_eq!(new.body["recoveryCodes"].as_array().unwrap().len(), 10);
    let other = world.client("demo");
    give_password(&other).await;
    let old = post(&other, "/auth/second-factor", json!({"recoveryCode": codes[0]})).await;
    assert_eq!(old.status, 401);
    let new =
        post(&other, "/auth/second-factor", json!({"recoveryCode": new.text("/recoveryCodes/3")})).await;
    assert_eq!(new.status, 201);
}

#[tokio::test]
async fn a_clinic_may_excuse_those_who_neither_prescribe_nor_administer() {
    let world = world().await;
    world.run("UPDATE clinic SET second_factor = 'privileged'", vec![]).await;
    assert_eq!(give_password(&world.client("demo")).await.body["next"], "enrolment", "a doctor");
    world.run("UPDATE staff_role SET role = 'front-desk'", vec![]).await;
    let client = world.client("demo");
    let answer = give_password(&client).await;
    assert_eq!((answer.status, answer.body.get("next")), (201, None));
    assert!(is_in(&client).await);
    // Who has one is asked for it all the same.
    enrol_passkey(&client).await;
    assert_eq!(give_password(&world.client("demo")).await.body["next"], "second-factor");
}
