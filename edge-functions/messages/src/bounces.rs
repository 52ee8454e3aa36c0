//! Mail that came back: a report of a mail server (RFC 3464), which the operator's own server hands over as it got it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::AUTHORIZATION;
use kit::audit::Action;
use kit::context::Context;
use kit::ids::MessageId;
use kit::outbox;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use mail_parser::{Message, MessageParser, MessagePart, MimeHeaders as _, PartType};

/// Longest report that is read, in bytes: it may hold the whole message that came back, and ours are small.
const MAX_REPORT: usize = 256 << 10;
/// Who hands reports over: `bounces`, and the token.
const USER: &str = "bounces";

/// What a report says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// Ids that may be our message's, the surest first.
    pub messages: Vec<MessageId>,
    /// `5.1.1`, if it was given up; nothing: it goes on, or it has arrived.
    pub failed: Option<String>,
}

/// `POST /messages/hooks/bounces`.
pub async fn receive_bounce(context: &Context<'_>) -> Result<Reply, Problem> {
    if !may_report(context).await? {
        let title = "This takes reports of the operator's own mail server, by its token";
        return Err(Problem::new(StatusCode::FORBIDDEN, "bounce-token-refused", title));
    }
    let body = context.request.body();
    let report = if body.len() > MAX_REPORT { None } else { read(body, context.clinic.as_str()) };
    let report = report.ok_or_else(|| {
        let title = "This is no delivery status notification (RFC 3464)";
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-a-report", title)
    })?;
    let Some(status) = report.failed else { return Ok(reply::no_content()) };
    context
        .transaction(async || {
            for id in &report.messages {
                if came_back(context, *id, &status).await? {
                    break;
                }
            }
            Ok(())
        })
        .await?;
    Ok(reply::no_content())
}

async fn may_report(context: &Context<'_>) -> Result<bool, Problem> {
    let wanted = context.variable("bounce_token").await?;
    let given = context.request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Basic "));
    let given = given.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    let whole = format!("{USER}:{wanted}");
    // Hashes are compared: how far two of them agree says nothing about the token.
    let given = String::from_utf8(given).unwrap_or_default();
    Ok(!wanted.is_empty() && Secret::presented(&given).hash() == Secret::presented(&whole).hash())
}

/// A message that a server had taken is on the work list, and its address gets no more, if that is why.
async fn came_back(context: &Context<'_>, id: MessageId, status: &str) -> Result<bool, Problem> {
    let sql = "SELECT recipient FROM outbox_message WHERE clinic = ? AND id = ? AND channel = 'email'
                 AND state IN ('claimed', 'sent', 'unknown')";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    let recipient = row.text(0)?;
    let sql = "UPDATE outbox_message SET state = 'failed', reason = ?3, ended_at = ?4, claim_until = NULL
               WHERE clinic = ?1 AND id = ?2";
    let values = params![&context.clinic, id, format!("bounced-{status}"), context.now];
    context.database().execute(sql, values).await?;
    context.audit(Action::MessageFailed, Some(&id));
    if is_of_the_address(status) {
        outbox::note_failing(context, &recipient).await?;
    }
    Ok(true)
}

/// RFC 3463 §3: the address is none, its mailbox is closed, or nobody takes mail for its domain. A full mailbox, or what a
/// filter thinks of one message, says nothing of the next one.
fn is_of_the_address(status: &str) -> bool {
    status.starts_with("5.1.") || ["5.0.0", "5.2.0", "5.2.1", "5.4.4", "5.4.1"].contains(&status)
}

/// What a report says of a message of `clinic`; nothing: it is none.
pub fn read(bytes: &[u8], clinic: &str) -> Option<Report> {
    let mail = MessageParser::default().parse(bytes)?;
    let status = mail.parts.iter().find(|part| is(part, "message", "delivery-status"))?;
    let fields = String::from_utf8_lossy(status.contents()).into_owned();
    let failed = of_recipients(&fields);
    // One that says nothing of any receiver is none.
    let failed = failed?;
    let mut messages: Vec<MessageId> = mail
        .all_to()
        .flat_map(mail_parser::Address::iter)
        .filter_map(|address| of_return_path(address.address.as_deref()?, clinic))
        .collect();
    messages.extend(mail.parts.iter().filter_map(message_of_part));
    Some(Report { messages, failed })
}

fn is(part: &MessagePart<'_>, kind: &str, sort: &str) -> bool {
    part.content_type().is_some_and(|given| {
        given.ctype().eq_ignore_ascii_case(kind)
            && given.subtype().is_some_and(|given| given.eq_ignore_ascii_case(sort))
    })
}

/// Whether it was given up for any of them, and by which status; the outer nothing: it speaks of nobody.
#[allow(clippy::option_option, reason = "no report, and a report of no failure")]
fn of_recipients(fields: &str) -> Option<Option<String>> {
    let unfolded = fields.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
    let (mut speaks, mut failed) = (false, None);
    for group in unfolded.split("\n\n") {
        let value = |name: &str| {
            group.lines().filter_map(|line| line.split_once(':')).find_map(|(given, value)| {
                given.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        if value("final-recipient").or_else(|| value("original-recipient")).is_none() {
            continue;
        }
        let (Some(action), Some(status)) = (value("action"), value("status")) else { continue };
        let status = status.split([' ', '(']).next().unwrap_or_default().to_owned();
        let is_status = status.len() <= 11
            && status.split('.').count() == 3
            && status
                .split('.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_status {
            continue;
        }
        speaks = true;
        if action.eq_ignore_ascii_case("failed") {
            failed = failed.or(Some(status));
        }
    }
    speaks.then_some(failed)
}

/// `bounces+clinic=…@example.org`, to which the report came.
fn of_return_path(address: &str, clinic: &str) -> Option<MessageId> {
    let (local, _) = address.rsplit_once('@')?;
    let (_, named) = local.rsplit_once('+')?;
    let (named, id) = named.rsplit_once('=')?;
    let digits = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !named.eq_ignore_ascii_case(clinic) || !digits {
        return None;
    }
    let id = id.to_ascii_lowercase();
    let part = |from: usize, until: usize| id.get(from..until).unwrap_or_default();
    let (a, b, c, d, e) = (part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32));
    MessageId::parse(&format!("{a}-{b}-{c}-{d}-{e}"))
}

/// What came back, or its head: our `Message-ID` begins with the id.
fn message_of_part(part: &MessagePart<'_>) -> Option<MessageId> {
    let of = |mail: &Message<'_>| MessageId::parse(mail.message_id()?.split_once('@')?.0);
    match &part.body {
        PartType::Message(mail) => of(mail),
        _ if is(part, "text", "rfc822-headers") => of(&MessageParser::default().parse(part.contents())?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0198c7f2-9f2b-7c4e-8a55-2b6f0d7f0001";

    #[test]
    fn a_return_path_names_one_message_of_one_clinic() {
        let hex = ID.replace('-', "");
        let of = |address: &str| of_return_path(address, "demo").map(|id| id.to_string());
        assert_eq!(of(&format!("bounces+demo={hex}@example.org")).as_deref(), Some(ID));
        assert_eq!(of(&format!("BOUNCES+Demo={}@example.org", hex.to_uppercase())).as_deref(), Some(ID));
        for none in ["bounces@example.org", "bounces+demo=@x", "x", "bounces+demo=zz@x", "+=@", "é+demo=é@x"]
        {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(of(&format!("bounces+other={hex}@example.org")), None);
    }

    #[test]
    fn groups_are_read_as_they_are_folded() {
        let fields = "Reporting-MTA: dns; a\r\n\r\nFinal-Recipient: rfc822;\r\n a@b.example\r\nAction: failed\r\n\
                      Status: 5.1.1 (bad\r\n mailbox)\r\n";
        assert_eq!(of_recipients(fields), Some(Some("5.1.1".to_owned())));
        let later = "X: y\n\nFinal-Recipient: rfc822; a\nAction: delayed\nStatus: 4.4.1\n";
        assert_eq!(of_recipients(later), Some(None));
        for none in ["", "Action: failed\nStatus: 5.1.1", "Final-Recipient: a\nAction: failed\nStatus: five"]
        {
            assert_eq!(of_recipients(none), None, "{none}");
        }
        assert!(is_of_the_address("5.1.1") && !is_of_the_address("5.2.2") && !is_of_the_address("4.1.1"));
    }
}
