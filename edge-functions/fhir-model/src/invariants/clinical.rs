//! Of what is found and done.

use serde_json::Value;

use super::{Members, coded, exists, has, has_choice, is_after, list, text};

pub(super) fn check(name: &str, of: &Members, refuse: &mut dyn FnMut(bool, &str, &str)) {
    match name {
        "Observation" => observation(of, refuse),
        "Observation.referenceRange" => {
            let some = has(of, "low") || has(of, "high") || exists(of, "text");
            refuse(some, "obs-3", "has a low, a high or a text");
        }
        "AllergyIntolerance" => {
            let system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification";
            let in_error = coded(of, "verificationStatus", system, &["entered-in-error"]);
            let status = has(of, "clinicalStatus");
            refuse(in_error || status, "ait-1", "has a clinicalStatus unless it was entered in error");
            refuse(!in_error || !status, "ait-2", "has no clinicalStatus if it was entered in error");
        }
        "Condition" => {
            let system = "http://terminology.hl7.org/CodeSystem/condition-ver-status";
            let in_error = coded(of, "verificationStatus", system, &["entered-in-error"]);
            refuse(
                !in_error || !has(of, "clinicalStatus"),
                "con-5",
                "has no clinicalStatus if it was entered in error",
            );
            let system = "http://terminology.hl7.org/CodeSystem/condition-clinical";
            let over = coded(of, "clinicalStatus", system, &["resolved", "remission", "inactive"]);
            let abated = has_choice(of, "abatement");
            refuse(!abated || over, "con-4", "what abated is inactive, resolved or in remission");
        }
        "Condition.stage" => {
            refuse(has(of, "summary") || has(of, "assessment"), "con-1", "has a summary or an assessment");
        }
        "Condition.evidence" => {
            refuse(has(of, "code") || has(of, "detail"), "con-2", "has a code or a detail")
        }
        "ServiceRequest" => {
            refuse(
                !has(of, "orderDetail") || has(of, "code"),
                "prr-1",
                "details need the code of what is ordered",
            );
        }
        "Task" => {
            let turned = is_after(text(of, "authoredOn"), text(of, "lastModified"));
            refuse(!turned, "inv-1", "lastModified must not be before authoredOn");
        }
        _ => {}
    }
}

fn observation(of: &Members, refuse: &mut dyn FnMut(bool, &str, &str)) {
    let value = has_choice(of, "value");
    refuse(!value || !has(of, "dataAbsentReason"), "obs-6", "has a value or says why there is none");
    if value {
        let codings = |concept: Option<&'_ Value>| -> Vec<Value> {
            let coding = concept.and_then(|concept| concept.get("coding")).and_then(Value::as_array);
            coding.cloned().unwrap_or_default()
        };
        let own = codings(of.get("code"));
        let same =
            |component: &Value| codings(component.get("code")).iter().any(|coding| own.contains(coding));
        let twice = list(of, "component").iter().any(same);
        refuse(!twice, "obs-7", "a component of the same code has the value");
    }
}
