//! The network's certificate authority and the certificates of its nodes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{NodeId, RegionId, Role, Zone, private_file};

/// How long a node's certificate is good for. Renewed after two thirds of it.
const NODE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long the authority is good for.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Certificates start in the past: a node's clock may be behind the authority's.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

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

/// SHA-256 of a certificate's DER.
#[derive(Clone, Copy, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = CertificateError;
    fn try_from(text: String) -> Result<Self, CertificateError> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CertificateError::Malformed);
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16)
                .map_err(|_| CertificateError::Malformed)?;
        }
        Ok(Self(bytes))
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

/// Who a node is; its certificate says it as `spiffe://<zone>/<region>/<role>/<node>`.
#[derive(Clone, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub struct NodeIdentity {
    /// The network.
    pub zone: Zone,
    /// Where it runs.
    pub region: RegionId,
    /// What it does.
    pub role: Role,
    /// Its name.
    pub node: NodeId,
}

impl NodeIdentity {
    /// The identity a certificate (DER) states. Whether the certificate is to be believed is the TLS stack's question.
    ///
    /// # Errors
    /// When it is no certificate, or does not hold exactly one URI, or that URI is not one of ours.
    pub fn from_certificate(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| CertificateError::Malformed)?
            .ok_or(CertificateError::NoIdentity)?;
        // SPIFFE X509-SVID §2: exactly one URI.
        let mut uris = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        match (uris.next(), uris.next()) {
            (Some(uri), None) => uri.parse(),
            _ => Err(CertificateError::NoIdentity),
        }
    }
}

impl fmt::Display for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spiffe://{}/{}/{}/{}", self.zone, self.region, self.role, self.node)
    }
}

impl FromStr for NodeIdentity {
    type Err = CertificateError;
    fn from_str(uri: &str) -> Result<Self, CertificateError> {
        let path = uri.strip_prefix("spiffe://").ok_or(CertificateError::NoIdentity)?;
        let mut parts = path.split('/');
        let mut next = || parts.next().ok_or(CertificateError::NoIdentity);
        let identity = Self {
            zone: next()?.parse().map_err(|_| CertificateError::NoIdentity)?,
            region: next()?.parse().map_err(|_| CertificateError::NoIdentity)?,
            role: next()?.parse().map_err(|_| CertificateError::NoIdentity)?,
            node: next()?.parse().map_err(|_| CertificateError::NoIdentity)?,
        };
        next().is_err().then_some(identity).ok_or(CertificateError::NoIdentity)
    }
}

/// The DNS name by which a node is called on the mesh. It is in its certificate and need not resolve.
pub fn node_name(zone: &Zone, node: &NodeId) -> String {
    format!("{node}.node.mesh.{zone}")
}

/// The DNS name shared by all nodes of a role, for a caller that does not care which of them answers.
pub fn role_name(zone: &Zone, role: Role) -> String {
    format!("{role}.role.mesh.{zone}")
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

    /// A request for a certificate of this key (PKCS#10, PEM). It names nothing: names are the authority's to give.
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
pub struct CertificateRequest(rcgen::PublicKey);

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

/// Signs the certificates of a network's nodes.
pub struct CertificateAuthority {
    zone: Zone,
    pem: String,
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl CertificateAuthority {
    /// The authority kept in `dir` (`ca.pem`, `ca.key`), made there when there is none.
    ///
    /// # Errors
    /// When files cannot be read or written, or the key is gone or does not parse.
    pub fn load_or_create(dir: &Path, zone: &Zone, now: SystemTime) -> Result<Self, CertificateError> {
        let (key_path, pem_path) = (dir.join("ca.key"), dir.join("ca.pem"));
        let key = match read(&key_path)? {
            Some(pem) => KeyPair::from_pem(&pem).map_err(make("parse the authority's key"))?,
            None if pem_path.exists() => return Err(CertificateError::KeyLost { path: key_path }),
            None => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
                    .map_err(make("generate the authority's key"))?;
                write(&key_path, &key.serialize_pem())?;
                key
            }
        };
        let pem = match read(&pem_path)? {
            Some(pem) => pem,
            None => {
                let pem = authority_params(zone, now)
                    .self_signed(&key)
                    .map_err(make("sign the authority's certificate"))?
                    .pem();
                write(&pem_path, &pem)?;
                pem
            }
        };
        let der = pem_to_der(&pem)?;
        let issuer =
            Issuer::from_ca_cert_pem(&pem, key).map_err(make("parse the authority's certificate"))?;
        Ok(Self { zone: zone.clone(), pem, der, issuer })
    }

    /// The certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What a join token carries of it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.der)
    }

    /// A certificate for the key of `request`, naming `identity`.
    ///
    /// # Errors
    /// When `identity` is of another zone, or signing fails.
    pub fn issue(
        &self,
        identity: &NodeIdentity,
        request: &CertificateRequest,
        now: SystemTime,
    ) -> Result<NodeCertificate, CertificateError> {
        if identity.zone != self.zone {
            return Err(CertificateError::NoIdentity);
        }
        let certificate = node_params(identity, now)?
            .signed_by(&request.0, &self.issuer)
            .map_err(make("sign node certificate"))?;
        NodeCertificate::from_pem(certificate.pem())
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

fn authority_params(zone: &Zone, now: SystemTime) -> CertificateParams {
    let mut params = valid(now, AUTHORITY_LIFETIME);
    params.distinguished_name.push(DnType::CommonName, format!("Locum mesh authority of {zone}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Whoever steals this key can pose as a node of this network, but not as a web site.
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(format!("mesh.{zone}"))],
        excluded_subtrees: Vec::new(),
    });
    params
}

fn node_params(identity: &NodeIdentity, now: SystemTime) -> Result<CertificateParams, CertificateError> {
    let mut params = valid(now, NODE_LIFETIME);
    params.distinguished_name.push(DnType::CommonName, identity.node.as_str());
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let text = |text: String| text.try_into().map_err(make("name node certificate"));
    params.subject_alt_names = vec![
        SanType::URI(text(identity.to_string())?),
        SanType::DnsName(text(node_name(&identity.zone, &identity.node))?),
        SanType::DnsName(text(role_name(&identity.zone, identity.role))?),
    ];
    Ok(params)
}

fn valid(now: SystemTime, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = OffsetDateTime::from(now) - CLOCK_SKEW;
    params.not_after = OffsetDateTime::from(now) + lifetime;
    params
}

fn pem_to_der(pem: &str) -> Result<Vec<u8>, CertificateError> {
    let (_, parsed) =
        x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| CertificateError::Malformed)?;
    (parsed.label == "CERTIFICATE").then_some(parsed.contents).ok_or(CertificateError::Malformed)
}

fn read(path: &Path) -> Result<Option<String>, CertificateError> {
    match private_file::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CertificateError::Read { path: path.to_owned(), source }),
    }
}

fn write(path: &Path, text: &str) -> Result<(), CertificateError> {
    private_file::write(path, text.as_bytes())
        .map_err(|source| CertificateError::Write { path: path.to_owned(), source })
}

fn make(operation: &'static str) -> impl Fn(rcgen::Error) -> CertificateError {
    move |source| CertificateError::Make { operation, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node: &str) -> NodeIdentity {
        format!("spiffe://locum.localhost/eu-central/edge/{node}").parse().unwrap()
    }

    #[test]
    fn identities_are_parsed_strictly() {
        let uri = "spiffe://locum.localhost/eu-central/media/media-1";
        assert_eq!(uri.parse::<NodeIdentity>().unwrap().to_string(), uri);
        for bad in [
            "",
            "https://locum.localhost/eu-central/media/media-1",
            "spiffe://locum.localhost/eu-central/media",
            "spiffe://locum.localhost/eu-central/media/media-1/",
            "spiffe://locum.localhost/eu-central/media/media-1/x",
            "spiffe://locum.localhost/eu-central/root/media-1",
            "spiffe://locum.localhost//media/media-1",
        ] {
            assert!(bad.parse::<NodeIdentity>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_certificate_names_what_the_authority_says() {
        let dir = tempfile::tempdir().unwrap();
        let zone: Zone = "locum.localhost".parse().unwrap();
        let now = SystemTime::now();
        let authority = CertificateAuthority::load_or_create(dir.path(), &zone, now).unwrap();
        let request = NodeKey::generate().unwrap().request().unwrap();
        let request = CertificateRequest::from_pem(&request).unwrap();
        let issued = authority.issue(&identity("edge-1"), &request, now).unwrap();
        assert_eq!(issued.identity(), &identity("edge-1"));
        let left = issued.renew_at().duration_since(now).unwrap().as_secs() / 86_400;
        assert!((19..=20).contains(&left), "{left} days to the renewal");

        let again = CertificateAuthority::load_or_create(dir.path(), &zone, now).unwrap();
        assert_eq!(again.fingerprint(), authority.fingerprint());
        let elsewhere = "spiffe://other.example/eu-central/edge/edge-1".parse().unwrap();
        assert!(authority.issue(&elsewhere, &request, now).is_err());
    }

    #[test]
    fn a_lost_key_is_an_error_not_a_new_authority() {
        let dir = tempfile::tempdir().unwrap();
        let zone: Zone = "locum.localhost".parse().unwrap();
        CertificateAuthority::load_or_create(dir.path(), &zone, SystemTime::now()).unwrap();
        std::fs::remove_file(dir.path().join("ca.key")).unwrap();
        let again = CertificateAuthority::load_or_create(dir.path(), &zone, SystemTime::now());
        assert!(matches!(again, Err(CertificateError::KeyLost { .. })));
    }

    #[test]
    fn fingerprints_are_hex() {
        let fingerprint = Fingerprint::of(b"x");
        assert_eq!(Fingerprint::try_from(fingerprint.to_string()).unwrap(), fingerprint);
        for bad in ["", "zz", &"é".repeat(32), &"0".repeat(63)] {
            assert!(Fingerprint::try_from(bad.to_string()).is_err(), "{bad:?}");
        }
    }
}
