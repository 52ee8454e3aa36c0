//! A patient, a guest or a member of staff joins the call of a visit.

use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode, Uri};
use jiff::Timestamp;
use kit::audit::Action;
use kit::call;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::form;
use kit::ids::{AppointmentId, GuestId, UserId};
use kit::params;
use kit::policy::Role;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;
use kit::variables::VariableError;
use serde::{Deserialize, Serialize};

use crate::claims::{Claims, Names};
use crate::nodes::{Asking, MediaNodes, NodeView, Nowhere, Order};

/// Longest list of measured nodes that is read.
const MAX_NEAREST: usize = 8;

/// A patient or a guest need not say which call: the visit's cookie does. Staff name the appointment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    appointment: Option<AppointmentId>,
    /// Ids of media nodes as the browser measured them, best first.
    #[serde(default)]
    nearest: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinView<'a> {
    token: &'a str,
    room: &'a str,
    participant: &'a str,
    expires_at: Timestamp,
    /// Others joined before: they are at the first of the nodes.
    running: bool,
    node_list_version: u64,
    nodes: Vec<NodeView<'a>>,
}

/// Who joins.
#[derive(Clone, Copy)]
enum Person {
    Patient,
    Guest(GuestId),
    Clinician(UserId),
}

/// An open call.
struct Call {
    end: Timestamp,
    room: String,
    sink: String,
    /// What the others were told of the nodes; `None` while there is nobody else.
    told: Option<String>,
}

impl Person {
    /// As they stand in the call.
    fn key(self) -> String {
        match self {
            Self::Patient => "patient".to_owned(),
            Self::Guest(guest) => guest.to_string(),
            Self::Clinician(user) => user.to_string(),
        }
    }

    const fn guest(self) -> Option<GuestId> {
        match self {
            Self::Guest(guest) => Some(guest),
            Self::Patient | Self::Clinician(_) => None,
        }
    }
}

/// `POST /tokens/join`.
pub async fn create_join_token(context: &Context<'_>) -> Result<Reply, Problem> {
    let wish: Wish = form::read(&context.request)?;
    if wish.nearest.len() > MAX_NEAREST {
        return Err(Problem::invalid("/nearest", format!("must be {MAX_NEAREST} at most")));
    }
    let (appointment, person) = match wish.appointment {
        Some(appointment) => (appointment, Person::Clinician(clinician(context)?)),
        None => {
            let visitor = context.visitor()?;
            (visitor.appointment, visitor.guest.map_or(Person::Patient, Person::Guest))
        }
    };
    let nodes = media_nodes(context).await?;
    let issuer = context.variable("issuer").await?;
    let key_id = context.variable("token_key_id").await?;
    let key = context.variable("token_signing_key").await?;
    let region = arrived_in(&context.request);
    let (call, participant, order) = context
        .transaction(async || {
            let participant = enter(context, appointment, person).await?;
            let call = find_call(context, appointment, person).await?;
            let told = call.told.as_deref();
            let order = nodes.order(Asking { region: region.as_deref(), nearest: &wish.nearest, told });
            let order = order.map_err(nowhere)?;
            tell(context, appointment, &order).await?;
            context.audit(Action::TokenMinted, Some(&appointment));
            Ok((call, participant, order))
        })
        .await?;
    let jti = secret::random_name()?;
    let names = Names { room: &call.room, participant: &participant, sink: &call.sink, token: &jti };
    let running = call.told.is_some();
    let token = Claims::new(&issuer, names, running, context.now, call.end).sign(&key, &key_id);
    let token = token.map_err(Problem::internal)?;
    let view = JoinView {
        token: &token,
        room: &call.room,
        participant: &participant,
        expires_at: call::expiry(context.now, call.end),
        running,
        node_list_version: nodes.version,
        nodes: order.views(),
    };
    reply::json(StatusCode::CREATED, &view)
}

/// The member of staff who calls: the table lets them in, or the visit's cookie beside theirs does.
fn clinician(context: &Context<'_>) -> Result<UserId, Problem> {
    let staff = context.staff()?;
    let treats = staff.roles.iter().any(|role| matches!(role, Role::Doctor | Role::Nurse));
    if treats { Ok(staff.user) } else { Err(Problem::role_not_allowed()) }
}

async fn media_nodes(context: &Context<'_>) -> Result<MediaNodes, Problem> {
    let text = context.variable("media_nodes").await?;
    let unusable = |_| VariableError::Unusable { name: "media_nodes", wanted: "a list of nodes" };
    Ok(serde_json::from_str(&text).map_err(unusable)?)
}

fn nowhere(why: Nowhere) -> Problem {
    let (slug, title, retry_after_s) = match why {
        Nowhere::None => ("no-media-node", "No media node can take the call right now", "2"),
        Nowhere::Full => ("capacity", "Every media node is full: new calls have to wait", "5"),
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, slug, title)
        .header(RETRY_AFTER, HeaderValue::from_static(retry_after_s))
}

/// The region of the API that was asked, `https://<region>.<zone>`; the request may be answered in another one.
fn arrived_in(request: &Request<Vec<u8>>) -> Option<String> {
    let url = request.headers().get("spin-full-url")?.to_str().ok()?.parse::<Uri>().ok()?;
    url.host()?.split('.').next().map(str::to_owned)
}

/// The participant's random name in the room: drawn when a person first joins the call, the same when they
/// come back.
async fn enter(context: &Context<'_>, appointment: AppointmentId, person: Person) -> Result<String, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "INSERT INTO room_participant (clinic, appointment, person, name)
               SELECT r.clinic, r.appointment, ?3, ?4 FROM room r
               JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
               WHERE r.clinic = ?1 AND r.appointment = ?2 AND a.status = 'arrived'
                 AND a.admitted_at IS NOT NULL AND (?5 IS NULL OR EXISTS (
                   SELECT 1 FROM guest g WHERE g.clinic = a.clinic AND g.appointment = a.id AND g.id = ?5
                     AND g.admitted_at IS NOT NULL AND g.removed_at IS NULL))
               ON CONFLICT (clinic, appointment, person) DO NOTHING";
    let (name, guest) = (secret::random_name()?, person.guest());
    database.execute(sql, params![clinic, appointment, person.key(), name, guest]).await?;
    let sql = "SELECT name FROM room_participant WHERE clinic = ? AND appointment = ? AND person = ?";
    let rows = database.query(sql, params![clinic, appointment, person.key()]).await?;
    match rows.first() {
        Some(row) => Ok(row.text(0)?),
        None => Err(why_not(context, appointment, person).await?),
    }
}

/// Why there is no room to enter.
async fn why_not(
    context: &Context<'_>,
    appointment: AppointmentId,
    person: Person,
) -> Result<Problem, Problem> {
    let sql = "SELECT a.status, g.removed_at FROM appointment a
               LEFT JOIN guest g ON g.clinic = a.clinic AND g.id = ?3
               WHERE a.clinic = ?1 AND a.id = ?2";
    let rows = context.database().query(sql, params![&context.clinic, appointment, person.guest()]).await?;
    let Some(row) = rows.first() else { return Ok(Problem::not_found("No such appointment")) };
    if row.parsed(0, AppointmentStatus::parse)?.is_over() {
        return Ok(Problem::visit_over());
    }
    let removed = row.time_or_null(1)?.is_some();
    Ok(if removed { Problem::link_withdrawn() } else { Problem::not_admitted() })
}

async fn find_call(
    context: &Context<'_>,
    appointment: AppointmentId,
    person: Person,
) -> Result<Call, Problem> {
    let sql = "SELECT a.end_at, r.name, r.sink, CASE WHEN EXISTS (
                 SELECT 1 FROM room_participant p
                 WHERE p.clinic = r.clinic AND p.appointment = r.appointment AND p.person <> ?3
               ) THEN r.nodes END
               FROM room r JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
               WHERE r.clinic = ?1 AND r.appointment = ?2";
    let rows = context.database().query(sql, params![&context.clinic, appointment, person.key()]).await?;
    let row = rows.first().ok_or_else(Problem::not_admitted)?;
    let told = row.text_or_null(3)?;
    Ok(Call { end: row.time(0)?, room: row.text(1)?, sink: row.text(2)?, told })
}

/// Keeps the order: whoever joins next is told the same.
async fn tell(context: &Context<'_>, appointment: AppointmentId, order: &Order<'_>) -> Result<(), Problem> {
    let sql = "UPDATE room SET nodes = ?3 WHERE clinic = ?1 AND appointment = ?2 AND nodes <> ?3";
    context.database().execute(sql, params![&context.clinic, appointment, order.text()]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_that_of_the_api_that_was_asked() {
        let asked = |url: &str| {
            let request = Request::builder().header("spin-full-url", url).body(Vec::new()).unwrap();
            arrived_in(&request)
        };
        assert_eq!(
            asked("https://eu-central.clinic.example/c/demo/tokens/join").as_deref(),
            Some("eu-central")
        );
        assert_eq!(asked("http://us-west.locum.localhost:8080/").as_deref(), Some("us-west"));
        assert_eq!(asked("/c/demo"), None);
        assert_eq!(arrived_in(&Request::new(Vec::new())), None);
    }
}
