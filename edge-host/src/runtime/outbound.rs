//! Requests that functions send: only to hosts the manifest names, over TLS 1.2 or better, never inside a
//! transaction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, HeaderValue};
use http::uri::Scheme;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::{Call, Environment, audit_log};
use crate::audit::AuditDoor;
use crate::store::Session;

/// Longest time to connect, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest body that a function may receive.
const MAX_BODY_BYTES: usize = 4 << 20;

pub(super) type BodyIo = Box<dyn Future<Output = Result<(), Error>> + Send>;
pub(super) type Answer = (Response<WasiBody>, BodyIo);

/// The TLS side of sending, made once.
#[derive(Clone)]
pub struct OutboundClient {
    tls: TlsConnector,
}

/// Why a function may not send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Denied {
    HostNotAllowed,
    InsideTransaction,
}

pub(super) struct OutboundHooks {
    environment: Arc<Environment>,
    session: Option<Arc<dyn Session>>,
    audit: Option<Arc<AuditDoor>>,
    deadline: Instant,
}

impl OutboundClient {
    /// Trusts what the operating system trusts.
    pub fn new() -> Result<Self, rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        let native = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(native.certs);
        if added == 0 {
            tracing::warn!("no trusted certificates found: functions cannot send requests over TLS");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    async fn send(self, mut request: Request<WasiBody>, deadline: Instant) -> Result<Answer, Error> {
        let uri = request.uri().clone();
        let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?.to_owned();
        let tls = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let connecting = async {
            let stream =
                TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(Error::Connect)?;
            if !tls {
                return handshake(stream).await;
            }
            let name = ServerName::try_from(host.clone()).map_err(|_| Error::HttpRequestUriInvalid)?;
            handshake(self.tls.connect(name, stream).await.map_err(Error::Tls)?).await
        };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        let (mut sender, connection) = connected.map_err(|_| Error::ConnectionTimeout)??;
        // Scheme and authority stand only in requests to a proxy; `Host` says the rest (RFC 9112 §3.2), which
        // wasi:http does not.
        let named = uri.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let named = HeaderValue::from_str(&named).map_err(|_| Error::HttpRequestUriInvalid)?;
        request.headers_mut().insert(HOST, named);
        *request.uri_mut() = origin_form(&uri)?;
        let sent = tokio::time::timeout_at(deadline.into(), sender.send_request(request)).await;
        let response = sent.map_err(|_| Error::HttpResponseTimeout)??;
        let response =
            response.map(|body| Limited::new(body, MAX_BODY_BYTES).map_err(body_error).boxed_unsync());
        let io = async move { connection.await.map_err(|_| Error::ConnectionTerminated)? };
        Ok((response, Box::new(io)))
    }
}

impl OutboundHooks {
    pub(super) fn new(environment: Arc<Environment>, call: &Call) -> Self {
        let (session, audit) = (call.session.clone(), call.audit.clone());
        Self { environment, session, audit, deadline: call.deadline }
    }

    fn check(&self, uri: &Uri) -> Result<(), Denied> {
        if !self.environment.outbound.allows(uri) {
            return Err(Denied::HostNotAllowed);
        }
        // The other side would see an effect that a rollback here takes back.
        match self.session.as_ref().is_some_and(|session| session.in_transaction()) {
            true => Err(Denied::InsideTransaction),
            false => Ok(()),
        }
    }
}

impl WasiHttpHooks for OutboundHooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: BodyIo,
    ) -> Box<dyn Future<Output = Result<Answer, Error>> + Send> {
        if request.uri().host() == Some(audit_log::HOST) {
            return Box::new(audit_log::answer(self.audit.clone(), request));
        }
        let checked = self.check(request.uri());
        let outcome = match checked {
            Ok(()) => "sent",
            Err(Denied::HostNotAllowed) => "host-not-allowed",
            Err(Denied::InsideTransaction) => "inside-transaction",
        };
        let component = self.environment.component.clone();
        let labels = [("component", component), ("outcome", outcome.to_owned())];
        metrics::counter!("locum_edge_outbound_requests_total", &labels).increment(1);
        match checked {
            Ok(()) => Box::new(self.environment.client.clone().send(request, self.deadline)),
            Err(_) => Box::new(async { Err(Error::HttpRequestDenied) }),
        }
    }
}

type Connection = AbortOnDropHandle<Result<(), Error>>;

async fn handshake<S>(stream: S) -> Result<(http1::SendRequest<WasiBody>, Connection), Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driven = tokio::spawn(async move { connection.await.map_err(Error::Hyper) });
    Ok((sender, AbortOnDropHandle::new(driven)))
}

fn origin_form(uri: &Uri) -> Result<Uri, Error> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    path.parse().map_err(|_| Error::HttpRequestUriInvalid)
}

fn body_error(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    match error.downcast::<LengthLimitError>() {
        Ok(_) => Error::HttpResponseBodySize(None),
        Err(_) => Error::HttpResponseIncomplete,
    }
}
