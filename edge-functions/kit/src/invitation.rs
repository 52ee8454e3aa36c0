//! The link to a visit, and the messages about it.

use jiff::Timestamp;

use crate::clinic::Clinic;
use crate::context::Context;
use crate::ids::{AppointmentId, PatientId};
use crate::outbox::{self, Message};
use crate::params;
use crate::problem::Problem;
use crate::secret::Secret;
use crate::texts::{self, Language, Words};

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

/// Makes a link and puts it into the outbox.
pub async fn send(
    context: &Context<'_>,
    clinic: &Clinic,
    email: &str,
    appointment: AppointmentId,
    start: Timestamp,
    news: News,
) -> Result<(), Problem> {
    let link = link(context, appointment).await?;
    let words = match news {
        News::Booked => Words::Booked(start),
        News::Offered => Words::Offered(start),
        News::Moved => Words::Moved(start),
    };
    let text = texts::text(language_of(context, appointment).await?, clinic, words);
    let message = Message { recipient: email, subject: &text.subject, body: &text.body, link: &link };
    outbox::put(context, message).await
}

/// A new link to a visit. Its secret stands in the URL's fragment, which no server is ever sent.
pub async fn link(context: &Context<'_>, appointment: AppointmentId) -> Result<String, Problem> {
    let pages = context.variable("pages_origin").await?;
    let token = Secret::new::<16>()?;
    let sql = "INSERT INTO invitation (clinic, token_hash, appointment, created_at) VALUES (?, ?, ?, ?)";
    let values = params![&context.clinic, token.hash(), appointment, context.now];
    context.database().execute(sql, values).await?;
    Ok(format!("{pages}/c/{}/visit#{}", context.clinic, token.reveal()))
}

/// Says that the visit does not take place. The link leads to other times.
pub async fn call_off(
    context: &Context<'_>,
    clinic: &Clinic,
    email: &str,
    appointment: AppointmentId,
    start: Timestamp,
) -> Result<(), Problem> {
    let pages = context.variable("pages_origin").await?;
    let text = texts::text(language_of(context, appointment).await?, clinic, Words::Cancelled(start));
    let link = format!("{pages}/c/{}", context.clinic);
    let message = Message { recipient: email, subject: &text.subject, body: &text.body, link: &link };
    outbox::put(context, message).await
}

async fn language_of(context: &Context<'_>, appointment: AppointmentId) -> Result<Language, Problem> {
    let sql = "SELECT patient FROM appointment WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    match rows.first() {
        Some(row) => context.language_of(row.parsed(0, PatientId::parse)?).await,
        None => context.clinic_language().await,
    }
}
