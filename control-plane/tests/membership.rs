//! What the network knows of its nodes while they and the member come and go.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use locum_cluster::{Load, NodeState};
use locum_identity::Role;
use support::{Control, LONG, Node};
use tokio::time::timeout;

#[tokio::test]
async fn others_see_a_node_drain_and_disappear() {
    let control = Control::start().await;
    let token = control.token(Role::Media, "media-1");
    let media = Node::start(control.node(Role::Media, "media-1", Some(&token))).await.unwrap();
    let token = control.token(Role::Edge, "edge-1");
    let edge = Node::start(control.node(Role::Edge, "edge-1", Some(&token))).await.unwrap();
    edge.sees("media-1", NodeState::Up).await;

    media.agent.set_load(Load { sessions: 90, capacity: 100, cpu_permille: 0 });
    let mut list = edge.agent.list();
    let told = list.wait_for(|view| view.list.nodes.iter().any(|node| node.load.sessions == 90));
    timeout(LONG, told).await.unwrap().unwrap();

    media.agent.set_draining();
    edge.sees("media-1", NodeState::Draining).await;
    drop(media);
    edge.sees("media-1", NodeState::Down).await;

    let (_, metrics) = control.get("/metrics");
    assert!(metrics.contains("locum_nodes{role=\"media\",state=\"down\"} 1"), "{metrics}");
    assert!(metrics.contains("locum_nodes{role=\"edge\",state=\"up\"} 1"), "{metrics}");
    assert!(metrics.contains("locum_node_heartbeat_age_seconds{node=\"media-1\",role=\"media\"}"));
    assert!(metrics.contains("locum_build_info{"));
}

#[tokio::test]
async fn a_killed_member_comes_back_with_the_same_list_and_its_nodes() {
    let mut control = Control::start().await;
    let token = control.token(Role::Media, "media-1");
    let media = Node::start(control.node(Role::Media, "media-1", Some(&token))).await.unwrap();
    let before = media.list();
    control.kill();
    control.run().await;

    // A list that only a member in touch with both could make.
    let token = control.token(Role::Edge, "edge-1");
    let edge = Node::start(control.node(Role::Edge, "edge-1", Some(&token))).await.unwrap();
    edge.sees("media-1", NodeState::Up).await;
    media.sees("edge-1", NodeState::Up).await;
    assert!(media.list().list.version > before.list.version, "versions go on, they do not begin anew");
}

#[tokio::test]
async fn a_node_that_joined_starts_without_the_control_plane() {
    let mut control = Control::start().await;
    let token = control.token(Role::Media, "media-1");
    let config = control.node(Role::Media, "media-1", Some(&token));
    let before = Node::start(config.clone()).await.unwrap().list();
    assert_eq!(control.terminate().await, Some(0));

    let alone = Node::start(config).await.unwrap();
    assert_eq!(alone.list().signed, before.signed);
    control.run().await;
    let back = alone.sees("media-1", NodeState::Up).await;
    assert_eq!(back.id.as_str(), "media-1");
}
