//! A message as mail: one part of text, signed.

use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::message::dkim::{
    DkimCanonicalization, DkimCanonicalizationType, DkimConfig as Signature, DkimSigningKey,
};
use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::{Address, Message as Mail};

use super::config::{DkimConfig, SmtpConfig, Wrong};
use super::desk::Message;
use crate::clinic::ClinicId;

/// Of what stands before the `@`.
const MAX_LOCAL_BYTES: usize = 64;

/// Makes mail of messages.
pub(super) struct Writer {
    from: Address,
    /// What mail comes back to, if somebody tells of that: what stands before the `@`, and the domain.
    return_path: Option<(String, String)>,
    signature: Option<Signature>,
}

/// It can be sent to nobody.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NoMail;

/// RFC 2369: where a receiver says that they want no more. Opening it changes nothing.
#[derive(Clone)]
struct ListUnsubscribe(String);

/// RFC 3834: nobody's vacation answers it.
#[derive(Clone)]
struct AutoSubmitted;

impl Writer {
    pub(super) fn new(config: &SmtpConfig) -> Result<Self, Wrong> {
        let signature = config.dkim.as_ref().map(signature).transpose()?;
        let wrong = || ("messages.smtp.bounces.return_path", "is an address without a `+`".to_owned());
        let read = |path: &str| -> Result<(String, String), Wrong> {
            let address: Address = path.parse().map_err(|_| wrong())?;
            let (user, domain) = (address.user().to_owned(), address.domain().to_owned());
            if user.contains(['+', '=', '"']) || !path.is_ascii() { Err(wrong()) } else { Ok((user, domain)) }
        };
        let return_path = config.bounces.as_ref().map(|bounces| read(&bounces.return_path)).transpose()?;
        Ok(Self { from: config.from()?, return_path, signature })
    }

    pub(super) fn domain(&self) -> &str {
        self.from.domain()
    }

    /// Who it goes from and to, and its bytes.
    pub(super) fn write(&self, clinic: &ClinicId, message: &Message) -> Result<(Envelope, Vec<u8>), NoMail> {
        let to: Address = message.to.parse().map_err(|_| NoMail)?;
        // A header is one line.
        let name: String = message.from_name.chars().filter(|c| !c.is_control()).collect();
        let mut mail = Mail::builder()
            .from(Mailbox::new(Some(name), self.from.clone()))
            .to(Mailbox::new(None, to))
            .subject(message.subject.clone())
            // The same each time: whoever gets it twice can tell.
            .message_id(Some(format!("<{}@{}>", message.id, self.from.domain())))
            .date_now()
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN);
        if let Some(link) = &message.opt_out {
            mail = mail.header(ListUnsubscribe(link.clone()));
        }
        let mut mail = mail.body(message.text.clone()).map_err(|_| NoMail)?;
        if let Some(signature) = &self.signature {
            mail.sign(signature);
        }
        let from = self.comes_back_to(clinic, message);
        let to = mail.envelope().to().to_vec();
        let envelope = Envelope::new(Some(from), to).map_err(|_| NoMail)?;
        Ok((envelope, mail.formatted()))
    }

    /// An address for each message, so that a report names it whatever it holds (VERP). What stands before the `@` has 64 characters
    /// at most (RFC 5321 §4.5.3.1.1): with a longer name of a clinic it is the sender.
    fn comes_back_to(&self, clinic: &ClinicId, message: &Message) -> Address {
        let Some((user, domain)) = &self.return_path else { return self.from.clone() };
        let id = message.id.replace('-', "");
        let user = format!("{user}+{clinic}={id}");
        let fits = user.len() <= MAX_LOCAL_BYTES;
        Address::new(user, domain).ok().filter(|_| fits).unwrap_or_else(|| self.from.clone())
    }
}

fn signature(config: &DkimConfig) -> Result<Signature, Wrong> {
    let wrong = |problem: String| ("messages.smtp.dkim.key_file", problem);
    let key = std::fs::read_to_string(&config.key_file).map_err(|error| wrong(error.to_string()))?;
    let key = DkimSigningKey::new(key.trim(), config.algorithm.of_lettre());
    let key = key.map_err(|_| wrong("is no key of that algorithm".to_owned()))?;
    let signed = ["From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe"];
    let relaxed = DkimCanonicalizationType::Relaxed;
    Ok(Signature::new(
        config.selector.clone(),
        config.domain.clone(),
        key,
        signed.map(HeaderName::new_from_ascii_str).to_vec(),
        DkimCanonicalization { header: relaxed, body: relaxed },
    ))
}

impl Header for ListUnsubscribe {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("List-Unsubscribe")
    }

    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self(text.to_owned()))
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), format!("<{}>", self.0))
    }
}

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
