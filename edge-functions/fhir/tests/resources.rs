//! Resources from their first version to their last, and what is refused.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use http::Method;
use kit::policy::Role;
use serde_json::{Value as Json, json};

mod support;

use support::{Clinic, Server};

#[tokio::test]
async fn a_resource_has_versions_and_each_stays() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let observation = clinic.observation(0, 61, "2026-03-02");
    let made = doctor.post("/Observation", &observation).await;
    assert_eq!((made.status, made.headers["etag"].to_str().unwrap()), (201, "W/\"1\""), "{}", made.body);
    let id = made.text("/id");
    assert!(made.headers["location"].to_str().unwrap().ends_with(&format!("/Observation/{id}/_history/1")));
    assert_eq!(made.body["valueQuantity"]["value"], 61);
    let one = format!("/Observation/{id}");
    let mut changed = made.body.clone();
    changed["valueQuantity"]["value"] = json!(62);
    let answer = doctor.put(&one, &changed, &[("if-match", "W/\"1\"")]).await;
    assert_eq!(
        (answer.status, answer.body["meta"]["versionId"].as_str()),
        (200, Some("2")),
        "{}",
        answer.body
    );
    // Who has not seen that changes nothing.
    assert_eq!(doctor.put(&one, &changed, &[("if-match", "W/\"1\"")]).await.refusal(), (412, "changed"));
    assert_eq!(doctor.get(&one).await.body["valueQuantity"]["value"], 62);
    assert_eq!(doctor.get(&format!("{one}/_history/1")).await.body["valueQuantity"]["value"], 61);
    assert_eq!(doctor.get(&format!("{one}/_history/3")).await.status, 404);
    assert_eq!(doctor.send(Method::DELETE, &one, None, &[]).await.status, 204);
    assert_eq!(doctor.get(&one).await.refusal(), (410, "deleted"));
    assert!(doctor.found("/Observation").await.is_empty());
    assert_eq!(doctor.send(Method::DELETE, &one, None, &[]).await.status, 204);
    let history = doctor.get(&format!("{one}/_history")).await;
    let methods: Vec<&Json> =
        history.body["entry"].as_array().unwrap().iter().map(|e| &e["request"]["method"]).collect();
    assert_eq!(methods, ["DELETE", "PUT", "PUT"]);
    // It can come back.
    assert_eq!(doctor.put(&one, &changed, &[]).await.body["meta"]["versionId"], "4");
    assert_eq!(doctor.found("/Observation").await, [id.as_str()]);
    // And one can be brought under the id that it has elsewhere.
    let mut brought = observation.clone();
    brought["id"] = json!("from-elsewhere.1");
    assert_eq!(doctor.put("/Observation/from-elsewhere.1", &brought, &[]).await.status, 201);
    assert_eq!(doctor.put("/Observation/other", &brought, &[]).await.status, 422);
    // A reference by our own address is one to what is here.
    let mut absolute = observation;
    let whole = format!("http://localhost/c/demo/fhir/R4/Patient/{}", clinic.patients[0]);
    absolute["subject"]["reference"] = json!(whole);
    let made = doctor.post("/Observation", &absolute).await;
    assert_eq!(made.text("/subject/reference"), format!("Patient/{}", clinic.patients[0]));
}

#[tokio::test]
async fn what_is_not_valid_is_refused_with_its_place() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let mut wrong = clinic.observation(0, 61, "2026-03-02");
    wrong["status"] = json!("done");
    wrong.as_object_mut().unwrap().remove("code");
    for path in ["/Observation", "/Observation/$validate"] {
        let answer = doctor.post(path, &wrong).await;
        assert_eq!(answer.status, if path.contains('$') { 200 } else { 422 }, "{}", answer.body);
        let issues = answer.body["issue"].as_array().unwrap().iter();
        let places: Vec<_> = issues.map(|issue| issue["expression"][0].as_str().unwrap()).collect();
        assert_eq!(places, ["Observation.status", "Observation.code"], "{}", answer.body);
    }
    let fine = doctor.post("/Observation/$validate", &clinic.observation(0, 61, "2026-03-02")).await;
    assert_eq!(fine.body["issue"][0]["severity"], "information");
    assert!(doctor.found("/Observation").await.is_empty());
    // Another clinic's patient is nobody here.
    let other = clinic.world.seed("other", "Europe/Berlin").await;
    let stranger =
        clinic.world.patient_of(&clinic.world.seed_visit(&other, "2026-03-02T08:00:00Z").await).await;
    let mut of_stranger = clinic.observation(0, 61, "2026-03-02");
    of_stranger["subject"]["reference"] = json!(format!("Patient/{stranger}"));
    let answer = doctor.post("/Observation", &of_stranger).await;
    assert_eq!(
        (answer.status, answer.text("/issue/0/expression/0")),
        (422, "Observation.subject".to_owned())
    );
    assert_eq!(doctor.get(&format!("/Patient/{stranger}")).await.status, 404);
}

/// Every error is an outcome; the support looks that it is a valid one.
#[tokio::test]
async fn errors_are_outcomes() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let nobody = Server { client: clinic.world.client("demo"), token: None };
    let desk = Server { client: clinic.world.client("demo"), token: None };
    desk.client.sign_in_as(Role::FrontDesk).await;
    let observation = clinic.observation(0, 61, "2026-03-02");
    assert_eq!(nobody.get("/Observation").await.refusal(), (401, "sign-in-required"));
    assert_eq!(desk.get("/Observation").await.refusal(), (403, "role-not-allowed"));
    assert_eq!(desk.post("/Observation", &observation).await.status, 403);
    for path in
        ["/Observation/1", "/Starship", "/Starship/1", "/Observation/1/_history", "/x/y/z/a/b", "/AuditEvent"]
    {
        assert_eq!(doctor.get(path).await.status, 404, "{path}");
    }
    assert_eq!(doctor.send(Method::PATCH, "/Observation/1", None, &[]).await.status, 405);
    assert_eq!(doctor.post("/Patient", &json!({"resourceType": "Patient"})).await.status, 403);
    let accept = [("accept", "application/fhir+xml")];
    assert_eq!(doctor.send(Method::GET, "/Observation", None, &accept).await.status, 406);
    let form = doctor.client.form::<fhir::FhirFunction>("/fhir/R4/Observation", &[("a", "b")], &[]).await;
    assert_eq!((form.status, &form.body["resourceType"]), (415, &json!("OperationOutcome")));
    for query in
        ["shoe=1", "date=yesterday", "_sort=status", "_count=x", "code:below=1", "_cursor=1", "_include=x"]
    {
        assert_eq!(
            doctor.get(&format!("/Observation?{query}")).await.refusal(),
            (400, "bad-search"),
            "{query}"
        );
    }
    let metadata = nobody.get("/metadata").await;
    assert_eq!((metadata.status, &metadata.body["fhirVersion"]), (200, &json!("4.0.1")));
}

#[tokio::test]
async fn what_the_application_keeps_is_shown_as_fhir() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let patient = doctor.get(&format!("/Patient/{}", clinic.patients[0])).await;
    assert_eq!(patient.body["name"][0]["text"], "Paula Patient");
    let appointments =
        doctor.get(&format!("/Appointment?patient={}&date=2026-03-02", clinic.patients[0])).await;
    assert_eq!(appointments.body["entry"].as_array().unwrap().len(), 1, "{}", appointments.body);
    assert_eq!(appointments.text("/entry/0/resource/start"), "2026-03-02T08:00:00Z");
    for (query, count) in [
        ("/Patient?name=pau", 2),
        ("/Patient?name=patient", 2),
        ("/Patient?name=aula", 0),
        ("/Patient?name:contains=aula", 2),
        ("/Patient?name:exact=Paula%20Patient", 2),
        ("/Patient?birthdate=1980-01-31", 2),
        ("/Patient?birthdate=lt1980", 0),
        ("/Patient?birthdate=ge1980&birthdate=lt1981", 2),
        ("/Appointment?status=booked", 2),
        ("/Appointment?status:not=booked", 0),
        ("/Appointment?date=gt2026-03-02", 0),
        ("/Appointment?date=2026-03-02T08:30:00Z", 1),
        ("/Encounter?status=planned,finished&class=VR", 2),
        ("/Practitioner?name=grey", 1),
        ("/Organization?_id=demo", 1),
        ("/HealthcareService?organization=Organization/demo", 1),
        ("/HealthcareService?organization=Patient/demo", 0),
    ] {
        assert_eq!(doctor.found(query).await.len(), count, "{query}");
    }
    let mut all = doctor
        .found(&format!("/Appointment?_include=Appointment:patient&_id={}", clinic.visits[0].appointment))
        .await;
    all.sort();
    assert_eq!(all, [format!("+{}", clinic.patients[0]), clinic.visits[0].appointment.to_string()]);
}
