//! The transport on [`rtc`](https://docs.rs/rtc), the sans-I/O core of webrtc-rs.
//!
//! What follows the crate's behaviour rather than its documentation is said where it is done.

mod channels;
mod engine;
mod feedback;
mod ice;
mod keys;
mod layers;
mod outgoing;
mod peer;
mod protection;
mod published;
mod repair;
mod sections;
mod sent;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::rtc::crypto::RTCCryptoProvider;
use ::rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use ::rtc::peer_connection::certificate::{CertificateParams, RTCCertificate};
use ::rtc::peer_connection::configuration::RTCConfigurationBuilder;
use ::rtc::peer_connection::configuration::setting_engine::{SettingEngine, SettingEngineBuilder};
use ::rtc::peer_connection::transport::{CandidateConfig, CandidateHostConfig, RTCDtlsRole, RTCIceCandidate};
use ::rtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use ::rtc::srtp::protection_profile::ProtectionProfile;

use keys::Provider;
pub use peer::RtcPeer;

use super::candidates::Announced;
use super::{Transport, TransportError};

/// How media is protected, as DTLS and SRTP call it; the client's order decides.
const PROFILES: [(SrtpProtectionProfile, ProtectionProfile); 3] = [
    (SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm, ProtectionProfile::AeadAes128Gcm),
    (SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm, ProtectionProfile::AeadAes256Gcm),
    (SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80, ProtectionProfile::Aes128CmHmacSha1_80),
];

/// Connections of one node: all share its certificate and announce its addresses.
pub struct RtcTransport {
    certificate: RTCCertificate,
    /// The one address the backend knows of, and believes all packets to come to.
    address: SocketAddr,
    candidates: Arc<[String]>,
    crypto: Arc<dyn RTCCryptoProvider>,
}

impl RtcTransport {
    /// A transport that announces these addresses.
    ///
    /// # Errors
    /// When there is none, or no certificate can be made.
    pub fn new(announced: &Announced) -> Result<Self, TransportError> {
        let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        let address = *announced.udp.first().ok_or_else(none).map_err(backend("announce an address"))?;
        let provider = ::rtc::crypto::default_provider().map_err(backend("choose a crypto provider"))?;
        let params = CertificateParams::new(vec!["media".to_owned()])
            .map_err(backend("describe the DTLS certificate"))?;
        let scheme = ::rtc::crypto::SignatureScheme::EcdsaP256Sha256;
        let certificate = RTCCertificate::generate(provider.crypto(), scheme, params)
            .map_err(backend("generate the DTLS certificate"))?;
        Ok(Self { certificate, address, candidates: announced.lines().into(), crypto: provider })
    }

    fn settings(crypto: Arc<Provider>) -> SettingEngine {
        // The event loop answers checks and watches liveness; the backend's ICE must neither give up nor
        // speak.
        let never = Some(Duration::ZERO);
        SettingEngineBuilder::new()
            .with_lite(true)
            .with_answering_dtls_role(RTCDtlsRole::Server)
            .with_srtp_protection_profiles(PROFILES.map(|(profile, _)| profile).to_vec())
            .with_crypto_provider(crypto)
            .with_ice_timeouts(never, never, Some(Duration::from_secs(60)))
            .build()
    }
}

impl Transport for RtcTransport {
    type Peer = RtcPeer;

    fn open(&mut self, now: Instant) -> Result<RtcPeer, TransportError> {
        let engine = engine::media().map_err(backend("set up codecs"))?;
        let crypto = Arc::new(Provider::new(Arc::clone(&self.crypto)));
        let configuration =
            RTCConfigurationBuilder::new().with_certificates(vec![self.certificate.clone()]).build();
        let mut connection = RTCPeerConnectionBuilder::new()
            .with_configuration(configuration)
            .with_setting_engine(Self::settings(Arc::clone(&crypto)))
            .with_media_engine(engine)
            .build(now)
            .map_err(backend("open a connection"))?;
        announce(&mut connection, self.address)?;
        Ok(RtcPeer::new(connection, crypto, self.address, Arc::clone(&self.candidates)))
    }
}

fn announce(connection: &mut RTCPeerConnection, address: SocketAddr) -> Result<(), TransportError> {
    let failed = "announce the media address";
    let base_config = CandidateConfig {
        network: if matches!(address.ip(), IpAddr::V4(_)) { "udp4" } else { "udp6" }.to_owned(),
        address: address.ip().to_string(),
        port: address.port(),
        component: 1,
        ..CandidateConfig::default()
    };
    let candidate = CandidateHostConfig { base_config, ..CandidateHostConfig::default() }
        .new_candidate_host()
        .map_err(backend(failed))?;
    let json = RTCIceCandidate::from(&candidate).to_json().map_err(backend(failed))?;
    connection.add_local_candidate(json).map_err(backend(failed))
}

/// Names the operation an error of the backend belongs to.
fn backend<E>(operation: &'static str) -> impl FnOnce(E) -> TransportError
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |source| TransportError::Backend { operation, source: Box::new(source) }
}

fn random_ssrc() -> Result<u32, TransportError> {
    getrandom::u32().map_err(backend("draw an SSRC"))
}
