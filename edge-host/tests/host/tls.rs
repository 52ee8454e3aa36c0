//! HTTPS: protocol versions, HTTP/2, and what changes in the answers.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{Host, ROUTE, Settings, write_files};

const NAME: &str = "eu-central.locum.localhost";

#[tokio::test]
async fn https_speaks_http2_and_says_that_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.path().join("cert.key"), made.signing_key.serialize_pem()).unwrap();
    let tls = "[tls]\ncertificate = \"cert.pem\"\nkey = \"cert.key\"";
    write_files(folder.path(), &Settings { more: tls, ..Settings::default() });
    let host = Host::run(folder).await;

    let stream = TcpStream::connect(host.http).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let stream = connector(made.cert.der().clone()).connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("https://{NAME}{ROUTE}")).body(Full::new(Bytes::from("headers")));
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let lasting = response.headers()["strict-transport-security"].to_str().unwrap().to_owned();
    assert!(lasting.starts_with("max-age=63072000"), "{lasting}");
    let seen = String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(seen.contains(&format!("spin-full-url: https://{NAME}{ROUTE}")), "{seen}");
}

fn connector(trusted: CertificateDer<'static>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}
