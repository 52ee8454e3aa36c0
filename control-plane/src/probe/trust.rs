//! Whose certificates are believed when a node is asked under its public name: the system's roots, and those of
//! a file for a network with certificates of its own making.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// No public certificate can be verified.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("read certificates in {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("believe the certificates in {path}")]
    Root {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("set up TLS")]
    Setup(#[source] rustls::Error),
}

/// For probes. A system without roots is no error: then only `more` is believed.
pub(crate) fn client_config(more: Option<&Path>) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = more {
        let unread = |error| TrustError::Read { path: path.to_owned(), source: io::Error::other(error) };
        for certificate in CertificateDer::pem_file_iter(path).map_err(unread)? {
            let source = |source| TrustError::Root { path: path.to_owned(), source };
            roots.add(certificate.map_err(unread)?).map_err(source)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(TrustError::Setup)?.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}
