//! Whoever was seen for a service is to be seen again for it, so many months later: a clinic says so once, and it is planned for
//! all of them, many at a time.

use http::StatusCode;
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use kit::audit::Action;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form;
use kit::ids::{RecallId, RecallRuleId, ServiceId};
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::recalls::{DAYS_BEFORE, MOST};

/// Who was not seen for so much longer than that is not written to out of the blue.
const LATE_MONTHS: i32 = 12;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewRule {
    service: String,
    interval_months: i64,
}

#[derive(Serialize)]
struct RulesView {
    rules: Vec<RuleView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleView {
    id: RecallRuleId,
    service: ServiceId,
    interval_months: i64,
}

#[derive(Serialize)]
struct Created {
    id: RecallRuleId,
}

struct Rule {
    id: RecallRuleId,
    service: ServiceId,
    months: i64,
    looked_until: Timestamp,
    looked_at: String,
}

/// `GET /messages/recall-rules`.
pub async fn list_recall_rules(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let view = |rule: Rule| RuleView { id: rule.id, service: rule.service, interval_months: rule.months };
    let rules = rules(context).await?.into_iter().map(view).collect();
    reply::ok(&RulesView { rules })
}

/// `POST /messages/recall-rules`.
pub async fn create_recall_rule(context: &Context<'_>) -> Result<Reply, Problem> {
    let new: NewRule = form::read(&context.request)?;
    let service = ServiceId::parse(&new.service);
    let service = service.ok_or_else(|| Problem::invalid("/service", "must be an id"))?;
    if !(1..=60).contains(&new.interval_months) {
        return Err(Problem::invalid("/intervalMonths", "must be 1 to 60"));
    }
    let sql = "SELECT 1 FROM service WHERE clinic = ? AND id = ?";
    if context.database().query(sql, params![&context.clinic, service]).await?.is_empty() {
        return Err(Problem::invalid("/service", "is no service of this clinic"));
    }
    let (id, clinic) = (RecallRuleId::new(context.now)?, context.clinic().await?);
    let from = before(&clinic, clinic.day_of(context.now), new.interval_months, LATE_MONTHS);
    let sql =
        "INSERT INTO recall_rule (clinic, id, service, interval_months, created_by, created_at, looked_until)
               VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (clinic, service) WHERE ended_at IS NULL DO NOTHING";
    let by = context.staff()?.user;
    let values = params![&context.clinic, id, service, new.interval_months, by, context.now, from];
    if context.database().execute(sql, values).await? == 0 {
        let title = "There is a rule for this service: end it first";
        return Err(Problem::new(StatusCode::CONFLICT, "rule-there", title));
    }
    context.audit(Action::SettingsChanged, Some(&context.clinic));
    reply::json(StatusCode::CREATED, &Created { id })
}

/// `DELETE /messages/recall-rules/{id}`. What it has planned stays.
pub async fn end_recall_rule(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(RecallRuleId::parse)?;
    let sql = "UPDATE recall_rule SET ended_at = ?3 WHERE clinic = ?1 AND id = ?2 AND ended_at IS NULL";
    if context.database().execute(sql, params![&context.clinic, id, context.now]).await? == 0 {
        return Err(Problem::not_found("No such rule"));
    }
    context.audit(Action::SettingsChanged, Some(&context.clinic));
    Ok(reply::no_content())
}

async fn rules(context: &Context<'_>) -> Result<Vec<Rule>, Problem> {
    let sql = "SELECT id, service, interval_months, looked_until, looked_at FROM recall_rule
               WHERE clinic = ? AND ended_at IS NULL ORDER BY id LIMIT 200";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &Row| -> Result<Rule, DatabaseError> {
        Ok(Rule {
            id: row.parsed(0, RecallRuleId::parse)?,
            service: row.parsed(1, ServiceId::parse)?,
            months: row.integer(2)?,
            looked_until: row.time(3)?,
            looked_at: row.text(4)?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// The beginning of the day that is so many months before `day`.
fn before(clinic: &Clinic, day: Date, months: i64, more: i32) -> Timestamp {
    let months = i32::try_from(months).unwrap_or(1) + more;
    let day = day.checked_sub(months.months()).unwrap_or(day);
    clinic.at(day.at(0, 0, 0, 0)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Plans for the next visits of each rule whose time comes. Whether there is more to do at once.
pub(crate) async fn plan(context: &Context<'_>) -> Result<bool, Problem> {
    let clinic = context.clinic().await?;
    let soon = clinic.day_of(context.now).checked_add(DAYS_BEFORE.days());
    let soon = soon.map_err(Problem::internal)?;
    for rule in rules(context).await? {
        if plan_by(context, &clinic, &rule, before(&clinic, soon, rule.months, 0)).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whose last visit for it was until then. Who was seen since, by the same rule, is a later visit's; who has booked is planned as
/// booked, so that it is open again should they cancel.
async fn plan_by(
    context: &Context<'_>,
    clinic: &Clinic,
    rule: &Rule,
    until: Timestamp,
) -> Result<bool, Problem> {
    let sql = "SELECT a.id, a.start_at, a.status,
                 (SELECT max(n.status IN ('arrived', 'fulfilled')) || ' ' || max(iif(n.status = 'booked', n.id, ''))
                  FROM patient p CROSS JOIN patient q INDEXED BY patient_by_email ON q.clinic = p.clinic AND lower(q.email) = lower(p.email)
                    AND q.birth_date = p.birth_date
                  CROSS JOIN appointment n INDEXED BY appointment_by_patient
                    ON n.clinic = q.clinic AND n.patient = q.id
                  WHERE p.clinic = a.clinic AND p.id = a.patient AND n.service = a.service
                    AND n.start_at > a.start_at AND n.status IN ('booked', 'arrived', 'fulfilled'))
               FROM appointment a INDEXED BY appointment_by_service
               WHERE a.clinic = ?1 AND a.service = ?2 AND (a.start_at, a.id) > (?3, ?4) AND a.start_at <= ?5
               ORDER BY a.start_at, a.id LIMIT ?6";
    let values =
        params![&context.clinic, rule.service, rule.looked_until, rule.looked_at.as_str(), until, MOST];
    let rows = context.database().query(sql, values).await?;
    let Some(last) = rows.last() else { return Ok(false) };
    let (last_at, last_id) = (last.time(1)?, last.text(0)?);
    let mut recalls = Vec::new();
    for row in &rows {
        let later = row.text_or_null(3)?.unwrap_or_default();
        let (seen, booked) = later.split_once(' ').unwrap_or(("0", ""));
        if row.text(2)? != "fulfilled" || seen == "1" {
            continue;
        }
        let months = i32::try_from(rule.months).unwrap_or(1);
        let Ok(due) = clinic.day_of(row.time(1)?).checked_add(months.months()) else { continue };
        recalls.push(json!({
            "id": RecallId::new(context.now)?.to_string(), "appointment": row.text(0)?, "due": due.to_string(),
            "booked": (!booked.is_empty()).then_some(booked),
        }));
    }
    context
        .transaction(async || {
            let sql = "INSERT INTO recall (clinic, id, appointment, reason, due_on, status, planned_by, created_at,
                         rule, next_at, booked, ended_at)
                       SELECT u.clinic, j.value ->> 'id', j.value ->> 'appointment', s.name, j.value ->> 'due',
                         iif(j.value ->> 'booked' IS NULL, 'open', 'booked'), u.created_by, ?3, u.id, ?3,
                         j.value ->> 'booked', iif(j.value ->> 'booked' IS NULL, NULL, ?3)
                       FROM recall_rule u JOIN service s ON s.clinic = u.clinic AND s.id = u.service
                       CROSS JOIN json_each(?4) j WHERE u.clinic = ?1 AND u.id = ?2
                         AND u.looked_until = ?5 AND u.looked_at = ?6";
            let list = serde_json::Value::from(recalls).to_string();
            let (was, was_at) = (rule.looked_until, rule.looked_at.as_str());
            let values = params![&context.clinic, rule.id, context.now, list, was, was_at];
            context.database().execute(sql, values).await?;
            // Whoever comes second finds another place, and plans nothing.
            let sql = "UPDATE recall_rule SET looked_until = ?3, looked_at = ?4
                       WHERE clinic = ?1 AND id = ?2 AND looked_until = ?5 AND looked_at = ?6";
            let values = params![&context.clinic, rule.id, last_at, last_id, was, was_at];
            context.database().execute(sql, values).await?;
            Ok(())
        })
        .await?;
    Ok(rows.len() as i64 == MOST)
}
