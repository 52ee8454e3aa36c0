//! Patients with an account, and those who act for them.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use auth::{AuthFunction, code, lockout};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jiff::SignedDuration;
use kit::cookies;
use kit::policy::Role;
use kit::testing::{Answer, Booked, Client, Seeded, World};
use locum_passkey::Passkey;
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};

const ORIGIN: &str = "https://app.locum.test";

struct Clinic {
    world: World,
    seeded: Seeded,
    visit: Booked,
}

async fn clinic() -> Clinic {
    let world = World::new().await;
    let seeded = world.seed("demo", "Europe/Berlin").await;
    let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
    Clinic { world, seeded, visit }
}

async fn post(client: &Client<'_>, path: &str, body: Json) -> Answer {
    client.post::<AuthFunction>(path, body).await
}

async fn session(client: &Client<'_>) -> Answer {
    client.get::<AuthFunction>("/auth/patient/session").await
}

async fn visits(client: &Client<'_>) -> Answer {
    client.get::<SchedulingFunction>("/scheduling/own-visits").await
}

impl Clinic {
    async fn ask_for_code(&self, email: &str) -> Answer {
        post(&self.world.client("demo"), "/auth/patient/codes", json!({"email": email})).await
    }

    async fn messages(&self) -> i64 {
        self.world.count("SELECT count(*) FROM outbox_message").await
    }

    async fn last_message(&self, column: &str) -> String {
        let sql = format!("SELECT {column} FROM outbox_message ORDER BY created_at DESC, id DESC LIMIT 1");
        self.world.query(&sql, vec![]).await[0].text(0).unwrap()
    }

    async fn code(&self) -> String {
        self.last_message("body").await.split("code is ").nth(1).unwrap()[..7].to_owned()
    }

    /// A patient signs in with a code by mail.
    async fn patient(&self) -> Client<'_> {
        self.world.advance(code::PAUSE);
        self.ask_for_code("Paula@example.org").await;
        let client = self.world.client("demo");
        let body =
            json!({"email": "PAULA@example.org", "birthDate": "1980-01-31", "code": self.code().await});
        let answer = post(&client, "/auth/patient/sessions", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        client
    }

    async fn invite(&self, by: &Client<'_>, path: &str, scopes: &[&str], until: &str) -> Answer {
        self.world.advance(SignedDuration::from_millis(1));
        let body = json!({"name": "Petra Parent", "relationship": "parent", "email": "petra@example.org",
                          "scopes": scopes, "until": until});
        post(by, path, body).await
    }

    /// Whoever was invited last comes by their link.
    async fn proxy(&self) -> Client<'_> {
        let link = self.last_message("link").await;
        let (page, token) = link.split_once('#').unwrap();
        assert_eq!((page, token.len()), ("https://app.locum.test/c/demo/proxy", 22));
        let client = self.world.client("demo");
        let answer = post(&client, "/auth/proxy-sessions", json!({"token": token})).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        client
    }

    fn own_visit(&self) -> String {
        format!("/auth/patient/visits/{}/session", self.visit.appointment)
    }
}

#[tokio::test]
async fn codes_and_invitations_are_in_the_language_of_the_patient() {
    let clinic = clinic().await;
    let sql = "INSERT INTO patient_contact (clinic, patient, language) SELECT clinic, id, 'es' FROM patient";
    clinic.world.run(sql, vec![]).await;
    clinic.ask_for_code("paula@example.org").await;
    let (subject, body) = (clinic.last_message("subject").await, clinic.last_message("body").await);
    assert!(subject.starts_with("Su código para "), "{subject}");
    let code = &body.strip_prefix("Su código es ").unwrap()[..7];
    let patient = clinic.world.client("demo");
    let given = json!({"email": "paula@example.org", "birthDate": "1980-01-31", "code": code});
    assert_eq!(post(&patient, "/auth/patient/sessions", given).await.status, 201);
    let invited = clinic.invite(&patient, "/auth/proxies", &["join"], "2026-12-31").await;
    assert_eq!(invited.status, 201, "{}", invited.body);
    let body = clinic.last_message("body").await;
    assert!(body.starts_with("Alguien le permite actuar en su nombre."), "{body}");
}

#[tokio::test]
async fn a_code_by_mail_opens_the_account_and_unknown_people_look_the_same() {
    let clinic = clinic().await;
    let (known, unknown) =
        (clinic.ask_for_code("paula@example.org").await, clinic.ask_for_code("nobody@example.org").await);
    assert_eq!((known.status, &known.body), (202, &unknown.body));
    assert_eq!((unknown.status, clinic.messages().await), (202, 1));
    assert_eq!(clinic.world.count("SELECT count(*) FROM patient_code").await, 2, "the work differs");
    let code = clinic.code().await;
    let client = clinic.world.client("demo");
    for (email, born, code) in [
        ("paula@example.org", "1980-01-30", code.as_str()),
        ("nobody@example.org", "1980-01-31", code.as_str()),
        ("paula@example.org", "1980-01-31", if code == "000 000" { "111111" } else { "000000" }),
    ] {
        let body = json!({"email": email, "birthDate": born, "code": code});
        let answer = post(&client, "/auth/patient/sessions", body).await;
        assert_eq!(answer.refusal(), (401, "wrong-code"), "{email} {born}");
    }
    assert_eq!(session(&client).await.status, 401);
    let body = json!({"email": "paula@example.org", "birthDate": "1980-01-31", "code": code});
    assert_eq!(post(&client, "/auth/patient/sessions", body.clone()).await.status, 201);
    let view = session(&client).await;
    assert_eq!(
        (view.text("/patient"), view.text("/email")),
        ("Paula Patient".into(), "paula@example.org".into())
    );
    let again = post(&clinic.world.client("demo"), "/auth/patient/sessions", body).await;
    assert_eq!(again.refusal(), (401, "wrong-code"), "a code works twice");
    assert_eq!(clinic.world.count("SELECT count(*) FROM patient_account").await, 1);
}

#[tokio::test]
async fn a_code_has_an_end_five_tries_and_attempts_lock() {
    let clinic = clinic().await;
    clinic.ask_for_code("paula@example.org").await;
    let code = clinic.code().await;
    let body = |code: &str| json!({"email": "paula@example.org", "birthDate": "1980-01-31", "code": code});
    let client = clinic.world.client("demo");
    let wrong = if code == "000 000" { "111111" } else { "000000" };
    for _ in 0..5 {
        assert_eq!(post(&client, "/auth/patient/sessions", body(wrong)).await.status, 401);
    }
    assert_eq!(post(&client, "/auth/patient/sessions", body(&code)).await.status, 401, "after five tries");
    for _ in 6..lockout::FREE {
        post(&client, "/auth/patient/sessions", body(wrong)).await;
    }
    let locked = post(&client, "/auth/patient/sessions", body(wrong)).await;
    assert_eq!(locked.refusal(), (429, "too-many-attempts"));
    clinic.world.advance(lockout::LOCKED);
    clinic.ask_for_code("paula@example.org").await;
    let code = clinic.code().await;
    clinic.world.advance(code::LASTS);
    assert_eq!(post(&client, "/auth/patient/sessions", body(&code)).await.status, 401, "too old");
}

#[tokio::test]
async fn an_account_lists_its_own_visits_only_and_opens_them_without_a_link() {
    let clinic = clinic().await;
    let over = clinic.world.seed_visit(&clinic.seeded, "2026-03-02T09:00:00Z").await;
    let sql = "UPDATE appointment SET status = 'fulfilled' WHERE id = ?";
    clinic.world.run(sql, kit::params![over.appointment]).await;
    let strangers = clinic.world.seed_visit(&clinic.seeded, "2026-03-02T10:00:00Z").await;
    // The same address, as a family has it, and another date of birth.
    let sql = "UPDATE patient SET birth_date = '2015-05-05' WHERE id =
               (SELECT patient FROM appointment WHERE id = ?)";
    clinic.world.run(sql, kit::params![strangers.appointment]).await;

    let patient = clinic.patient().await;
    let list = visits(&patient).await;
    let ids: Vec<_> =
        list.body["visits"].as_array().unwrap().iter().map(|visit| visit["id"].clone()).collect();
    assert_eq!(ids, [json!(over.appointment.to_string()), json!(clinic.visit.appointment.to_string())]);
    assert_eq!(patient.get::<SchedulingFunction>("/scheduling/visit").await.status, 401);
    assert_eq!(post(&patient, &clinic.own_visit(), json!({})).await.status, 201);
    assert_eq!(patient.get::<SchedulingFunction>("/scheduling/visit").await.status, 200);
    for (visit, status) in [(over, 410), (strangers, 404)] {
        let path = format!("/auth/patient/visits/{}/session", visit.appointment);
        assert_eq!(post(&patient, &path, json!({})).await.status, status);
    }
}

#[tokio::test]
async fn a_passkey_opens_the_account_and_is_found_without_a_name() {
    let clinic = clinic().await;
    let patient = clinic.patient().await;
    let options = post(&patient, "/auth/patient/passkeys/options", json!({})).await;
    let selection = &options.body["publicKey"]["authenticatorSelection"];
    assert_eq!(
        (&selection["residentKey"], &selection["requireResidentKey"]),
        (&json!("required"), &json!(true))
    );
    assert!(!options.body.to_string().contains("aula"), "the device is told who it is: {}", options.body);
    let passkey = Passkey::generate().unwrap();
    let credential = passkey.create(&options.body, ORIGIN).unwrap();
    let made =
        post(&patient, "/auth/patient/passkeys", json!({"name": "Phone", "credential": credential})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(session(&patient).await.body["passkeys"][0]["name"], "Phone");

    let phone = clinic.world.client("demo");
    let asked = post(&phone, "/auth/patient/passkey-requests", json!({})).await;
    assert_eq!(asked.body["publicKey"]["allowCredentials"], json!([]), "it names passkeys");
    let credential = passkey.get(&asked.body, ORIGIN).unwrap();
    let answer = json!({"request": asked.text("/request"), "credential": credential});
    let entered = post(&phone, "/auth/patient/passkey-sessions", answer.clone()).await;
    assert_eq!(entered.status, 201, "{}", entered.body);
    assert_eq!(session(&phone).await.text("/patient"), "Paula Patient");
    let replayed = post(&clinic.world.client("demo"), "/auth/patient/passkey-sessions", answer).await;
    assert_eq!(replayed.refusal(), (409, "passkey-not-asked"));

    let thief = clinic.world.client("demo");
    let asked = post(&thief, "/auth/patient/passkey-requests", json!({})).await;
    let other = Passkey::generate().unwrap().get(&asked.body, ORIGIN).unwrap();
    let answer = json!({"request": asked.text("/request"), "credential": other});
    assert_eq!(
        post(&thief, "/auth/patient/passkey-sessions", answer).await.refusal(),
        (401, "wrong-passkey")
    );
    // The right id with somebody else's signature.
    let asked = post(&thief, "/auth/patient/passkey-requests", json!({})).await;
    let mut forged = passkey.get(&asked.body, ORIGIN).unwrap();
    forged["response"]["signature"] = json!(URL_SAFE_NO_PAD.encode([0x30, 6, 2, 1, 1, 2, 1, 1]));
    let answer = json!({"request": asked.text("/request"), "credential": forged});
    assert_eq!(post(&thief, "/auth/patient/passkey-sessions", answer).await.status, 401);

    let path = format!("/auth/patient/passkeys/{}", made.text("/id"));
    assert_eq!(patient.send::<AuthFunction>(Method::DELETE, &path, None, &[]).await.status, 204);
    assert_eq!(patient.send::<AuthFunction>(Method::DELETE, &path, None, &[]).await.status, 404);
}

#[tokio::test]
async fn a_session_of_an_account_ends_after_a_pause_and_by_signing_out() {
    let clinic = clinic().await;
    let patient = clinic.patient().await;
    clinic.world.advance(SignedDuration::from_mins(29));
    assert_eq!(session(&patient).await.status, 200);
    clinic.world.advance(SignedDuration::from_mins(29));
    assert_eq!(session(&patient).await.status, 200, "that request counted");
    clinic.world.advance(SignedDuration::from_mins(30));
    assert_eq!(session(&patient).await.status, 401);
    let patient = clinic.patient().await;
    let kept = patient.cookie(cookies::PERSON).unwrap();
    let out = patient.send::<AuthFunction>(Method::DELETE, "/auth/patient/session", None, &[]).await;
    assert_eq!((out.status, patient.cookie(cookies::PERSON)), (204, None));
    patient.set_cookie(cookies::PERSON, &kept);
    assert_eq!(session(&patient).await.status, 401);
}

#[tokio::test]
async fn who_acts_for_a_patient_may_do_what_they_were_given_until_it_ends() {
    let clinic = clinic().await;
    let patient = clinic.patient().await;
    let invited = clinic.invite(&patient, "/auth/proxies", &["read", "join"], "2026-03-03").await;
    assert_eq!(invited.status, 201, "{}", invited.body);
    assert_eq!(invited.text("/endsAt"), "2026-03-03T23:00:00Z", "midnight in the clinic");
    assert_eq!(clinic.last_message("recipient").await, "petra@example.org");
    let mail = clinic.last_message("subject || body").await;
    assert!(!mail.contains("Paula") && !mail.contains("Petra"), "{mail}");
    let proxy = clinic.proxy().await;
    let view = session(&proxy).await;
    assert_eq!(view.body["proxy"]["scopes"], json!(["read", "join"]));
    assert_eq!((view.body.get("email"), view.body.get("passkeys")), (None, None), "{}", view.body);
    assert_eq!(visits(&proxy).await.body["visits"].as_array().unwrap().len(), 1);
    assert_eq!(post(&proxy, &clinic.own_visit(), json!({})).await.status, 201);
    assert_eq!(proxy.get::<SchedulingFunction>("/scheduling/visit").await.status, 200);
    // Not given, and what only the patient decides.
    let book = proxy.post::<payments::PaymentsFunction>("/payments/own-confirmations", json!({})).await;
    assert_eq!(book.refusal(), (403, "not-given"));
    for (method, path) in [(Method::GET, "/auth/proxies"), (Method::POST, "/auth/patient/passkeys/options")] {
        let body = (method == Method::POST).then(|| json!({}));
        let answer = proxy.send::<AuthFunction>(method, path, body, &[]).await;
        assert_eq!(answer.refusal(), (403, "role-not-allowed"), "{path}");
    }
    let trail = clinic.world.audit_trail();
    assert!(trail.contains(&"proxy visit-opened".to_owned()), "{trail:?}");

    clinic.world.set_now("2026-03-03T22:59:59Z");
    let still = clinic.proxy().await;
    assert_eq!(session(&still).await.status, 200);
    post(&still, &clinic.own_visit(), json!({})).await;
    clinic.world.set_now("2026-03-03T23:00:00Z");
    assert_eq!(session(&still).await.status, 401);
    assert_eq!(still.get::<SchedulingFunction>("/scheduling/visit").await.status, 401);
    let late = clinic.last_message("link").await.split_once('#').unwrap().1.to_owned();
    assert_eq!(
        post(&still, "/auth/proxy-sessions", json!({"token": late})).await.refusal(),
        (410, "link-withdrawn")
    );
}

#[tokio::test]
async fn what_was_given_is_taken_back_at_once() {
    let clinic = clinic().await;
    let patient = clinic.patient().await;
    let invited = clinic.invite(&patient, "/auth/proxies", &["read", "join", "book"], "2027-03-01").await;
    let proxy = clinic.proxy().await;
    post(&proxy, &clinic.own_visit(), json!({})).await;
    let listed = patient.get::<AuthFunction>("/auth/proxies").await;
    assert_eq!(
        (&listed.body["proxies"][0]["came"], listed.text("/proxies/0/id")),
        (&json!(true), invited.text("/id"))
    );
    let path = format!("/auth/proxies/{}/revoke", invited.text("/id"));
    assert_eq!(post(&proxy, &path, json!({})).await.status, 403, "a proxy takes back what is not theirs");
    assert_eq!(post(&patient, &path, json!({})).await.status, 204);
    assert_eq!(session(&proxy).await.status, 401);
    assert_eq!(proxy.get::<SchedulingFunction>("/scheduling/visit").await.status, 401);
    assert_eq!(patient.get::<AuthFunction>("/auth/proxies").await.body["proxies"], json!([]));
    assert_eq!(post(&patient, &path, json!({})).await.status, 204, "twice is once");
}

#[tokio::test]
async fn front_desk_invites_for_a_patient_without_an_account_and_nobody_elses() {
    let clinic = clinic().await;
    let desk = clinic.world.client("demo");
    desk.sign_in_as(Role::FrontDesk).await;
    let path = format!("/auth/appointments/{}/proxies", clinic.visit.appointment);
    assert_eq!(desk.get::<AuthFunction>(&path).await.body["proxies"], json!([]));
    let invited = clinic.invite(&desk, &path, &["read"], "2026-12-31").await;
    assert_eq!(invited.status, 201, "{}", invited.body);
    let proxy = clinic.proxy().await;
    assert_eq!(session(&proxy).await.text("/patient"), "Paula Patient");
    assert_eq!(post(&proxy, &clinic.own_visit(), json!({})).await.refusal(), (403, "not-given"));
    for (scopes, until) in [
        (&[][..], "2026-12-31"),
        (&["read", "read"][..], "2026-12-31"),
        (&["read"][..], "2026-03-01"),
        (&["read"][..], "2044-03-03"),
    ] {
        assert_eq!(clinic.invite(&desk, &path, scopes, until).await.status, 422, "{scopes:?} {until}");
    }
    let nobody = "/auth/appointments/00000000-0000-7000-8000-000000000000/proxies";
    assert_eq!(clinic.invite(&desk, nobody, &["read"], "2026-12-31").await.status, 404);
    let revoke = format!("/auth/appointments/proxies/{}/revoke", invited.text("/id"));
    assert_eq!(post(&desk, &revoke, json!({})).await.status, 204);
    assert_eq!(session(&proxy).await.status, 401);
    for n in 0..10 {
        assert_eq!(clinic.invite(&desk, &path, &["read"], "2026-12-31").await.status, 201, "{n}");
    }
    assert_eq!(clinic.invite(&desk, &path, &["read"], "2026-12-31").await.problem(), "too-many-proxies");
    // Another patient's account takes back nothing of this one's.
    let sql = "UPDATE patient SET birth_date = '2000-01-01'";
    clinic.world.run(sql, vec![]).await;
    clinic.world.advance(code::PAUSE);
    clinic.ask_for_code("paula@example.org").await;
    let other = clinic.world.client("demo");
    let body = json!({"email": "paula@example.org", "birthDate": "2000-01-01", "code": clinic.code().await});
    assert_eq!(post(&other, "/auth/patient/sessions", body).await.status, 201);
    let path = format!("/auth/proxies/{}/revoke", invited.text("/id"));
    assert_eq!(post(&other, &path, json!({})).await.status, 404);
}

#[tokio::test]
async fn the_link_of_one_visit_opens_no_account() {
    let clinic = clinic().await;
    let client = clinic.world.client("demo");
    client.begin_visit(&clinic.visit).await;
    for entry in kit::policy::table() {
        use kit::policy::Condition::{Account, Given};
        if entry.component == "auth" && matches!(entry.condition, Account | Given(_)) {
            let path = entry.path.replace("{id}", &clinic.visit.appointment.to_string());
            let body = (entry.method == Method::POST).then(|| json!({}));
            let answer = client.send::<AuthFunction>(entry.method.clone(), &path, body, &[]).await;
            assert_eq!(answer.refusal(), (401, "sign-in-required"), "{} {path}", entry.method);
        }
    }
    assert_eq!(visits(&client).await.status, 401);
}
