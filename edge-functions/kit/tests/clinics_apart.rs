//! Two clinics in one record group, with the same ids in both: whatever is done in one neither shows nor
//! changes the other.
//!
//! Ids are random, so ordinary tests would not notice a statement that forgets the clinic. Here a twin is
//! copied before every step, under a name that sorts first, with other texts, other times and its visits
//! called off.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use audit::AuditFunction;
use auth::AuthFunction;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use fhir::FhirFunction;
use http::Method;
use kit::params;
use kit::policy::Role;
use kit::serve::Function;
use kit::testing::{Answer, Client, World};
use messages::MessagesFunction;
use payments::PaymentsFunction;
use records::RecordsFunction;
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};
use tokens::TokensFunction;
use totp_rs::{Algorithm, Builder, Secret};

const TWIN: &str = "aaa";
const DAY_MS: i64 = 86_400_000;

struct Clinics {
    world: World,
}

impl Clinics {
    async fn tables(&self) -> Vec<String> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
                   AND name NOT IN ('audit_event', 'ledger')";
        self.world.query(sql, vec![]).await.iter().map(|row| row.text(0).unwrap()).collect()
    }

    async fn columns(&self, table: &str) -> Vec<String> {
        let rows = self.world.query("SELECT name FROM pragma_table_info(?)", params![table]).await;
        rows.iter().map(|row| row.text(0).unwrap()).collect()
    }

    async fn copy_twin(&self) {
        let twin = "'TWIN'".to_owned();
        self.world.run("PRAGMA foreign_keys = OFF", vec![]).await;
        for table in self.tables().await {
            self.world.run(&format!("DELETE FROM {table} WHERE clinic = ?"), params![TWIN]).await;
        }
        for table in self.tables().await {
            // What triggers made of the tables before.
            self.world.run(&format!("DELETE FROM {table} WHERE clinic = ?"), params![TWIN]).await;
            let columns = self.columns(&table).await;
            let value = |column: &String| match (table.as_str(), column.as_str()) {
                (_, "clinic") => format!("'{TWIN}'"),
                // Of a parameter, not of somebody.
                ("fhir_key", "name") => column.clone(),
                ("room" | "room_participant" | "call_meter" | "revocation", "name" | "sink" | "room")
                | ("call_event" | "call_person", "participant") => format!("'!TWIN' || {column}"),
                // Where these are read by mistake the answer shows it, or the function fails.
                (_, "name" | "recipient" | "body" | "note_text" | "time_zone" | "rrule") => twin.clone(),
                ("fhir_resource" | "fhir_version", "content") => "'{\"status\": \"TWIN\"}'".to_owned(),
                ("clinic", "document_hash") | ("staff_user", "password_hash") => twin.clone(),
                ("visit_session", "appointment") => twin.clone(),
                ("patient_session" | "related_person", "account") => twin.clone(),
                ("sign_in_approval", "number") => "1".to_owned(),
                ("guest", "role") => "'other'".to_owned(),
                ("hold" | "appointment", "start_at" | "end_at") => format!("{column} + {DAY_MS}"),
                ("call_event", "at") => format!("{column} * 2"),
                // Nobody could sign in by these.
                ("staff_user", "left_at") | ("session", "ended_at") => "1".to_owned(),
                ("sign_in_failure", "locked_until") => DAY_MS.pow(2).to_string(),
                ("totp_factor", "secret") => "zeroblob(20)".to_owned(),
                // No app comes in by these.
                ("app_client", "ended_at") | ("app_grant", "revoked_at") | ("app_key", "retired_at") => {
                    "1".to_owned()
                }
                ("app_code" | "app_refresh" | "app_launch", "used_at") => "1".to_owned(),
                ("app_client", "redirect_uris") | ("identity_provider", "issuer") => twin.clone(),
                ("app_client" | "app_grant" | "app_access", "scopes") => "'openid'".to_owned(),
                ("appointment", "arrived_at") => format!("{column} - 1000"),
                ("call_report", "at") => format!("{column} + 1000"),
                ("service", "duration_minutes") => "7".to_owned(),
                ("service", "capacity") => "9".to_owned(),
                ("service" | "site" | "site_room" | "consent_text" | "questionnaire", "key") => {
                    "'twin' || key".to_owned()
                }
                ("hours_exception", "from_day") => "'2026-01-01'".to_owned(),
                ("hours_exception", "until_day") => "'2026-12-31'".to_owned(),
                ("waiting_list", "created_at" | "offered_until") => "1".to_owned(),
                ("clinic", "is_open") => "0".to_owned(),
                ("clinic", "licence_check") => "'always'".to_owned(),
                ("licence", "number") | ("emergency_access", "reason") => twin.clone(),
                ("oversight", "record_access") => "'assigned'".to_owned(),
                ("emergency_access", "expires_at") => "1".to_owned(),
                (_, "resource") | ("questionnaire", "content") | ("consent_override", "reason") => {
                    twin.clone()
                }
                _ => column.clone(),
            };
            let values = columns.iter().map(value).collect::<Vec<_>>().join(", ");
            let sql = format!("INSERT INTO {table} SELECT {values} FROM {table} WHERE clinic = 'demo'");
            self.world.run(&sql, vec![]).await;
        }
        self.world.run("PRAGMA foreign_keys = ON", vec![]).await;
    }

    /// Every value of the twin, in a fixed order.
    async fn twin(&self) -> Vec<String> {
        let mut dump = Vec::new();
        for table in self.tables().await {
            let columns = self.columns(&table).await;
            let quoted =
                columns.iter().map(|column| format!("quote({column})")).collect::<Vec<_>>().join("||','||");
            let sql = format!("SELECT '{table} ' || {quoted} FROM {table} WHERE clinic = ?1 ORDER BY 1");
            dump.extend(self.world.query(&sql, params![TWIN]).await.iter().map(|row| row.text(0).unwrap()));
        }
        dump
    }

    /// One request at `demo` beside a fresh twin.
    async fn step<F: Function>(
        &self,
        client: &Client<'_>,
        method: Method,
        path: &str,
        body: Option<Json>,
        tag: &str,
    ) -> Answer {
        self.copy_twin().await;
        let before = self.twin().await;
        let headers = [("if-match", tag), ("authorization", "Bearer set-up-token")];
        let answer = client.send::<F>(method, path, body, &headers).await;
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.body);
        assert!(!answer.body.to_string().contains("TWIN"), "{path} shows the twin: {}", answer.body);
        assert_eq!(self.twin().await, before, "{path} changed the twin");
        answer
    }

    async fn get<F: Function>(&self, client: &Client<'_>, path: &str) -> Answer {
        self.step::<F>(client, Method::GET, path, None, "").await
    }

    /// A form of an app, at `demo` beside a fresh twin.
    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.copy_twin().await;
        let before = self.twin().await;
        let answer = self.world.client("demo").form::<AuthFunction>(path, fields, &[]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(!answer.body.to_string().contains("TWIN"), "{path} shows the twin: {}", answer.body);
        assert_eq!(self.twin().await, before, "{path} changed the twin");
        answer
    }

    /// What a host asks by itself, at `demo` beside a fresh twin.
    async fn host(&self, path: &str, body: Json) -> Answer {
        self.copy_twin().await;
        let before = self.twin().await;
        let headers = [("locum-node", "edge-1"), ("locum-host-key", "host-key")];
        let host = self.world.client("demo");
        let answer = host.send::<MessagesFunction>(Method::POST, path, Some(body), &headers).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(!answer.body.to_string().contains("TWIN"), "{path} shows the twin: {}", answer.body);
        assert_eq!(self.twin().await, before, "{path} changed the twin");
        answer
    }

    /// How many slots are free today and tomorrow.
    async fn free(&self, client: &Client<'_>, service: &str) -> usize {
        let path = format!("/scheduling/slots?service={service}&from=2026-03-02&days=2");
        self.get::<SchedulingFunction>(client, &path).await.body["slots"].as_array().unwrap().len()
    }

    async fn post<F: Function>(&self, client: &Client<'_>, path: &str, body: Json) -> Answer {
        self.step::<F>(client, Method::POST, path, Some(body), "").await
    }
}

fn document() -> Json {
    json!({
        "name": "Clinic at the lake", "timeZone": "Europe/Berlin",
        "practitioners": [{
            "name": "Dr Grey", "username": "grey", "password": "correct horse battery", "roles": ["doctor"],
            "hours": [{"rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU", "start": "00:00", "end": "24:00"}]
        }],
        "services": [{
            "name": "Consult", "durationMinutes": 30, "price": {"amount": "60.00", "currency": "EUR"}
        }],
        "consentTexts": [{
            "key": "video", "jurisdiction": "DE", "language": "en", "title": "Video", "text": "Do you agree?"
        }],
        "questionnaires": [{"key": "intake", "required": true, "questionnaire": {
            "resourceType": "Questionnaire", "url": "urn:x", "version": "1", "status": "active",
            "item": [{"linkId": "a", "type": "string", "text": "Why?"}],
        }}],
    })
}

/// From the set-up to a booked visit: the token of the link.
async fn book(clinics: &Clinics, patient: &Client<'_>, desk: &Client<'_>) -> (String, Json) {
    clinics.step::<AuthFunction>(patient, Method::PUT, "/auth/clinic", Some(document()), "").await;
    clinics.step::<AuthFunction>(patient, Method::PUT, "/auth/clinic", Some(document()), "").await;
    let clinic = clinics.get::<SchedulingFunction>(patient, "/scheduling/clinic").await;
    let (service, practitioner) = (clinic.text("/services/0/id"), clinic.text("/practitioners/0/id"));
    let free = clinics.free(patient, &service).await;
    let wish = |start: &str| json!({"service": service, "practitioner": practitioner, "start": start});
    let hold =
        clinics.post::<SchedulingFunction>(patient, "/scheduling/holds", wish("2026-03-02T09:00:00Z")).await;
    // The same time tomorrow is held, and later booked, at the twin only.
    assert_eq!(clinics.free(patient, &service).await, free - 1);
    let confirmation = json!({
        "hold": hold.text("/id"), "secret": hold.text("/secret"), "method": "pay-at-clinic",
        "patient": {"name": "Paula Patient", "birthDate": "1980-01-31", "email": "paula@example.org"}
    });
    let confirmed = clinics.post::<PaymentsFunction>(patient, "/payments/confirmations", confirmation).await;
    assert_eq!(clinics.free(patient, &service).await, free - 1);
    clinics.post::<SchedulingFunction>(patient, "/scheduling/holds", wish("2026-03-03T09:00:00Z")).await;
    desk.sign_in_as(Role::FrontDesk).await;
    let outbox = clinics.get::<MessagesFunction>(desk, "/messages/outbox").await;
    assert_eq!(outbox.body["messages"].as_array().unwrap().len(), 1);
    let link = outbox.text("/messages/0/link");
    (link.split_once('#').unwrap().1.to_owned(), confirmed.body["appointment"]["id"].clone())
}

/// A first sign-in and the next one, and what somebody may do with their own account.
async fn sign_in(clinics: &Clinics, doctor: &Client<'_>) {
    let credentials = json!({"username": "grey", "password": "correct horse battery"});
    clinics.post::<AuthFunction>(doctor, "/auth/sessions", credentials.clone()).await;
    let secret = clinics.post::<AuthFunction>(doctor, "/auth/totp", json!({})).await.text("/secret");
    let secret = Secret::try_from_base32(secret).unwrap();
    let app = Builder::new().with_algorithm(Algorithm::SHA1).with_secret(secret);
    let app = app.with_account_name("grey").build().unwrap();
    let now = u64::try_from(clinics.world.now().as_second()).unwrap();
    let code = |steps: u64| app.generate(now + 30 * steps).to_string();
    let confirmed =
        clinics.post::<AuthFunction>(doctor, "/auth/totp/confirm", json!({"code": code(0)})).await;
    let recovery = confirmed.text("/recoveryCodes/0");
    clinics.get::<AuthFunction>(doctor, "/auth/factors").await;
    clinics.post::<AuthFunction>(doctor, "/auth/passkeys/options", json!({})).await;
    clinics.post::<AuthFunction>(doctor, "/auth/recovery-codes", json!({})).await;

    let approved = clinics.world.client("demo");
    clinics.post::<AuthFunction>(&approved, "/auth/sessions", credentials.clone()).await;
    let asked = clinics.post::<AuthFunction>(&approved, "/auth/second-factor/approval", json!({})).await;
    let waiting = clinics.get::<AuthFunction>(doctor, "/auth/approvals").await;
    let decide = format!("/auth/approvals/{}", waiting.text("/approvals/0/id"));
    clinics.post::<AuthFunction>(doctor, &decide, json!({"number": asked.body["number"]})).await;
    clinics.get::<AuthFunction>(&approved, "/auth/second-factor/approval").await;
    clinics.post::<AuthFunction>(&approved, "/auth/second-factor", json!({"approval": true})).await;
    clinics.step::<AuthFunction>(doctor, Method::DELETE, "/auth/sessions", None, "").await;
    let renewed = clinics.post::<AuthFunction>(doctor, "/auth/recovery-codes", json!({})).await;
    let proof = json!({"recoveryCode": renewed.text("/recoveryCodes/0")});
    clinics.step::<AuthFunction>(doctor, Method::POST, "/auth/proof", Some(proof), "").await;

    let elsewhere = clinics.world.client("demo");
    clinics.post::<AuthFunction>(&elsewhere, "/auth/sessions", credentials.clone()).await;
    let old = elsewhere.post::<AuthFunction>("/auth/second-factor", json!({"recoveryCode": recovery})).await;
    assert_eq!(old.status, 401);
    clinics.post::<AuthFunction>(&elsewhere, "/auth/second-factor", json!({"totp": code(1)})).await;
    let sessions = clinics.get::<AuthFunction>(doctor, "/auth/sessions").await;
    assert_eq!(sessions.body["sessions"].as_array().unwrap().len(), 2, "{}", sessions.body);
    clinics.step::<AuthFunction>(doctor, Method::DELETE, "/auth/sessions", None, "").await;
    let change = json!({"current": "correct horse battery", "new": "tulips over Oslo"});
    clinics.step::<AuthFunction>(doctor, Method::PUT, "/auth/password", Some(change), "").await;
    clinics.get::<AuthFunction>(doctor, "/auth/session").await;
}

/// A code that was sent, from the outbox of `demo`.
async fn code_sent(clinics: &Clinics) -> String {
    let sql = "SELECT body FROM outbox_message WHERE clinic = 'demo' AND body LIKE 'Your code is%'
               ORDER BY created_at DESC LIMIT 1";
    let body = clinics.world.query(sql, vec![]).await[0].text(0).unwrap();
    body.split("code is ").nth(1).unwrap()[..7].to_owned()
}

/// A patient's account, and somebody who acts for them.
async fn account(clinics: &Clinics, desk: &Client<'_>, appointment: &str) {
    let (patient, proxy) = (clinics.world.client("demo"), clinics.world.client("demo"));
    let email = "paula@example.org";
    clinics.post::<AuthFunction>(&patient, "/auth/patient/codes", json!({"email": email})).await;
    let given = json!({"email": email, "birthDate": "1980-01-31", "code": code_sent(clinics).await});
    clinics.post::<AuthFunction>(&patient, "/auth/patient/sessions", given).await;
    clinics.get::<AuthFunction>(&patient, "/auth/patient/session").await;
    clinics.post::<AuthFunction>(&patient, "/auth/patient/passkeys/options", json!({})).await;
    clinics.post::<AuthFunction>(&patient, "/auth/patient/passkey-requests", json!({})).await;
    let visits = clinics.get::<SchedulingFunction>(&patient, "/scheduling/own-visits").await;
    assert_eq!(visits.body["visits"].as_array().unwrap().len(), 1);
    let open = format!("/auth/patient/visits/{appointment}/session");
    clinics.post::<AuthFunction>(&patient, &open, json!({})).await;
    let new = json!({"name": "Petra Parent", "relationship": "parent", "email": "petra@example.org",
                     "scopes": ["read", "join", "book"], "until": "2026-12-31"});
    let invited = clinics.post::<AuthFunction>(&patient, "/auth/proxies", new.clone()).await;
    let sql = "SELECT link FROM outbox_message WHERE clinic = 'demo' AND link LIKE '%/proxy#%'";
    let link = clinics.world.query(sql, vec![]).await[0].text(0).unwrap();
    let token = link.split_once('#').unwrap().1;
    clinics.post::<AuthFunction>(&proxy, "/auth/proxy-sessions", json!({"token": token})).await;
    clinics.get::<AuthFunction>(&proxy, "/auth/patient/session").await;
    clinics.post::<AuthFunction>(&proxy, &open, json!({})).await;
    clinics.get::<SchedulingFunction>(&proxy, "/scheduling/visit").await;
    assert_eq!(clinics.get::<AuthFunction>(&patient, "/auth/proxies").await.body["proxies"][0]["came"], true);
    let revoke = format!("/auth/proxies/{}/revoke", invited.text("/id"));
    clinics.post::<AuthFunction>(&patient, &revoke, json!({})).await;
    let of_visit = format!("/auth/appointments/{appointment}/proxies");
    let invited = clinics.post::<AuthFunction>(desk, &of_visit, new).await;
    assert_eq!(
        clinics.get::<AuthFunction>(desk, &of_visit).await.body["proxies"].as_array().unwrap().len(),
        1
    );
    let revoke = format!("/auth/appointments/proxies/{}/revoke", invited.text("/id"));
    clinics.post::<AuthFunction>(desk, &revoke, json!({})).await;
    clinics.step::<AuthFunction>(&patient, Method::DELETE, "/auth/patient/session", None, "").await;
}

/// Somebody comes, changes roles, begins anew and leaves.
async fn staff(clinics: &Clinics) {
    let administrator = clinics.world.client("demo");
    administrator.sign_in_as(Role::ClinicAdmin).await;
    let new = json!({"name": "Nora New", "username": "nora", "roles": ["nurse"]});
    let invited = clinics.post::<AuthFunction>(&administrator, "/auth/staff", new).await;
    let act = |verb: &str| format!("/auth/staff/{}/{verb}", invited.text("/id"));
    let roles = Some(json!({"roles": ["nurse", "billing"]}));
    clinics.step::<AuthFunction>(&administrator, Method::PUT, &act("roles"), roles, "").await;
    clinics.post::<AuthFunction>(&administrator, &act("unlock"), json!({})).await;
    let again = clinics.post::<AuthFunction>(&administrator, &act("reset"), json!({})).await;
    let nora = clinics.world.client("demo");
    let chosen = json!({"token": again.text("/token"), "password": "tulips over Oslo"});
    clinics.post::<AuthFunction>(&nora, "/auth/enrolments", chosen).await;
    let settings = clinics.get::<AuthFunction>(&administrator, "/auth/settings").await.body;
    clinics.step::<AuthFunction>(&administrator, Method::PUT, "/auth/settings", Some(settings), "").await;
    let list = clinics.get::<AuthFunction>(&administrator, "/auth/staff").await;
    assert!(list.body["staff"].as_array().unwrap().len() > 2, "{}", list.body);
    certify(clinics, &administrator, &invited.text("/id")).await;
    clinics.post::<AuthFunction>(&administrator, &act("leave"), json!({})).await;
}

/// Somebody would come earlier, is offered what gets free, and takes it; late they are all the same.
async fn earlier(clinics: &Clinics, doctor: &Client<'_>) {
    let patient = clinics.world.client("demo");
    let clinic = clinics.get::<SchedulingFunction>(&patient, "/scheduling/clinic").await;
    let links = async || {
        let sql = "SELECT link FROM outbox_message WHERE clinic = 'demo' AND link LIKE '%/visit#%'";
        let rows = clinics.world.query(sql, vec![]).await;
        rows.iter().map(|row| row.text(0).unwrap()).collect::<Vec<_>>()
    };
    let (mut ids, mut before) = (Vec::new(), Vec::new());
    for start in ["2026-03-05T09:00:00Z", "2026-03-06T09:00:00Z"] {
        let wish = json!({"service": clinic.text("/services/0/id"), "start": start});
        let hold = clinics.post::<SchedulingFunction>(&patient, "/scheduling/holds", wish).await;
        let confirmation = json!({
            "hold": hold.text("/id"), "secret": hold.text("/secret"), "method": "pay-at-clinic",
            "patient": {"name": "Paula Patient", "birthDate": "1980-01-31", "email": "paula@example.org"}
        });
        before = links().await;
        let booked =
            clinics.post::<PaymentsFunction>(&patient, "/payments/confirmations", confirmation).await;
        ids.push(booked.text("/appointment/id"));
    }
    let link = links().await.into_iter().find(|link| !before.contains(link)).unwrap();
    let token = json!({"token": link.split_once('#').unwrap().1});
    clinics.post::<AuthFunction>(&patient, "/auth/visit-sessions", token).await;
    let list = "/scheduling/visit/waiting-list";
    clinics.post::<SchedulingFunction>(&patient, list, json!({})).await;
    clinics.step::<SchedulingFunction>(&patient, Method::DELETE, list, None, "").await;
    clinics.post::<SchedulingFunction>(&patient, list, json!({})).await;
    let first = |verb: &str| format!("/scheduling/appointments/{}/{verb}", ids[0]);
    clinics.post::<SchedulingFunction>(doctor, &first("late"), json!({"minutes": 10})).await;
    let need = Some(json!({"language": "es"}));
    clinics.step::<SchedulingFunction>(doctor, Method::PUT, &first("interpreter"), need, "").await;
    let lacking = clinics.get::<SchedulingFunction>(doctor, "/scheduling/interpreters").await;
    assert_eq!(lacking.body["visits"].as_array().unwrap().len(), 1, "{}", lacking.body);
    clinics.post::<SchedulingFunction>(doctor, &first("cancel"), json!({})).await;
    let seen = clinics.get::<SchedulingFunction>(&patient, "/scheduling/visit").await;
    assert_eq!(seen.text("/waitingList/offer/start"), "2026-03-05T09:00:00Z");
    clinics.post::<SchedulingFunction>(&patient, "/scheduling/visit/offer", json!({})).await;
    clinics.post::<SchedulingFunction>(&patient, "/scheduling/visit/late", json!({"minutes": 5})).await;
    let day = clinics.get::<SchedulingFunction>(doctor, "/scheduling/appointments?date=2026-03-05").await;
    let mut listed = day.body["appointments"].as_array().unwrap().iter();
    assert!(listed.any(|one| one["patientLateMinutes"] == 5), "{}", day.body);
    let sql = "UPDATE appointment SET start_at = 1000, end_at = 2000 WHERE id = ?";
    clinics.world.run(sql, params![ids[1].as_str()]).await;
    let second = format!("/scheduling/appointments/{}/no-show", ids[1]);
    clinics.post::<SchedulingFunction>(doctor, &second, json!({})).await;
}

/// A bundle with something of everything, and one without.
async fn set_up(clinics: &Clinics) {
    let administrator = clinics.world.client("demo");
    administrator.sign_in_as(Role::ClinicAdmin).await;
    let shown = clinics.get::<AuthFunction>(&administrator, "/auth/set-up").await;
    let service =
        clinics.get::<SchedulingFunction>(&administrator, "/scheduling/clinic").await.text("/services/0/id");
    let free = clinics.free(&administrator, &service).await;
    let old = &shown.body["bundle"];
    let mut new = old.clone();
    new["sites"] = json!([{"key": "lake", "name": "Lake", "address": "1 Shore", "timeZone": "Europe/Berlin",
                "rooms": [{"key": "one", "name": "Room 1"}]}]);
    new["services"][0]["bufferAfterMinutes"] = json!(5);
    new["services"][0]["capacity"] = json!(3);
    new["exceptions"] = json!([{"name": "Closed", "from": "2026-04-03", "until": "2026-04-03", "site": "lake"},
                               {"name": "Closed", "from": "2026-04-03", "until": "2026-04-03"}]);
    new["consents"] =
        json!([{"key": "video", "jurisdiction": "DE", "language": "en", "title": "Video", "text": "Yes."}]);
    new["questionnaires"] = json!([{"key": "intake", "questionnaire": {
        "resourceType": "Questionnaire", "status": "active", "item": [{"linkId": "1", "type": "string", "text": "Why?"}]
    }}]);
    let grey = new["staff"].as_array_mut().unwrap().iter_mut().find(|m| m["username"] == "grey").unwrap();
    grey["licences"] =
        json!([{"jurisdiction": "DE", "number": "7", "validFrom": "2026-01-01", "validUntil": "2027-01-01"}]);
    for bundle in [&new, &new, old] {
        let body = Some(bundle.clone());
        clinics.step::<AuthFunction>(&administrator, Method::PUT, "/auth/set-up", body, "").await;
        clinics.get::<AuthFunction>(&administrator, "/auth/set-up").await;
        clinics.get::<SchedulingFunction>(&administrator, "/scheduling/clinic").await;
        assert!(clinics.free(&administrator, &service).await > 0);
    }
    assert_eq!(clinics.free(&administrator, &service).await, free);
}

/// Roles are looked through and licences kept.
async fn certify(clinics: &Clinics, administrator: &Client<'_>, somebody: &str) {
    let due = json!({"dueOn": "2026-03-09"});
    let begun = clinics.post::<AuthFunction>(administrator, "/auth/recertifications", due).await;
    let round = format!("/auth/recertifications/{}", begun.text("/id"));
    let keep = json!({"user": somebody, "decision": "keep"});
    clinics.post::<AuthFunction>(administrator, &round, keep).await;
    let rounds = clinics.get::<AuthFunction>(administrator, "/auth/recertifications").await;
    assert_eq!(rounds.body["recertifications"].as_array().unwrap().len(), 1);
    let licence = json!({"user": somebody, "jurisdiction": "DE", "number": "1", "validFrom": "2026-01-01",
                         "validUntil": "2026-12-31"});
    let licence = clinics.post::<AuthFunction>(administrator, "/auth/licences", licence).await;
    let list = clinics.get::<AuthFunction>(administrator, "/auth/licences").await;
    assert_eq!(list.body["licences"].as_array().unwrap().len(), 1);
    let path = format!("/auth/licences/{}", licence.text("/id"));
    clinics.step::<AuthFunction>(administrator, Method::DELETE, &path, None, "").await;
}

/// Who saw what, what of it is reviewed, and a record that opens with a reason.
async fn oversee(clinics: &Clinics, patient: &Client<'_>, encounter: &str) {
    let administrator = clinics.world.client("demo");
    administrator.sign_in_as(Role::ClinicAdmin).await;
    let wanted = json!({
        "recordAccess": "assigned", "emergencyMinutes": 60, "dayBegins": "06:00", "dayEnds": "22:00",
        "massPatients": 30, "sampleOneIn": 0, "alertEmail": "privacy@example.org",
    });
    clinics.step::<AuditFunction>(&administrator, Method::PUT, "/audit/oversight", Some(wanted), "").await;
    let stranger = clinics.world.client("demo");
    stranger.sign_in_as(Role::Doctor).await;
    assert_eq!(stranger.get::<RecordsFunction>(encounter).await.status, 403);
    let reason = json!({"reason": "Their doctor is ill today"});
    clinics.post::<RecordsFunction>(&stranger, &format!("{encounter}/emergency-access"), reason).await;
    clinics.get::<RecordsFunction>(&stranger, encounter).await;
    let reviews = clinics.get::<AuditFunction>(&administrator, "/audit/reviews").await;
    assert_eq!(reviews.body["items"][0]["reason"], "Their doctor is ill today");
    let review = json!({"item": reviews.text("/items/0/id"), "result": "justified"});
    clinics.post::<AuditFunction>(&administrator, "/audit/reviews", review).await;
    let all = clinics.get::<AuditFunction>(&administrator, "/audit/reviews?state=all").await;
    assert_eq!(all.body["items"][0]["review"]["result"], "justified");
    let events = clinics.get::<AuditFunction>(&administrator, "/audit/events?code=emergency-access").await;
    assert_eq!(events.body["events"][0]["patient"]["name"], "Paula Patient");
    clinics.get::<AuditFunction>(&administrator, "/audit/oversight").await;
    let accesses = clinics.get::<AuditFunction>(patient, "/audit/record-access").await;
    assert!(accesses.body["accesses"].as_array().unwrap().len() > 2, "{}", accesses.body);
}

/// A minute of a call, as a media node tells it, and what staff see of it.
async fn call(clinics: &Clinics, doctor: &Client<'_>, (encounter, joined): (&str, &Answer)) {
    let rows = clinics.world.query("SELECT sink FROM room WHERE clinic = 'demo'", vec![]).await;
    let event = |sequence: i64, kind: &str| {
        json!({
            "start": "s", "sequence": sequence, "atMs": sequence * 60_000, "sink": rows[0].text(0).unwrap(),
            "participant": joined.text("/participant"), "kind": kind, "stay": "PA_1",
        })
    };
    let told = json!({"events": [event(1, "joined"), event(2, "left")]});
    let headers = [("locum-node", "media-1"), ("locum-host-key", "host-key")];
    clinics.copy_twin().await;
    let before = clinics.twin().await;
    let kept =
        doctor.send::<RecordsFunction>(Method::POST, "/records/call-events", Some(told), &headers).await;
    assert_eq!(kept.status, 204, "{}", kept.body);
    assert_eq!(clinics.twin().await, before, "events went to the twin");
    let call = clinics.get::<RecordsFunction>(doctor, &format!("{encounter}/call")).await;
    assert_eq!(call.body["participants"][0]["connectedSeconds"], 60, "{}", call.body);
    let reports = call.body["reports"].as_array().unwrap();
    let kinds: Vec<_> = reports.iter().map(|report| report["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds.len(), reports[0]["lines"].as_array().unwrap().len()), (2, 1), "{}", call.body);
}

/// An app, from the registration until it is shut out.
async fn app(clinics: &Clinics, doctor: &Client<'_>, appointment: &Json) {
    const BACK: &str = "https://app.example/back";
    let administrator = clinics.world.client("demo");
    administrator.sign_in_as(Role::ClinicAdmin).await;
    let scopes = "openid offline_access launch patient/Encounter.rs";
    let wish = json!({"name": "Some app", "kind": "secret", "scopes": scopes, "redirectUris": [BACK], "launchUri": BACK});
    let made = clinics.post::<AuthFunction>(&administrator, "/auth/oauth/clients", wish).await;
    let (id, secret) = (made.text("/id"), made.text("/secret"));
    clinics.get::<AuthFunction>(&administrator, "/auth/oauth/clients").await;
    let launchable = clinics.get::<AuthFunction>(doctor, "/auth/oauth/launchable").await;
    assert_eq!(launchable.body["apps"].as_array().unwrap().len(), 1);
    let wish = json!({"app": id, "appointment": appointment});
    let url = clinics.post::<AuthFunction>(doctor, "/auth/oauth/launches", wish).await.text("/url");
    let launch = url.rsplit_once("launch=").unwrap().1.to_owned();
    let query = [
        ("response_type", "code"),
        ("client_id", id.as_str()),
        ("redirect_uri", BACK),
        ("scope", scopes),
        ("launch", launch.as_str()),
        ("aud", "https://app.locum.test/c/demo/fhir"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
    ];
    let query: Vec<String> =
        query.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))).collect();
    let query = query.join("&");
    let asked = json!({"query": query});
    let review = clinics.post::<AuthFunction>(doctor, "/auth/oauth/authorization-requests", asked).await;
    assert_eq!(review.body["request"]["scopes"].as_array().unwrap().len(), 1, "{}", review.body);
    let allow = json!({"query": query, "allow": true});
    let back =
        clinics.post::<AuthFunction>(doctor, "/auth/oauth/authorizations", allow).await.text("/redirect");
    let code = back.split_once("code=").unwrap().1.split('&').next().unwrap().to_owned();
    let own = [("client_id", id.as_str()), ("client_secret", secret.as_str())];
    let verifier = ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let by_code =
        [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", BACK), verifier];
    let first = clinics.form("/auth/oauth/token", &[&own[..], &by_code].concat()).await;
    let refresh = first.text("/refresh_token");
    let by_refresh = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
    let second = clinics.form("/auth/oauth/token", &[&own[..], &by_refresh].concat()).await;
    assert_eq!(second.body["scope"], scopes);
    let access = second.text("/access_token");
    let token = [&own[..], &[("token", access.as_str())]].concat();
    assert_eq!(clinics.form("/auth/oauth/introspect", &token).await.body["active"], true);
    clinics.form("/auth/oauth/revoke", &token).await;
    assert_eq!(clinics.form("/auth/oauth/introspect", &token).await.body["active"], false);
    let keys = clinics.get::<AuthFunction>(doctor, "/auth/oauth/jwks").await;
    assert_eq!(keys.body["keys"].as_array().unwrap().len(), 1);
    clinics.get::<SchedulingFunction>(doctor, "/scheduling/patients?name=paula").await;
    let grants = clinics.get::<AuthFunction>(doctor, "/auth/oauth/grants").await;
    let grant = format!("/auth/oauth/grants/{}", grants.text("/grants/0/id"));
    clinics.step::<AuthFunction>(doctor, Method::DELETE, &grant, None, "").await;
    clinics.post::<AuthFunction>(&administrator, "/auth/oauth/keys", json!({})).await;
    let client = format!("/auth/oauth/clients/{id}");
    clinics.step::<AuthFunction>(&administrator, Method::DELETE, &client, None, "").await;
    others_word(clinics, doctor, &administrator).await;
}

/// How the clinic is paid, and what the desk does with an invoice. The books of the twin were made by its own invoices.
async fn money(clinics: &Clinics, patient: &Client<'_>) {
    let (desk, admin) = (clinics.world.client("demo"), clinics.world.client("demo"));
    desk.sign_in_as(Role::FrontDesk).await;
    admin.sign_in_as(Role::ClinicAdmin).await;
    for name in ["stripe_secret_key", "stripe_publishable_key", "stripe_script"] {
        clinics.world.set(name, "x");
    }
    clinics.world.set("stripe_api", "https://stripe.example");
    clinics.get::<PaymentsFunction>(patient, "/payments/options").await;
    let settings = clinics.get::<PaymentsFunction>(&admin, "/payments/settings").await.body;
    let path = "/payments/settings";
    clinics.step::<PaymentsFunction>(&admin, Method::PUT, path, Some(settings), "").await;
    let listed = clinics.get::<PaymentsFunction>(&desk, "/payments/invoices?date=2026-03-02").await;
    assert_eq!(listed.body["invoices"].as_array().unwrap().len(), 1);
    assert_eq!(listed.body["invoices"][0]["charged"], "60.00");
    let invoice = format!("/payments/invoices/{}", listed.text("/invoices/0/id"));
    let euro = |amount: &str| json!({"amount": amount, "currency": "EUR"});
    let paid = json!({"method": "cash", "amount": euro("60.00")});
    clinics.post::<PaymentsFunction>(&desk, &format!("{invoice}/payments"), paid).await;
    let back = json!({"id": "00000000-0000-7000-8000-000000000001", "amount": euro("10.00")});
    clinics.post::<PaymentsFunction>(&admin, &format!("{invoice}/refunds"), back).await;
    clinics.post::<PaymentsFunction>(&desk, &format!("{invoice}/settle"), json!({})).await;
    clinics.get::<PaymentsFunction>(&desk, &format!("{invoice}/document?kind=receipt")).await;
    let own = clinics.get::<PaymentsFunction>(patient, "/payments/visit-invoice").await;
    assert_eq!(own.body["invoice"]["refunded"], "10.00");
    clinics.get::<PaymentsFunction>(patient, "/payments/visit-invoice/document?kind=invoice").await;
    let report = "/payments/report?from=2026-03-01&until=2026-03-03";
    let report = clinics.get::<PaymentsFunction>(&admin, report).await;
    assert_eq!(report.body["lines"][0]["net"], "50.00");
    by_card(clinics, patient).await;
    clinics.post::<PaymentsFunction>(&desk, "/payments/reconciliations", json!({})).await;
}

async fn by_card(clinics: &Clinics, patient: &Client<'_>) {
    let clinic = clinics.get::<SchedulingFunction>(patient, "/scheduling/clinic").await;
    let wish = json!({"service": clinic.text("/services/0/id"), "practitioner": clinic.text("/practitioners/0/id"),
        "start": "2026-03-02T12:00:00Z"});
    let hold = clinics.post::<SchedulingFunction>(patient, "/scheduling/holds", wish).await;
    let intent = json!({"id": "pi_1", "status": "requires_capture", "client_secret": "x", "amount_capturable": 6_000,
        "payment_method": "pm_1"});
    for path in ["payment_intents", "payment_intents/pi_1"] {
        clinics.world.serve_elsewhere(&format!("https://stripe.example/v1/{path}"), 200, &intent);
    }
    let begin = json!({"hold": hold.text("/id"), "secret": hold.text("/secret"),
        "patient": {"name": "Paula Patient", "birthDate": "1980-01-31", "email": "paula@example.org"}});
    clinics.post::<PaymentsFunction>(patient, "/payments/card-payments", begin).await;
    let check = format!("/payments/card-payments/{}/check", hold.text("/id"));
    let secret = json!({"secret": hold.text("/secret")});
    let booked = clinics.post::<PaymentsFunction>(patient, &check, secret).await;
    assert_eq!(booked.body["appointment"]["status"], "booked");
}

/// Somebody else vouches for staff, and does not any more.
async fn others_word(clinics: &Clinics, doctor: &Client<'_>, administrator: &Client<'_>) {
    let discovery = json!({
        "issuer": "https://login.example", "authorization_endpoint": "https://login.example/authorize",
        "token_endpoint": "https://login.example/token", "jwks_uri": "https://login.example/keys",
    });
    let place = "https://login.example/.well-known/openid-configuration";
    clinics.world.serve_elsewhere(place, 200, &discovery);
    let wish =
        json!({"name": "Login", "issuer": "https://login.example", "clientId": "l", "clientSecret": "s"});
    let made = clinics.post::<AuthFunction>(administrator, "/auth/identity-providers", wish).await;
    clinics.get::<AuthFunction>(administrator, "/auth/identity-providers").await;
    let options = clinics.get::<AuthFunction>(doctor, "/auth/sign-in-options").await;
    assert_eq!(options.body["providers"].as_array().unwrap().len(), 1);
    let wish = json!({"provider": made.text("/id")});
    clinics.post::<AuthFunction>(doctor, "/auth/external-sign-ins", wish.clone()).await;
    clinics.post::<AuthFunction>(doctor, "/auth/external-identities", wish).await;
    clinics.get::<AuthFunction>(doctor, "/auth/external-identities").await;
    let path = format!("/auth/identity-providers/{}", made.text("/id"));
    clinics.step::<AuthFunction>(administrator, Method::DELETE, &path, None, "").await;
}

/// What a patient answers before the visit.
async fn intake(clinics: &Clinics, patient: &Client<'_>) {
    let path = "/records/visit/intake";
    let asked = clinics.get::<RecordsFunction>(patient, path).await;
    assert_eq!(asked.body["response"], json!(null));
    let answers = json!({
        "resourceType": "QuestionnaireResponse", "questionnaire": "urn:x|1", "status": "completed",
        "item": [{"linkId": "a", "answer": [{"valueString": "A cough"}]}],
    });
    let tag = asked.headers["etag"].to_str().unwrap();
    clinics.step::<RecordsFunction>(patient, Method::PUT, path, Some(answers), tag).await;
    clinics.get::<RecordsFunction>(patient, path).await;
}

/// What they agree to, in every way there is.
async fn consent(clinics: &Clinics, patient: &Client<'_>, doctor: &Client<'_>, encounter: &Json) {
    let path = |what: &str| format!("/records/encounters/{}/{what}", encounter.as_str().unwrap());
    let shown = clinics.get::<RecordsFunction>(patient, "/records/visit/consent").await;
    assert_eq!((&shown.body["missing"], shown.body["texts"].as_array().unwrap().len()), (&json!(true), 1));
    let wish =
        json!({"texts": [{"text": shown.text("/texts/0/id"), "sha256": shown.text("/texts/0/sha256")}]});
    clinics.get::<RecordsFunction>(doctor, &path("consent")).await;
    clinics.post::<RecordsFunction>(doctor, &path("consent"), wish.clone()).await;
    clinics.post::<RecordsFunction>(patient, "/records/visit/consent/withdraw", json!({})).await;
    let refused = patient.post::<TokensFunction>("/tokens/join", json!({})).await;
    assert_eq!(refused.refusal(), (409, "consent-required"));
    let reason = json!({"reason": "Their chest hurts"});
    clinics.post::<RecordsFunction>(doctor, &path("consent-override"), reason).await;
    clinics.post::<RecordsFunction>(patient, "/records/visit/consent", wish).await;
    let seen = clinics.get::<RecordsFunction>(doctor, &path("intake")).await;
    assert_eq!(seen.body["response"]["status"], "completed", "{}", seen.body);
}

/// How a patient is written to, and what they are written: reminders, what is missing, that they are to be seen again.
async fn written_to(clinics: &Clinics, patient: &Client<'_>, desk: &Client<'_>, appointment: &Json) {
    let wish = Some(json!({"phone": "+4915112345678", "channel": "sms"}));
    clinics.step::<MessagesFunction>(patient, Method::PUT, "/messages/visit-contact", wish, "").await;
    let own = clinics.get::<MessagesFunction>(patient, "/messages/visit-contact").await;
    assert_eq!(own.body["phone"], "+4915112345678");
    let path = format!("/messages/appointments/{}/contact", appointment.as_str().unwrap());
    let shown = clinics.get::<MessagesFunction>(desk, &path).await;
    assert_eq!(shown.body["phone"], "+4915112345678", "{}", shown.body);
    let corrected = Some(json!({"email": "paula@example.org", "channel": "email"}));
    clinics.step::<MessagesFunction>(desk, Method::PUT, &path, corrected, "").await;
    let missing = clinics.get::<MessagesFunction>(desk, "/messages/missing").await;
    assert_eq!(missing.body["visits"].as_array().unwrap().len(), 1, "{}", missing.body);
    let doctor = clinics.world.client("demo");
    doctor.sign_in_as(Role::Doctor).await;
    let clinic = clinics.get::<SchedulingFunction>(&doctor, "/scheduling/clinic").await;
    let rule = json!({"service": clinic.text("/services/0/id"), "intervalMonths": 3});
    let made = clinics.post::<MessagesFunction>(&doctor, "/messages/recall-rules", rule).await;
    let rules = clinics.get::<MessagesFunction>(&doctor, "/messages/recall-rules").await;
    assert_eq!(rules.body["rules"].as_array().unwrap().len(), 1);
    let due = json!({"appointment": appointment, "reason": "x", "dueOn": "2026-03-03"});
    clinics.post::<MessagesFunction>(&doctor, "/messages/recalls", due).await;
    for path in ["/messages/reminders", "/messages/recalls/run"] {
        clinics.host(path, json!({})).await;
    }
    assert_eq!(clinics.world.count("SELECT count(*) FROM recall_attempt WHERE clinic = 'demo'").await, 1);
    let ask = |most: u8| json!({"claim": "a", "most": most, "claimSeconds": 60, "channels": ["email"], "outcomes": []});
    clinics.host("/messages/deliveries", ask(16)).await;
    let path = format!("/messages/recall-rules/{}", made.text("/id"));
    clinics.step::<MessagesFunction>(&doctor, Method::DELETE, &path, None, "").await;
}

/// A guest's way, from the link to the removal.
/// What is kept as FHIR, from its first version to its last.
async fn fhir(clinics: &Clinics, doctor: &Client<'_>) {
    let rows = clinics.world.query("SELECT patient FROM appointment WHERE clinic = 'demo'", vec![]).await;
    let patient = rows[0].text(0).unwrap();
    let subject = json!({"reference": format!("Patient/{patient}")});
    let observation = |status: &str| {
        json!({"resourceType": "Observation", "status": status, "code": {"text": "Pulse"}, "subject": subject,
               "effectiveDateTime": "2026-03-02"})
    };
    let all = "/fhir/R4/Observation";
    let made = clinics.post::<FhirFunction>(doctor, all, observation("preliminary")).await;
    let one = format!("{all}/{}", made.text("/id"));
    for query in ["", "?status=preliminary", "?date=2026-03-02&_sort=-date", "?_include=Observation:subject"]
    {
        let found = clinics.get::<FhirFunction>(doctor, &format!("{all}{query}")).await;
        assert_eq!(found.body["entry"][0]["resource"]["id"], made.body["id"], "{query}");
    }
    let mut changed = observation("final");
    changed["id"] = made.body["id"].clone();
    clinics.step::<FhirFunction>(doctor, Method::PUT, &one, Some(changed), "W/\"1\"").await;
    for path in [one.clone(), format!("{one}/_history"), format!("{one}/_history/1")] {
        clinics.get::<FhirFunction>(doctor, &path).await;
    }
    let everything = format!("/fhir/R4/Patient/{patient}/$everything");
    let everything = clinics.get::<FhirFunction>(doctor, &everything).await;
    assert!(everything.body["total"].as_u64().unwrap() > 3, "{}", everything.body);
    for kind in [
        "Patient",
        "Appointment",
        "Encounter",
        "Questionnaire",
        "QuestionnaireResponse",
        "Practitioner",
        "Organization",
        "Location",
        "HealthcareService",
    ] {
        clinics.get::<FhirFunction>(doctor, &format!("/fhir/R4/{kind}?_total=accurate")).await;
    }
    clinics.step::<FhirFunction>(doctor, Method::DELETE, &one, None, "").await;
}

async fn invite_and_remove(clinics: &Clinics, doctor: &Client<'_>, guests: &str) {
    let guest = clinics.world.client("demo");
    let invited = clinics.post::<SchedulingFunction>(doctor, guests, json!({"role": "family"})).await;
    let token = invited.text("/link").split_once('#').unwrap().1.to_owned();
    for _ in 0..2 {
        clinics.post::<AuthFunction>(&guest, "/auth/visit-sessions", json!({"token": token})).await;
    }
    clinics.post::<SchedulingFunction>(&guest, "/scheduling/guest-visit/arrive", json!({})).await;
    let change = |verb: &str| format!("/scheduling/guests/{}/{verb}", invited.text("/guest/id"));
    clinics.post::<SchedulingFunction>(doctor, &change("admit"), json!({})).await;
    clinics.post::<TokensFunction>(&guest, "/tokens/join", json!({})).await;
    let seen = clinics.get::<SchedulingFunction>(&guest, "/scheduling/guest-visit").await;
    assert_eq!(seen.body["people"].as_array().unwrap().len(), 3);
    let listed = clinics.get::<SchedulingFunction>(doctor, guests).await;
    assert_eq!(
        listed.body["guests"],
        json!([{"id": invited.text("/guest/id"), "role": "family", "status": "admitted"}])
    );
    clinics.post::<SchedulingFunction>(doctor, &change("remove"), json!({})).await;
    assert_eq!(clinics.world.count("SELECT count(*) FROM revocation WHERE clinic = 'demo'").await, 1);
}

#[tokio::test]
async fn a_visit_from_set_up_to_end_beside_a_twin() {
    let world = World::new().await;
    let key = SigningKey::from_bytes(&[7; 32]).to_pkcs8_pem(LineEnding::LF).unwrap();
    for (name, value) in [
        ("setup_token", "set-up-token"),
        ("issuer", "edge-1"),
        ("token_key_id", "k"),
        ("host_key", "host-key"),
        (
            "media_nodes",
            r#"{"version": 1, "nodes": [{"id": "m", "region": "r", "urls": ["ws://m"], "full": false}]}"#,
        ),
        ("token_signing_key", key.as_str()),
    ] {
        world.set(name, value);
    }
    let clinics = Clinics { world };
    let (patient, desk, doctor) =
        (clinics.world.client("demo"), clinics.world.client("demo"), clinics.world.client("demo"));
    let (link, appointment) = book(&clinics, &patient, &desk).await;

    account(&clinics, &desk, appointment.as_str().unwrap()).await;
    sign_in(&clinics, &doctor).await;
    clinics.post::<AuthFunction>(&patient, "/auth/visit-sessions", json!({"token": link})).await;
    clinics.get::<SchedulingFunction>(&patient, "/scheduling/visit").await;
    written_to(&clinics, &patient, &desk, &appointment).await;
    intake(&clinics, &patient).await;
    let arrived = clinics.post::<SchedulingFunction>(&patient, "/scheduling/visit/arrive", json!({})).await;
    assert_eq!(arrived.body["waiting"]["position"], 1);
    let waiting = clinics.get::<SchedulingFunction>(&patient, "/scheduling/visit").await;
    assert_eq!(waiting.body["waiting"]["position"], 1);
    let list = clinics.get::<SchedulingFunction>(&doctor, "/scheduling/appointments?date=2026-03-02").await;
    let listed = &list.body["appointments"][0];
    assert_eq!((&listed["id"], &listed["patient"]["name"]), (&appointment, &json!("Paula Patient")));

    let change = |verb: &str| format!("/scheduling/appointments/{}/{verb}", appointment.as_str().unwrap());
    earlier(&clinics, &doctor).await;
    clinics.post::<SchedulingFunction>(&doctor, &change("admit"), json!({})).await;
    consent(&clinics, &patient, &doctor, &listed["encounter"]).await;
    let mine = clinics.post::<TokensFunction>(&patient, "/tokens/join", json!({})).await;
    let theirs =
        clinics.post::<TokensFunction>(&doctor, "/tokens/join", json!({"appointment": appointment})).await;
    assert_eq!(mine.body["room"], theirs.body["room"]);
    let hash = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let keys = json!({"encryption": {"device": hash, "commitment": hash}});
    let again = clinics.post::<TokensFunction>(&patient, "/tokens/join", keys.clone()).await;
    assert_eq!(again.body["participant"], mine.body["participant"]);
    clinics.get::<TokensFunction>(&patient, "/tokens/membership").await;
    clinics.post::<TokensFunction>(&patient, "/tokens/leave", json!({})).await;
    clinics.post::<TokensFunction>(&patient, "/tokens/join", keys).await;

    let lines = json!([{"participant": mine.text("/participant"), "lossPermille": 3}]);
    let wish = json!({"kind": "phone-instead", "lines": lines});
    let asked = clinics.post::<SchedulingFunction>(&patient, "/scheduling/visit/reports", wish).await;
    clinics
        .post::<SchedulingFunction>(&doctor, &change("reports"), json!({"kind": "no-sound", "lines": lines}))
        .await;
    let list = clinics.get::<SchedulingFunction>(&doctor, "/scheduling/appointments?date=2026-03-02").await;
    assert_eq!(list.body["appointments"][0]["phoneInstead"], asked.body["at"]);

    invite_and_remove(&clinics, &doctor, &change("guests")).await;

    let encounter = format!("/records/encounters/{}", listed["encounter"].as_str().unwrap());
    call(&clinics, &doctor, (&encounter, &mine)).await;
    let read = clinics.get::<RecordsFunction>(&doctor, &encounter).await;
    let (note, tag) = (format!("{encounter}/note"), read.headers["etag"].to_str().unwrap());
    clinics.step::<RecordsFunction>(&doctor, Method::PUT, &note, Some(json!({"text": "Well."})), tag).await;
    assert_eq!(clinics.get::<RecordsFunction>(&doctor, &encounter).await.body["note"]["author"], "Dr Grey");
    fhir(&clinics, &doctor).await;
    app(&clinics, &doctor, &appointment).await;
    clinics.post::<SchedulingFunction>(&doctor, &change("end"), json!({})).await;
    clinics.step::<AuthFunction>(&doctor, Method::DELETE, "/auth/session", None, "").await;
    staff(&clinics).await;
    set_up(&clinics).await;
    oversee(&clinics, &patient, &encounter).await;
    money(&clinics, &patient).await;
    let lost = json!({"email": "paula@example.org"});
    clinics.post::<MessagesFunction>(&patient, "/messages/link-requests", lost).await;
}
