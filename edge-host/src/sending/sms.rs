//! Short messages, by a provider that takes JSON over HTTPS and honours an `Idempotency-Key`.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::config::{SmsConfig, Wrong, secret};
use super::desk::{Message, Outcome};
use super::smtp::Became;
use super::trust;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// The provider.
pub(super) struct Provider {
    uri: Uri,
    host: String,
    port: u16,
    from: String,
    authorization: HeaderValue,
    tls: TlsConnector,
}

impl Provider {
    pub(super) fn new(config: &SmsConfig) -> Result<Self, Wrong> {
        let wrong = |problem: &str| ("messages.sms.url", problem.to_owned());
        let uri: Uri = config.url.parse().map_err(|_| wrong("is no URL"))?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong("must be https"));
        }
        let host = uri.host().ok_or_else(|| wrong("names no host"))?.to_owned();
        if ServerName::try_from(host.as_str()).is_err() {
            return Err(wrong("names no host"));
        }
        let key = "messages.sms.secret_file";
        let token = secret(&config.secret_file).map_err(|error| (key, error.to_string()))?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| (key, "cannot stand in a header".to_owned()))?;
        authorization.set_sensitive(true);
        let tls = trust::connector(config.ca_file.as_deref())
            .map_err(|problem| ("messages.sms.ca_file", problem))?;
        let port = uri.port_u16().unwrap_or(443);
        Ok(Self { uri, host, port, from: config.from.clone(), authorization, tls })
    }

    /// Nothing was taken until the request is on its way.
    pub(super) async fn send(&self, message: &Message) -> Became {
        let Some(request) = self.request(message) else {
            return (Outcome::Failed, Some("sms-unsendable".to_owned()));
        };
        let retry = |word: &str| (Outcome::Retry, Some(word.to_owned()));
        let connected = timeout(CONNECT_WITHIN, self.connect()).await;
        let Ok(Ok(stream)) = connected else { return retry("sms-connection") };
        let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else {
            return retry("sms-connection");
        };
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        match timeout(ANSWER_WITHIN, sender.send_request(request)).await {
            Ok(Ok(answer)) => {
                let status = answer.status();
                let word = Some(format!("sms-{}", status.as_u16()));
                match status.as_u16() {
                    200..=299 => (Outcome::Sent, None),
                    // Whoever could not say whether it was taken is asked again only by people.
                    408 | 500 | 502 | 504 => (Outcome::Unknown, word),
                    429 | 503 => (Outcome::Retry, word),
                    _ => (Outcome::Failed, word),
                }
            }
            _ => (Outcome::Unknown, Some("sms-no-answer".to_owned())),
        }
    }

    fn request(&self, message: &Message) -> Option<Request<Full<Bytes>>> {
        let body = serde_json::json!({
            "id": message.id, "from": self.from, "to": message.to, "text": message.text,
        });
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        Request::post(path)
            .header(HOST, self.uri.authority()?.as_str())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("idempotency-key", &message.id)
            .body(Full::new(Bytes::from(body.to_string())))
            .ok()
    }

    async fn connect(&self) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let tcp = TcpStream::connect((self.host.trim_matches(['[', ']']), self.port)).await?;
        self.tls.connect(name, tcp).await
    }
}
