//! The link to a visit, and the messages about it.

use jiff::Timestamp;

use crate::clinic::Clinic;
use crate::context::Context;
use crate::ids::AppointmentId;
use crate::outbox::{self, Message};
use crate::params;
use crate::problem::Problem;
use crate::secret::Secret;

/// What a link comes with.
#[derive(Clone, Copy, Debug)]
pub enum News {
    /// The visit is booked.
    Booked,
    /// It has another time.
    Moved,
    /// It could be earlier.
    Offered,
}

/// Makes a link and puts it into the outbox. Its secret stands in the URL's fragment, which no server is ever sent.
pub async fn send(
    context: &Context<'_>,
    clinic: &Clinic,
    email: &str,
    appointment: AppointmentId,
    start: Timestamp,
    news: News,
) -> Result<(), Problem> {
    let pages = context.variable("pages_origin").await?;
    let token = Secret::new::<16>()?;
    let sql = "INSERT INTO invitation (clinic, token_hash, appointment, created_at) VALUES (?, ?, ?, ?)";
    let values = params![&context.clinic, token.hash(), appointment, context.now];
    context.database().execute(sql, values).await?;

    let link = format!("{pages}/c/{}/visit#{}", context.clinic, token.reveal());
    let (subject, is) = match news {
        News::Booked => (format!("Your video visit at {}", clinic.name), "is on"),
        News::Offered => (format!("An earlier time at {}", clinic.name), "could be on"),
        News::Moved => (format!("Another time for your video visit at {}", clinic.name), "is now on"),
    };
    let time = local(clinic, start);
    let body = format!(
        "Your video visit {is} {time}. Open the link a few minutes before, on a phone or computer with a camera."
    );
    outbox::put(context, Message { recipient: email, subject: &subject, body: &body, link: &link }).await
}

/// Says that the visit does not take place. The link leads to other times.
pub async fn call_off(
    context: &Context<'_>,
    clinic: &Clinic,
    email: &str,
    start: Timestamp,
) -> Result<(), Problem> {
    let pages = context.variable("pages_origin").await?;
    let subject = format!("Your video visit at {} is cancelled", clinic.name);
    let body = format!(
        "Your video visit on {} is cancelled. Open the link to book another time.",
        local(clinic, start)
    );
    let link = format!("{pages}/c/{}", context.clinic);
    outbox::put(context, Message { recipient: email, subject: &subject, body: &body, link: &link }).await
}

fn local(clinic: &Clinic, at: Timestamp) -> String {
    let local = clinic.zone.to_datetime(at);
    format!("{} ({})", local.strftime("%A, %-d %B %Y, %H:%M"), clinic.time_zone)
}
