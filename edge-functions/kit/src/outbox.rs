//! Messages to people outside. They carry a link or a code, never health data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::contact::Standing;
use crate::context::Context;
use crate::ids::{MessageId, PatientId};
use crate::params;
use crate::problem::Problem;
use crate::secret::Secret;

/// A message that is to be sent.
pub struct Message<'m> {
    /// Address.
    pub recipient: &'m str,
    /// Its subject.
    pub subject: &'m str,
    /// Its text.
    pub body: &'m str,
    /// Where it leads.
    pub link: &'m str,
}

/// By which way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Mail.
    #[default]
    Email,
    /// A short message to a telephone.
    Sms,
}

impl Channel {
    /// Its name in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Sms => "sms",
        }
    }
}

/// A message that a clinic sends by itself, which its receiver can say no to.
pub struct Routine<'m> {
    /// Its id.
    pub id: MessageId,
    /// What it says.
    pub message: Message<'m>,
    /// By which way.
    pub channel: Channel,
    /// What it is: a word that staff are shown.
    pub kind: &'m str,
    /// Whom it is to.
    pub patient: PatientId,
    /// Not to be sent before.
    pub not_before: Timestamp,
    /// Of no use from then on.
    pub useful_until: Timestamp,
}

/// Puts `message` into the outbox: somebody waits for it. To an address that was refused for good nothing goes out until people
/// have seen to it: then it is theirs.
pub async fn put(context: &Context<'_>, message: Message<'_>) -> Result<(), Problem> {
    let Message { recipient, subject, body, link } = message;
    let failing = standing(context, recipient).await?.failing;
    let sql = "INSERT INTO outbox_message
                 (clinic, id, recipient, subject, body, link, created_at, state, reason, ended_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, iif(?8, 'failed', 'waiting'), iif(?8, 'undeliverable', NULL),
                 iif(?8, ?7, NULL))";
    let id = MessageId::new(context.now)?;
    let failing = i64::from(failing);
    let values = params![&context.clinic, id, recipient, subject, body, link, context.now, failing];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// Puts messages into the outbox that their receivers can do without. With each of them comes a way to say so. All of them in two
/// statements: there may be hundreds.
pub async fn put_routine(context: &Context<'_>, routine: &[Routine<'_>]) -> Result<(), Problem> {
    if routine.is_empty() {
        return Ok(());
    }
    let pages = context.variable("pages_origin").await?;
    let (mut messages, mut links) = (Vec::new(), Vec::new());
    for routine in routine {
        let Message { recipient, subject, body, link } = routine.message;
        let mut message = json!({
            "id": routine.id.to_string(), "recipient": recipient, "subject": subject, "body": body, "link": link,
            "channel": routine.channel.as_str(), "kind": routine.kind, "patient": routine.patient.to_string(),
            "notBefore": routine.not_before.as_millisecond(), "usefulUntil": routine.useful_until.as_millisecond(),
        });
        // In a short message its receiver answers STOP.
        if routine.channel == Channel::Email {
            let token = Secret::new::<16>()?;
            links.push(json!({"token": hex(&token.hash()), "address": hex(&address_hash(recipient))}));
            // Its secret stands in the fragment, which no server is ever sent.
            let opt_out = format!("{pages}/c/{}/no-messages#{}", context.clinic, token.reveal());
            message["optOut"] = opt_out.into();
        }
        messages.push(message);
    }
    let sql = "INSERT INTO opt_out_link (clinic, token_hash, address_hash, created_at)
               SELECT ?1, unhex(value ->> 'token'), unhex(value ->> 'address'), ?2 FROM json_each(?3)";
    let values = params![&context.clinic, context.now, serde_json::Value::from(links).to_string()];
    context.database().execute(sql, values).await?;
    let sql =
        "INSERT INTO outbox_message (clinic, id, recipient, subject, body, link, created_at, channel, kind,
                 patient, not_before, useful_until, opt_out)
               SELECT ?1, value ->> 'id', value ->> 'recipient', value ->> 'subject', value ->> 'body',
                 value ->> 'link', ?2, value ->> 'channel', value ->> 'kind', value ->> 'patient',
                 value ->> 'notBefore', value ->> 'usefulUntil', value ->> 'optOut'
               FROM json_each(?3)";
    let values = params![&context.clinic, context.now, serde_json::Value::from(messages).to_string()];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// By which an address is known where it need not be readable.
pub fn address_hash(address: &str) -> [u8; 32] {
    Secret::presented(&address.to_ascii_lowercase()).hash()
}

/// Its bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is known of an address.
pub async fn standing(context: &Context<'_>, address: &str) -> Result<Standing, Problem> {
    let sql = "SELECT opted_out_at IS NOT NULL, failing_since IS NOT NULL FROM message_address
               WHERE clinic = ? AND address_hash = ?";
    let rows = context.database().query(sql, params![&context.clinic, address_hash(address)]).await?;
    let Some(row) = rows.first() else { return Ok(Standing::default()) };
    Ok(Standing { opted_out: row.integer(0)? == 1, failing: row.integer(1)? == 1 })
}

/// An address was refused for good: what waits for it is for people, who see to the address first.
pub async fn note_failing(context: &Context<'_>, address: &str) -> Result<(), Problem> {
    let sql = "INSERT INTO message_address (clinic, address_hash, failing_since) VALUES (?1, ?2, ?3)
               ON CONFLICT (clinic, address_hash) DO UPDATE SET failing_since = coalesce(failing_since, ?3)";
    context.database().execute(sql, params![&context.clinic, address_hash(address), context.now]).await?;
    let sql = "UPDATE outbox_message SET state = 'failed', reason = 'undeliverable', ended_at = ?3
               WHERE clinic = ?1 AND lower(recipient) = ?2 AND state = 'waiting'";
    let values = params![&context.clinic, address.to_ascii_lowercase(), context.now];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// Somebody has seen to it.
pub async fn note_corrected(context: &Context<'_>, address: &str) -> Result<(), Problem> {
    let sql = "UPDATE message_address SET failing_since = NULL WHERE clinic = ? AND address_hash = ?";
    context.database().execute(sql, params![&context.clinic, address_hash(address)]).await?;
    Ok(())
}

/// Its owner wants no more of what they can do without, or wants it again.
pub async fn note_wish(context: &Context<'_>, address_hash: [u8; 32], out: bool) -> Result<(), Problem> {
    let at: Option<Timestamp> = out.then_some(context.now);
    let sql = "INSERT INTO message_address (clinic, address_hash, opted_out_at) VALUES (?1, ?2, ?3)
               ON CONFLICT (clinic, address_hash) DO UPDATE SET opted_out_at = ?3";
    context.database().execute(sql, params![&context.clinic, address_hash, at]).await?;
    Ok(())
}
