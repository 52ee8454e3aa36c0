//! TLS 1.3 for the mesh: who trusts whom.

use std::sync::Arc;

use locum_identity::{Fingerprint, NodeCertificate, NodeIdentity, NodeKey, Zone};
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use quinn::{IdleTimeout, TransportConfig, VarInt};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::{JOIN_ALPN, Limits, MESH_ALPN, MeshError};

/// What a node shows others and believes of them.
pub struct Credentials {
    identity: NodeIdentity,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authority: CertificateDer<'static>,
}

impl Credentials {
    /// Of the node that `certificate` names, in the network of `authority` (PEM).
    ///
    /// # Errors
    /// [`MeshError::Authority`] when that is no certificate.
    pub fn new(authority: &str, certificate: &NodeCertificate, key: &NodeKey) -> Result<Self, MeshError> {
        let authority = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(MeshError::Authority)?;
        let leaf = CertificateDer::from(certificate.der().to_vec());
        Ok(Self {
            identity: certificate.identity().clone(),
            // The authority's own certificate goes along for those who know only its fingerprint.
            chain: vec![leaf, authority.clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.der())),
            authority,
        })
    }

    pub(crate) fn zone(&self) -> &Zone {
        &self.identity.zone
    }

    pub(crate) fn server_config(&self, limits: &Limits) -> Result<quinn::ServerConfig, MeshError> {
        let roots = Arc::new(self.roots().map_err(MeshError::Credentials)?);
        // A joiner has no certificate; that a caller of the mesh has one is checked once its ALPN is known.
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| MeshError::Credentials(Error::General(error.to_string())))?;
        let mut tls = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(MeshError::Credentials)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(MeshError::Credentials)?;
        tls.alpn_protocols = vec![MESH_ALPN.to_vec(), JOIN_ALPN.to_vec()];
        // Early data could be replayed by anybody who saw it.
        tls.max_early_data_size = 0;
        let quic = QuicServerConfig::try_from(tls).map_err(no_cipher)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(quic));
        config.transport_config(Arc::new(transport(limits)));
        Ok(config)
    }

    pub(crate) fn client_config(&self, limits: &Limits) -> Result<quinn::ClientConfig, MeshError> {
        let roots = self.roots().map_err(MeshError::Credentials)?;
        let mut tls = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(MeshError::Credentials)?
            .with_root_certificates(roots)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(MeshError::Credentials)?;
        tls.alpn_protocols = vec![MESH_ALPN.to_vec()];
        quic_client(tls, limits)
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone())?;
        Ok(roots)
    }
}

/// For a node without a certificate, which knows of the authority only its fingerprint.
pub(crate) fn join_config(authority: Fingerprint, limits: &Limits) -> Result<quinn::ClientConfig, MeshError> {
    let mut tls = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(MeshError::Credentials)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ByFingerprint { authority, provider: provider() }))
        .with_no_client_auth();
    tls.alpn_protocols = vec![JOIN_ALPN.to_vec()];
    quic_client(tls, limits)
}

fn quic_client(tls: ClientConfig, limits: &Limits) -> Result<quinn::ClientConfig, MeshError> {
    let quic = QuicClientConfig::try_from(tls).map_err(no_cipher)?;
    let mut config = quinn::ClientConfig::new(Arc::new(quic));
    let mut transport = transport(limits);
    // The calling side keeps a connection alive; one packet may be lost without harm.
    transport.keep_alive_interval(Some(limits.silence / 3));
    // Questions go one way: whoever is called opens no streams.
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

fn transport(limits: &Limits) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(VarInt::from_u32(limits.streams));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    transport.max_idle_timeout(IdleTimeout::try_from(limits.silence).ok());
    transport.stream_receive_window(VarInt::from_u32(stream_window(limits)));
    transport.receive_window(receive_window(limits, 0));
    transport.datagram_receive_buffer_size(Some(limits.datagram_bytes));
    transport.datagram_send_buffer_size(limits.datagram_bytes);
    transport
}

/// What all streams of a connection may have under way together: two of the longest messages, and for each
/// open tunnel as much as its own stream may.
pub(crate) fn receive_window(limits: &Limits, tunnels: u32) -> VarInt {
    VarInt::from_u32(stream_window(limits).saturating_mul(tunnels.saturating_add(2)))
}

fn stream_window(limits: &Limits) -> u32 {
    u32::try_from(limits.message_bytes).unwrap_or(u32::MAX / 2)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn no_cipher(_: NoInitialCipherSuite) -> MeshError {
    MeshError::Credentials(Error::General("no TLS 1.3 cipher suite for QUIC".to_owned()))
}

/// Believes a server whose chain holds the authority of this fingerprint, and is otherwise what WebPKI
/// demands.
#[derive(Debug)]
struct ByFingerprint {
    authority: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let unknown = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority =
            chain.iter().find(|shown| Fingerprint::of(shown) == self.authority).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| unknown())?;
        verifier.verify_server_cert(leaf, &[], name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("QUIC is TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
