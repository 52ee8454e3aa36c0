//! The link to a visit, and the message that brings it.

use jiff::Timestamp;

use crate::clinic::Clinic;
use crate::context::Context;
use crate::ids::AppointmentId;
use crate::outbox::{self, Message};
use crate::params;
use crate::problem::Problem;
use crate::secret::Secret;

/// Makes a link and puts it into the outbox. Its secret stands in the URL's fragment, which no server is ever sent.
pub async fn send(
    context: &Context<'_>,
    clinic: &Clinic,
    email: &str,
    appointment: AppointmentId,
    start: Timestamp,
) -> Result<(), Problem> {
    let pages = context.variable("pages_origin").await?;
    let token = Secret::new::<16>()?;
    let sql = "INSERT INTO invitation (clinic, token_hash, appointment, created_at) VALUES (?, ?, ?, ?)";
    let values = params![&context.clinic, token.hash(), appointment, context.now];
    context.database().execute(sql, values).await?;

    let link = format!("{pages}/c/{}/visit#{}", context.clinic, token.reveal());
    let subject = format!("Your video visit at {}", clinic.name);
    let local = clinic.zone.to_datetime(start);
    let time = local.strftime("%A, %-d %B %Y, %H:%M");
    let body = format!(
        "Your video visit is on {time} ({}). Open the link a few minutes before, on a phone or computer \
         with a camera.",
        clinic.time_zone
    );
    outbox::put(context, Message { recipient: email, subject: &subject, body: &body, link: &link }).await
}
