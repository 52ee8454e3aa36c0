use std::net::SocketAddr;

use locum_cluster::probe::{MediaProbe, ProbePassword};
use locum_identity::{
    CertificateAuthority, CertificateRequest, NodeCertificate, NodeIdentity, NodeKey, Role, SigningKey,
};
use locum_mesh::{Credentials, Limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

const LONG: Duration = Duration::from_secs(20);

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn credentials() -> Credentials {
    let dir = tempfile::tempdir().unwrap();
    let (zone, now) = ("locum.localhost".parse().unwrap(), std::time::SystemTime::now());
    let authority = CertificateAuthority::load_or_create(dir.path(), &zone, now).unwrap();
    let identity: NodeIdentity = "spiffe://locum.localhost/west/control/control-1".parse().unwrap();
    let key = NodeKey::generate().unwrap();
    let request = CertificateRequest::from_pem(&key.request().unwrap()).unwrap();
    let certificate: NodeCertificate = authority.issue(&identity, &request, now).unwrap();
    Credentials::new(authority.pem(), &certificate, &key).unwrap()
}

fn prober() -> Arc<Prober> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let mesh = Arc::new(Client::new(anywhere, &credentials(), Limits::default()).unwrap());
    let tls = client_config(None).unwrap();
    Arc::new(Prober::new(Means { zone: "locum.localhost".parse().unwrap(), own: None, tls, mesh }))
}

fn edge(address: SocketAddr, key: &SigningKey) -> Target {
    Target {
        role: Role::Edge,
        urls: vec![format!("http://us-west.locum.localhost:{}", address.port())],
        public: vec![address.ip()],
        key_ids: vec![key.kid().to_owned()],
        mesh: Vec::new(),
        media: None,
        dns: Vec::new(),
    }
}

/// Answers every connection with `answer`.
async fn server(answer: String) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = [0; 1024];
            let length = stream.read(&mut question).await.unwrap();
            assert!(question[..length].starts_with(b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: us-west."));
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, serving)
}

fn jwks(key: &SigningKey) -> String {
    format!("HTTP/1.1 200 OK\r\n\r\n{}", serde_json::to_string(&key.jwks()).unwrap())
}

async fn edge_probe(target: &Target) -> Result<(), Miss> {
    let probed = timeout(LONG, prober().probe(&node("edge-1"), ProbeKind::Https, target)).await;
    probed.unwrap()
}

#[tokio::test]
async fn an_edge_host_proves_itself_by_its_keys() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let (address, _serving) = server(jwks(&key)).await;
    assert_eq!(edge_probe(&edge(address, &key)).await, Ok(()));
    assert_eq!(edge_probe(&edge(address, &other)).await, Err(Miss(Reason::Wrong)), "somebody else's host");
    let mut two = edge(address, &key);
    two.public.insert(0, "127.0.0.77".parse().unwrap());
    assert_eq!(edge_probe(&two).await, Ok(()), "one of two uplinks is enough");
    let mut secured = edge(address, &key);
    secured.urls = vec![secured.urls[0].replace("http", "https")];
    assert!(edge_probe(&secured).await.is_err(), "it does not speak TLS");
}

#[tokio::test]
async fn errors_and_absence_are_told_apart() {
    let key = SigningKey::generate().unwrap();
    let (address, serving) = server("HTTP/1.1 503 Busy\r\n\r\n".to_owned()).await;
    let target = edge(address, &key);
    assert_eq!(edge_probe(&target).await, Err(Miss(Reason::Wrong)));
    serving.abort();
    let _ = serving.await;
    assert_eq!(edge_probe(&target).await, Err(Miss(Reason::Refused)));
    let nowhere =
        Target { urls: vec!["http://no-such-host.invalid".to_owned()], public: Vec::new(), ..target };
    assert_eq!(edge_probe(&nowhere).await, Err(Miss(Reason::Unresolved)));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_believed() {
    let key = SigningKey::generate().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let own = rcgen::generate_simple_self_signed(["us-west.locum.localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("roots.pem");
    std::fs::write(&path, own.cert.pem()).unwrap();
    let secret = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], secret)
        .unwrap();
    let (acceptor, answer) = (tokio_rustls::TlsAcceptor::from(Arc::new(config)), jwks(&key));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let mut target = edge(address, &key);
    target.urls = vec![target.urls[0].replace("http", "https")];
    assert_eq!(edge_probe(&target).await, Err(Miss(Reason::Untrusted)));
    let url = Url::parse(&target.urls[0]).unwrap();
    let question = Question { url: &url, path: EDGE_PATH, own: None };
    let trusted = question.ask(address, &client_config(Some(&path)).unwrap()).await;
    assert_eq!(trusted.ok().unwrap().status, 200);
}

#[tokio::test]
async fn media_that_does_not_answer_is_missed() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let password = ProbePassword::new("0123456789abcdefghijkl".to_owned());
    let media = MediaProbe { addresses: vec![address], ufrag: "abcd".to_owned(), password };
    let probed = timeout(Duration::from_millis(600), ice::probe(None, address, &media)).await;
    assert!(probed.is_err(), "it waits for an answer");
    drop(silent);
    let probed = timeout(LONG, ice::probe(None, address, &media)).await.unwrap();
    assert_eq!(probed, Err(Miss(Reason::Refused)));
}

#[tokio::test]
async fn a_node_that_dies_is_news_after_three_misses() {
    let (key, prober, stop) = (SigningKey::generate().unwrap(), prober(), CancellationToken::new());
    let (address, serving) = server(jwks(&key)).await;
    let targets = Targets::from([(node("edge-1"), edge(address, &key))]);
    let (sender, receiver) = watch::channel(Arc::new(targets));
    let running = tokio::spawn(Arc::clone(&prober).run(receiver, stop.clone()));
    let until = async |what: fn(&Report) -> bool| {
        let waited = timeout(LONG, async {
            while !what(&prober.report()) {
                prober.news().await;
            }
        });
        waited.await.unwrap();
    };
    until(|report| report.seen.iter().any(|seen| seen.good > 0)).await;
    serving.abort();
    until(|report| report.seen.iter().any(|seen| seen.misses >= 3 && seen.failing_ms >= 3_000)).await;
    assert_eq!(prober.report().seen[0].reason, Some(Reason::Refused));
    sender.send_replace(Arc::default());
    let forgotten = timeout(LONG, async {
        while !prober.report().seen.is_empty() {
            tokio::task::yield_now().await;
        }
    });
    forgotten.await.unwrap();
    stop.cancel();
    timeout(LONG, running).await.unwrap().unwrap();
}
