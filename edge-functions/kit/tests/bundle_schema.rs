//! The schema of a clinic's bundle that is published on its own is the one of docs/openapi.yaml.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::path::PathBuf;

use serde_json::{Map, Value as Json};

fn project_file(name: &str) -> String {
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// With every reference replaced by what it means.
fn expanded(schema: &Json, schemas: &Json) -> Json {
    match schema {
        Json::Object(members) => {
            let mut whole = Map::new();
            if let Some(reference) = members.get("$ref").and_then(Json::as_str) {
                let name = reference.strip_prefix("#/components/schemas/").unwrap();
                whole.extend(expanded(&schemas[name], schemas).as_object().unwrap().clone());
            }
            let own = members.iter().filter(|(name, _)| *name != "$ref");
            whole.extend(own.map(|(name, value)| (name.clone(), expanded(value, schemas))));
            Json::Object(whole)
        }
        Json::Array(items) => items.iter().map(|item| expanded(item, schemas)).collect(),
        other => other.clone(),
    }
}

#[test]
fn both_documents_say_the_same() {
    let openapi: Json = serde_saphyr::from_str(&project_file("docs/openapi.yaml")).unwrap();
    let published: Json = serde_json::from_str(&project_file("docs/clinic-bundle.schema.json")).unwrap();
    let schemas = &openapi["components"]["schemas"];
    let mut wanted = expanded(&schemas["SetUpBundle"], schemas);
    for own in ["$schema", "title", "description"] {
        assert!(published[own].is_string(), "{own}");
        wanted[own] = published[own].clone();
    }
    assert_eq!(published, wanted, "docs/clinic-bundle.schema.json should be:\n{wanted:#}");
}
