//! What the provider of short messages tells: what became of one, and what somebody answers. It signs it.

use http::StatusCode;
use http::header::CONTENT_TYPE;
use kit::audit::Action;
use kit::context::Context;
use kit::form::Phone;
use kit::ids::MessageId;
use kit::outbox::{self, address_hash};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;

/// Longest body that is looked at, in bytes: a message has 1,600 characters at most.
const MAX_BODY: usize = 64 << 10;
/// Most fields of it.
const MAX_FIELDS: usize = 200;
/// What ends it, as networks and the provider take it, and in Spanish.
const STOP: [&str; 11] =
    ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "ALTO", "PARAR", "BAJA"];
/// What begins it again.
const START: [&str; 3] = ["START", "UNSTOP", "YES"];
/// There is no such number, or it takes none.
const DEAD: [&str; 4] = ["21211", "21614", "30005", "30006"];
/// Its owner has told the provider that they want no more.
pub(crate) const STOPPED: &str = "21610";

type Fields = Vec<(String, String)>;

/// `POST /messages/hooks/sms/{id}`: what became of one, by its id here.
pub async fn receive_sms_status(context: &Context<'_>) -> Result<Reply, Problem> {
    let fields = signed(context).await?;
    // Of another clinic, or none: whoever signs cannot help it, and need not try again.
    let Some(id) = context.path_id(MessageId::parse).ok() else { return Ok(reply::no_content()) };
    let code = field(&fields, "ErrorCode").unwrap_or_default();
    match field(&fields, "MessageStatus").unwrap_or_default() {
        "undelivered" | "failed" => {
            context.transaction(async || did_not_arrive(context, id, code).await).await?
        }
        // It has it: of what was in doubt there is none any more.
        "accepted" | "queued" | "sending" | "sent" | "delivered" | "read" => {
            let sql = "UPDATE outbox_message SET state = 'sent', ended_at = ?3, reason = NULL
                       WHERE clinic = ?1 AND id = ?2 AND channel = 'sms' AND state = 'unknown'";
            context.database().execute(sql, params![&context.clinic, id, context.now]).await?;
        }
        _ => {}
    }
    Ok(reply::no_content())
}

async fn did_not_arrive(context: &Context<'_>, id: MessageId, code: &str) -> Result<(), Problem> {
    let number = code.len() <= 5 && code.bytes().all(|byte| byte.is_ascii_digit());
    let reason =
        if number && !code.is_empty() { format!("sms-{code}") } else { "sms-undelivered".to_owned() };
    let sql = "SELECT recipient FROM outbox_message WHERE clinic = ? AND id = ? AND channel = 'sms'
                 AND state IN ('claimed', 'sent', 'unknown')";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let recipient = row.text(0)?;
    let sql = "UPDATE outbox_message SET state = 'failed', reason = ?3, ended_at = ?4, claim_until = NULL
               WHERE clinic = ?1 AND id = ?2";
    context.database().execute(sql, params![&context.clinic, id, reason, context.now]).await?;
    context.audit(Action::MessageFailed, Some(&id));
    refused(context, &recipient, code).await
}

/// What a code of the provider says of a number.
pub(crate) async fn refused(context: &Context<'_>, number: &str, code: &str) -> Result<(), Problem> {
    if code == STOPPED {
        outbox::note_wish(context, address_hash(number), true).await?;
    } else if DEAD.contains(&code) {
        outbox::note_failing(context, number).await?;
    }
    Ok(())
}

/// `POST /messages/hooks/sms`: what somebody answers. Nobody reads it but for the words that end it, or begin it again.
pub async fn receive_sms(context: &Context<'_>) -> Result<Reply, Problem> {
    let fields = signed(context).await?;
    let from = field(&fields, "From").and_then(|from| Phone::try_from(from.to_owned()).ok());
    let word = field(&fields, "OptOutType").or_else(|| field(&fields, "Body")).unwrap_or_default();
    let word = word.trim().trim_end_matches(['.', '!']).to_uppercase();
    let wish = [(true, &STOP[..]), (false, &START[..])]
        .into_iter()
        .find(|(_, words)| words.contains(&word.as_str()));
    if let Some((from, (out, _))) = from.zip(wish) {
        outbox::note_wish(context, address_hash(from.as_str()), out).await?;
        context.audit(Action::OptedOut, None);
    }
    Ok(reply::no_content())
}

/// The fields of a form that the provider has signed: HMAC-SHA-1 under the account's token, over the address it was told to ask
/// and all fields in the order of their names.
async fn signed(context: &Context<'_>) -> Result<Fields, Problem> {
    let request = &context.request;
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let kind = header(CONTENT_TYPE.as_str()).unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let is_form = kind.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let (token, origin) = (context.variable("sms_token").await?, context.variable("sms_origin").await?);
    let refusal = || {
        let title = "This was not signed by the provider of short messages";
        Problem::new(StatusCode::BAD_REQUEST, "signature-refused", title)
    };
    if !is_form || request.body().len() > MAX_BODY || token.is_empty() || origin.is_empty() {
        return Err(refusal());
    }
    let mut fields: Fields =
        form_urlencoded::parse(request.body()).into_owned().take(MAX_FIELDS + 1).collect();
    fields.sort();
    fields.dedup();
    let asked = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let mut message = format!("{origin}{asked}");
    for (name, value) in &fields {
        message.push_str(name);
        message.push_str(value);
    }
    let signature = header("x-twilio-signature").unwrap_or_default();
    let matches = secret::base64_sha1_mac_matches(token.as_bytes(), message.as_bytes(), signature);
    if matches && fields.len() <= MAX_FIELDS { Ok(fields) } else { Err(refusal()) }
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields.iter().find_map(|(given, value)| (given == name).then_some(value.as_str()))
}
