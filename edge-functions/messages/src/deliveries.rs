//! What the edge host sends: it claims messages, and says what became of them. A message is handed out once; what was claimed
//! and has no outcome in time is for people.

use jiff::SignedDuration;
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form;
use kit::ids::MessageId;
use kit::outbox;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::short_hooks;

/// So often one message is tried.
pub const MAX_ATTEMPTS: i64 = 6;
/// What was written without a word on how long it is of use.
pub const USEFUL: SignedDuration = SignedDuration::from_hours(24);
/// Most messages of one claim, and most outcomes of one request.
pub const MOST: i64 = 32;
const MAX_NAME_BYTES: usize = 64;
/// Rows that one request moves to the work list or takes back: the next one goes on.
const MAX_MOVED: i64 = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Request {
    /// Drawn for this batch. The same again gets the same messages.
    claim: String,
    /// As many at most; none: it only says what became of others.
    most: i64,
    /// How long the claim holds: whoever has it sends nothing later.
    claim_seconds: i64,
    /// What can be sent by.
    channels: Vec<String>,
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    claim: String,
    id: String,
    outcome: Became,
    /// A word and a code, such as `smtp-550`.
    reason: Option<String>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Became {
    /// A server has taken it.
    Sent,
    /// Not now: nobody has taken it.
    Retry,
    /// Never: the server has said so of the message.
    Failed,
    /// Never: the server has said so of the address.
    Bounced,
    /// Nobody can say whether a server has taken it.
    Unknown,
    /// It was not tried.
    Untouched,
}

#[derive(Serialize)]
struct Claimed {
    messages: Vec<MessageView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageView {
    id: MessageId,
    channel: String,
    to: String,
    from_name: String,
    subject: String,
    /// All of it, as it is sent.
    text: String,
    opt_out: Option<String>,
}

/// `POST /messages/deliveries`, of the edge host that leads the clinic's records.
pub async fn create_deliveries(context: &Context<'_>) -> Result<Reply, Problem> {
    context.node()?;
    let request: Request = form::read(&context.request)?;
    check(&request)?;
    let messages = context
        .transaction(async || {
            for outcome in &request.outcomes {
                keep(context, outcome).await?;
            }
            if request.most == 0 {
                return Ok(Vec::new());
            }
            give_up(context).await?;
            let again = claimed(context, &request.claim).await?;
            if !again.is_empty() {
                return Ok(again);
            }
            claim(context, &request).await?;
            claimed(context, &request.claim).await
        })
        .await?;
    reply::ok(&Claimed { messages })
}

fn check(request: &Request) -> Result<(), Problem> {
    if !(0..=MOST).contains(&request.most) {
        return Err(Problem::invalid("/most", format!("must be 0 to {MOST}")));
    }
    if !(3..=600).contains(&request.claim_seconds) {
        return Err(Problem::invalid("/claimSeconds", "must be 3 to 600"));
    }
    if request.outcomes.len() as i64 > MOST {
        return Err(Problem::invalid("/outcomes", format!("must be {MOST} at most")));
    }
    let names = request.outcomes.iter().flat_map(|outcome| [Some(&outcome.claim), outcome.reason.as_ref()]);
    if names.flatten().chain([&request.claim]).any(|name| name.is_empty() || name.len() > MAX_NAME_BYTES) {
        return Err(Problem::invalid("", "a name is too long, or empty"));
    }
    Ok(())
}

/// Only of a claim that still stands: a message that people have sent again meanwhile is theirs.
async fn keep(context: &Context<'_>, outcome: &Outcome) -> Result<(), Problem> {
    let Some(id) = MessageId::parse(&outcome.id) else {
        return Err(Problem::invalid("/outcomes", "names no message"));
    };
    let sql = "SELECT attempts, coalesce(useful_until, created_at + ?4), recipient FROM outbox_message
               WHERE clinic = ?1 AND id = ?2 AND claim = ?3 AND state IN ('claimed', 'unknown')";
    let values = params![&context.clinic, id, outcome.claim.as_str(), USEFUL.as_millis() as i64];
    let rows = context.database().query(sql, values).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (attempts, useful_until, recipient) = (row.integer(0)?, row.time(1)?, row.text(2)?);
    let next = context.now + back_off(attempts);
    let (state, not_before) = match outcome.outcome {
        Became::Sent => ("sent", None),
        Became::Unknown => ("unknown", None),
        Became::Failed | Became::Bounced => ("failed", None),
        Became::Untouched => ("waiting", Some(context.now)),
        Became::Retry if attempts < MAX_ATTEMPTS && next < useful_until => ("waiting", Some(next)),
        Became::Retry => ("failed", None),
    };
    let sql = "UPDATE outbox_message SET state = ?4, not_before = coalesce(?5, not_before), reason = ?6,
                 claim = CASE WHEN ?4 = 'waiting' THEN NULL ELSE claim END, claim_until = NULL,
                 attempts = attempts - ?7, ended_at = CASE WHEN ?4 = 'waiting' THEN NULL ELSE ?8 END
               WHERE clinic = ?1 AND id = ?2 AND claim = ?3";
    let values = params![
        &context.clinic,
        id,
        outcome.claim.as_str(),
        state,
        not_before,
        outcome.reason.clone(),
        i64::from(outcome.outcome == Became::Untouched),
        context.now
    ];
    context.database().execute(sql, values).await?;
    match outcome.outcome {
        Became::Sent => {
            context.audit(Action::MessageSent, Some(&id));
            forget(context, id).await
        }
        Became::Bounced => {
            context.audit(Action::MessageFailed, Some(&id));
            let code = outcome.reason.as_deref().and_then(|reason| reason.strip_prefix("sms-"));
            match code {
                Some(code) if code == short_hooks::STOPPED => {
                    short_hooks::refused(context, &recipient, code).await
                }
                _ => outbox::note_failing(context, &recipient).await,
            }
        }
        Became::Failed | Became::Unknown => {
            context.audit(Action::MessageFailed, Some(&id));
            Ok(())
        }
        Became::Retry | Became::Untouched => Ok(()),
    }
}

/// What is sent opens nothing here any more, but where a demonstration shows it.
async fn forget(context: &Context<'_>, id: MessageId) -> Result<(), Problem> {
    if context.variable("demo").await? == "true" {
        return Ok(());
    }
    let sql = "UPDATE outbox_message SET body = '', link = '', opt_out = NULL WHERE clinic = ? AND id = ?";
    context.database().execute(sql, params![&context.clinic, id]).await?;
    Ok(())
}

/// 1, 4, 16 minutes, and so on to four hours.
fn back_off(attempts: i64) -> SignedDuration {
    let exponent = u32::try_from(attempts - 1).unwrap_or(0).min(4);
    SignedDuration::from_mins(4_i64.pow(exponent).min(240))
}

/// What nobody has said anything of in time, what is of no use any more, and what nobody should get.
async fn give_up(context: &Context<'_>) -> Result<(), Problem> {
    let database = context.database();
    let sql = "UPDATE outbox_message SET state = 'unknown', reason = 'no-outcome', ended_at = ?2
               WHERE clinic = ?1 AND state = 'claimed' AND claim_until <= ?2";
    database.execute(sql, params![&context.clinic, context.now]).await?;
    let sql = "UPDATE outbox_message SET state = 'withdrawn', reason = 'visit-changed', ended_at = ?2
               WHERE clinic = ?1 AND id IN (
                 SELECT m.id FROM outbox_message m
                 CROSS JOIN reminder r ON r.clinic = m.clinic AND r.message = m.id
                 JOIN appointment a ON a.clinic = r.clinic AND a.id = r.appointment
                 WHERE m.clinic = ?1 AND m.state = 'waiting' AND m.not_before <= ?2
                   AND (a.status <> 'booked' OR a.start_at <> r.start_at) LIMIT ?3)";
    database.execute(sql, params![&context.clinic, context.now, MAX_MOVED]).await?;
    let sql = "UPDATE outbox_message SET state = 'withdrawn', reason = 'visit-changed', ended_at = ?2
               WHERE clinic = ?1 AND id IN (
                 SELECT m.id FROM outbox_message m
                 CROSS JOIN chase c ON c.clinic = m.clinic AND c.message = m.id
                 JOIN appointment a ON a.clinic = c.clinic AND a.id = c.appointment
                 WHERE m.clinic = ?1 AND m.state = 'waiting' AND m.not_before <= ?2
                   AND (a.status <> 'booked' OR a.start_at <> c.start_at) LIMIT ?3)";
    database.execute(sql, params![&context.clinic, context.now, MAX_MOVED]).await?;
    let sql = "UPDATE outbox_message SET state = 'expired', reason = 'too-late', ended_at = ?2
               WHERE clinic = ?1 AND id IN (
                 SELECT id FROM outbox_message WHERE clinic = ?1 AND state = 'waiting' AND not_before <= ?2
                   AND coalesce(useful_until, created_at + ?4) <= ?2 LIMIT ?3)";
    let values = params![&context.clinic, context.now, MAX_MOVED, USEFUL.as_millis() as i64];
    database.execute(sql, values).await?;
    Ok(())
}

/// What somebody waits for comes first.
async fn claim(context: &Context<'_>, request: &Request) -> Result<(), Problem> {
    let by = |name: &str| i64::from(request.channels.iter().any(|channel| channel == name));
    let sql =
        "UPDATE outbox_message SET state = 'claimed', claim = ?2, claim_until = ?4, attempts = attempts + 1
               WHERE clinic = ?1 AND state = 'waiting' AND id IN (
                 SELECT id FROM outbox_message
                 WHERE clinic = ?1 AND state = 'waiting' AND not_before <= ?3
                   AND coalesce(useful_until, created_at + ?8) > ?3
                   AND CASE channel WHEN 'email' THEN ?6 WHEN 'sms' THEN ?7 ELSE 0 END
                 ORDER BY opt_out IS NOT NULL, created_at, id LIMIT ?5)";
    let values = params![
        &context.clinic,
        request.claim.as_str(),
        context.now,
        context.now + SignedDuration::from_secs(request.claim_seconds),
        request.most,
        by("email"),
        by("sms"),
        USEFUL.as_millis() as i64
    ];
    context.database().execute(sql, values).await?;
    Ok(())
}

async fn claimed(context: &Context<'_>, claim: &str) -> Result<Vec<MessageView>, Problem> {
    let sql = "SELECT m.id, m.channel, m.recipient, c.name, m.subject, m.body, m.link, m.opt_out
               FROM outbox_message m INDEXED BY outbox_claimed JOIN clinic c ON c.clinic = m.clinic
               WHERE m.clinic = ? AND m.claim = ? AND m.state = 'claimed' ORDER BY m.created_at, m.id";
    let rows = context.database().query(sql, params![&context.clinic, claim]).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

fn read(row: &Row) -> Result<MessageView, DatabaseError> {
    Ok(MessageView {
        id: row.parsed(0, MessageId::parse)?,
        channel: row.text(1)?,
        to: row.text(2)?,
        from_name: row.text(3)?,
        subject: row.text(4)?,
        text: whole(&row.text(1)?, row.text(5)?, &row.text(6)?, row.text_or_null(7)?.as_deref()),
        opt_out: row.text_or_null(7)?,
    })
}

/// The text with its link, and where to say that one wants no more: in both languages, for who reads which is a guess.
fn whole(channel: &str, body: String, link: &str, opt_out: Option<&str>) -> String {
    let opt_out = opt_out.filter(|_| channel == "email");
    let end = opt_out.map(|link| format!("\n\n--\nNo more reminders / No más recordatorios:\n{link}\n"));
    match channel {
        "sms" => format!("{body} {link}"),
        _ => format!("{body}\n\n{link}\n{}", end.unwrap_or_default()),
    }
}
