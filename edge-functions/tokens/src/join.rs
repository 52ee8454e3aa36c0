//! A patient or a member of staff joins the call of a visit.

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::form;
use kit::ids::AppointmentId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;
use kit::variables::VariableError;
use serde::{Deserialize, Serialize};

use crate::claims::{self, Claims, Names};

/// A patient says nothing: the visit's cookie says which call. Staff name the appointment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    appointment: Option<AppointmentId>,
}

/// A media node that is up, as the host lists them: nearest and least loaded first.
#[derive(Serialize, Deserialize)]
struct MediaNode {
    id: String,
    region: String,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinView<'a> {
    token: &'a str,
    room: &'a str,
    participant: &'a str,
    expires_at: Timestamp,
    nodes: Vec<MediaNode>,
}

/// An open call.
struct Call {
    end: Timestamp,
    room: String,
    sink: String,
}

/// `POST /tokens/join`.
pub async fn create_join_token(context: &Context<'_>) -> Result<Reply, Problem> {
    let wish: Wish = form::read(&context.request)?;
    let (appointment, person) = match wish.appointment {
        Some(appointment) => (appointment, context.staff()?.user.to_string()),
        None => (context.visitor()?.appointment, "patient".to_owned()),
    };
    let nodes = media_nodes(context).await?;
    let issuer = context.variable("issuer").await?;
    let key_id = context.variable("token_key_id").await?;
    let key = context.variable("token_signing_key").await?;
    let (call, participant) = context
        .transaction(async || {
            let participant = enter(context, appointment, &person).await?;
            let call = find_call(context, appointment).await?;
            context.audit(Action::TokenMinted, Some(&appointment));
            Ok((call, participant))
        })
        .await?;
    let jti = secret::random_name()?;
    let names = Names { room: &call.room, participant: &participant, sink: &call.sink, token: &jti };
    let token = Claims::new(&issuer, names, context.now, call.end).sign(&key, &key_id);
    let token = token.map_err(Problem::internal)?;
    let view = JoinView {
        token: &token,
        room: &call.room,
        participant: &participant,
        expires_at: claims::expiry(context.now, call.end),
        nodes,
    };
    reply::json(StatusCode::CREATED, &view)
}

async fn media_nodes(context: &Context<'_>) -> Result<Vec<MediaNode>, Problem> {
    let text = context.variable("media_nodes").await?;
    let unusable = |_| VariableError::Unusable { name: "media_nodes", wanted: "a list of nodes" };
    let nodes: Vec<MediaNode> = serde_json::from_str(&text).map_err(unusable)?;
    if nodes.is_empty() {
        let title = "No media node can take the call right now";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no-media-node", title)
            .header(RETRY_AFTER, HeaderValue::from_static("2")));
    }
    Ok(nodes)
}

/// The participant's random name in the room: drawn when a person first joins the call, the same when they
/// come back.
async fn enter(context: &Context<'_>, appointment: AppointmentId, person: &str) -> Result<String, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "INSERT INTO room_participant (clinic, appointment, person, name)
               SELECT r.clinic, r.appointment, ?3, ?4 FROM room r
               JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
               WHERE r.clinic = ?1 AND r.appointment = ?2 AND a.status = 'arrived'
                 AND a.admitted_at IS NOT NULL
               ON CONFLICT (clinic, appointment, person) DO NOTHING";
    let name = secret::random_name()?;
    database.execute(sql, params![clinic, appointment, person, name]).await?;
    let sql = "SELECT name FROM room_participant WHERE clinic = ? AND appointment = ? AND person = ?";
    let rows = database.query(sql, params![clinic, appointment, person]).await?;
    match rows.first() {
        Some(row) => Ok(row.text(0)?),
        None => Err(why_not(context, appointment).await?),
    }
}

/// Why there is no room to enter.
async fn why_not(context: &Context<'_>, appointment: AppointmentId) -> Result<Problem, Problem> {
    let sql = "SELECT status FROM appointment WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    let Some(row) = rows.first() else { return Ok(Problem::not_found("No such appointment")) };
    let over = row.parsed(0, AppointmentStatus::parse)?.is_over();
    Ok(if over { Problem::visit_over() } else { Problem::not_admitted() })
}

async fn find_call(context: &Context<'_>, appointment: AppointmentId) -> Result<Call, Problem> {
    let sql = "SELECT a.end_at, r.name, r.sink
               FROM room r JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
               WHERE r.clinic = ? AND r.appointment = ?";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    let row = rows.first().ok_or_else(Problem::not_admitted)?;
    Ok(Call { end: row.time(0)?, room: row.text(1)?, sink: row.text(2)? })
}
