//! The booking is made, and paid for at the clinic.

use http::StatusCode;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::form::{self, SecretText};
use kit::hold;
use kit::ids::HoldId;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Deserialize;

use crate::booking::{self, Confirmed, NewPatient};
use crate::settings::Settings;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    hold: HoldId,
    secret: SecretText,
    method: Method,
    patient: NewPatient,
}

/// The same for a patient who is known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnConfirmation {
    hold: HoldId,
    secret: SecretText,
    method: Method,
}

/// How it is paid.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    PayAtClinic,
}

/// `POST /payments/confirmations`.
pub async fn create_confirmation(context: &Context<'_>) -> Result<Reply, Problem> {
    let confirmation: Confirmation = form::read(&context.request)?;
    let clinic = context.clinic().await?;
    confirmation.patient.check(&clinic, context.now)?;
    confirm(context, &clinic, &confirmation).await
}

/// `POST /payments/own-confirmations`: who is coming is who has the account, as they were booked last.
pub async fn create_own_confirmation(context: &Context<'_>) -> Result<Reply, Problem> {
    let OwnConfirmation { hold, secret, method } = form::read(&context.request)?;
    let patient = NewPatient::known(context).await?;
    let confirmation = Confirmation { hold, secret, method, patient };
    confirm(context, &context.clinic().await?, &confirmation).await
}

async fn confirm(
    context: &Context<'_>,
    clinic: &Clinic,
    confirmation: &Confirmation,
) -> Result<Reply, Problem> {
    let Confirmation { hold, secret, method: Method::PayAtClinic, patient } = confirmation;
    // Where cards are not taken, and for what costs nothing, there is no other way.
    let cards = crate::provider::of(context).await?.fields().is_some();
    if cards
        && !Settings::of(context).await?.at_clinic
        && hold::look_at(context, *hold, secret).await?.price.minor() > 0
    {
        let title = "This clinic takes cards only";
        return Err(Problem::new(StatusCode::CONFLICT, "not-at-clinic", title));
    }
    let confirmed = context
        .transaction(async || {
            let held = hold::use_up(context, *hold, secret).await?;
            let appointment = booking::book(context, clinic, (*hold, &held), patient).await?;
            Confirmed::of(context, appointment).await
        })
        .await?;
    reply::json(StatusCode::CREATED, &confirmed)
}
