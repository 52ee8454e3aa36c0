//! Whether a resource is as FHIR R4 says: structure, cardinalities, types, required codes, invariants.

use std::fmt;

use serde_json::{Map, Value};

use crate::invariants;
use crate::local::Local;
use crate::path::Path;
use crate::primitive::Primitive;
use crate::table::{self, Element, Kind, MANY, Type};

/// Something that is wrong with a resource. It says where and what should be there, and never repeats what is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issue {
    /// `OperationOutcome.issue.code`: one of <http://hl7.org/fhir/R4/valueset-issue-type.html>.
    pub code: &'static str,
    /// Where, as FHIRPath.
    pub expression: String,
    /// What should be there.
    pub diagnostics: String,
}

/// More is not said of one resource.
const MAX_ISSUES: usize = 50;
/// Elements within elements.
const MAX_DEPTH: usize = 48;

/// What is wrong with `resource`; nothing, if it is valid.
pub fn validate(resource: &Value) -> Vec<Issue> {
    let mut issues = Issues(Vec::new());
    let path = Path::root(name_of(resource));
    validate_resource(resource, &path, 0, &mut issues);
    issues.0
}

fn name_of(resource: &Value) -> &str {
    resource.get("resourceType").and_then(Value::as_str).unwrap_or("Resource")
}

/// What was found so far.
pub(crate) struct Issues(Vec<Issue>);

impl Issues {
    pub(crate) fn add(
        &mut self,
        code: &'static str,
        path: &dyn fmt::Display,
        diagnostics: impl Into<String>,
    ) {
        if self.0.len() < MAX_ISSUES {
            let (expression, diagnostics) = (path.to_string(), diagnostics.into());
            self.0.push(Issue { code, expression, diagnostics });
        }
    }
}

/// One resource with what it contains, whose references to each other are looked at as one.
struct Walk<'v, 'i> {
    local: Local<'v>,
    issues: &'i mut Issues,
}

fn validate_resource(resource: &Value, path: &Path<'_>, depth: usize, issues: &mut Issues) {
    let mut walk = Walk { local: Local::of(resource), issues };
    walk.resource(resource, path, depth);
    walk.local.finish(path, walk.issues);
}

impl<'v> Walk<'v, '_> {
    fn resource(&mut self, resource: &'v Value, path: &Path<'_>, depth: usize) {
        let Some(members) = resource.as_object() else {
            return self.issues.add("structure", path, "must be a resource: a JSON object");
        };
        let Some(name) = members.get("resourceType").and_then(Value::as_str) else {
            return self.issues.add("structure", path, "must have a resourceType");
        };
        let Some(ty) = table::resource(name) else {
            return self.issues.add("structure", path, "resourceType: FHIR R4 has no such resource");
        };
        self.complex(ty, members, path, depth);
    }

    fn complex(&mut self, ty: &'static Type, members: &'v Map<String, Value>, path: &Path<'_>, depth: usize) {
        if depth > MAX_DEPTH {
            return self.issues.add("too-long", path, "is nested too deep");
        }
        if members.is_empty() {
            return self.issues.add("invariant", path, "ele-1: must have a value or children");
        }
        let mut choices: Vec<(&'static str, &'static str)> = Vec::new();
        for (key, value) in members {
            let (json, beside) = match key.strip_prefix('_') {
                Some(json) => (json, true),
                None => (key.as_str(), false),
            };
            if ty.kind == Kind::Resource && key == "resourceType" {
                continue;
            }
            let Some(element) = ty.element(json) else {
                let place = path.child(key);
                self.issues.add("structure", &place, "FHIR R4 has no such element here");
                continue;
            };
            let place = path_of(path, element);
            if let Some(base) = element.choice() {
                match choices.iter().find(|(own, _)| *own == base) {
                    Some((_, other)) if *other != element.json => {
                        self.issues.add("structure", &path.child(base), "may be there as one type only");
                    }
                    Some(_) => {}
                    None => choices.push((base, element.json)),
                }
            }
            match (element.ty().kind, beside) {
                (Kind::Primitive(primitive), beside) => {
                    if beside && members.contains_key(json) {
                        continue;
                    }
                    let other = members.get(&format!("_{json}"));
                    let (value, other) = if beside { (None, Some(value)) } else { (Some(value), other) };
                    self.primitive(element, primitive, (value, other), &place, depth);
                }
                (_, true) => {
                    self.issues.add("structure", &place, "is no primitive, so nothing stands beside it")
                }
                (_, false) => self.element(element, value, &place, depth),
            }
        }
        self.required(ty, members, &choices, path);
        invariants::check(ty.name, members, path, self.issues);
    }

    fn required(
        &mut self,
        ty: &'static Type,
        members: &Map<String, Value>,
        choices: &[(&'static str, &'static str)],
        path: &Path<'_>,
    ) {
        let mut missing_choice = None;
        for element in ty.elements.iter().filter(|element| element.min > 0) {
            let name = element.choice().unwrap_or(element.json);
            let is_there = match element.choice() {
                Some(base) => choices.iter().any(|(own, _)| *own == base),
                None => {
                    members.contains_key(element.json)
                        || matches!(element.ty().kind, Kind::Primitive(_))
                            && members.contains_key(&format!("_{name}"))
                }
            };
            if !is_there && missing_choice != Some(name) {
                missing_choice = Some(name);
                self.issues.add("required", &path.child(name), "is missing");
            }
        }
    }

    /// Data types, parts of resources, resources within this one.
    fn element(&mut self, element: &'static Element, value: &'v Value, path: &Path<'_>, depth: usize) {
        if element.max != MANY && element.max <= 1 {
            return self.one(element, value, path, depth);
        }
        let Some(items) = value.as_array() else {
            return self.issues.add("structure", path, "may be there several times: must be a JSON array");
        };
        if items.is_empty() {
            self.issues.add("structure", path, "must not be an empty array");
        }
        if element.max != MANY && items.len() > usize::from(element.max) {
            self.issues.add("structure", path, format!("may be there {} times at most", element.max));
        }
        for (index, item) in items.iter().enumerate() {
            self.one(element, item, &path.at(index), depth);
        }
    }

    fn one(&mut self, element: &'static Element, value: &'v Value, path: &Path<'_>, depth: usize) {
        let ty = element.ty();
        if ty.kind == Kind::Resource {
            return match element.json {
                // What a bundle carries is a resource by itself.
                "contained" => {
                    if value.get("contained").is_some() {
                        self.issues.add("invariant", path, "dom-2: contains nothing itself");
                    }
                    self.contained(value, path, depth + 1);
                }
                _ => validate_resource(value, path, depth + 1, self.issues),
            };
        }
        let Some(members) = value.as_object() else {
            return self.issues.add("structure", path, format!("must be a {}: a JSON object", ty.name));
        };
        self.complex(ty, members, path, depth + 1);
        if let Some(binding) = element.binding()
            && !is_bound(ty.name, members, binding)
        {
            self.issues.add("code-invalid", path, format!("must have a code of {}", binding.url));
        }
        if ty.name == "Reference" {
            self.local.reference(members, element.targets(), path, self.issues);
        }
    }

    fn contained(&mut self, resource: &'v Value, path: &Path<'_>, depth: usize) {
        let meta = |name: &str| resource.get("meta").is_some_and(|meta| meta.get(name).is_some());
        if meta("versionId") || meta("lastUpdated") {
            self.issues.add("invariant", path, "dom-4: has no version and no time of its own");
        }
        if meta("security") {
            self.issues.add("invariant", path, "dom-5: has no security label of its own");
        }
        self.resource(resource, path, depth);
    }

    /// A primitive, with what stands beside its value.
    fn primitive(
        &mut self,
        element: &'static Element,
        primitive: Primitive,
        (value, beside): (Option<&'v Value>, Option<&'v Value>),
        path: &Path<'_>,
        depth: usize,
    ) {
        if element.max <= 1 {
            if let Some(value) = value {
                self.value(element, primitive, value, path);
            }
            if let Some(beside) = beside {
                self.beside(beside, path, depth);
            }
            return;
        }
        const EMPTY: &[Value] = &[];
        let list =
            |value: Option<&'v Value>| value.map_or(Some(EMPTY), |value| value.as_array().map(Vec::as_slice));
        let (Some(values), Some(besides)) = (list(value), list(beside)) else {
            return self.issues.add("structure", path, "may be there several times: must be a JSON array");
        };
        if values.is_empty() && besides.is_empty() || value.is_some() && values.is_empty() {
            self.issues.add("structure", path, "must not be an empty array");
        }
        if value.is_some() && beside.is_some() && values.len() != besides.len() {
            self.issues.add("structure", path, "and what stands beside it must be arrays of one length");
        }
        for index in 0..values.len().max(besides.len()) {
            let place = path.at(index);
            let (value, beside) = (values.get(index), besides.get(index));
            let value = value.filter(|value| !value.is_null() || beside.is_none_or(Value::is_null));
            if let Some(value) = value {
                self.value(element, primitive, value, &place);
            }
            if let Some(beside) = beside.filter(|beside| !beside.is_null()) {
                self.beside(beside, &place, depth);
            }
        }
    }

    fn value(&mut self, element: &'static Element, primitive: Primitive, value: &'v Value, path: &Path<'_>) {
        if !primitive.takes(value) {
            return self.issues.add("value", path, primitive.wanted());
        }
        let Some(text) = value.as_str() else { return };
        if let Some(binding) = element.binding()
            && !binding.holds(text, None)
        {
            self.issues.add("code-invalid", path, format!("must be a code of {}", binding.url));
        }
        if matches!(primitive, Primitive::Canonical | Primitive::Uri | Primitive::Url) {
            self.local.refer(text);
        }
    }

    fn beside(&mut self, beside: &'v Value, path: &Path<'_>, depth: usize) {
        match beside.as_object() {
            Some(members) => self.complex(table::element(), members, path, depth + 1),
            None => self.issues.add("structure", path, "what stands beside a value must be a JSON object"),
        }
    }
}

fn path_of<'a>(parent: &'a Path<'a>, element: &'static Element) -> Path<'a> {
    match element.choice() {
        Some(base) => parent.child(base).of_type(element.ty().name),
        None => parent.child(element.json),
    }
}

/// Whether what must be of a value set is.
fn is_bound(ty: &str, members: &Map<String, Value>, binding: &table::Binding) -> bool {
    let coding = |coding: &Map<String, Value>| {
        let text = |name: &str| coding.get(name).and_then(Value::as_str);
        text("code").is_some_and(|code| binding.holds(code, Some(text("system").unwrap_or_default())))
    };
    match ty {
        "Coding" => coding(members),
        "CodeableConcept" => {
            let codings = members.get("coding").and_then(Value::as_array);
            codings.is_some_and(|codings| codings.iter().filter_map(Value::as_object).any(coding))
        }
        _ => true,
    }
}
