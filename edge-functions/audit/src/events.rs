//! The audit events of the clinic, to be searched.

use jiff::Timestamp;
use kit::audit::Action;
use kit::audit_log::{Found, Source};
use kit::context::Context;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::names::{self, Names};
use crate::wishes;

/// Of one page.
const PAGE: usize = 50;
const MAX_PAGE: usize = 200;

#[derive(Serialize)]
struct EventsView<'r> {
    events: Vec<EventView>,
    matched: u64,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    sources: &'r [Source],
}

/// An event as people read it.
#[derive(Debug, Serialize)]
pub struct EventView {
    id: String,
    recorded: Timestamp,
    action: char,
    code: String,
    agent: Party,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<Party>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<Patient>,
    outcome: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
    region: String,
    node: String,
    request: String,
}

#[derive(Debug, Serialize)]
struct Party {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Debug, Serialize)]
struct Patient {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

/// `GET /audit/events`.
pub async fn list_audit_events(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let (mut wish, patient) = wishes::read(&mut query)?;
    let limit = query.optional("limit", "1 to 200", |text| text.parse().ok().filter(fits))?;
    query.finish()?;
    wish.limit = limit.unwrap_or(PAGE);
    if let Some(patient) = patient {
        wish.entities = wishes::entities_of(context, patient).await?;
    }
    let report = context.events(&wish).await?;
    let names = names::of(context, &report.events).await?;
    context.audit(Action::AuditRead, patient.as_ref().map(|id| id as _));
    let last = report.events.last().filter(|_| report.more);
    reply::ok(&EventsView {
        events: report.events.iter().map(|found| EventView::of(found, &names)).collect(),
        matched: report.matched,
        next: last.map(|last| wishes::cursor(&wish.place(last))),
        sources: &report.sources,
    })
}

fn fits(limit: &usize) -> bool {
    (1..=MAX_PAGE).contains(limit)
}

impl EventView {
    /// With the names of those who occur in it.
    pub fn of(found: &Found, names: &Names) -> Self {
        let event = found.event.clone();
        let staff = |id: &Option<String>| {
            let id = id.as_deref()?.split('/').next()?;
            names.staff.get(id).map(|staff| staff.name.clone())
        };
        let agent = Party { name: staff(&event.agent), kind: event.agent_type, id: event.agent };
        let entity =
            event.entity_type.map(|kind| Party { name: staff(&event.entity), kind, id: event.entity });
        let patient = event.patient.map(|id| Patient { name: names.patients.get(&id).cloned(), id });
        Self {
            id: format!("{}-{}", found.origin, found.sequence),
            recorded: Timestamp::from_millisecond(event.recorded_at_ms).unwrap_or(Timestamp::UNIX_EPOCH),
            action: event.action,
            code: event.code,
            agent,
            entity,
            patient,
            outcome: event.status,
            purpose: event.purpose,
            token: event.token,
            old: event.old,
            new: event.new,
            region: event.region,
            node: event.node,
            request: event.request,
        }
    }
}
