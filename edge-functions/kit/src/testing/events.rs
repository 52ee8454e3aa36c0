//! Audit events of a test, kept and searched as the host does it.

use std::cell::RefCell;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use crate::Pending;
use crate::audit_log::{AuditLog, Found, Outcome, Recorded, Report, Source, Unavailable, Wish};

/// Of all clinics.
#[derive(Default)]
pub struct KeptEvents {
    events: RefCell<Vec<(String, Found)>>,
    /// Whose the host shows: those of the request that it serves.
    clinic: RefCell<String>,
}

impl KeptEvents {
    pub(super) fn of(&self, clinic: &str) -> &Self {
        self.clinic.replace(clinic.to_owned());
        self
    }

    pub(super) fn keep(&self, clinic: &str, at: Timestamp, status: u16, said: &Json) {
        let mut events = self.events.borrow_mut();
        let sequence = events.len() as u64 + 1;
        let mut event = said.clone();
        event["recorded_at_ms"] = json!(at.as_millisecond());
        event["request"] = json!(format!("request-{sequence}"));
        event["region"] = json!("eu-central");
        event["node"] = json!("edge-1");
        event["status"] = json!(status);
        event["agent_type"] = said["agent"]["type"].clone();
        event["agent"] = said["agent"]["id"].clone();
        event["entity_type"] = said["entity"]["type"].clone();
        event["entity"] = said["entity"]["id"].clone();
        let event: Recorded = serde_json::from_value(event).unwrap();
        events.push((clinic.to_owned(), Found { event, origin: "rows".to_owned(), sequence }));
    }
}

impl AuditLog for KeptEvents {
    fn search<'a>(&'a self, wish: &'a Wish) -> Pending<'a, Result<Report, Unavailable>> {
        let (all, clinic) = (self.events.borrow(), self.clinic.borrow());
        let own = all.iter().filter(|(of, _)| *of == *clinic).map(|(_, found)| found);
        let mut events: Vec<Found> = own.filter(|found| takes(wish, &found.event)).cloned().collect();
        let matched = events.len() as u64;
        events.sort_by_key(|found| wish.place(found));
        if wish.descending {
            events.reverse();
        }
        if let Some(after) = &wish.after {
            let is_behind = |found: &Found| {
                let place = wish.place(found);
                if wish.descending { place < *after } else { place > *after }
            };
            events.retain(is_behind);
        }
        let more = events.len() > wish.limit;
        events.truncate(wish.limit);
        let sources = vec![Source { node: "edge-1".to_owned(), state: "answered".to_owned() }];
        Box::pin(async move { Ok(Report { events, matched, more, sources }) })
    }
}

fn takes(wish: &Wish, event: &Recorded) -> bool {
    let is = |wanted: &Option<String>, given: &Option<String>| wanted.is_none() || wanted == given;
    let at = event.recorded_at_ms;
    let of_patient = wish.patient.is_some() && wish.patient == event.patient;
    let seen = |id: &String| wish.entities.iter().any(|seen| seen.id == *id && at >= seen.since_ms);
    wish.from_ms.is_none_or(|from| at >= from)
        && wish.until_ms.is_none_or(|until| at < until)
        && is(&wish.agent, &event.agent)
        && wish.agent_type.is_none_or(|kind| kind == event.agent_type)
        && is(&wish.request, &Some(event.request.clone()))
        && wish.action.is_none_or(|action| action == event.action)
        && (wish.codes.is_empty() || wish.codes.contains(&event.code))
        && wish.outcome.is_none_or(|outcome| (outcome == Outcome::Success) == (event.status < 400))
        && (wish.patient.is_none() && wish.entities.is_empty()
            || of_patient
            || event.entity.as_ref().is_some_and(seen))
}
