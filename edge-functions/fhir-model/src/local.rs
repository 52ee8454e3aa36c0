//! References: to what a resource contains, and to resources by their type.

use serde_json::{Map, Value};

use crate::path::Path;
use crate::primitive;
use crate::table;
use crate::validation::Issues;

/// What a resource contains, and what it refers to of that.
pub(crate) struct Local<'v> {
    contained: Vec<&'v str>,
    referred: Vec<&'v str>,
}

impl<'v> Local<'v> {
    pub(crate) fn of(resource: &'v Value) -> Self {
        let contained = resource.get("contained").and_then(Value::as_array);
        let ids = contained.into_iter().flatten();
        let contained = ids.filter_map(|one| one.get("id").and_then(Value::as_str)).collect();
        Self { contained, referred: Vec::new() }
    }

    /// Notes a URI that may lead to what is contained.
    pub(crate) fn refer(&mut self, uri: &'v str) {
        if let Some(id) = uri.strip_prefix('#') {
            self.referred.push(id);
        }
    }

    pub(crate) fn reference(
        &mut self,
        members: &'v Map<String, Value>,
        targets: &[&str],
        path: &Path<'_>,
        issues: &mut Issues,
    ) {
        let Some(text) = members.get("reference").and_then(Value::as_str) else { return };
        let place = path.child("reference");
        if let Some(id) = text.strip_prefix('#') {
            self.referred.push(id);
            // `#` alone is the resource that contains this one.
            if !id.is_empty() && !self.contained.contains(&id) {
                issues.add("invariant", &place, "ref-1: leads to something that is contained");
            }
            return;
        }
        if text.contains(':') || text.contains('?') {
            return;
        }
        let mut parts = text.split('/');
        let (name, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let version = match (parts.next(), parts.next()) {
            (None, _) => true,
            (Some("_history"), Some(version)) => primitive::is_id(version),
            _ => false,
        };
        if !table::is_resource(name) || !primitive::is_id(id) || !version || parts.next().is_some() {
            return issues.add("value", &place, "must be Type/id, a URL, a URN or #id");
        }
        if !targets.is_empty() && !targets.contains(&name) {
            issues.add("value", &place, format!("may lead to: {}", targets.join(", ")));
        }
    }

    /// What is contained is there because something refers to it, or it refers to what contains it.
    pub(crate) fn finish(&self, path: &Path<'_>, issues: &mut Issues) {
        if self.referred.contains(&"") {
            return;
        }
        for (index, id) in self.contained.iter().enumerate() {
            if !self.referred.contains(id) {
                issues.add(
                    "invariant",
                    &path.child("contained").at(index),
                    "dom-3: something must refer to it",
                );
            }
        }
    }
}
