//! Who a node is: ids, certificates, join tokens, signing keys.
//!
//! Everything here names machines. People never appear: not in a certificate, not in a token, not in a key
//! id.

mod authority;
mod certificate;
mod ids;
mod join_token;
mod jws;
mod node_identity;
pub mod private_file;

pub use authority::{CertificateAuthority, Fingerprint};
pub use certificate::{CertificateError, CertificateRequest, NodeCertificate, NodeKey};
pub use ids::{NodeId, ParseIdError, RegionId, Role, Zone};
pub use join_token::{JOIN_TOKEN_LIFETIME, JoinTokenClaims, JoinTokenError};
pub use jws::{Jwk, Jwks, KeyError, SigningKey, VerifyError};
pub use node_identity::{NodeIdentity, node_name, role_name};
