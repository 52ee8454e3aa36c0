//! A patient, or a guest, opens the link of a visit.

use http::StatusCode;
use http::header::SET_COOKIE;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::{Context, Visitor};
use kit::database::{DatabaseError, Row};
use kit::fhir::AppointmentStatus;
use kit::form::{self, Day, SecretText};
use kit::ids::{AppointmentId, GuestId};
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use kit::sessions;
use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::link_proof::{self, Given};
use crate::settings::{ProofBy, Settings};
use crate::throttle;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: SecretText,
}

/// With one of what shows who opens it, where the clinic asks for that.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Link {
    token: SecretText,
    #[serde(default)]
    birth_date: Option<Phi<Day>>,
    #[serde(default)]
    code: Option<Code>,
}

#[derive(Serialize)]
struct Accepted {}

#[derive(Serialize)]
struct Opened {
    appointment: AppointmentView,
    /// A guest's role; `None`: it is the patient.
    guest: Option<String>,
}

#[derive(Serialize)]
struct AppointmentView {
    id: AppointmentId,
    start: Timestamp,
    end: Timestamp,
    status: AppointmentStatus,
}

/// What a link leads to.
struct Found {
    appointment: AppointmentView,
    guest: Option<Guest>,
    /// When the patient was born.
    born: Phi<String>,
}

struct Guest {
    id: GuestId,
    role: String,
    removed: bool,
}

/// `POST /auth/visit-sessions`. The link works until the visit is over, for a person may change the device, or until it
/// is taken back.
pub async fn create_visit_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let link: Link = form::read(&context.request)?;
    let Found { appointment, guest, born } = open(context, &link.token).await?;
    if guest.is_none()
        && let Some(by) = link_proof::asked(context, appointment.id).await?
    {
        let given = match (&link.birth_date, &link.code) {
            (Some(date), _) => Given::BirthDate(date.open().0.to_string()),
            (None, Some(code)) => Given::Code(code),
            (None, None) => Given::Nothing,
        };
        link_proof::check(context, appointment.id, (by, born.open()), given).await?;
    }
    let visitor = Visitor { guest: guest.as_ref().map(|guest| guest.id), ..Visitor::patient(appointment.id) };
    let cookie = context
        .transaction(async || {
            context.audit(Action::LinkUsed, Some(&appointment.id));
            sessions::begin_visit(context, visitor).await
        })
        .await?;
    let mut reply =
        reply::json(StatusCode::CREATED, &Opened { appointment, guest: guest.map(|guest| guest.role) })?;
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

/// `POST /auth/visit-codes`: to the address of whoever booked, where the clinic asks for a code.
pub(crate) async fn create_visit_code(context: &Context<'_>) -> Result<Reply, Problem> {
    let link: Token = form::read(&context.request)?;
    let Found { appointment, guest, .. } = open(context, &link.token).await?;
    let by_code = Settings::of(context).await?.link_proof_by == ProofBy::Code;
    if guest.is_some() || !by_code {
        let title = "This link is not opened with a code";
        return Err(Problem::new(StatusCode::CONFLICT, "no-code", title));
    }
    context.transaction(async || link_proof::send(context, appointment.id).await).await?;
    reply::json(StatusCode::ACCEPTED, &Accepted {})
}

/// `POST /auth/patient/visits/{id}/session`: from an account, without the link.
pub(crate) async fn create_own_visit_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let form::Empty {} = form::read(&context.request)?;
    let (person, id) = (context.person()?, context.path_id(AppointmentId::parse)?);
    let sql = "SELECT a.id, a.start_at, a.end_at, a.status
               FROM patient_account c
               JOIN patient p ON p.clinic = c.clinic AND lower(p.email) = c.email AND p.birth_date = c.birth_date
               JOIN appointment a ON a.clinic = p.clinic AND a.patient = p.id
               WHERE c.clinic = ? AND c.id = ? AND a.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, person.account, id]).await?;
    let appointment = read(rows.first().ok_or_else(|| Problem::not_found("No such visit of yours"))?)?;
    if appointment.status.is_over() {
        return Err(Problem::visit_over());
    }
    let proxy = person.proxy.as_ref().map(|proxy| proxy.id);
    let cookie = context
        .transaction(async || {
            context.audit(Action::VisitOpened, Some(&id));
            sessions::begin_visit(context, Visitor { proxy, ..Visitor::patient(id) }).await
        })
        .await?;
    let mut reply = reply::json(StatusCode::CREATED, &Opened { appointment, guest: None })?;
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

/// What the link leads to, if it works.
async fn open(context: &Context<'_>, token: &SecretText) -> Result<Found, Problem> {
    throttle::check(context).await?;
    let Some(found) = find(context, &Secret::presented(token.as_str())).await? else {
        context.audit(Action::LinkRefused, None);
        throttle::failed(context).await?;
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-link", "This link is not known"));
    };
    let refusal = if found.appointment.status.is_over() {
        Problem::visit_over()
    } else if found.guest.as_ref().is_some_and(|guest| guest.removed) {
        Problem::link_withdrawn()
    } else {
        return Ok(found);
    };
    context.audit(Action::LinkRefused, Some(&found.appointment.id));
    Err(refusal)
}

async fn find(context: &Context<'_>, token: &Secret) -> Result<Option<Found>, Problem> {
    let rows = context
        .database()
        .query(
            "SELECT a.id, a.start_at, a.end_at, a.status, NULL, NULL, NULL, p.birth_date
             FROM invitation i JOIN appointment a ON a.clinic = i.clinic AND a.id = i.appointment
             JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient
             WHERE i.clinic = ?1 AND i.token_hash = ?2
             UNION ALL
             SELECT a.id, a.start_at, a.end_at, a.status, g.id, g.role, g.removed_at, ''
             FROM guest g JOIN appointment a ON a.clinic = g.clinic AND a.id = g.appointment
             WHERE g.clinic = ?1 AND g.token_hash = ?2",
            params![&context.clinic, token.hash()],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let guest = match row.text_or_null(5)? {
        Some(role) => {
            Some(Guest { id: row.parsed(4, GuestId::parse)?, role, removed: row.time_or_null(6)?.is_some() })
        }
        None => None,
    };
    Ok(Some(Found { appointment: read(row)?, guest, born: Phi::new(row.text(7)?) }))
}

fn read(row: &Row) -> Result<AppointmentView, DatabaseError> {
    Ok(AppointmentView {
        id: row.parsed(0, AppointmentId::parse)?,
        start: row.time(1)?,
        end: row.time(2)?,
        status: row.parsed(3, AppointmentStatus::parse)?,
    })
}
