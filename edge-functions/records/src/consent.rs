//! Whether a patient agreed to a visit: on their page, or in words that a clinician heard; and how a visit begins without.

use std::collections::BTreeSet;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::audit::{Action, Purpose};
use kit::consent::{self, TextView};
use kit::context::Context;
use kit::form::{self, Empty, Name};
use kit::ids::{ConsentId, ConsentTextId, EncounterId, OverrideId};
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::emergency::{self, MOST, SHORTEST};
use crate::visit::Visit;

const SUBJECT: &str = "A visit began without consent";
const BODY: &str =
    "Somebody of the staff began a visit in an emergency, without the patient's consent. Please review it.";

/// What was agreed to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Agreed {
    texts: Vec<Named>,
}

/// A text, and what it said: so that nobody agrees to what they have not read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    text: ConsentTextId,
    sha256: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Override {
    reason: Phi<Name>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConsentView {
    /// The call has to wait.
    missing: bool,
    /// What is agreed to: one of each key. Empty: the clinic asks for no consent.
    texts: Vec<TextView>,
    /// In which languages there are texts.
    languages: BTreeSet<String>,
    given: Option<Given>,
    /// When the patient last took it back.
    withdrawn_at: Option<Timestamp>,
    /// When a clinician last began without.
    overridden_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Given {
    at: Timestamp,
    method: String,
    language: String,
    version: i64,
}

/// As many as a clinic has keys.
const MAX_TEXTS: usize = 200;

/// How somebody agrees.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Method {
    Digital,
    Verbal,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Digital => "digital",
            Self::Verbal => "verbal",
        }
    }
}

/// `GET /records/visit/consent`.
pub async fn get_visit_consent(context: &Context<'_>) -> Result<Reply, Problem> {
    let language = language(context)?;
    let visit = Visit::own(context).await?;
    context.audit(Action::ConsentRead, Some(&visit.appointment));
    reply::ok(&view(context, &visit, language.as_deref()).await?)
}

fn language(context: &Context<'_>) -> Result<Option<String>, Problem> {
    let mut query = Query::of(context.request.uri());
    let parse = |text: &str| form::Language::try_from(text.to_owned()).ok();
    let language = query.optional("language", "a language such as en or pt-BR", parse)?;
    query.finish()?;
    Ok(language.map(|language| language.as_str().to_owned()))
}

/// `POST /records/visit/consent`. Agreeing twice is agreeing once.
pub async fn give_consent(context: &Context<'_>) -> Result<Reply, Problem> {
    let agreed: Agreed = form::read(&context.request)?;
    context
        .transaction(async || {
            let visit = Visit::own(context).await?;
            agree(context, &visit, &agreed, (Method::Digital, Action::ConsentGiven)).await
        })
        .await
}

async fn agree(
    context: &Context<'_>,
    visit: &Visit,
    agreed: &Agreed,
    (method, action): (Method, Action),
) -> Result<Reply, Problem> {
    if !(1..=MAX_TEXTS).contains(&agreed.texts.len()) {
        return Err(Problem::invalid("/texts", format!("must be 1 to {MAX_TEXTS}")));
    }
    let texts = consent::offered(context, place(context, visit), None).await?;
    let mut new = false;
    for named in &agreed.texts {
        let found = texts.iter().find(|text| text.id == named.text && text.sha256 == named.sha256);
        let text = found.ok_or_else(|| {
            let title = "This is not the text that is agreed to here by now";
            Problem::new(StatusCode::CONFLICT, "consent-changed", title)
        })?;
        new |= insert(context, visit, text, method).await?;
    }
    context.audit(if new { action } else { Action::ConsentRead }, Some(&visit.appointment));
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    reply::json(status, &view(context, visit, None).await?)
}

/// Where the patient is, as far as anybody knows.
fn place<'v>(context: &'v Context<'_>, visit: &'v Visit) -> Option<&'v str> {
    // Of a member of staff the host knows where they are, and not where the patient is.
    let country = context.country().filter(|_| context.caller.staff.is_none());
    visit.location.as_deref().or(country)
}

/// `POST /records/visit/consent/withdraw`: with effect at the next join.
pub async fn withdraw_consent(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    context
        .transaction(async || {
            let visit = Visit::own(context).await?;
            let sql = "SELECT id, resource FROM consent
                       WHERE clinic = ? AND appointment = ? AND withdrawn_at IS NULL";
            let rows = context.database().query(sql, params![&context.clinic, visit.appointment]).await?;
            for row in &rows {
                let mut resource: Json = serde_json::from_str(&row.text(1)?).map_err(Problem::internal)?;
                resource["status"] = json!("inactive");
                let sql = "UPDATE consent SET withdrawn_at = ?, resource = ? WHERE clinic = ? AND id = ?";
                let id = row.parsed(0, ConsentId::parse)?;
                let values = params![context.now, resource.to_string(), &context.clinic, id];
                context.database().execute(sql, values).await?;
            }
            let action = if rows.is_empty() { Action::ConsentRead } else { Action::ConsentWithdrawn };
            context.audit(action, Some(&visit.appointment));
            reply::ok(&view(context, &visit, None).await?)
        })
        .await
}

/// `GET /records/encounters/{id}/consent`.
pub async fn get_consent(context: &Context<'_>) -> Result<Reply, Problem> {
    let language = language(context)?;
    let (visit, _) = Visit::of(context, context.path_id(EncounterId::parse)?).await?;
    context.audit(Action::ConsentRead, Some(&visit.appointment));
    reply::ok(&view(context, &visit, language.as_deref()).await?)
}

/// `POST /records/encounters/{id}/consent`: a clinician read the texts out, and the patient agreed.
pub async fn attest_consent(context: &Context<'_>) -> Result<Reply, Problem> {
    let agreed: Agreed = form::read(&context.request)?;
    let visit = open_visit(context).await?;
    let work = async || agree(context, &visit, &agreed, (Method::Verbal, Action::ConsentAttested)).await;
    context.transaction(work).await
}

/// `POST /records/encounters/{id}/consent-override`. The privacy officer is written to, and reviews it.
pub async fn override_consent(context: &Context<'_>) -> Result<Reply, Problem> {
    let asked: Override = form::read(&context.request)?;
    if asked.reason.open().as_str().chars().count() < SHORTEST {
        return Err(Problem::invalid("/reason", "must be 10 to 200 characters"));
    }
    let visit = open_visit(context).await?;
    let oversight = context.oversight().await?;
    context
        .transaction(async || {
            let sql = "INSERT INTO consent_override (clinic, id, appointment, user, reason, created_at)
                       SELECT ?1, ?2, ?3, ?4, ?5, ?6
                       WHERE (SELECT count(*) FROM consent_override
                              WHERE clinic = ?1 AND user = ?4 AND created_at > ?7) < ?8";
            let (id, user) = (OverrideId::new(context.now)?, context.staff()?.user);
            let (reason, day) = (asked.reason.open().as_str(), context.now - SignedDuration::from_hours(24));
            let values =
                params![&context.clinic, id, visit.appointment, user, reason, context.now, day, MOST];
            if context.database().execute(sql, values).await? == 0 {
                let title = "Too many visits began in this way today";
                return Err(Problem::new(StatusCode::CONFLICT, "too-many-emergencies", title));
            }
            context.purpose(Purpose::BreakTheGlass);
            context.audit(Action::ConsentOverridden, Some(&visit.appointment));
            emergency::alert(context, &oversight, SUBJECT, BODY).await?;
            reply::json(StatusCode::CREATED, &view(context, &visit, None).await?)
        })
        .await
}

async fn open_visit(context: &Context<'_>) -> Result<Visit, Problem> {
    let (visit, over) = Visit::of(context, context.path_id(EncounterId::parse)?).await?;
    if over { Err(Problem::visit_over()) } else { Ok(visit) }
}

async fn view(context: &Context<'_>, visit: &Visit, language: Option<&str>) -> Result<ConsentView, Problem> {
    let mut texts = consent::offered(context, place(context, visit), language).await?;
    let languages = texts.iter().map(|text| text.language.clone()).collect();
    texts.dedup_by(|text, before| text.key == before.key);
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "SELECT c.given_at, c.method, t.language, t.version FROM consent c
               JOIN consent_text t ON t.clinic = c.clinic AND t.id = c.text
               WHERE c.clinic = ? AND c.appointment = ? AND c.withdrawn_at IS NULL AND t.removed_at IS NULL
               ORDER BY c.given_at DESC, c.id DESC LIMIT 1";
    let rows = database.query(sql, params![clinic, visit.appointment]).await?;
    let given = match rows.first() {
        Some(row) => Some(Given {
            at: row.time(0)?,
            method: row.text(1)?,
            language: row.text(2)?,
            version: row.integer(3)?,
        }),
        None => None,
    };
    let sql = "SELECT
                 (SELECT max(c.withdrawn_at) FROM consent c WHERE c.clinic = ?1 AND c.appointment = ?2),
                 (SELECT max(o.created_at) FROM consent_override o WHERE o.clinic = ?1 AND o.appointment = ?2)";
    let rows = database.query(sql, params![clinic, visit.appointment]).await?;
    let row = rows.first();
    Ok(ConsentView {
        missing: consent::is_missing(context, visit.appointment).await?,
        texts,
        languages,
        given,
        withdrawn_at: row.map(|row| row.time_or_null(0)).transpose()?.flatten(),
        overridden_at: row.map(|row| row.time_or_null(1)).transpose()?.flatten(),
    })
}

/// False: the patient had agreed to this text already.
async fn insert(
    context: &Context<'_>,
    visit: &Visit,
    text: &TextView,
    method: Method,
) -> Result<bool, Problem> {
    let id = ConsentId::new(context.now)?;
    let attested_by = match method {
        Method::Verbal => Some(context.staff()?.user),
        Method::Digital => None,
    };
    let resource = resource(context, visit, text, (id, method));
    let sql = "INSERT INTO consent (clinic, id, appointment, text, method, attested_by, resource, given_at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (
                 SELECT 1 FROM consent c
                 WHERE c.clinic = ?1 AND c.appointment = ?3 AND c.text = ?4 AND c.withdrawn_at IS NULL)";
    let values = params![
        &context.clinic,
        id,
        visit.appointment,
        text.id,
        method.as_str(),
        attested_by,
        resource.to_string(),
        context.now
    ];
    Ok(context.database().execute(sql, values).await? > 0)
}

/// FHIR R4 `Consent`. Which text it was says its hash (RFC 6920).
fn resource(
    context: &Context<'_>,
    visit: &Visit,
    text: &TextView,
    (id, method): (ConsentId, Method),
) -> Json {
    let patient = format!("Patient/{}", visit.patient);
    let mut extension = vec![json!({"url": "urn:locum:consent-method", "valueCode": method.as_str()})];
    let mut resource = json!({
        "resourceType": "Consent", "id": id, "status": "active",
        "scope": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "treatment",
        }]},
        "category": [{"coding": [{
            "system": "http://loinc.org", "code": "59284-0", "display": "Consent Document",
        }]}],
        "patient": {"reference": patient}, "dateTime": context.now,
        "policy": [{"uri": text.uri()}],
        "sourceAttachment": {
            "contentType": "text/plain; charset=UTF-8", "language": text.language, "url": text.uri(),
            "title": format!("{} ({})", text.title, text.version),
        },
        "provision": {"data": [{
            "meaning": "instance", "reference": {"reference": format!("Encounter/{}", visit.encounter)},
        }]},
    });
    if let (Method::Verbal, Some(staff)) = (method, &context.caller.staff) {
        let who = json!({"reference": format!("Practitioner/{}", staff.user)});
        extension.push(json!({"url": "urn:locum:attested-by", "valueReference": who}));
        resource["performer"] = json!([{"reference": patient}]);
        resource["verification"] = json!([{
            "verified": true, "verifiedWith": {"reference": patient}, "verificationDate": context.now,
        }]);
    } else {
        resource["performer"] = json!([{"reference": visit.speaker(context)}]);
    }
    resource["extension"] = Json::Array(extension);
    resource
}
