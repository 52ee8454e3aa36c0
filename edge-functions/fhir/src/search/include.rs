//! What belongs to what was found: where it leads (`_include`), and what leads to it (`_revinclude`), one step.

use std::collections::BTreeSet;

use kit::context::Context;
use kit::problem::Problem;
use kit::scopes::Permissions;

use super::query::{Include, Query};
use crate::outcome::bad_search;
use crate::projection::Column;
use crate::source::{self, Found};

/// More is not shown beside a page.
const MAX_INCLUDED: usize = 100;

pub(super) async fn all(
    context: &Context<'_>,
    kind: &'static str,
    query: &Query,
    found: &[Found],
) -> Result<Vec<Found>, Problem> {
    let mut seen: BTreeSet<(&'static str, String)> =
        found.iter().map(|found| (found.kind, found.id.clone())).collect();
    let mut included = Vec::new();
    let mut keep = |more: Vec<Found>| {
        for one in more {
            if included.len() < MAX_INCLUDED && seen.insert((one.kind, one.id.clone())) {
                included.push(one);
            }
        }
    };
    for include in &query.include {
        if include.kind != kind {
            return Err(bad_search("what to include begins with the type that is searched for"));
        }
        keep(forward(context, kind, include, found).await?);
    }
    for include in &query.reverse {
        keep(backward(context, kind, include, found).await?);
    }
    Ok(included)
}

/// Where a parameter of what was found leads.
async fn forward(
    context: &Context<'_>,
    kind: &'static str,
    include: &Include,
    found: &[Found],
) -> Result<Vec<Found>, Problem> {
    let parameter = fhir_model::search::parameter(kind, &include.name);
    let parameter = parameter.ok_or_else(|| bad_search("what to include is not known"))?;
    let mut wanted: BTreeSet<(&'static str, String)> = BTreeSet::new();
    for resource in found {
        for key in parameter.keys(&resource.content) {
            let fhir_model::search::Key::Reference(text) = key else { continue };
            let Some((target, id)) = text.split_once('/') else { continue };
            let Ok(target) = crate::named(target) else { continue };
            if include.target.as_deref().is_none_or(|only| only == target) {
                wanted.insert((target, id.split('/').next().unwrap_or(id).to_owned()));
            }
        }
    }
    let kinds: BTreeSet<&'static str> = wanted.iter().map(|(kind, _)| *kind).collect();
    let mut all = Vec::new();
    for kind in kinds {
        let ids: Vec<String> =
            wanted.iter().filter(|(own, _)| *own == kind).map(|(_, id)| id.clone()).collect();
        all.extend(visible(context, kind, &ids).await?);
    }
    Ok(all)
}

/// What leads to what was found by a parameter of its own.
async fn backward(
    context: &Context<'_>,
    kind: &'static str,
    include: &Include,
    found: &[Found],
) -> Result<Vec<Found>, Problem> {
    let other = crate::named(&include.kind).map_err(|_| bad_search("what to include is not known"))?;
    let source = source::find(other).ok_or_else(|| bad_search("what to include is not known"))?;
    let own = source.parameters.iter().find(|(name, column)| {
        *name == include.name && matches!(column, Column::Id(_, target) if *target == kind)
    });
    let known =
        own.is_some() || source.is_stored() && fhir_model::search::parameter(other, &include.name).is_some();
    if !known {
        return Err(bad_search("what to include is not known"));
    }
    if found.is_empty() || !may(context, other) {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = found.iter().map(|found| format!("{kind}/{}", found.id)).collect();
    let mut all = Vec::new();
    let reach = context.access_to(other, Permissions::SEARCH)?;
    for some in ids.chunks(40) {
        let text = form_urlencoded::Serializer::new(String::new())
            .append_pair(&include.name, &some.join(","))
            .finish();
        let query = Query::parse(&text)?;
        let limit = MAX_INCLUDED - all.len().min(MAX_INCLUDED);
        let more = super::find_unopened(context, other, &query, reach, limit).await?;
        all.extend(more);
    }
    opened(context, all).await
}

fn may(context: &Context<'_>, kind: &'static str) -> bool {
    context.caller_reaches(kind, Permissions::READ)
}

/// Those of the ids that the caller may see; of the others nothing is said.
pub(crate) async fn visible(
    context: &Context<'_>,
    kind: &'static str,
    ids: &[String],
) -> Result<Vec<Found>, Problem> {
    if !may(context, kind) {
        return Ok(Vec::new());
    }
    let reach = context.access_to(kind, Permissions::READ)?;
    let found = source::read_all(context, kind, ids, reach).await?;
    opened(context, found).await
}

async fn opened(context: &Context<'_>, found: Vec<Found>) -> Result<Vec<Found>, Problem> {
    let mut open = Vec::new();
    let mut known: Option<(String, bool)> = None;
    for one in found {
        let may = match (&one.patient, &known) {
            (Some(patient), Some((own, may))) if patient == own => *may,
            _ => match source::may_open(context, &one).await {
                Ok(()) => true,
                Err(problem) if problem.slug() == "not-assigned" => false,
                Err(problem) => return Err(problem),
            },
        };
        known = one.patient.clone().map(|patient| (patient, may));
        if may {
            open.push(one);
        }
    }
    Ok(open)
}
