//! A patient, or a guest, opens the link of a visit.

use http::StatusCode;
use http::header::SET_COOKIE;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::{Context, Visitor};
use kit::fhir::AppointmentStatus;
use kit::form::{self, SecretText};
use kit::ids::{AppointmentId, GuestId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use kit::sessions;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    token: SecretText,
}

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
    let Some(Found { appointment, guest }) = find(context, &Secret::presented(link.token.as_str())).await?
    else {
        context.audit(Action::LinkRefused, None);
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-link", "This link is not known"));
    };
    if appointment.status.is_over() {
        context.audit(Action::LinkRefused, Some(&appointment.id));
        return Err(Problem::visit_over());
    }
    if guest.as_ref().is_some_and(|guest| guest.removed) {
        context.audit(Action::LinkRefused, Some(&appointment.id));
        return Err(Problem::link_withdrawn());
    }
    let visitor = Visitor { appointment: appointment.id, guest: guest.as_ref().map(|guest| guest.id) };
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

async fn find(context: &Context<'_>, token: &Secret) -> Result<Option<Found>, Problem> {
    let rows = context
        .database()
        .query(
            "SELECT a.id, a.start_at, a.end_at, a.status, NULL, NULL, NULL
             FROM invitation i JOIN appointment a ON a.clinic = i.clinic AND a.id = i.appointment
             WHERE i.clinic = ?1 AND i.token_hash = ?2
             UNION ALL
             SELECT a.id, a.start_at, a.end_at, a.status, g.id, g.role, g.removed_at
             FROM guest g JOIN appointment a ON a.clinic = g.clinic AND a.id = g.appointment
             WHERE g.clinic = ?1 AND g.token_hash = ?2",
            params![&context.clinic, token.hash()],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let appointment = AppointmentView {
        id: row.parsed(0, AppointmentId::parse)?,
        start: row.time(1)?,
        end: row.time(2)?,
        status: row.parsed(3, AppointmentStatus::parse)?,
    };
    let guest = match row.text_or_null(5)? {
        Some(role) => {
            Some(Guest { id: row.parsed(4, GuestId::parse)?, role, removed: row.time_or_null(6)?.is_some() })
        }
        None => None,
    };
    Ok(Some(Found { appointment, guest }))
}
