//! Join tokens, read by an implementation of JWT that is not ours.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

mod support;

use http::Method;
use jiff::SignedDuration;
use jsonwebtoken::Algorithm;
use kit::cookies;
use kit::params;
use kit::policy::Role;
use kit::testing::Answer;
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};
use support::{Invited, arrive, clinic, join, keys, node, nodes};
use tokens::TokensFunction;

#[tokio::test]
async fn a_token_opens_one_room_and_names_nobody() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let patient = clinic.world.client("demo");
    patient.begin_visit(&visit).await;
    let answer = join(&patient, json!({"encryption": keys('p')})).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let token = answer.text("/token");
    let header = jsonwebtoken::decode_header(&token).unwrap();
    assert_eq!((header.alg, header.kid.as_deref()), (Algorithm::EdDSA, Some("key-1")));

    let mut claims = clinic.read(&token);
    let jti = claims["jti"].take();
    assert_eq!(jti.as_str().unwrap().len(), 22);
    let participant = answer.text("/participant");
    assert_eq!(participant.len(), 22);
    // 08:30 and half an hour.
    assert_eq!(
        claims,
        json!({
            "iss": "edge-1", "aud": "locum-media", "sub": participant, "jti": null,
            "nbf": clinic.world.now().as_second() - 10,
            "exp": clinic.world.now().as_second() + 2 * 60 * 60,
            "video": {"roomJoin": true, "room": "roomroomroomroomroomro",
                      "canPublish": true, "canSubscribe": true,
                      "canPublishData": true, "canPublishSources": ["camera", "microphone", "screen_share"]},
            "sink": "sinksinksinksinksinksi", "running": false, "cnf": {"jkt": keys('p')["device"]}
        })
    );
    assert_eq!(answer.body["room"], "roomroomroomroomroomro");
    assert_eq!(answer.body["expiresAt"], "2026-03-02T09:00:00Z");
    let first = json!({"id": "m2", "region": "eu-central", "url": "ws://m2", "urls": ["ws://m2"]});
    assert_eq!(answer.body["nodes"][0], first);
    assert_eq!(answer.body["nodeListVersion"], 7);
    assert_eq!(clinic.world.audit_trail(), ["visitor token-minted"]);
}

#[tokio::test]
async fn a_doctor_who_overruns_keeps_half_an_hour() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    clinic.world.advance(SignedDuration::from_hours(3));
    let doctor = clinic.world.client("demo");
    doctor.sign_in_as(Role::Doctor).await;
    let body = json!({"appointment": visit.appointment, "encryption": keys('d')});
    let answer = join(&doctor, body).await;
    assert_eq!(answer.body["expiresAt"], "2026-03-02T10:30:00Z");
    let claims = clinic.read(&answer.text("/token"));
    assert_eq!(claims["exp"], clinic.world.now().as_second() + 30 * 60);
}

#[tokio::test]
async fn people_have_different_ids_and_keep_them_in_the_call() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let (patient, doctor, nurse) =
        (clinic.world.client("demo"), clinic.world.client("demo"), clinic.world.client("demo"));
    patient.begin_visit(&visit).await;
    doctor.sign_in_as(Role::Doctor).await;
    nurse.sign_in_as(Role::Nurse).await;
    let staff = json!({"appointment": visit.appointment});
    let mut ids = Vec::new();
    for (client, body) in [(&patient, json!({})), (&doctor, staff.clone()), (&nurse, staff.clone())] {
        let (first, again) = (join(client, body.clone()).await, join(client, body).await);
        assert_eq!(
            first.text("/participant"),
            again.text("/participant"),
            "coming back made a second participant"
        );
        assert_ne!(first.text("/token"), again.text("/token"));
        ids.push(first.text("/participant"));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_browser_with_both_cookies_joins_as_what_it_asks_for() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let both = clinic.world.client("demo");
    both.begin_visit(&visit).await;
    both.sign_in_as(Role::Doctor).await;
    let patient = join(&both, json!({})).await.text("/participant");
    let doctor = join(&both, json!({"appointment": visit.appointment})).await.text("/participant");
    assert_ne!(patient, doctor);
}

#[tokio::test]
async fn nobody_joins_before_or_after() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    let (patient, doctor) = (clinic.world.client("demo"), clinic.world.client("demo"));
    assert_eq!(join(&patient, json!({})).await.refusal(), (401, "sign-in-required"));
    patient.begin_visit(&visit).await;
    doctor.sign_in_as(Role::Doctor).await;
    let staff = json!({"appointment": visit.appointment});
    assert_eq!(join(&patient, json!({})).await.refusal(), (409, "not-admitted"));
    assert_eq!(join(&doctor, staff.clone()).await.refusal(), (409, "not-admitted"));
    clinic.world.run("UPDATE appointment SET status = 'arrived'", vec![]).await;
    assert_eq!(join(&patient, json!({})).await.refusal(), (409, "not-admitted"));
    clinic.world.run("UPDATE appointment SET status = 'fulfilled'", vec![]).await;
    assert_eq!(join(&patient, json!({})).await.refusal(), (410, "visit-over"));
    assert_eq!(join(&doctor, staff).await.refusal(), (410, "visit-over"));
    assert!(clinic.world.audit_trail().is_empty());
}

#[tokio::test]
async fn a_patient_cannot_name_a_visit_and_another_clinic_has_none() {
    let clinic = clinic().await;
    let (mine, theirs) =
        (clinic.visit().await, clinic.world.seed_visit(&clinic.seeded, "2026-03-02T09:00:00Z").await);
    clinic.admit(&mine).await;
    let patient = clinic.world.client("demo");
    patient.begin_visit(&mine).await;
    for visit in [&mine, &theirs] {
        let answer = join(&patient, json!({"appointment": visit.appointment})).await;
        assert_eq!(answer.refusal(), (401, "sign-in-required"));
    }
    clinic.world.seed("other", "Europe/Berlin").await;
    let stranger = clinic.world.client("other");
    stranger.sign_in_as(Role::Doctor).await;
    let answer = join(&stranger, json!({"appointment": mine.appointment})).await;
    assert_eq!(answer.refusal(), (404, "not-found"));
    stranger.set_cookie(cookies::VISIT, &patient.cookie(cookies::VISIT).unwrap());
    assert_eq!(join(&stranger, json!({})).await.refusal(), (422, "invalid-input"));
    let desk = clinic.world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    assert_eq!(
        join(&desk, json!({"appointment": mine.appointment})).await.refusal(),
        (403, "role-not-allowed")
    );
}

#[tokio::test]
async fn a_guest_joins_once_let_in_and_is_refused_once_removed() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let (doctor, guest) = (clinic.world.client("demo"), clinic.world.client("demo"));
    doctor.sign_in_as(Role::Doctor).await;
    let invited = Invited::by(&doctor, &visit, &guest).await;
    assert_eq!(join(&guest, json!({})).await.refusal(), (409, "not-admitted"));
    arrive(&guest).await;
    assert_eq!(join(&guest, json!({})).await.refusal(), (409, "not-admitted"), "waiting is not yet let in");
    invited.change(&doctor, "admit").await;
    let staff = join(&doctor, json!({"appointment": visit.appointment})).await;
    let joined = join(&guest, json!({})).await;
    assert_eq!(joined.status, 201, "{}", joined.body);
    assert_eq!((&joined.body["room"], &joined.body["running"]), (&staff.body["room"], &json!(true)));
    let participant = joined.text("/participant");
    let claims = clinic.read(&joined.text("/token")).to_string();
    assert!(!claims.contains("interpreter") && !claims.contains("guest"), "{claims}");
    let grants = [&staff, &joined].map(|answer| clinic.read(&answer.text("/token"))["video"].clone());
    assert_eq!(grants[0], grants[1], "a media node is told who treats");

    // The others are told what the guest is, and nothing else.
    let mut people = vec![
        json!({"participant": participant, "role": "interpreter", "name": null}),
        json!({"participant": staff.text("/participant"), "role": "clinician", "name": "Somebody"}),
    ];
    people.sort_by_key(|person| person["participant"].to_string());
    let patient = clinic.world.client("demo");
    patient.begin_visit(&visit).await;
    let guests = format!("/scheduling/appointments/{}/guests", visit.appointment);
    for (client, path) in
        [(&guest, "/scheduling/guest-visit"), (&patient, "/scheduling/visit"), (&doctor, guests.as_str())]
    {
        assert_eq!(client.get::<SchedulingFunction>(path).await.body["people"], json!(people), "{path}");
    }

    invited.change(&doctor, "remove").await;
    assert_eq!(join(&guest, json!({})).await.refusal(), (410, "link-withdrawn"));
    let sql = "SELECT room || ' ' || participant FROM revocation WHERE clinic = 'demo' AND until > ?";
    let revoked = clinic.world.query(sql, params![clinic.world.now()]).await;
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].text(0).unwrap(), format!("{} {participant}", joined.text("/room")));
    let alone = join(&doctor, json!({"appointment": visit.appointment})).await;
    assert_eq!(alone.body["running"], false, "who was removed is nobody to meet");
}

#[tokio::test]
async fn staff_who_do_not_treat_join_no_call_whatever_else_they_are() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let desk = clinic.world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    desk.begin_visit(&visit).await;
    let answer = join(&desk, json!({"appointment": visit.appointment})).await;
    assert_eq!(answer.refusal(), (403, "role-not-allowed"));
    assert_eq!(join(&desk, json!({})).await.status, 201, "as the patient they are");
}

#[tokio::test]
async fn without_a_node_or_a_key_there_is_no_token() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let patient = clinic.world.client("demo");
    patient.begin_visit(&visit).await;
    clinic.world.set("media_nodes", &nodes(&[]));
    let answer = join(&patient, json!({})).await;
    assert_eq!(answer.refusal(), (503, "no-media-node"));
    assert_eq!(answer.headers["retry-after"], "2");
    clinic.world.set("media_nodes", &nodes(&[node("m", "r")]));
    clinic.world.set("token_signing_key", "");
    assert_eq!(join(&patient, json!({})).await.refusal(), (500, "internal"));
}

fn ids(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn each_person_is_told_of_their_own_nearest_nodes() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let (patient, doctor) = (clinic.world.client("demo"), clinic.world.client("demo"));
    patient.begin_visit(&visit).await;
    doctor.sign_in_as(Role::Doctor).await;
    let staff = |nearest: Json| json!({"appointment": visit.appointment, "nearest": nearest});

    let west = [("spin-full-url", "http://us-west.locum.localhost:8080/c/demo/tokens/join")];
    let body = json!({"appointment": visit.appointment});
    let answer = doctor.send::<TokensFunction>(Method::POST, "/tokens/join", Some(body), &west).await;
    assert_eq!(ids(&answer), ["m1", "m2"], "by the region the request came in by");
    assert_eq!(answer.body["running"], false);
    assert_eq!(ids(&join(&doctor, staff(json!([]))).await), ["m2", "m1"], "ranked anew");
    let answer = join(&doctor, staff(json!(["m1", "unknown"]))).await;
    assert_eq!(ids(&answer), ["m1", "m2"], "as measured");

    let answer = join(&patient, json!({"nearest": ["m2", "m1"]})).await;
    assert_eq!(ids(&answer), ["m2", "m1"], "as measured, wherever the doctor is");
    assert_eq!(answer.body["running"], true);
    assert_eq!(clinic.read(&answer.text("/token"))["running"], true);
    assert_eq!(join(&doctor, staff(json!(["m2"]))).await.body["running"], true);

    let answer = join(&patient, json!({"nearest": vec!["m"; 9]})).await;
    assert_eq!(answer.refusal(), (422, "invalid-input"));
}

#[tokio::test]
async fn when_all_nodes_are_full_a_new_call_waits_and_a_running_one_does_not() {
    let clinic = clinic().await;
    let visit = clinic.visit().await;
    clinic.admit(&visit).await;
    let (patient, doctor) = (clinic.world.client("demo"), clinic.world.client("demo"));
    patient.begin_visit(&visit).await;
    doctor.sign_in_as(Role::Doctor).await;
    let staff = json!({"appointment": visit.appointment});
    let full = |id: &str| {
        let mut node = node(id, "eu-central");
        node["full"] = json!(true);
        node
    };
    clinic.world.set("media_nodes", &nodes(&[full("m1"), full("m2")]));
    // Asked again it is still new: who was refused has not joined.
    for _ in 0..2 {
        let answer = join(&doctor, staff.clone()).await;
        assert_eq!(answer.refusal(), (503, "capacity"));
        assert_eq!(answer.headers["retry-after"], "5");
        assert_eq!(join(&patient, json!({})).await.refusal(), (503, "capacity"));
    }
    clinic.world.set("media_nodes", &nodes(&[full("m1"), node("m2", "us-west")]));
    assert_eq!(ids(&join(&doctor, staff.clone()).await), ["m2", "m1"]);
    clinic.world.set("media_nodes", &nodes(&[full("m1"), full("m2")]));
    assert_eq!(ids(&join(&patient, json!({})).await), ["m1", "m2"]);
    assert_eq!(ids(&join(&doctor, staff).await), ["m1", "m2"]);
}
