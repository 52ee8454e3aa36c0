//! Messages to people outside: what functions put into the outbox, the host that leads the records sends.
//!
//! A message is claimed by a request of this host to the functions, and so in a commit that is acknowledged before the answer
//! comes. Nobody is handed it a second time, whoever leads after us; what has no outcome in time is for people. Text
//! and addresses are held in memory only, and appear in no log.

mod config;
mod desk;
mod mail;
mod sms;
mod smtp;
mod trust;
mod twilio;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use config::{BouncesConfig, DkimAlgorithm, DkimConfig, MessagesConfig, SmsConfig, SmtpConfig, TlsMode};

use crate::clinic::ClinicId;
use crate::http::Edge;
use crate::store::Writer;
use config::Wrong;
use desk::{Answer, Desk, Message, Outcome, Question};
use sms::Provider;
use smtp::{Became, Connection, Smtp};

/// Between two looks whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// One clinic after another: so many batches at a time.
const BATCHES: usize = 8;

/// Sends what is due while this host leads.
pub(crate) struct Sender {
    mail: Option<(Smtp, mail::Writer)>,
    sms: Option<Provider>,
    desks: BTreeMap<ClinicId, Desk>,
    /// How long a claim holds.
    holds: Duration,
    /// The mail server, while it listens.
    open: Option<Connection>,
    began: Instant,
}

/// The sender of a configuration, or the key that is wrong.
pub(crate) fn open(config: &MessagesConfig) -> Result<Sender, Wrong> {
    let mail = config.smtp.as_ref().map(|smtp| {
        let writer = mail::Writer::new(smtp)?;
        Ok((Smtp::new(smtp, writer.domain(), config.claim()? / 6)?, writer))
    });
    Ok(Sender {
        mail: mail.transpose()?,
        sms: config.sms.as_ref().map(Provider::new).transpose()?,
        desks: BTreeMap::new(),
        holds: config.claim()?,
        open: None,
        began: Instant::now(),
    })
}

impl Sender {
    /// Until `stop`. What became of messages by then is told once more.
    pub(crate) async fn run(mut self, edge: Arc<Edge>, stop: CancellationToken) {
        loop {
            for clinic in self.due(&edge).await {
                let mut desk = self.desks.remove(&clinic).unwrap_or_else(|| Desk::new(self.holds));
                self.work(&edge, &clinic, &mut desk, &stop).await;
                if desk.is_pending() {
                    self.desks.insert(clinic, desk);
                }
            }
            if let Some(open) = self.open.take() {
                open.quit().await;
            }
            if tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok() {
                break;
            }
        }
        for (clinic, mut desk) in std::mem::take(&mut self.desks) {
            if let Some(question) = desk.last_words(draw) {
                ask(&edge, &clinic, &question).await;
            }
        }
    }

    /// Clinics with something to send, of groups that this host leads, and those that are to hear something.
    async fn due(&self, edge: &Edge) -> Vec<ClinicId> {
        let mut due: Vec<ClinicId> = self.desks.keys().cloned().collect();
        for group in edge.store.groups() {
            if edge.store.writer(&group) == Writer::Here {
                due.extend(edge.clinics_with_messages(&group).await);
            }
        }
        due.sort();
        due.dedup();
        due
    }

    async fn work(&mut self, edge: &Edge, clinic: &ClinicId, desk: &mut Desk, stop: &CancellationToken) {
        let channels: Vec<&'static str> =
            [self.mail.as_ref().map(|_| "email"), self.sms.as_ref().map(|_| "sms")]
                .into_iter()
                .flatten()
                .collect();
        for _ in 0..BATCHES {
            let question = desk.question(self.began.elapsed(), &channels, draw);
            let Some(answer) = ask(edge, clinic, &question).await else { return };
            desk.answered(answer);
            if !desk.is_pending() {
                return;
            }
            while !stop.is_cancelled()
                && let Some(message) = desk.next(self.began.elapsed())
            {
                let (outcome, reason) = self.send(clinic, &message).await;
                metrics::counter!("locum_edge_messages_total", "channel" => channel(&message), "outcome" => label(outcome))
                    .increment(1);
                desk.became(message.id, outcome, reason);
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    async fn send(&mut self, clinic: &ClinicId, message: &Message) -> Became {
        match (message.channel.as_str(), &self.mail, &self.sms) {
            ("email", Some((smtp, writer)), _) => {
                let Ok((envelope, mail)) = writer.write(clinic, message) else {
                    return (Outcome::Bounced, Some("address".to_owned()));
                };
                if let Some(mut open) = self.open.take() {
                    let (became, usable) = open.send(&envelope, &mail).await;
                    // A server may have hung up meanwhile: then it was told nothing.
                    if usable || became.0 != Outcome::Retry {
                        self.open = usable.then_some(open);
                        return became;
                    }
                }
                let mut open = match smtp.connect().await {
                    Ok(open) => open,
                    Err(error) => {
                        tracing::warn!(error = error.word(), "the mail server takes nothing now");
                        return (Outcome::Retry, Some(error.word()));
                    }
                };
                let (became, usable) = open.send(&envelope, &mail).await;
                self.open = usable.then_some(open);
                became
            }
            ("sms", _, Some(provider)) => provider.send(clinic, message).await,
            _ => (Outcome::Untouched, None),
        }
    }
}

async fn ask(edge: &Edge, clinic: &ClinicId, question: &Question) -> Option<Answer> {
    let body = serde_json::to_vec(question).ok()?;
    let path = edge.deliveries.as_ref()?.path.clone();
    let (status, answer) = edge.ask(clinic, &path, body, None).await?;
    if !status.is_success() {
        tracing::debug!(%clinic, status = status.as_u16(), "messages were not handed out");
        return None;
    }
    serde_json::from_slice(&answer).ok()
}

fn draw() -> String {
    Uuid::new_v4().to_string()
}

fn channel(message: &Message) -> &'static str {
    if message.channel == "sms" { "sms" } else { "email" }
}

const fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Sent => "sent",
        Outcome::Retry => "retry",
        Outcome::Failed => "failed",
        Outcome::Bounced => "bounced",
        Outcome::Unknown => "unknown",
        Outcome::Untouched => "untouched",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which key is wrong, if any; files stand in `folder`.
    fn wrong(text: &str) -> Option<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "token\n").unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        let mut config: MessagesConfig = toml::from_str(text).unwrap();
        config.resolve(&folder.path().join("edge.toml"));
        open(&config).err().or_else(|| config.told_to_functions().err()).map(|(key, _)| key)
    }

    #[test]
    fn what_is_wrong_is_named() {
        let smtp = |more: &str| {
            format!("[smtp]\nhost = 'localhost'\nfrom = 'a@example.org'\ntls = 'on-loopback-only'\n{more}")
        };
        assert_eq!(wrong(&smtp("")), None);
        assert_eq!(wrong(&smtp("username = 'a'\npassword_file = 'secret'")), None);
        assert_eq!(wrong(&smtp("username = 'a'")), Some("messages.smtp.password_file"));
        assert_eq!(wrong(&smtp("password_file = 'secret'")), Some("messages.smtp.username"));
        assert_eq!(
            wrong(&smtp("username = 'a'\npassword_file = 'empty'")),
            Some("messages.smtp.password_file")
        );
        assert_eq!(wrong(&smtp("ca_file = 'nowhere'")), Some("messages.smtp.ca_file"));
        let dkim = "[smtp.dkim]\ndomain = 'example.org'\nselector = 's'\nkey_file = 'secret'";
        assert_eq!(wrong(&smtp(dkim)), Some("messages.smtp.dkim.key_file"));
        assert_eq!(wrong(&smtp("").replace("localhost", "mail.example.org")), Some("messages.smtp.tls"));
        assert_eq!(wrong(&smtp("").replace("a@example.org", "nobody")), Some("messages.smtp.from"));
        assert_eq!(wrong(&format!("claim_s = 2\n{}", smtp(""))), Some("messages.claim_s"));
        let bounces = "[smtp.bounces]\nreturn_path = 'bounces@example.org'\ntoken_file = 'secret'";
        assert_eq!(wrong(&smtp(bounces)), None);
        let with = |from: &str, to: &str| wrong(&smtp(&bounces.replace(from, to)));
        assert_eq!(with("'secret'", "'gone'"), Some("messages.smtp.bounces.token_file"));
        assert_eq!(with("bounces@", "a+b@"), Some("messages.smtp.bounces.return_path"));
    }

    #[test]
    fn what_is_wrong_with_short_messages_is_named() {
        let account = format!("AC{}", "0".repeat(32));
        let sms = format!(
            "[sms]\naccount = '{account}'\ntoken_file = 'secret'\nfrom = '+15005550006'\n\
             told_at = 'https://eu.clinics.example'\n"
        );
        assert_eq!(wrong(&sms), None);
        let with = |from: &str, to: &str| wrong(&sms.replace(from, to));
        assert_eq!(with(&account, "AC"), Some("messages.sms.account"));
        assert_eq!(with("'secret'", "'gone'"), Some("messages.sms.token_file"));
        assert_eq!(with("'secret'", "'empty'"), Some("messages.sms.token_file"));
        assert_eq!(with("+15005550006", "nobody @ all"), Some("messages.sms.from"));
        assert_eq!(with("https://eu", "http://eu"), Some("messages.sms.told_at"));
        assert_eq!(with("clinics.example", "clinics.example/x"), Some("messages.sms.told_at"));
        for api in ["http://sms.example.org", "https://sms.example.org/x", "https://a@b.example", "x"] {
            assert_eq!(wrong(&format!("{sms}api = '{api}'\n")), Some("messages.sms.api"), "{api}");
        }
        // Half of it is none.
        for key in ["account", "token_file", "from", "told_at"] {
            let rest: Vec<&str> = sms.lines().filter(|line| !line.starts_with(key)).collect();
            assert!(toml::from_str::<MessagesConfig>(&rest.join("\n")).is_err(), "without {key}");
        }
    }
}
