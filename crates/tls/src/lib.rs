//! The certificate of a listener: read from files, and followed when they change.
//!
//! Whoever renews certificates replaces two files; a process that had to be restarted for it would end calls.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Counter of replaced certificates, by `outcome`: `used`, or `refused`.
const RELOADS: &str = "locum_tls_reloads_total";

/// When the chain that is shown ends, seconds since 1970: its first certificate to end counts.
const EXPIRY: &str = "locum_tls_certificate_expiry_timestamp_seconds";

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Certificate chain and key, both PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The chain, the listener's own certificate first. Read again when it changes.
    pub certificate: PathBuf,
    /// Its key (0600).
    pub key: PathBuf,
}

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file.
    #[error("read {path}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key do not fit.
    #[error("use certificate and key")]
    Config(#[source] rustls::Error),
}

/// Inode, time of the last write with its nanoseconds, length: of the chain, of the key.
type Stamps = [Option<(u64, i64, i64, u64)>; 2];

/// A certificate as it is now.
#[derive(Debug)]
pub struct Certificate {
    files: Files,
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(files: Files) -> Result<Arc<Self>, TlsError> {
        let read = read(&files)?;
        metrics::describe_gauge!(EXPIRY, "When the certificate that people are shown ends.");
        tell_expiry(&read.cert);
        Ok(Arc::new(Self { files, current: RwLock::new(Arc::new(read)) }))
    }

    /// TLS 1.2 and 1.3 with the certificate of each moment, and these protocols (RFC 7301), the best first.
    ///
    /// # Errors
    /// When the cryptography does not know the versions.
    pub fn server(self: &Arc<Self>, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(TlsError::Config)?.with_no_client_auth();
        let mut server = builder.with_cert_resolver(Arc::clone(self) as _);
        server.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(server))
    }

    /// Reads the files again whenever they change, until `stop`. Files that cannot be used change nothing: who
    /// writes two files one after the other passes through such a state.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        metrics::describe_counter!(RELOADS, "Certificates replaced, by outcome.");
        let mut seen = stamps(&self.files);
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            // Two small files on a local disk: not worth a thread.
            self.look(&mut seen);
        }
    }

    fn look(&self, seen: &mut Stamps) {
        let now = stamps(&self.files);
        if *seen == now {
            return;
        }
        *seen = now;
        match read(&self.files) {
            Ok(read) => {
                tell_expiry(&read.cert);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(read);
                metrics::counter!(RELOADS, "outcome" => "used").increment(1);
                info!("certificate replaced");
            }
            Err(error) => {
                metrics::counter!(RELOADS, "outcome" => "refused").increment(1);
                warn!(error = &error as &dyn std::error::Error, "changed certificate cannot be used, yet");
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(files: &Files) -> Result<CertifiedKey, TlsError> {
    let pem = |path: &PathBuf| {
        let path = path.clone();
        move |source| TlsError::Pem { path, source }
    };
    let certificates = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(pem(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem(&files.key))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(certificates, key, &provider).map_err(TlsError::Config)
}

fn tell_expiry(chain: &[CertificateDer<'_>]) {
    if let Some(ends_s) = ends_s(chain) {
        metrics::gauge!(EXPIRY).set(ends_s as f64);
    }
}

/// `None` for a chain that nobody could read; rustls has, so there is none.
fn ends_s(chain: &[CertificateDer<'_>]) -> Option<i64> {
    let parsed = chain.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1));
    parsed.map(|certificate| certificate.validity().not_after.timestamp()).min()
}

/// Tells apart what stood in the files at two moments: a renamed file is another one, a written one is newer.
fn stamps(files: &Files) -> Stamps {
    let stamp = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
    };
    [stamp(&files.certificate), stamp(&files.key)]
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn write(dir: &TempDir, parts: [bool; 2]) -> Files {
        let made = rcgen::generate_simple_self_signed(["media.test".to_owned()]).unwrap();
        let files = Files { certificate: dir.path().join("chain.pem"), key: dir.path().join("key.pem") };
        let texts = [(&files.certificate, made.cert.pem()), (&files.key, made.signing_key.serialize_pem())];
        for ((path, text), wanted) in texts.into_iter().zip(parts) {
            if wanted {
                // As whoever renews it does: never a file that is half there.
                let new = path.with_extension("new");
                fs::write(&new, text).unwrap();
                fs::rename(new, path).unwrap();
            }
        }
        files
    }

    fn current(certificate: &Certificate) -> Arc<CertifiedKey> {
        Arc::clone(&certificate.current.read().unwrap())
    }

    #[test]
    fn a_new_certificate_is_used_and_one_without_its_key_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let files = write(&dir, [true, true]);
        let certificate = Certificate::load(files.clone()).unwrap();
        let (mut seen, first) = (stamps(&files), current(&certificate));

        write(&dir, [true, false]);
        certificate.look(&mut seen);
        assert!(Arc::ptr_eq(&first, &current(&certificate)), "a chain without its key");

        write(&dir, [true, true]);
        certificate.look(&mut seen);
        let written = CertificateDer::pem_file_iter(&files.certificate).unwrap().next().unwrap().unwrap();
        let second = current(&certificate);
        assert_eq!(second.cert, [written]);
        certificate.look(&mut seen);
        assert!(Arc::ptr_eq(&second, &current(&certificate)), "read again for nothing");
    }

    #[test]
    fn a_chain_ends_with_its_first_certificate_to_end() {
        let der = |year| {
            let mut params = rcgen::CertificateParams::new(["media.test".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            params.self_signed(&key).unwrap().der().clone()
        };
        let (young, old) = (der(2031), der(2030));
        // 2030-01-01 and 2031-01-01, midnight.
        assert_eq!(ends_s(&[young.clone(), old]), Some(1_893_456_000));
        assert_eq!(ends_s(&[young]), Some(1_924_992_000));
        assert_eq!(ends_s(&[]), None);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = write(&dir, [true, true]);
        let other = tempfile::tempdir().unwrap();
        files.key = write(&other, [true, true]).key;
        assert!(matches!(Certificate::load(files.clone()), Err(TlsError::Config(_))));
        files.key = other.path().join("nothing");
        let error = Certificate::load(files).unwrap_err();
        assert!(error.to_string().contains("nothing"), "{error}");
    }
}
