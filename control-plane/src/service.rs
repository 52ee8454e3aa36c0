//! The member behind the mesh: one thread owns it, questions queue for it.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use locum_cluster::protocol::{Heartbeat, JoinAnswer, JoinRequest, NodeAnswer, NodeRequest, OperatorRequest};
use locum_cluster::{NodeList, NodeState, SignedNodeList};
use locum_identity::{NodeIdentity, Role};
use locum_mesh::{Caller, Handler, Refusal, RefusalCode};
use locum_replication::{GroupReport, GroupView};
use locum_telemetry::config::chain;
use metrics::{counter, gauge};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use crate::member::{Member, MemberError};
use crate::membership::Now;
use crate::store::Store;

/// Questions waiting for the member; beyond it nodes are told to come back.
const QUEUE: usize = 1024;
/// How often everybody is looked at: the resolution of "down".
const LOOK_EVERY: Duration = Duration::from_millis(100);

type Reply<T> = oneshot::Sender<Result<T, MemberError>>;

enum Command {
    Join(JoinRequest, Reply<JoinAnswer>),
    Heartbeat(NodeIdentity, Heartbeat, Reply<Option<SignedNodeList>>),
    Renew(NodeIdentity, String, Reply<String>),
    Records(NodeIdentity, Vec<GroupReport>, Reply<Vec<GroupView>>),
    Operator(NodeIdentity, OperatorRequest, Reply<NodeAnswer>),
    Look,
}

/// Where to send questions. The member's thread ends when every clone is gone.
#[derive(Clone)]
pub(crate) struct Service {
    commands: mpsc::Sender<Command>,
}

/// Both clocks of this process.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    begun: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now() }
    }

    pub(crate) fn now(self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { elapsed: self.begun.elapsed(), unix_ms: i64::try_from(unix.as_millis()).unwrap_or(i64::MAX) }
    }
}

impl Service {
    /// Gives `member` a thread of its own: it blocks while it writes to disk.
    pub(crate) fn start<S: Store + Send + 'static>(
        mut member: Member<S>,
        clock: Clock,
        lists: watch::Sender<Arc<NodeList>>,
    ) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let (commands, mut queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("member".to_owned()).spawn(move || {
            while let Some(command) = queue.blocking_recv() {
                carry_out(&mut member, command, clock);
                tell(&lists, member.list());
                gauge!("locum_control_queue_length").set(u32::try_from(queue.len()).unwrap_or(u32::MAX));
            }
        })?;
        Ok((Self { commands }, thread))
    }

    /// Looks at everybody, again and again. Ends with the member.
    pub(crate) async fn keep_looking(self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.commands.send(Command::Look).await.is_err() {
                return;
            }
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .try_send(command(reply))
            .map_err(|_| Refusal::new(RefusalCode::Busy, "too many questions at once"))?;
        let answer = answer.await.map_err(|_| Refusal::new(RefusalCode::Internal, "stopping"))?;
        answer.map_err(|error| refusal(&error))
    }

    async fn answer_node(&self, node: NodeIdentity, question: NodeRequest) -> Result<NodeAnswer, Refusal> {
        match question {
            NodeRequest::Heartbeat(heartbeat) => {
                let list = self.ask(|reply| Command::Heartbeat(node, heartbeat, reply)).await?;
                Ok(NodeAnswer::Heartbeat { list })
            }
            NodeRequest::Renew { certificate_request } => {
                let certificate = self.ask(|reply| Command::Renew(node, certificate_request, reply)).await?;
                Ok(NodeAnswer::Renewed { certificate })
            }
            NodeRequest::Records(reports) => {
                let views = self.ask(|reply| Command::Records(node, reports, reply)).await?;
                Ok(NodeAnswer::Records(views))
            }
            NodeRequest::Operator(request) => self.ask(|reply| Command::Operator(node, request, reply)).await,
        }
    }
}

impl Handler for Service {
    async fn answer(&self, caller: Caller, question: Bytes) -> Result<Vec<u8>, Refusal> {
        let answer = match caller {
            Caller::Joiner => {
                let question = parse(&question)?;
                let answer = self.ask(|reply| Command::Join(question, reply)).await;
                let outcome = answer.as_ref().map_or_else(|refusal| refusal.code.as_str(), |_| "ok");
                counter!("locum_control_joins_total", "outcome" => outcome).increment(1);
                serde_json::to_vec(&answer?)
            }
            Caller::Node(node) => serde_json::to_vec(&self.answer_node(node, parse(&question)?).await?),
        };
        answer.map_err(|_| Refusal::new(RefusalCode::Internal, "the answer cannot be written"))
    }
}

fn carry_out<S: Store>(member: &mut Member<S>, command: Command, clock: Clock) {
    let now = clock.now();
    // Whoever asked may have left: then nobody reads the answer.
    match command {
        Command::Join(request, reply) => drop(reply.send(member.join(&request, now))),
        Command::Heartbeat(node, heartbeat, reply) => {
            drop(reply.send(member.heartbeat(&node, heartbeat, now)));
        }
        Command::Renew(node, request, reply) => drop(reply.send(member.renew(&node, &request, now))),
        Command::Records(node, reports, reply) => {
            drop(reply.send(member.records(&node, &reports, now)));
        }
        Command::Operator(node, request, reply) => {
            drop(reply.send(member.operate(&node, request, now)));
        }
        Command::Look => {
            member.look(now);
            measure(member, now);
        }
    }
}

/// Tells whoever answers from the newest list.
fn tell(lists: &watch::Sender<Arc<NodeList>>, newest: &NodeList) {
    lists.send_if_modified(|told| {
        let news = told.version != newest.version;
        if news {
            *told = Arc::new(newest.clone());
        }
        news
    });
}

fn measure<S: Store>(member: &Member<S>, now: Now) {
    let list = member.list();
    gauge!("locum_node_list_version").set(list.version as f64);
    for role in [Role::Edge, Role::Media] {
        for state in NodeState::ALL {
            let count = list.nodes.iter().filter(|node| node.role == role && node.state == state).count();
            gauge!("locum_nodes", "role" => role.as_str(), "state" => state.as_str()).set(count as f64);
        }
    }
    for (node, age) in member.membership().heartbeat_ages(now) {
        let (id, role) = (node.id.to_string(), node.role.as_str());
        gauge!("locum_node_heartbeat_age_seconds", "node" => id, "role" => role).set(age.as_secs_f64());
    }
    for (group, status) in member.groups().statuses(now.elapsed) {
        let set = |name: &'static str, value: f64| gauge!(name, "group" => group.to_string()).set(value);
        set("locum_group_epoch", status.epoch.0 as f64);
        set("locum_group_has_primary", if status.served { 1.0 } else { 0.0 });
        set("locum_group_promises_missing", status.missing as f64);
        set("locum_group_complete_copies", status.complete as f64);
        set("locum_group_voters", status.voters as f64);
    }
}

fn parse<T: DeserializeOwned>(question: &[u8]) -> Result<T, Refusal> {
    // Not the parser's own words: they quote what was sent, and a token may be in it.
    serde_json::from_slice(question)
        .map_err(|_| Refusal::new(RefusalCode::Invalid, "not a question known here"))
}

fn refusal(error: &MemberError) -> Refusal {
    warn!(error = chain(error), "question refused");
    let code = match error {
        MemberError::Token(_) | MemberError::Refused(_) => RefusalCode::Denied,
        MemberError::Group(_) => RefusalCode::Invalid,
        MemberError::Certificate(_) => RefusalCode::Invalid,
        MemberError::Save(_) => return Refusal::new(RefusalCode::Internal, "the record could not be kept"),
    };
    Refusal::new(code, chain(error))
}
