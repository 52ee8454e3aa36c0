//! Twilio's interface for messages (`POST /2010-04-01/Accounts/{AccountSid}/Messages.json`), which others speak as well. It takes
//! no idempotency key there: what became of a request without an answer is told by its status callback, or found out by people.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::config::{SmsConfig, Wrong, secret};
use super::desk::{Message, Outcome};
use super::sms::{Asked, Interface};
use super::smtp::Became;
use crate::clinic::ClinicId;

/// Longest text that it takes, in characters.
const MAX_TEXT: usize = 1_600;
/// There is no such number, it takes no messages, or its owner wants none (21610).
const OF_THE_NUMBER: [u32; 4] = [21211, 21214, 21610, 21614];

/// One account.
pub(super) struct Twilio {
    path: String,
    /// `From`, or `MessagingServiceSid`.
    sender: (&'static str, String),
    authorization: HeaderValue,
    /// Where it tells what became of a message.
    told_at: String,
}

/// What it says of what it did not take.
#[derive(Deserialize)]
struct Refusal {
    code: Option<u32>,
}

impl Twilio {
    pub(super) fn new(config: &SmsConfig) -> Result<Self, Wrong> {
        let account = &config.account;
        if !is_sid(account, "AC") {
            return Err(("messages.sms.account", "is AC and 32 hexadecimal digits".to_owned()));
        }
        let sender = match config.from.as_str() {
            service if is_sid(service, "MG") => ("MessagingServiceSid", service.to_owned()),
            from if is_sender(from) => ("From", from.to_owned()),
            _ => return Err(("messages.sms.from", "is +number, a name, or MG and 32 digits".to_owned())),
        };
        let key = "messages.sms.token_file";
        let token = secret(&config.token_file).map_err(|error| (key, error.to_string()))?;
        let basic = STANDARD.encode(format!("{account}:{token}"));
        let mut authorization = HeaderValue::from_str(&format!("Basic {basic}"))
            .map_err(|_| (key, "cannot stand in a header".to_owned()))?;
        authorization.set_sensitive(true);
        let told_at = config.told_at()?;
        let path = format!("/2010-04-01/Accounts/{account}/Messages.json");
        Ok(Self { path, sender, authorization, told_at })
    }
}

impl Interface for Twilio {
    fn request(&self, clinic: &ClinicId, message: &Message) -> Option<Asked> {
        if message.text.chars().count() > MAX_TEXT {
            return None;
        }
        let told_at = format!("{}/c/{clinic}/messages/hooks/sms/{}", self.told_at, message.id);
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("To", &message.to)
            .append_pair(self.sender.0, &self.sender.1)
            .append_pair("Body", &message.text)
            .append_pair("StatusCallback", &told_at)
            .finish();
        let headers = vec![
            ("authorization", self.authorization.clone()),
            ("content-type", HeaderValue::from_static("application/x-www-form-urlencoded")),
            ("accept", HeaderValue::from_static("application/json")),
        ];
        Some(Asked { path: self.path.clone(), headers, body })
    }

    fn read(&self, status: StatusCode, body: &[u8]) -> Became {
        let code = serde_json::from_slice::<Refusal>(body).ok().and_then(|refusal| refusal.code);
        let word = code.map_or_else(|| format!("sms-{}", status.as_u16()), |code| format!("sms-{code}"));
        match status.as_u16() {
            200..=299 => (Outcome::Sent, None),
            400 if code.is_some_and(|code| OF_THE_NUMBER.contains(&code)) => (Outcome::Bounced, Some(word)),
            // Whether it was taken cannot be said: its callback, or people, find out.
            408 | 500 | 502 | 504 => (Outcome::Unknown, Some(word)),
            // Our own key, its load: not the message's fault.
            401 | 403 | 429 | 503 => (Outcome::Retry, Some(word)),
            _ => (Outcome::Failed, Some(word)),
        }
    }
}

fn is_sid(text: &str, prefix: &str) -> bool {
    let digits = text.strip_prefix(prefix);
    digits.is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A number, a short code, or a name of up to eleven letters and digits.
fn is_sender(text: &str) -> bool {
    let digits =
        |text: &str| (3..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = (1..=11).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ')
        && text.bytes().any(|byte| byte.is_ascii_alphabetic());
    digits(text.strip_prefix('+').unwrap_or(text)) || name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(status: u16, body: &str) -> (Outcome, Option<String>) {
        let twilio = Twilio {
            path: String::new(),
            sender: ("From", String::new()),
            authorization: HeaderValue::from_static(""),
            told_at: String::new(),
        };
        twilio.read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn an_answer_says_whether_it_was_taken() {
        let word = |word: &str| Some(word.to_owned());
        assert_eq!(read(201, r#"{"sid":"SM","status":"queued","error_code":null}"#), (Outcome::Sent, None));
        assert_eq!(read(400, r#"{"code":21211,"status":400}"#), (Outcome::Bounced, word("sms-21211")));
        assert_eq!(read(400, r#"{"code":21610}"#), (Outcome::Bounced, word("sms-21610")));
        assert_eq!(read(400, r#"{"code":21602}"#), (Outcome::Failed, word("sms-21602")));
        assert_eq!(read(401, r#"{"code":20003}"#), (Outcome::Retry, word("sms-20003")));
        assert_eq!(read(429, r#"{"code":20429}"#), (Outcome::Retry, word("sms-20429")));
        assert_eq!(read(500, "<html>"), (Outcome::Unknown, word("sms-500")));
        assert_eq!(read(302, ""), (Outcome::Failed, word("sms-302")));
    }

    #[test]
    fn senders_are_numbers_names_or_services() {
        assert!(is_sender("+15005550006") && is_sender("12345") && is_sender("Lake Clinic"));
        for none in ["", "+", "Clinic at the lake", "<b>", "+49a"] {
            assert!(!is_sender(none), "{none}");
        }
        assert!(is_sid(&format!("AC{}", "0f".repeat(16)), "AC") && !is_sid("AC12", "AC"));
    }
}
