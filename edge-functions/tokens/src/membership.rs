//! Who takes part in a call's end-to-end encryption, as the clinic vouches for it.
//!
//! Clients believe this list, signed with the token key, and nothing that a media node says: a key that it does not name
//! is nobody's. It has a generation, which grows with every change; clients rotate their keys then and only then.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use kit::call;
use kit::context::Context;
use kit::form;
use kit::ids::AppointmentId;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::asker::{Asker, Seat};
use crate::claims::Signer;

/// Of the JWS: no token of another use is taken for a membership (RFC 8725 §3.11).
pub const TYPE: &str = "locum-membership+jwt";
/// Who reads it.
const AUDIENCE: &str = "locum-call";
/// How long it is believed. Clients ask again long before, so a node cannot hide for longer that somebody left.
const LASTS: SignedDuration = SignedDuration::from_mins(10);

/// Who somebody is in the encryption of one call.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Membership {
    /// The device's key by its RFC 7638 thumbprint, and SHA-256 of the key it agrees on secrets with: named here before
    /// anybody else has seen it, so it cannot be chosen to fit another's.
    Device(Device),
    /// A browser that cannot encrypt. Nobody talks with it unless they agreed to that.
    Open(Open),
}

/// See [`Membership::Device`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    device: Sha256Text,
    commitment: Sha256Text,
}

/// See [`Membership::Open`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    #[expect(dead_code, reason = "it says that it is known to be so")]
    open: True,
}

/// `true`, and nothing else.
#[derive(Deserialize)]
#[serde(try_from = "bool")]
struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        if value { Ok(Self) } else { Err("must be true") }
    }
}

/// 32 bytes in base64url.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Sha256Text(String);

impl TryFrom<String> for Sha256Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match URL_SAFE_NO_PAD.decode(&text) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self(text)),
            _ => Err("must be SHA-256 in base64url"),
        }
    }
}

impl Membership {
    /// Thumbprint of the device's key.
    pub fn device(&self) -> Option<&str> {
        self.texts().map(|(device, _)| device)
    }

    fn texts(&self) -> Option<(&str, &str)> {
        match self {
            Self::Device(Device { device, commitment }) => Some((&device.0, &commitment.0)),
            Self::Open(_) => None,
        }
    }
}

/// Everybody, at one generation.
pub struct Members {
    room: String,
    generation: i64,
    members: Vec<Member>,
}

#[derive(Serialize)]
struct Member {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commitment: Option<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'static str,
    iat: i64,
    exp: i64,
    room: &'a str,
    generation: i64,
    members: &'a [Member],
}

#[derive(Serialize)]
struct MembershipView {
    membership: String,
}

impl Members {
    /// As a compact JWS.
    pub fn sign(&self, signer: &Signer, issuer: &str, now: Timestamp) -> Result<String, Problem> {
        let claims = Claims {
            iss: issuer,
            aud: AUDIENCE,
            iat: now.as_second(),
            exp: (now + LASTS).as_second(),
            room: &self.room,
            generation: self.generation,
            members: &self.members,
        };
        signer.sign(TYPE, &claims)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    appointment: Option<AppointmentId>,
}

/// `GET /tokens/membership`.
pub async fn get_membership(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let named = query.optional("appointment", "an id", AppointmentId::parse)?;
    query.finish()?;
    let asker = Asker::of(context, named)?;
    let members = read(context, asker, &asker.seat(context).await?).await?;
    answer(context, &members).await
}

/// `POST /tokens/leave`. Whoever comes back joins anew.
pub async fn leave_call(context: &Context<'_>) -> Result<Reply, Problem> {
    let wish: Wish = form::read(&context.request)?;
    let asker = Asker::of(context, wish.appointment)?;
    let members = context
        .transaction(async || {
            let seat = asker.seat(context).await?;
            let sql = "DELETE FROM room_member WHERE clinic = ? AND appointment = ? AND person = ?";
            let values = params![&context.clinic, seat.room_of, seat.key.as_str()];
            if context.database().execute(sql, values).await? > 0 {
                call::members_changed(context, seat.room_of).await?;
            }
            read(context, asker, &seat).await
        })
        .await?;
    answer(context, &members).await
}

async fn answer(context: &Context<'_>, members: &Members) -> Result<Reply, Problem> {
    let (signer, issuer) = (Signer::of(context).await?, context.variable("issuer").await?);
    reply::ok(&MembershipView { membership: members.sign(&signer, &issuer, context.now)? })
}

/// Takes somebody in who is in the call. The same device again, with the same keys, is no change.
pub(crate) async fn enter(
    context: &Context<'_>,
    (asker, seat): (Asker, &Seat),
    membership: &Membership,
) -> Result<Members, Problem> {
    let sql =
        "INSERT INTO room_member (clinic, appointment, person, device, commitment) VALUES (?, ?, ?, ?, ?)
               ON CONFLICT (clinic, appointment, person) DO UPDATE
               SET device = excluded.device, commitment = excluded.commitment
               WHERE device IS NOT excluded.device OR commitment IS NOT excluded.commitment";
    let (device, commitment) = membership.texts().unzip();
    let values = params![
        &context.clinic,
        seat.room_of,
        seat.key.as_str(),
        device.map(str::to_owned),
        commitment.map(str::to_owned)
    ];
    if context.database().execute(sql, values).await? > 0 {
        call::members_changed(context, seat.room_of).await?;
    }
    read(context, asker, seat).await
}

/// Whoever may come and go while the call goes on without them is told while they are in it.
async fn read(context: &Context<'_>, asker: Asker, seat: &Seat) -> Result<Members, Problem> {
    let sql = "SELECT r.name, r.membership, p.name, m.device, m.commitment FROM room r
               LEFT JOIN room_member m ON m.clinic = r.clinic AND m.appointment = r.appointment
               LEFT JOIN room_participant p
                 ON p.clinic = m.clinic AND p.appointment = m.appointment AND p.person = m.person
               WHERE r.clinic = ?1 AND r.appointment = ?2 AND (?3 IS NULL OR EXISTS (
                 SELECT 1 FROM room_participant g
                 WHERE g.clinic = r.clinic AND g.appointment = r.appointment AND g.person = ?3))
               ORDER BY p.name";
    let values = params![&context.clinic, seat.room_of, seat.only_inside()];
    let rows = context.database().query(sql, values).await?;
    let Some(first) = rows.first() else { return Err(asker.why_not(context).await?) };
    let (room, generation) = (first.text(0)?, first.integer(1)?);
    let mut members = Vec::with_capacity(rows.len());
    for row in &rows {
        if let Some(id) = row.text_or_null(2)? {
            members.push(Member { id, device: row.text_or_null(3)?, commitment: row.text_or_null(4)? });
        }
    }
    Ok(Members { room, generation, members })
}
