//! A clinic with two visits, and those who ask its FHIR server.

#![allow(dead_code, clippy::unwrap_used, reason = "part of the tests, and each uses what it needs")]

use fhir::FhirFunction;
use http::Method;
use kit::testing::{Answer, Booked, Client, Seeded, World};
use serde_json::{Value as Json, json};

pub(crate) struct Clinic {
    pub(crate) world: World,
    pub(crate) seeded: Seeded,
    pub(crate) visits: [Booked; 2],
    /// Of each visit.
    pub(crate) patients: [String; 2],
}

impl Clinic {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let seeded = world.seed("demo", "Europe/Berlin").await;
        let visits = [
            world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await,
            world.seed_visit(&seeded, "2026-03-02T08:30:00Z").await,
        ];
        let patients =
            [world.patient_of(&visits[0]).await.to_string(), world.patient_of(&visits[1]).await.to_string()];
        Self { world, seeded, visits, patients }
    }

    /// The clinic's doctor.
    pub(crate) async fn doctor(&self) -> Server<'_> {
        let client = self.world.client("demo");
        client.begin_session(self.seeded.doctor).await;
        Server { client, token: None }
    }

    pub(crate) fn observation(&self, patient: usize, pulse: u32, day: &str) -> Json {
        json!({
            "resourceType": "Observation", "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}]},
            "subject": {"reference": format!("Patient/{}", self.patients[patient])},
            "effectiveDateTime": day,
            "valueQuantity": {"value": pulse, "unit": "beats/minute", "system": "http://unitsofmeasure.org", "code": "/min"},
        })
    }
}

/// The FHIR server as somebody asks it.
pub(crate) struct Server<'w> {
    pub(crate) client: Client<'w>,
    pub(crate) token: Option<String>,
}

impl Server<'_> {
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Json>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = headers.to_vec();
        headers.extend(bearer.as_ref().map(|bearer| ("authorization", bearer.as_str())));
        let answer =
            self.client.send::<FhirFunction>(method, &format!("/fhir/R4{path}"), body, &headers).await;
        if answer.status != 204 {
            assert_eq!(answer.headers["content-type"], "application/fhir+json", "{path}");
            assert!(
                answer.bytes.is_empty() || fhir_model::validate(&answer.body).is_empty(),
                "{path}: {}: {:?}",
                answer.body,
                fhir_model::validate(&answer.body)
            );
        }
        let is_outcome = answer.body["resourceType"] == "OperationOutcome";
        assert!(answer.status < 400 || is_outcome, "{path}: {}", answer.body);
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Json) -> Answer {
        self.send(Method::POST, path, Some(body.clone()), &[]).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Json, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::PUT, path, Some(body.clone()), headers).await
    }

    /// Adds a resource: its id.
    pub(crate) async fn add(&self, resource: &Json) -> String {
        let made = self.post(&format!("/{}", resource["resourceType"].as_str().unwrap()), resource).await;
        assert_eq!(made.status, 201, "{}", made.body);
        made.text("/id")
    }

    /// Ids of what a search finds, with those that came along behind a `+`.
    pub(crate) async fn found(&self, path: &str) -> Vec<String> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let entries = answer.body["entry"].as_array().cloned().unwrap_or_default();
        let id = |entry: &Json| {
            let mark = if entry["search"]["mode"] == "include" { "+" } else { "" };
            format!("{mark}{}", entry["resource"]["id"].as_str().unwrap())
        };
        entries.iter().map(id).collect()
    }
}
