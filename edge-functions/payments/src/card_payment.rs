//! Paying for a hold by card: it begins here, the card is given to the provider by its own fields in the page, and what
//! the provider then says, asked by us, books the visit.

use http::StatusCode;
use jiff::SignedDuration;
use kit::audit::Action;
use kit::context::Context;
use kit::form::{self, SecretText};
use kit::hold;
use kit::ids::HoldId;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::booking::{Confirmed, NewPatient};
use crate::payment::Payment;
use crate::provider::{self, CardFields, Wish};
use crate::settle;
use crate::state::{AUTHORISED_FOR, Seen, State};

/// How long the slot is kept for somebody at their card and their bank.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// What is authorised now may be taken some days after the visit.
const MARGIN: SignedDuration = SignedDuration::from_hours(24);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPayment {
    hold: HoldId,
    secret: SecretText,
    patient: NewPatient,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewOwnPayment {
    hold: HoldId,
    secret: SecretText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Check {
    secret: SecretText,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BegunView {
    id: HoldId,
    /// `payment`: authorised now; `setup`: the card is kept, and authorised a day before the visit.
    kind: &'static str,
    client_secret: String,
    card: CardFields,
}

/// `POST /payments/card-payments`.
pub(crate) async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let NewPayment { hold, secret, patient } = form::read(&context.request)?;
    patient.check(&context.clinic().await?, context.now)?;
    begin(context, hold, &secret, patient).await
}

/// `POST /payments/own-card-payments`.
pub(crate) async fn create_own(context: &Context<'_>) -> Result<Reply, Problem> {
    let NewOwnPayment { hold, secret } = form::read(&context.request)?;
    let patient = NewPatient::known(context).await?;
    begin(context, hold, &secret, patient).await
}

async fn begin(
    context: &Context<'_>,
    hold: HoldId,
    secret: &SecretText,
    patient: NewPatient,
) -> Result<Reply, Problem> {
    let provider = provider::of(context).await?;
    let Some(card) = provider.fields() else { return Err(provider::ProviderError::NotOffered.into()) };
    let held = hold::look_at(context, hold, secret).await?;
    if held.price.minor() == 0 {
        return Err(Problem::new(StatusCode::CONFLICT, "nothing-to-pay", "This visit costs nothing"));
    }
    let later = held.start.duration_since(context.now) > AUTHORISED_FOR - MARGIN;
    let kind = |later: bool| if later { "setup" } else { "payment" };
    if let Some(begun) = Payment::find(context, hold).await? {
        let client_secret = provider.client_secret(&begun.names).await?;
        let kind = kind(begun.names.setup.is_some());
        return reply::json(StatusCode::CREATED, &BegunView { id: hold, kind, client_secret, card });
    }
    let wish = Wish { hold, amount: held.price.clone(), later };
    let begun = provider.begin(&wish).await?;
    let payment = Payment {
        hold,
        provider: provider.name().to_owned(),
        names: begun.names,
        state: State::Open,
        amount: held.price,
        appointment: None,
        lost: false,
        patient: Some(patient),
        refusal: None,
        created: context.now,
    };
    context
        .transaction(async || {
            hold::keep_until(context, hold, context.now + PATIENCE).await?;
            payment.insert(context).await
        })
        .await?;
    context.audit(Action::PaymentBegun, Some(&hold));
    let view = BegunView { id: hold, kind: kind(later), client_secret: begun.client_secret, card };
    reply::json(StatusCode::CREATED, &view)
}

/// `POST /payments/card-payments/{id}/check`, by whoever has the secret of the hold. What the page says of the payment
/// counts for nothing: the provider is asked.
pub(crate) async fn check(context: &Context<'_>) -> Result<Reply, Problem> {
    let Check { secret } = form::read(&context.request)?;
    let hold = context.path_id(HoldId::parse)?;
    let known = hold::is_holder(context, hold, &secret).await?;
    let payment = if known { Payment::find(context, hold).await? } else { None };
    let payment = payment.ok_or_else(|| Problem::not_found("No such payment"))?;
    let provider = provider::of(context).await?;
    let clinic = context.clinic().await?;
    let told = settle::ask(context, provider.as_ref(), payment).await?;
    let seen = told.seen.clone();
    let payment = context.transaction(async || settle::apply(context, &clinic, told).await).await?;
    context.audit(Action::PaymentChecked, Some(&hold));
    match payment.appointment {
        Some(appointment) => reply::ok(&Confirmed::of(context, appointment).await?),
        None if payment.lost => {
            let title = "The time was given to somebody else before the payment came; nothing is taken";
            answer_unbooked("payment-too-late", title, StatusCode::CONFLICT)
        }
        None => unbooked(&payment, seen.as_ref()),
    }
}

/// Not a problem of the transaction: what the provider said is kept.
fn answer_unbooked(slug: &'static str, title: &'static str, status: StatusCode) -> Result<Reply, Problem> {
    Ok(Problem::new(status, slug, title).into_reply())
}

fn unbooked(payment: &Payment, seen: Option<&Seen>) -> Result<Reply, Problem> {
    let (slug, title) = if payment.state == State::Cancelled {
        ("payment-cancelled", "This payment was given up; choose a time again")
    } else if seen.is_some_and(|seen| seen.action_required) {
        ("payment-action-required", "Your bank wants you to confirm this payment")
    } else if payment.refusal.is_some() {
        ("payment-declined", "Your bank did not accept this payment")
    } else {
        ("payment-open", "The payment was not made yet")
    };
    answer_unbooked(slug, title, StatusCode::PAYMENT_REQUIRED)
}
