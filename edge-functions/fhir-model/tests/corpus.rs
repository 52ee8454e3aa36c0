//! HL7's own examples are valid; and whatever is done to them by machine is refused, with the name of the element.
//!
//! `corpus/examples.ndjson` is some of the package `hl7.fhir.r4.examples` 4.0.1 (CC0 1.0). `LOCUM_FHIR_EXAMPLES=file` tests others.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::collections::BTreeMap;

use fhir_model::validate;
use serde_json::{Value, json};

mod mutations;

use mutations::{mutations, pointed_at};

fn examples() -> Vec<Value> {
    let given = std::env::var("LOCUM_FHIR_EXAMPLES").map(|file| std::fs::read_to_string(file).unwrap());
    let text = given.unwrap_or_else(|_| include_str!("corpus/examples.ndjson").to_owned());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What HL7's own examples have that is against HL7's own rules: a text without a word (txt-2), a pharmacist where an
/// organization must be.
const KNOWN_TO_BE_WRONG: &[&str] =
    &["Questionnaire/zika-virus-exposure-assessment", "MedicationRequest/medrx0301"];
/// Longer ones have many of the same places.
const MAX_MUTATED: usize = 2_500;

#[test]
fn examples_of_hl7_are_valid() {
    let (mut count, mut wrong) = (0, Vec::new());
    for example in examples() {
        count += 1;
        let name = format!(
            "{}/{}",
            example["resourceType"].as_str().unwrap(),
            example["id"].as_str().unwrap_or("?")
        );
        if KNOWN_TO_BE_WRONG.contains(&name.as_str()) {
            continue;
        }
        wrong.extend(validate(&example).into_iter().map(|issue| format!("{name}: {issue:?}")));
    }
    assert!(count > 80, "only {count} examples");
    assert!(wrong.is_empty(), "{} of {count}: {wrong:#?}", wrong.len());
}

#[test]
fn what_is_done_to_them_is_refused_with_the_name_of_the_element() {
    let (mut count, mut kinds, mut missed) = (0, BTreeMap::new(), Vec::new());
    for example in examples().into_iter().filter(|example| example.to_string().len() < MAX_MUTATED) {
        for mutation in mutations(&example) {
            count += 1;
            *kinds.entry(mutation.kind).or_insert(0_usize) += 1;
            let issues = validate(&mutation.resource);
            if !issues.iter().any(|issue| pointed_at(&issue.expression, &mutation.at)) {
                let found: Vec<&String> = issues.iter().map(|issue| &issue.expression).collect();
                missed.push(format!("{} at {}: {found:?}", mutation.kind, mutation.at));
            }
        }
    }
    assert!(kinds.len() >= 9 && count >= 2_000, "{count}: {kinds:?}");
    assert!(missed.is_empty(), "{} of {count} missed: {:#?}", missed.len(), &missed[..missed.len().min(40)]);
}

/// Nothing that comes over the network may bring it down.
#[test]
fn nonsense_is_refused_and_nothing_else() {
    let mut deep = json!({"url": "x", "valueString": "x"});
    for _ in 0..60 {
        deep = json!({"url": "x", "extension": [deep]});
    }
    for nonsense in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"resourceType": 1}),
        json!({"resourceType": "Starship"}),
        json!({"resourceType": "Observation.component"}),
        json!({"resourceType": "Patient", "": 1, "_": {}, "__x": 1, "é": 2}),
        json!({"resourceType": "Patient", "_id": null, "_name": [], "contained": [null, {}, 1]}),
        json!({"resourceType": "Patient", "extension": [deep]}),
        json!({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": 1}, null]}),
    ] {
        assert!(!validate(&nonsense).is_empty(), "{nonsense}");
    }
    let many: Vec<Value> = (0..1_000).map(|_| json!({})).collect();
    assert!(validate(&json!({"resourceType": "Patient", "name": many})).len() <= 50);
}

#[test]
fn invariants_are_named_by_their_ids() {
    let coding = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let subject = json!({"reference": "Patient/1"});
    let code = coding("http://loinc.org", "8867-4");
    let observation = |more: Value| {
        let mut whole =
            json!({"resourceType": "Observation", "status": "final", "code": code, "subject": subject});
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole
    };
    let verification = "http://terminology.hl7.org/CodeSystem/condition-ver-status";
    let clinical = "http://terminology.hl7.org/CodeSystem/condition-clinical";
    let cases = [
        ("obs-6", observation(json!({"valueString": "x", "dataAbsentReason": {"text": "x"}}))),
        ("obs-7", observation(json!({"valueString": "x", "component": [{"code": code}]}))),
        ("obs-3", observation(json!({"referenceRange": [{"appliesTo": [{"text": "x"}]}]}))),
        ("qty-3", observation(json!({"valueQuantity": {"value": 1, "code": "mg"}}))),
        ("per-1", observation(json!({"effectivePeriod": {"start": "2026-03-02", "end": "2026-03-01"}}))),
        ("ref-1", observation(json!({"device": {"reference": "#d"}}))),
        ("dom-3", observation(json!({"contained": [{"resourceType": "Device", "id": "d"}]}))),
        ("ext-1", observation(json!({"extension": [{"url": "urn:x"}]}))),
        ("ele-1", observation(json!({"method": {}}))),
        ("rat-1", observation(json!({"valueRatio": {"numerator": {"value": 1}}}))),
        ("pat-1", json!({"resourceType": "Patient", "contact": [{"gender": "female"}]})),
        ("cpt-2", json!({"resourceType": "Patient", "telecom": [{"value": "1"}]})),
        (
            "app-1",
            json!({"resourceType": "Appointment", "status": "proposed", "participant": [{"status": "accepted"}]}),
        ),
        (
            "app-2",
            json!({"resourceType": "Appointment", "status": "proposed", "start": "2026-03-02T08:00:00Z",
                         "participant": [{"status": "accepted", "actor": subject}]}),
        ),
        (
            "app-3",
            json!({"resourceType": "Appointment", "status": "booked", "participant": [{"status": "accepted", "actor": subject}]}),
        ),
        (
            "app-4",
            json!({"resourceType": "Appointment", "status": "proposed", "cancelationReason": {"text": "x"},
                         "participant": [{"status": "accepted", "actor": subject}]}),
        ),
        (
            "con-4",
            json!({"resourceType": "Condition", "subject": subject, "abatementDateTime": "2026",
                         "clinicalStatus": coding(clinical, "active")}),
        ),
        (
            "con-5",
            json!({"resourceType": "Condition", "subject": subject, "clinicalStatus": coding(clinical, "active"),
                         "verificationStatus": coding(verification, "entered-in-error")}),
        ),
        ("ait-1", json!({"resourceType": "AllergyIntolerance", "patient": subject})),
        (
            "ppc-1",
            json!({"resourceType": "Consent", "status": "active", "scope": {"text": "x"}, "category": [{"text": "x"}]}),
        ),
        (
            "que-2",
            json!({"resourceType": "Questionnaire", "status": "active", "item": [
            {"linkId": "a", "type": "string"}, {"linkId": "a", "type": "string"}]}),
        ),
        (
            "qrs-1",
            json!({"resourceType": "QuestionnaireResponse", "status": "completed", "item": [
            {"linkId": "a", "answer": [{"valueBoolean": true}], "item": [{"linkId": "b"}]}]}),
        ),
        (
            "inv-1",
            json!({"resourceType": "Task", "status": "draft", "intent": "order", "authoredOn": "2026-03-02",
                         "lastModified": "2026-03-01"}),
        ),
        ("org-1", json!({"resourceType": "Organization", "active": true})),
        (
            "bdl-3",
            json!({"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": {"resourceType": "Basic", "code": {"text": "x"}}}]}),
        ),
        (
            "bdl-7",
            json!({"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": "urn:x", "resource": {"resourceType": "Patient", "active": true}},
                         {"fullUrl": "urn:x", "resource": {"resourceType": "Patient", "active": true}}]}),
        ),
    ];
    for (key, resource) in cases {
        let issues = validate(&resource);
        let found: Vec<&str> =
            issues.iter().map(|issue| issue.diagnostics.split(':').next().unwrap()).collect();
        assert_eq!(found, [key], "{issues:#?}");
    }
}
