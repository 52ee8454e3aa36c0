//! An invoice as the database and the books have it.

use jiff::Timestamp;
use kit::context::Context;
use kit::database::{DatabaseError, Row, Value};
use kit::fhir::AppointmentStatus;
use kit::ids::{AppointmentId, InvoiceId};
use kit::money::{Currency, Money};
use kit::params;
use kit::problem::Problem;
use serde::Serialize;

use crate::ledger::{self, Account, Balance, Entry};
use crate::state::State;

/// An amount of a row.
pub(crate) fn money(minor: i64, currency: &str) -> Result<Money, DatabaseError> {
    let shape = DatabaseError::Shape { column: 0, wanted: "an amount of money" };
    Currency::parse(currency).and_then(|currency| Money::from_minor(minor, currency)).ok_or(shape)
}

/// The invoice of an appointment.
pub(crate) async fn id_of(
    context: &Context<'_>,
    appointment: Option<AppointmentId>,
) -> Result<Option<InvoiceId>, Problem> {
    let Some(appointment) = appointment else { return Ok(None) };
    let sql = "SELECT id FROM invoice WHERE clinic = ? AND appointment = ?";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    Ok(rows.first().map(|row| row.parsed(0, InvoiceId::parse)).transpose()?)
}

/// Whether what a visit costs is not known yet: it is metered, or was not looked at since it was missed.
pub(crate) async fn is_unfinished(
    context: &Context<'_>,
    appointment: Option<AppointmentId>,
) -> Result<bool, Problem> {
    let sql = "SELECT 1 FROM invoice i
               JOIN appointment a ON a.clinic = i.clinic AND a.id = i.appointment
               JOIN invoice_line l ON l.clinic = i.clinic AND l.invoice = i.id AND l.place = 1
               WHERE i.clinic = ? AND i.appointment = ? AND (
                 (a.status = 'fulfilled' AND l.kind = 'minutes' AND i.metered_ms IS NULL)
                 OR (a.status = 'noshow' AND NOT EXISTS (
                   SELECT 1 FROM invoice_line o
                   WHERE o.clinic = i.clinic AND o.invoice = i.id AND o.kind = 'no-show')))";
    Ok(!context.database().query(sql, params![&context.clinic, appointment]).await?.is_empty())
}

/// How far an invoice is paid.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// Something is owed.
    Issued,
    /// All is paid.
    Balanced,
    /// Nothing is owed any more.
    Cancelled,
}

/// A line, as it was agreed on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) quantity: i64,
    /// With its sign: what was taken off is negative.
    pub(crate) unit: String,
    pub(crate) amount: String,
    #[serde(skip)]
    pub(crate) minor: i64,
}

/// One invoice, with what the books say.
pub(crate) struct Invoice {
    pub(crate) id: InvoiceId,
    pub(crate) appointment: AppointmentId,
    pub(crate) number: i64,
    pub(crate) currency: String,
    pub(crate) issued: Timestamp,
    pub(crate) cancelled: bool,
    pub(crate) start: Timestamp,
    pub(crate) visit: AppointmentStatus,
    pub(crate) patient: String,
    pub(crate) practitioner: String,
    pub(crate) service: String,
    pub(crate) estimate: bool,
    pub(crate) card: Option<Card>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) lines: Vec<Line>,
}

/// How a card payment for it stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Card {
    pub(crate) state: &'static str,
    pub(crate) refusal: Option<String>,
    /// The provider is still to be asked for something.
    pub(crate) pending: bool,
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT i.id, i.appointment, coalesce(i.number, 0), i.currency, i.issued_at, i.cancelled_at,
                    a.start_at, a.status, t.name, p.name, s.name, c.state, c.refusal,
                    EXISTS (SELECT 1 FROM provider_call q
                            WHERE q.clinic = c.clinic AND q.hold = c.hold AND q.done_at IS NULL),
                    EXISTS (SELECT 1 FROM invoice_line l WHERE l.clinic = i.clinic AND l.invoice = i.id
                              AND l.kind = 'minutes') AND i.metered_ms IS NULL, i.amount_minor
             FROM invoice i
             JOIN appointment a ON a.clinic = i.clinic AND a.id = i.appointment
             JOIN patient t ON t.clinic = a.clinic AND t.id = a.patient
             JOIN practitioner p ON p.clinic = a.clinic AND p.id = a.practitioner
             JOIN service s ON s.clinic = a.clinic AND s.id = a.service
             LEFT JOIN card_payment c ON c.clinic = a.clinic AND c.appointment = a.id
             WHERE i.clinic = ?1 AND ",
            $condition
        )
    };
}

impl Invoice {
    pub(crate) async fn find(context: &Context<'_>, id: InvoiceId) -> Result<Self, Problem> {
        Self::one(context, select!("i.id = ?2"), id.into()).await
    }

    pub(crate) async fn of_visit(context: &Context<'_>, appointment: AppointmentId) -> Result<Self, Problem> {
        Self::one(context, select!("i.appointment = ?2"), appointment.into()).await
    }

    async fn one(context: &Context<'_>, sql: &str, by: Value) -> Result<Self, Problem> {
        let rows = context.database().query(sql, vec![(&context.clinic).into(), by]).await?;
        let row = rows.first().ok_or_else(|| Problem::not_found("No such invoice"))?;
        Self::read(context, row).await
    }

    /// Those of visits that begin in between, the first first.
    pub(crate) async fn between(
        context: &Context<'_>,
        (from, until): (Timestamp, Timestamp),
    ) -> Result<Vec<Self>, Problem> {
        let sql = select!("a.start_at >= ?2 AND a.start_at < ?3 ORDER BY a.start_at, i.id LIMIT 500");
        let rows = context.database().query(sql, params![&context.clinic, from, until]).await?;
        let mut invoices = Vec::with_capacity(rows.len());
        for row in &rows {
            invoices.push(Self::read(context, row).await?);
        }
        Ok(invoices)
    }

    async fn read(context: &Context<'_>, row: &Row) -> Result<Self, Problem> {
        let id = row.parsed(0, InvoiceId::parse)?;
        let card = match row.text_or_null(11)? {
            Some(_) => Some(Card {
                state: row.parsed(11, State::parse)?.as_str(),
                refusal: row.text_or_null(12)?,
                pending: row.integer(13)? != 0,
            }),
            None => None,
        };
        let (currency, service) = (row.text(3)?, row.text(10)?);
        let mut lines = lines(context, id, &currency).await?;
        if lines.is_empty() {
            let minor = row.integer(15)?;
            lines.push(Line::new("visit", &service, 1, minor, &currency)?);
        }
        Ok(Self {
            id,
            appointment: row.parsed(1, AppointmentId::parse)?,
            number: row.integer(2)?,
            currency,
            issued: row.time(4)?,
            cancelled: row.time_or_null(5)?.is_some(),
            start: row.time(6)?,
            visit: row.parsed(7, AppointmentStatus::parse)?,
            patient: row.text(8)?,
            practitioner: row.text(9)?,
            service,
            estimate: row.integer(14)? != 0,
            card,
            entries: ledger::of_invoice(context, id).await?,
            lines,
        })
    }

    pub(crate) fn balance(&self) -> Balance {
        ledger::balance(&self.entries)
    }

    pub(crate) fn status(&self) -> Status {
        let balance = self.balance();
        if self.cancelled && balance.owed() <= 0 && balance.paid == balance.refunded {
            Status::Cancelled
        } else if balance.owed() <= 0 {
            Status::Balanced
        } else {
            Status::Issued
        }
    }

    /// An amount that is not negative.
    pub(crate) fn money(&self, minor: i64) -> Result<Money, Problem> {
        Ok(money(minor.max(0), &self.currency)?)
    }

    /// Where it was paid last.
    pub(crate) fn paid_by(&self) -> Option<Account> {
        self.entries.iter().rev().find(|entry| entry.debit.is_money()).map(|entry| entry.debit)
    }
}

impl Line {
    fn new(kind: &str, text: &str, quantity: i64, unit: i64, currency: &str) -> Result<Self, DatabaseError> {
        let minor = quantity.saturating_mul(unit);
        let signed = |minor: i64| -> Result<String, DatabaseError> {
            let amount = money(minor.saturating_abs(), currency)?.amount();
            Ok(if minor < 0 { format!("-{amount}") } else { amount })
        };
        Ok(Self {
            kind: kind.to_owned(),
            text: text.to_owned(),
            quantity,
            unit: signed(unit)?,
            amount: signed(minor)?,
            minor,
        })
    }
}

async fn lines(context: &Context<'_>, invoice: InvoiceId, currency: &str) -> Result<Vec<Line>, Problem> {
    let sql = "SELECT kind, text, quantity, unit_minor FROM invoice_line
               WHERE clinic = ? AND invoice = ? ORDER BY place";
    let rows = context.database().query(sql, params![&context.clinic, invoice]).await?;
    let read =
        |row: &Row| Line::new(&row.text(0)?, &row.text(1)?, row.integer(2)?, row.integer(3)?, currency);
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}
