//! The policy table, docs/openapi.yaml and spin.toml say the same.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use kit::policy::{self, Access, Condition, Role, Through};
use kit::testing::health_routes;
use serde_json::Value as Json;

/// Where SMART App Launch wants it, whoever answers.
const FHIR_DISCOVERY: &str = "/fhir/.well-known/smart-configuration";
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

fn project_file(name: &str) -> String {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn openapi() -> Json {
    serde_saphyr::from_str(&project_file("docs/openapi.yaml")).unwrap()
}

/// As routes of Spin are written.
fn as_route(path: &str) -> String {
    path.replace('{', ":").replace('}', "")
}

/// Of each operation: tag, operation id, method, path below the clinic, roles, condition.
fn documented() -> BTreeSet<String> {
    let document = openapi();
    let mut operations = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let below = path.strip_prefix("/c/{clinic}").unwrap_or_else(|| panic!("{path} is of no clinic"));
        for (method, operation) in item.as_object().unwrap() {
            if !METHODS.contains(&method.as_str()) {
                continue;
            }
            let roles = operation.get("x-locum-roles").map_or("anyone".to_owned(), Json::to_string);
            let condition = operation.get("x-locum-condition").and_then(Json::as_str).unwrap_or("always");
            let (tag, id) = (&operation["tags"][0], &operation["operationId"]);
            operations.insert(format!("{tag} {id} {} {below} {roles} {condition}", method.to_uppercase()));
        }
    }
    operations
}

fn allowed() -> BTreeSet<String> {
    let line = |entry: policy::Entry| {
        let (first, rest) = entry.name.split_at(1);
        let id = format!("{}{rest}", first.to_lowercase());
        let roles = match entry.access {
            Access::Anyone => "anyone".to_owned(),
            Access::Roles(roles) => serde_json::to_string(roles).unwrap(),
            Access::SigningIn => "\"signing-in\"".to_owned(),
            Access::Node => "\"node\"".to_owned(),
        };
        let condition = match entry.condition {
            Condition::Always => "always".to_owned(),
            Condition::Fresh => "fresh".to_owned(),
            Condition::Account => "account".to_owned(),
            Condition::Given(scope) => format!("given-{}", scope.as_str()),
        };
        format!("{:?} {id:?} {} {} {roles} {condition}", entry.component, entry.method, entry.path)
    };
    policy::table().into_iter().map(line).collect()
}

#[test]
fn every_documented_operation_is_in_the_policy_table_and_the_reverse() {
    let (documented, allowed) = (documented(), allowed());
    assert!(documented.len() > 15, "the document was not read");
    let only_documented: Vec<_> = documented.difference(&allowed).collect();
    let only_allowed: Vec<_> = allowed.difference(&documented).collect();
    assert!(
        only_documented.is_empty() && only_allowed.is_empty(),
        "only in openapi.yaml: {only_documented:#?}\nonly in the policy table: {only_allowed:#?}"
    );
}

/// Of each operation that apps may call: the scopes of which it takes one.
#[test]
fn scopes_of_operations_are_documented() {
    let mut documented = BTreeSet::new();
    for (_, operation) in
        openapi()["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap())
    {
        let Some(scopes) = operation.get("x-locum-app") else { continue };
        let secured = operation["security"].as_array().unwrap().iter().any(|way| way.get("app").is_some());
        assert!(secured, "{}", operation["operationId"]);
        documented.insert(format!("{} {scopes}", operation["operationId"].as_str().unwrap()));
    }
    let line = |entry: policy::Entry| {
        let scopes = match entry.app? {
            Through::Openid => vec!["openid".to_owned()],
            Through::Each(permission) => vec![format!("*/{{type}}.{permission}")],
            Through::Scope(name, permission, levels) => {
                levels.iter().map(|level| format!("{}/{name}.{permission}", level.as_str())).collect()
            }
        };
        let (first, rest) = entry.name.split_at(1);
        Some(format!("{}{rest} {}", first.to_lowercase(), serde_json::to_string(&scopes).unwrap()))
    };
    assert_eq!(documented, policy::table().into_iter().filter_map(line).collect());
}

/// Pages of others may ask what apps ask, and nothing else.
#[test]
fn what_apps_ask_is_declared_for_their_pages() {
    let of_oauth = |entry: &policy::Entry| {
        let metadata =
            entry.path.contains("/.well-known/") || ["GetJwks", "GetCapabilities"].contains(&entry.name);
        metadata || ["CreateToken", "IntrospectToken", "RevokeToken"].contains(&entry.name)
    };
    let wanted: BTreeSet<String> = policy::table()
        .into_iter()
        .filter(|entry| entry.app.is_some() || of_oauth(entry))
        .map(|entry| format!("/c/:clinic{}", as_route(entry.path)))
        .collect();
    let manifest: toml::Table = project_file("spin.toml").parse().unwrap();
    let components = manifest["component"].as_table().unwrap().values();
    let declared = components.filter_map(|component| component.get("tool")?["locum"].get("apps")?.as_array());
    let declared: BTreeSet<String> =
        declared.flatten().map(|route| route.as_str().unwrap().to_owned()).collect();
    assert_eq!(declared, wanted);
}

#[test]
fn no_two_operations_answer_the_same_request() {
    let mut seen = BTreeSet::new();
    for entry in policy::table() {
        assert!(seen.insert((entry.method.to_string(), entry.path)), "{} {} twice", entry.method, entry.path);
        if entry.path == FHIR_DISCOVERY {
            continue;
        }
        let prefix = format!("/{}/", entry.component);
        assert!(entry.path.starts_with(&prefix), "{} does not belong to {}", entry.path, entry.component);
    }
}

#[test]
fn what_is_open_to_anyone_is_meant_to_be() {
    let open: Vec<_> = policy::table()
        .into_iter()
        .filter(|entry| entry.access == Access::Anyone)
        .map(|entry| entry.name)
        .collect();
    let meant = [
        "CreateSession",
        "CreateEnrolment",
        "CreateVisitSession",
        "CreateVisitCode",
        "CreatePatientCode",
        "CreatePatientSession",
        "CreatePatientPasskeyRequest",
        "CreatePatientPasskeySession",
        "CreateProxySession",
        "GetOpenidConfiguration",
        "GetOauthMetadata",
        "GetSmartConfiguration",
        "GetFhirSmartConfiguration",
        "GetJwks",
        "CreateToken",
        "IntrospectToken",
        "RevokeToken",
        "ListSignInOptions",
        "CreateExternalSignIn",
        "CompleteExternalSignIn",
        "GetClinic",
        "ListSlots",
        "CreateHold",
        "CreateConfirmation",
        "GetPaymentOptions",
        "CreateCardPayment",
        "CheckCardPayment",
        "ReceiveStripeEvent",
        "GetCapabilities",
        "CreateLinkRequest",
        "CreateOptOut",
        "ReceiveSmsStatus",
        "ReceiveSms",
        "ReceiveBounce",
    ];
    assert_eq!(open, meant);
}

#[test]
fn every_role_has_an_answer_for_every_operation() {
    // A patient reaches nothing of the staff's, an auditor and a biller no record, operations no clinic's
    // data.
    for entry in policy::table() {
        let allowed: Vec<_> = Role::ALL.into_iter().filter(|role| entry.access.allows(*role)).collect();
        assert_eq!(allowed.is_empty(), entry.access == Access::Node, "who may {}", entry.name);
        if entry.access == Access::Anyone {
            continue;
        }
        let clinical =
            ["/records/", "/scheduling/appointments"].iter().any(|part| entry.path.starts_with(part));
        // What patients say themselves before a visit.
        let clinical = clinical && !entry.path.starts_with("/records/visit/");
        for role in [Role::Patient, Role::Proxy, Role::Guest, Role::Billing, Role::Auditor, Role::Ops] {
            assert!(!(clinical && allowed.contains(&role)), "{role} reaches {}", entry.name);
        }
        let sets_up = ["PutClinic", "GetSetUp", "PutSetUp"].contains(&entry.name);
        assert_eq!(allowed.contains(&Role::Ops), sets_up, "{}", entry.name);
    }
}

/// What is not open to anyone shows somebody's data, unless it stands here.
#[test]
fn what_shows_somebodys_data_is_declared_for_the_audit() {
    // A membership has random ids and hashes only; how a clinic writes is the clinic's.
    const SHOWS_NOBODYS: [&str; 7] = [
        "GetMembership",
        "LeaveCall",
        "GetMessageSettings",
        "PutMessageSettings",
        "ListRecallRules",
        "CreateRecallRule",
        "EndRecallRule",
    ];
    const SHOWS_THEIRS_TO_ANYONE: [&str; 3] =
        ["CreateVisitSession", "CreateConfirmation", "CheckCardPayment"];
    let wanted: BTreeSet<String> = policy::table()
        .into_iter()
        .filter(|entry| match entry.access {
            Access::Anyone => SHOWS_THEIRS_TO_ANYONE.contains(&entry.name),
            // Nodes know no names, and are answered nothing.
            Access::Node | Access::SigningIn => false,
            // What `auth` knows of staff is no health data.
            Access::Roles(roles) => {
                let of_patients = roles.contains(&Role::Patient)
                    || entry.name.contains("Proxy")
                    || entry.name.contains("Proxies");
                (entry.component != "auth" || of_patients) && !SHOWS_NOBODYS.contains(&entry.name)
            }
        })
        .map(|entry| as_route(entry.path))
        .collect();
    let declared: BTreeSet<String> = health_routes().iter().cloned().collect();
    assert_eq!(declared, wanted);
}

#[test]
fn problems_and_secured_operations_are_described() {
    for (path, item) in openapi()["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !METHODS.contains(&method.as_str()) {
                continue;
            }
            let place = format!("{method} {path}");
            assert!(operation["responses"].get("default").is_some(), "{place}: no problem");
            for (status, names) in [("503", "Unavailable"), ("409", "istory")] {
                let said = operation["responses"].get(status).map(Json::to_string).unwrap_or_default();
                assert!(said.contains(names), "{place}: {status} as it may come from any host");
            }
            let secured = operation["security"].as_array().is_some_and(|list| !list.is_empty());
            assert_eq!(secured, operation.get("x-locum-roles").is_some(), "{place}");
            let keyed = operation["parameters"].to_string().contains("IdempotencyKey");
            assert_eq!(keyed, method != "get", "{place}: Idempotency-Key");
        }
    }
}

/// Wherever a request may carry a key, the key may be one that another request had: a problem without `errors`.
#[test]
fn a_key_that_was_used_for_something_else_is_documented() {
    const PROBLEM: &str = "#/components/schemas/Problem";
    let document = openapi();
    let referred = |value: &Json| {
        let name = value["$ref"].as_str().and_then(|name| name.strip_prefix('#'));
        name.and_then(|name| document.pointer(name)).unwrap_or(value).clone()
    };
    let mut looked_at = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let has_key =
                parameters.into_iter().any(|one| one["$ref"] == "#/components/parameters/IdempotencyKey");
            let answer = &operation["responses"]["422"];
            if !METHODS.contains(&method.as_str()) || !has_key || answer.is_null() {
                continue;
            }
            let schema = &referred(answer)["content"]["application/problem+json"]["schema"];
            let any = schema["anyOf"].as_array().into_iter().flatten();
            let says = schema["$ref"] == PROBLEM || any.into_iter().any(|one| one["$ref"] == PROBLEM);
            assert!(says, "{method} {path}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 5, "the document was not read");
}

#[test]
fn spin_routes_every_component_and_nothing_else() {
    let manifest: toml::Table = project_file("spin.toml").parse().unwrap();
    let mut routed = BTreeSet::new();
    for trigger in manifest["trigger"]["http"].as_array().unwrap() {
        let component = trigger["component"].as_str().unwrap();
        if trigger["route"].as_str() == Some(format!("/c/:clinic{FHIR_DISCOVERY}").as_str()) {
            continue;
        }
        assert_eq!(trigger["route"].as_str(), Some(format!("/c/:clinic/{component}/...").as_str()));
        assert_eq!(
            manifest["component"][component]["source"].as_str(),
            Some(format!("edge-functions/build/{component}.wasm").as_str())
        );
        routed.insert(component.to_owned());
    }
    let answering: BTreeSet<_> =
        policy::table().into_iter().map(|entry| entry.component.to_owned()).collect();
    let declared: BTreeSet<_> = manifest["component"].as_table().unwrap().keys().cloned().collect();
    assert_eq!(routed, answering);
    assert_eq!(declared, answering);
}

#[test]
fn reads_that_write_are_reads_and_declared() {
    let manifest: toml::Table = project_file("spin.toml").parse().unwrap();
    for (id, component) in manifest["component"].as_table().unwrap() {
        let writes = component.get("tool").and_then(|tool| tool["locum"].get("writes"));
        for route in writes.and_then(toml::Value::as_array).into_iter().flatten() {
            let path = route.as_str().unwrap().strip_prefix("/c/:clinic").unwrap().replace(":id", "{id}");
            let known = policy::table().into_iter().any(|entry| {
                entry.component == id && entry.path == path && entry.method == http::Method::GET
            });
            assert!(known, "{id}: {path} is no GET");
        }
    }
}

/// The schemas below `value`, references followed, until one is marked as clinical.
fn is_clinical(document: &Json, value: &Json, seen: &mut BTreeSet<String>) -> bool {
    match value {
        Json::Object(members) => {
            if members.get("x-locum-clinical") == Some(&Json::Bool(true)) {
                return true;
            }
            let reference = members.get("$ref").and_then(Json::as_str);
            let target = reference.filter(|name| seen.insert((*name).to_owned()));
            let target = target.and_then(|name| document.pointer(name.trim_start_matches('#')));
            target.is_some_and(|target| is_clinical(document, target, seen))
                || members.values().any(|member| is_clinical(document, member, seen))
        }
        Json::Array(items) => items.iter().any(|item| is_clinical(document, item, seen)),
        _ => false,
    }
}

#[test]
fn clinical_fields_are_answered_to_those_who_treat_only() {
    let document = openapi();
    let mut found = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !is_clinical(&document, &operation["responses"], &mut BTreeSet::new()) {
                continue;
            }
            found += 1;
            for role in operation["x-locum-roles"].as_array().unwrap() {
                let treats = ["doctor", "nurse"].contains(&role.as_str().unwrap());
                assert!(treats, "{method} {path} answers {role} with a clinical field");
            }
        }
    }
    assert!(found >= 2, "no answer has a clinical field");
}
