//! What is due is done, and what the provider says is written down: by the clock, and when somebody presses a button. A
//! webhook that never came is made up for here.

use jiff::SignedDuration;
use kit::audit::Action;
use kit::context::Context;
use kit::form::{self, Empty};
use kit::ids::HoldId;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::payment::Payment;
use crate::state::CHARGE_BEFORE;
use crate::{closing, provider, settle};

/// Payments that one run asks for: each takes a question or two of the ten seconds that a function has.
const MOST: i64 = 10;
/// How long we remember what the provider told: it tells nothing again after three days.
const EVENTS_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    /// Payments that the provider was asked for.
    asked: usize,
    /// Of those, the ones that it did not answer for, or not with sense.
    unanswered: usize,
    /// Invoices of visits that are over.
    closed: usize,
    /// Whether there is more to do at once.
    more: bool,
}

/// `POST /payments/reconcile`, of the host.
pub(crate) async fn reconcile(context: &Context<'_>) -> Result<Reply, Problem> {
    context.node()?;
    run(context).await
}

/// `POST /payments/reconciliations`, of staff.
pub(crate) async fn reconcile_now(context: &Context<'_>) -> Result<Reply, Problem> {
    let reply = run(context).await?;
    context.audit(Action::PaymentsReconciled, Some(&context.clinic));
    Ok(reply)
}

async fn run(context: &Context<'_>) -> Result<Reply, Problem> {
    let Empty {} = form::read(&context.request)?;
    let clinic = context.clinic().await?;
    let provider = provider::of(context).await?;
    let due = if provider.fields().is_some() { due(context).await? } else { Vec::new() };
    let more = i64::try_from(due.len()).is_ok_and(|count| count >= MOST);
    let (mut told, mut unanswered) = (Vec::new(), Vec::new());
    for hold in due {
        let Some(payment) = Payment::find(context, hold).await? else { continue };
        match settle::ask(context, provider.as_ref(), payment).await {
            Ok(answers) => told.push(answers),
            // The next one may be answered.
            Err(_) => unanswered.push(hold),
        }
    }
    let asked = told.len() + unanswered.len();
    let closed = context
        .transaction(async || {
            let closed = closing::close(context).await?;
            for answers in told {
                settle::apply(context, &clinic, answers).await?;
            }
            for hold in &unanswered {
                // Those behind it are to have their turn.
                let sql = "UPDATE card_payment SET due_at = ? WHERE clinic = ? AND hold = ?";
                let later = context.now + SignedDuration::from_mins(5);
                context.database().execute(sql, params![later, &context.clinic, *hold]).await?;
            }
            let sql = "DELETE FROM provider_event WHERE clinic = ? AND at < ?";
            context.database().execute(sql, params![&context.clinic, context.now - EVENTS_KEPT]).await?;
            Ok(closed)
        })
        .await?;
    reply::ok(&Run { asked, unanswered: unanswered.len(), closed, more })
}

/// Payments to look at: those whose time has come, those with something to ask for, cards that are kept for a visit that was moved to
/// within a day, and those whose visit is over.
async fn due(context: &Context<'_>) -> Result<Vec<HoldId>, Problem> {
    let sql = "SELECT c.hold FROM card_payment c
               WHERE c.clinic = ?1 AND (c.due_at <= ?2
                 OR EXISTS (SELECT 1 FROM provider_call q
                            WHERE q.clinic = c.clinic AND q.hold = c.hold AND q.done_at IS NULL)
                 OR c.state = 'saved' AND EXISTS (
                   SELECT 1 FROM appointment a WHERE a.clinic = c.clinic AND a.id = c.appointment
                     AND a.status IN ('booked', 'arrived') AND a.start_at <= ?4)
                 OR c.state IN ('saved', 'authorised') AND EXISTS (
                   SELECT 1 FROM appointment a WHERE a.clinic = c.clinic AND a.id = c.appointment
                     AND a.status IN ('fulfilled', 'cancelled', 'noshow'))
                   AND NOT EXISTS (SELECT 1 FROM provider_call q
                                   WHERE q.clinic = c.clinic AND q.hold = c.hold AND q.outcome = 'refused'))
               ORDER BY c.due_at, c.hold LIMIT ?3";
    let soon = context.now + CHARGE_BEFORE;
    let rows = context.database().query(sql, params![&context.clinic, context.now, MOST, soon]).await?;
    Ok(rows.iter().map(|row| row.parsed(0, HoldId::parse)).collect::<Result<_, _>>()?)
}
