//! A patient, a guest or a member of staff joins the call of a visit.

use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode, Uri};
use jiff::Timestamp;
use kit::audit::Action;
use kit::call;
use kit::consent;
use kit::context::Context;
use kit::form;
use kit::ids::AppointmentId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;
use kit::variables::VariableError;
use serde::{Deserialize, Serialize};

use crate::asker::{Asker, Person, Seat};
use crate::claims::{Claims, Names, Signer};
use crate::membership::{self, Membership};
use crate::nodes::{Asking, MediaNodes, NodeView, Nowhere};

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
    /// Who the person is in the call's encryption; left out: they take no part, and the token is bound to nothing.
    #[serde(default)]
    encryption: Option<Membership>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinView<'a> {
    token: &'a str,
    room: &'a str,
    participant: &'a str,
    expires_at: Timestamp,
    /// Others joined before, at whichever node is nearest to them.
    running: bool,
    node_list_version: u64,
    nodes: Vec<NodeView<'a>>,
    /// Who takes part in the encryption; only for those who do.
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<String>,
}

/// An open call.
struct Call {
    end: Timestamp,
    room: String,
    sink: String,
    /// Others joined before.
    running: bool,
}

/// `POST /tokens/join`.
pub async fn create_join_token(context: &Context<'_>) -> Result<Reply, Problem> {
    let wish: Wish = form::read(&context.request)?;
    if wish.nearest.len() > MAX_NEAREST {
        return Err(Problem::invalid("/nearest", format!("must be {MAX_NEAREST} at most")));
    }
    let asker = Asker::of(context, wish.appointment)?;
    if matches!(asker.person, Person::Clinician(_)) {
        // Whoever was in the call counts as somebody who treats the patient.
        context.may_open_visit(asker.appointment).await?;
    }
    let device = wish.encryption.as_ref().and_then(Membership::device);
    if device.is_none() {
        allow_unbound(context).await?;
    }
    let nodes = media_nodes(context).await?;
    let issuer = context.variable("issuer").await?;
    let signer = Signer::of(context).await?;
    let region = arrived_in(&context.request);
    let (call, participant, order, members) = context
        .transaction(async || {
            let seat = asker.seat(context).await?;
            let participant = enter(context, asker, &seat).await?;
            if consent::is_missing(context, asker.appointment).await? {
                return Err(consent::required());
            }
            let call = find_call(context, asker, &seat).await?;
            let running = call.running;
            let order = nodes.order(Asking { region: region.as_deref(), nearest: &wish.nearest, running });
            let order = order.map_err(nowhere)?;
            let members = match &wish.encryption {
                Some(membership) => Some(membership::enter(context, (asker, &seat), membership).await?),
                None => None,
            };
            context.audit(Action::TokenMinted, Some(&asker.appointment));
            Ok((call, participant, order, members))
        })
        .await?;
    let jti = secret::random_name()?;
    let names = Names { room: &call.room, participant: &participant, sink: &call.sink, token: &jti, device };
    let running = call.running;
    let token = signer.sign("JWT", &Claims::new(&issuer, names, running, context.now, call.end))?;
    let membership = members.map(|members| members.sign(&signer, &issuer, context.now)).transpose()?;
    let view = JoinView {
        token: &token,
        room: &call.room,
        participant: &participant,
        expires_at: call::expiry(context.now, call.end, device.is_some()),
        running,
        node_list_version: nodes.version,
        nodes: order.views(),
        membership,
    };
    reply::json(StatusCode::CREATED, &view)
}

/// Whoever finds a token that is bound to no device can use it: a clinic may do without.
async fn allow_unbound(context: &Context<'_>) -> Result<(), Problem> {
    let sql = "SELECT unbound_tokens FROM clinic WHERE clinic = ?";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    match rows.first().map(|row| row.integer(0)).transpose()? {
        Some(0) => {
            let title = "This clinic admits only clients that prove which device they are";
            Err(Problem::new(StatusCode::FORBIDDEN, "device-key-required", title))
        }
        _ => Ok(()),
    }
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
async fn enter(context: &Context<'_>, asker: Asker, seat: &Seat) -> Result<String, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let Seat { room_of, key, person, visit, is_group } = seat;
    let sql = "INSERT INTO room_participant (clinic, appointment, person, name, visit)
               SELECT r.clinic, r.appointment, ?3, ?4, ?7 FROM appointment a
               JOIN room r ON r.clinic = a.clinic AND r.appointment = coalesce(a.call_of, a.id)
               WHERE a.clinic = ?1 AND a.id = ?2 AND a.status = 'arrived'
                 AND a.admitted_at IS NOT NULL AND (a.held_at IS NULL OR ?6)
                 AND (?5 IS NULL OR EXISTS (
                   SELECT 1 FROM guest g WHERE g.clinic = a.clinic AND g.appointment = a.id AND g.id = ?5
                     AND g.admitted_at IS NOT NULL AND g.removed_at IS NULL))
               ON CONFLICT (clinic, appointment, person) DO NOTHING";
    let (name, guest) = (secret::random_name()?, person.guest());
    let is_staff = i64::from(matches!(person, Person::Clinician(_)));
    let values = params![clinic, asker.appointment, key.as_str(), name.as_str(), guest, is_staff, *visit];
    if database.execute(sql, values).await? > 0
        && let Some(visit) = visit
        && *is_group
    {
        let sql = "INSERT INTO call_visit (clinic, appointment, participant, visit) VALUES (?, ?, ?, ?)";
        database.execute(sql, params![clinic, *room_of, name, *visit]).await?;
    }
    // A group's call goes on when one of its visits is over.
    let sql = "SELECT p.name FROM room_participant p
               JOIN appointment a ON a.clinic = p.clinic AND a.id = ?4 AND a.status = 'arrived'
               WHERE p.clinic = ?1 AND p.appointment = ?2 AND p.person = ?3";
    let values = params![clinic, *room_of, key.as_str(), asker.appointment];
    let rows = database.query(sql, values).await?;
    match rows.first() {
        Some(row) => Ok(row.text(0)?),
        None => Err(asker.why_not(context).await?),
    }
}

async fn find_call(context: &Context<'_>, asker: Asker, seat: &Seat) -> Result<Call, Problem> {
    let sql = "SELECT a.end_at, r.name, r.sink, EXISTS (
                 SELECT 1 FROM room_participant p
                 WHERE p.clinic = r.clinic AND p.appointment = r.appointment AND p.person <> ?3
               )
               FROM appointment a
               JOIN room r ON r.clinic = a.clinic AND r.appointment = coalesce(a.call_of, a.id)
               WHERE a.clinic = ?1 AND a.id = ?2";
    let values = params![&context.clinic, asker.appointment, seat.key.as_str()];
    let rows = context.database().query(sql, values).await?;
    let row = rows.first().ok_or_else(Problem::not_admitted)?;
    let running = row.integer(3)? != 0;
    Ok(Call { end: row.time(0)?, room: row.text(1)?, sink: row.text(2)?, running })
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
