//! `[messages]`.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lettre::Address;
use lettre::message::dkim::DkimSigningAlgorithm;
use locum_telemetry::config::resolve;
use serde::Deserialize;

/// How this host sends messages to people outside, while it leads the records they are about. Hosts that may lead are
/// told the same.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessagesConfig {
    /// Seconds, 6 to 600, after which a message that was handed to a sender, and that nobody has heard of, is on the work list.
    #[serde(default = "default_claim_s")]
    pub claim_s: u64,
    /// Mail. Without it mail waits.
    pub smtp: Option<SmtpConfig>,
    /// Short messages to telephones. Without it they wait.
    pub sms: Option<SmsConfig>,
}

/// A mail server that takes mail from this host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpConfig {
    /// Its name, which its certificate must show.
    pub host: String,
    /// Default 465, with STARTTLS 587.
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: TlsMode,
    /// Certificates to trust, PEM; those of the operating system if left out.
    pub ca_file: Option<PathBuf>,
    /// Who signs in, if anybody.
    pub username: Option<String>,
    /// File with the password.
    pub password_file: Option<PathBuf>,
    /// The address that messages come from. The clinic's name stands before it.
    pub from: String,
    /// Signs messages (RFC 6376).
    pub dkim: Option<DkimConfig>,
    /// What comes back. Without it only what a server refuses at once is known.
    pub bounces: Option<BouncesConfig>,
}

/// How a connection to a mail server is protected. There is no way to leave it open by accident.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// TLS from the first byte (RFC 8314).
    #[default]
    Implicit,
    /// TLS after STARTTLS (RFC 3207); a server that does not offer it gets nothing.
    Starttls,
    /// None, to a server on this very machine only: for tests, and for a mail server beside this host.
    OnLoopbackOnly,
}

/// Whose signature messages carry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DkimConfig {
    /// The domain that signs.
    pub domain: String,
    /// Under which name its key stands in the DNS.
    pub selector: String,
    /// RSA: PKCS#1 PEM. Ed25519: the 32 bytes in base64.
    pub key_file: PathBuf,
    /// Which of them it is.
    #[serde(default)]
    pub algorithm: DkimAlgorithm,
}

/// Of a signature.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum DkimAlgorithm {
    /// What every receiver checks.
    #[default]
    Rsa,
    /// RFC 8463.
    Ed25519,
}

/// Mail that comes back, which this network is told of by the operator's own mail server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BouncesConfig {
    /// What mail comes back to: `bounces@example.org`, with the clinic and the message behind a `+` in front of the `@`.
    pub return_path: String,
    /// File with what the mail server shows when it hands over a report.
    pub token_file: PathBuf,
}

/// A provider of short messages, by Twilio's interface.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsConfig {
    /// The account: `AC` and 32 digits. It signs in with the token.
    pub account: String,
    /// File with its token, which also signs what the provider tells.
    pub token_file: PathBuf,
    /// What receivers see as the sender: a number (`+…`), a name, or a messaging service (`MG…`).
    pub from: String,
    /// Origin of this network that the provider reaches: `https://eu-central.clinics.example`. It tells there what became of a
    /// message, and what people answer.
    pub told_at: String,
    /// Where the provider is asked: the only host that short messages go to.
    #[serde(default = "default_api")]
    pub api: String,
    /// Certificates to trust, PEM; those of the operating system if left out.
    pub ca_file: Option<PathBuf>,
}

/// A key of the configuration, and what is wrong with its value.
pub(crate) type Wrong = (&'static str, String);

impl MessagesConfig {
    pub(super) fn claim(&self) -> Result<Duration, Wrong> {
        match self.claim_s {
            6..=600 => Ok(Duration::from_secs(self.claim_s)),
            _ => Err(("messages.claim_s", "is between 6 and 600".to_owned())),
        }
    }

    /// What functions are told of it: what signs what the provider of short messages tells, and where it does, and what opens the
    /// way for mail that came back.
    pub(crate) fn told_to_functions(&self) -> Result<[String; 3], Wrong> {
        let (sms_token, sms_origin) = match &self.sms {
            Some(sms) => {
                let token = secret(&sms.token_file);
                (token.map_err(|error| ("messages.sms.token_file", error.to_string()))?, sms.told_at()?)
            }
            None => Default::default(),
        };
        let bounces = self.smtp.as_ref().and_then(|smtp| smtp.bounces.as_ref());
        let bounces = bounces.map(|bounces| secret(&bounces.token_file)).transpose();
        let bounces = bounces.map_err(|error| ("messages.smtp.bounces.token_file", error.to_string()))?;
        Ok([sms_token, sms_origin, bounces.unwrap_or_default()])
    }

    /// Paths are seen from the configuration file.
    pub(crate) fn resolve(&mut self, config: &Path) {
        let smtp = self.smtp.as_mut().into_iter().flat_map(|smtp| {
            let key = smtp.dkim.as_mut().map(|dkim| &mut dkim.key_file);
            let token = smtp.bounces.as_mut().map(|bounces| &mut bounces.token_file);
            [smtp.ca_file.as_mut(), smtp.password_file.as_mut(), key, token]
        });
        let sms =
            self.sms.as_mut().into_iter().flat_map(|sms| [Some(&mut sms.token_file), sms.ca_file.as_mut()]);
        smtp.chain(sms).flatten().for_each(|own| *own = resolve(config, own));
    }
}

impl SmsConfig {
    /// Without a slash at its end.
    pub(super) fn told_at(&self) -> Result<String, Wrong> {
        let wrong = || ("messages.sms.told_at", "is https://host[:port]".to_owned());
        let uri: http::Uri = self.told_at.parse().map_err(|_| wrong())?;
        let named = uri.host().is_some_and(|host| !host.is_empty()) && !self.told_at.contains(['@', '?']);
        if uri.scheme_str() != Some("https") || uri.path() != "/" || !named {
            return Err(wrong());
        }
        Ok(self.told_at.trim_end_matches('/').to_owned())
    }
}

impl SmtpConfig {
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls == TlsMode::Starttls { 587 } else { 465 })
    }

    pub(super) fn from(&self) -> Result<Address, Wrong> {
        self.from.parse().map_err(|_| ("messages.smtp.from", "is no address".to_owned()))
    }

    /// Name and password, both or none.
    pub(super) fn credentials(&self) -> Result<Option<(String, String)>, Wrong> {
        match (&self.username, &self.password_file) {
            (None, None) => Ok(None),
            (Some(_), None) => Err(("messages.smtp.password_file", "stands with username".to_owned())),
            (None, Some(_)) => Err(("messages.smtp.username", "stands with password_file".to_owned())),
            (Some(name), Some(file)) => {
                let secret =
                    secret(file).map_err(|error| ("messages.smtp.password_file", error.to_string()))?;
                Ok(Some((name.clone(), secret)))
            }
        }
    }

    pub(super) fn check_loopback(&self) -> Result<(), Wrong> {
        let named = self.host == "localhost";
        let ip = self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if self.tls != TlsMode::OnLoopbackOnly || named || ip {
            return Ok(());
        }
        Err(("messages.smtp.tls", "without TLS only to a server on this machine".to_owned()))
    }
}

impl DkimAlgorithm {
    pub(super) fn of_lettre(self) -> DkimSigningAlgorithm {
        match self {
            Self::Rsa => DkimSigningAlgorithm::Rsa,
            Self::Ed25519 => DkimSigningAlgorithm::Ed25519,
        }
    }
}

fn default_api() -> String {
    "https://api.twilio.com".to_owned()
}

const fn default_claim_s() -> u64 {
    60
}

/// The first line of a file, without its end.
pub(super) fn secret(file: &Path) -> Result<String, io::Error> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().next().unwrap_or_default().trim_end();
    match line.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty")),
        false => Ok(line.to_owned()),
    }
}
