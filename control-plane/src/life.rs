//! The life of a leader: one thread owns the [`Member`], questions queue for it. It ends with the reign.

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use locum_cluster::operate::Ordered;
use locum_cluster::protocol::{Heartbeat, JoinAnswer, JoinRequest, NodeAnswer, OperatorRequest};
use locum_cluster::{NodeOrder, NodeState, SignedNodeList};
use locum_identity::{NodeIdentity, Role};
use locum_mesh::{Refusal, RefusalCode};
use locum_replication::{GroupReport, GroupView};
use locum_telemetry::config::chain;
use metrics::gauge;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::health::Report;
use crate::member::{Member, MemberError};
use crate::membership::{Now, Seat};
use crate::store::Store;

/// Questions waiting for the member; beyond it nodes are told to come back.
const QUEUE: usize = 1024;
/// How often everybody is looked at: the resolution of "down".
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) type Reply<T> = oneshot::Sender<Result<T, MemberError>>;

pub(crate) enum Command {
    Join(JoinRequest, Reply<JoinAnswer>),
    Heartbeat(NodeIdentity, Heartbeat, Reply<Told>),
    Renew(NodeIdentity, String, Reply<String>),
    Hear(NodeIdentity, Vec<GroupReport>, Reply<Vec<GroupReport>>),
    Views(NodeIdentity, Vec<GroupReport>, Reply<Vec<GroupView>>),
    Operator(NodeIdentity, OperatorRequest, Reply<NodeAnswer>),
    Observed(NodeIdentity, Report, Reply<()>),
    Seats(Reply<Vec<Seat>>),
    Look(Reply<()>),
}

/// What a node is told.
pub(crate) struct Told {
    /// The newest list, if newer than the one held.
    pub(crate) list: Option<SignedNodeList>,
    pub(crate) order: NodeOrder,
    /// What people ordered that it has not heard of.
    pub(crate) ordered: Vec<Ordered>,
}

/// Where to send questions. The member's thread ends when every clone is gone.
#[derive(Clone)]
pub(crate) struct Life {
    /// The term it leads in.
    pub(crate) term: u64,
    /// Cancelled when it is over: then nothing is answered any more.
    pub(crate) ended: CancellationToken,
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

impl Life {
    /// Gives `member` a thread of its own: it waits for the others while it saves.
    pub(crate) fn begin<S: Store + Send + 'static>(
        mut member: Member<S>,
        term: u64,
        clock: Clock,
        ended: CancellationToken,
    ) -> std::io::Result<(Self, thread::JoinHandle<()>)> {
        let (commands, mut queue) = mpsc::channel(QUEUE);
        let over = ended.clone();
        let thread = thread::Builder::new().name("member".to_owned()).spawn(move || {
            while let Some(command) = queue.blocking_recv() {
                // Dropped, a command's reply says that there is no answer.
                if !over.is_cancelled() {
                    carry_out(&mut member, command, clock);
                }
                gauge!("locum_control_queue_length").set(u32::try_from(queue.len()).unwrap_or(u32::MAX));
            }
        })?;
        Ok((Self { term, ended, commands }, thread))
    }

    /// Looks at everybody, again and again, until the end.
    pub(crate) async fn keep_looking(self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.ended.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // One at a time: each may have to be agreed on.
            let _ = self.ask(Command::Look).await;
        }
    }

    pub(crate) async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .try_send(command(reply))
            .map_err(|_| Refusal::new(RefusalCode::Busy, "too many questions at once"))?;
        let over = || Refusal::new(RefusalCode::Busy, "this member does not lead any more");
        answer.await.map_err(|_| over())?.map_err(|error| refusal(&error))
    }
}

fn carry_out<S: Store>(member: &mut Member<S>, command: Command, clock: Clock) {
    let now = clock.now();
    // Whoever asked may have left: then nobody reads the answer.
    match command {
        Command::Join(request, reply) => drop(reply.send(member.join(&request, now))),
        Command::Heartbeat(node, heartbeat, reply) => {
            let heard_of = heartbeat.heard_of;
            let told = member.heartbeat(&node, heartbeat, now).map(|list| Told {
                list,
                order: member.order(&node.node),
                ordered: if node.role == Role::Edge { member.ordered_since(heard_of) } else { Vec::new() },
            });
            drop(reply.send(told));
        }
        Command::Renew(node, request, reply) => drop(reply.send(member.renew(&node, &request, now))),
        Command::Hear(node, reports, reply) => {
            drop(reply.send(member.hear(&node, &reports, now).map(|()| reports)));
        }
        Command::Views(node, reports, reply) => {
            drop(reply.send(Ok(member.views(&node, &reports, now))));
        }
        Command::Operator(node, request, reply) => {
            drop(reply.send(member.operate(&node, request, now)));
        }
        Command::Observed(vantage, report, reply) => {
            drop(reply.send(member.observe(&vantage, report, now)));
        }
        Command::Seats(reply) => drop(reply.send(Ok(member.seats(now)))),
        Command::Look(reply) => {
            member.look(now);
            measure(member, now);
            drop(reply.send(Ok(())));
        }
    }
}

fn measure<S: Store>(member: &Member<S>, now: Now) {
    let list = member.list();
    gauge!("locum_node_list_version").set(list.version as f64);
    for role in [Role::Edge, Role::Media, Role::Control] {
        for state in NodeState::ALL {
            let count = list.nodes.iter().filter(|node| node.role == role && node.state == state).count();
            gauge!("locum_nodes", "role" => role.as_str(), "state" => state.as_str()).set(count as f64);
        }
    }
    for (node, age) in member.membership().heartbeat_ages(now) {
        let (id, role) = (node.id.to_string(), node.role.as_str());
        gauge!("locum_node_heartbeat_age_seconds", "node" => id, "role" => role).set(age.as_secs_f64());
    }
    member.measure_operations(now);
    let differ = member.control_members(now).into_iter().filter(|member| member.other_groups).count();
    gauge!("locum_quorum_members_with_other_groups").set(differ as f64);
    for (group, status) in member.groups().statuses(now.elapsed) {
        let set = |name: &'static str, value: f64| gauge!(name, "group" => group.to_string()).set(value);
        set("locum_group_epoch", status.epoch.0 as f64);
        set("locum_group_has_primary", if status.served { 1.0 } else { 0.0 });
        set("locum_group_promises_missing", status.missing as f64);
        set("locum_group_complete_copies", status.complete as f64);
        set("locum_group_voters", status.voters as f64);
        set("locum_group_misplaced_copies", status.misplaced.len() as f64);
    }
}

fn refusal(error: &MemberError) -> Refusal {
    warn!(error = chain(error), "question refused");
    let code = match error {
        MemberError::Token(_) | MemberError::Refused(_) => RefusalCode::Denied,
        MemberError::Group(_) | MemberError::Wish(_) => RefusalCode::Invalid,
        MemberError::Certificate(_) => RefusalCode::Invalid,
        MemberError::Save(_) => {
            return Refusal::new(RefusalCode::Busy, "the members could not agree on it; ask again");
        }
    };
    Refusal::new(code, chain(error))
}
