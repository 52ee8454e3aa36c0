//! The keys of nodes and the certificates that name them.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::NodeIdentity;

/// A key or certificate could not be made, kept or understood.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file could not be read or is readable by others.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file could not be written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The authority's certificate is there and its key is not.
    #[error("the authority's certificate has lost its key {path}")]
    KeyLost {
        /// Where the key should be.
        path: PathBuf,
    },
    /// Making a key, request or certificate failed.
    #[error("{operation}")]
    Make {
        /// What was being made.
        operation: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// Not a certificate.
    #[error("certificate is malformed")]
    Malformed,
    /// Not exactly one name of ours in it.
    #[error("certificate names no node of this kind of network")]
    NoIdentity,
}

/// A node's private key (ECDSA P-256).
pub struct NodeKey(KeyPair);

impl NodeKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, CertificateError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(make("generate node key"))
    }

    /// From PKCS#8 PEM.
    ///
    /// # Errors
    /// When it is not that.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        KeyPair::from_pem(pem).map(Self).map_err(make("parse node key"))
    }

    /// As PKCS#8 PEM. A secret.
    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// As PKCS#8 DER. A secret.
    pub fn der(&self) -> Vec<u8> {
        self.0.serialize_der()
    }

    /// A request for a certificate of this key (PKCS#10, PEM). It names nothing: names are the authority's to
    /// give.
    ///
    /// # Errors
    /// When signing fails.
    pub fn request(&self) -> Result<String, CertificateError> {
        let request =
            CertificateParams::default().serialize_request(&self.0).and_then(|request| request.pem());
        request.map_err(make("make certificate request"))
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey")
    }
}

/// The key of a node that proved to hold it. What else a request says does not count.
#[derive(Debug)]
pub struct CertificateRequest(pub(crate) rcgen::PublicKey);

impl CertificateRequest {
    /// From PKCS#10, PEM.
    ///
    /// # Errors
    /// When it is malformed or not signed by its own key.
    pub fn from_pem(pem: &str) -> Result<Self, CertificateError> {
        let parsed = CertificateSigningRequestParams::from_pem(pem);
        parsed.map(|parsed| Self(parsed.public_key)).map_err(make("read certificate request"))
    }
}

/// A node's certificate.
#[derive(Clone, Debug)]
pub struct NodeCertificate {
    pem: String,
    der: Vec<u8>,
    identity: NodeIdentity,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl NodeCertificate {
    /// From PEM.
    ///
    /// # Errors
    /// When it is no certificate of a node.
    pub fn from_pem(pem: String) -> Result<Self, CertificateError> {
        let der = pem_to_der(&pem)?;
        let identity = NodeIdentity::from_certificate(&der)?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| CertificateError::Malformed)?;
        let at = |seconds: i64| {
            let seconds = u64::try_from(seconds).map_err(|_| CertificateError::Malformed)?;
            UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or(CertificateError::Malformed)
        };
        let not_before = at(parsed.validity().not_before.timestamp())?;
        let not_after = at(parsed.validity().not_after.timestamp())?;
        Ok(Self { pem, der, identity, not_before, not_after })
    }

    /// As PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// As DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whom it names.
    pub fn identity(&self) -> &NodeIdentity {
        &self.identity
    }

    /// When it ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// When to ask for the next one: after two thirds of its life.
    pub fn renew_at(&self) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.not_before + life / 3 * 2
    }
}

pub(crate) fn pem_to_der(pem: &str) -> Result<Vec<u8>, CertificateError> {
    let (_, parsed) =
        x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| CertificateError::Malformed)?;
    (parsed.label == "CERTIFICATE").then_some(parsed.contents).ok_or(CertificateError::Malformed)
}

pub(crate) fn make(operation: &'static str) -> impl Fn(rcgen::Error) -> CertificateError {
    move |source| CertificateError::Make { operation, source }
}
