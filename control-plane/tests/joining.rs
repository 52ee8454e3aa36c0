//! How a node becomes a member, and who does not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::{Duration, SystemTime};

use locum_agent::AgentError;
use locum_cluster::NodeState;
use locum_identity::{JOIN_TOKEN_LIFETIME, JoinTokenClaims, Role, SigningKey};
use locum_mesh::RefusalCode;
use support::{Control, Node};

#[tokio::test]
async fn a_node_joins_once_and_is_on_the_list() {
    let control = Control::start().await;
    let token = control.token(Role::Media, "media-1");
    let node = Node::start(control.node(Role::Media, "media-1", Some(&token))).await.unwrap();
    assert_eq!(node.agent.node_id().as_str(), "media-1");
    let record = node.sees("media-1", NodeState::Up).await;
    assert_eq!(record.addresses, ["ws://media.example:7880"]);

    // Without its token: the certificate is enough from now on.
    drop(node);
    let again = Node::start(control.node(Role::Media, "media-1", None)).await.unwrap();
    assert_eq!(again.agent.node_id().as_str(), "media-1");

    let refused = join_elsewhere(&control, &token).await;
    assert!(refused.contains("used before"), "{refused}");
    assert!(!control.log().contains(token.trim()), "no token in the log");
}

#[tokio::test]
async fn a_spent_token_stays_spent_when_the_member_is_killed() {
    let mut control = Control::start().await;
    let token = control.token(Role::Media, "media-1");
    Node::start(control.node(Role::Media, "media-1", Some(&token))).await.unwrap();
    control.kill();
    control.run().await;
    let refused = join_elsewhere(&control, &token).await;
    assert!(refused.contains("used before"), "{refused}");
}

#[tokio::test]
async fn forged_and_expired_tokens_are_refused() {
    let control = Control::start().await;
    let own_key = SigningKey::load_or_create(&control.path("control-1/signing.key")).unwrap();
    let token = control.token(Role::Media, "media-1");
    let claims = JoinTokenClaims::peek(&token).unwrap();

    let forged = claims.sign(&SigningKey::generate().unwrap()).unwrap();
    let refused = join_elsewhere(&control, &forged).await;
    assert!(refused.contains("unknown key"), "{refused}");

    let long_ago = SystemTime::now() - JOIN_TOKEN_LIFETIME - Duration::from_secs(1);
    let old = JoinTokenClaims::new(claims.identity, claims.ca, long_ago).unwrap().sign(&own_key).unwrap();
    let refused = join_elsewhere(&control, &old).await;
    assert!(refused.contains("expired"), "{refused}");

    let (status, metrics) = control.get("/metrics");
    assert!(status.contains("200"));
    assert!(metrics.contains("locum_control_joins_total{outcome=\"denied\"} 2"), "{metrics}");
    // Neither cost the token.
    assert!(Node::start(control.node(Role::Media, "media-1", Some(&token))).await.is_ok());
}

#[tokio::test]
async fn a_token_is_for_one_kind_of_node() {
    let control = Control::start().await;
    let token = control.token(Role::Media, "media-1");
    let as_edge = Node::start(control.node(Role::Edge, "edge-1", Some(&token))).await.err().unwrap();
    assert!(matches!(as_edge, AgentError::OtherNode { .. }), "{as_edge}");
    let mut nothing = control.node(Role::Edge, "edge-1", None);
    nothing.join_token_file = None;
    assert!(matches!(Node::start(nothing).await.err().unwrap(), AgentError::NoToken));
}

/// What the member says to a token shown by a machine that has no certificate.
async fn join_elsewhere(control: &Control, token: &str) -> String {
    let mut config = control.node(Role::Media, "elsewhere", Some(token));
    config.state_dir = control.path("elsewhere");
    match Node::start(config).await.err().unwrap() {
        AgentError::Refused(refusal) => {
            assert_eq!(refusal.code, RefusalCode::Denied);
            refusal.detail
        }
        other => panic!("not refused: {other}"),
    }
}
