//! Who was in the call of an encounter, and for how long: media nodes tell it, staff see it.

use std::collections::BTreeMap;

use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form;
use kit::ids::{AppointmentId, EncounterId};
use kit::meter::{self, Event, Told};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::reports::{self, ReportView};

/// Most events of one request.
const MAX_EVENTS: usize = 256;
/// Longest name in an event, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// All of one call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewEvents {
    events: Vec<NewEvent>,
}

/// As a media node tells it. A field that a newer node adds is left aside.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewEvent {
    start: String,
    sequence: i64,
    at_ms: i64,
    sink: String,
    participant: String,
    kind: String,
    stay: Option<String>,
    gap_ms: Option<i64>,
    reason: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallView {
    participants: Vec<ParticipantView>,
    /// Of all of them together: what a visit is metered by.
    participant_seconds: i64,
    /// What people said was wrong, the first first.
    reports: Vec<ReportView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ParticipantView {
    /// `patient`, or the id of a member of staff or of a guest.
    person: String,
    connected_seconds: i64,
    joins: u32,
}

/// `POST /records/call-events`, of a media node. What is there already stays as it is.
pub async fn create_call_events(context: &Context<'_>) -> Result<Reply, Problem> {
    let node = context.node()?.as_str().to_owned();
    let told: NewEvents = form::read(&context.request)?;
    if told.events.len() > MAX_EVENTS {
        return Err(Problem::invalid("/events", format!("must be {MAX_EVENTS} at most")));
    }
    context
        .transaction(async || {
            for (place, event) in told.events.iter().enumerate() {
                if !event.is_in_bounds() {
                    return Err(Problem::invalid(format!("/events/{place}"), "is no event of a call"));
                }
                keep(context, &node, event).await?;
            }
            Ok(reply::no_content())
        })
        .await
}

async fn keep(context: &Context<'_>, node: &str, event: &NewEvent) -> Result<(), Problem> {
    let sql = "INSERT INTO call_event
                 (clinic, node, start, sequence, appointment, participant, at, kind, stay, gap_ms, reason)
               SELECT m.clinic, ?2, ?3, ?4, m.appointment, ?5, ?6, ?7, ?8, ?9, ?10
               FROM call_meter m WHERE m.clinic = ?1 AND m.sink = ?11
               ON CONFLICT (clinic, node, start, sequence) DO NOTHING";
    let NewEvent { start, sequence, at_ms, sink, participant, kind, stay, gap_ms, reason } = event;
    let values = params![
        &context.clinic,
        node,
        start.as_str(),
        *sequence,
        participant.as_str(),
        *at_ms,
        kind.as_str(),
        stay.clone(),
        *gap_ms,
        reason.clone(),
        sink.as_str()
    ];
    let added = context.database().execute(sql, values).await?;
    let action = match kind.as_str() {
        "token-refused" => Action::TokenRefused,
        "joined" => Action::CallJoined,
        "left" => Action::CallLeft,
        _ => return Ok(()),
    };
    if added > 0 {
        // Nodes know random names only; who that was is known here.
        let sql = "SELECT coalesce(v.visit, m.appointment), iif(p.person = v.visit, 'patient', p.person)
                   FROM call_meter m
                   LEFT JOIN call_person p ON p.clinic = m.clinic AND p.appointment = m.appointment
                     AND p.participant = ?3
                   LEFT JOIN call_visit v ON v.clinic = p.clinic AND v.appointment = p.appointment
                     AND v.participant = p.participant
                   WHERE m.clinic = ?1 AND m.sink = ?2";
        let values = params![&context.clinic, sink.as_str(), participant.as_str()];
        if let Some(row) = context.database().query(sql, values).await?.first() {
            let appointment = row.parsed(0, AppointmentId::parse)?;
            context.audit_change(action, Some(&appointment), (None, row.text_or_null(1)?));
        }
    }
    Ok(())
}

/// `GET /records/encounters/{id}/call`.
pub async fn get_call(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(EncounterId::parse)?;
    context.may_open(id).await?;
    let sql = "SELECT 1 FROM encounter e JOIN appointment a ON a.clinic = e.clinic AND a.id = e.appointment
               WHERE e.clinic = ?1 AND e.id = ?2 AND (?3 IS NULL OR a.patient = ?3)";
    let values = params![&context.clinic, id, context.only_patient()];
    if context.database().query(sql, values).await?.is_empty() {
        return Err(Problem::not_found("No such encounter"));
    }
    let sql = "SELECT c.participant, c.node, c.start, c.stay, c.at, c.kind, c.gap_ms,
                 iif(p.person = a.id, 'patient', p.person)
               FROM encounter e
               JOIN appointment a ON a.clinic = e.clinic AND a.id = e.appointment
               JOIN call_event c ON c.clinic = a.clinic AND c.appointment = coalesce(a.call_of, a.id)
               JOIN call_person p ON p.clinic = c.clinic AND p.appointment = c.appointment
                 AND p.participant = c.participant
               LEFT JOIN call_visit v ON v.clinic = p.clinic AND v.appointment = p.appointment
                 AND v.participant = p.participant
               WHERE e.clinic = ? AND e.id = ? AND c.stay IS NOT NULL AND coalesce(v.visit, a.id) = a.id";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let mut persons = BTreeMap::new();
    let mut events = Vec::with_capacity(rows.len());
    for row in &rows {
        let event = read(row)?;
        persons.insert(event.participant.clone(), row.text(7)?);
        events.push(event);
    }
    let metered = meter::meter(&events);
    let participants: Vec<_> = metered
        .iter()
        .filter_map(|(participant, metered)| {
            let person = persons.get(*participant)?.clone();
            let connected_seconds = metered.connected_ms / 1_000;
            Some(ParticipantView { person, connected_seconds, joins: metered.stays })
        })
        .collect();
    let participant_seconds = participants.iter().map(|participant| participant.connected_seconds).sum();
    let reports = reports::of(context, id).await?;
    context.audit(Action::CallRead, Some(&id));
    reply::ok(&CallView { participants, participant_seconds, reports })
}

fn read(row: &Row) -> Result<Event, DatabaseError> {
    let gap = (row.text(5)? == "gap").then(|| row.integer(6)).transpose()?;
    let stay = (format!("{}/{}", row.text(1)?, row.text(2)?), row.text(3)?);
    let told = gap.map_or(Told::There, Told::Gap);
    Ok(Event { participant: row.text(0)?, stay, at: row.integer(4)?, told })
}

impl NewEvent {
    fn is_in_bounds(&self) -> bool {
        let Self { start, sequence, at_ms, sink, participant, kind, stay, gap_ms, reason } = self;
        let names = [Some(start), Some(sink), Some(participant), stay.as_ref(), reason.as_ref()];
        let complete = match kind.as_str() {
            "joined" | "present" | "left" => stay.is_some(),
            "gap" => stay.is_some() && gap_ms.is_some(),
            "token-refused" => true,
            _ => false,
        };
        let named = names.into_iter().flatten().all(|name| name.len() <= MAX_NAME_BYTES);
        complete && named && *sequence >= 0 && *at_ms >= 0 && gap_ms.unwrap_or(0) >= 0
    }
}
