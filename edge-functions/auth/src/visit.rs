//! A patient opens the link of an invitation.

use http::StatusCode;
use http::header::SET_COOKIE;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::form::{self, SecretText};
use kit::ids::AppointmentId;
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
}

#[derive(Serialize)]
struct AppointmentView {
    id: AppointmentId,
    start: Timestamp,
    end: Timestamp,
    status: AppointmentStatus,
}

/// `POST /auth/visit-sessions`. The link works until the visit is over, for a patient may change the device.
pub async fn create_visit_session(context: &Context<'_>) -> Result<Reply, Problem> {
    let link: Link = form::read(&context.request)?;
    let Some(appointment) = find(context, &Secret::presented(link.token.as_str())).await? else {
        context.audit(Action::LinkRefused, None);
        return Err(Problem::new(StatusCode::NOT_FOUND, "unknown-link", "This link is not known"));
    };
    if appointment.status.is_over() {
        context.audit(Action::LinkRefused, Some(&appointment.id));
        return Err(Problem::visit_over());
    }
    let cookie = context
        .transaction(async || {
            context.audit(Action::LinkUsed, Some(&appointment.id));
            sessions::begin_visit(context, appointment.id).await
        })
        .await?;
    let mut reply = reply::json(StatusCode::CREATED, &Opened { appointment })?;
    reply.headers_mut().insert(SET_COOKIE, cookie);
    Ok(reply)
}

async fn find(context: &Context<'_>, token: &Secret) -> Result<Option<AppointmentView>, Problem> {
    let rows = context
        .database()
        .query(
            "SELECT a.id, a.start_at, a.end_at, a.status
             FROM invitation i JOIN appointment a ON a.clinic = i.clinic AND a.id = i.appointment
             WHERE i.clinic = ? AND i.token_hash = ?",
            params![&context.clinic, token.hash()],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(AppointmentView {
        id: row.parsed(0, AppointmentId::parse)?,
        start: row.time(1)?,
        end: row.time(2)?,
        status: row.parsed(3, AppointmentStatus::parse)?,
    }))
}
