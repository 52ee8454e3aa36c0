//! No call before consent: on the patient's page, in words that a clinician heard, or with a reason that is reviewed; and it
//! can be taken back.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use jiff::SignedDuration;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client};
use records::RecordsFunction;
use serde_json::{Value as Json, json};

mod support;

use support::{Clinic, texts};

async fn state(client: &Client<'_>, query: &str) -> Answer {
    client.get::<RecordsFunction>(&format!("/records/visit/consent{query}")).await
}

fn wish(answer: &Answer) -> Json {
    json!({"texts": [{"text": answer.text("/texts/0/id"), "sha256": answer.text("/texts/0/sha256")}]})
}

async fn agree(client: &Client<'_>) -> Answer {
    let shown = state(client, "").await;
    client.post::<RecordsFunction>("/records/visit/consent", wish(&shown)).await
}

fn of(visit: &Booked, what: &str) -> String {
    format!("/records/encounters/{}/{what}", visit.encounter)
}

#[tokio::test]
async fn a_clinic_without_texts_asks_for_no_consent() {
    let clinic = Clinic::new(json!([]), json!([])).await;
    let patient = clinic.patient().await;
    let shown = state(&patient, "").await;
    let wanted = json!({"missing": false, "texts": [], "languages": [], "given": null, "withdrawnAt": null,
                        "overriddenAt": null});
    assert_eq!((shown.status, &shown.body), (200, &wanted));
    assert!(!clinic.is_call_refused().await);
}

#[tokio::test]
async fn the_text_of_the_place_and_language_is_shown_and_agreed_to_once() {
    let mut all = texts("Do you agree");
    let of_place = |key: &str, place: &str, text: &str| json!({"key": key, "jurisdiction": place, "language": "en", "title": "T", "text": text});
    all.as_array_mut().unwrap().push(of_place("video", "DE", "In Germany."));
    all.as_array_mut().unwrap().push(of_place("video", "US-OR", "In Oregon."));
    let clinic = Clinic::new(all, json!([])).await;
    let patient = clinic.patient().await;
    patient.go_to("US");
    let shown = state(&patient, "?language=es").await;
    assert_eq!(
        (&shown.body["texts"][0]["text"], &shown.body["languages"]),
        (&json!("¿Do you agree?"), &json!(["en", "es"]))
    );
    assert_eq!(state(&patient, "?language=fr").await.body["texts"][0]["language"], "en");
    assert_eq!(state(&patient, "?language=Spanish").await.status, 422);
    patient.go_to("DE");
    let german = state(&patient, "?language=es").await;
    assert_eq!(german.body["texts"][0]["text"], "In Germany.");
    assert_eq!(german.body["texts"].as_array().unwrap().len(), 1, "one of each key");
    let other = json!({"texts": [{"text": german.text("/texts/0/id"), "sha256": "00"}]});
    let other = patient.post::<RecordsFunction>("/records/visit/consent", other).await;
    assert_eq!(other.refusal(), (409, "consent-changed"), "nobody agrees to what they have not read");
    patient.go_to("US");
    let elsewhere = patient.post::<RecordsFunction>("/records/visit/consent", wish(&german)).await;
    assert_eq!(elsewhere.refusal(), (409, "consent-changed"), "a text of another place");
    // What the patient said weighs more than where the request comes from.
    clinic.world.run("UPDATE appointment SET patient_location = 'US-OR'", vec![]).await;
    assert_eq!(state(&patient, "").await.body["texts"][0]["text"], "In Oregon.");

    assert!(clinic.is_call_refused().await);
    let given = agree(&patient).await;
    assert_eq!(given.status, 201, "{}", given.body);
    let wanted = json!({"at": "2026-03-02T07:00:00Z", "method": "digital", "language": "en", "version": 1});
    assert_eq!((&given.body["given"], &given.body["missing"]), (&wanted, &json!(false)));
    assert_eq!(agree(&patient).await.status, 200);
    assert_eq!(clinic.world.count("SELECT count(*) FROM consent").await, 1);
    assert!(!clinic.is_call_refused().await);
    let events = clinic.world.audit_events();
    let event = events.iter().find(|event| event["code"] == "consent-given").unwrap();
    assert_eq!(event["patient"], json!(clinic.world.patient_of(&clinic.visit).await));
}

#[tokio::test]
async fn a_text_of_each_key_is_agreed_to() {
    let mut all = texts("Do you agree");
    all.as_array_mut().unwrap().push(
        json!({"key": "data", "jurisdiction": "US", "language": "en", "title": "Data", "text": "And your data?"}),
    );
    let clinic = Clinic::new(all, json!([])).await;
    let patient = clinic.patient().await;
    let shown = state(&patient, "?language=es").await;
    assert_eq!(shown.body["texts"].as_array().unwrap().len(), 2);
    assert_eq!(agree(&patient).await.body["missing"], true, "one of two");
    let both: Vec<Json> = shown.body["texts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| json!({"text": text["id"], "sha256": text["sha256"]}))
        .collect();
    let given = patient.post::<RecordsFunction>("/records/visit/consent", json!({"texts": both})).await;
    assert_eq!((given.status, &given.body["missing"]), (201, &json!(false)), "{}", given.body);
    let none = patient.post::<RecordsFunction>("/records/visit/consent", json!({"texts": []})).await;
    assert_eq!(none.refusal(), (422, "invalid-input"));
}

#[tokio::test]
async fn what_is_taken_back_holds_at_the_next_join_and_can_be_given_again() {
    let clinic = Clinic::new(texts("Do you agree"), json!([])).await;
    let patient = clinic.patient().await;
    agree(&patient).await;
    let withdraw = "/records/visit/consent/withdraw";
    let withdrawn = patient.post::<RecordsFunction>(withdraw, json!({})).await;
    assert_eq!((withdrawn.status, &withdrawn.body["missing"]), (200, &json!(true)), "{}", withdrawn.body);
    assert_eq!(withdrawn.body["withdrawnAt"], "2026-03-02T07:00:00Z");
    assert!(clinic.is_call_refused().await);
    let kept = clinic.world.query("SELECT resource FROM consent", vec![]).await;
    let kept: Json = serde_json::from_str(&kept[0].text(0).unwrap()).unwrap();
    assert_eq!(kept["status"], "inactive");
    assert_eq!(patient.post::<RecordsFunction>(withdraw, json!({})).await.status, 200);
    assert_eq!(agree(&patient).await.status, 201);
    assert!(!clinic.is_call_refused().await);
}

#[tokio::test]
async fn another_version_is_asked_for_again() {
    let clinic = Clinic::new(texts("Do you agree"), json!([])).await;
    let patient = clinic.patient().await;
    agree(&patient).await;
    clinic.change_texts(texts("And now")).await;
    assert!(clinic.is_call_refused().await);
    assert_eq!(state(&patient, "").await.body["given"], json!(null));
    assert_eq!(agree(&patient).await.status, 201);
    assert!(!clinic.is_call_refused().await);
    assert_eq!(state(&patient, "").await.body["given"]["version"], 2);
}

#[tokio::test]
async fn a_clinician_attests_what_they_heard() {
    let clinic = Clinic::new(texts("Do you agree"), json!([])).await;
    let nurse = clinic.world.client("demo");
    let user = nurse.sign_in_as(Role::Nurse).await;
    let shown = nurse.get::<RecordsFunction>(&of(&clinic.visit, "consent?language=es")).await;
    assert_eq!((&shown.body["missing"], &shown.body["texts"][0]["language"]), (&json!(true), &json!("es")));
    let attested = nurse.post::<RecordsFunction>(&of(&clinic.visit, "consent"), wish(&shown)).await;
    assert_eq!(
        (attested.status, &attested.body["given"]["method"]),
        (201, &json!("verbal")),
        "{}",
        attested.body
    );
    assert!(!clinic.is_call_refused().await);
    let kept = clinic.world.query("SELECT attested_by, resource FROM consent", vec![]).await;
    assert_eq!(kept[0].text(0).unwrap(), user.to_string());
    let resource: Json = serde_json::from_str(&kept[0].text(1).unwrap()).unwrap();
    assert_eq!(resource["verification"][0]["verified"], true);
    assert_eq!(resource["extension"][1]["valueReference"]["reference"], format!("Practitioner/{user}"));
    let patient = clinic.patient().await;
    assert_eq!(state(&patient, "").await.body["given"]["method"], "verbal", "the patient sees it");
    let withdrawn = patient.post::<RecordsFunction>("/records/visit/consent/withdraw", json!({})).await;
    assert_eq!(withdrawn.body["missing"], true);
    assert!(clinic.is_call_refused().await);
}

#[tokio::test]
async fn an_emergency_opens_the_call_with_a_reason_until_the_patient_says_no() {
    let clinic = Clinic::new(texts("Do you agree"), json!([])).await;
    let oversight = "INSERT INTO oversight (clinic, record_access, emergency_minutes, day_begins, day_ends,
                       mass_patients, sample_one_in, alert_email, changed_at)
                     VALUES ('demo', 'clinic', 60, '06:00', '22:00', 30, 0, 'privacy@example.org', 0)";
    clinic.world.run(oversight, vec![]).await;
    let doctor = clinic.world.client("demo");
    doctor.begin_session(clinic.seeded.doctor).await;
    let path = of(&clinic.visit, "consent-override");
    assert_eq!(doctor.post::<RecordsFunction>(&path, json!({"reason": "please"})).await.status, 422);
    let reason = "Unconscious, nobody to ask";
    let begun = doctor.post::<RecordsFunction>(&path, json!({"reason": reason})).await;
    assert_eq!((begun.status, &begun.body["missing"]), (201, &json!(false)), "{}", begun.body);
    assert!(!clinic.is_call_refused().await);
    let event = clinic.world.audit_events().into_iter().find(|event| event["code"] == "consent-overridden");
    assert_eq!(event.unwrap()["purpose"], "BTG");
    let sql = "SELECT subject || body || link FROM outbox_message WHERE recipient = 'privacy@example.org'";
    let mail = clinic.world.query(sql, vec![]).await;
    let text = mail[0].text(0).unwrap();
    assert!(text.ends_with("/clinic/demo/reviews") && !text.contains("Unconscious"), "{text}");

    clinic.world.advance(SignedDuration::from_mins(5));
    let patient = clinic.patient().await;
    agree(&patient).await;
    patient.post::<RecordsFunction>("/records/visit/consent/withdraw", json!({})).await;
    assert!(clinic.is_call_refused().await, "who says no is not overruled by what was said before");
    clinic.world.advance(SignedDuration::from_mins(1));
    doctor.begin_session(clinic.seeded.doctor).await;
    doctor.post::<RecordsFunction>(&path, json!({"reason": reason})).await;
    assert!(!clinic.is_call_refused().await);
}

#[tokio::test]
async fn who_is_not_the_patient_or_treats_them_says_nothing_for_them() {
    let clinic = Clinic::new(texts("Do you agree"), json!([])).await;
    let desk = clinic.world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let refused = desk.post::<RecordsFunction>(&of(&clinic.visit, "consent-override"), json!({})).await;
    assert_eq!(refused.refusal(), (403, "role-not-allowed"));
    let proxy = clinic.world.client("demo");
    proxy.begin_visit_for(&clinic.visit, Some(clinic.world.seed_proxy("demo").await)).await;
    assert_eq!(agree(&proxy).await.status, 201);
    let kept = clinic.world.query("SELECT resource FROM consent", vec![]).await;
    let kept: Json = serde_json::from_str(&kept[0].text(0).unwrap()).unwrap();
    let performer = kept["performer"][0]["reference"].as_str().unwrap();
    assert!(performer.starts_with("RelatedPerson/"), "{performer}");
    clinic.world.run("UPDATE appointment SET status = 'fulfilled'", vec![]).await;
    assert_eq!(state(&proxy, "").await.refusal(), (410, "visit-over"));
    let doctor = clinic.world.client("demo");
    doctor.begin_session(clinic.seeded.doctor).await;
    let late = json!({"reason": "It would have been urgent"});
    let late = doctor.post::<RecordsFunction>(&of(&clinic.visit, "consent-override"), late).await;
    assert_eq!(late.refusal(), (410, "visit-over"));
}
