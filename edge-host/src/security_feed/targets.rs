//! Where signals go: a file, and a receiver of syslog.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::config::{OpenFeedError, SecurityFeedConfig, SyslogConfig};
use super::signal::Signal;
use super::syslog;

/// To connect, and to send.
const WITHIN: Duration = Duration::from_secs(5);
/// Between two attempts to reach the receiver, which double.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

pub(super) enum Target {
    File(PathBuf),
    Syslog(Receiver),
}

pub(super) struct Receiver {
    address: String,
    /// The name in its certificate.
    host: String,
    tls: Option<TlsConnector>,
    open: Option<Box<dyn AsyncWrite + Send + Sync + Unpin>>,
    /// Said when it begins and when it is over.
    is_lost: bool,
}

impl Target {
    pub(super) fn open(config: &SecurityFeedConfig) -> Result<Vec<Self>, OpenFeedError> {
        let mut targets = Vec::new();
        if let Some(path) = &config.file {
            append(path, "").map_err(|source| OpenFeedError::File { path: path.clone(), source })?;
            targets.push(Self::File(path.clone()));
        }
        if let Some(syslog) = &config.syslog {
            targets.push(Self::Syslog(Receiver::of(syslog)?));
        }
        Ok(targets)
    }

    /// Returns once the signal is told, or when it is time to stop.
    pub(super) async fn tell(&mut self, signal: &Signal, stop: &CancellationToken) {
        let syslog = match self {
            Self::File(path) => return to_file(path, signal),
            Self::Syslog(syslog) => syslog,
        };
        let framed = syslog::framed(signal);
        let mut pause = FIRST_PAUSE;
        while let Err(error) = syslog.send(&framed).await {
            if !syslog.is_lost {
                tracing::warn!(error = %error.kind(), "the receiver of the security feed cannot be reached");
                syslog.is_lost = true;
            }
            metrics::gauge!("locum_edge_security_feed_lost").set(1.0);
            if timeout(pause, stop.cancelled()).await.is_ok() {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        if syslog.is_lost {
            tracing::info!("the receiver of the security feed is there again");
            syslog.is_lost = false;
        }
        metrics::gauge!("locum_edge_security_feed_lost").set(0.0);
    }

    /// One attempt: the host stops.
    pub(super) async fn last(&mut self, signal: &Signal) {
        match self {
            Self::File(path) => to_file(path, signal),
            Self::Syslog(syslog) => {
                if let Err(error) = syslog.send(&syslog::framed(signal)).await {
                    tracing::debug!(error = %error.kind(), "a security signal was not told");
                }
            }
        }
    }
}

fn to_file(path: &PathBuf, signal: &Signal) {
    if let Err(error) = append(path, &(signal.json() + "\n")) {
        tracing::error!(error = %error.kind(), "the file of the security feed cannot be written");
        metrics::counter!("locum_edge_security_signals_dropped_total").increment(1);
    }
}

/// Opened each time: whoever moves the file away need not tell us.
fn append(path: &PathBuf, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

impl Receiver {
    fn of(config: &SyslogConfig) -> Result<Self, OpenFeedError> {
        let (host, port) = config.address.rsplit_once(':').ok_or(OpenFeedError::Address)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(OpenFeedError::Address);
        }
        let host = host.trim_matches(['[', ']']).to_owned();
        let tls = if config.tls { Some(connector(config)?) } else { None };
        Ok(Self { address: config.address.clone(), host, tls, open: None, is_lost: false })
    }

    async fn send(&mut self, framed: &[u8]) -> io::Result<()> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => timeout(WITHIN, self.connect()).await.map_err(io::Error::from)??,
        };
        let sent = async {
            open.write_all(framed).await?;
            open.flush().await
        };
        timeout(WITHIN, sent).await.map_err(io::Error::from)??;
        self.open = Some(open);
        Ok(())
    }

    async fn connect(&self) -> io::Result<Box<dyn AsyncWrite + Send + Sync + Unpin>> {
        let stream = TcpStream::connect(&self.address).await?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

fn connector(config: &SyslogConfig) -> Result<TlsConnector, OpenFeedError> {
    let mut roots = rustls::RootCertStore::empty();
    match &config.ca_file {
        Some(path) => {
            let failed = |error: Box<dyn std::error::Error + Send + Sync>| OpenFeedError::Certificates {
                path: path.clone(),
                source: io::Error::other(error),
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.into()))? {
                let certificate = certificate.map_err(|error| failed(error.into()))?;
                roots.add(certificate).map_err(|error| failed(error.into()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(OpenFeedError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(OpenFeedError::Tls)?.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
