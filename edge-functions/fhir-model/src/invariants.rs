//! Invariants of FHIR R4 that a table of elements cannot say, by their ids. Those of types that a clinic uses, and of
//! data types; others are not looked at.

use serde_json::{Map, Value};

use crate::moment;
use crate::path::Path;
use crate::validation::Issues;

type Members = Map<String, Value>;

mod clinical;
mod datatypes;
mod practice;

/// Looks at what is said of the type `name`.
pub(crate) fn check(name: &str, of: &Members, path: &Path<'_>, issues: &mut Issues) {
    let mut refuse = |holds: bool, key: &str, text: &str| {
        if !holds {
            issues.add("invariant", path, format!("{key}: {text}"));
        }
    };
    datatypes::check(name, of, &mut refuse);
    clinical::check(name, of, &mut refuse);
    practice::check(name, of, &mut refuse);
}

fn has(of: &Members, name: &str) -> bool {
    of.contains_key(name)
}

/// Whether an element is there, or what stands beside it.
fn exists(of: &Members, name: &str) -> bool {
    has(of, name) || of.contains_key(&format!("_{name}"))
}

/// Whether the choice `base` is there as any type.
fn has_choice(of: &Members, base: &str) -> bool {
    let fits = |key: &String| {
        let key = key.strip_prefix('_').unwrap_or(key);
        key.strip_prefix(base).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
    };
    of.keys().any(fits)
}

fn text<'v>(of: &'v Members, name: &str) -> Option<&'v str> {
    of.get(name)?.as_str()
}

fn list<'v>(of: &'v Members, name: &str) -> &'v [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether the concept `name` has that code.
fn coded(of: &Members, name: &str, system: &str, codes: &[&str]) -> bool {
    let coding = of.get(name).and_then(|concept| concept.get("coding")).and_then(Value::as_array);
    let is = |coding: &Value, part: &str| coding.get(part).and_then(Value::as_str).map(str::to_owned);
    coding.into_iter().flatten().any(|one| {
        is(one, "system").as_deref() == Some(system)
            && is(one, "code").is_some_and(|code| codes.contains(&code.as_str()))
    })
}

/// Whether one time is certainly after the other.
fn is_after(later: Option<&str>, earlier: Option<&str>) -> bool {
    let range = |text: Option<&str>| text.and_then(moment::range);
    range(later).zip(range(earlier)).is_some_and(|(later, earlier)| later.from_ms >= earlier.until_ms)
}
