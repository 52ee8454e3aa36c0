//! Edge function `fhir`: the clinic's records as FHIR R4 (<http://hl7.org/fhir/R4/http.html>).
//!
//! What the application keeps in tables of its own is shown as resources ([`projection`]); what it does not keep is kept
//! as it comes ([`store`]). Each thing is in one place.

mod bundle;
mod capability;
#[cfg(target_family = "wasm")]
mod entry;
mod everything;
mod outcome;
mod projection;
mod search;
mod source;
mod store;
mod write;

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use kit::audit::Action;
use kit::context::Context;
use kit::policy::{self, Fhir};
use kit::problem::Problem;
use kit::reply::Reply;
use kit::scopes::Permissions;
use kit::serve::Function;
use serde_json::Value as Json;

use crate::search::Query;

/// This component.
#[derive(Clone, Copy, Debug)]
pub struct FhirFunction;

/// Elements within elements of what is sent.
const MAX_BODY: usize = 1 << 20;

impl Function for FhirFunction {
    type Operation = Fhir;

    async fn call(context: &Context<'_>, operation: Fhir) -> Result<Reply, Problem> {
        acceptable(context)?;
        match operation {
            Fhir::GetCapabilities => capability::get(context).await,
            Fhir::ProcessBundle => bundle::process(context).await,
            Fhir::SearchResources => {
                search::respond(context, kind(context)?, Query::of(context.request.uri())?).await
            }
            Fhir::SearchResourcesByForm => search::by_form(context, kind(context)?).await,
            Fhir::ValidateResource => validate(context),
            Fhir::CreateResource => write::create(context, kind(context)?).await,
            Fhir::UpdateFoundResource => write::update_found(context, kind(context)?).await,
            Fhir::ReadResource => read(context).await,
            Fhir::UpdateResource => write::update(context, kind(context)?, id(context)?).await,
            Fhir::DeleteResource => write::delete(context, kind(context)?, id(context)?).await,
            Fhir::ReadHistory => store::history(context, kind(context)?, id(context)?).await,
            Fhir::ReadVersion => store::version(context, kind(context)?, id(context)?).await,
            Fhir::ReadEverything => everything::read(context, kind(context)?, id(context)?).await,
        }
    }

    fn refuse(problem: Problem) -> Reply {
        outcome::refusal(problem)
    }
}

/// A word of the path below `/fhir/R4`.
fn segment<'c>(context: &'c Context<'_>, place: usize) -> Option<&'c str> {
    context.request.uri().path().split("/fhir/R4/").nth(1)?.split('/').nth(place)
}

/// The type of resource in the path, by the name in our own table.
fn kind(context: &Context<'_>) -> Result<&'static str, Problem> {
    named(segment(context, 0).unwrap_or_default())
}

fn named(name: &str) -> Result<&'static str, Problem> {
    let rule = policy::resource(name).filter(|rule| source::find(rule.resource).is_some());
    rule.map(|rule| rule.resource).ok_or_else(|| Problem::not_found("No such type of resource"))
}

fn id<'c>(context: &'c Context<'_>) -> Result<&'c str, Problem> {
    let id = segment(context, 1).filter(|id| fhir_model::is_id(id));
    id.ok_or_else(|| Problem::not_found("No such id"))
}

/// Refuses who does not take JSON.
fn acceptable(context: &Context<'_>) -> Result<(), Problem> {
    let accept = context.request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    let query = context.request.uri().query().unwrap_or_default();
    let format = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "_format");
    let wanted = format.map_or(accept.to_owned(), |(_, format)| format.into_owned());
    let takes = wanted.is_empty()
        || wanted.contains("json")
        || wanted.contains("*/*")
        || wanted.contains("application/*");
    let title = "Answers are application/fhir+json";
    takes.then_some(()).ok_or_else(|| Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", title))
}

/// The body as JSON.
fn body(context: &Context<'_>) -> Result<Json, Problem> {
    let kind = context.request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !kind.is_some_and(|kind| kind.contains("json")) {
        let title = "Resources are sent as application/fhir+json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title));
    }
    let body = context.request.body();
    if body.len() > MAX_BODY {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "No more than 1 MiB at once"));
    }
    serde_json::from_slice(body).map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "no-json", "The body is not JSON that can be read")
    })
}

async fn read(context: &Context<'_>) -> Result<Reply, Problem> {
    let (kind, id) = (kind(context)?, id(context)?);
    let reach = context.access_to(kind, Permissions::READ)?;
    let found = source::read(context, kind, id, reach).await?;
    context.audit_of(Action::ResourceRead(kind), &id, found.patient.as_deref());
    outcome::resource(StatusCode::OK, &found)
}

/// `POST /fhir/R4/{type}/$validate`: an outcome either way.
fn validate(context: &Context<'_>) -> Result<Reply, Problem> {
    let kind = kind(context)?;
    let resource = body(context)?;
    let resource = match resource["resourceType"].as_str() {
        Some("Parameters") => {
            let parameters = resource["parameter"].as_array();
            let named = parameters.into_iter().flatten().find(|one| one["name"] == "resource");
            named.map(|one| one["resource"].clone()).unwrap_or_default()
        }
        _ => resource,
    };
    context.audit(Action::ResourceValidated(kind), None);
    outcome::verdict(kind, &resource)
}
