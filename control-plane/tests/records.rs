//! Who leads a record group while edge hosts and the member come and go: the member as a process, the hosts'
//! own machines over the real mesh.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::VecDeque;
use std::process::{Command, Stdio};
use std::time::Duration;

use locum_agent::RecordsError;
use locum_cluster::protocol::{MAX_GROUPS, NodeRequest, OperatorRequest};
use locum_identity::Role;
use locum_mesh::{Peer, PeerName, RefusalCode, RequestError};
use locum_replication::{Action, Epoch, FrameNo, GroupView, Kept, Position, Standing, StoreId, Voter};
use support::{Control, LONG, Node};
use tokio::time::{Instant, sleep};

const GROUPS: &str = "[groups.main]\nregions = [\"us-west\", \"us-east\", \"eu-central\"]\n";
const REGIONS: [&str; 3] = ["us-west", "us-east", "eu-central"];

/// An edge host whose disk and engine do at once whatever they are told.
struct Edge {
    node: Node,
    voter: Voter,
}

impl Edge {
    async fn start(control: &Control, region: &str, store: u64) -> Self {
        let name = format!("edge-{region}");
        let token = control.token_in(region, Role::Edge, &name);
        let mut config = control.node(Role::Edge, &name, Some(&token));
        config.region = region.parse().unwrap();
        let node = Node::start(config).await.unwrap();
        let kept = Kept { store: StoreId(store), promised: Epoch::ZERO, started: Epoch::ZERO };
        let voter = Voter::new("main".parse().unwrap(), node.agent.node_id().clone(), kept, None);
        Self { node, voter }
    }

    async fn reports(&mut self) -> Result<GroupView, RecordsError> {
        let view = self.node.agent.records(vec![self.voter.report()]).await?.remove(0);
        let mut actions = VecDeque::from(self.voter.heard(view.clone()));
        if view.quiesce {
            // It has no writes under way.
            actions.extend(self.voter.quiesced());
        }
        while let Some(action) = actions.pop_front() {
            actions.extend(match action {
                Action::Persist(kept) => self.voter.persisted(kept, self.voter.copy()),
                Action::Follow { epoch, .. } => self.voter.copied(Position::new(epoch, FrameNo(1))),
                Action::Lead { epoch } => self.voter.committed(epoch, FrameNo(1)),
                _ => Vec::new(),
            });
        }
        Ok(view)
    }

    fn leads(&self) -> Option<Epoch> {
        match self.voter.standing() {
            Standing::Leading { epoch } => Some(*epoch),
            _ => None,
        }
    }
}

/// Everybody reports until somebody leads an epoch after `before` under a lease; who, and which.
async fn led(edges: &mut [Edge], before: Epoch) -> (String, Epoch) {
    let begun = Instant::now();
    loop {
        for edge in edges.iter_mut() {
            let view = edge.reports().await;
            let leased = view.is_ok_and(|view| view.lease_ms.is_some() && view.epoch > before);
            if let Some(epoch) = edge.leads().filter(|_| leased) {
                return (edge.node.agent.node_id().to_string(), epoch);
            }
        }
        assert!(begun.elapsed() < LONG, "nobody leads");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn three(control: &Control) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (region, store) in REGIONS.into_iter().zip(1..) {
        edges.push(Edge::start(control, region, store).await);
    }
    edges
}

/// Waits until a metric of the member says so.
async fn measured(control: &Control, line: &str) {
    let begun = Instant::now();
    while !control.get("/metrics").1.contains(line) {
        assert!(begun.elapsed() < LONG, "{line} in {}", control.get("/metrics").1);
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_first_region_leads_and_the_next_follows_when_it_falls_silent() {
    let control = Control::start_with(GROUPS).await;
    let mut edges = three(&control).await;
    assert_eq!(led(&mut edges, Epoch::ZERO).await, ("edge-us-west".to_owned(), Epoch(1)));
    for edge in &mut edges {
        // Now everybody holds a copy.
        edge.reports().await.unwrap();
    }
    measured(&control, "locum_group_epoch{group=\"main\"} 1").await;
    measured(&control, "locum_group_has_primary{group=\"main\"} 1").await;

    // One of two that are needed.
    let alone = &mut edges[2..];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        let view = alone[0].reports().await.unwrap();
        assert_eq!(view.epoch, Epoch(1), "too few promises");
        sleep(Duration::from_millis(100)).await;
    }
    measured(&control, "locum_group_promises_missing{group=\"main\"} 1").await;
    measured(&control, "locum_group_has_primary{group=\"main\"} 0").await;

    assert_eq!(led(&mut edges[1..], Epoch(1)).await, ("edge-us-east".to_owned(), Epoch(2)));
    let told = control.log().matches("new primary of a record group").count();
    assert_eq!(told, 2, "once an epoch");

    // The old primary comes back, and is a voter.
    let view = edges[0].reports().await.unwrap();
    assert_eq!((view.epoch, view.lease_ms), (Epoch(2), None));
    assert!(matches!(edges[0].voter.standing(), Standing::Following { epoch: Epoch(2), .. }));
}

#[tokio::test]
async fn a_killed_member_comes_back_and_the_primary_goes_on() {
    let mut control = Control::start_with(GROUPS).await;
    let mut edges = three(&control).await;
    let (primary, epoch) = led(&mut edges, Epoch::ZERO).await;
    control.kill();
    assert!(edges[0].reports().await.is_err());
    control.run().await;
    let begun = Instant::now();
    let view = loop {
        match edges[0].reports().await {
            Ok(view) => break view,
            Err(error) => assert!(begun.elapsed() < LONG, "{error:?}"),
        }
    };
    assert_eq!((view.primary.unwrap().to_string(), view.epoch), (primary, epoch));
    assert_eq!(view.lease_ms, Some(4_000));
    assert_eq!(edges[0].leads(), Some(epoch));
}

fn promote(control: &Control, arguments: &[&str]) -> Command {
    let mut command = support::command(&control.path("control.toml"));
    command.arg("promote").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_person_moves_the_primary_after_seeing_the_plan() {
    let control = Control::start_with(GROUPS).await;
    let mut edges = three(&control).await;
    led(&mut edges, Epoch::ZERO).await;
    for edge in &mut edges {
        edge.reports().await.unwrap();
    }
    let shown = promote(&control, &["us-east"]).output().unwrap();
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    let plan = text(&shown.stdout);
    assert!(plan.contains("epoch 1 ends, edge-us-east leads the next from 1.1"), "{plan}");
    assert!(plan.contains("nothing was done"), "{plan}");
    assert!(!edges[0].reports().await.unwrap().quiesce);

    let mut moving = promote(&control, &["us-east", "--yes"]).spawn().unwrap();
    let begun = Instant::now();
    while moving.try_wait().unwrap().is_none() {
        for edge in &mut edges {
            edge.reports().await.unwrap();
        }
        assert!(begun.elapsed() < LONG, "it does not move");
        sleep(Duration::from_millis(20)).await;
    }
    let moved = moving.wait_with_output().unwrap();
    assert!(moved.status.success(), "{}", text(&moved.stderr));
    assert!(text(&moved.stdout).contains("edge-us-east leads epoch 2"), "{}", text(&moved.stdout));
    assert_eq!(edges[1].leads(), Some(Epoch(2)));
    assert_eq!(edges[0].leads(), None);

    let refused = promote(&control, &["us-east"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("edge-us-east leads already"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn accepting_loss_is_asked_for_and_names_who_is_silent() {
    let control = Control::start_with(GROUPS).await;
    let mut edges = three(&control).await;
    led(&mut edges, Epoch::ZERO).await;
    for edge in &mut edges {
        edge.reports().await.unwrap();
    }
    // Only one of three goes on, and learns that the primary is gone.
    let alone = &mut edges[2];
    let begun = Instant::now();
    while alone.reports().await.unwrap().missing != 1 {
        assert!(begun.elapsed() < LONG, "the lease does not end");
        sleep(Duration::from_millis(50)).await;
    }
    let refused = promote(&control, &["eu-central", "--yes"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("1 voters answer and 2 are needed"), "{}", text(&refused.stderr));
    alone.reports().await.unwrap();
    let mut moving = promote(&control, &["eu-central", "--accept-loss", "--yes"]).spawn().unwrap();
    while moving.try_wait().unwrap().is_none() {
        alone.reports().await.unwrap();
        assert!(begun.elapsed() < 2 * LONG, "it does not move");
        sleep(Duration::from_millis(20)).await;
    }
    let moved = moving.wait_with_output().unwrap();
    let said = text(&moved.stdout);
    assert!(moved.status.success(), "{}", text(&moved.stderr));
    assert!(said.contains("ACKNOWLEDGED WRITES MAY BE LOST"), "{said}");
    assert!(said.contains("edge-us-west does not answer; it last reported 1.1"), "{said}");
    assert_eq!(alone.leads(), Some(Epoch(2)));
    let view = alone.reports().await.unwrap();
    assert_eq!(view.epoch, Epoch(2));
    assert!(alone.voter.history().since(Epoch(1))[0].accepted_loss);
}

#[tokio::test]
async fn only_edge_hosts_and_only_declared_groups() {
    let control = Control::start_with(GROUPS).await;
    let token = control.token(Role::Media, "media-1");
    let media = Node::start(control.node(Role::Media, "media-1", Some(&token))).await.unwrap();
    let edge = Edge::start(&control, "us-west", 1).await;
    let code = |answer: Result<Vec<GroupView>, RecordsError>| match answer {
        Err(RecordsError::Request(RequestError::Refused { refusal, .. })) => refusal.code,
        other => panic!("{other:?}"),
    };
    let report = edge.voter.report();
    assert_eq!(code(media.agent.records(vec![report.clone()]).await), RefusalCode::Denied);
    let mut other = report.clone();
    other.group = "other".parse().unwrap();
    assert_eq!(code(edge.node.agent.records(vec![other]).await), RefusalCode::Invalid);
    let many = vec![report; MAX_GROUPS + 1];
    assert_eq!(code(edge.node.agent.records(many).await), RefusalCode::Invalid);

    // Nor does an edge host move anything.
    let question = NodeRequest::Operator(OperatorRequest::Status("main".parse().unwrap()));
    let peer = Peer { address: control.mesh(), name: PeerName::Role(Role::Control) };
    let client = edge.node.agent.mesh().client();
    let answer = client.request(&peer, &serde_json::to_vec(&question).unwrap(), LONG).await;
    assert_eq!(code(answer.map(|_| Vec::new()).map_err(RecordsError::from)), RefusalCode::Denied);
}
