//! What is unusual among the accesses, until somebody has looked at it and said so.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::audit_log::{Found, MOST, Source, Wish};
use kit::context::Context;
use kit::database::Value;
use kit::form;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::events::EventView;
use crate::names;
use crate::rules::{self, CODES, Circumstances, Item, Patient, Person, Rule};

const MAX_DAYS: i64 = 31;
const AT_ONCE: usize = 200;
/// As many as people can look at; the rest shows once those are signed.
const MAX_ITEMS: usize = 500;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReviewsView<'r> {
    items: Vec<ItemView>,
    /// From here on it is complete: there were more events than one look takes.
    complete_from: Timestamp,
    sources: &'r [Source],
}

#[derive(Serialize)]
struct ItemView {
    id: String,
    rule: Rule,
    event: EventView,
    #[serde(skip_serializing_if = "Option::is_none")]
    patients: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<ReviewView>,
}

#[derive(Clone, Serialize)]
struct ReviewView {
    result: ReviewResult,
    reviewer: String,
    at: Timestamp,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ReviewResult {
    Justified,
    FollowUp,
    Violation,
}

impl ReviewResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Justified => "justified",
            Self::FollowUp => "follow-up",
            Self::Violation => "violation",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Justified, Self::FollowUp, Self::Violation].into_iter().find(|result| result.as_str() == text)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    item: String,
    result: ReviewResult,
}

/// `GET /audit/reviews`.
pub async fn list_reviews(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let days = query.optional("days", "1 to 31", |text| text.parse().ok().filter(is_days))?.unwrap_or(7);
    let state = query
        .optional("state", "open or all", |text| ["open", "all"].contains(&text).then(|| text == "all"))?;
    query.finish()?;
    let from = context.now - SignedDuration::from_hours(24 * days);
    let wish = Wish {
        from_ms: Some(from.as_millisecond()),
        agent_type: Some("staff"),
        codes: CODES.map(str::to_owned).to_vec(),
        descending: true,
        limit: MOST,
        ..Wish::default()
    };
    let mut report = context.events(&wish).await?;
    report.events.reverse();
    let first = report.events.first().filter(|_| report.more);
    let first = first.and_then(|first| Timestamp::from_millisecond(first.event.recorded_at_ms).ok());
    let items = found(context, &report.events).await?;
    let signed = signed(context, from).await?;
    let reasons = reasons(context, from).await?;
    let all: Vec<Found> = items.iter().map(|item| item.found.clone()).collect();
    let names = names::of(context, &all).await?;
    let view = |item: &Item<'_>| ItemView {
        id: item.id(),
        rule: item.rule,
        event: EventView::of(item.found, &names),
        patients: item.patients,
        reason: reason_of(&item.found.event, &reasons),
        review: signed.get(&item.id()).cloned(),
    };
    let shown = items.iter().rev().filter(|item| state == Some(true) || !signed.contains_key(&item.id()));
    context.audit(Action::ReviewsRead, None);
    let items = shown.take(MAX_ITEMS).map(view).collect();
    reply::ok(&ReviewsView { items, complete_from: first.unwrap_or(from), sources: &report.sources })
}

fn is_days(days: &i64) -> bool {
    (1..=MAX_DAYS).contains(days)
}

/// `POST /audit/reviews`. Once: what somebody said of it stays.
pub async fn sign_review(context: &Context<'_>) -> Result<Reply, Problem> {
    let given: Signed = form::read(&context.request)?;
    let no_item = || Problem::invalid("/item", "must be the id of something to be reviewed");
    let (rule, request) = given.item.split_once('/').ok_or_else(no_item)?;
    let rule = Rule::parse(rule).ok_or_else(no_item)?;
    let wish = Wish { request: Some(request.to_owned()), limit: 50, ..about(request) };
    let report = context.events(&wish).await?;
    let is_meant = |found: &&Found| CODES.contains(&found.event.code.as_str());
    let found = report.events.iter().find(is_meant).ok_or_else(no_item)?;
    let reviewer = context.staff()?.user;
    if found.event.agent.as_deref() == Some(reviewer.to_string().as_str()) {
        let title = "Nobody reviews what they did themselves";
        return Err(Problem::new(StatusCode::FORBIDDEN, "own-access", title));
    }
    let item = format!("{}/{request}", rule.as_str());
    let sql = "INSERT INTO access_review (clinic, item, result, reviewer, reviewed_at) VALUES (?, ?, ?, ?, ?)
               ON CONFLICT (clinic, item) DO NOTHING";
    let values = params![&context.clinic, item.as_str(), given.result.as_str(), reviewer, context.now];
    if context.database().execute(sql, values).await? == 0 {
        let title = "Somebody has reviewed this already";
        return Err(Problem::new(StatusCode::CONFLICT, "reviewed-already", title));
    }
    let result = (None, Some(given.result.as_str().to_owned()));
    context.audit_change(Action::ReviewSigned, Some(&item), result);
    let review =
        ReviewView { result: given.result, reviewer: context.staff()?.name.open().clone(), at: context.now };
    reply::json(StatusCode::CREATED, &review)
}

/// Ids of requests tell their time (UUID version 7, RFC 9562 §5.7): only what is near it need be looked at.
fn about(request: &str) -> Wish {
    const AROUND_MS: i64 = 600_000;
    let digits: String = request.chars().filter(|digit| *digit != '-').collect();
    let is_uuid = digits.len() == 32 && digits.as_bytes().get(12) == Some(&b'7');
    let at = digits.get(..12).filter(|_| is_uuid).and_then(|digits| i64::from_str_radix(digits, 16).ok());
    Wish { from_ms: at.map(|at| at - AROUND_MS), until_ms: at.map(|at| at + AROUND_MS), ..Wish::default() }
}

async fn found<'e>(context: &Context<'_>, events: &'e [Found]) -> Result<Vec<Item<'e>>, Problem> {
    let oversight = context.oversight().await?;
    let clinic = context.clinic().await?;
    let sql = "SELECT id, name, username FROM staff_user WHERE clinic = ?";
    let mut staff = Vec::new();
    for row in context.database().query(sql, params![&context.clinic]).await? {
        staff.push(Person { id: row.text(0)?, name: row.text(1)?, username: row.text(2)? });
    }
    let ids: BTreeSet<&String> = events.iter().filter_map(|found| found.event.patient.as_ref()).collect();
    let ids: Vec<&String> = ids.into_iter().collect();
    let mut patients = BTreeMap::new();
    for some in ids.chunks(AT_ONCE) {
        let marks = vec!["?"; some.len()].join(", ");
        let sql = format!("SELECT id, name, email FROM patient WHERE clinic = ? AND id IN ({marks})");
        let mut values = params![&context.clinic];
        values.extend(some.iter().map(|id| Value::from(id.as_str())));
        for row in context.database().query(&sql, values).await? {
            patients.insert(row.text(0)?, Patient { name: row.text(1)?, email: row.text(2)? });
        }
    }
    let known =
        Circumstances { oversight: &oversight, zone: &clinic.zone, staff: &staff, patients: &patients };
    Ok(rules::items(events, &known))
}

/// What was looked at since then, and a little longer: an item may be of just before.
async fn signed(context: &Context<'_>, from: Timestamp) -> Result<BTreeMap<String, ReviewView>, Problem> {
    let sql = "SELECT r.item, r.result, u.name, r.reviewed_at FROM access_review r
               JOIN staff_user u ON u.clinic = r.clinic AND u.id = r.reviewer
               WHERE r.clinic = ? AND r.reviewed_at >= ?";
    let mut signed = BTreeMap::new();
    for row in context.database().query(sql, params![&context.clinic, from]).await? {
        let result = row.parsed(1, ReviewResult::parse)?;
        signed.insert(row.text(0)?, ReviewView { result, reviewer: row.text(2)?, at: row.time(3)? });
    }
    Ok(signed)
}

/// Whose record, by whom, when, and why, of each kind of emergency.
type Reasons = Vec<(&'static str, String, String, i64, String)>;

async fn reasons(context: &Context<'_>, from: Timestamp) -> Result<Reasons, Problem> {
    const ACCESSES: &str = "SELECT user, patient, created_at, reason FROM emergency_access
                            WHERE clinic = ? AND created_at >= ?";
    const VISITS: &str = "SELECT o.user, a.patient, o.created_at, o.reason FROM consent_override o
                          JOIN appointment a ON a.clinic = o.clinic AND a.id = o.appointment
                          WHERE o.clinic = ? AND o.created_at >= ?";
    let mut reasons = Vec::new();
    for (code, sql) in [("emergency-access", ACCESSES), ("consent-overridden", VISITS)] {
        for row in context.database().query(sql, params![&context.clinic, from]).await? {
            reasons.push((code, row.text(0)?, row.text(1)?, row.integer(2)?, row.text(3)?));
        }
    }
    Ok(reasons)
}

fn reason_of(event: &kit::audit_log::Recorded, reasons: &Reasons) -> Option<String> {
    const WITHIN_MS: i64 = 30_000;
    let (agent, patient) = (event.agent.as_deref()?, event.patient.as_deref()?);
    let of =
        reasons.iter().filter(|(code, user, of, ..)| *code == event.code && user == agent && of == patient);
    let near = of.filter(|(_, _, _, at, _)| (event.recorded_at_ms - at).abs() < WITHIN_MS);
    let nearest = near.min_by_key(|(_, _, _, at, _)| (event.recorded_at_ms - at).abs());
    nearest.map(|(_, _, _, _, reason)| reason.clone())
}
