//! Roles are looked through until a day, and licences say where somebody may practise.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::AuthFunction;
use http::Method;
use jiff::SignedDuration;
use kit::policy::Role;
use kit::testing::{Answer, Client, World};
use serde_json::{Value as Json, json};

async fn rounds(client: &Client<'_>) -> Json {
    let answer = client.get::<AuthFunction>("/auth/recertifications").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["recertifications"].clone()
}

async fn decide(client: &Client<'_>, round: &str, decided: Json) -> Answer {
    client.post::<AuthFunction>(&format!("/auth/recertifications/{round}"), decided).await
}

#[tokio::test]
async fn every_decision_holds_at_once_and_stays_as_evidence() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let administrator = world.client("demo");
    let me = administrator.sign_in_as(Role::ClinicAdmin).await;
    let (nurse, biller) = (world.client("demo"), world.client("demo"));
    let (nora, bill) = (nurse.sign_in_as(Role::Nurse).await, biller.sign_in_as(Role::Billing).await);
    let past =
        administrator.post::<AuthFunction>("/auth/recertifications", json!({"dueOn": "2026-03-01"})).await;
    assert_eq!(past.status, 422);
    let begun =
        administrator.post::<AuthFunction>("/auth/recertifications", json!({"dueOn": "2026-03-09"})).await;
    assert_eq!(begun.status, 201, "{}", begun.body);
    let round = begun.text("/id");
    assert_eq!((&begun.body["open"], &begun.body["overdue"]), (&json!(4), &json!(false)));
    let twice =
        administrator.post::<AuthFunction>("/auth/recertifications", json!({"dueOn": "2026-03-09"})).await;
    assert_eq!(twice.refusal(), (409, "recertification-open"));

    let keep = |user| json!({"user": user, "decision": "keep"});
    assert_eq!(decide(&administrator, &round, keep(seeded.doctor)).await.status, 204);
    let again = decide(&administrator, &round, keep(seeded.doctor)).await;
    assert_eq!(again.refusal(), (409, "decided-already"));
    let change = json!({"user": nora, "decision": "change", "roles": ["nurse", "front-desk"]});
    assert_eq!(decide(&administrator, &round, change).await.status, 204);
    let mixed = json!({"user": bill, "decision": "keep", "roles": ["nurse"]});
    assert_eq!(decide(&administrator, &round, mixed).await.status, 422);
    assert_eq!(decide(&administrator, &round, json!({"user": bill, "decision": "remove"})).await.status, 204);
    assert_eq!(biller.get::<AuthFunction>("/auth/session").await.status, 401, "out at once");
    let session = nurse.get::<AuthFunction>("/auth/session").await;
    assert_eq!(session.body["user"]["roles"].as_array().unwrap().len(), 2);
    // A refused decision is none: the clinic keeps its administrator.
    let last = decide(&administrator, &round, json!({"user": me, "decision": "remove"})).await;
    assert_eq!(last.refusal(), (409, "last-administrator"));

    world.advance(SignedDuration::from_hours(24 * 8));
    administrator.begin_session(me).await;
    let shown = rounds(&administrator).await;
    assert_eq!((&shown[0]["open"], &shown[0]["overdue"]), (&json!(1), &json!(true)));
    assert_eq!(decide(&administrator, &round, keep(me)).await.status, 204);
    let shown = rounds(&administrator).await;
    assert_eq!((&shown[0]["open"], &shown[0]["overdue"]), (&json!(0), &json!(false)));
    let people = shown[0]["people"].as_array().unwrap();
    let of = |user: String| people.iter().find(|person| person["user"] == user.as_str()).unwrap();
    assert_eq!(of(nora.to_string())["roles"], json!(["nurse"]));
    assert_eq!(of(nora.to_string())["newRoles"], json!(["nurse", "front-desk"]));
    assert_eq!(of(bill.to_string())["decision"], "remove");

    let events = world.audit_events();
    let of = |code: &str| events.iter().find(|event| event["code"] == code).unwrap();
    let given = of("role-given");
    assert_eq!((&given["old"], &given["new"]), (&json!("nurse"), &json!("nurse.front-desk")));
    assert_eq!(of("access-certified")["new"], "keep");
}

#[tokio::test]
async fn roles_say_what_they_were_before() {
    let world = World::new().await;
    world.seed("demo", "Europe/Berlin").await;
    let administrator = world.client("demo");
    administrator.sign_in_as(Role::ClinicAdmin).await;
    let nora = world.client("demo").sign_in_as(Role::Nurse).await;
    let roles = Some(json!({"roles": ["doctor"]}));
    let path = format!("/auth/staff/{nora}/roles");
    let put = administrator.send::<AuthFunction>(Method::PUT, &path, roles, &[]).await;
    assert_eq!(put.status, 204);
    let events = world.audit_events();
    let changes: Vec<_> =
        events.iter().map(|event| (event["code"].as_str().unwrap(), &event["old"], &event["new"])).collect();
    let (old, new) = (json!("nurse"), json!("doctor"));
    assert_eq!(changes, [("role-taken", &old, &new), ("role-given", &old, &new)]);
}

#[tokio::test]
async fn licences_are_added_warn_before_they_end_and_are_taken_back() {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let administrator = world.client("demo");
    administrator.sign_in_as(Role::ClinicAdmin).await;
    let licence = |until: &str| {
        json!({"user": seeded.doctor, "jurisdiction": "us-or", "number": "MD 12345",
               "validFrom": "2025-01-01", "validUntil": until})
    };
    let soon = administrator.post::<AuthFunction>("/auth/licences", licence("2026-04-01")).await;
    assert_eq!(
        (soon.status, soon.text("/jurisdiction"), soon.text("/state")),
        (201, "US-OR".into(), "ends-soon".into())
    );
    administrator.post::<AuthFunction>("/auth/licences", licence("2027-01-01")).await;
    for wrong in [
        json!({"jurisdiction": "Oregon"}),
        json!({"validUntil": "2024-12-31"}),
        json!({"number": "<b>"}),
        json!({"user": "00000000-0000-7000-8000-000000000000"}),
    ] {
        let mut body = licence("2027-01-01");
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let refused = administrator.post::<AuthFunction>("/auth/licences", body).await;
        assert!(matches!(refused.status, 404 | 422), "{wrong}");
    }
    let list = administrator.get::<AuthFunction>("/auth/licences").await;
    assert_eq!(list.body["licences"].as_array().unwrap().len(), 2);
    let path = format!("/auth/licences/{}", soon.text("/id"));
    for status in [204, 404] {
        let removed = administrator.send::<AuthFunction>(Method::DELETE, &path, None, &[]).await;
        assert_eq!(removed.status, status);
    }
    let list = administrator.get::<AuthFunction>("/auth/licences").await;
    assert_eq!(list.body["licences"][0]["validUntil"], "2027-01-01");
}
