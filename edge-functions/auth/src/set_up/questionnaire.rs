//! The shape of a FHIR R4 Questionnaire, as far as pages will have to show it.

use std::collections::HashSet;

use kit::problem::Problem;
use serde_json::Value as Json;

/// In a database row and in an answer.
const MAX_BYTES: usize = 64 * 1024;
const MAX_DEPTH: usize = 5;
/// <http://hl7.org/fhir/R4/valueset-item-type.html>.
const TYPES: [&str; 16] = [
    "group",
    "display",
    "boolean",
    "decimal",
    "integer",
    "date",
    "dateTime",
    "time",
    "string",
    "text",
    "url",
    "choice",
    "open-choice",
    "attachment",
    "reference",
    "quantity",
];
const STATUSES: [&str; 4] = ["draft", "active", "retired", "unknown"];

/// Refuses what is none, and says where.
pub(super) fn check(form: &Json, place: &str) -> Result<(), Problem> {
    if form.to_string().len() > MAX_BYTES {
        return Err(Problem::invalid(place, "must be 64 KiB at most"));
    }
    if form["resourceType"] != "Questionnaire" {
        return Err(Problem::invalid(format!("{place}/resourceType"), "must be Questionnaire"));
    }
    if !form["status"].as_str().is_some_and(|status| STATUSES.contains(&status)) {
        return Err(Problem::invalid(format!("{place}/status"), "must be a publication status of FHIR"));
    }
    check_items(&form["item"], &format!("{place}/item"), 1, &mut HashSet::new())
}

fn check_items<'j>(
    items: &'j Json,
    place: &str,
    depth: usize,
    seen: &mut HashSet<&'j str>,
) -> Result<(), Problem> {
    let items = items.as_array().filter(|items| !items.is_empty() && depth <= MAX_DEPTH);
    let items =
        items.ok_or_else(|| Problem::invalid(place, "must be 1 item or more, 5 levels deep at most"))?;
    for (at, item) in items.iter().enumerate() {
        let place = format!("{place}/{at}");
        let link = item["linkId"].as_str().filter(|link| !link.is_empty() && link.len() <= 255);
        if !link.is_some_and(|link| seen.insert(link)) {
            return Err(Problem::invalid(format!("{place}/linkId"), "must be there, and used once"));
        }
        let kind = item["type"].as_str().filter(|kind| TYPES.contains(kind));
        if kind.is_none() {
            return Err(Problem::invalid(format!("{place}/type"), "must be an item type of FHIR"));
        }
        if kind != Some("group") && item["text"].as_str().is_none_or(str::is_empty) {
            return Err(Problem::invalid(format!("{place}/text"), "must be what is asked"));
        }
        if item.get("item").is_some() {
            check_items(&item["item"], &format!("{place}/item"), depth + 1, seen)?;
        }
    }
    Ok(())
}
