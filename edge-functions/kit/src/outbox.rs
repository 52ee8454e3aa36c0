//! Messages to people outside. They carry a link or a code, never health data.

use crate::context::Context;
use crate::ids::MessageId;
use crate::params;
use crate::problem::Problem;

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

/// Puts `message` into the outbox.
pub async fn put(context: &Context<'_>, message: Message<'_>) -> Result<(), Problem> {
    let Message { recipient, subject, body, link } = message;
    let sql = "INSERT INTO outbox_message (clinic, id, recipient, subject, body, link, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    let id = MessageId::new(context.now)?;
    let values = params![&context.clinic, id, recipient, subject, body, link, context.now];
    context.database().execute(sql, values).await?;
    Ok(())
}
