//! Of people, visits, questions and bundles.

use serde_json::Value;

use super::{Members, exists, has, list, text};

pub(super) fn check(name: &str, of: &Members, refuse: &mut dyn FnMut(bool, &str, &str)) {
    match name {
        "Patient.contact" => {
            let some = ["name", "telecom", "address", "organization"].iter().any(|part| has(of, part));
            refuse(some, "pat-1", "has details of somebody, or an organization");
        }
        "Organization" => {
            refuse(has(of, "identifier") || exists(of, "name"), "org-1", "has a name or an identifier");
            let home = |part: &Value| part.get("use").and_then(Value::as_str) == Some("home");
            refuse(!list(of, "address").iter().any(home), "org-2", "an organization has no home");
            refuse(!list(of, "telecom").iter().any(home), "org-3", "an organization has no home");
        }
        "Appointment" => {
            let (start, end) = (exists(of, "start"), exists(of, "end"));
            let status = text(of, "status").unwrap_or_default();
            refuse(start == end, "app-2", "has a start and an end, or neither");
            let open = matches!(status, "proposed" | "cancelled" | "waitlist");
            refuse((start && end) || open, "app-3", "only what is proposed, cancelled or waits has no time");
            let off = matches!(status, "noshow" | "cancelled");
            refuse(
                !has(of, "cancelationReason") || off,
                "app-4",
                "only what was called off has a reason for it",
            );
        }
        "Appointment.participant" => {
            refuse(has(of, "type") || has(of, "actor"), "app-1", "has a type or an actor")
        }
        "AuditEvent.entity" => {
            refuse(!has(of, "name") || !has(of, "query"), "sev-1", "has a name or a query")
        }
        "Consent" => {
            refuse(has(of, "policy") || has(of, "policyRule"), "ppc-1", "has a policy or a rule of one");
        }
        "Questionnaire" => {
            let mut ids = Vec::new();
            link_ids(list(of, "item"), &mut ids);
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            refuse(ids.len() == count, "que-2", "no two items have one linkId");
        }
        "Questionnaire.item" => item(of, refuse),
        "Questionnaire.item.enableWhen" => {
            let boolean = text(of, "operator") != Some("exists") || has(of, "answerBoolean");
            refuse(boolean, "que-7", "whether something exists is true or false");
        }
        "QuestionnaireResponse.item" => {
            refuse(!has(of, "answer") || !has(of, "item"), "qrs-1", "has answers or items");
        }
        "Bundle" => bundle(of, refuse),
        "Bundle.entry" => {
            let some = ["resource", "request", "response"].iter().any(|part| has(of, part));
            refuse(some, "bdl-5", "has a resource, a request or a response");
            let versioned = text(of, "fullUrl").is_some_and(|url| url.contains("/_history/"));
            refuse(!versioned, "bdl-8", "the fullUrl has no version");
        }
        _ => {}
    }
}

fn link_ids<'v>(items: &'v [Value], found: &mut Vec<&'v str>) {
    for item in items.iter().filter_map(Value::as_object) {
        found.extend(text(item, "linkId"));
        link_ids(list(item, "item"), found);
    }
}

fn item(of: &Members, refuse: &mut dyn FnMut(bool, &str, &str)) {
    let kind = text(of, "type").unwrap_or_default();
    let display = kind == "display";
    refuse(kind != "group" || has(of, "item"), "que-1", "a group has items");
    refuse(!display || !has(of, "item"), "que-1", "what is only shown has no items");
    refuse(!display || !has(of, "code"), "que-3", "what is only shown has no code");
    let answers = (has(of, "answerOption"), has(of, "answerValueSet"));
    refuse(answers != (true, true), "que-4", "has answerOption or answerValueSet");
    let chosen = matches!(
        kind,
        "choice"
            | "open-choice"
            | "decimal"
            | "integer"
            | "date"
            | "dateTime"
            | "time"
            | "string"
            | "quantity"
    );
    refuse(chosen || answers == (false, false), "que-5", "answers of this type are not chosen");
    refuse(
        !display || !(has(of, "required") || has(of, "repeats")),
        "que-6",
        "what is only shown has no answer",
    );
    refuse(!(display || kind == "group") || !has(of, "initial"), "que-8", "has no answer to begin with");
    refuse(!display || !has(of, "readOnly"), "que-9", "what is only shown is not filled in");
    let long = matches!(kind, "boolean" | "decimal" | "integer" | "string" | "text" | "url" | "open-choice");
    refuse(long || !has(of, "maxLength"), "que-10", "answers of this type have no length");
    refuse(
        !has(of, "answerOption") || !has(of, "initial"),
        "que-11",
        "says in its options what to begin with",
    );
    let several = list(of, "enableWhen").len() > 1;
    refuse(!several || has(of, "enableBehavior"), "que-12", "says whether all conditions or any must hold");
    let repeats = of.get("repeats").and_then(Value::as_bool) == Some(true);
    refuse(repeats || list(of, "initial").len() <= 1, "que-13", "begins with one answer unless it repeats");
}

fn bundle(of: &Members, refuse: &mut dyn FnMut(bool, &str, &str)) {
    let kind = text(of, "type").unwrap_or_default();
    let entries = list(of, "entry");
    let any = |name: &str| entries.iter().any(|entry| entry.get(name).is_some());
    let all = |name: &str| entries.iter().all(|entry| entry.get(name).is_some());
    let found = matches!(kind, "searchset" | "history");
    refuse(found || !has(of, "total"), "bdl-1", "only what was searched for has a total");
    refuse(
        kind == "searchset" || !any("search"),
        "bdl-2",
        "only what was searched for says how it was found",
    );
    let asks = matches!(kind, "batch" | "transaction" | "history");
    refuse(
        if asks { all("request") } else { !any("request") },
        "bdl-3",
        "batch, transaction and history have requests",
    );
    let answers = matches!(kind, "batch-response" | "transaction-response" | "history");
    refuse(
        if answers { all("response") } else { !any("response") },
        "bdl-4",
        "answers and history have responses",
    );
    if kind != "history" {
        let url = |entry: &Value| {
            let version =
                entry.pointer("/resource/meta/versionId").and_then(Value::as_str).unwrap_or_default();
            entry.get("fullUrl").and_then(Value::as_str).map(|url| format!("{url} {version}"))
        };
        let mut urls: Vec<String> = entries.iter().filter_map(url).collect();
        let count = urls.len();
        urls.sort_unstable();
        urls.dedup();
        refuse(urls.len() == count, "bdl-7", "no two entries are of one thing");
    }
    let first = |name: &str| {
        entries.first().and_then(|entry| entry.pointer("/resource/resourceType")).and_then(Value::as_str)
            == Some(name)
    };
    if kind == "document" {
        let identifier = of.get("identifier").and_then(Value::as_object);
        let named = identifier.is_some_and(|one| has(one, "system") && has(one, "value"));
        refuse(named, "bdl-9", "a document has an identifier");
        refuse(has(of, "timestamp"), "bdl-10", "a document has a time");
        refuse(first("Composition"), "bdl-11", "a document begins with its composition");
    }
    refuse(kind != "message" || first("MessageHeader"), "bdl-12", "a message begins with its header");
}
