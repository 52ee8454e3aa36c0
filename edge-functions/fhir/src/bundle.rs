//! Many things at once (<http://hl7.org/fhir/R4/http.html#transaction>): a batch, of which each is done or not, or a transaction,
//! of which all is done or nothing.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use kit::audit::Action;
use kit::context::Context;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::scopes::Permissions;
use serde_json::{Value as Json, json};

use crate::outcome;
use crate::search::{self, Query};
use crate::source;
use crate::write::{self, Written};

/// Of one bundle: it must be done within the time of a transaction, and each entry is an audit event.
const MAX_ENTRIES: usize = 100;
/// Searches in one bundle: each may find a page.
const MAX_SEARCHES: usize = 2;

struct Entry {
    method: Method,
    /// The type of resource.
    kind: &'static str,
    id: Option<String>,
    /// What stands behind the question mark.
    query: Option<String>,
    full_url: Option<String>,
    resource: Json,
    if_match: Option<i64>,
    if_none_exist: Option<String>,
    /// What it is called once it is there.
    new_id: Option<String>,
    place: usize,
}

/// `POST /fhir/R4`.
pub(crate) async fn process(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut bundle = crate::body(context)?;
    let issues: Vec<_> = fhir_model::validate(&bundle);
    if bundle["resourceType"] != "Bundle" {
        return Err(outcome::wrong("invalid", "resourceType", "must be Bundle"));
    }
    let is_transaction = match bundle["type"].as_str() {
        Some("transaction") => true,
        Some("batch") => false,
        _ => return Err(outcome::wrong("value", "Bundle.type", "must be batch or transaction")),
    };
    if is_transaction && !issues.is_empty() {
        return Err(outcome::invalid(&issues));
    }
    let given = match bundle["entry"].take() {
        Json::Array(given) => given,
        Json::Null => Vec::new(),
        _ => return Err(outcome::wrong("structure", "Bundle.entry", "must be a JSON array")),
    };
    if given.len() > MAX_ENTRIES {
        return Err(outcome::wrong("too-long", "Bundle.entry", "may be there 100 times at most"));
    }
    context.audit(Action::BundleProcessed, None);
    let answers = match is_transaction {
        true => transaction(context, given).await?,
        false => batch(context, given).await?,
    };
    let kind = if is_transaction { "transaction-response" } else { "batch-response" };
    let mut answer = json!({"resourceType": "Bundle", "type": kind});
    if !answers.is_empty() {
        answer["entry"] = Json::Array(answers);
    }
    outcome::json(StatusCode::OK, &answer)
}

async fn batch(context: &Context<'_>, given: Vec<Json>) -> Result<Vec<Json>, Problem> {
    let (mut answers, mut searches) = (Vec::new(), 0);
    for (place, entry) in given.into_iter().enumerate() {
        let done = match Entry::parse(context, entry, place) {
            Ok(entry) if entry.is_search() && searches == MAX_SEARCHES => Err(too_many_searches(place)),
            Ok(entry) => {
                searches += usize::from(entry.is_search());
                match entry.method {
                    Method::GET => entry.run(context).await,
                    _ => context.transaction(async || entry.run(context).await).await,
                }
            }
            Err(problem) => Err(problem),
        };
        answers.push(match done {
            Ok(answer) => answer,
            // What is broken on our side is not one entry's.
            Err(problem) if problem.status().is_server_error() => return Err(problem),
            Err(problem) => {
                let status = problem.status();
                let reason = status.canonical_reason().unwrap_or_default();
                let status = format!("{} {reason}", status.as_u16());
                json!({"response": {"status": status, "outcome": outcome::of(&problem)}})
            }
        });
    }
    Ok(answers)
}

/// In the order that FHIR says: what is deleted, added, changed, read. Answers stand in the order of the entries.
async fn transaction(context: &Context<'_>, given: Vec<Json>) -> Result<Vec<Json>, Problem> {
    let mut entries = Vec::new();
    for (place, entry) in given.into_iter().enumerate() {
        entries.push(Entry::parse(context, entry, place)?);
    }
    if entries.iter().filter(|entry| entry.is_search()).count() > MAX_SEARCHES {
        return Err(too_many_searches(0));
    }
    each_once(&entries)?;
    let rank = |entry: &Entry| match entry.method {
        Method::DELETE => 0,
        Method::POST => 1,
        Method::PUT => 2,
        _ => 3,
    };
    entries.sort_by_key(rank);
    context
        .transaction(async || {
            let mut names = BTreeMap::new();
            for entry in &mut entries {
                entry.name(context, &mut names).await?;
            }
            let mut answers = BTreeMap::new();
            for mut entry in entries {
                write::each_reference(&mut entry.resource, &|text| names.get(text).cloned());
                let place = entry.place;
                let done = entry.run(context).await;
                answers.insert(place, done.map_err(|problem| at_place(problem, place))?);
            }
            Ok(answers.into_values().collect())
        })
        .await
}

fn too_many_searches(place: usize) -> Problem {
    outcome::wrong(
        "too-costly",
        &format!("Bundle.entry[{place}].request"),
        "a bundle may hold two searches at most",
    )
}

/// Says which entry it was that a transaction failed by.
fn at_place(problem: Problem, place: usize) -> Problem {
    let Some(Json::Array(issues)) = problem.get("issue").cloned() else { return problem };
    let moved = issues.into_iter().map(|mut issue| {
        let own = issue["expression"][0].as_str().unwrap_or_default();
        let rest = own.split_once('.').map(|(_, rest)| format!(".{rest}")).unwrap_or_default();
        issue["expression"] = json!([format!("Bundle.entry[{place}].resource{rest}")]);
        issue
    });
    let moved = Json::Array(moved.collect());
    problem.member("issue", moved)
}

/// No two entries may write the same resource.
fn each_once(entries: &[Entry]) -> Result<(), Problem> {
    let mut seen = std::collections::BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.method != Method::GET) {
        if let Some(id) = &entry.id
            && !seen.insert((entry.kind, id.as_str()))
        {
            let place = format!("Bundle.entry[{}].request", entry.place);
            return Err(outcome::wrong("duplicate", &place, "is about the same resource as another entry"));
        }
    }
    Ok(())
}

impl Entry {
    fn parse(context: &Context<'_>, mut entry: Json, place: usize) -> Result<Self, Problem> {
        let at = |name: &str| format!("Bundle.entry[{place}].{name}");
        let request = entry["request"].take();
        let method = match request["method"].as_str() {
            Some("GET") => Method::GET,
            Some("POST") => Method::POST,
            Some("PUT") => Method::PUT,
            Some("DELETE") => Method::DELETE,
            _ => {
                return Err(outcome::wrong(
                    "value",
                    &at("request.method"),
                    "must be GET, POST, PUT or DELETE",
                ));
            }
        };
        let url = request["url"].as_str().unwrap_or_default();
        let own = format!("{}/", search::base(context));
        let url = url.strip_prefix(&own).unwrap_or(url).trim_start_matches('/');
        let (path, query) = match url.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (url, None),
        };
        let mut parts = path.split('/');
        let unknown =
            || outcome::wrong("not-supported", &at("request.url"), "must be Type, Type?search or Type/id");
        let kind = crate::named(parts.next().unwrap_or_default()).map_err(|_| unknown())?;
        let id = parts.next().map(str::to_owned);
        let needs_id = match method {
            Method::POST => false,
            Method::DELETE => true,
            Method::PUT => query.is_none(),
            _ => id.is_some(),
        };
        let fits = id.is_some() == needs_id && id.as_deref().is_none_or(fhir_model::is_id);
        if parts.next().is_some() || !fits || (id.is_some() && query.is_some()) {
            return Err(unknown());
        }
        let text = |value: &Json| value.as_str().map(str::to_owned);
        Ok(Self {
            method,
            kind,
            id,
            query,
            full_url: text(&entry["fullUrl"]),
            resource: entry["resource"].take(),
            if_match: write::if_match(request["ifMatch"].as_str())?,
            if_none_exist: text(&request["ifNoneExist"]),
            new_id: None,
            place,
        })
    }

    fn is_search(&self) -> bool {
        self.method == Method::GET && self.id.is_none()
    }

    /// Notes what others of the bundle may call it, and what it is.
    async fn name(
        &mut self,
        context: &Context<'_>,
        names: &mut BTreeMap<String, String>,
    ) -> Result<(), Problem> {
        let id = match (&self.method, &self.id) {
            (&Method::POST, _) => {
                let found = match &self.if_none_exist {
                    Some(condition) => {
                        let reach = context.access_to(self.kind, Permissions::SEARCH)?;
                        let query = Query::parse(condition)?;
                        search::find(context, self.kind, &query, reach, 1).await?.pop()
                    }
                    None => None,
                };
                let id = match found {
                    Some(found) => found.id,
                    None => write::new_id(context)?,
                };
                self.new_id = Some(id.clone());
                id
            }
            (&Method::PUT, Some(id)) => id.clone(),
            _ => return Ok(()),
        };
        if let Some(url) = self.full_url.take() {
            names.insert(url, format!("{}/{id}", self.kind));
        }
        Ok(())
    }

    async fn run(self, context: &Context<'_>) -> Result<Json, Problem> {
        let written = match (self.method, self.id) {
            (Method::POST, _) => {
                let condition = self.if_none_exist.as_deref();
                write::create_one(context, self.kind, self.resource, condition, self.new_id).await?
            }
            (Method::PUT, Some(id)) => {
                write::update_one(context, self.kind, &id, self.resource, self.if_match).await?
            }
            (Method::PUT, None) => {
                let query = self.query.unwrap_or_default();
                write::update_by(context, self.kind, &query, self.resource, self.if_match).await?
            }
            (Method::DELETE, Some(id)) => write::delete_one(context, self.kind, &id, self.if_match).await?,
            (_, Some(id)) => {
                let reach = context.access_to(self.kind, Permissions::READ)?;
                let found = source::read(context, self.kind, &id, reach).await?;
                context.audit_of(Action::ResourceRead(self.kind), &id, found.patient.as_deref());
                return Ok(json!({"resource": found.content, "response": {"status": "200 OK"}}));
            }
            (_, None) => {
                let mut query = Query::parse(&self.query.unwrap_or_default())?;
                query.count = query.count.min(20);
                let found = search::bundle(context, self.kind, &query).await?;
                return Ok(json!({"resource": found, "response": {"status": "200 OK"}}));
            }
        };
        Ok(answer(context, written))
    }
}

fn answer(context: &Context<'_>, written: Written) -> Json {
    let reason = written.status.canonical_reason().unwrap_or_default();
    let mut response = json!({"status": format!("{} {reason}", written.status.as_u16())});
    let Some(found) = written.found else { return json!({"response": response}) };
    response["location"] = write::location(context, &found).into();
    if let Some(version) = found.version {
        response["etag"] = format!("W/\"{version}\"").into();
    }
    if let Some(updated) = found.updated {
        response["lastModified"] = updated.to_string().into();
    }
    json!({"resource": found.content, "response": response})
}
