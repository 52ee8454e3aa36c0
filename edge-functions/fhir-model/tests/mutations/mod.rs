//! What a machine does to a valid resource so that it is not valid any more.

#![allow(dead_code, clippy::unwrap_used, reason = "part of the tests, and each uses what it needs")]

use serde_json::{Map, Value, json};

/// A resource with one thing wrong.
pub(crate) struct Mutation {
    pub(crate) kind: &'static str,
    /// Where, as JSON has it: `Observation.component[0].valueQuantity`.
    pub(crate) at: String,
    pub(crate) resource: Value,
}

/// Whether a FHIRPath leads to that place or to what it stands in, at most one step up.
pub(crate) fn pointed_at(expression: &str, at: &str) -> bool {
    // `value.ofType(Quantity)` is `valueQuantity` in JSON.
    let steps = |text: &str| -> Vec<String> {
        let mut steps = Vec::new();
        for step in text.split('.') {
            match step.strip_prefix("ofType(").and_then(|rest| rest.split_once(')')) {
                Some((of, index)) => {
                    let last: &mut String = steps.last_mut().unwrap();
                    let (first, rest) = of.split_at(1);
                    *last = format!("{last}{}{rest}{index}", first.to_uppercase());
                }
                None => steps.push(step.to_owned()),
            }
        }
        steps
    };
    let (found, wanted) = (steps(expression), steps(at));
    let plain = |step: &String| step.split('[').next().unwrap().to_owned();
    let same = found.iter().zip(&wanted).all(|(found, wanted)| {
        found == wanted || plain(found) == plain(wanted) || wanted.starts_with(&plain(found))
    });
    same && found.len() + 1 >= wanted.len()
}

/// One of each kind at each place where it can be.
pub(crate) fn mutations(resource: &Value) -> Vec<Mutation> {
    let mut places = Vec::new();
    let name = resource["resourceType"].as_str().unwrap();
    walk(resource, "", name, &mut places);
    let mut all = Vec::new();
    for (pointer, at) in places {
        let value = resource.pointer(&pointer).unwrap();
        let mut change = |kind: &'static str, at: &str, to: Value| {
            let mut changed = resource.clone();
            *changed.pointer_mut(&pointer).unwrap() = to;
            all.push(Mutation { kind, at: at.to_owned(), resource: changed });
        };
        match value {
            Value::Object(members) => {
                let with = |key: &str, value: Value| {
                    let mut members = members.clone();
                    members.insert(key.to_owned(), value);
                    Value::Object(members)
                };
                change("unknown element", &format!("{at}.locumWarp"), with("locumWarp", json!("x")));
                change("element of the wrong case", &format!("{at}.EXTENSION"), with("EXTENSION", json!([])));
                if !pointer.is_empty() {
                    change("text for an object", &at, json!("x"));
                    change("nothing in an object", &at, Value::Object(Map::new()));
                }
            }
            Value::Array(items) => {
                change("one for several", &at, items[0].clone());
                change("none of several", &at, json!([]));
            }
            Value::String(_) => {
                change("object for a text", &at, json!({"x": 1}));
                change("several for one", &at, json!([value]));
                change("empty text", &at, json!(""));
                change("null", &at, Value::Null);
            }
            Value::Number(_) => change("text for a number", &at, json!("1.5.0")),
            Value::Bool(_) => change("text for a flag", &at, json!("true")),
            Value::Null => {}
        }
    }
    all
}

/// Each time one element less; what may be missing leaves a resource that is valid.
pub(crate) fn removals(resource: &Value) -> Vec<Mutation> {
    let mut places = Vec::new();
    walk(resource, "", resource["resourceType"].as_str().unwrap(), &mut places);
    let removal = |(pointer, at): (String, String)| {
        let (parent, name) = pointer.rsplit_once('/')?;
        let mut changed = resource.clone();
        changed.pointer_mut(parent)?.as_object_mut()?.remove(name)?;
        Some(Mutation { kind: "removed", at, resource: changed })
    };
    places.into_iter().filter_map(removal).collect()
}

/// Each place but the type's name, which is no element, and what stands in arrays of primitives.
fn walk(value: &Value, pointer: &str, at: &str, places: &mut Vec<(String, String)>) {
    places.push((pointer.to_owned(), at.to_owned()));
    match value {
        Value::Object(members) => {
            for (key, value) in
                members.iter().filter(|(key, _)| *key != "resourceType" && !key.starts_with('_'))
            {
                walk(value, &format!("{pointer}/{key}"), &format!("{at}.{key}"), places);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate().filter(|(_, item)| item.is_object()) {
                walk(item, &format!("{pointer}/{index}"), &format!("{at}[{index}]"), places);
            }
        }
        _ => {}
    }
}
