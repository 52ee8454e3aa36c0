//! A clinic with one visit, whose texts and questions a test chooses.

#![allow(dead_code, clippy::unwrap_used, reason = "part of the tests, and each uses what it needs")]

use kit::consent::{self, ConsentText};
use kit::context::Context;
use kit::params;
use kit::questionnaire::{self, Questionnaire};
use kit::testing::{Booked, Client, Seeded, World};
use serde_json::{Value as Json, json};

pub(crate) struct Clinic {
    pub(crate) world: World,
    pub(crate) seeded: Seeded,
    pub(crate) visit: Booked,
}

/// A text in two languages.
pub(crate) fn texts(text: &str) -> Json {
    let one = |language: &str, text: String| json!({"key": "video", "jurisdiction": "US", "language": language, "title": "Video", "text": text});
    json!([one("en", format!("{text}?")), one("es", format!("¿{text}?"))])
}

impl Clinic {
    /// `questions`: items of a questionnaire that must be answered; none: nothing is asked.
    pub(crate) async fn new(texts: Json, questions: Json) -> Self {
        let world = World::new().await;
        let seeded = world.seed("demo", "Europe/Berlin").await;
        let visit = world.seed_visit(&seeded, "2026-03-02T08:00:00Z").await;
        let clinic = Self { world, seeded, visit };
        clinic.change_texts(texts).await;
        if questions.as_array().is_some_and(|items| !items.is_empty()) {
            clinic.ask(&questionnaire("1", questions), true).await;
        }
        clinic
    }

    pub(crate) async fn change_texts(&self, texts: Json) {
        self.world.run("UPDATE consent_text SET removed_at = ?", params![self.world.now()]).await;
        let texts: Vec<ConsentText> = serde_json::from_value(texts).unwrap();
        for text in &texts {
            let place = (text.key.as_str(), text.jurisdiction.as_str(), text.language.as_str());
            let words = (text.title.as_str(), text.text.as_str());
            let work = async |context: &Context<'_>| consent::create(context, place, words).await;
            self.world.as_nobody("demo", work).await.unwrap();
        }
    }

    pub(crate) async fn ask(&self, resource: &Json, required: bool) {
        self.world.run("UPDATE questionnaire SET removed_at = ?", params![self.world.now()]).await;
        self.ask_too("intake", None, (resource, required)).await;
    }

    /// Another one beside what is asked.
    pub(crate) async fn ask_too(
        &self,
        key: &str,
        service: Option<&str>,
        (resource, required): (&Json, bool),
    ) {
        Questionnaire::parse(resource.clone()).unwrap();
        let work = async |context: &Context<'_>| {
            questionnaire::create(context, key, (service, required), resource).await
        };
        self.world.as_nobody("demo", work).await.unwrap();
    }

    /// The patient's browser.
    pub(crate) async fn patient(&self) -> Client<'_> {
        let client = self.world.client("demo");
        client.begin_visit(&self.visit).await;
        client
    }

    pub(crate) async fn is_call_refused(&self) -> bool {
        let visit = self.visit.appointment;
        let work = async |context: &Context<'_>| consent::is_missing(context, visit).await;
        self.world.as_nobody("demo", work).await.unwrap()
    }
}

/// A questionnaire of these items.
pub(crate) fn questionnaire(version: &str, item: Json) -> Json {
    json!({
        "resourceType": "Questionnaire", "url": "urn:locum:intake", "version": version, "status": "active",
        "title": "Before your visit", "item": item,
    })
}
