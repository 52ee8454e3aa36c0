//! Certificates that grow old.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::time::{Duration, SystemTime};

use locum_agent::{AgentConfig, AgentError, MeshListen};
use locum_cluster::NodeState;
use locum_identity::{
    CertificateAuthority, CertificateRequest, NodeCertificate, NodeKey, Role, private_file,
};
use locum_mesh::{Peer, PeerName};
use support::{Control, LONG, LOOPBACK, Node};
use tokio::time::{Instant, sleep};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn an_old_certificate_is_renewed_while_the_node_runs() {
    let control = Control::start().await;
    let token = control.token(Role::Media, "media-1");
    let config = control.node(Role::Media, "media-1", Some(&token));
    drop(Node::start(config.clone()).await.unwrap());
    let kept = config.state_dir.join("node.json");
    age(&control, &kept, 21 * DAY);

    let old = certificate(&kept).not_after();
    let node = Node::start(config.clone()).await.unwrap();
    let begun = Instant::now();
    while certificate(&kept).not_after() <= old + 20 * DAY {
        assert!(begun.elapsed() < LONG, "not renewed");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(certificate(&kept).identity().node, *node.agent.node_id());
    // The new key and certificate belong together: the node starts with them.
    drop(node);
    Node::start(config).await.unwrap();
}

/// The certificate is used until the last moment here; in life it is renewed ten days before.
#[tokio::test]
async fn both_directions_of_a_nodes_mesh_outlive_its_first_certificate() {
    let control = Control::start().await;
    let listening = |node: &str, token: &str| AgentConfig {
        mesh: Some(MeshListen { address: LOOPBACK, announce: Vec::new() }),
        ..control.node(Role::Edge, node, Some(token))
    };
    let config = listening("edge-1", &control.token(Role::Edge, "edge-1"));
    drop(Node::start(config.clone()).await.unwrap());
    let kept = config.state_dir.join("node.json");
    age(&control, &kept, 30 * DAY - Duration::from_secs(3));
    let first = certificate(&kept).not_after();
    let old = Node::start(config).await.unwrap();
    let other = Node::start(listening("edge-2", &control.token(Role::Edge, "edge-2"))).await.unwrap();
    old.run_mesh();
    other.run_mesh();
    let begun = Instant::now();
    // TLS counts whole seconds, the last one included.
    while SystemTime::now() <= first + Duration::from_secs(1) {
        assert!(begun.elapsed() < LONG);
        sleep(Duration::from_millis(50)).await;
    }
    assert!(certificate(&kept).not_after() > first, "renewed at the first heartbeat");
    for (from, to) in [(&other, "edge-1"), (&old, "edge-2")] {
        let record = from.sees(to, NodeState::Up).await;
        let peer = Peer { address: record.mesh[0], name: PeerName::Node(record.id) };
        let asked = from.agent.mesh().client().request(&peer, b"hello", LONG).await;
        assert_eq!(asked.unwrap(), b"hello", "{to} answers");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_none() {
    let control = Control::start().await;
    let token = control.token(Role::Media, "media-1");
    let mut config = control.node(Role::Media, "media-1", Some(&token));
    drop(Node::start(config.clone()).await.unwrap());
    age(&control, &config.state_dir.join("node.json"), 31 * DAY);

    config.join_token_file = None;
    assert!(matches!(Node::start(config.clone()).await.err().unwrap(), AgentError::NoToken));
    let fresh = control.token(Role::Media, "media-1");
    let config = control.node(Role::Media, "media-1", Some(&fresh));
    assert!(Node::start(config).await.is_ok());
}

/// Gives the node a certificate of the same key issued `ago`.
fn age(control: &Control, kept: &Path, ago: Duration) {
    let zone = "locum.localhost".parse().unwrap();
    let authority =
        CertificateAuthority::load_or_create(&control.path("control-1"), &zone, SystemTime::now()).unwrap();
    let mut file = json(kept);
    let key = NodeKey::from_pem(file["key"].as_str().unwrap()).unwrap();
    let request = CertificateRequest::from_pem(&key.request().unwrap()).unwrap();
    let identity = certificate(kept).identity().clone();
    let aged = authority.issue(&identity, &request, SystemTime::now() - ago).unwrap();
    file["certificate"] = aged.pem().into();
    private_file::write(kept, file.to_string().as_bytes()).unwrap();
}

fn certificate(kept: &Path) -> NodeCertificate {
    NodeCertificate::from_pem(json(kept)["certificate"].as_str().unwrap().to_owned()).unwrap()
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&private_file::read(path).unwrap()).unwrap()
}
