//! Whom else a clinician lets into a visit: an interpreter, family, somebody else.

use http::StatusCode;
use kit::audit::Action;
use kit::call;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::fhir::AppointmentStatus;
use kit::form::{self, Empty};
use kit::ids::{AppointmentId, GuestId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::{Deserialize, Serialize};

use crate::people::{self, Asks, Person};

/// Links of one visit that work at the same time.
const MAX_GUESTS: u32 = 8;

/// What a guest is to the visit. All that the others are shown.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GuestRole {
    /// Interprets.
    Interpreter,
    /// Family, or another person the patient trusts.
    Family,
    /// Anybody else.
    Other,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    role: GuestRole,
}

#[derive(Serialize)]
struct Invited {
    guest: GuestView,
    link: String,
}

#[derive(Serialize)]
struct Changed {
    guest: GuestView,
}

#[derive(Serialize)]
struct Guests {
    guests: Vec<GuestView>,
    people: Vec<Person>,
}

#[derive(Serialize)]
struct GuestView {
    id: GuestId,
    role: GuestRole,
    status: GuestStatus,
}

#[derive(Clone, Copy, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum GuestStatus {
    /// The link was made.
    Invited,
    /// They are there.
    Waiting,
    /// They were let in.
    Admitted,
    /// The link was taken back.
    Removed,
}

impl GuestRole {
    const ALL: [Self; 3] = [Self::Interpreter, Self::Family, Self::Other];

    /// Its name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interpreter => "interpreter",
            Self::Family => "family",
            Self::Other => "other",
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// `POST /scheduling/appointments/{id}/guests`. The link is shown once: only its hash is kept.
pub async fn invite_guest(context: &Context<'_>) -> Result<Reply, Problem> {
    let Invitation { role } = form::read(&context.request)?;
    let appointment = context.path_id(AppointmentId::parse)?;
    let pages = context.variable("pages_origin").await?;
    let (id, token) = (GuestId::new(context.now)?, Secret::new::<16>()?);
    let sql = "INSERT INTO guest (clinic, id, token_hash, appointment, role, created_at)
               SELECT a.clinic, ?3, ?4, a.id, ?5, ?6 FROM appointment a
               WHERE a.clinic = ?1 AND a.id = ?2 AND a.status IN ('booked', 'arrived') AND ?7 > (
                 SELECT count(*) FROM guest g
                 WHERE g.clinic = a.clinic AND g.appointment = a.id AND g.removed_at IS NULL)";
    let hash = token.hash();
    let values = params![&context.clinic, appointment, id, hash, role.as_str(), context.now, MAX_GUESTS];
    if context.database().execute(sql, values).await? == 0 {
        open_visit(context, appointment).await?;
        let title = "The visit has as many guests as it may have";
        return Err(Problem::new(StatusCode::CONFLICT, "too-many-guests", title));
    }
    context.audit(Action::GuestInvited, Some(&appointment));
    let link = format!("{pages}/c/{}/visit#{}", context.clinic, token.reveal());
    let guest = GuestView { id, role, status: GuestStatus::Invited };
    reply::json(StatusCode::CREATED, &Invited { guest, link })
}

/// `GET /scheduling/appointments/{id}/guests`: those whose links work, and who is who in the call.
pub async fn list_guests(context: &Context<'_>) -> Result<Reply, Problem> {
    let appointment = context.path_id(AppointmentId::parse)?;
    status_of(context, appointment).await?;
    let sql = "SELECT id, role, arrived_at, admitted_at, removed_at FROM guest
               WHERE clinic = ? AND appointment = ? AND removed_at IS NULL ORDER BY id";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    let guests = rows.iter().map(read).collect::<Result<_, _>>()?;
    let people = people::of(context, appointment, Asks::Staff).await?;
    context.audit(Action::GuestsRead, Some(&appointment));
    reply::ok(&Guests { guests, people })
}

/// `POST /scheduling/guests/{id}/admit`. Who was let in stays so.
pub async fn admit_guest(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let id = context.path_id(GuestId::parse)?;
    let appointment = open_visit(context, appointment_of(context, id).await?).await?;
    let sql = "UPDATE guest SET admitted_at = ? WHERE clinic = ? AND id = ?
               AND arrived_at IS NOT NULL AND admitted_at IS NULL AND removed_at IS NULL";
    let admitted = context.database().execute(sql, params![context.now, &context.clinic, id]).await? > 0;
    let guest = find(context, id).await?;
    match guest.status {
        GuestStatus::Invited => return Err(Problem::not_arrived()),
        GuestStatus::Removed => return Err(Problem::link_withdrawn()),
        GuestStatus::Waiting | GuestStatus::Admitted => {}
    }
    context.audit(if admitted { Action::GuestAdmitted } else { Action::GuestsRead }, Some(&appointment));
    reply::ok(&Changed { guest })
}

/// `POST /scheduling/guests/{id}/remove`. Their link and their tokens work no more, and if they are in the call they are
/// put out of it. Their session is left, to say so.
pub async fn remove_guest(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let id = context.path_id(GuestId::parse)?;
    let appointment = appointment_of(context, id).await?;
    let removed = context.transaction(async || remove(context, id).await).await?;
    let guest = find(context, id).await?;
    context.audit(if removed { Action::GuestRemoved } else { Action::GuestsRead }, Some(&appointment));
    reply::ok(&Changed { guest })
}

/// False: it was so before.
async fn remove(context: &Context<'_>, id: GuestId) -> Result<bool, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "UPDATE guest SET removed_at = ? WHERE clinic = ? AND id = ? AND removed_at IS NULL";
    if database.execute(sql, params![context.now, clinic, id]).await? == 0 {
        return Ok(false);
    }
    call::put_out(context, &id.to_string()).await?;
    Ok(true)
}

async fn find(context: &Context<'_>, id: GuestId) -> Result<GuestView, Problem> {
    let sql = "SELECT id, role, arrived_at, admitted_at, removed_at FROM guest WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(no_such_guest)?;
    Ok(read(row)?)
}

fn read(row: &Row) -> Result<GuestView, DatabaseError> {
    let is = |column| Ok::<_, DatabaseError>(row.time_or_null(column)?.is_some());
    let status = match (is(4)?, is(3)?, is(2)?) {
        (true, ..) => GuestStatus::Removed,
        (_, true, _) => GuestStatus::Admitted,
        (_, _, true) => GuestStatus::Waiting,
        _ => GuestStatus::Invited,
    };
    Ok(GuestView { id: row.parsed(0, GuestId::parse)?, role: row.parsed(1, GuestRole::parse)?, status })
}

async fn appointment_of(context: &Context<'_>, id: GuestId) -> Result<AppointmentId, Problem> {
    let sql = "SELECT appointment FROM guest WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(no_such_guest)?;
    Ok(row.parsed(0, AppointmentId::parse)?)
}

async fn status_of(context: &Context<'_>, id: AppointmentId) -> Result<AppointmentStatus, Problem> {
    let sql = "SELECT status FROM appointment WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such appointment"))?;
    Ok(row.parsed(0, AppointmentStatus::parse)?)
}

/// The visit, unless it is over.
async fn open_visit(context: &Context<'_>, id: AppointmentId) -> Result<AppointmentId, Problem> {
    if status_of(context, id).await?.is_over() { Err(Problem::visit_over()) } else { Ok(id) }
}

fn no_such_guest() -> Problem {
    Problem::not_found("No such guest")
}
