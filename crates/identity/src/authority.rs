//! The network's certificate authority.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::certificate::{make, pem_to_der};
use crate::{
    CertificateError, CertificateRequest, NodeCertificate, NodeIdentity, Zone, node_name, private_file,
    role_name,
};

/// How long a node's certificate is good for. Renewed after two thirds of it.
const NODE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long the authority is good for.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Certificates start in the past: a node's clock may be behind the authority's.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeKey;

    fn identity(node: &str) -> NodeIdentity {
        format!("spiffe://locum.localhost/eu-central/edge/{node}").parse().unwrap()
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
