//! Who is signed in shows once more who they are: for what asks for that, from another country, and for a new device.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::{AuthFunction, approval, password};
use http::Method;
use jiff::SignedDuration;
use kit::params;
use kit::policy::{self, Access, Condition, Role};
use kit::sessions::FRESH;
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

fn code(world: &World, app: &Totp) -> String {
    app.generate(u64::try_from(world.now().as_second()).unwrap()).to_string()
}

/// Signed in, with an app.
async fn signed_in<'w>(world: &'w World, country: Option<&str>) -> (Client<'w>, Totp) {
    let client = world.client("demo");
    if let Some(country) = country {
        client.go_to(country);
    }
    give_password(&client).await;
    let secret = post(&client, "/auth/totp", json!({})).await.text("/secret");
    let secret = Secret::try_from_base32(secret).unwrap();
    let app = Builder::new().with_algorithm(Algorithm::SHA1).with_secret(secret).with_account_name("x");
    let app = app.build().unwrap();
    let confirmed = post(&client, "/auth/totp/confirm", json!({"code": code(world, &app)})).await;
    assert_eq!(confirmed.status, 201, "{}", confirmed.body);
    world.advance(SignedDuration::from_secs(30));
    (client, app)
}

fn events(world: &World, code: &str) -> usize {
    world.audit_trail().iter().filter(|line| line.ends_with(code)).count()
}

/// Generated: whatever the table says.
#[tokio::test]
async fn ten_minutes_after_the_last_proof_what_asks_for_one_is_refused_and_nothing_else() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    let client = world.client("demo");
    client.sign_in_as(Role::ClinicAdmin).await;
    world.advance(FRESH);
    let mut fresh = 0;
    for entry in policy::table() {
        let may = match entry.access {
            Access::Roles(roles) => roles.contains(&Role::ClinicAdmin),
            Access::SigningIn => true,
            Access::Anyone | Access::Node => false,
        };
        if entry.component != "auth" || !may || entry.name == "DeleteSession" {
            continue;
        }
        let path = entry.path.replace("{id}", "00000000-0000-7000-8000-000000000000");
        let body = matches!(entry.method, Method::POST | Method::PUT).then(|| json!({}));
        let answer = client.send::<AuthFunction>(entry.method.clone(), &path, body, &[]).await;
        let wanted = entry.condition == Condition::Fresh;
        fresh += usize::from(wanted);
        assert_eq!(
            answer.refusal() == (403, "proof-required"),
            wanted,
            "{} {path}: {}",
            entry.method,
            answer.body
        );
    }
    assert!(fresh > 10, "only {fresh}");
}

#[tokio::test]
async fn a_code_or_a_passkey_is_a_proof_and_wrong_ones_lock() {
    let world = world().await;
    let (client, app) = signed_in(&world, None).await;
    let renew = async || post(&client, "/auth/recovery-codes", json!({})).await;
    assert_eq!(renew().await.status, 201);
    world.advance(FRESH);
    assert_eq!(renew().await.problem(), "proof-required");
    // Who has a second factor shows that one; the password is not enough.
    for wrong in [json!({"password": PASSWORD}), json!({"totp": "000000"})] {
        assert_eq!(
            post(&client, "/auth/proof", wrong.clone()).await.refusal(),
            (403, "wrong-proof"),
            "{wrong}"
        );
    }
    let right = json!({"totp": code(&world, &app)});
    assert_eq!(post(&client, "/auth/proof", right.clone()).await.status, 204);
    assert_eq!(renew().await.status, 201);
    world.advance(FRESH);
    assert_eq!(post(&client, "/auth/proof", right).await.problem(), "wrong-proof", "a code works twice");
    post(&client, "/auth/proof", json!({"totp": code(&world, &app)})).await;

    let passkey = Passkey::generate().unwrap();
    let options = post(&client, "/auth/passkeys/options", json!({})).await;
    let credential = passkey.create(&options.body, ORIGIN).unwrap();
    assert_eq!(
        post(&client, "/auth/passkeys", json!({"name": "Key", "credential": credential})).await.status,
        201
    );
    world.advance(FRESH);
    let asked = post(&client, "/auth/proof/passkey", json!({})).await;
    let answer = json!({"passkey": passkey.get(&asked.body, ORIGIN).unwrap()});
    assert_eq!(post(&client, "/auth/proof", answer.clone()).await.status, 204);
    assert_eq!(post(&client, "/auth/proof", answer).await.refusal(), (409, "passkey-not-asked"));
    assert_eq!((renew().await.status, events(&world, "proof-given")), (201, 3));
    for _ in 0..10 {
        post(&client, "/auth/proof", json!({"totp": "000000"})).await;
    }
    assert_eq!(post(&client, "/auth/proof", json!({"totp": "000000"})).await.status, 429);
}

#[tokio::test]
async fn who_has_no_second_factor_shows_the_password() {
    let world = world().await;
    world.run("UPDATE clinic SET second_factor = 'privileged'", vec![]).await;
    world.run("UPDATE staff_role SET role = 'nurse'", vec![]).await;
    let client = world.client("demo");
    give_password(&client).await;
    world.advance(FRESH);
    assert_eq!(post(&client, "/auth/totp", json!({})).await.problem(), "proof-required");
    assert_eq!(post(&client, "/auth/proof", json!({"password": "wrong"})).await.status, 403);
    assert_eq!(post(&client, "/auth/proof", json!({"password": PASSWORD})).await.status, 204);
    assert_eq!(post(&client, "/auth/totp", json!({})).await.status, 201);
}

#[tokio::test]
async fn another_country_makes_a_proof_worthless_and_is_recorded_once() {
    let world = world().await;
    let (client, app) = signed_in(&world, Some("NO")).await;
    assert_eq!(post(&client, "/auth/recovery-codes", json!({})).await.status, 201);
    client.go_to("BR");
    assert_eq!(post(&client, "/auth/recovery-codes", json!({})).await.problem(), "proof-required");
    assert_eq!(client.get::<AuthFunction>("/auth/session").await.status, 200, "work goes on");
    assert_eq!(post(&client, "/auth/proof", json!({"totp": code(&world, &app)})).await.status, 204);
    assert_eq!(post(&client, "/auth/recovery-codes", json!({})).await.status, 201);
    assert_eq!(events(&world, "new-country"), 0, "the first country was new to nobody");
    for country in ["BR", "BR", "NO"] {
        world.advance(SignedDuration::from_secs(60));
        let other = world.client("demo");
        other.go_to(country);
        give_password(&other).await;
        let answer = post(&other, "/auth/second-factor", json!({"totp": code(&world, &app)})).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    assert_eq!(events(&world, "new-country"), 1);
}

#[tokio::test]
async fn from_a_new_country_a_password_alone_is_not_enough() {
    let world = world().await;
    world.run("UPDATE clinic SET second_factor = 'privileged'", vec![]).await;
    world.run("UPDATE staff_role SET role = 'nurse'", vec![]).await;
    let enter = async |country: &str| {
        let client = world.client("demo");
        client.go_to(country);
        give_password(&client).await.body["next"].clone()
    };
    assert_eq!(enter("NO").await, Json::Null);
    assert_eq!(enter("NO").await, Json::Null);
    assert_eq!(enter("BR").await, "enrolment");
    assert_eq!(enter("NO").await, Json::Null);
}

/// A second device that owes its second factor.
async fn new_device(world: &World) -> Client<'_> {
    let device = world.client("demo");
    device.go_to("BR");
    let begun = give_password(&device).await;
    assert!(begun.body["factors"].as_array().unwrap().contains(&json!("approval")), "{}", begun.body);
    device
}

async fn state(device: &Client<'_>) -> String {
    device.get::<AuthFunction>("/auth/second-factor/approval").await.text("/status")
}

async fn waiting(client: &Client<'_>) -> Json {
    let list = client.get::<AuthFunction>("/auth/approvals").await;
    list.body["approvals"].as_array().unwrap().first().cloned().unwrap_or_default()
}

async fn decide(client: &Client<'_>, waiting: &Json, number: Json) -> Answer {
    let path = format!("/auth/approvals/{}", waiting["id"].as_str().unwrap());
    post(client, &path, json!({"number": number})).await
}

#[tokio::test]
async fn the_right_number_lets_a_device_in_once() {
    let world = world().await;
    let (client, _) = signed_in(&world, None).await;
    assert_eq!(waiting(&client).await, Json::Null);
    let device = new_device(&world).await;
    let asked = post(&device, "/auth/second-factor/approval", json!({})).await;
    let number = asked.body["number"].clone();
    let listed = waiting(&client).await;
    assert_eq!((listed["choices"].as_array().unwrap().len(), listed["country"].as_str()), (3, Some("BR")));
    assert!(listed["choices"].as_array().unwrap().contains(&number));
    assert_eq!(state(&device).await, "pending");
    let early = post(&device, "/auth/second-factor", json!({"approval": true})).await;
    assert_eq!(early.refusal(), (401, "wrong-second-factor"));
    // Nobody else's to decide.
    let stranger = world.client("demo");
    stranger.sign_in_as(Role::ClinicAdmin).await;
    assert_eq!(decide(&stranger, &listed, number.clone()).await.status, 404);
    assert_eq!(decide(&client, &listed, number.clone()).await.body["approved"], true);
    assert_eq!((state(&device).await, waiting(&client).await), ("approved".to_owned(), Json::Null));
    let thief = new_device(&world).await;
    assert_eq!(post(&thief, "/auth/second-factor", json!({"approval": true})).await.status, 401);
    assert_eq!(post(&device, "/auth/second-factor", json!({"approval": true})).await.status, 201);
    assert_eq!(device.get::<AuthFunction>("/auth/session").await.status, 200);
    assert_eq!(decide(&client, &listed, number).await.status, 404, "decided twice");
    assert_eq!((events(&world, "approval-asked"), events(&world, "approval-given")), (1, 1));
}

#[tokio::test]
async fn a_wrong_number_a_refusal_and_two_minutes_keep_a_device_out() {
    let world = world().await;
    let (client, _) = signed_in(&world, None).await;
    let device = new_device(&world).await;
    let asked = post(&device, "/auth/second-factor/approval", json!({})).await;
    let listed = waiting(&client).await;
    let wrong = listed["choices"].as_array().unwrap().iter().find(|choice| **choice != asked.body["number"]);
    assert_eq!(decide(&client, &listed, wrong.unwrap().clone()).await.body["approved"], false);
    assert_eq!(state(&device).await, "refused");
    assert_eq!(decide(&client, &listed, asked.body["number"].clone()).await.status, 404, "a second pick");
    world.advance(SignedDuration::from_secs(1));
    post(&device, "/auth/second-factor/approval", json!({})).await;
    decide(&client, &waiting(&client).await, Json::Null).await;
    assert_eq!((state(&device).await.as_str(), events(&world, "approval-refused")), ("refused", 2));
    world.advance(SignedDuration::from_secs(1));
    let asked = post(&device, "/auth/second-factor/approval", json!({})).await;
    let listed = waiting(&client).await;
    world.advance(approval::LASTS);
    assert_eq!((state(&device).await.as_str(), waiting(&client).await), ("expired", Json::Null));
    assert_eq!(decide(&client, &listed, asked.body["number"].clone()).await.status, 404);
    assert_eq!(post(&device, "/auth/second-factor", json!({"approval": true})).await.status, 401);
    for _ in 3..approval::MOST {
        assert_eq!(post(&device, "/auth/second-factor/approval", json!({})).await.status, 201);
    }
    assert_eq!(
        post(&device, "/auth/second-factor/approval", json!({})).await.status,
        429,
        "asked until they give in"
    );
}

#[tokio::test]
async fn an_approved_device_proves_no_more_than_whoever_approved() {
    let world = world().await;
    let (client, _) = signed_in(&world, None).await;
    world.advance(FRESH);
    let device = new_device(&world).await;
    let asked = post(&device, "/auth/second-factor/approval", json!({})).await;
    decide(&client, &waiting(&client).await, asked.body["number"].clone()).await;
    assert_eq!(post(&device, "/auth/second-factor", json!({"approval": true})).await.status, 201);
    assert_eq!(post(&device, "/auth/recovery-codes", json!({})).await.problem(), "proof-required");
}
