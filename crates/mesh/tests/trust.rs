//! Who may talk to whom.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use locum_identity::{Fingerprint, node_name};
use locum_mesh::{ConnectError, Limits, MESH_ALPN, Peer, PeerName, RequestError, Server, join};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use support::{Echo, LOOPBACK, Network, Running, SOON};

#[tokio::test]
async fn a_node_is_known_by_its_certificate() {
    let network = Network::new();
    let server = network.serve(Echo::default(), Limits::default());
    let client = network.client("edge", "edge-1");
    let by_role = client.request(&server.control(), b"hello", SOON).await.unwrap();
    assert_eq!(by_role, b"spiffe://locum.localhost/west/edge/edge-1 hello");
    let by_name = Peer { name: PeerName::Node("control-1".parse().unwrap()), ..server.control() };
    assert!(client.request(&by_name, b"hello", SOON).await.is_ok());
}

#[tokio::test]
async fn another_authority_is_refused_on_both_sides() {
    let (network, stranger) = (Network::new(), Network::new());
    let echo = Echo::default();
    let server = network.serve(echo.clone(), Limits::default());
    let refused = stranger.client("edge", "edge-1").request(&server.control(), b"", SOON).await;
    assert_handshake_failed(refused);
    // The client's own check set aside, the server still refuses the certificate.
    let closed = trusting_client(&network, &stranger, &server).await;
    assert!(closed.to_string().contains("cryptographic handshake failed"), "{closed}");
    assert_eq!(echo.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn without_a_certificate_there_is_no_mesh() {
    let network = Network::new();
    let echo = Echo::default();
    let server = network.serve(echo.clone(), Limits::default());
    let tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots(&network))
        .with_no_client_auth();
    let connection = raw_connect(tls, &server, &network).await.unwrap();
    // The server learns the protocol at the end of the handshake, closes, and says why.
    let closed = tokio::time::timeout(SOON, connection.closed()).await.unwrap();
    assert!(closed.to_string().contains("certificate"), "{closed}");
    assert_eq!(echo.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let network = Network::new();
    let server = network.serve(Echo::default(), Limits::default());
    let long_ago = SystemTime::now() - Duration::from_secs(31 * 24 * 60 * 60);
    let old = network.credentials_at("edge", "edge-1", long_ago);
    let client = locum_mesh::Client::new(LOOPBACK, &old, Limits::default()).unwrap();
    assert!(client.request(&server.control(), b"", SOON).await.is_err());
}

#[tokio::test]
async fn a_node_of_another_role_or_name_does_not_pass() {
    let network = Network::new();
    let edge = Server::bind(LOOPBACK, &network.credentials("edge", "edge-2"), Limits::default()).unwrap();
    let edge = Running::start(edge, Echo::default());
    let client = network.client("edge", "edge-1");
    assert_handshake_failed(client.request(&edge.control(), b"", SOON).await);
    let other = Peer { name: PeerName::Node("edge-3".parse().unwrap()), ..edge.control() };
    assert_handshake_failed(client.request(&other, b"", SOON).await);
    let itself = Peer { name: PeerName::Node("edge-2".parse().unwrap()), ..edge.control() };
    assert!(client.request(&itself, b"", SOON).await.is_ok());
}

#[tokio::test]
async fn a_joiner_believes_only_the_authority_of_its_token() {
    let (network, stranger) = (Network::new(), Network::new());
    let echo = Echo::default();
    let server = network.serve(echo.clone(), Limits::default());
    let ask = |authority: Fingerprint| {
        join(None, server.address, &network.zone, authority, b"please", Limits::default())
    };
    assert_eq!(ask(network.authority.fingerprint()).await.unwrap(), b"joiner please");
    assert_handshake_failed(ask(stranger.authority.fingerprint()).await);
    assert_eq!(echo.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_joiner_does_not_take_an_edge_for_the_control_plane() {
    let network = Network::new();
    let edge = Server::bind(LOOPBACK, &network.credentials("edge", "edge-2"), Limits::default()).unwrap();
    let edge = Running::start(edge, Echo::default());
    let asked =
        join(None, edge.address, &network.zone, network.authority.fingerprint(), b"token", Limits::default());
    assert_handshake_failed(asked.await);
}

fn assert_handshake_failed(answer: Result<Vec<u8>, RequestError>) {
    let failed = matches!(&answer, Err(RequestError::Connect { source: ConnectError::Handshake(_), .. }));
    assert!(failed, "{answer:?}");
}

/// How a server ends the connection of a caller that trusts this network and shows a stranger's certificate.
async fn trusting_client(network: &Network, stranger: &Network, server: &Running) -> quinn::ConnectionError {
    let key = locum_identity::NodeKey::generate().unwrap();
    let request = locum_identity::CertificateRequest::from_pem(&key.request().unwrap()).unwrap();
    let identity = "spiffe://locum.localhost/west/edge/edge-1".parse().unwrap();
    let certificate = stranger.authority.issue(&identity, &request, SystemTime::now()).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots(network))
        .with_client_auth_cert(
            vec![CertificateDer::from(certificate.der().to_vec())],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.der()).into(),
        )
        .unwrap();
    match raw_connect(tls, server, network).await {
        Ok(connection) => tokio::time::timeout(SOON, connection.closed()).await.unwrap(),
        Err(error) => error,
    }
}

async fn raw_connect(
    mut tls: rustls::ClientConfig,
    server: &Running,
    network: &Network,
) -> Result<quinn::Connection, quinn::ConnectionError> {
    tls.alpn_protocols = vec![MESH_ALPN.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::client(LOOPBACK).unwrap();
    let name = node_name(&network.zone, &"control-1".parse().unwrap());
    let connection = endpoint.connect_with(config, server.address, &name).unwrap().await;
    // Kept for the length of the test: an endpoint that is dropped takes its connections along.
    std::mem::forget(endpoint);
    connection
}

fn roots(network: &Network) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(network.authority.der().to_vec())).unwrap();
    roots
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
