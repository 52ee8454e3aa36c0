//! Messages to people outside. They carry a link or a code, never health data.

use jiff::Timestamp;

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
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Channel {
    /// Mail.
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

/// Puts `message` into the outbox: somebody waits for it.
pub async fn put(context: &Context<'_>, message: Message<'_>) -> Result<(), Problem> {
    let Message { recipient, subject, body, link } = message;
    let sql = "INSERT INTO outbox_message (clinic, id, recipient, subject, body, link, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let id = MessageId::new(context.now)?;
    let values = params![&context.clinic, id, recipient, subject, body, link, context.now];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// Puts a message into the outbox that its receiver can do without. With it comes a link by which they say so.
pub async fn put_routine(context: &Context<'_>, routine: Routine<'_>) -> Result<(), Problem> {
    let Message { recipient, subject, body, link } = routine.message;
    let pages = context.variable("pages_origin").await?;
    let token = Secret::new::<16>()?;
    let sql = "INSERT INTO opt_out_link (clinic, token_hash, address_hash, created_at) VALUES (?, ?, ?, ?)";
    let values = params![&context.clinic, token.hash(), address_hash(recipient), context.now];
    context.database().execute(sql, values).await?;
    // Its secret stands in the fragment, which no server is ever sent.
    let opt_out = format!("{pages}/c/{}/no-messages#{}", context.clinic, token.reveal());
    let sql =
        "INSERT INTO outbox_message (clinic, id, recipient, subject, body, link, created_at, channel, kind,
                 patient, not_before, useful_until, opt_out)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![
        &context.clinic,
        routine.id,
        recipient,
        subject,
        body,
        link,
        context.now,
        routine.channel.as_str(),
        routine.kind,
        routine.patient,
        routine.not_before,
        routine.useful_until,
        opt_out
    ];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// By which an address is known where it need not be readable.
pub fn address_hash(address: &str) -> [u8; 32] {
    Secret::presented(&address.to_ascii_lowercase()).hash()
}
