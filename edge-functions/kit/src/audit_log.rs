//! Reading the audit events of a clinic: what a function asks its host for, and is answered.

use serde::{Deserialize, Serialize};

use crate::Pending;

/// Where the host answers.
pub const ADDRESS: &str = "http://audit.localhost/events";
/// Most events of one answer.
pub const MOST: usize = 5_000;

/// The events of the request's clinic, wherever they are kept.
pub trait AuditLog {
    /// As many as are wanted of those that fit.
    fn search<'a>(&'a self, wish: &'a Wish) -> Pending<'a, Result<Report, Unavailable>>;
}

/// This host keeps none, or cannot read them now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the audit events cannot be read")]
pub struct Unavailable;

/// Which events; what is `None` or empty is not looked at.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Wish {
    /// From this time on, Unix milliseconds.
    pub from_ms: Option<i64>,
    /// Before this time.
    pub until_ms: Option<i64>,
    /// By whoever has this id.
    pub agent: Option<String>,
    /// By somebody of this kind.
    pub agent_type: Option<&'static str>,
    /// Of this person's record, or done to one of `entities`.
    pub patient: Option<String>,
    /// Of any of these.
    pub entities: Vec<Seen>,
    /// Create, read, update, delete or execute.
    pub action: Option<char>,
    /// One of these.
    pub codes: Vec<String>,
    /// Only what was done, or only what was refused.
    pub outcome: Option<Outcome>,
    /// Of one request.
    pub request: Option<String>,
    /// By what they are ordered.
    pub sort: Sort,
    /// The last first.
    pub descending: bool,
    /// Those behind this place.
    pub after: Option<Place>,
    /// As many, [`MOST`] at most.
    pub limit: usize,
}

/// Something that shows a person since it was made.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Its id.
    pub id: String,
    /// Since when, Unix milliseconds.
    pub since_ms: i64,
}

/// How an answer turned out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused, or failed.
    Failure,
}

/// By what events are ordered; those alike by time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// Time.
    #[default]
    Recorded,
    /// Whoever did it.
    Agent,
    /// Whose record it was.
    Patient,
    /// What was done.
    Code,
    /// How it turned out.
    Outcome,
}

/// Where an event stands in an order.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize)]
pub struct Place {
    /// What is sorted by.
    pub value: String,
    /// Its time.
    pub recorded_at_ms: i64,
    /// The log that it stands in.
    pub origin: String,
    /// Its place there.
    pub sequence: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Report {
    /// In the order asked for.
    pub events: Vec<Found>,
    /// How many there are in all.
    pub matched: u64,
    /// There are others behind these.
    pub more: bool,
    /// Whose logs it was made of.
    pub sources: Vec<Source>,
}

/// A host's log.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Source {
    /// The host.
    pub node: String,
    /// `answered`, `copied` or `missing`.
    pub state: String,
}

/// An event and where it is kept.
#[derive(Clone, Debug, Deserialize)]
pub struct Found {
    /// The event.
    pub event: Recorded,
    /// Its log.
    pub origin: String,
    /// Its place there.
    pub sequence: u64,
}

/// An event as its host keeps it.
#[derive(Clone, Debug, Deserialize)]
pub struct Recorded {
    /// When, Unix milliseconds.
    pub recorded_at_ms: i64,
    /// The host's id of the request.
    pub request: String,
    /// Where.
    pub region: String,
    /// At which host.
    pub node: String,
    /// Status of the answer.
    pub status: u16,
    /// Create, read, update, delete or execute.
    pub action: char,
    /// What was done.
    pub code: String,
    /// Kind of whoever did it.
    pub agent_type: String,
    /// Their id.
    pub agent: Option<String>,
    /// Kind of what it was done to.
    pub entity_type: Option<String>,
    /// Its id.
    pub entity: Option<String>,
    /// Whose record it was.
    pub patient: Option<String>,
    /// Why.
    pub purpose: Option<String>,
    /// By which session or token.
    pub token: Option<String>,
    /// What was there before.
    pub old: Option<String>,
    /// What is there now.
    pub new: Option<String>,
}

impl Wish {
    /// Where an event stands in the order of this wish.
    pub fn place(&self, found: &Found) -> Place {
        let event = &found.event;
        let value = match self.sort {
            Sort::Recorded => String::new(),
            Sort::Agent => event.agent.clone().unwrap_or_default(),
            Sort::Patient => event.patient.clone().unwrap_or_default(),
            Sort::Code => event.code.clone(),
            Sort::Outcome => event.status.to_string(),
        };
        let (recorded_at_ms, origin) = (event.recorded_at_ms, found.origin.clone());
        Place { value, recorded_at_ms, origin, sequence: found.sequence }
    }
}
