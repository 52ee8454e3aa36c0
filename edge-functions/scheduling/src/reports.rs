//! What people of a call say of it: that they would rather be called by phone, or what does not work.

use http::StatusCode;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::ids::{AppointmentId, EncounterId, GuestId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;
use serde::{Deserialize, Serialize};

use crate::report_lines::{self, Line};

/// Reports of one encounter that are kept.
const MOST: i64 = 100;
/// Longest name of a media node.
const MAX_NODE_BYTES: usize = 64;
/// As in `room_participant`.
const PATIENT: &str = "patient";

/// No words of people's own: those could be anything.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    PhoneInstead,
    NoSound,
    NoPicture,
    PoorSound,
    PoorPicture,
    Other,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    kind: Kind,
    /// The media node that the page was at.
    #[serde(default)]
    node: Option<String>,
    /// What the page measured of everybody in the call.
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Kept {
    at: Timestamp,
}

/// `POST /scheduling/visit/reports`.
pub async fn report_on_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let visitor = context.visitor()?;
    let person = match (visitor.guest, visitor.proxy) {
        (Some(guest), _) => guest_in_call(context, guest).await?,
        (None, Some(proxy)) => proxy.to_string(),
        (None, None) => PATIENT.to_owned(),
    };
    keep(context, visitor.appointment, &person).await
}

/// `POST /scheduling/appointments/{id}/reports`.
pub async fn report_on_call(context: &Context<'_>) -> Result<Reply, Problem> {
    let appointment = context.path_id(AppointmentId::parse)?;
    let person = context.staff()?.user.to_string();
    keep(context, appointment, &person).await
}

async fn guest_in_call(context: &Context<'_>, guest: GuestId) -> Result<String, Problem> {
    let sql = "SELECT admitted_at, removed_at FROM guest WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, guest]).await?;
    let row = rows.first().ok_or_else(Problem::not_admitted)?;
    match (row.time_or_null(0)?, row.time_or_null(1)?) {
        (_, Some(_)) => Err(Problem::link_withdrawn()),
        (None, None) => Err(Problem::not_admitted()),
        (Some(_), None) => Ok(guest.to_string()),
    }
}

async fn keep(context: &Context<'_>, appointment: AppointmentId, person: &str) -> Result<Reply, Problem> {
    let Report { kind, node, lines } = form::read(&context.request)?;
    if kind == Kind::PhoneInstead && person != PATIENT {
        return Err(Problem::invalid("/kind", "only the patient can be called"));
    }
    if node.as_deref().is_some_and(|node| !is_name(node)) {
        return Err(Problem::invalid("/node", "must be the id of a media node"));
    }
    report_lines::check(&lines)?;
    let encounter = open_encounter(context, appointment).await?;
    context
        .transaction(async || {
            let id = insert(context, &encounter, (person, kind, node.as_deref())).await?;
            report_lines::keep(context, appointment, &id, &lines).await?;
            context.audit(Action::CallReported, Some(&encounter));
            Ok(())
        })
        .await?;
    reply::json(StatusCode::CREATED, &Kept { at: context.now })
}

/// The new report's id.
async fn insert(
    context: &Context<'_>,
    encounter: &EncounterId,
    (person, kind, node): (&str, Kind, Option<&str>),
) -> Result<String, Problem> {
    let sql = "INSERT INTO call_report (clinic, id, encounter, person, kind, node, at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
               WHERE (SELECT count(*) FROM call_report WHERE clinic = ?1 AND encounter = ?3) < ?8";
    let (clinic, id) = (&context.clinic, secret::random_name()?);
    let node = node.map(str::to_owned);
    let values = params![clinic, id.as_str(), *encounter, person, kind.as_str(), node, context.now, MOST];
    if context.database().execute(sql, values).await? == 0 {
        let title = "The encounter holds as many reports as are kept";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-reports", title));
    }
    Ok(id)
}

/// The encounter, if its call is under way.
async fn open_encounter(context: &Context<'_>, id: AppointmentId) -> Result<EncounterId, Problem> {
    let sql = "SELECT id, status FROM encounter WHERE clinic = ? AND appointment = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such appointment"))?;
    match row.text(1)?.as_str() {
        "in-progress" => Ok(row.parsed(0, EncounterId::parse)?),
        "finished" => Err(Problem::visit_over()),
        _ => Err(Problem::not_admitted()),
    }
}

/// As nodes are called: a DNS label.
fn is_name(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=MAX_NODE_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PhoneInstead => "phone-instead",
            Self::NoSound => "no-sound",
            Self::NoPicture => "no-picture",
            Self::PoorSound => "poor-sound",
            Self::PoorPicture => "poor-picture",
            Self::Other => "other",
        }
    }
}
