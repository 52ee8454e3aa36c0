//! Adding, changing and deleting what is kept as it comes.

use http::header::{HeaderName, HeaderValue, IF_MATCH, LOCATION};
use http::{HeaderMap, StatusCode};
use kit::audit::Action;
use kit::context::{Context, Reach};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::scopes::Permissions;
use kit::secret;
use serde_json::Value as Json;

use crate::outcome;
use crate::search::{self, Query};
use crate::source::{self, Found};
use crate::store;

const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");

/// What became of a write.
pub(crate) struct Written {
    pub(crate) status: StatusCode,
    /// `None`: it is gone.
    pub(crate) found: Option<Found>,
}

/// A new id, which sorts by time.
pub(crate) fn new_id(context: &Context<'_>) -> Result<String, Problem> {
    let millis = context.now.as_millisecond().try_into().unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &secret::random::<10>()?);
    Ok(id.into_uuid().to_string())
}

/// `POST /fhir/R4/{type}`.
pub(crate) async fn create(context: &Context<'_>, kind: &'static str) -> Result<Reply, Problem> {
    let resource = crate::body(context)?;
    let condition = header(context.request.headers(), &IF_NONE_EXIST)?.map(str::to_owned);
    let written = context
        .transaction(async || create_one(context, kind, resource, condition.as_deref(), None).await)
        .await?;
    answer(context, written)
}

/// `PUT /fhir/R4/{type}/{id}`.
pub(crate) async fn update(context: &Context<'_>, kind: &'static str, id: &str) -> Result<Reply, Problem> {
    let resource = crate::body(context)?;
    let seen = if_match(header(context.request.headers(), &IF_MATCH)?)?;
    let written = context.transaction(async || update_one(context, kind, id, resource, seen).await).await?;
    answer(context, written)
}

/// `PUT /fhir/R4/{type}?…`.
pub(crate) async fn update_found(context: &Context<'_>, kind: &'static str) -> Result<Reply, Problem> {
    let resource = crate::body(context)?;
    let seen = if_match(header(context.request.headers(), &IF_MATCH)?)?;
    let query = context.request.uri().query().unwrap_or_default().to_owned();
    let written =
        context.transaction(async || update_by(context, kind, &query, resource, seen).await).await?;
    answer(context, written)
}

/// `DELETE /fhir/R4/{type}/{id}`.
pub(crate) async fn delete(context: &Context<'_>, kind: &'static str, id: &str) -> Result<Reply, Problem> {
    let seen = if_match(header(context.request.headers(), &IF_MATCH)?)?;
    context.transaction(async || delete_one(context, kind, id, seen).await).await?;
    Ok(reply::no_content())
}

fn answer(context: &Context<'_>, written: Written) -> Result<Reply, Problem> {
    let Some(found) = written.found else { return Ok(reply::no_content()) };
    let prefer = context.request.headers().get("prefer").and_then(|value| value.to_str().ok());
    let mut reply = if prefer.is_some_and(|prefer| prefer.contains("return=minimal")) {
        let mut reply = Reply::new(Vec::new());
        *reply.status_mut() = written.status;
        outcome::mark(&mut reply, &found)?;
        reply
    } else {
        outcome::resource(written.status, &found)?
    };
    if written.status == StatusCode::CREATED {
        let place = location(context, &found);
        reply.headers_mut().insert(LOCATION, HeaderValue::from_str(&place).map_err(Problem::internal)?);
    }
    Ok(reply)
}

/// Where a version is.
pub(crate) fn location(context: &Context<'_>, found: &Found) -> String {
    let version = found.version.unwrap_or(1);
    format!("{}/{}/{}/_history/{version}", search::base(context), found.kind, found.id)
}

fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, Problem> {
    let text = |value: &'h HeaderValue| value.to_str().ok();
    let bad = || Problem::new(StatusCode::BAD_REQUEST, "bad-header", "A header cannot be read");
    headers.get(name).map(|value| text(value).ok_or_else(bad)).transpose()
}

/// The version that somebody has seen: `W/"3"`.
pub(crate) fn if_match(text: Option<&str>) -> Result<Option<i64>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty() && *text != "*") else { return Ok(None) };
    let version = text.trim().trim_start_matches("W/").trim_matches('"').parse();
    let bad = |_| Problem::new(StatusCode::BAD_REQUEST, "bad-header", "If-Match must be W/\"version\"");
    version.map(Some).map_err(bad)
}

/// Adds a resource, unless a search finds one. `id`: that it gets, if it was promised to others of a bundle.
pub(crate) async fn create_one(
    context: &Context<'_>,
    kind: &'static str,
    resource: Json,
    condition: Option<&str>,
    id: Option<String>,
) -> Result<Written, Problem> {
    let reach = context.access_to(kind, Permissions::CREATE)?;
    let content = checked(context, kind, resource)?;
    if let Some(condition) = condition {
        let reach = context.access_to(kind, Permissions::SEARCH)?;
        let found = matches(context, kind, condition, reach).await?;
        if let Some(found) = found {
            context.audit_of(Action::ResourceFound(kind), &found.id, found.patient.as_deref());
            return Ok(Written { status: StatusCode::OK, found: Some(found) });
        }
    }
    let id = match id {
        Some(id) => id,
        None => new_id(context)?,
    };
    put(context, (kind, &id, 1), content, reach).await
}

/// Changes a resource, or adds it under that id.
pub(crate) async fn update_one(
    context: &Context<'_>,
    kind: &'static str,
    id: &str,
    resource: Json,
    seen: Option<i64>,
) -> Result<Written, Problem> {
    let reach = context.access_to(kind, Permissions::UPDATE)?;
    if resource["id"] != id {
        return Err(outcome::wrong("invalid", &format!("{kind}.id"), "must be the id in the path"));
    }
    let content = checked(context, kind, resource)?;
    let standing = store::standing(context, kind, id).await?;
    if let Some(standing) = &standing {
        let own =
            reach.only_patient.is_none_or(|only| standing.patient.as_deref() == Some(&only.to_string()));
        if !own {
            return Err(Problem::not_found("No such resource"));
        }
        open(context, kind, standing.patient.as_deref()).await?;
    } else {
        context.access_to(kind, Permissions::CREATE)?;
    }
    let version = standing.map_or(0, |standing| standing.version);
    if seen.is_some_and(|seen| seen != version) {
        return Err(store::conflict());
    }
    put(context, (kind, id, version + 1), content, reach).await
}

/// Changes the resource that a search finds, or adds it.
pub(crate) async fn update_by(
    context: &Context<'_>,
    kind: &'static str,
    query: &str,
    mut resource: Json,
    seen: Option<i64>,
) -> Result<Written, Problem> {
    let reach = context.access_to(kind, Permissions::SEARCH)?;
    match matches(context, kind, query, reach).await? {
        Some(found) => {
            if resource.get("id").is_some_and(|id| *id != found.id.as_str()) {
                return Err(outcome::wrong(
                    "invalid",
                    &format!("{kind}.id"),
                    "is not the id of what was found",
                ));
            }
            resource["id"] = found.id.as_str().into();
            update_one(context, kind, &found.id, resource, seen).await
        }
        None => create_one(context, kind, resource, None, None).await,
    }
}

pub(crate) async fn delete_one(
    context: &Context<'_>,
    kind: &'static str,
    id: &str,
    seen: Option<i64>,
) -> Result<Written, Problem> {
    let reach = context.access_to(kind, Permissions::DELETE)?;
    stored(kind)?;
    let gone = Written { status: StatusCode::NO_CONTENT, found: None };
    let Some(standing) = store::standing(context, kind, id).await? else {
        return Err(Problem::not_found("No such resource"));
    };
    if reach.only_patient.is_some_and(|only| standing.patient.as_deref() != Some(&only.to_string())) {
        return Err(Problem::not_found("No such resource"));
    }
    open(context, kind, standing.patient.as_deref()).await?;
    if standing.is_deleted {
        context.audit_of(Action::ResourceDeleted(kind), &id, standing.patient.as_deref());
        return Ok(gone);
    }
    if seen.is_some_and(|seen| seen != standing.version) {
        return Err(store::conflict());
    }
    store::remove(context, (kind, id, standing.version + 1)).await?;
    context.audit_of(Action::ResourceDeleted(kind), &id, standing.patient.as_deref());
    Ok(gone)
}

/// The one that a search finds; several are too many (<http://hl7.org/fhir/R4/http.html#ccreate>).
async fn matches(
    context: &Context<'_>,
    kind: &'static str,
    query: &str,
    reach: Reach,
) -> Result<Option<Found>, Problem> {
    let query = Query::parse(query)?;
    if query.is_empty() {
        return Err(outcome::bad_search("a condition must say what is looked for"));
    }
    let mut found = search::find(context, kind, &query, reach, 2).await?;
    if found.len() > 1 {
        let title = "More than one resource is found by the condition";
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "several", title));
    }
    Ok(found.pop())
}

fn stored(kind: &str) -> Result<(), Problem> {
    if kit::resources::is_stored(kind) {
        return Ok(());
    }
    let title = "Resources of this type are changed in the application only";
    Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not-supported", title))
}

async fn open(context: &Context<'_>, kind: &str, patient: Option<&str>) -> Result<(), Problem> {
    match patient.filter(|_| source::is_clinical(kind)) {
        Some(patient) => context.may_open_patient(patient).await,
        None => Ok(()),
    }
}

/// The content of a valid resource: without what is ours to say.
fn checked(context: &Context<'_>, kind: &'static str, mut resource: Json) -> Result<Json, Problem> {
    stored(kind)?;
    // Whatever address of ours a reference was written with: it leads to something here.
    let own = format!("{}/", search::base(context));
    each_reference(&mut resource, &|text| text.strip_prefix(&own).map(str::to_owned));
    if resource["resourceType"] != kind {
        return Err(outcome::wrong("invalid", "resourceType", "is not the type in the path"));
    }
    let issues = fhir_model::validate(&resource);
    if !issues.is_empty() {
        return Err(outcome::invalid(&issues));
    }
    if let Some(members) = resource.as_object_mut() {
        members.remove("id");
        members.remove("resourceType");
        if let Some(meta) = members.get_mut("meta").and_then(Json::as_object_mut) {
            meta.remove("versionId");
            meta.remove("lastUpdated");
            if meta.is_empty() {
                members.remove("meta");
            }
        }
    }
    Ok(resource)
}

/// Gives references another text where there is one.
pub(crate) fn each_reference(value: &mut Json, other: &dyn Fn(&str) -> Option<String>) {
    match value {
        Json::Object(members) => {
            for (name, value) in members {
                match value {
                    Json::String(text) if name == "reference" => {
                        if let Some(other) = other(text) {
                            *text = other;
                        }
                    }
                    value => each_reference(value, other),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| each_reference(item, other)),
        _ => {}
    }
}

/// Whose record it is of: the first patient that it is about.
fn patient_of(content: &Json) -> Option<(&'static str, &str)> {
    let one = |name: &'static str| {
        let list = match &content[name] {
            Json::Array(list) => list.iter().collect(),
            other => vec![other],
        };
        let references = list.into_iter().filter_map(|one| one["reference"].as_str());
        let mut ids = references.filter_map(|text| text.strip_prefix("Patient/"));
        ids.next().map(|id| (name, id.split('/').next().unwrap_or(id)))
    };
    ["subject", "patient", "for", "target"].into_iter().find_map(one)
}

async fn put(
    context: &Context<'_>,
    (kind, id, version): (&'static str, &str, i64),
    content: Json,
    reach: Reach,
) -> Result<Written, Problem> {
    let patient = patient_of(&content).map(|(name, id)| (name, id.to_owned()));
    if let Some(only) = reach.only_patient
        && patient.as_ref().is_none_or(|(_, id)| *id != only.to_string())
    {
        let title = "The app may write of its patient only";
        return Err(Problem::new(StatusCode::FORBIDDEN, "other-patient", title));
    }
    if let Some((name, patient)) = &patient {
        let sql = "SELECT 1 FROM patient WHERE clinic = ? AND id = ?";
        let known = context.database().query(sql, params![&context.clinic, patient.as_str()]).await?;
        if known.is_empty() {
            let place = format!("{kind}.{name}");
            return Err(outcome::wrong("not-found", &place, "must lead to a patient of this clinic"));
        }
        open(context, kind, Some(patient)).await?;
    }
    let patient = patient.map(|(_, id)| id);
    store::keep(context, (kind, id, version), patient.as_deref(), &content).await?;
    let (action, status) = match version {
        1 => (Action::ResourceCreated(kind), StatusCode::CREATED),
        _ => (Action::ResourceUpdated(kind), StatusCode::OK),
    };
    context.audit_of(action, &id, patient.as_deref());
    let everything = Reach { only_patient: None };
    let found = source::read_all(context, kind, &[id.to_owned()], everything).await?;
    Ok(Written { status, found: found.into_iter().next() })
}
