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

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use config::{DkimAlgorithm, DkimConfig, MessagesConfig, SmsConfig, SmtpConfig, TlsMode};

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
                let (outcome, reason) = self.send(&message).await;
                metrics::counter!("locum_edge_messages_total", "channel" => channel(&message), "outcome" => label(outcome))
                    .increment(1);
                desk.became(message.id, outcome, reason);
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    async fn send(&mut self, message: &Message) -> Became {
        match (message.channel.as_str(), &self.mail, &self.sms) {
            ("email", Some((smtp, writer)), _) => {
                let Ok((envelope, mail)) = writer.write(message) else {
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
            ("sms", _, Some(provider)) => provider.send(message).await,
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
        open(&config).err().map(|(key, _)| key)
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
        let sms = |url: &str| format!("[sms]\nurl = '{url}'\nsecret_file = 'secret'\nfrom = 'Clinic'\n");
        assert_eq!(wrong(&sms("http://sms.example.org")), Some("messages.sms.url"));
        assert_eq!(
            wrong(&sms("https://sms.example.org").replace("'secret'", "'gone'")),
            Some("messages.sms.secret_file")
        );
    }
}
