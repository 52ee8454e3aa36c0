//! What this server can do (<http://hl7.org/fhir/R4/capabilitystatement.html>), of the same tables that decide what it does.

use http::StatusCode;
use kit::audit::Action;
use kit::context::Context;
use kit::policy::RESOURCES;
use kit::problem::Problem;
use kit::reply::Reply;
use serde_json::{Value as Json, json};

use crate::outcome;
use crate::projection::Column;
use crate::search::base;
use crate::source::{self, Source};

/// `GET /fhir/R4/metadata`.
pub(crate) async fn get(context: &Context<'_>) -> Result<Reply, Problem> {
    context.audit(Action::CapabilitiesRead, None);
    outcome::json(StatusCode::OK, &statement(&base(context)))
}

fn statement(base: &str) -> Json {
    let resources: Vec<Json> =
        RESOURCES.iter().filter_map(|rule| source::find(rule.resource)).map(resource).collect();
    let service = json!([{"coding": [{
        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR",
    }]}]);
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        // When what stands here was last changed.
        "date": "2026-11-30",
        "kind": "instance",
        "software": {"name": "Locum", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": "A clinic's records", "url": base},
        "fhirVersion": fhir_model::VERSION,
        "format": ["application/fhir+json", "json"],
        "rest": [{
            "mode": "server",
            "security": {"cors": true, "service": service},
            "resource": resources,
            "interaction": [{"code": "batch"}, {"code": "transaction"}],
        }],
    })
}

fn resource(source: &'static Source) -> Json {
    let reads = ["read", "search-type"];
    let writes = ["vread", "history-instance", "create", "update", "delete"];
    let interactions = reads.iter().chain(writes.iter().filter(|_| source.is_stored()));
    let interactions: Vec<Json> = interactions.map(|code| json!({"code": code})).collect();
    let mut resource = json!({
        "type": source.kind,
        "interaction": interactions,
        "versioning": if source.is_stored() { "versioned-update" } else { "no-version" },
        "searchParam": parameters(source),
        "operation": [{"name": "validate", "definition": "http://hl7.org/fhir/OperationDefinition/Resource-validate"}],
    });
    if source.is_stored() {
        resource["readHistory"] = true.into();
        resource["updateCreate"] = true.into();
        resource["conditionalCreate"] = true.into();
        resource["conditionalUpdate"] = true.into();
        let includes = fhir_model::search::parameters(source.kind).iter();
        let includes = includes.filter(|parameter| parameter.kind == fhir_model::search::Kind::Reference);
        resource["searchInclude"] =
            includes.map(|parameter| json!(format!("{}:{}", source.kind, parameter.name))).collect();
    }
    if source.kind == "Patient" {
        let definition = "http://hl7.org/fhir/OperationDefinition/Patient-everything";
        let everything = json!({"name": "everything", "definition": definition});
        if let Some(operations) = resource["operation"].as_array_mut() {
            operations.push(everything);
        }
    }
    resource
}

fn parameters(source: &'static Source) -> Vec<Json> {
    let mut all =
        vec![json!({"name": "_id", "type": "token"}), json!({"name": "_lastUpdated", "type": "date"})];
    if source.is_stored() {
        all.extend(fhir_model::search::parameters(source.kind).iter().map(|parameter| {
            json!({"name": parameter.name, "definition": parameter.url, "type": parameter.kind.as_str()})
        }));
    }
    all.extend(source.parameters.iter().map(|(name, column)| {
        let kind = match column {
            Column::Text(_) => "string",
            Column::Code(..) => "token",
            Column::Time(..) | Column::Day(_) => "date",
            Column::Id(..) => "reference",
        };
        json!({"name": name, "type": kind})
    }));
    all
}
