//! What a visit comes to once it is over: metered minutes where the price is by the minute, a part of the price where
//! nobody came.

use jiff::SignedDuration;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::ids::{AppointmentId, InvoiceId};
use kit::meter::{self, Event, Told};
use kit::params;
use kit::problem::Problem;

use crate::ledger::{self, Account, Posting};
use crate::settings::Settings;

/// Media nodes tell the last of a call within this time after its end.
const METERED_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// Invoices that one run closes.
const MOST: i64 = 20;
/// A participant is there for a minute as soon as it has begun, all participants' time taken together.
const MINUTE_MS: i64 = 60_000;

/// Closes what is over. Inside a transaction. How many.
pub(crate) async fn close(context: &Context<'_>) -> Result<usize, Problem> {
    Ok(close_metered(context).await? + close_missed(context).await?)
}

async fn close_metered(context: &Context<'_>) -> Result<usize, Problem> {
    let sql = "SELECT i.id, a.id, l.unit_minor, l.quantity, i.currency FROM invoice i
               JOIN appointment a ON a.clinic = i.clinic AND a.id = i.appointment
               JOIN invoice_line l ON l.clinic = i.clinic AND l.invoice = i.id AND l.place = 1
               WHERE i.clinic = ? AND l.kind = 'minutes' AND i.metered_ms IS NULL AND i.cancelled_at IS NULL
                 AND a.status = 'fulfilled' AND a.ended_at <= ? ORDER BY a.ended_at LIMIT ?";
    let (clinic, database) = (&context.clinic, context.database());
    let rows = database.query(sql, params![clinic, context.now - METERED_AFTER, MOST]).await?;
    for row in &rows {
        let (invoice, appointment) = (row.parsed(0, InvoiceId::parse)?, row.parsed(1, AppointmentId::parse)?);
        let (unit, estimated) = (row.integer(2)?, row.integer(3)?);
        let connected = connected_ms(context, appointment).await?;
        let minutes = connected.saturating_add(MINUTE_MS - 1) / MINUTE_MS;
        let sql = "UPDATE invoice SET metered_ms = ? WHERE clinic = ? AND id = ? AND metered_ms IS NULL";
        if database.execute(sql, params![connected, clinic, invoice]).await? == 0 {
            continue;
        }
        let sql = "UPDATE invoice_line SET quantity = ? WHERE clinic = ? AND invoice = ? AND place = 1";
        database.execute(sql, params![minutes, clinic, invoice]).await?;
        let change = (minutes - estimated).saturating_mul(unit);
        let (debit, credit) = match change > 0 {
            true => (Account::Receivable, Account::Revenue),
            false => (Account::Revenue, Account::Receivable),
        };
        let (name, minor, currency) = (format!("metered/{invoice}"), change.abs(), row.text(4)?);
        ledger::post(context, &Posting { name, invoice: Some(invoice), debit, credit, minor, currency })
            .await?;
    }
    Ok(rows.len())
}

/// Of all participants together, as media nodes told it: gaps and two nodes at once do not count.
async fn connected_ms(context: &Context<'_>, appointment: AppointmentId) -> Result<i64, Problem> {
    let sql = "SELECT participant, node, start, stay, at, kind, gap_ms FROM call_event
               WHERE clinic = ? AND appointment = ? AND stay IS NOT NULL";
    let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
    let read = |row: &Row| -> Result<Event, DatabaseError> {
        let gap = (row.text(5)? == "gap").then(|| row.integer(6)).transpose()?;
        let stay = (format!("{}/{}", row.text(1)?, row.text(2)?), row.text(3)?);
        let told = gap.map_or(Told::There, Told::Gap);
        Ok(Event { participant: row.text(0)?, stay, at: row.integer(4)?, told })
    };
    let events = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(meter::meter(&events).values().map(|metered| metered.connected_ms).sum())
}

/// Who did not come pays a part of the price.
async fn close_missed(context: &Context<'_>) -> Result<usize, Problem> {
    let sql = "SELECT i.id, i.amount_minor, i.currency FROM invoice i
               JOIN appointment a ON a.clinic = i.clinic AND a.id = i.appointment
               WHERE i.clinic = ? AND a.status = 'noshow' AND i.cancelled_at IS NULL
                 AND EXISTS (SELECT 1 FROM invoice_line l
                             WHERE l.clinic = i.clinic AND l.invoice = i.id AND l.place = 1)
                 AND NOT EXISTS (SELECT 1 FROM invoice_line l
                                 WHERE l.clinic = i.clinic AND l.invoice = i.id AND l.kind = 'no-show')
               ORDER BY a.start_at LIMIT ?";
    let (clinic, database) = (&context.clinic, context.database());
    let rows = database.query(sql, params![clinic, MOST]).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let percent = i64::from(Settings::of(context).await?.no_show_percent);
    for row in &rows {
        let (invoice, price) = (row.parsed(0, InvoiceId::parse)?, row.integer(1)?);
        let off = price - price * percent / 100;
        let sql = "INSERT INTO invoice_line (clinic, invoice, place, kind, text, quantity, unit_minor)
                   VALUES (?, ?, 2, 'no-show', 'Did not come', 1, ?)
                   ON CONFLICT (clinic, invoice, place) DO NOTHING";
        database.execute(sql, params![clinic, invoice, -off]).await?;
        let (name, currency) = (format!("no-show/{invoice}"), row.text(2)?);
        let (debit, credit) = (Account::Revenue, Account::Receivable);
        let posting = Posting { name, invoice: Some(invoice), debit, credit, minor: off, currency };
        ledger::post(context, &posting).await?;
    }
    Ok(rows.len())
}
