//! A clinic of made-up resources, as many as `LOCUM_FHIR_RESOURCES` says: whatever the server answers is valid by two validators
//! that know FHIR without us, fhir.resources (R4B, the same in these types) and Medplum's by the definitions of R4.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

mod support;

use support::Clinic;

/// The same numbers for the same seed (Knuth's MMIX).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

fn coded(system: &str, code: &str) -> Json {
    json!({"coding": [{"system": system, "code": code}], "text": code})
}

/// No medical facts: codes and numbers drawn at random.
fn resource(dice: &mut Dice, patients: &[String], doctor: &str) -> Json {
    let subject = json!({"reference": format!("Patient/{}", dice.one(patients))});
    let practitioner = json!({"reference": format!("Practitioner/{doctor}")});
    let day = format!("20{:02}-{:02}-{:02}", 10 + dice.below(16), 1 + dice.below(12), 1 + dice.below(28));
    let code: &&str = dice.one(&["8867-4", "8480-6", "8462-4", "29463-7"]);
    let code = coded("http://loinc.org", code);
    match dice.below(8) {
        0..=2 => {
            let value = json!({"value": dice.below(2_000), "unit": "1", "system": "http://unitsofmeasure.org", "code": "1"});
            let mut observation = json!({
                "resourceType": "Observation", "status": dice.one(&["final", "preliminary", "amended"]), "code": code,
                "subject": subject, "effectiveDateTime": day, "performer": [practitioner],
                "category": [coded("http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs")],
            });
            match dice.below(4) {
                0 => observation["dataAbsentReason"] = json!({"text": "not asked"}),
                1 => {
                    observation["component"] =
                        json!([{"code": coded("urn:own", "part"), "valueQuantity": value}])
                }
                2 => {
                    observation["_effectiveDateTime"] =
                        json!({"extension": [{"url": "urn:own:exact", "valueBoolean": false}]})
                }
                _ => observation["valueQuantity"] = value,
            }
            observation
        }
        3 => {
            let clinical: &&str = dice.one(&["active", "resolved"]);
            let mut condition = json!({
                "resourceType": "Condition", "subject": subject, "code": code, "onsetDateTime": day,
                "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", clinical),
                "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><p>Made up</p></div>"},
            });
            if *clinical == "resolved" {
                condition["abatementString"] = json!("once");
            }
            condition
        }
        4 => json!({
            "resourceType": "AllergyIntolerance", "patient": subject, "code": code, "recordedDate": day,
            "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active"),
            "criticality": dice.one(&["low", "high"]), "reaction": [{"manifestation": [{"text": "some"}]}],
        }),
        5 => json!({
            "resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": subject,
            "authoredOn": day, "requester": practitioner, "medicationReference": {"reference": "#m"},
            "contained": [{"resourceType": "Medication", "id": "m", "code": {"text": "something"}}],
            "dosageInstruction": [{"timing": {"repeat": {"frequency": 1 + dice.below(3), "period": 1, "periodUnit": "d"}}}],
        }),
        6 => json!({
            "resourceType": "DocumentReference", "status": "current", "subject": subject, "type": code,
            "date": format!("{day}T08:00:00+01:00"),
            "content": [{"attachment": {"contentType": "text/plain", "data": "SGVsbG8="}}],
        }),
        _ => json!({
            "resourceType": "Task", "status": dice.one(&["requested", "completed"]), "intent": "order", "for": subject,
            "authoredOn": day, "lastModified": "2026-11-30", "description": "Something to do",
        }),
    }
}

/// What a validator says of each; an empty line says nothing against it.
fn judged(mut command: Command, lines: &[String]) -> Vec<String> {
    let name = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let (mut input, text) = (child.stdin.take().unwrap(), lines.join("\n") + "\n");
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(
        output.status.success(),
        "{name} failed; `setup/fhir FOLDER` and `setup/node-packages` install what it needs"
    );
    let said: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(said.len(), lines.len(), "{name}");
    said
}

fn by_python(lines: &[String]) -> Vec<String> {
    let mut command = Command::new(std::env::var("LOCUM_FHIR").unwrap_or_else(|_| "python3".to_owned()));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/others/validate.py"));
    judged(command, lines)
}

fn by_medplum(lines: &[String]) -> Vec<String> {
    let mut command = Command::new("node");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/others/validate.mjs"));
    judged(command, lines)
}

#[tokio::test]
async fn every_answer_is_valid_by_two_other_validators() {
    let wanted: usize = std::env::var("LOCUM_FHIR_RESOURCES").map_or(250, |text| text.parse().unwrap());
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let mut dice = Dice(20_261_130);
    let practitioner = clinic.seeded.practitioner.to_string();
    let entry = |resource: Json| json!({"request": {"method": "POST", "url": resource["resourceType"]}, "resource": resource});
    let mut left = wanted;
    while left > 0 {
        let some = left.min(100);
        let entries: Vec<Json> =
            (0..some).map(|_| entry(resource(&mut dice, &clinic.patients, &practitioner))).collect();
        let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
        let done = doctor.post("", &bundle).await;
        assert_eq!(done.status, 200, "{}", done.body);
        left -= some;
    }
    let mut answers = vec![doctor.get("/metadata").await.body, doctor.get("/Observation/none").await.body];
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let types = doctor.get("/metadata").await.body["rest"][0]["resource"].as_array().unwrap().clone();
    for kind in types.iter().map(|one| one["type"].as_str().unwrap()) {
        let mut next = Some(format!("/{kind}?_count=100"));
        while let Some(path) = next {
            let page = doctor.get(&path).await.body;
            let entries = page["entry"].as_array().cloned().unwrap_or_default();
            *counts.entry(kind.to_owned()).or_default() += entries.len();
            answers.extend(entries.into_iter().map(|entry| entry["resource"].clone()));
            let link =
                page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next").cloned();
            next =
                link.map(|link| link["url"].as_str().unwrap().split("/fhir/R4").nth(1).unwrap().to_owned());
            answers.push(page);
        }
    }
    let stored: usize = kit::resources::STORED.iter().filter_map(|kind| counts.get(*kind)).sum();
    assert_eq!(stored, wanted, "{counts:?}");
    assert!(counts["Patient"] == 2 && counts["Encounter"] == 2 && counts["Organization"] == 1, "{counts:?}");
    // They must be able to say no.
    answers.push(json!({"resourceType": "Observation", "status": "final"}));
    let lines: Vec<String> = answers.iter().map(Json::to_string).collect();
    for (name, said) in [("medplum", by_medplum(&lines)), ("fhir.resources", by_python(&lines))] {
        let against: Vec<(usize, &String)> =
            said.iter().enumerate().filter(|(_, said)| !said.is_empty()).collect();
        assert_eq!(against.len(), 1, "{name}: {against:#?}");
        assert_eq!(against[0].0, lines.len() - 1, "{name}: {against:#?}");
    }
}
