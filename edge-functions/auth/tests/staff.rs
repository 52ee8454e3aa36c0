//! Staff come, change roles, lose things and leave.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::AuthFunction;
use http::Method;
use jiff::SignedDuration;
use kit::policy::Role;
use kit::testing::{Answer, Client, World};
use serde_json::{Value as Json, json};

const CHOSEN: &str = "tulips over Oslo";

struct Clinic {
    world: World,
}

impl Clinic {
    async fn new() -> Self {
        let world = World::new().await;
        world.seed("demo", "Europe/Berlin").await;
        Self { world }
    }

    async fn administrator(&self) -> Client<'_> {
        let client = self.world.client("demo");
        client.sign_in_as(Role::ClinicAdmin).await;
        client
    }

    async fn listed(&self, administrator: &Client<'_>, id: &str) -> Json {
        let list = administrator.get::<AuthFunction>("/auth/staff").await;
        let staff = list.body["staff"].as_array().unwrap();
        staff.iter().find(|member| member["id"] == id).unwrap().clone()
    }
}

async fn invite(administrator: &Client<'_>, username: &str, roles: &[&str]) -> Answer {
    let body = json!({"name": "Nora New", "username": username, "roles": roles});
    administrator.post::<AuthFunction>("/auth/staff", body).await
}

async fn enrol(client: &Client<'_>, token: &str, password: &str) -> Answer {
    client.post::<AuthFunction>("/auth/enrolments", json!({"token": token, "password": password})).await
}

async fn act(administrator: &Client<'_>, id: &str, verb: &str) -> Answer {
    administrator.post::<AuthFunction>(&format!("/auth/staff/{id}/{verb}"), json!({})).await
}

async fn put_roles(administrator: &Client<'_>, id: &str, roles: &[&str]) -> Answer {
    let path = format!("/auth/staff/{id}/roles");
    administrator.send::<AuthFunction>(Method::PUT, &path, Some(json!({"roles": roles})), &[]).await
}

#[tokio::test]
async fn somebody_new_chooses_a_password_by_a_link_that_works_once() {
    let clinic = Clinic::new().await;
    let administrator = clinic.administrator().await;
    let invited = invite(&administrator, "nora", &["nurse"]).await;
    assert_eq!(invited.status, 201, "{}", invited.body);
    let (id, token) = (invited.text("/id"), invited.text("/token"));
    assert_eq!(clinic.listed(&administrator, &id).await["status"], "invited");

    let client = clinic.world.client("demo");
    for weak in ["short", "password1", "noranew2026"] {
        assert_eq!(enrol(&client, &token, weak).await.refusal(), (422, "invalid-input"), "{weak}");
    }
    let chosen = enrol(&client, &token, CHOSEN).await;
    assert_eq!((chosen.status, &chosen.body["next"]), (201, &json!("enrolment")), "{}", chosen.body);
    assert_eq!(client.post::<AuthFunction>("/auth/totp", json!({})).await.status, 201);
    assert_eq!(enrol(&clinic.world.client("demo"), &token, CHOSEN).await.refusal(), (404, "unknown-link"));
    let listed = clinic.listed(&administrator, &id).await;
    assert_eq!((&listed["status"], &listed["secondFactor"]), (&json!("active"), &json!(false)));
    assert_eq!(invite(&administrator, "NORA", &["nurse"]).await.refusal(), (409, "username-taken"));

    let late = invite(&administrator, "late", &["nurse"]).await.text("/token");
    clinic.world.advance(SignedDuration::from_hours(7 * 24));
    assert_eq!(enrol(&client, &late, CHOSEN).await.status, 404);
}

#[tokio::test]
async fn roles_hold_from_the_next_request_on_and_are_recorded_one_by_one() {
    let clinic = Clinic::new().await;
    let administrator = clinic.administrator().await;
    let desk = clinic.world.client("demo");
    let id = desk.sign_in_as(Role::FrontDesk).await.to_string();
    assert_eq!(desk.get::<AuthFunction>("/auth/staff").await.status, 403);
    assert_eq!(put_roles(&administrator, &id, &["auditor", "billing"]).await.status, 204);
    assert_eq!(desk.get::<AuthFunction>("/auth/staff").await.status, 200);
    let changes: Vec<_> = clinic
        .world
        .audit_events()
        .into_iter()
        .filter(|event| event["entity"]["type"] == "PractitionerRole")
        .map(|event| {
            format!("{} {}", event["code"].as_str().unwrap(), event["entity"]["id"].as_str().unwrap())
        })
        .collect();
    let wanted = [
        format!("role-taken {id}/front-desk"),
        format!("role-given {id}/auditor"),
        format!("role-given {id}/billing"),
    ];
    assert_eq!(changes, wanted);
    for wrong in [&[][..], &["king"], &["patient"], &["nurse", "nurse"]] {
        assert_eq!(put_roles(&administrator, &id, wrong).await.status, 422, "{wrong:?}");
    }
}

#[tokio::test]
async fn who_leaves_is_out_at_once() {
    let clinic = Clinic::new().await;
    let administrator = clinic.administrator().await;
    let doctor = clinic.world.client("demo");
    let id = doctor.sign_in_as(Role::Doctor).await.to_string();
    assert_eq!(doctor.get::<AuthFunction>("/auth/session").await.status, 200);
    assert_eq!(act(&administrator, &id, "leave").await.status, 204);
    assert_eq!(doctor.get::<AuthFunction>("/auth/session").await.status, 401);
    assert_eq!(clinic.listed(&administrator, &id).await["status"], "left");
    for verb in ["leave", "reset", "unlock"] {
        assert_eq!(act(&administrator, &id, verb).await.status, 404, "{verb}");
    }
}

#[tokio::test]
async fn who_lost_everything_begins_anew() {
    let clinic = Clinic::new().await;
    let administrator = clinic.administrator().await;
    let doctor = clinic.world.client("demo");
    let id = doctor.sign_in_as(Role::Doctor).await.to_string();
    doctor.post::<AuthFunction>("/auth/totp", json!({})).await;
    clinic.world.run("UPDATE totp_factor SET confirmed_at = 1", vec![]).await;
    let reset = act(&administrator, &id, "reset").await;
    assert_eq!(reset.status, 201, "{}", reset.body);
    assert_eq!(doctor.get::<AuthFunction>("/auth/session").await.status, 401);
    let chosen = enrol(&doctor, &reset.text("/token"), CHOSEN).await;
    assert_eq!((chosen.status, &chosen.body["next"]), (201, &json!("enrolment")));
}

#[tokio::test]
async fn a_clinic_keeps_an_administrator() {
    let clinic = Clinic::new().await;
    let administrator = clinic.world.client("demo");
    let id = administrator.sign_in_as(Role::ClinicAdmin).await.to_string();
    assert_eq!(act(&administrator, &id, "leave").await.refusal(), (409, "last-administrator"));
    assert_eq!(put_roles(&administrator, &id, &["nurse"]).await.refusal(), (409, "last-administrator"));
    let listed = clinic.listed(&administrator, &id).await;
    assert_eq!((&listed["status"], &listed["roles"]), (&json!("active"), &json!(["clinic-admin"])));
}

#[tokio::test]
async fn other_sessions_are_seen_and_ended() {
    let clinic = Clinic::new().await;
    let (doctor, elsewhere) = (clinic.world.client("demo"), clinic.world.client("demo"));
    let user = doctor.sign_in_as(Role::Doctor).await;
    elsewhere.begin_session(user).await;
    let list = async |client: &Client<'_>| {
        let answer = client.get::<AuthFunction>("/auth/sessions").await;
        answer.body["sessions"].as_array().cloned().unwrap_or_default()
    };
    let sessions = list(&doctor).await;
    assert_eq!(sessions.len(), 2);
    let other = sessions.iter().find(|session| session["current"] == false).unwrap();
    let end = async |client: &Client<'_>, id: &str| {
        client.send::<AuthFunction>(Method::DELETE, &format!("/auth/sessions/{id}"), None, &[]).await.status
    };
    let stranger = clinic.administrator().await;
    let id = other["id"].as_str().unwrap();
    assert_eq!(end(&stranger, id).await, 404, "somebody else's");
    assert_eq!(end(&doctor, id).await, 204);
    assert_eq!(elsewhere.get::<AuthFunction>("/auth/session").await.status, 401);

    elsewhere.begin_session(user).await;
    assert_eq!(doctor.send::<AuthFunction>(Method::DELETE, "/auth/sessions", None, &[]).await.status, 204);
    assert_eq!(elsewhere.get::<AuthFunction>("/auth/session").await.status, 401);
    assert_eq!(list(&doctor).await.len(), 1);
}
