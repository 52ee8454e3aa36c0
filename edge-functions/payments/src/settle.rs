//! A payment is brought to where its provider says it is: first the provider is asked, then all of it is written in one
//! transaction.
//!
//! What moves money is written down before the provider is asked for it, by an earlier request, under a key that the
//! provider is given too. So a request that is sent again, or breaks off anywhere, has no second effect.

use kit::clinic::Clinic;
use kit::context::Context;
use kit::hold;
use kit::ids::{InvoiceId, PatientId};
use kit::outbox::{self, Message};
use kit::params;
use kit::problem::Problem;
use kit::texts::{self, Answer, Text};

use crate::booking;
use crate::invoice;
use crate::ledger::{self, Account, Posting};
use crate::payment::{Call, Kind, Payment};
use crate::provider::{Names, Provider, ProviderError};
use crate::state::{self, Due, Happened, Seen, Standing, State};

/// What the provider said.
pub(crate) struct Told {
    payment: Payment,
    calls: Vec<(Call, Result<(), String>)>,
    /// The names it has by now.
    names: Names,
    pub(crate) seen: Option<Seen>,
}

/// Asks the provider for what is to be asked, and how far it is. Writes nothing.
pub(crate) async fn ask(
    context: &Context<'_>,
    provider: &dyn Provider,
    payment: Payment,
) -> Result<Told, Problem> {
    let mut told = Told { names: payment.names.clone(), calls: Vec::new(), seen: None, payment };
    if told.payment.provider != provider.name() {
        // Another provider's, or the key is gone: a person has to look.
        return Err(ProviderError::NotOffered.into());
    }
    for call in told.payment.calls(context).await? {
        match perform(provider, &told.payment, &told.names, &call).await {
            Ok(intent) => {
                told.names.intent = intent.or(told.names.intent);
                told.calls.push((call, Ok(())));
            }
            Err(ProviderError::Refused { code, intent }) => {
                if call.kind == Kind::Charge {
                    told.names.intent = intent.or(told.names.intent);
                }
                told.calls.push((call, Err(code)));
            }
            // It is asked again, with the same key.
            Err(_) => break,
        }
    }
    match provider.look(&told.names).await {
        Ok(seen) => told.seen = Some(seen),
        // What was answered so far is to be kept.
        Err(error) if told.calls.is_empty() => return Err(error.into()),
        Err(_) => {}
    }
    Ok(told)
}

async fn perform(
    provider: &dyn Provider,
    payment: &Payment,
    names: &Names,
    call: &Call,
) -> Result<Option<String>, ProviderError> {
    let minor = call.minor.unwrap_or_else(|| payment.amount.minor());
    match call.kind {
        Kind::Charge => {
            return provider.charge(&call.key, names, payment.hold, &payment.amount).await.map(Some);
        }
        Kind::Capture => provider.capture(&call.key, names, minor).await?,
        Kind::Cancel => provider.cancel(&call.key, names).await?,
        Kind::Refund => provider.refund(&call.key, names, minor).await?,
    }
    Ok(None)
}

/// Writes down what the provider said, books what is paid for, and writes down what it is to be asked for next.
/// Inside a transaction.
pub(crate) async fn apply(context: &Context<'_>, clinic: &Clinic, told: Told) -> Result<Payment, Problem> {
    // Somebody else may have been faster since it was read.
    let found = Payment::find(context, told.payment.hold).await?;
    let mut payment = found.ok_or_else(|| Problem::not_found("No such payment"))?;
    let before = payment.state;
    for (call, outcome) in &told.calls {
        keep_outcome(context, call, outcome).await?;
        let let_go = call.kind == Kind::Cancel && outcome.is_ok();
        match outcome {
            Err(_) if call.kind == Kind::Charge => payment.state = payment.state.max(State::Declined),
            _ if let_go => payment.state = payment.state.max(State::Cancelled),
            _ => {}
        }
        if let Err(code) = outcome {
            payment.refusal = Some(code.clone());
        }
    }
    payment.names.intent = told.names.intent.or(payment.names.intent);
    if let Some(seen) = &told.seen {
        follow(context, clinic, &mut payment, seen).await?;
    }
    if payment.state == State::Declined && before != State::Declined {
        tell_declined(context, clinic, &payment).await?;
    }
    if payment.state == State::Cancelled {
        payment.patient = None;
    }
    let start = payment.visit(context).await?.start;
    payment.save(context, start).await?;
    plan(context, &payment).await?;
    Ok(payment)
}

async fn keep_outcome(
    context: &Context<'_>,
    call: &Call,
    outcome: &Result<(), String>,
) -> Result<(), Problem> {
    let sql = "UPDATE provider_call SET done_at = ?, outcome = ?, refusal = ?
               WHERE clinic = ? AND key = ? AND done_at IS NULL";
    let word = if outcome.is_ok() { "done" } else { "refused" };
    let refusal = outcome.as_ref().err().cloned();
    let values = params![context.now, word, refusal, &context.clinic, call.key.as_str()];
    context.database().execute(sql, values).await?;
    Ok(())
}

/// Where the provider says it is.
async fn follow(
    context: &Context<'_>,
    clinic: &Clinic,
    payment: &mut Payment,
    seen: &Seen,
) -> Result<(), Problem> {
    let (state, happened) = state::merge(payment.state, seen);
    payment.state = state;
    payment.names.method = seen.method.clone().or(payment.names.method.take());
    if seen.refusal.is_some() {
        payment.refusal.clone_from(&seen.refusal);
    }
    let unbooked = payment.appointment.is_none() && !payment.lost;
    if unbooked && state.is_enough() {
        match hold::use_up_paid(context, payment.hold).await? {
            Some(held) => {
                let patient = payment.patient.take();
                let patient = patient.ok_or_else(|| Problem::not_found("No patient of this payment"))?;
                let booked = booking::book(context, clinic, (payment.hold, &held), &patient).await?;
                payment.appointment = Some(booked);
            }
            None => payment.lost = true,
        }
    }
    let invoice = invoice::id_of(context, payment.appointment).await?;
    for event in happened {
        ledger::post(context, &posting(payment, invoice, event)).await?;
    }
    Ok(())
}

fn posting(payment: &Payment, invoice: Option<InvoiceId>, event: Happened) -> Posting {
    let currency = payment.amount.currency().as_str().to_owned();
    let hold = payment.hold;
    match event {
        Happened::Captured(minor) => Posting {
            name: format!("captured/{hold}"),
            invoice,
            debit: Account::Provider,
            credit: Account::Receivable,
            minor,
            currency,
        },
        Happened::Refunded(id, minor) => Posting {
            name: format!("refunded/{hold}/{id}"),
            invoice,
            debit: Account::Refunds,
            credit: Account::Provider,
            minor,
            currency,
        },
    }
}

/// A card that was kept is refused: the patient is told, with a link only.
async fn tell_declined(context: &Context<'_>, clinic: &Clinic, payment: &Payment) -> Result<(), Problem> {
    let sql = "SELECT t.email, t.id FROM appointment a
               JOIN patient t ON t.clinic = a.clinic AND t.id = a.patient
               WHERE a.clinic = ? AND a.id = ? AND a.status IN ('booked', 'arrived')";
    let rows = context.database().query(sql, params![&context.clinic, payment.appointment]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (recipient, pages) = (row.text(0)?, context.variable("pages_origin").await?);
    let language = context.language_of(row.parsed(1, PatientId::parse)?).await?;
    let Text { subject, body } = texts::answer(language, clinic, Answer::CardRefused);
    let link = format!("{pages}/c/{}", context.clinic);
    outbox::put(context, Message { recipient: &recipient, subject: &subject, body: &body, link: &link }).await
}

/// What is due, once each; what was refused is for a person to try again.
pub(crate) async fn plan(context: &Context<'_>, payment: &Payment) -> Result<(), Problem> {
    let visit = payment.visit(context).await?;
    let invoice = invoice::id_of(context, payment.appointment).await?;
    let owed_minor = match invoice {
        Some(invoice) => ledger::balance(&ledger::of_invoice(context, invoice).await?).owed(),
        None => 0,
    };
    let standing = Standing {
        state: payment.state,
        visit: visit.status,
        start: visit.start,
        hold_expires: visit.hold_expires,
        amount_minor: payment.amount.minor(),
        owed_minor,
        unmetered: invoice::is_unfinished(context, payment.appointment).await?,
        lost: payment.lost,
    };
    let (kind, minor) = match state::due(&standing, context.now) {
        None => return Ok(()),
        Some(Due::Charge) => (Kind::Charge, None),
        Some(Due::Capture(minor)) => (Kind::Capture, Some(minor)),
        Some(Due::Cancel) => (Kind::Cancel, None),
    };
    payment.want(context, &format!("{}/{}/0", kind.as_str(), payment.hold), kind, minor).await?;
    Ok(())
}
