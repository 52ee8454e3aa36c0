//! Media nodes tell what happened in calls; they ask for nothing.

use std::collections::BTreeMap;

use locum_cluster::calls::{CallEvent, CallEvents, CallEventsKept, MAX_CALL_EVENTS, MAX_NAME_BYTES};
use locum_identity::NodeId;
use locum_mesh::{Refusal, RefusalCode};

use crate::http::{CallOutcome, Edge};

/// Answers a media node: which of its events it need not keep any more.
pub(super) async fn answer(edge: &Edge, node: &NodeId, question: &[u8]) -> Result<Vec<u8>, Refusal> {
    let invalid = |why| Refusal::new(RefusalCode::Invalid, why);
    let told: CallEvents = serde_json::from_slice(question).map_err(|_| invalid("not events of calls"))?;
    if told.events.len() > MAX_CALL_EVENTS || told.events.iter().any(is_too_long) {
        return Err(invalid("events over the bounds"));
    }
    let _place = edge.call_events_taken.try_acquire().map_err(|_| busy())?;
    let mut answer = CallEventsKept::default();
    let mut outcomes = BTreeMap::new();
    for (_, places) in by_call(&told.events) {
        let events: Vec<CallEvent> = places.iter().map(|place| told.events[*place].clone()).collect();
        let outcome = edge.keep_call_events(node, &events).await;
        *outcomes.entry(label(outcome)).or_insert(0_u64) += places.len() as u64;
        match outcome {
            CallOutcome::Kept => answer.kept.extend(places),
            CallOutcome::Unknown => answer.unknown.extend(places),
            CallOutcome::NotNow => {}
        }
    }
    for (outcome, events) in outcomes {
        metrics::counter!("locum_edge_call_events_total", "outcome" => outcome).increment(events);
    }
    serde_json::to_vec(&answer)
        .map_err(|_| Refusal::new(RefusalCode::Internal, "the answer cannot be written"))
}

/// The places of each call's events.
fn by_call(events: &[CallEvent]) -> BTreeMap<&str, Vec<usize>> {
    let mut calls: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, event) in events.iter().enumerate() {
        calls.entry(&event.sink).or_default().push(place);
    }
    calls
}

fn is_too_long(event: &CallEvent) -> bool {
    let names = [&event.start, &event.sink, &event.participant];
    names.iter().any(|name| name.len() > MAX_NAME_BYTES)
        || event.what.stay().is_some_and(|stay| stay.len() > MAX_NAME_BYTES)
}

fn busy() -> Refusal {
    Refusal::new(RefusalCode::Busy, "other nodes tell of calls at the moment")
}

const fn label(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Kept => "kept",
        CallOutcome::Unknown => "unknown",
        CallOutcome::NotNow => "not-now",
    }
}
