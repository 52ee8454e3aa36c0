//! What of all accesses is looked at again: pure rules over the events of some days.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::audit_log::{Found, Recorded};
use kit::oversight::Oversight;
use serde::{Deserialize, Serialize};

/// What leads to a record, or out of the house.
pub const CODES: [&str; 12] = [
    "note-read",
    "note-written",
    "call-read",
    "call-reported",
    "token-minted",
    "guests-read",
    "emergency-access",
    "audit-exported",
    "audit-printed",
    "access-refused",
    "intake-read",
    "consent-overridden",
];
const HOUR_MS: i64 = 3_600_000;

/// Why an access is looked at.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Somebody else's patient, with a reason.
    BreakGlass,
    /// One's own record.
    OwnRecord,
    /// The record of somebody who works here.
    Colleague,
    /// Family, perhaps.
    SameSurname,
    /// At night.
    AfterHours,
    /// Many patients within an hour.
    MassReading,
    /// Audit events left as a file.
    Export,
    /// By chance.
    Sample,
    /// A visit began without the patient's consent.
    NoConsent,
}

/// Something to look at.
#[derive(Clone, Debug)]
pub struct Item<'e> {
    /// Why.
    pub rule: Rule,
    /// The access, or the one that made it too many.
    pub found: &'e Found,
    /// How many patients, where it is about their number.
    pub patients: Option<usize>,
}

/// Who works here, as far as rules compare it.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their id.
    pub id: String,
    /// Their name.
    pub name: String,
    /// Their user name, which may be an address.
    pub username: String,
}

/// A patient, in the same way.
#[derive(Clone, Debug)]
pub struct Patient {
    /// Their name.
    pub name: String,
    /// Their address.
    pub email: String,
}

/// What rules know of a clinic.
pub struct Circumstances<'c> {
    /// What it wants to be looked at.
    pub oversight: &'c Oversight,
    /// Where it is.
    pub zone: &'c TimeZone,
    /// Who works there.
    pub staff: &'c [Person],
    /// Who occurs, by id.
    pub patients: &'c BTreeMap<String, Patient>,
}

impl Rule {
    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BreakGlass => "break-glass",
            Self::OwnRecord => "own-record",
            Self::Colleague => "colleague",
            Self::SameSurname => "same-surname",
            Self::AfterHours => "after-hours",
            Self::MassReading => "mass-reading",
            Self::Export => "export",
            Self::Sample => "sample",
            Self::NoConsent => "no-consent",
        }
    }

    /// The rule of that name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [
            Self::BreakGlass,
            Self::OwnRecord,
            Self::Colleague,
            Self::SameSurname,
            Self::AfterHours,
            Self::MassReading,
            Self::Export,
            Self::Sample,
            Self::NoConsent,
        ];
        all.into_iter().find(|rule| rule.as_str() == name)
    }
}

impl Item<'_> {
    /// Its name: the same whenever the rules are asked.
    pub fn id(&self) -> String {
        format!("{}/{}", self.rule.as_str(), self.found.event.request)
    }
}

/// What is to be looked at among `events`, which are of one clinic's staff and in the order of time. An access is told
/// once, by its weightiest reason; the same person at the same record again that day is one.
pub fn items<'e>(events: &'e [Found], known: &Circumstances<'_>) -> Vec<Item<'e>> {
    let mut items = Vec::new();
    let mut told = BTreeSet::new();
    let mut reading = Reading::default();
    for found in events {
        let event = &found.event;
        if event.status >= 400 {
            continue;
        }
        if let Some(patients) = reading.take(event, usize::from(known.oversight.mass_patients)) {
            items.push(Item { rule: Rule::MassReading, found, patients: Some(patients) });
        }
        let Some(rule) = rule(event, known) else { continue };
        let day = event.recorded_at_ms / (24 * HOUR_MS);
        let once = (rule, event.agent.clone(), event.patient.clone(), day);
        if matches!(rule, Rule::BreakGlass | Rule::Export | Rule::NoConsent) || told.insert(once) {
            items.push(Item { rule, found, patients: None });
        }
    }
    items
}

fn rule(event: &Recorded, known: &Circumstances<'_>) -> Option<Rule> {
    match event.code.as_str() {
        "emergency-access" => return Some(Rule::BreakGlass),
        "consent-overridden" => return Some(Rule::NoConsent),
        "audit-exported" | "audit-printed" => return Some(Rule::Export),
        _ => {}
    }
    let patient = known.patients.get(event.patient.as_deref()?)?;
    let agent = event.agent.as_deref()?;
    let is = |person: &Person| {
        person.username.eq_ignore_ascii_case(&patient.email) || words(&person.name) == words(&patient.name)
    };
    let own = known.staff.iter().find(|person| person.id == agent);
    if own.is_some_and(is) {
        return Some(Rule::OwnRecord);
    }
    if known.staff.iter().any(is) {
        return Some(Rule::Colleague);
    }
    if own.is_some_and(|own| surname(&own.name).is_some() && surname(&own.name) == surname(&patient.name)) {
        return Some(Rule::SameSurname);
    }
    if is_after_hours(event, known) {
        return Some(Rule::AfterHours);
    }
    is_sampled(event, known.oversight.sample_one_in).then_some(Rule::Sample)
}

/// Titles are no names.
fn words(name: &str) -> Vec<String> {
    let words = name.split(|c: char| c.is_whitespace() || c == '.' || c == ',').map(str::to_lowercase);
    words.filter(|word| !matches!(word.as_str(), "" | "dr" | "prof" | "mr" | "mrs" | "ms" | "med")).collect()
}

fn surname(name: &str) -> Option<String> {
    let words = words(name);
    words.last().filter(|_| words.len() > 1).cloned()
}

fn is_after_hours(event: &Recorded, known: &Circumstances<'_>) -> bool {
    let Ok(at) = Timestamp::from_millisecond(event.recorded_at_ms) else { return false };
    let local = known.zone.to_datetime(at);
    let (day, oversight) = (local.date(), known.oversight);
    let bounds = oversight.day_begins.on(day).zip(oversight.day_ends.on(day));
    bounds.is_some_and(|(begins, ends)| local < begins || local >= ends)
}

/// By the id of the request, which nobody chooses.
fn is_sampled(event: &Recorded, one_in: u16) -> bool {
    let hash = event
        .request
        .bytes()
        .fold(5_381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(byte)));
    one_in > 0 && hash % u32::from(one_in) == 0
}

/// How many patients each person has looked at in the last hour.
#[derive(Default)]
struct Reading(BTreeMap<String, Vec<(i64, String)>>);

impl Reading {
    /// `Some` when it has become too many with this one; then it begins anew.
    fn take(&mut self, event: &Recorded, most: usize) -> Option<usize> {
        let (agent, patient) = (event.agent.clone()?, event.patient.clone()?);
        let seen = self.0.entry(agent).or_default();
        seen.retain(|(at, other)| *at > event.recorded_at_ms - HOUR_MS && *other != patient);
        seen.push((event.recorded_at_ms, patient));
        if seen.len() > most {
            let patients = seen.len();
            seen.clear();
            return Some(patients);
        }
        None
    }
}
