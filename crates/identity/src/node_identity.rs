//! Who a node is, as its certificate says it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{CertificateError, NodeId, RegionId, Role, Zone};

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
    /// The identity a certificate (DER) states. Whether the certificate is to be believed is the TLS stack's
    /// question.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
