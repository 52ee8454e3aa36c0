//! "Who saw my record": what a patient is told of it, by the link of a visit.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kit::audit::Action;
use kit::audit_log::{Found, Outcome, Source, Wish};
use kit::context::Context;
use kit::ids::PatientId;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::names::{self, Names};
use crate::wishes;

/// As many as a person can read.
const MOST: usize = 500;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessView<'r> {
    time_zone: String,
    accesses: Vec<Access>,
    /// There are older ones: the clinic can say.
    more: bool,
    sources: &'r [Source],
}

/// Somebody saw or changed something.
#[derive(Debug, Eq, PartialEq, Serialize)]
struct Access {
    recorded: Timestamp,
    /// Of the clinic; the patient themselves and guests by the kind alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    by: &'static str,
    roles: Vec<String>,
    action: char,
    code: String,
    /// In an emergency, by somebody who does not usually treat the patient.
    emergency: bool,
    /// The same again within the hour is told once.
    times: u32,
}

/// `GET /audit/record-access`.
pub async fn get_record_access(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let patient = patient_who_asks(context).await?;
    let wish = Wish {
        patient: Some(patient.to_string()),
        entities: wishes::entities_of(context, patient).await?,
        outcome: Some(Outcome::Success),
        descending: true,
        limit: MOST,
        ..Wish::default()
    };
    let report = context.events(&wish).await?;
    let names = names::of(context, &report.events).await?;
    let roles = roles(context).await?;
    context.audit(Action::AccessRead, Some(&patient));
    reply::ok(&AccessView {
        time_zone: context.clinic().await?.time_zone,
        accesses: told(&report.events, &names, &roles),
        more: report.more,
        sources: &report.sources,
    })
}

/// Guests have a link of their own, which shows nothing of the patient.
async fn patient_who_asks(context: &Context<'_>) -> Result<PatientId, Problem> {
    let visitor = context.visitor()?;
    if visitor.guest.is_some() {
        return Err(Problem::role_not_allowed());
    }
    let sql = "SELECT patient FROM appointment WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, visitor.appointment]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such visit"))?;
    Ok(row.parsed(0, PatientId::parse)?)
}

async fn roles(context: &Context<'_>) -> Result<BTreeMap<String, Vec<String>>, Problem> {
    let sql = "SELECT user, role FROM staff_role WHERE clinic = ?";
    let mut roles: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in context.database().query(sql, params![&context.clinic]).await? {
        roles.entry(row.text(0)?).or_default().push(row.text(1)?);
    }
    Ok(roles)
}

/// A line for each person, kind and hour.
fn told(events: &[Found], names: &Names, roles: &BTreeMap<String, Vec<String>>) -> Vec<Access> {
    let mut told: Vec<(String, Access)> = Vec::new();
    for found in events {
        let event = &found.event;
        let agent = event.agent.as_deref().unwrap_or_default();
        let by = match event.agent_type.as_str() {
            "staff" => "staff",
            "visitor" | "patient" => "you",
            "proxy" => "proxy",
            "guest" => "guest",
            // Nodes and whoever books see nothing of a record.
            _ => continue,
        };
        let hour = event.recorded_at_ms / 3_600_000;
        let key = format!("{agent} {} {hour}", event.code);
        if let Some((_, access)) = told.iter_mut().find(|(known, _)| *known == key) {
            access.times += 1;
            continue;
        }
        let access = Access {
            recorded: Timestamp::from_millisecond(event.recorded_at_ms).unwrap_or(Timestamp::UNIX_EPOCH),
            name: names.staff.get(agent).map(|staff| staff.name.clone()),
            by,
            roles: roles.get(agent).cloned().unwrap_or_default(),
            action: event.action,
            code: event.code.clone(),
            emergency: event.purpose.as_deref() == Some("BTG"),
            times: 1,
        };
        told.push((key, access));
    }
    told.into_iter().map(|(_, access)| access).collect()
}
