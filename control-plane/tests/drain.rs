//! A person takes a node out of service: the member as a process, the node's own agent over the real mesh.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::process::{Output, Stdio};

use locum_cluster::{NodeOrder, NodeState};
use locum_identity::Role;
use support::{Control, LONG, Node};
use tokio::time::timeout;

async fn operate(control: &Control, words: &[&str]) -> Output {
    let mut command = support::command(&control.path("control.toml"));
    command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    // It waits for what other tasks of this test do.
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn obeys(node: &Node, drain: bool) -> NodeOrder {
    let mut orders = node.agent.orders();
    let told = timeout(LONG, orders.wait_for(|order| order.generation > 0 && order.drain == drain)).await;
    *told.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_is_shown_then_told_then_kept_by_everybody() {
    let mut control = Control::start().await;
    let token = control.token(Role::Media, "media-1");
    let config = control.node(Role::Media, "media-1", Some(&token));
    let media = Node::start(config.clone()).await.unwrap();
    let token = control.token(Role::Edge, "edge-1");
    let edge = Node::start(control.node(Role::Edge, "edge-1", Some(&token))).await.unwrap();
    edge.sees("media-1", NodeState::Up).await;

    let shown = operate(&control, &["drain", "media-1"]).await;
    let plan = text(&shown.stdout);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    for line in [
        "media-1 is to be drained",
        "media-1 is told to take nobody new",
        "WARNING: no other media",
        "nothing was done",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    assert_eq!(*media.agent.orders().borrow(), NodeOrder::default());

    let done = operate(&control, &["drain", "media-1", "--yes"]).await;
    assert!(done.status.success() && text(&done.stdout).contains("done"), "{}", text(&done.stderr));
    let order = obeys(&media, true).await;
    edge.sees("media-1", NodeState::Draining).await;
    let again = operate(&control, &["drain", "media-1", "--yes"]).await;
    assert!(text(&again.stdout).contains("this is so already"), "{}", text(&again.stdout));

    // The node remembers without the member, and the member without the node.
    control.kill();
    drop(media);
    let media = Node::start(config).await.unwrap();
    assert_eq!(*media.agent.orders().borrow(), order);
    control.run().await;
    let operations = operate(&control, &["operations"]).await;
    let operations: serde_json::Value = serde_json::from_slice(&operations.stdout).unwrap();
    assert_eq!(operations["drains"], serde_json::json!(["node/media-1"]));

    let back = operate(&control, &["undrain", "media-1", "--yes"]).await;
    assert!(back.status.success(), "{}", text(&back.stderr));
    assert!(obeys(&media, false).await.generation > order.generation);
    edge.sees("media-1", NodeState::Up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_cannot_be_drained_or_pinned() {
    let control = Control::start().await;
    for words in [&["drain", "nowhere", "--yes"][..], &["undrain", "nowhere"], &["pin", "nowhere", "--yes"]] {
        let refused = operate(&control, words).await;
        assert_eq!(refused.status.code(), Some(1), "{words:?}: {}", text(&refused.stdout));
    }
}
