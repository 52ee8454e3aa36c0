//! Who opens the link of a visit shows who they are, where their clinic asks for that.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::{AuthFunction, code, link_proof, lockout};
use http::Method;
use jiff::SignedDuration;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client, World};
use serde_json::{Value as Json, json};

struct Clinic {
    world: World,
    visit: Booked,
}

async fn clinic(when: &str, by: &str) -> Clinic {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let administrator = world.client("demo");
    administrator.sign_in_as(Role::ClinicAdmin).await;
    let settings = json!({"linkProof": when, "linkProofBy": by, "passwordHistory": 5, "passwordMaxDays": null,
                          "passwordComposition": false});
    let changed =
        administrator.send::<AuthFunction>(Method::PUT, "/auth/settings", Some(settings.clone()), &[]).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(administrator.get::<AuthFunction>("/auth/settings").await.body, settings);
    Clinic { world, visit }
}

impl Clinic {
    async fn open(&self, client: &Client<'_>, given: Json) -> Answer {
        let mut body = json!({"token": self.visit.link});
        body.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        client.post::<AuthFunction>("/auth/visit-sessions", body).await
    }

    async fn send_code(&self, client: &Client<'_>) -> Answer {
        client.post::<AuthFunction>("/auth/visit-codes", json!({"token": self.visit.link})).await
    }

    /// The code of the message that was sent last.
    async fn sent(&self) -> String {
        let sql = "SELECT body FROM outbox_message ORDER BY created_at DESC, id DESC LIMIT 1";
        let body = self.world.query(sql, vec![]).await[0].text(0).unwrap();
        body.split("code is ").nth(1).unwrap()[..7].to_owned()
    }

    fn events(&self, code: &str) -> usize {
        self.world.audit_trail().iter().filter(|line| line.ends_with(code)).count()
    }
}

const RIGHT: &str = "1980-01-31";

#[tokio::test]
async fn every_browser_is_asked_once_for_the_date_of_birth() {
    let clinic = clinic("always", "birth-date").await;
    let client = clinic.world.client("demo");
    let asked = clinic.open(&client, json!({})).await;
    assert_eq!(asked.refusal(), (403, "link-proof-required"));
    assert_eq!(
        (asked.body["proof"].as_str(), client.cookie(kit::cookies::VISIT)),
        (Some("birth-date"), None)
    );
    let wrong = clinic.open(&client, json!({"birthDate": "1980-01-30"})).await;
    assert_eq!(wrong.refusal(), (403, "wrong-link-proof"));
    assert_eq!(clinic.open(&client, json!({"birthDate": RIGHT})).await.status, 201);
    // A reload of the page.
    assert_eq!(clinic.open(&client, json!({})).await.status, 201);
    let other = clinic.world.client("demo");
    assert_eq!(clinic.open(&other, json!({})).await.problem(), "link-proof-required");
    assert_eq!((clinic.events("link-proof-failed"), clinic.events("link-proved")), (1, 1));
}

#[tokio::test]
async fn where_risk_asks_the_first_browser_is_not_asked_and_the_second_is() {
    let clinic = clinic("risk", "birth-date").await;
    let (first, second) = (clinic.world.client("demo"), clinic.world.client("demo"));
    assert_eq!(clinic.open(&first, json!({})).await.status, 201);
    assert_eq!(clinic.open(&second, json!({})).await.problem(), "link-proof-required");
    assert_eq!(clinic.open(&first, json!({})).await.status, 201);
    assert_eq!(clinic.open(&second, json!({"birthDate": RIGHT})).await.status, 201);
}

#[tokio::test]
async fn guesses_lock_and_then_spend_the_link() {
    let clinic = clinic("always", "birth-date").await;
    let client = clinic.world.client("demo");
    for n in 1..=lockout::FREE {
        let answer = clinic.open(&client, json!({"birthDate": "1990-01-01"})).await;
        assert_eq!(answer.problem(), "wrong-link-proof", "{n}");
    }
    let locked = clinic.open(&client, json!({"birthDate": RIGHT})).await;
    assert_eq!(locked.refusal(), (429, "too-many-attempts"), "the right date is taken while locked");
    for _ in i64::from(lockout::FREE)..link_proof::SPENT {
        clinic.world.advance(lockout::LOCKED);
        let answer = clinic.open(&client, json!({"birthDate": "1990-01-01"})).await;
        assert_eq!(answer.problem(), "wrong-link-proof");
    }
    clinic.world.advance(lockout::LOCKED);
    let spent = clinic.open(&client, json!({"birthDate": RIGHT})).await;
    assert_eq!(spent.refusal(), (404, "unknown-link"));
    assert_eq!(clinic.events("link-spent"), 1);
}

#[tokio::test]
async fn a_code_goes_to_the_address_we_know_and_works_once() {
    let clinic = clinic("always", "code").await;
    let client = clinic.world.client("demo");
    assert_eq!(clinic.open(&client, json!({})).await.body["proof"], "code");
    // The date of birth is not what this clinic asks for.
    assert_eq!(clinic.open(&client, json!({"birthDate": RIGHT})).await.problem(), "link-proof-required");
    assert_eq!(clinic.send_code(&client).await.status, 202);
    assert_eq!(clinic.send_code(&client).await.status, 202);
    let sql = "SELECT count(*) FROM outbox_message WHERE recipient = 'paula@example.org'";
    assert_eq!(clinic.world.count(sql).await, 1, "two messages within a minute");
    let code = clinic.sent().await;
    assert_eq!(clinic.open(&client, json!({"code": code})).await.status, 201);
    let other = clinic.world.client("demo");
    assert_eq!(clinic.open(&other, json!({"code": code})).await.problem(), "wrong-link-proof");

    clinic.world.advance(code::PAUSE);
    clinic.send_code(&other).await;
    let code = clinic.sent().await;
    clinic.world.advance(code::LASTS);
    assert_eq!(
        clinic.open(&other, json!({"code": code})).await.problem(),
        "wrong-link-proof",
        "it is too old"
    );
}

#[tokio::test]
async fn five_wrong_codes_use_a_code_up() {
    let clinic = clinic("always", "code").await;
    let client = clinic.world.client("demo");
    clinic.send_code(&client).await;
    let code = clinic.sent().await;
    let wrong = if code == "000 000" { "111111" } else { "000000" };
    for _ in 0..5 {
        assert_eq!(clinic.open(&client, json!({"code": wrong})).await.problem(), "wrong-link-proof");
    }
    assert_eq!(clinic.open(&client, json!({"code": code})).await.problem(), "wrong-link-proof");
    assert_eq!(clinic.world.count("SELECT count(*) FROM outbox_message").await, 1);
}

#[tokio::test]
async fn settings_are_an_administrators_and_bounded() {
    let clinic = clinic("never", "birth-date").await;
    let administrator = clinic.world.client("demo");
    administrator.sign_in_as(Role::ClinicAdmin).await;
    let put = async |change: Json| {
        let mut body = administrator.get::<AuthFunction>("/auth/settings").await.body;
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        administrator.send::<AuthFunction>(Method::PUT, "/auth/settings", Some(body), &[]).await.status
    };
    for bad in [
        json!({"passwordHistory": 25}),
        json!({"passwordMaxDays": 7}),
        json!({"linkProof": "sometimes"}),
        json!({"linkProofBy": "horoscope"}),
    ] {
        assert_eq!(put(bad.clone()).await, 422, "{bad}");
    }
    assert_eq!(put(json!({"passwordMaxDays": 90, "passwordHistory": 0})).await, 200);
    clinic.world.advance(SignedDuration::from_mins(11));
    assert_eq!(put(json!({"passwordMaxDays": null})).await, 403, "the last proof is too old");
}
