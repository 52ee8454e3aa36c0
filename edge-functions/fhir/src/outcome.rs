//! Answers as FHIR has them: resources with their versions, and what went wrong as an `OperationOutcome`.

use fhir_model::Issue;
use http::header::{ETAG, HeaderValue, LAST_MODIFIED};
use http::{StatusCode, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde_json::{Value as Json, json};

use crate::source::Found;

const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json");

/// `value` as FHIR's JSON.
pub(crate) fn json(status: StatusCode, value: &Json) -> Result<Reply, Problem> {
    let mut reply = reply::json(status, value)?;
    reply.headers_mut().insert(header::CONTENT_TYPE, FHIR_JSON);
    Ok(reply)
}

/// A resource with its version.
pub(crate) fn resource(status: StatusCode, found: &Found) -> Result<Reply, Problem> {
    let mut reply = json(status, &found.content)?;
    mark(&mut reply, found)?;
    Ok(reply)
}

/// Says which version it is, and since when.
pub(crate) fn mark(reply: &mut Reply, found: &Found) -> Result<(), Problem> {
    if let Some(version) = found.version {
        let tag = HeaderValue::from_str(&format!("W/\"{version}\"")).map_err(Problem::internal)?;
        reply.headers_mut().insert(ETAG, tag);
    }
    if let Some(date) = found.updated.and_then(http_date) {
        reply.headers_mut().insert(LAST_MODIFIED, date);
    }
    Ok(())
}

fn http_date(at: Timestamp) -> Option<HeaderValue> {
    let text = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()?;
    HeaderValue::from_str(&text).ok()
}

fn issue(code: &str, diagnostics: &str, expression: Option<&str>) -> Json {
    let mut issue = json!({"severity": "error", "code": code, "diagnostics": diagnostics});
    if let Some(expression) = expression {
        issue["expression"] = json!([expression]);
    }
    issue
}

/// A resource that is not valid.
pub(crate) fn invalid(issues: &[Issue]) -> Problem {
    let list: Vec<Json> =
        issues.iter().map(|one| issue(one.code, &one.diagnostics, Some(&one.expression))).collect();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-resource", "The resource is not valid")
        .member("issue", Json::Array(list))
}

/// One element that is not as it must be.
pub(crate) fn wrong(code: &'static str, expression: &str, diagnostics: &str) -> Problem {
    let issues = [Issue { code, expression: expression.to_owned(), diagnostics: diagnostics.to_owned() }];
    invalid(&issues)
}

/// A search that cannot be made.
pub(crate) fn bad_search(diagnostics: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-search", "The search cannot be made").detail(diagnostics)
}

fn code_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "login",
        403 => "forbidden",
        404 => "not-found",
        405 | 406 | 415 => "not-supported",
        409 | 412 => "conflict",
        410 => "deleted",
        413 => "too-long",
        422 => "processing",
        429 => "throttled",
        500 => "exception",
        503 => "transient",
        _ => "invalid",
    }
}

/// The outcome that says what a problem is.
pub(crate) fn of(problem: &Problem) -> Json {
    let kind = json!({"coding": [{"system": "urn:locum:problem", "code": problem.slug()}]});
    let mut issues = match problem.get("issue") {
        Some(issues) => issues.clone(),
        None => {
            let (title, detail) = problem.text();
            let text = detail.map_or(title.to_owned(), |detail| format!("{title}: {detail}"));
            json!([issue(code_of(problem.status()), &text, None)])
        }
    };
    for issue in issues.as_array_mut().into_iter().flatten() {
        issue["details"] = kind.clone();
    }
    json!({"resourceType": "OperationOutcome", "issue": issues})
}

/// The answer to what went wrong.
pub(crate) fn refusal(problem: Problem) -> Reply {
    let body = of(&problem).to_string().into_bytes();
    problem.into_reply_as(FHIR_JSON, body)
}

/// Whether `resource` is valid and of that type: with 200 either way.
pub(crate) fn verdict(kind: &str, resource: &Json) -> Result<Reply, Problem> {
    if resource["resourceType"] != kind {
        let problem = wrong("invalid", "resourceType", "is not the type in the path");
        return json(StatusCode::OK, &of(&problem));
    }
    let issues = fhir_model::validate(resource);
    if issues.is_empty() {
        let fine = json!([{"severity": "information", "code": "informational", "diagnostics": "The resource is valid"}]);
        return json(StatusCode::OK, &json!({"resourceType": "OperationOutcome", "issue": fine}));
    }
    json(StatusCode::OK, &of(&invalid(&issues)))
}
