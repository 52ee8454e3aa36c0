//! What would have to be done. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use super::bundle::Bundle;

/// A part of a bundle.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    Clinic,
    Site,
    Service,
    Staff,
    Exception,
    Consent,
    Questionnaire,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    Create,
    Change,
    Remove,
    Keep,
}

/// A line of the difference: names and keys, no values.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Change {
    pub(crate) part: Part,
    pub(crate) key: String,
    pub(crate) step: Step,
    /// What differs, of what is changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) fields: Vec<String>,
}

/// From what is, or is not yet, to what is wanted; in the order in which it can be done.
pub(crate) fn between(now: Option<&Bundle>, wanted: &Bundle) -> Vec<Change> {
    let wanted = parts(wanted);
    let now = now.map(parts).unwrap_or_default();
    let mut changes = Vec::new();
    for (part, key, item) in &wanted {
        let found = now.iter().find(|(other, name, _)| other == part && name == key);
        let fields = found.map(|(_, _, old)| differing(old, item)).unwrap_or_default();
        let step = match (found, fields.is_empty()) {
            (None, _) => Step::Create,
            (Some(_), false) => Step::Change,
            (Some(_), true) => Step::Keep,
        };
        changes.push(Change { part: *part, key: key.clone(), step, fields });
    }
    for (part, key, _) in now {
        if !wanted.iter().any(|(other, name, _)| *other == part && *name == key) {
            changes.push(Change { part, key, step: Step::Remove, fields: Vec::new() });
        }
    }
    changes
}

fn parts(bundle: &Bundle) -> Vec<(Part, String, Json)> {
    fn each<T: Serialize>(part: Part, items: &[T], key: impl Fn(&T) -> String) -> Vec<(Part, String, Json)> {
        items.iter().map(|item| (part, key(item), serde_json::to_value(item).unwrap_or_default())).collect()
    }
    [
        each(Part::Clinic, std::slice::from_ref(&bundle.clinic), |_| "clinic".to_owned()),
        each(Part::Site, &bundle.sites, |site| site.key.as_str().to_owned()),
        each(Part::Service, &bundle.services, |service| service.key.as_str().to_owned()),
        each(Part::Staff, &bundle.staff, |member| member.username.as_str().to_owned()),
        each(Part::Exception, &bundle.exceptions, |exception| exception.id()),
        each(Part::Consent, &bundle.consents, |consent| consent.id()),
        each(Part::Questionnaire, &bundle.questionnaires, |form| form.key.as_str().to_owned()),
    ]
    .concat()
}

fn differing(old: &Json, new: &Json) -> Vec<String> {
    let fields = |json: &Json| -> BTreeMap<String, Json> {
        json.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let (old, new) = (fields(old), fields(new));
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    names.filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
}
