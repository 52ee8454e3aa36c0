//! What Stripe tells of itself. It says that something happened, once, twice, late or never; what happened it is asked
//! for. So nothing that it says moves anything, and no order of what it says matters.

use http::StatusCode;
use kit::context::Context;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;
use serde::Deserialize;

use crate::payment::Payment;
use crate::{provider, settle};

/// How far Stripe's clock and ours may be apart, and how long somebody could send what they overheard.
const TOLERANCE_S: i64 = 300;
/// Longest body that is looked at, in bytes.
const MAX_BODY: usize = 256 << 10;
/// Longest name in an event, in bytes.
const MAX_NAME: usize = 255;

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    id: String,
    /// Of a charge or a refund.
    payment_intent: Option<String>,
}

/// `POST /payments/hooks/stripe`.
pub(crate) async fn receive(context: &Context<'_>) -> Result<Reply, Problem> {
    let secrets = context.variable("stripe_webhook_secret").await?;
    let header = context.request.headers().get("stripe-signature").and_then(|value| value.to_str().ok());
    let body = context.request.body();
    let now = context.now.as_second();
    let signed = header.is_some_and(|header| is_signed(header, body, &secrets, now));
    if !signed || body.len() > MAX_BODY {
        let title = "This was not signed by the payment service, or too long ago";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "signature-refused", title));
    }
    let unreadable = || Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON");
    let event: Event = serde_json::from_slice(body).map_err(|_| unreadable())?;
    if [&event.id, &event.kind].into_iter().any(|name| name.is_empty() || name.len() > MAX_NAME) {
        return Err(Problem::invalid("/id", "must be 1 to 255 characters"));
    }
    if is_known(context, &event.id).await? {
        return Ok(reply::no_content());
    }
    // Of another network with the same account, or of nothing that we began: nothing to do.
    let object = event.data.object;
    let name = object.payment_intent.unwrap_or(object.id);
    let told = match Payment::named(context, &name).await? {
        Some(payment) => {
            let provider = provider::of(context).await?;
            Some(settle::ask(context, provider.as_ref(), payment).await?)
        }
        None => None,
    };
    let clinic = context.clinic().await?;
    context
        .transaction(async || {
            let sql = "INSERT INTO provider_event (clinic, id, kind, at) VALUES (?, ?, ?, ?)
                       ON CONFLICT (clinic, id) DO NOTHING";
            let values = params![&context.clinic, event.id.as_str(), event.kind.as_str(), context.now];
            context.database().execute(sql, values).await?;
            if let Some(told) = told {
                settle::apply(context, &clinic, told).await?;
            }
            Ok(())
        })
        .await?;
    Ok(reply::no_content())
}

async fn is_known(context: &Context<'_>, event: &str) -> Result<bool, Problem> {
    let sql = "SELECT 1 FROM provider_event WHERE clinic = ? AND id = ?";
    Ok(!context.database().query(sql, params![&context.clinic, event]).await?.is_empty())
}

/// `t=…,v1=…`, with several of the latter while a secret is being replaced; so may our list hold two.
fn is_signed(header: &str, body: &[u8], secrets: &str, now: i64) -> bool {
    let mut at = None;
    let mut signatures = Vec::new();
    for (name, value) in header.split(',').filter_map(|part| part.trim().split_once('=')) {
        match name {
            "t" => at = at.or(value.parse::<i64>().ok()),
            "v1" => signatures.push(value),
            _ => {}
        }
    }
    let Some(at) = at.filter(|at| now.abs_diff(*at) <= TOLERANCE_S.unsigned_abs()) else { return false };
    let mut message = format!("{at}.").into_bytes();
    message.extend_from_slice(body);
    let matches = |key: &str| {
        signatures.iter().any(|signature| secret::hex_mac_matches(key.as_bytes(), &message, signature))
    };
    secrets.split_ascii_whitespace().any(matches)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    const SECRET: &str = "whsec_test";
    // printf '1000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_test
    const SIGNATURE: &str = "387e46d34ab34bb0f3624adcaa371a0332240720155daad95713dfea27253ccd";

    #[test]
    fn only_what_is_signed_lately_is_taken() {
        let header = format!("t=1000,v1={SIGNATURE}");
        assert!(is_signed(&header, BODY, SECRET, 1_000));
        assert!(is_signed(&header, BODY, "whsec_old whsec_test", 1_300));
        assert!(is_signed(&format!("t=1000,v1=00,v1={SIGNATURE},v0=1"), BODY, SECRET, 700));
        for (header, body, secrets, now) in [
            (header.as_str(), BODY, SECRET, 1_301),
            (&header, BODY, SECRET, 699),
            (&header, BODY, "whsec_other", 1_000),
            (&header, BODY, "", 1_000),
            (&header, br#"{"id":"evt_2"}"#, SECRET, 1_000),
            (&format!("t=1001,v1={SIGNATURE}"), BODY, SECRET, 1_000),
            (&format!("t=1000,v0={SIGNATURE}"), BODY, SECRET, 1_000),
            ("t=1000", BODY, SECRET, 1_000),
            ("t=x,v1=", BODY, SECRET, 1_000),
            ("", BODY, SECRET, 1_000),
        ] {
            assert!(!is_signed(header, body, secrets, now), "{header} at {now}");
        }
    }
}
