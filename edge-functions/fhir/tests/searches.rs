//! What is found by what, in which order, and page by page.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use jiff::SignedDuration;
use serde_json::{Value as Json, json};

mod support;

use support::{Clinic, Server};

#[tokio::test]
async fn resources_are_found_by_what_they_hold() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let mut ids = Vec::new();
    for (patient, pulse, day) in
        [(0, 61, "2026-03-01"), (0, 75, "2026-03-02T08:15:00+01:00"), (1, 90, "2026-02")]
    {
        ids.push(doctor.add(&clinic.observation(patient, pulse, day)).await);
    }
    let mut odd = clinic.observation(1, 1, "2020");
    odd["code"] = json!({"coding": [{"system": "urn:own", "code": "8867-4"}], "text": "Pulse"});
    odd["identifier"] = json!([{"system": "urn:lab", "value": "A,1"}]);
    odd.as_object_mut().unwrap().remove("valueQuantity");
    odd["valueString"] = json!("Ärgerlich häufig");
    ids.push(doctor.add(&odd).await);
    let paula = &clinic.patients[0];
    for (query, places) in [
        (format!("patient={paula}"), vec![0, 1]),
        (format!("subject=Patient/{paula}"), vec![0, 1]),
        (format!("subject:Patient={paula}"), vec![0, 1]),
        ("subject=Patient/x".to_owned(), vec![]),
        ("code=8867-4".to_owned(), vec![0, 1, 2, 3]),
        ("code=http://loinc.org|8867-4".to_owned(), vec![0, 1, 2]),
        ("code=urn:own|".to_owned(), vec![3]),
        ("code=|8867-4".to_owned(), vec![]),
        ("code:not=urn:own|8867-4".to_owned(), vec![0, 1, 2]),
        ("status=final,amended".to_owned(), vec![0, 1, 2, 3]),
        ("status=amended".to_owned(), vec![]),
        ("date=2026-03-02".to_owned(), vec![1]),
        ("date=2026-03".to_owned(), vec![0, 1]),
        ("date=2026-02".to_owned(), vec![2]),
        ("date=2026-02-14".to_owned(), vec![]),
        ("date=ap2026-02-14".to_owned(), vec![2]),
        ("date=ge2026-03-01".to_owned(), vec![0, 1]),
        ("date=gt2026-03-01".to_owned(), vec![1]),
        ("date=lt2026-03-01".to_owned(), vec![2, 3]),
        ("date=sa2026-02&date=eb2026-03-02".to_owned(), vec![0]),
        ("date=ne2026-02".to_owned(), vec![0, 1, 3]),
        ("value-quantity=75".to_owned(), vec![1]),
        ("value-quantity=gt61|http://unitsofmeasure.org|/min".to_owned(), vec![1, 2]),
        ("value-quantity=gt61||/min".to_owned(), vec![1, 2]),
        ("value-quantity=gt61||mg".to_owned(), vec![]),
        ("value-quantity=le61.4".to_owned(), vec![0]),
        ("value-string=argerlich".to_owned(), vec![3]),
        ("value-string=haufig".to_owned(), vec![3]),
        ("value-string:contains=GERLICH".to_owned(), vec![3]),
        ("value-string:exact=%C3%84rgerlich%20h%C3%A4ufig".to_owned(), vec![3]),
        ("value-string:exact=argerlich".to_owned(), vec![]),
        ("value-string:missing=false".to_owned(), vec![3]),
        ("value-quantity:missing=true".to_owned(), vec![3]),
        ("identifier=urn:lab|A\\,1".to_owned(), vec![3]),
        ("identifier=A,1".to_owned(), vec![]),
        (format!("_id={},{}", ids[0], ids[3]), vec![0, 3]),
        ("_lastUpdated=lt2020".to_owned(), vec![]),
        ("value-string=%25".to_owned(), vec![]),
        ("code=8867-4' OR 1=1 --".replace(' ', "%20"), vec![]),
    ] {
        let wanted: Vec<&String> = places.into_iter().map(|place: usize| &ids[place]).collect();
        let mut found = doctor.found(&format!("/Observation?{query}")).await;
        found.sort();
        let mut wanted: Vec<String> = wanted.into_iter().cloned().collect();
        wanted.sort();
        assert_eq!(found, wanted, "{query}");
    }
    // By a form too, where nothing stands in an address.
    let form = doctor
        .client
        .form::<fhir::FhirFunction>(
            "/fhir/R4/Observation/_search",
            &[("patient", paula), ("date", "2026-03-01")],
            &[],
        )
        .await;
    assert_eq!(form.text("/entry/0/resource/id"), ids[0]);
}

/// What comes or goes meanwhile neither hides nor repeats anything.
#[tokio::test]
async fn pages_are_stable() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let mut wanted = Vec::new();
    for day in 1..=11 {
        clinic.world.advance(SignedDuration::from_secs(1));
        wanted.push(doctor.add(&clinic.observation(0, 60 + day, &format!("2026-03-{:02}", 12 - day))).await);
    }
    for (sort, reversed) in
        [("", false), ("_sort=date&", true), ("_sort=-date&", false), ("_sort=-_lastUpdated&", true)]
    {
        let (mut seen, mut next) = (Vec::new(), Some(format!("/Observation?{sort}_count=3&_total=accurate")));
        let mut round = 0;
        while let Some(path) = next {
            let page = doctor.get(&path).await;
            assert_eq!(page.body["total"], 11);
            let entries = page.body["entry"].as_array().unwrap();
            assert!(entries.len() <= 3);
            seen.extend(entries.iter().map(|entry| entry["resource"]["id"].as_str().unwrap().to_owned()));
            let links = page.body["link"].as_array().unwrap();
            let link = links.iter().find(|link| link["relation"] == "next");
            next =
                link.map(|link| link["url"].as_str().unwrap().split("/fhir/R4").nth(1).unwrap().to_owned());
            round += 1;
            // Of what was shown one is changed, so that it stands elsewhere by time of change.
            if round == 1 && sort.is_empty() {
                let mut first = entries[0]["resource"].clone();
                first["status"] = json!("amended");
                let one = format!("/Observation/{}", first["id"].as_str().unwrap());
                assert_eq!(doctor.put(&one, &first, &[]).await.status, 200);
                // Back to what it was, in order of change too.
                clinic
                    .world
                    .run("UPDATE fhir_resource SET updated_at = updated_at - 20000 WHERE version = 2", vec![])
                    .await;
            }
        }
        let mut wanted = wanted.clone();
        if reversed {
            wanted.reverse();
        }
        assert_eq!(seen, wanted, "{sort}");
    }
    let count = doctor.get("/Observation?_summary=count").await;
    assert!(count.body["total"] == 11 && count.body.get("entry").is_none(), "{}", count.body);
    let part =
        doctor.get("/Observation?_elements=status&_count=1").await.body["entry"][0]["resource"].clone();
    let names: Vec<&String> = part.as_object().unwrap().keys().collect();
    assert_eq!(names, ["code", "id", "meta", "resourceType", "status"]);
    assert_eq!(part["meta"]["tag"][0]["code"], "SUBSETTED");
}

#[tokio::test]
async fn what_belongs_to_it_comes_along() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let observation = doctor.add(&clinic.observation(0, 61, "2026-03-01")).await;
    doctor.add(&clinic.observation(1, 70, "2026-03-01")).await;
    let paula = &clinic.patients[0];
    let along = format!("+{paula}");
    let forward = doctor.found(&format!("/Observation?patient={paula}&_include=Observation:subject")).await;
    assert_eq!(forward, [observation.clone(), along]);
    let forward =
        doctor.found(&format!("/Observation?patient={paula}&_include=Observation:subject:Group")).await;
    assert_eq!(forward, [observation.as_str()]);
    let backward = doctor.found(&format!("/Patient?_id={paula}&_revinclude=Observation:subject")).await;
    assert_eq!(backward, [paula.clone(), format!("+{observation}")]);
    let backward = doctor.found(&format!("/Patient?_id={paula}&_revinclude=Encounter:subject")).await;
    assert_eq!(backward, [paula.clone(), format!("+{}", clinic.visits[0].encounter)]);
    let everything = doctor.found(&format!("/Patient/{paula}/$everything")).await;
    let visit = &clinic.visits[0];
    let mut wanted =
        vec![paula.clone(), visit.appointment.to_string(), visit.encounter.to_string(), observation];
    let mut found = everything.clone();
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

/// An app of one patient finds, reads and writes nothing of others, whatever it asks.
#[tokio::test]
async fn an_app_of_one_patient_sees_nobody_else() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let own = doctor.add(&clinic.observation(0, 61, "2026-03-01")).await;
    let others = doctor.add(&clinic.observation(1, 70, "2026-03-01")).await;
    let scopes = "patient/Observation.cruds patient/Patient.rs patient/Encounter.rs";
    let bound = clinic.world.patient_of(&clinic.visits[0]).await;
    let token = clinic.world.seed_app("demo", Some(clinic.seeded.doctor), Some(bound), scopes).await;
    let app = Server { client: clinic.world.client("demo"), token: Some(token) };
    assert_eq!(app.found("/Observation").await, [own.as_str()]);
    assert_eq!(app.found("/Patient").await, [clinic.patients[0].as_str()]);
    assert_eq!(app.found(&format!("/Observation?patient={}", clinic.patients[1])).await, [""; 0]);
    for path in ["", "/_history", "/_history/1"] {
        assert_eq!(app.get(&format!("/Observation/{own}{path}")).await.status, 200, "{path}");
        assert_eq!(app.get(&format!("/Observation/{others}{path}")).await.status, 404, "{path}");
    }
    assert_eq!(app.get(&format!("/Patient/{}/$everything", clinic.patients[1])).await.status, 404);
    assert_eq!(app.get(&format!("/Patient/{}/$everything", clinic.patients[0])).await.body["total"], 3);
    assert_eq!(app.get("/Appointment").await.refusal(), (403, "insufficient-scope"));
    let mut moved = clinic.observation(1, 70, "2026-03-01");
    assert_eq!(app.post("/Observation", &moved).await.refusal(), (403, "other-patient"));
    moved["id"] = json!(own);
    assert_eq!(app.put(&format!("/Observation/{own}"), &moved, &[]).await.refusal(), (403, "other-patient"));
    moved["id"] = json!(others);
    assert_eq!(app.put(&format!("/Observation/{others}"), &moved, &[]).await.status, 404);
    assert_eq!(
        app.send(http::Method::DELETE, &format!("/Observation/{others}"), None, &[]).await.status,
        404
    );
    let batch = |url: &str| json!({"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": url}}]});
    let answer = app.post("", &batch(&format!("Observation/{others}"))).await;
    assert_eq!(answer.text("/entry/0/response/status"), "404 Not Found");
    let answer = app.post("", &batch("Appointment?status=booked")).await;
    assert_eq!(answer.text("/entry/0/response/status"), "403 Forbidden");
    let answer = app.post("", &batch("Observation?status=final")).await;
    let found: &Json = &answer.body["entry"][0]["resource"]["entry"];
    assert_eq!(
        (found.as_array().unwrap().len(), found[0]["resource"]["id"].as_str()),
        (1, Some(own.as_str()))
    );
}

/// Where clinicians open records of their own patients only, FHIR is no way around.
#[tokio::test]
async fn records_of_others_patients_stay_closed() {
    let clinic = Clinic::new().await;
    let doctor = clinic.doctor().await;
    let observation = doctor.add(&clinic.observation(0, 61, "2026-03-01")).await;
    let sql = "INSERT INTO oversight (clinic, record_access, emergency_minutes, day_begins, day_ends, mass_patients,
                 sample_one_in, changed_at) VALUES ('demo', 'assigned', 60, '06:00', '22:00', 30, 0, 0)";
    clinic.world.run(sql, vec![]).await;
    let stranger = Server { client: clinic.world.client("demo"), token: None };
    stranger.client.sign_in_as(kit::policy::Role::Doctor).await;
    let paula = &clinic.patients[0];
    for path in [
        format!("/Observation/{observation}"),
        format!("/Observation/{observation}/_history"),
        format!("/Observation?patient={paula}"),
        format!("/Patient/{paula}/$everything"),
    ] {
        assert_eq!(stranger.get(&path).await.refusal(), (403, "not-assigned"), "{path}");
        assert_eq!(doctor.get(&path).await.status, 200, "{path}");
    }
    assert_eq!(stranger.get("/Observation").await.refusal(), (403, "patient-required"));
    assert_eq!(
        stranger.found(&format!("/Patient?_id={paula}&_revinclude=Observation:subject")).await,
        [paula.as_str()]
    );
    let answer = stranger.post("/Observation", &clinic.observation(0, 1, "2026")).await;
    assert_eq!(answer.refusal(), (403, "not-assigned"));
}
