//! Searching (<http://hl7.org/fhir/R4/search.html>): what is asked for, as conditions; a page of what is found; what belongs to it.

mod condition;
mod include;
mod page;
mod query;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use kit::audit::Action;
use kit::context::{Context, Reach};
use kit::database::Value;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::scopes::Permissions;
use serde_json::{Value as Json, json};

pub(crate) use self::query::Query;
use self::query::{Summary, Total};
use crate::outcome;
use crate::source::{self, Found, Source};

/// The FHIR server's own address, relative to which references are: as it was asked for, by its host's word.
pub(crate) fn base(context: &Context<'_>) -> String {
    let full = context.request.headers().get("spin-full-url").and_then(|url| url.to_str().ok());
    let full = full.and_then(|url| url.split("/c/").next()).unwrap_or("http://localhost");
    format!("{full}/c/{}/fhir/R4", context.clinic)
}

/// `POST /fhir/R4/{type}/_search`: parameters of the address and of the form together.
pub(crate) async fn by_form(context: &Context<'_>, kind: &'static str) -> Result<Reply, Problem> {
    let given = context.request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !given.is_none_or(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        let title = "A search is sent as application/x-www-form-urlencoded";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title));
    }
    let form =
        std::str::from_utf8(context.request.body()).map_err(|_| outcome::bad_search("is not UTF-8"))?;
    let own = context.request.uri().query().unwrap_or_default();
    let text = if own.is_empty() { form.to_owned() } else { format!("{own}&{form}") };
    respond(context, kind, Query::parse(&text)?).await
}

/// The answer to a search.
pub(crate) async fn respond(
    context: &Context<'_>,
    kind: &'static str,
    query: Query,
) -> Result<Reply, Problem> {
    outcome::json(StatusCode::OK, &bundle(context, kind, &query).await?)
}

/// A `Bundle` of a page of what is found.
pub(crate) async fn bundle(
    context: &Context<'_>,
    kind: &'static str,
    query: &Query,
) -> Result<Json, Problem> {
    let reach = context.access_to(kind, Permissions::SEARCH)?;
    let count = query.count;
    let only_count = query.summary == Summary::Count || count == 0;
    let mut found = match only_count {
        true => Vec::new(),
        false => find(context, kind, query, reach, count + 1).await?,
    };
    let more = found.len() > count;
    found.truncate(count);
    let included = include::all(context, kind, query, &found).await?;
    let mut bundle = json!({"resourceType": "Bundle", "type": "searchset"});
    if only_count || query.total == Total::Accurate {
        bundle["total"] = total(context, kind, query, reach).await?.into();
    }
    let own = format!("{}/{kind}", base(context));
    let mut link = vec![json!({"relation": "self", "url": format!("{own}?{}", query.text(None))})];
    if let Some(last) = found.last().filter(|_| more) {
        let cursor = page::Cursor::of(last).to_string();
        link.push(json!({"relation": "next", "url": format!("{own}?{}", query.text(Some(&cursor)))}));
    }
    bundle["link"] = Json::Array(link);
    if found.is_empty() && included.is_empty() {
        context.audit(Action::ResourceFound(kind), None);
    } else {
        let matches = found.into_iter().map(|found| (found, "match"));
        let entries = matches.chain(included.into_iter().map(|found| (found, "include")));
        bundle["entry"] = entries.map(|(found, mode)| entry(context, query, found, mode)).collect();
    }
    Ok(bundle)
}

fn entry(context: &Context<'_>, query: &Query, found: Found, mode: &str) -> Json {
    context.audit_of(Action::ResourceFound(found.kind), &found.id, found.patient.as_deref());
    let url = format!("{}/{}/{}", base(context), found.kind, found.id);
    let resource = query.shape(found.kind, found.content);
    json!({"fullUrl": url, "resource": resource, "search": {"mode": mode}})
}

/// The first `limit` that are found.
pub(crate) async fn find(
    context: &Context<'_>,
    kind: &'static str,
    query: &Query,
    reach: Reach,
    limit: usize,
) -> Result<Vec<Found>, Problem> {
    may_search(context, known(kind)?, query).await?;
    find_unopened(context, kind, query, reach, limit).await
}

/// The same, of records that whoever asks has to open yet.
async fn find_unopened(
    context: &Context<'_>,
    kind: &'static str,
    query: &Query,
    reach: Reach,
    limit: usize,
) -> Result<Vec<Found>, Problem> {
    let source = known(kind)?;
    let order = page::order(source, query)?;
    let (mut sql, mut values) =
        (source.select(&order.expression), vec![Value::from(context.clinic.as_str())]);
    conditions(context, source, query, reach, (&mut sql, &mut values))?;
    order.limit(query.cursor.as_ref(), source, limit, (&mut sql, &mut values));
    let rows = context.database().query(&sql, values).await?;
    rows.iter().map(|row| source.found(row).map_err(Problem::from)).collect()
}

/// The first `limit` of a patient's, whose record whoever asks may open.
pub(crate) async fn of_patient(
    context: &Context<'_>,
    kind: &'static str,
    patient: &str,
    reach: Reach,
    limit: usize,
) -> Result<Vec<Found>, Problem> {
    let source = known(kind)?;
    if source::is_clinical(kind) {
        context.may_open_patient(patient).await?;
    }
    let mut sql = format!("{} AND {} = ?", source.select(source.id), source.patient);
    let mut values = vec![Value::from(context.clinic.as_str()), Value::from(patient)];
    source::bind_patient(source, reach, &mut sql, &mut values);
    sql.push_str(&format!(" ORDER BY {} LIMIT ?", source.id));
    values.push(Value::Integer(limit.try_into().unwrap_or(i64::MAX)));
    let rows = context.database().query(&sql, values).await?;
    rows.iter().map(|row| source.found(row).map_err(Problem::from)).collect()
}

async fn total(
    context: &Context<'_>,
    kind: &'static str,
    query: &Query,
    reach: Reach,
) -> Result<i64, Problem> {
    let source = known(kind)?;
    may_search(context, source, query).await?;
    let mut sql =
        format!("SELECT count(*) FROM {} WHERE {} = ? AND {}", source.from, source.clinic, source.only);
    let mut values = vec![Value::from(context.clinic.as_str())];
    conditions(context, source, query, reach, (&mut sql, &mut values))?;
    let rows = context.database().query(&sql, values).await?;
    Ok(rows.first().map(|row| row.integer(0)).transpose()?.unwrap_or(0))
}

fn known(kind: &'static str) -> Result<&'static Source, Problem> {
    source::find(kind).ok_or_else(|| Problem::not_found("No such type of resource"))
}

fn conditions(
    context: &Context<'_>,
    source: &'static Source,
    query: &Query,
    reach: Reach,
    (sql, values): (&mut String, &mut Vec<Value>),
) -> Result<(), Problem> {
    source::bind_patient(source, reach, sql, values);
    for clause in &query.clauses {
        let (condition, own) = condition::of(context.clinic.as_str(), source, clause)?;
        sql.push_str(&format!(" AND {condition}"));
        values.extend(own);
    }
    Ok(())
}

/// Where clinicians open records of their own patients only, a search names one of them.
async fn may_search(context: &Context<'_>, source: &Source, query: &Query) -> Result<(), Problem> {
    use kit::oversight::RecordAccess;
    let by_itself = context.caller.grant.is_some() && context.caller.staff.is_none();
    if by_itself || source.patient == "NULL" || !source::is_clinical(source.kind) {
        return Ok(());
    }
    if context.oversight().await?.record_access != RecordAccess::Assigned {
        return Ok(());
    }
    let Some(patient) = query.only_patient() else {
        let title = "Say which patient: here you see records of your own patients only";
        return Err(Problem::new(StatusCode::FORBIDDEN, "patient-required", title));
    };
    context.may_open_patient(patient).await
}
