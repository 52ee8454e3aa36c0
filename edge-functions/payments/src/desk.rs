//! Invoices as the front desk and billing see and settle them.

use http::StatusCode;
use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::Date;
use kit::audit::Action;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::fhir::AppointmentStatus;
use kit::form::{self, Empty};
use kit::ids::{AppointmentId, InvoiceId, RefundId};
use kit::money::Money;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::invoice::{Card, Invoice, Line, Status};
use crate::ledger::{self, Account, Posting};
use crate::payment::{Kind, Payment};
use crate::state::State;
use crate::{provider, settle};

/// An invoice as staff see it. Made to be answered: the patient's name in it is open.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InvoiceView {
    id: InvoiceId,
    number: i64,
    status: Status,
    issued_at: Timestamp,
    visit: VisitView,
    #[serde(skip_serializing_if = "Option::is_none")]
    patient: Option<Named>,
    currency: String,
    charged: String,
    paid: String,
    refunded: String,
    owed: String,
    /// What it comes to is known after the visit.
    estimate: bool,
    lines: Vec<Line>,
    card: Option<Card>,
}

#[derive(Serialize)]
struct VisitView {
    id: AppointmentId,
    start: Timestamp,
    status: AppointmentStatus,
    practitioner: Named,
    service: Named,
}

#[derive(Serialize)]
struct Named {
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invoices {
    time_zone: String,
    invoices: Vec<InvoiceView>,
}

#[derive(Serialize)]
struct Settled {
    invoice: InvoiceView,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPayment {
    method: DeskMethod,
    amount: Money,
}

/// How somebody paid at the clinic.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DeskMethod {
    Cash,
    Terminal,
    Transfer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRefund {
    /// Made by whoever asks: asked for twice, money goes back once.
    id: RefundId,
    amount: Money,
}

impl InvoiceView {
    /// For staff, with the patient's name; the patient knows it.
    pub(crate) fn of(invoice: Invoice, for_staff: bool) -> Result<Self, Problem> {
        let (status, balance) = (invoice.status(), invoice.balance());
        let amount = |minor: i64| Ok::<_, Problem>(invoice.money(minor)?.amount());
        Ok(Self {
            charged: amount(balance.charged)?,
            paid: amount(balance.paid)?,
            refunded: amount(balance.refunded)?,
            owed: amount(balance.owed())?,
            id: invoice.id,
            number: invoice.number,
            status,
            issued_at: invoice.issued,
            visit: VisitView {
                id: invoice.appointment,
                start: invoice.start,
                status: invoice.visit,
                practitioner: Named { name: invoice.practitioner },
                service: Named { name: invoice.service },
            },
            patient: for_staff.then_some(Named { name: invoice.patient }),
            currency: invoice.currency,
            estimate: invoice.estimate,
            lines: invoice.lines,
            card: invoice.card,
        })
    }
}

/// From the beginning of one day to the end of another.
pub(crate) fn bounds(clinic: &Clinic, (from, until): (Date, Date)) -> Option<(Timestamp, Timestamp)> {
    let after = until.checked_add(1.days()).ok()?;
    Some((clinic.start_of(from)?, clinic.start_of(after)?))
}

/// `GET /payments/invoices`.
pub(crate) async fn list(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let day = query.required("date", "a date such as 2026-01-31", form::parse_day)?;
    query.finish()?;
    let clinic = context.clinic().await?;
    let beyond = || Problem::invalid("?date", "is beyond the calendar");
    let found = Invoice::between(context, bounds(&clinic, (day, day)).ok_or_else(beyond)?).await?;
    let invoices = found.into_iter().map(|invoice| InvoiceView::of(invoice, true));
    let invoices = invoices.collect::<Result<_, _>>()?;
    context.audit(Action::InvoicesRead, Some(&day));
    reply::ok(&Invoices { time_zone: clinic.time_zone, invoices })
}

/// `GET /payments/visit-invoice`.
pub(crate) async fn of_visit(context: &Context<'_>) -> Result<Reply, Problem> {
    let invoice = Invoice::of_visit(context, context.visitor()?.appointment).await?;
    context.audit(Action::InvoiceRead, Some(&invoice.id));
    reply::ok(&Settled { invoice: InvoiceView::of(invoice, false)? })
}

async fn answer(context: &Context<'_>, id: InvoiceId, action: Action) -> Result<Reply, Problem> {
    let invoice = Invoice::find(context, id).await?;
    context.audit(action, Some(&id));
    reply::ok(&Settled { invoice: InvoiceView::of(invoice, true)? })
}

/// `POST /payments/invoices/{id}/payments`: paid at the clinic, all that is owed or a part of it.
pub(crate) async fn record_payment(context: &Context<'_>) -> Result<Reply, Problem> {
    let paid: NewPayment = form::read(&context.request)?;
    let id = context.path_id(InvoiceId::parse)?;
    context
        .transaction(async || {
            let invoice = Invoice::find(context, id).await?;
            let minor = within(&invoice, &paid.amount, invoice.balance().owed())?;
            if invoice.card.as_ref().is_some_and(|card| ["authorised", "captured"].contains(&card.state)) {
                let title = "A card is authorised for this; take that, or cancel the visit";
                return Err(Problem::new(StatusCode::CONFLICT, "paid-by-card", title));
            }
            let debit = match paid.method {
                DeskMethod::Cash => Account::Cash,
                DeskMethod::Terminal => Account::Terminal,
                DeskMethod::Transfer => Account::Transfer,
            };
            let count = invoice.entries.len();
            let posting = Posting {
                // The balance that it was paid from is part of the name: a second one at once is another.
                name: format!("paid/{id}/{count}"),
                invoice: Some(id),
                debit,
                credit: Account::Receivable,
                minor,
                currency: invoice.currency,
            };
            ledger::post(context, &posting).await
        })
        .await?;
    answer(context, id, Action::InvoicePaid).await
}

/// Between nothing and `most`, in the currency of the invoice.
fn within(invoice: &Invoice, amount: &Money, most: i64) -> Result<i64, Problem> {
    if amount.currency().as_str() != invoice.currency {
        return Err(Problem::invalid("/amount/currency", "is not the invoice's"));
    }
    if amount.minor() == 0 || amount.minor() > most {
        let title = "This is more than there is, or nothing";
        return Err(Problem::new(StatusCode::CONFLICT, "amount-out-of-range", title));
    }
    Ok(amount.minor())
}

/// `POST /payments/invoices/{id}/capture`: at once, or once more after a refusal.
pub(crate) async fn capture(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let id = context.path_id(InvoiceId::parse)?;
    context
        .transaction(async || {
            let invoice = Invoice::find(context, id).await?;
            let nothing =
                || Problem::new(StatusCode::CONFLICT, "nothing-to-capture", "No card is authorised for this");
            let payment = Payment::of_visit(context, invoice.appointment).await?.ok_or_else(nothing)?;
            let owed = invoice.balance().owed().min(payment.amount.minor());
            let (kind, minor) = match payment.state {
                State::Authorised if owed > 0 => (Kind::Capture, Some(owed)),
                State::Saved | State::Declined if owed > 0 => (Kind::Charge, None),
                _ => return Err(nothing()),
            };
            let tries = payment.refused(context, kind).await?;
            let key = format!("{}/{}/{tries}", kind.as_str(), payment.hold);
            payment.want(context, &key, kind, minor).await
        })
        .await?;
    answer(context, id, Action::CaptureAsked).await
}

/// `POST /payments/invoices/{id}/refunds`.
pub(crate) async fn refund(context: &Context<'_>) -> Result<Reply, Problem> {
    let wish: NewRefund = form::read(&context.request)?;
    let id = context.path_id(InvoiceId::parse)?;
    context.transaction(async || want_refund(context, id, &wish).await).await?;
    answer(context, id, Action::RefundAsked).await
}

async fn want_refund(context: &Context<'_>, id: InvoiceId, wish: &NewRefund) -> Result<(), Problem> {
    let invoice = Invoice::find(context, id).await?;
    let key = format!("refund/{}", wish.id);
    if is_wanted(context, &key).await? {
        return Ok(());
    }
    let balance = invoice.balance();
    let waiting = waiting_refunds(context, invoice.appointment).await?;
    let minor = within(&invoice, &wish.amount, balance.paid - balance.refunded - waiting)?;
    let Some(account) = invoice.paid_by() else {
        return Err(Problem::new(StatusCode::CONFLICT, "amount-out-of-range", "Nothing was paid"));
    };
    if account == Account::Provider {
        let payment = Payment::of_visit(context, invoice.appointment).await?;
        let payment = payment.ok_or_else(|| Problem::not_found("No such payment"))?;
        payment.want(context, &key, Kind::Refund, Some(minor)).await?;
        return Ok(());
    }
    let (debit, credit) = (Account::Refunds, account);
    let posting = Posting { name: key, invoice: Some(id), debit, credit, minor, currency: invoice.currency };
    ledger::post(context, &posting).await?;
    Ok(())
}

/// Whether money was asked to go back by that name before.
async fn is_wanted(context: &Context<'_>, key: &str) -> Result<bool, Problem> {
    let sql = "SELECT 1 FROM provider_call WHERE clinic = ?1 AND key = ?2
               UNION ALL SELECT 1 FROM ledger WHERE clinic = ?1 AND posting = ?2";
    Ok(!context.database().query(sql, kit::params![&context.clinic, key]).await?.is_empty())
}

/// What is to go back and has not gone yet, in minor units.
async fn waiting_refunds(context: &Context<'_>, appointment: AppointmentId) -> Result<i64, Problem> {
    let sql = "SELECT coalesce(sum(q.amount_minor), 0) FROM provider_call q
               JOIN card_payment c ON c.clinic = q.clinic AND c.hold = q.hold
               WHERE q.clinic = ? AND c.appointment = ? AND q.kind = 'refund' AND q.done_at IS NULL";
    let rows = context.database().query(sql, kit::params![&context.clinic, appointment]).await?;
    Ok(rows.first().map(|row| row.integer(0)).transpose()?.unwrap_or(0))
}

/// `POST /payments/invoices/{id}/settle`.
pub(crate) async fn settle(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let id = context.path_id(InvoiceId::parse)?;
    let appointment = Invoice::find(context, id).await?.appointment;
    let clinic = context.clinic().await?;
    if let Some(payment) = Payment::of_visit(context, appointment).await? {
        let provider = provider::of(context).await?;
        let told = settle::ask(context, provider.as_ref(), payment).await?;
        context.transaction(async || settle::apply(context, &clinic, told).await).await?;
    }
    answer(context, id, Action::InvoiceSettled).await
}
