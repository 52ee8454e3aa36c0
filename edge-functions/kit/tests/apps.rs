//! Every operation with the tokens of apps: what the policy table says is what happens. Made from the table, so that a
//! new operation is in it.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use audit::AuditFunction;
use auth::AuthFunction;
use fhir::FhirFunction;
use http::Method;
use jiff::SignedDuration;
use kit::params;
use kit::policy::{self, Access, Entry, Role, Through};
use kit::scopes::{Level, Permissions};
use kit::testing::{Answer, Client, World};
use messages::MessagesFunction;
use payments::PaymentsFunction;
use records::RecordsFunction;
use scheduling::SchedulingFunction;
use serde_json::json;
use tokens::TokensFunction;

/// Stands for all types.
const KIND: &str = "Observation";
const NOBODYS: &str = "00000000-0000-7000-8000-000000000000";

async fn ask(client: &Client<'_>, entry: &Entry, token: &str) -> Answer {
    let path = entry.path.replace("{id}", NOBODYS).replace("{type}", KIND).replace("{version}", "1");
    let method = entry.method.clone();
    let body = (method != Method::GET && method != Method::DELETE).then(|| json!({}));
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    match entry.component {
        "audit" => client.send::<AuditFunction>(method, &path, body, &headers).await,
        "auth" => client.send::<AuthFunction>(method, &path, body, &headers).await,
        "scheduling" => client.send::<SchedulingFunction>(method, &path, body, &headers).await,
        "payments" => client.send::<PaymentsFunction>(method, &path, body, &headers).await,
        "tokens" => client.send::<TokensFunction>(method, &path, body, &headers).await,
        "records" => client.send::<RecordsFunction>(method, &path, body, &headers).await,
        "fhir" => client.send::<FhirFunction>(method, &path, body, &headers).await,
        "messages" => client.send::<MessagesFunction>(method, &path, body, &headers).await,
        other => panic!("nobody asks {other}"),
    }
}

/// Every scope there is at `level`, but for what `through` asks for.
fn all_but(through: Option<Through>, level: Level) -> String {
    let scope = |rule: &policy::ResourceRule| {
        let own = |letter: &char| match through {
            Some(Through::Scope(name, permission, _)) if name == rule.resource => {
                !permission.to_string().contains(*letter)
            }
            Some(Through::Each(permission)) if rule.resource == KIND => {
                !permission.to_string().contains(*letter)
            }
            _ => true,
        };
        let letters: String = "cruds".chars().filter(own).collect();
        format!("{}/{}.{letters}", level.as_str(), rule.resource)
    };
    policy::RESOURCES.iter().map(scope).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn an_app_gets_as_far_as_its_scopes_and_its_person_do() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let patient = world.patient_of(&visit).await;
    let everybody = world.client("demo").sign_in_as(Role::Doctor).await;
    for role in [Role::FrontDesk, Role::Nurse, Role::ClinicAdmin, Role::Billing, Role::Auditor] {
        let sql = "INSERT INTO staff_role (clinic, user, role) VALUES ('demo', ?, ?)";
        world.run(sql, params![everybody, role.as_str()]).await;
    }
    let nobody = world.client("demo").sign_in_as(Role::Billing).await;
    let (mut let_in, mut wrong) = (0, Vec::new());
    for entry in policy::table() {
        let Access::Roles(roles) = entry.access else { continue };
        // What each entry of a bundle needs is its own.
        if entry.app == Some(Through::Each(Permissions::NONE)) {
            continue;
        }
        for level in [Level::Patient, Level::User, Level::System] {
            let by_itself = level == Level::System;
            let user = (!by_itself).then_some(everybody);
            let bound = (level == Level::Patient).then_some(patient);
            let (needed, fits) = match entry.app {
                Some(Through::Scope(name, permission, levels)) => {
                    (format!("{}/{name}.{permission}", level.as_str()), levels.contains(&level))
                }
                // What is to be changed is looked for first.
                Some(Through::Each(_)) if entry.name == "UpdateFoundResource" => {
                    (format!("{}/{KIND}.us", level.as_str()), !by_itself)
                }
                Some(Through::Each(permission)) => {
                    let reads = entry.method == Method::GET
                        || entry.path.contains('$')
                        || entry.path.contains("_search");
                    (format!("{}/{KIND}.{permission}", level.as_str()), reads || !by_itself)
                }
                Some(Through::Openid) => ("openid".to_owned(), !by_itself),
                None => (all_but(None, level), false),
            };
            let client = world.client("demo");
            let mut expect = |what: &str, answer: &Answer, may: bool| {
                let refused = matches!(
                    answer.problem(),
                    "insufficient-scope" | "role-not-allowed" | "sign-in-required" | "invalid-token"
                );
                if refused == may || answer.status >= 500 {
                    wrong.push(format!("{} {level:?} {what}: {:?}", entry.name, answer.refusal()));
                }
                let_in += usize::from(may);
            };
            let token = world.seed_app("demo", user, bound, &needed).await;
            expect("with its scope", &ask(&client, &entry, &token).await, fits);
            let token = world.seed_app("demo", user, bound, &all_but(entry.app, level)).await;
            expect("with every other", &ask(&client, &entry, &token).await, false);
            if !by_itself && (!roles.contains(&Role::Billing) || !entry.lets(Role::Billing, KIND)) {
                let token = world.seed_app("demo", Some(nobody), bound, &needed).await;
                expect("for somebody who may not", &ask(&client, &entry, &token).await, false);
            }
            if level == Level::Patient && entry.app != Some(Through::Openid) {
                let token = world.seed_app("demo", user, None, &needed).await;
                expect("without a patient", &ask(&client, &entry, &token).await, false);
            }
        }
    }
    assert!(let_in >= 14, "only {let_in}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn an_app_of_one_patient_sees_nobody_else() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let (own, other) = (
        world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await,
        world.seed_visit(&seeded, "2026-03-02T08:30:00Z").await,
    );
    let patient = world.patient_of(&own).await;
    let scopes =
        "patient/Encounter.rs patient/Appointment.rs patient/Patient.rs patient/DocumentReference.rus";
    let token = world.seed_app("demo", Some(seeded.doctor), Some(patient), scopes).await;
    let bearer = format!("Bearer {token}");
    let (client, headers) = (world.client("demo"), [("authorization", bearer.as_str())]);
    let list = "/scheduling/appointments?date=2026-03-02";
    let listed = client.send::<SchedulingFunction>(Method::GET, list, None, &headers).await;
    let ids: Vec<_> = listed.body["appointments"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!(own.appointment.to_string())], "{}", listed.body);
    let found = "/scheduling/patients?name=paula";
    let found = client.send::<SchedulingFunction>(Method::GET, found, None, &headers).await;
    assert_eq!(found.body["patients"].as_array().unwrap().len(), 1, "{}", found.body);
    for (visit, status) in [(&own, 200), (&other, 404)] {
        let encounter = format!("/records/encounters/{}", visit.encounter);
        for path in [encounter.clone(), format!("{encounter}/call")] {
            let answer = client.send::<RecordsFunction>(Method::GET, &path, None, &headers).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.body);
        }
        let (note, headers) = (format!("{encounter}/note"), [headers[0], ("if-match", "*")]);
        let text = Some(json!({"text": "Well."}));
        let answer = client.send::<RecordsFunction>(Method::PUT, &note, text, &headers).await;
        assert_eq!(answer.status, status, "{note}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_note_is_shown_to_apps_that_may_read_notes() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    let sql = "UPDATE encounter SET note_text = 'Well.', note_author = ?, note_updated_at = 1";
    world.run(sql, params![seeded.doctor]).await;
    let path = format!("/records/encounters/{}", visit.encounter);
    let client = world.client("demo");
    for (scopes, shown) in [
        ("user/Encounter.r user/DocumentReference.r", true),
        ("user/Encounter.r", false),
        ("user/Encounter.r patient/DocumentReference.r", false),
    ] {
        let bearer = format!("Bearer {}", world.seed_app("demo", Some(seeded.doctor), None, scopes).await);
        let headers = [("authorization", bearer.as_str())];
        let answer = client.send::<RecordsFunction>(Method::GET, &path, None, &headers).await;
        assert_eq!(
            (answer.status, answer.body["note"].is_object()),
            (200, shown),
            "{scopes}: {}",
            answer.body
        );
    }
    // Who, for whom, and through what.
    assert!(world.audit_trail().ends_with(&["staff note-read".to_owned(), "staff app-used".to_owned()]));
}

#[tokio::test]
async fn a_token_is_of_its_clinic_its_time_and_of_people_who_are_there() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    world.seed("other", "Europe/Berlin").await;
    let list = "/scheduling/appointments?date=2026-03-02";
    let status = async |clinic: &str, token: &str| {
        let bearer = format!("bearer {token}");
        let client = world.client(clinic);
        // A cookie beside it does not help.
        client.sign_in_as(Role::Doctor).await;
        let answer =
            client.send::<SchedulingFunction>(Method::GET, list, None, &[("authorization", &bearer)]).await;
        if answer.status == 401 {
            assert_eq!(answer.headers["www-authenticate"], r#"Bearer error="invalid_token""#);
        }
        answer.status
    };
    let token = world.seed_app("demo", Some(seeded.doctor), None, "user/Appointment.s").await;
    assert_eq!(status("demo", &token).await, 200);
    assert_eq!(status("other", &token).await, 401);
    assert_eq!(status("demo", &format!("{token}x")).await, 401);
    for (change, back) in [
        ("UPDATE app_grant SET revoked_at = 1", "UPDATE app_grant SET revoked_at = NULL"),
        ("UPDATE app_client SET ended_at = 1", "UPDATE app_client SET ended_at = NULL"),
        (
            "UPDATE staff_user SET left_at = 1 WHERE name = 'Somebody'",
            "UPDATE staff_user SET left_at = NULL WHERE name = 'Somebody'",
        ),
    ] {
        world.run(change, vec![]).await;
        assert_eq!(status("demo", &token).await, 401, "{change}");
        world.run(back, vec![]).await;
        assert_eq!(status("demo", &token).await, 200, "{back}");
    }
    world.run("DELETE FROM staff_role", vec![]).await;
    assert_eq!(status("demo", &token).await, 403);
    assert!(world.audit_trail().contains(&"anonymous app-refused".to_owned()));
    world.advance(SignedDuration::from_mins(31));
    assert_eq!(status("demo", &token).await, 401);
}
