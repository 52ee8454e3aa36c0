//! `$everything`: all that there is of a patient, as far as whoever asks may see it.

use http::StatusCode;
use kit::audit::Action;
use kit::context::Context;
use kit::policy::RESOURCES;
use kit::problem::Problem;
use kit::reply::Reply;
use kit::scopes::Permissions;
use serde_json::{Value as Json, json};

use crate::outcome;
use crate::search;
use crate::source::{self, Found};

/// More is asked for by types, page by page. Each is an audit event of its own, of which an answer has 256 at most.
const MAX_RESOURCES: usize = 200;

/// `GET /fhir/R4/Patient/{id}/$everything`.
pub(crate) async fn read(context: &Context<'_>, kind: &'static str, id: &str) -> Result<Reply, Problem> {
    if kind != "Patient" {
        return Err(Problem::not_found("There is everything of patients only"));
    }
    let reach = context.access_to(kind, Permissions::READ)?;
    let mut all = vec![source::read(context, kind, id, reach).await?];
    let others = RESOURCES.iter().filter_map(|rule| source::find(rule.resource));
    for source in others.filter(|source| source.kind != kind && source.patient != "NULL") {
        if !context.caller_reaches(source.kind, Permissions::SEARCH) {
            continue;
        }
        let reach = context.access_to(source.kind, Permissions::SEARCH)?;
        let left = MAX_RESOURCES + 1 - all.len();
        all.extend(search::of_patient(context, source.kind, id, reach, left).await?);
        if all.len() > MAX_RESOURCES {
            let title = "There is too much of this patient for one answer: search by types";
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-much", title));
        }
    }
    let base = search::base(context);
    let entry = |found: Found| {
        context.audit_of(Action::ResourceRead(found.kind), &found.id, Some(id));
        json!({"fullUrl": format!("{base}/{}/{}", found.kind, found.id), "resource": found.content,
               "search": {"mode": "match"}})
    };
    let total = all.len();
    let entries: Vec<Json> = all.into_iter().map(entry).collect();
    let bundle = json!({"resourceType": "Bundle", "type": "searchset", "total": total, "entry": entries});
    outcome::json(StatusCode::OK, &bundle)
}
