//! Who takes part in a call's encryption: signed by the clinic, and new exactly when somebody comes or goes.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

mod support;

use kit::policy::Role;
use kit::testing::{Answer, Client};
use serde_json::{Value as Json, json};
use support::{Clinic, Invited, arrive, clinic, join, keys, member};
use tokens::TokensFunction;

async fn ask(client: &Client<'_>, query: &str) -> Answer {
    client.get::<TokensFunction>(&format!("/tokens/membership{query}")).await
}

async fn leave(client: &Client<'_>, body: Json) -> Answer {
    client.post::<TokensFunction>("/tokens/leave", body).await
}

/// Generation and members of a signed list, without its times.
fn read(clinic: &Clinic, answer: &Answer) -> (i64, Json) {
    let text = answer.text("/membership");
    assert_eq!(jsonwebtoken::decode_header(&text).unwrap().typ.as_deref(), Some("locum-membership+jwt"));
    let claims = clinic.read_for("locum-call", &text);
    assert_eq!((&claims["iss"], &claims["room"]), (&json!("edge-1"), &json!("roomroomroomroomroomro")));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    (claims["generation"].as_i64().unwrap(), claims["members"].clone())
}

#[tokio::test]
async fn a_member_comes_stays_and_goes() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let (patient, doctor) = (clinic.world.client("demo"), clinic.world.client("demo"));
    patient.begin_visit(&visit).await;
    doctor.sign_in_as(Role::Doctor).await;
    let staff = |letter| json!({"appointment": visit.appointment, "encryption": keys(letter)});

    let mine = join(&patient, json!({"encryption": keys('p')})).await;
    let me = mine.text("/participant");
    assert_eq!(read(&clinic, &mine), (1, json!([member(&me, 'p')])));
    assert_eq!(clinic.read(&mine.text("/token"))["cnf"], json!({"jkt": keys('p')["device"]}));
    let again = join(&patient, json!({"encryption": keys('p')})).await;
    assert_eq!(read(&clinic, &again).0, 1, "coming back is no change");

    let theirs = join(&doctor, staff('d')).await;
    let they = theirs.text("/participant");
    let mut both = vec![member(&me, 'p'), member(&they, 'd')];
    both.sort_by_key(|member| member["id"].as_str().unwrap().to_owned());
    assert_eq!(read(&clinic, &theirs), (2, json!(both)));
    assert_eq!(read(&clinic, &ask(&patient, "").await), (2, json!(both)));
    let query = format!("?appointment={}", visit.appointment);
    assert_eq!(read(&clinic, &ask(&doctor, &query).await).0, 2);

    let other_device = join(&doctor, staff('e')).await;
    assert_eq!(read(&clinic, &other_device).0, 3, "another device is a change");
    assert_eq!(read(&clinic, &leave(&patient, json!({})).await), (4, json!([member(&they, 'e')])));
    assert_eq!(read(&clinic, &leave(&patient, json!({})).await).0, 4, "once is enough");
    let back = join(&patient, json!({"encryption": keys('p')})).await;
    assert_eq!(read(&clinic, &back).0, 5);
    clinic.world.run("DELETE FROM room_participant", vec![]).await;
    assert_eq!(clinic.world.count("SELECT count(*) FROM room_member").await, 0, "it ends with the call");
}

#[tokio::test]
async fn a_guest_is_a_member_like_anybody_and_their_removal_changes_the_keys() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let (doctor, guest) = (clinic.world.client("demo"), clinic.world.client("demo"));
    doctor.sign_in_as(Role::Doctor).await;
    let staff = json!({"appointment": visit.appointment, "encryption": keys('d')});
    let they = join(&doctor, staff).await.text("/participant");
    let invited = Invited::by(&doctor, &visit, &guest).await;
    arrive(&guest).await;
    assert_eq!(ask(&guest, "").await.refusal(), (409, "not-admitted"), "who waits is told of nobody");
    invited.change(&doctor, "admit").await;

    let joined = join(&guest, json!({"encryption": keys('g')})).await;
    let me = joined.text("/participant");
    let mut both = vec![member(&me, 'g'), member(&they, 'd')];
    both.sort_by_key(|member| member["id"].as_str().unwrap().to_owned());
    assert_eq!(read(&clinic, &joined), (2, json!(both)));
    assert_eq!(clinic.read(&joined.text("/token"))["cnf"], json!({"jkt": keys('g')["device"]}));
    assert_eq!(read(&clinic, &ask(&guest, "").await), (2, json!(both)));
    assert_eq!(read(&clinic, &leave(&guest, json!({})).await), (3, json!([member(&they, 'd')])));
    assert_eq!(read(&clinic, &join(&guest, json!({"encryption": keys('g')})).await), (4, json!(both)));

    invited.change(&doctor, "remove").await;
    let query = format!("?appointment={}", visit.appointment);
    assert_eq!(read(&clinic, &ask(&doctor, &query).await), (5, json!([member(&they, 'd')])));
    assert_eq!(ask(&guest, "").await.refusal(), (410, "link-withdrawn"));
    assert_eq!(leave(&guest, json!({})).await.refusal(), (410, "link-withdrawn"));
    assert_eq!(read(&clinic, &ask(&doctor, &query).await).0, 5);
}

#[tokio::test]
async fn staff_who_do_not_treat_are_told_of_nobody_whatever_else_they_are() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let desk = clinic.world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    desk.begin_visit(&visit).await;
    let query = format!("?appointment={}", visit.appointment);
    assert_eq!(ask(&desk, &query).await.refusal(), (403, "role-not-allowed"));
    let answer = leave(&desk, json!({"appointment": visit.appointment})).await;
    assert_eq!(answer.refusal(), (403, "role-not-allowed"));
}

#[tokio::test]
async fn who_cannot_encrypt_stands_in_the_list_without_keys() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let patient = clinic.world.client("demo");
    patient.begin_visit(&visit).await;
    let answer = join(&patient, json!({"encryption": {"open": true}})).await;
    assert_eq!(read(&clinic, &answer), (1, json!([{"id": answer.text("/participant")}])));
    assert!(clinic.read(&answer.text("/token")).get("cnf").is_none());
    let answer = join(&patient, json!({})).await;
    assert!(answer.body.get("membership").is_none(), "{}", answer.body);
    assert_eq!(read(&clinic, &ask(&patient, "").await).0, 1, "a client without keys changes nothing");
}

#[tokio::test]
async fn a_token_bound_to_nothing_is_short_and_a_clinic_may_do_without() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let patient = clinic.world.client("demo");
    patient.begin_visit(&visit).await;
    let claims = clinic.read(&join(&patient, json!({})).await.text("/token"));
    assert_eq!(claims["exp"], clinic.world.now().as_second() + 10 * 60);
    clinic.world.run("UPDATE clinic SET unbound_tokens = 0", vec![]).await;
    for body in [json!({}), json!({"encryption": {"open": true}})] {
        assert_eq!(join(&patient, body).await.refusal(), (403, "device-key-required"));
    }
    assert_eq!(join(&patient, json!({"encryption": keys('p')})).await.status, 201);
}

#[tokio::test]
async fn only_hashes_are_taken_and_only_those_in_the_call_ask() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    let patient = clinic.world.client("demo");
    patient.begin_visit(&visit).await;
    assert_eq!(ask(&patient, "").await.refusal(), (409, "not-admitted"));
    clinic.admit(&visit).await;
    for bad in [
        json!({}),
        json!({"device": "short", "commitment": "short"}),
        json!({"device": keys('p')["device"]}),
        json!({"open": false}),
        json!({"device": keys('p')["device"], "commitment": keys('p')["commitment"], "name": "Ana"}),
    ] {
        let answer = join(&patient, json!({"encryption": bad})).await;
        assert_eq!(answer.status / 100, 4, "{bad}: {}", answer.body);
    }
    assert_eq!(read(&clinic, &ask(&patient, "").await), (0, json!([])));
    let stranger = clinic.world.client("demo");
    assert_eq!(ask(&stranger, "").await.refusal(), (401, "sign-in-required"));
    assert_eq!(leave(&stranger, json!({})).await.refusal(), (401, "sign-in-required"));
    let query = format!("?appointment={}", visit.appointment);
    assert_eq!(ask(&patient, &query).await.refusal(), (401, "sign-in-required"));
}
