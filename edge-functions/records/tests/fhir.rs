//! What is kept is FHIR: somebody else's library reads it. It has R4B, in which these three are as in R4.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use http::Method;
use kit::policy::Role;
use records::RecordsFunction;
use serde_json::{Value as Json, json};

mod support;

use support::{Clinic, questionnaire, texts};

/// One of each kind of question.
fn questions() -> Json {
    let when = json!([{"question": "a", "operator": "exists", "answerBoolean": true},
                      {"question": "b", "operator": ">=", "answerInteger": 3}]);
    let spanish = json!({"extension": [{
        "url": "http://hl7.org/fhir/StructureDefinition/translation",
        "extension": [{"url": "lang", "valueCode": "es"}, {"url": "content", "valueString": "¿A?"}],
    }]});
    json!([
        {"linkId": "t", "type": "display", "text": "Please answer."},
        {"linkId": "a", "type": "boolean", "text": "A?", "_text": spanish},
        {"linkId": "b", "type": "integer", "text": "B?", "required": true},
        {"linkId": "g", "type": "group", "text": "More", "enableWhen": when, "enableBehavior": "any", "item": [
            {"linkId": "c", "type": "decimal", "text": "C?"},
            {"linkId": "d", "type": "date", "text": "D?"},
            {"linkId": "e", "type": "string", "text": "E?", "maxLength": 20, "repeats": true},
            {"linkId": "f", "type": "text", "text": "F?"},
            {"linkId": "h", "type": "open-choice", "text": "H?", "repeats": true, "answerOption": [
                {"valueCoding": {"system": "http://snomed.info/sct", "code": "49727002", "display": "Cough"}}]},
        ]},
    ])
}

fn answers() -> Json {
    json!([
        {"linkId": "a", "answer": [{"valueBoolean": true}]},
        {"linkId": "b", "answer": [{"valueInteger": 3}]},
        {"linkId": "g", "item": [
            {"linkId": "c", "answer": [{"valueDecimal": 38.5}]},
            {"linkId": "d", "answer": [{"valueDate": "2026-02-27"}]},
            {"linkId": "e", "answer": [{"valueString": "one"}, {"valueString": "two"}]},
            {"linkId": "f", "answer": [{"valueString": "one\ntwo"}]},
            {"linkId": "h", "answer": [
                {"valueCoding": {"system": "http://snomed.info/sct", "code": "49727002", "display": "Cough"}},
                {"valueString": "something else"}]},
        ]},
    ])
}

/// Whether the library takes each of them, by its answer a line.
fn judged(resources: &[Json]) -> Vec<String> {
    let python = std::env::var("LOCUM_FHIR").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/read_fhir.py");
    let child = Command::new(&python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child =
        child.unwrap_or_else(|error| panic!("{python}: {error}; LOCUM_FHIR names one with fhir.resources"));
    let lines: Vec<String> = resources.iter().map(Json::to_string).collect();
    child.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{python} failed; `setup/fhir FOLDER` installs what it needs, LOCUM_FHIR names it"
    );
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn questionnaires_answers_and_consents_are_read_by_another_library() {
    let clinic = Clinic::new(texts("Do you agree"), questions()).await;
    let patient = clinic.patient().await;
    let filled = json!({"resourceType": "QuestionnaireResponse", "questionnaire": "urn:locum:intake|1",
                        "status": "completed", "item": answers()});
    let kept = patient
        .send::<RecordsFunction>(Method::PUT, "/records/visit/intake", Some(filled), &[("if-match", "*")])
        .await;
    assert_eq!(kept.status, 200, "{}", kept.body);
    let shown = patient.get::<RecordsFunction>("/records/visit/consent").await;
    let wish =
        json!({"texts": [{"text": shown.text("/texts/0/id"), "sha256": shown.text("/texts/0/sha256")}]});
    patient.post::<RecordsFunction>("/records/visit/consent", wish.clone()).await;
    patient.post::<RecordsFunction>("/records/visit/consent/withdraw", json!({})).await;
    let nurse = clinic.world.client("demo");
    nurse.sign_in_as(Role::Nurse).await;
    let path = format!("/records/encounters/{}/consent", clinic.visit.encounter);
    assert_eq!(nurse.post::<RecordsFunction>(&path, wish).await.status, 201);

    let mut resources = Vec::new();
    for sql in [
        "SELECT content FROM questionnaire",
        "SELECT resource FROM questionnaire_response",
        "SELECT resource FROM consent",
    ] {
        for row in clinic.world.query(sql, vec![]).await {
            resources.push(serde_json::from_str::<Json>(&row.text(0).unwrap()).unwrap());
        }
    }
    let example: Json =
        serde_json::from_str(include_str!("../../../docs/examples/questionnaire.json")).unwrap();
    assert!(kit::questionnaire::Questionnaire::parse(example.clone()).is_ok(), "the example cannot be shown");
    resources.push(example);
    assert_eq!(resources.len(), 5);
    let of = |kind: &str| resources.iter().find(|resource| resource["resourceType"] == kind).unwrap().clone();
    // It must be able to say no.
    let mut wrong = [of("Questionnaire"), of("QuestionnaireResponse"), of("Consent")];
    wrong[0]["item"][1]["type"] = json!(["boolean"]);
    wrong[1]["item"][0]["answer"] = json!([{"valueDate": "yesterday"}]);
    wrong[2].as_object_mut().unwrap().remove("scope");
    let all: Vec<Json> = resources.iter().chain(&wrong).cloned().collect();
    let said = judged(&all);
    assert_eq!(
        said[..5],
        ["Questionnaire", "QuestionnaireResponse", "Consent", "Consent", "Questionnaire"],
        "{said:#?}"
    );
    assert!(said.len() == 8 && said[5..].iter().all(|line| line.starts_with("refused")), "{said:#?}");
    assert_eq!(of("Questionnaire"), questionnaire("1", questions()));
}
