//! What patients answer before a visit: kept whole, checked against what was asked, and never over what was not read.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use kit::params;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client};
use records::RecordsFunction;
use serde_json::{Value as Json, json};

mod support;

use support::{Clinic, questionnaire};

const PATH: &str = "/records/visit/intake";

fn questions() -> Json {
    json!([
        {"linkId": "reason", "type": "text", "text": "Why do you come?", "required": true, "maxLength": 200},
        {"linkId": "fever", "type": "boolean", "text": "Do you have a fever?"},
        {"linkId": "more", "type": "group", "text": "About the fever",
         "enableWhen": [{"question": "fever", "operator": "=", "answerBoolean": true}],
         "item": [{"linkId": "since", "type": "date", "text": "Since when?", "required": true}]},
    ])
}

async fn clinic() -> Clinic {
    Clinic::new(json!([]), questions()).await
}

fn filled(status: &str, item: Json) -> Json {
    json!({"resourceType": "QuestionnaireResponse", "questionnaire": "urn:locum:intake|1", "status": status,
           "item": item})
}

fn answer(id: &str, value: Json) -> Json {
    json!({"linkId": id, "answer": [value]})
}

fn all() -> Json {
    json!([
        answer("reason", json!({"valueString": "A cough"})),
        answer("fever", json!({"valueBoolean": true})),
        {"linkId": "more", "item": [answer("since", json!({"valueDate": "2026-02-27"}))]},
    ])
}

async fn put(client: &Client<'_>, tag: &str, body: Json) -> Answer {
    client.send::<RecordsFunction>(Method::PUT, PATH, Some(body), &[("if-match", tag)]).await
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

async fn as_doctor(clinic: &Clinic, visit: &Booked) -> Answer {
    let doctor = clinic.world.client("demo");
    doctor.begin_session(clinic.seeded.doctor).await;
    doctor.get::<RecordsFunction>(&format!("/records/encounters/{}/intake", visit.encounter)).await
}

#[tokio::test]
async fn a_draft_is_kept_and_then_completed() {
    let clinic = clinic().await;
    let patient = clinic.patient().await;
    let asked = patient.get::<RecordsFunction>(PATH).await;
    assert_eq!(
        (asked.status, &asked.body["response"], &asked.body["required"]),
        (200, &json!(null), &json!(true))
    );
    assert_eq!(asked.body["questionnaire"], questionnaire("1", questions()), "whole, as it was given");
    assert_eq!(put(&patient, "\"other\"", filled("in-progress", json!([]))).await.status, 412);
    assert_eq!(
        patient
            .send::<RecordsFunction>(Method::PUT, PATH, Some(filled("in-progress", json!([]))), &[])
            .await
            .status,
        428
    );

    let some = json!([answer("fever", json!({"valueBoolean": true}))]);
    let draft = put(&patient, &tag(&asked), filled("in-progress", some)).await;
    assert_eq!(draft.status, 200, "{}", draft.body);
    assert_eq!(draft.body["response"]["item"].as_array().unwrap().len(), 1);
    let again = patient.get::<RecordsFunction>(PATH).await;
    assert_eq!((tag(&again), &again.body), (tag(&draft), &draft.body));
    assert_eq!(
        put(&patient, &tag(&asked), filled("in-progress", all())).await.refusal(),
        (412, "precondition-failed")
    );

    let done = put(&patient, &tag(&draft), filled("completed", all())).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let kept = &done.body["response"];
    assert_eq!((&kept["id"], &kept["status"]), (&draft.body["response"]["id"], &json!("completed")));
    assert_eq!(
        (&kept["questionnaire"], &kept["authored"]),
        (&json!("urn:locum:intake|1"), &json!("2026-03-02T07:00:00Z"))
    );
    let reference = |kind: &str, id: &str| json!({"reference": format!("{kind}/{id}")});
    assert_eq!(kept["encounter"], reference("Encounter", &clinic.visit.encounter.to_string()));
    assert_eq!(
        kept["source"],
        reference("Patient", &clinic.world.patient_of(&clinic.visit).await.to_string())
    );
    assert_eq!(
        kept["item"][2]["item"][0],
        json!({"linkId": "since", "text": "Since when?", "answer": [{"valueDate": "2026-02-27"}]})
    );
    let trail = clinic.world.audit_trail();
    assert!(
        trail.contains(&"visitor intake-saved".to_owned())
            && trail.contains(&"visitor intake-completed".to_owned())
    );
    let seen = as_doctor(&clinic, &clinic.visit).await;
    assert_eq!((&seen.body["response"], &seen.body["previous"]), (kept, &json!(null)));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_its_link_id_and_never_repeated() {
    let clinic = clinic().await;
    let patient = clinic.patient().await;
    let of = async |status: &str, item: Json| put(&patient, "*", filled(status, item)).await;
    let missing = of("completed", json!([answer("fever", json!({"valueBoolean": true}))])).await;
    assert_eq!(missing.refusal(), (422, "invalid-input"));
    let ids: Vec<_> =
        missing.body["errors"].as_array().unwrap().iter().map(|error| error["linkId"].clone()).collect();
    assert_eq!(ids, ["reason", "since"]);
    let disabled = json!([answer("fever", json!({"valueBoolean": false})),
        {"linkId": "more", "item": [answer("since", json!({"valueDate": "2026-02-27"}))]}]);
    let disabled = of("in-progress", disabled).await;
    assert_eq!(
        disabled.body["errors"],
        json!([{"pointer": "/item/1/item/0", "detail": "is not asked after the other answers", "linkId": "since"}])
    );
    for wrong in [
        json!([answer("reason", json!({"valueString": "Quetzal".repeat(40)}))]),
        json!([answer("reason", json!({"valueInteger": 4711}))]),
        json!([answer("Quetzal", json!({"valueString": "4711"}))]),
        json!([{"linkId": "reason", "answer": [{"valueString": "Quetzal"}], "extension": []}]),
    ] {
        let refused = of("in-progress", wrong).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        let text = refused.body.to_string();
        assert!(!text.contains("Quetzal") && !text.contains("4711"), "{text}");
    }
    let mut other = filled("in-progress", json!([]));
    other["questionnaire"] = json!("urn:locum:intake|2");
    assert_eq!(put(&patient, "*", other).await.refusal(), (409, "questionnaire-changed"));
    assert_eq!(clinic.world.count("SELECT count(*) FROM questionnaire_response").await, 0);
    // Markup and other scripts are text like any other.
    let text = "<script>alert(1)</script> '; DROP TABLE patient; -- عربى 😀";
    let taken = of("in-progress", json!([answer("reason", json!({"valueString": text}))])).await;
    assert_eq!(taken.body["response"]["item"][0]["answer"][0]["valueString"], text);
}

#[tokio::test]
async fn whoever_began_goes_on_with_what_they_were_asked_until_they_are_let_in() {
    let clinic = clinic().await;
    let patient = clinic.patient().await;
    put(&patient, "*", filled("in-progress", json!([]))).await;
    let newer = json!([{"linkId": "other", "type": "string", "text": "Something else?"}]);
    clinic.ask(&questionnaire("2", newer), false).await;
    let shown = patient.get::<RecordsFunction>(PATH).await;
    assert_eq!(shown.body["questionnaire"]["version"], "1");
    assert_eq!(put(&patient, &tag(&shown), filled("completed", all())).await.status, 200);
    let other = clinic.world.seed_visit(&clinic.seeded, "2026-03-02T09:00:00Z").await;
    let next = clinic.world.client("demo");
    next.begin_visit(&other).await;
    assert_eq!(next.get::<RecordsFunction>(PATH).await.body["questionnaire"]["version"], "2");
    clinic.world.run("UPDATE appointment SET status = 'arrived', admitted_at = 1", vec![]).await;
    assert_eq!(put(&patient, "*", filled("completed", all())).await.refusal(), (409, "intake-closed"));
    assert_eq!(patient.get::<RecordsFunction>(PATH).await.body["closed"], true);
}

#[tokio::test]
async fn clinicians_see_what_the_same_person_answered_last() {
    let clinic = clinic().await;
    let patient = clinic.patient().await;
    put(&patient, "*", filled("completed", all())).await;
    let next = clinic.world.seed_visit(&clinic.seeded, "2026-03-09T08:00:00Z").await;
    let seen = as_doctor(&clinic, &next).await;
    assert_eq!(seen.body["previous"]["start"], "2026-03-02T08:00:00Z", "{}", seen.body);
    assert_eq!(seen.body["previous"]["response"]["item"][0]["answer"][0]["valueString"], "A cough");
    assert_eq!(seen.body["response"], json!(null));
    // A twin has the same address and birthday.
    let sql = "UPDATE patient SET name = 'Petra Patient' WHERE id = ?";
    clinic.world.run(sql, params![clinic.world.patient_of(&next).await]).await;
    assert_eq!(as_doctor(&clinic, &next).await.body["previous"], json!(null));
    let desk = clinic.world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let refused =
        desk.get::<RecordsFunction>(&format!("/records/encounters/{}/intake", next.encounter)).await;
    assert_eq!(refused.refusal(), (403, "role-not-allowed"));
}

#[tokio::test]
async fn a_service_has_questions_of_its_own() {
    let clinic = clinic().await;
    let own = json!([{"linkId": "own", "type": "string", "text": "What of this service?"}]);
    let own = json!({"resourceType": "Questionnaire", "status": "active", "item": own});
    clinic.ask_too("own", Some("video"), (&own, false)).await;
    let patient = clinic.patient().await;
    let canonical = async || patient.get::<RecordsFunction>(PATH).await.body["canonical"].clone();
    assert_eq!(canonical().await, "urn:locum:intake|1");
    clinic.world.run("UPDATE service SET key = 'video'", vec![]).await;
    let name = canonical().await;
    assert!(name.as_str().unwrap().starts_with("urn:uuid:"), "{name}");
    let answers =
        json!({"resourceType": "QuestionnaireResponse", "questionnaire": name, "status": "completed"});
    assert_eq!(put(&patient, "*", answers).await.status, 200);
}
