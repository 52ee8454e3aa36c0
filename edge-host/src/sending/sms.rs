//! Short messages, by a provider that is asked over HTTPS. What its requests and answers look like is the part of an interface,
//! which knows no network; there is one, Twilio's.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::config::{SmsConfig, Wrong};
use super::desk::{Message, Outcome};
use super::smtp::Became;
use super::trust;
use super::twilio::Twilio;
use crate::clinic::ClinicId;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// How a provider is asked to send a message, and what its answer means.
pub(super) trait Interface: Send + Sync {
    /// Path and query, headers and body of the request; `None`: it cannot be sent.
    fn request(&self, clinic: &ClinicId, message: &Message) -> Option<Asked>;

    /// What became of the message.
    fn read(&self, status: StatusCode, body: &[u8]) -> Became;
}

/// A request, without where it goes to.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, HeaderValue)>,
    pub(super) body: String,
}

/// The provider.
pub(super) struct Provider {
    authority: String,
    host: String,
    port: u16,
    interface: Box<dyn Interface>,
    tls: TlsConnector,
}

impl Provider {
    pub(super) fn new(config: &SmsConfig) -> Result<Self, Wrong> {
        let wrong = |problem: &str| ("messages.sms.api", problem.to_owned());
        let uri: Uri = config.api.parse().map_err(|_| wrong("is no URL"))?;
        if uri.scheme_str() != Some("https") || uri.path() != "/" || uri.query().is_some() {
            return Err(wrong("is https://host[:port]"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("names no host"))?.to_string();
        let host = uri.host().ok_or_else(|| wrong("names no host"))?.to_owned();
        if ServerName::try_from(host.as_str()).is_err() || authority.contains('@') {
            return Err(wrong("names no host"));
        }
        let tls = trust::connector(config.ca_file.as_deref())
            .map_err(|problem| ("messages.sms.ca_file", problem))?;
        let interface = Box::new(Twilio::new(config)?);
        Ok(Self { authority, host, port: uri.port_u16().unwrap_or(443), interface, tls })
    }

    /// Nothing was taken until the request is on its way.
    pub(super) async fn send(&self, clinic: &ClinicId, message: &Message) -> Became {
        let Some(request) = self.interface.request(clinic, message).and_then(|asked| self.whole(asked))
        else {
            return (Outcome::Failed, Some("sms-unsendable".to_owned()));
        };
        let retry = |word: &str| (Outcome::Retry, Some(word.to_owned()));
        let connected = timeout(CONNECT_WITHIN, self.connect()).await;
        let Ok(Ok(stream)) = connected else { return retry("sms-connection") };
        let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else {
            return retry("sms-connection");
        };
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let answered = timeout(ANSWER_WITHIN, async {
            let answer = sender.send_request(request).await.ok()?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            Some((status, body.map(|body| body.to_bytes()).unwrap_or_default()))
        });
        match answered.await {
            Ok(Some((status, body))) => self.interface.read(status, &body),
            _ => (Outcome::Unknown, Some("sms-no-answer".to_owned())),
        }
    }

    fn whole(&self, asked: Asked) -> Option<Request<Full<Bytes>>> {
        let mut request = Request::post(asked.path).header(HOST, &self.authority);
        for (name, value) in asked.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(Bytes::from(asked.body))).ok()
    }

    async fn connect(&self) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let tcp = TcpStream::connect((self.host.trim_matches(['[', ']']), self.port)).await?;
        self.tls.connect(name, tcp).await
    }
}
