//! What patients are asked before a visit, and what they answer: FHIR R4 `Questionnaire` and `QuestionnaireResponse`.

use http::StatusCode;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::database::Row;
use kit::form;
use kit::ids::{EncounterId, QuestionnaireId, ResponseId};
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::questionnaire::{self, Filled, FilledStatus, Stored};
use kit::reply::{self, Reply};
use kit::secret;
use serde::Serialize;
use serde_json::{Value as Json, json};

use crate::precondition::IfMatch;
use crate::visit::Visit;

/// The version of what was not written yet.
const NEW: &str = "new";

/// Made to be answered: what stands in it is open.
#[derive(Serialize)]
struct VisitIntake {
    /// `None`: nothing is asked.
    questionnaire: Option<Json>,
    /// Its name, as answers give it.
    canonical: Option<String>,
    /// Nobody enters the waiting room before it is answered.
    required: bool,
    /// The patient was let in: it stays as it is.
    closed: bool,
    response: Option<Json>,
}

#[derive(Serialize)]
struct Intake {
    questionnaire: Option<Json>,
    response: Option<Json>,
    /// What the same person answered last, if they did.
    previous: Option<Previous>,
}

#[derive(Serialize)]
struct Previous {
    start: Timestamp,
    questionnaire: Json,
    response: Json,
}

/// What is kept of the answers.
struct Kept {
    version: String,
    resource: Option<Json>,
}

/// `GET /records/visit/intake`. The entity tag is the version of the answers.
pub async fn get_visit_intake(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let visit = Visit::own(context).await?;
    let asked = questionnaire::for_visit(context, visit.appointment).await?;
    let kept = kept(context, &visit).await?;
    context.audit(Action::IntakeRead, Some(&visit.appointment));
    answer(&visit, asked.as_ref(), kept)
}

fn answer(visit: &Visit, asked: Option<&Stored>, kept: Kept) -> Result<Reply, Problem> {
    let view = VisitIntake {
        questionnaire: asked.map(|asked| asked.questionnaire.raw().clone()),
        canonical: asked.map(Stored::canonical),
        required: asked.is_some_and(|asked| asked.required),
        closed: visit.admitted,
        response: kept.resource,
    };
    reply::with_etag(reply::ok(&view)?, &kept.version)
}

/// `PUT /records/visit/intake`: some of the answers, or all of them.
pub async fn put_visit_intake(context: &Context<'_>) -> Result<Reply, Problem> {
    let seen = IfMatch::of(context.request.headers())?;
    let filled: Filled = form::read(&context.request)?;
    context
        .transaction(async || {
            let visit = Visit::own(context).await?;
            if visit.admitted {
                let title = "The visit has begun: what was answered stays as it is";
                return Err(Problem::new(StatusCode::CONFLICT, "intake-closed", title));
            }
            let asked = questionnaire::for_visit(context, visit.appointment).await?;
            let asked = asked.ok_or_else(|| Problem::not_found("Nothing is asked before this visit"))?;
            if filled.questionnaire != asked.canonical() {
                let title = "Something else is asked by now";
                return Err(Problem::new(StatusCode::CONFLICT, "questionnaire-changed", title));
            }
            let complete = filled.status == FilledStatus::Completed;
            let outcome = asked.questionnaire.look_at(&filled.item, complete);
            if !outcome.mistakes.is_empty() {
                return Err(questionnaire::refusal(&outcome.mistakes));
            }
            let kept = write(context, &visit, &asked, (complete, outcome.item), &seen).await?;
            let action = if complete { Action::IntakeCompleted } else { Action::IntakeSaved };
            context.audit(action, Some(&visit.appointment));
            answer(&visit, Some(&asked), kept)
        })
        .await
}

async fn write(
    context: &Context<'_>,
    visit: &Visit,
    asked: &Stored,
    (complete, item): (bool, Vec<Json>),
    seen: &IfMatch,
) -> Result<Kept, Problem> {
    let before = kept(context, visit).await?;
    let changed = || {
        let title = "The answers were changed since you read them";
        Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", title)
    };
    if !seen.holds_for(&before.version) {
        return Err(changed());
    }
    let id = match before.resource.as_ref().and_then(|resource| resource["id"].as_str()) {
        Some(id) => id.to_owned(),
        None => ResponseId::new(context.now)?.to_string(),
    };
    let status = if complete { "completed" } else { "in-progress" };
    let resource = resource(context, visit, asked, (&id, status, item));
    let version = secret::random_name()?;
    // The version once more in the condition, where no transaction surrounds both.
    let sql = "INSERT INTO questionnaire_response
                 (clinic, id, appointment, questionnaire, status, version, resource, authored_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
               ON CONFLICT (clinic, appointment) DO UPDATE
               SET status = ?5, version = ?6, resource = ?7, authored_at = ?8 WHERE version = ?9";
    let questionnaire: QuestionnaireId = asked.id;
    let values = params![
        &context.clinic,
        id,
        visit.appointment,
        questionnaire,
        status,
        version.as_str(),
        resource.to_string(),
        context.now,
        before.version
    ];
    match context.database().execute(sql, values).await? {
        0 => Err(changed()),
        _ => Ok(Kept { version, resource: Some(resource) }),
    }
}

fn resource(
    context: &Context<'_>,
    visit: &Visit,
    asked: &Stored,
    (id, status, item): (&str, &str, Vec<Json>),
) -> Json {
    let mut resource = json!({
        "resourceType": "QuestionnaireResponse", "id": id, "questionnaire": asked.canonical(),
        "status": status, "subject": {"reference": format!("Patient/{}", visit.patient)},
        "encounter": {"reference": format!("Encounter/{}", visit.encounter)},
        "authored": context.now, "source": {"reference": visit.speaker(context)},
    });
    // FHIR has no empty lists.
    if !item.is_empty() {
        resource["item"] = Json::Array(item);
    }
    resource
}

async fn kept(context: &Context<'_>, visit: &Visit) -> Result<Kept, Problem> {
    let sql = "SELECT version, resource FROM questionnaire_response WHERE clinic = ? AND appointment = ?";
    let rows = context.database().query(sql, params![&context.clinic, visit.appointment]).await?;
    let Some(row) = rows.first() else { return Ok(Kept { version: NEW.to_owned(), resource: None }) };
    Ok(Kept { version: row.text(0)?, resource: Some(json_of(row, 1)?) })
}

fn json_of(row: &Row, column: usize) -> Result<Json, Problem> {
    serde_json::from_str(&row.text(column)?).map_err(Problem::internal)
}

/// `GET /records/encounters/{id}/intake`.
pub async fn get_intake(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let (visit, _) = Visit::of(context, context.path_id(EncounterId::parse)?).await?;
    let asked = questionnaire::for_visit(context, visit.appointment).await?;
    let kept = kept(context, &visit).await?;
    let previous = previous(context, &visit).await?;
    context.audit(Action::IntakeRead, Some(&visit.appointment));
    let questionnaire = asked.map(|asked| asked.questionnaire.raw().clone());
    reply::ok(&Intake { questionnaire, response: kept.resource, previous })
}

/// Of the same person: address, date of birth and name are the same. Twins have one address and one birthday.
async fn previous(context: &Context<'_>, visit: &Visit) -> Result<Option<Previous>, Problem> {
    let sql = "SELECT b.start_at, q.content, r.resource FROM appointment a
               JOIN patient t ON t.clinic = a.clinic AND t.id = a.patient
               JOIN patient s ON s.clinic = t.clinic AND lower(s.email) = lower(t.email)
                 AND s.birth_date = t.birth_date AND lower(s.name) = lower(t.name)
               JOIN appointment b ON b.clinic = s.clinic AND b.patient = s.id AND b.start_at < a.start_at
               JOIN questionnaire_response r ON r.clinic = b.clinic AND r.appointment = b.id
                 AND r.status = 'completed'
               JOIN questionnaire q ON q.clinic = r.clinic AND q.id = r.questionnaire
               WHERE a.clinic = ? AND a.id = ? AND b.status <> 'cancelled'
               ORDER BY b.start_at DESC LIMIT 1";
    let rows = context.database().query(sql, params![&context.clinic, visit.appointment]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Previous { start: row.time(0)?, questionnaire: json_of(row, 1)?, response: json_of(row, 2)? }))
}
