//! A conversation with a mail server (RFC 5321), which knows at each word whether the server may have taken the message.

use std::io;
use std::str::FromStr as _;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Data, Ehlo, Mail, Quit, Rcpt, Rset, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter, ServerInfo};
use lettre::transport::smtp::response::Response;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::config::{SmtpConfig, TlsMode, Wrong};
use super::desk::Outcome;
use super::trust;

/// To connect, and for each answer but the last one.
const WITHIN: Duration = Duration::from_secs(10);
/// For the answer that says whether the server has taken it.
const TAKEN_WITHIN: Duration = Duration::from_secs(60);
/// Of one answer, however many lines it has.
const MAX_ANSWER_BYTES: usize = 16 << 10;

/// A mail server that is asked.
pub(super) struct Smtp {
    host: String,
    port: u16,
    mode: TlsMode,
    tls: TlsConnector,
    credentials: Option<Credentials>,
    hello: ClientId,
    /// To connect, and to say all but the line that ends a message.
    within: Duration,
}

/// One that listens.
pub(super) struct Connection {
    talk: Talk<Box<dyn Io>>,
    info: ServerInfo,
    within: Duration,
}

/// What became of a message, with a word for people.
pub(super) type Became = (Outcome, Option<String>);

trait Io: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Io for T {}

struct Talk<S> {
    stream: S,
    /// What was read beyond the last answer.
    read: Vec<u8>,
}

/// A conversation that went wrong. Never holds what a server said: it may quote what it was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmtpError {
    #[error("connection")]
    Connection(#[source] io::Error),
    #[error("answer {0}")]
    Refused(u16),
    #[error("no answer of SMTP")]
    NoAnswer,
    #[error("the server offers no TLS")]
    NoTls,
    #[error("the server is not on this machine")]
    NotHere,
}

impl SmtpError {
    /// A word for the work list and the log.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Connection(_) => "smtp-connection".to_owned(),
            Self::Refused(code) => format!("smtp-{code}"),
            Self::NoAnswer => "smtp-no-answer".to_owned(),
            Self::NoTls => "smtp-no-tls".to_owned(),
            Self::NotHere => "smtp-not-here".to_owned(),
        }
    }
}

impl Smtp {
    pub(super) fn new(config: &SmtpConfig, hello: &str, within: Duration) -> Result<Self, Wrong> {
        config.check_loopback()?;
        if ServerName::try_from(config.host.as_str()).is_err() {
            return Err(("messages.smtp.host", "is no name of a host".to_owned()));
        }
        let tls = trust::connector(config.ca_file.as_deref());
        let credentials = config.credentials()?;
        Ok(Self {
            host: config.host.clone(),
            port: config.port(),
            mode: config.tls,
            tls: tls.map_err(|problem| ("messages.smtp.ca_file", problem))?,
            credentials: credentials.map(|(name, password)| Credentials::new(name, password)),
            hello: ClientId::Domain(hello.to_owned()),
            within,
        })
    }

    /// A server that has said hello, over TLS, and knows who we are.
    pub(super) async fn connect(&self) -> Result<Connection, SmtpError> {
        timeout(self.within, self.reach()).await.map_err(late)?
    }

    async fn reach(&self) -> Result<Connection, SmtpError> {
        let connected = TcpStream::connect((self.host.as_str(), self.port));
        let tcp = timeout(WITHIN, connected).await.map_err(late)?.map_err(SmtpError::Connection)?;
        let stream: Box<dyn Io> = match self.mode {
            TlsMode::Implicit => Box::new(self.secure(tcp).await?),
            TlsMode::Starttls => Box::new(self.secure(self.start_tls(tcp).await?).await?),
            TlsMode::OnLoopbackOnly => {
                let peer = tcp.peer_addr().map_err(SmtpError::Connection)?;
                if !peer.ip().is_loopback() {
                    return Err(SmtpError::NotHere);
                }
                Box::new(tcp)
            }
        };
        let mut talk = Talk { stream, read: Vec::new() };
        if self.mode != TlsMode::Starttls {
            talk.answer(WITHIN).await?;
        }
        let hello = talk.ask(&Ehlo::new(self.hello.clone()).to_string()).await?;
        let info = ServerInfo::from_response(&hello).map_err(|_| SmtpError::NoAnswer)?;
        if let Some(credentials) = &self.credentials {
            let auth = Auth::new(Mechanism::Plain, credentials.clone(), None);
            talk.ask(&auth.map_err(|_| SmtpError::NoAnswer)?.to_string()).await?;
        }
        Ok(Connection { talk, info, within: self.within })
    }

    /// What the server says before TLS is worth nothing, so nothing of it is kept (RFC 3207 §4.2).
    async fn start_tls(&self, tcp: TcpStream) -> Result<TcpStream, SmtpError> {
        let mut talk = Talk { stream: tcp, read: Vec::new() };
        talk.answer(WITHIN).await?;
        let hello = talk.ask(&Ehlo::new(self.hello.clone()).to_string()).await?;
        let info = ServerInfo::from_response(&hello).map_err(|_| SmtpError::NoAnswer)?;
        if !info.supports_feature(Extension::StartTls) {
            return Err(SmtpError::NoTls);
        }
        talk.ask(&Starttls.to_string()).await?;
        // What somebody slipped in behind the answer would be taken for the server's own.
        if talk.read.is_empty() { Ok(talk.stream) } else { Err(SmtpError::NoAnswer) }
    }

    async fn secure(&self, tcp: TcpStream) -> Result<TlsStream<TcpStream>, SmtpError> {
        let name = ServerName::try_from(self.host.clone()).map_err(|_| SmtpError::NoTls)?;
        timeout(WITHIN, self.tls.connect(name, tcp)).await.map_err(late)?.map_err(SmtpError::Connection)
    }
}

impl Connection {
    /// Sends one message. `false`: nothing more can be said on this connection.
    pub(super) async fn send(&mut self, envelope: &Envelope, mail: &[u8]) -> (Became, bool) {
        let offered = timeout(self.within, self.offer(envelope, mail)).await;
        match offered.unwrap_or_else(|elapsed| Err((late(elapsed), Outcome::Retry))) {
            Ok(()) => {}
            // It has taken nothing, whatever went wrong.
            Err((error, permanent)) => {
                let heard = matches!(error, SmtpError::Refused(_));
                let usable = heard && self.talk.ask(&Rset.to_string()).await.is_ok();
                let outcome = match &error {
                    // The server wants somebody to sign in: that is not the message's fault (RFC 4954 §6).
                    SmtpError::Refused(530 | 534 | 535 | 538) => Outcome::Retry,
                    SmtpError::Refused(550 | 551 | 553) => permanent,
                    SmtpError::Refused(500..=599) => Outcome::Failed,
                    _ => Outcome::Retry,
                };
                return ((outcome, Some(error.word())), usable);
            }
        }
        // From the first byte of this line on the server may have taken it.
        if let Err(error) = self.talk.say(b".\r\n").await {
            return ((Outcome::Unknown, Some(error.word())), false);
        }
        match self.talk.answer(TAKEN_WITHIN).await {
            Ok(_) => ((Outcome::Sent, None), true),
            Err(error @ SmtpError::Refused(500..=599)) => ((Outcome::Failed, Some(error.word())), true),
            Err(error @ SmtpError::Refused(_)) => ((Outcome::Retry, Some(error.word())), true),
            Err(error) => ((Outcome::Unknown, Some(error.word())), false),
        }
    }

    /// All but the line that ends the message. With an error comes what it means if it is for good.
    async fn offer(&mut self, envelope: &Envelope, mail: &[u8]) -> Result<(), (SmtpError, Outcome)> {
        let failed = |error| (error, Outcome::Failed);
        let mut parameters = Vec::new();
        if envelope
            .to()
            .iter()
            .chain(envelope.from())
            .any(|address| !AsRef::<str>::as_ref(address).is_ascii())
        {
            if !self.info.supports_feature(Extension::SmtpUtfEight) {
                return Err((SmtpError::Refused(553), Outcome::Bounced));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !mail.is_ascii() {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let from = Mail::new(envelope.from().cloned(), parameters);
        self.talk.ask(&from.to_string()).await.map_err(failed)?;
        for to in envelope.to() {
            let to = Rcpt::new(to.clone(), Vec::new());
            self.talk.ask(&to.to_string()).await.map_err(|error| (error, Outcome::Bounced))?;
        }
        self.talk.ask(&Data.to_string()).await.map_err(failed)?;
        self.talk.say(&dotted(mail)).await.map_err(failed)
    }

    /// As polite servers like it; nothing depends on it.
    pub(super) async fn quit(mut self) {
        // Nobody waits for the answer.
        let _ = self.talk.say(Quit.to_string().as_bytes()).await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn ask(&mut self, command: &str) -> Result<Response, SmtpError> {
        self.say(command.as_bytes()).await?;
        self.answer(WITHIN).await
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<(), SmtpError> {
        let said = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(WITHIN, said).await.map_err(late)?.map_err(SmtpError::Connection)
    }

    /// The next whole answer, if it is a good one.
    async fn answer(&mut self, within: Duration) -> Result<Response, SmtpError> {
        let heard = async {
            loop {
                if let Some(end) = end_of_answer(&self.read) {
                    return Ok(self.read.drain(..end).collect::<Vec<u8>>());
                }
                if self.read.len() > MAX_ANSWER_BYTES {
                    return Err(SmtpError::NoAnswer);
                }
                let mut more = [0; 1_024];
                match self.stream.read(&mut more).await.map_err(SmtpError::Connection)? {
                    0 => return Err(SmtpError::Connection(io::ErrorKind::UnexpectedEof.into())),
                    read => self.read.extend_from_slice(more.get(..read).unwrap_or_default()),
                }
            }
        };
        let answer = timeout(within, heard).await.map_err(late)??;
        let text = String::from_utf8_lossy(&answer);
        let response = Response::from_str(&text).map_err(|_| SmtpError::NoAnswer)?;
        if response.is_positive() { Ok(response) } else { Err(SmtpError::Refused(response.code().into())) }
    }
}

/// Behind the first line that no other follows: `250 …`, not `250-…`.
fn end_of_answer(read: &[u8]) -> Option<usize> {
    let mut begins = 0;
    while let Some(length) = read.get(begins..)?.iter().position(|byte| *byte == b'\n') {
        let ends = begins + length + 1;
        if read.get(begins..ends)?.get(3) != Some(&b'-') {
            return Some(ends);
        }
        begins = ends;
    }
    None
}

/// A line of its own that begins with a dot gets a second one (RFC 5321 §4.5.2), and the last one an end.
fn dotted(mail: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(mail.len() + 64);
    let mut at_start = true;
    for byte in mail {
        if at_start && *byte == b'.' {
            bytes.push(b'.');
        }
        at_start = *byte == b'\n';
        bytes.push(*byte);
    }
    if !bytes.ends_with(b"\r\n") {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn late(_: tokio::time::error::Elapsed) -> SmtpError {
    SmtpError::Connection(io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_last_line() {
        assert_eq!(end_of_answer(b"250-a\r\n250-b\r\n"), None);
        assert_eq!(end_of_answer(b"250-a\r\n250 b\r\n220 x"), Some(14));
        assert_eq!(end_of_answer(b"2"), None);
        assert_eq!(end_of_answer(b"x\n"), Some(2));
    }

    #[test]
    fn no_line_of_a_message_ends_it() {
        assert_eq!(dotted(b"a\r\n.\r\n..b"), b"a\r\n..\r\n...b\r\n");
        assert_eq!(dotted(b".\r\n"), b"..\r\n");
    }
}
