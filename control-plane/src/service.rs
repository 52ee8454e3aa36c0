//! A member behind the mesh: it answers itself while it leads, and otherwise asks whoever does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use locum_cluster::protocol::{ControlMember, Heartbeat, NodeAnswer, NodeRequest, OperatorRequest};
use locum_identity::{NodeIdentity, Role};
use locum_mesh::{Caller, Handler, Peer, PeerName, Refusal, RefusalCode, RequestError};
use locum_replication::GroupReport;
use metrics::counter;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use crate::health::Report;
use crate::life::{Command, Life, Told};
use crate::member::KeyFiles;
use crate::members::may_leave;
use crate::quorum::raft::RaftQuorum;
use crate::quorum::{MemberAnswer, MemberId, MemberQuestion, MemberRequest, PeerError, Quorum, QuorumError};
use crate::store;

/// Nodes say again twice a second what they say: an older answer is of no use to them.
const SOON: Duration = Duration::from_millis(900);
/// Whatever must be agreed on first, or is asked by a person.
const PATIENTLY: Duration = Duration::from_secs(4);
/// A member that the others say no to for this long was removed.
const REMOVED_AFTER: Duration = Duration::from_secs(10);
/// How often a member tells the leader that it is there.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);

/// The others have removed this member.
#[derive(Debug, thiserror::Error)]
#[error("the other members say that this one was removed, or that its name was given to another")]
pub(crate) struct Removed;

/// Answers on the mesh.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) quorum: RaftQuorum,
    pub(crate) identity: NodeIdentity,
    pub(crate) keys: KeyFiles,
    /// Present while this member leads.
    pub(crate) life: watch::Receiver<Option<Life>>,
    /// Whoever removes a member: one person at a time.
    pub(crate) removing: Arc<Mutex<()>>,
    /// A checksum of the record groups that this member declares.
    pub(crate) groups: u32,
}

impl Service {
    /// Tells the leader that this member is there, until `stop` or until it was told for a while that it is no member;
    /// `others` may know who leads when this one does not, or when nobody is any more where this one looks for them.
    pub(crate) async fn keep_saying(
        self,
        others: Vec<SocketAddr>,
        stop: CancellationToken,
    ) -> Result<(), Removed> {
        let (mut next, mut denied_since) = (0, None);
        while tokio::time::timeout(HEARTBEAT_EVERY, stop.cancelled()).await.is_err() {
            let own = self.quorum.peers().address();
            let mesh = if own.ip().is_unspecified() { Vec::new() } else { vec![own] };
            let member = Some(self.quorum.peers().own().0);
            let heartbeat = Heartbeat { mesh, member, groups: Some(self.groups), ..Heartbeat::default() };
            let Ok(question) = serde_json::to_string(&NodeRequest::Heartbeat(heartbeat)) else {
                return Ok(());
            };
            let caller = Caller::Node(self.identity.clone());
            let said = self.answer_or_forward(caller, question.clone()).await;
            let mut heard = said.map(drop).map_err(|refusal| refusal.code);
            if !matches!(heard, Ok(()) | Err(RefusalCode::Denied)) {
                heard = self.say_elsewhere(&others, next, &question).await;
                next += 1;
            }
            match heard {
                Ok(()) => denied_since = None,
                Err(RefusalCode::Denied) => {
                    if denied_since.get_or_insert_with(Instant::now).elapsed() > REMOVED_AFTER {
                        return Err(Removed);
                    }
                }
                // Nobody knows.
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// One after the other: those that are configured, and those that voted when this member last heard.
    async fn say_elsewhere(
        &self,
        others: &[SocketAddr],
        turn: usize,
        question: &str,
    ) -> Result<(), RefusalCode> {
        let peers = self.quorum.peers();
        let voters: Vec<MemberId> = self.quorum.standing().borrow().voters.keys().copied().collect();
        let voters = voters.into_iter().filter(|id| *id != peers.own());
        let voters = voters.filter_map(|id| peers.place(id)?.address);
        let all: Vec<SocketAddr> = others.iter().copied().chain(voters).collect();
        let Some(&address) = all.get(turn % all.len().max(1)) else { return Err(RefusalCode::Busy) };
        let peer = Peer { address, name: PeerName::Role(Role::Control) };
        // By a member's question the other one learns where this one is now; what comes back does not matter.
        let _ = peers.ask_at(address, MemberRequest::WouldVote { last: None }, SOON).await;
        match peers.client().request(&peer, question.as_bytes(), SOON).await {
            Ok(_) => Ok(()),
            Err(RequestError::Refused { refusal, .. }) => Err(refusal.code),
            Err(_) => Err(RefusalCode::Busy),
        }
    }

    /// Returns once questions get answers: from this member or from the one that leads.
    pub(crate) async fn led(&self) {
        let (mut life, mut standing) = (self.life.clone(), self.quorum.standing());
        let own = self.quorum.peers().own();
        loop {
            let leader = standing.borrow_and_update().leader;
            if life.borrow_and_update().is_some() || leader.is_some_and(|leader| leader != own) {
                return;
            }
            let changed = tokio::select! {
                changed = life.changed() => changed,
                changed = standing.changed() => changed,
            };
            if changed.is_err() {
                // It ends, and says so elsewhere.
                return std::future::pending().await;
            }
        }
    }

    /// Takes what this member sees to whoever leads.
    pub(crate) async fn observed(&self, report: Report) -> Result<(), Refusal> {
        if let Ok(life) = self.leading() {
            return life.ask(|reply| Command::Observed(self.identity.clone(), report, reply)).await;
        }
        let mut standing = self.quorum.standing();
        let leader = standing.borrow_and_update().leader.ok_or_else(nobody_leads)?;
        let peers = self.quorum.peers();
        let asked = tokio::select! {
            asked = peers.ask(leader, MemberRequest::Observed(report), SOON) => asked,
            // A leader that is gone must not keep the next one waiting for what this member saw.
            _ = standing.wait_for(|standing| standing.leader != Some(leader)) => return Err(nobody_leads()),
        };
        match asked {
            Ok(_) => Ok(()),
            Err(PeerError::Request(RequestError::Refused { refusal, .. })) => Err(refusal),
            Err(_) => Err(Refusal::new(RefusalCode::Busy, "the leader does not answer")),
        }
    }

    /// This member's life as the leader.
    fn leading(&self) -> Result<Life, Refusal> {
        let life = self.life.borrow().clone();
        life.ok_or_else(|| Refusal::new(RefusalCode::Busy, "this member does not lead"))
    }

    async fn answer_or_forward(&self, caller: Caller, question: String) -> Result<String, Refusal> {
        let life = self.life.borrow().clone();
        match life {
            Some(life) => self.answer_as_leader(&life, caller, &question).await,
            None => self.forward(caller, question).await,
        }
    }

    /// Asks whoever leads, and whoever leads next when that changes meanwhile.
    async fn forward(&self, caller: Caller, question: String) -> Result<String, Refusal> {
        let patience = match &caller {
            Caller::Joiner => PATIENTLY,
            Caller::Node(node) if node.role == Role::Control => PATIENTLY,
            Caller::Node(_) => SOON,
        };
        let caller = match caller {
            Caller::Node(node) => Some(node),
            Caller::Joiner => None,
        };
        let forwarded = tokio::time::timeout(patience, self.ask_leader(caller, question)).await;
        let answer =
            forwarded.unwrap_or_else(|_| Err(Refusal::new(RefusalCode::Busy, "the leader does not answer")));
        counter!("locum_control_forwarded_total", "answered" => answer.is_ok().to_string()).increment(1);
        answer
    }

    async fn ask_leader(&self, caller: Option<NodeIdentity>, question: String) -> Result<String, Refusal> {
        let (own, mut standing) = (self.quorum.peers().own(), self.quorum.standing());
        loop {
            let leader = standing.borrow_and_update().leader.filter(|leader| *leader != own);
            let Some(leader) = leader else {
                return Err(nobody_leads());
            };
            let request = MemberRequest::Forward { caller: caller.clone(), question: question.clone() };
            let another =
                async { standing.wait_for(|standing| standing.leader != Some(leader)).await.is_ok() };
            let answer = tokio::select! {
                answer = self.quorum.peers().ask(leader, request, PATIENTLY) => answer,
                // A question may be carried out twice: nodes say it again anyway.
                goes_on = another => match goes_on {
                    true => continue,
                    false => return Err(Refusal::new(RefusalCode::Busy, "this member ends")),
                },
            };
            return match answer {
                Ok(MemberAnswer::Forward(answer)) => Ok(answer),
                Err(PeerError::Request(RequestError::Refused { refusal, .. })) => Err(refusal),
                Ok(_) | Err(_) => Err(Refusal::new(RefusalCode::Busy, "the leader does not answer")),
            };
        }
    }

    async fn answer_as_leader(&self, life: &Life, caller: Caller, question: &str) -> Result<String, Refusal> {
        let answer = match caller {
            Caller::Joiner => {
                let question = parse(question)?;
                let answer = life.ask(|reply| Command::Join(question, reply)).await;
                let outcome = answer.as_ref().map_or_else(|refusal| refusal.code.as_str(), |_| "ok");
                counter!("locum_control_joins_total", "outcome" => outcome).increment(1);
                serde_json::to_string(&answer?)
            }
            Caller::Node(node) => {
                serde_json::to_string(&self.answer_node(life, node, parse(question)?).await?)
            }
        };
        answer.map_err(|_| Refusal::new(RefusalCode::Internal, "the answer cannot be written"))
    }

    async fn answer_node(
        &self,
        life: &Life,
        node: NodeIdentity,
        question: NodeRequest,
    ) -> Result<NodeAnswer, Refusal> {
        match question {
            NodeRequest::Heartbeat(heartbeat) => {
                let told = life.ask(|reply| Command::Heartbeat(node, heartbeat, reply)).await?;
                let Told { list, order, ordered } = told;
                Ok(NodeAnswer::Heartbeat { list, order, ordered })
            }
            NodeRequest::Renew { certificate_request } => {
                let certificate = life.ask(|reply| Command::Renew(node, certificate_request, reply)).await?;
                Ok(NodeAnswer::Renewed { certificate })
            }
            NodeRequest::Records(reports) => self.answer_reports(life, node, reports).await,
            NodeRequest::Operator(OperatorRequest::RemoveMember { node: removed, id }) => {
                let _alone = self.removing.lock().await;
                let members = self.operate(life, node.clone(), OperatorRequest::Members).await?;
                if let NodeAnswer::Members(members) = members {
                    may_leave(&members, id).map_err(|why| Refusal::new(RefusalCode::Invalid, why))?;
                }
                self.operate(life, node, OperatorRequest::RemoveMember { node: removed, id }).await
            }
            NodeRequest::Operator(request) => self.operate(life, node, request).await,
            NodeRequest::Member(_) => Err(Refusal::new(RefusalCode::Invalid, "members ask for themselves")),
        }
    }

    async fn operate(
        &self,
        life: &Life,
        node: NodeIdentity,
        request: OperatorRequest,
    ) -> Result<NodeAnswer, Refusal> {
        let answer = life.ask(|reply| Command::Operator(node, request, reply)).await?;
        Ok(self.with_standing(answer))
    }

    /// No lease before a majority has confirmed, after the report came, that this member leads: see
    /// [`locum_replication::Round`].
    async fn answer_reports(
        &self,
        life: &Life,
        node: NodeIdentity,
        reports: Vec<GroupReport>,
    ) -> Result<NodeAnswer, Refusal> {
        let asking = node.clone();
        let reports = life.ask(|reply| Command::Hear(asking, reports, reply)).await?;
        let confirmed = self.quorum.confirm().await.map_err(|error| not_confirmed(&error))?;
        if confirmed.term != life.term {
            return Err(not_confirmed(&QuorumError::NotLeading));
        }
        let views = life.ask(|reply| Command::Views(node, reports, reply)).await?;
        Ok(NodeAnswer::Records(views))
    }

    /// What the quorum knows of the members, beside what the record does.
    fn with_standing(&self, answer: NodeAnswer) -> NodeAnswer {
        let NodeAnswer::Members(members) = answer else { return answer };
        let standing = self.quorum.standing().borrow().clone();
        // Whoever lost its seat may vote for a while yet.
        let known = standing.voters.iter().chain(&standing.learners);
        let seated = |id: &MemberId| members.iter().any(|member| member.id == id.0);
        let leaving = known.filter(|(id, _)| !seated(id)).filter_map(|(id, place)| {
            Some(ControlMember {
                id: id.0,
                node: place.name.parse().ok()?,
                region: None,
                address: place.address,
                heard_ms: None,
                leads: false,
                votes: false,
                leaves: true,
                other_groups: false,
                behind: None,
            })
        });
        let leaving: Vec<_> = leaving.collect();
        let told = |member: ControlMember| {
            let id = MemberId(member.id);
            let leads = standing.leader == Some(id);
            let behind = standing.matched.get(&id).map(|log| standing.last_log.saturating_sub(*log));
            let behind = if leads { Some(0) } else { behind };
            // Whoever this leader has not heard from yet is where the members last agreed that it is.
            let place = standing.voters.get(&id).or_else(|| standing.learners.get(&id));
            let address = member.address.or_else(|| place?.address);
            let votes = standing.voters.contains_key(&id);
            ControlMember { address, leads, votes, behind, ..member }
        };
        NodeAnswer::Members(members.into_iter().chain(leaving).map(told).collect())
    }

    /// Another member asks.
    async fn answer_member(
        &self,
        asker: NodeIdentity,
        question: serde_json::Value,
    ) -> Result<MemberAnswer, Refusal> {
        let unreadable = |_| Refusal::new(RefusalCode::Invalid, "not a question of this release's members");
        let MemberQuestion { from, to, address, request } =
            serde_json::from_value(question).map_err(unreadable)?;
        if to.is_some_and(|to| to != self.quorum.peers().own()) {
            return Err(Refusal::new(RefusalCode::Denied, "this member has another number"));
        }
        let is_known = self.check_member(&asker, from, address)?;
        match request {
            MemberRequest::Forward { .. } | MemberRequest::Observed(_) if !is_known => {
                Err(Refusal::new(RefusalCode::Denied, "the members know none of this number"))
            }
            MemberRequest::Observed(report) => {
                let life = self.leading()?;
                life.ask(|reply| Command::Observed(asker, report, reply)).await?;
                Ok(MemberAnswer::Observed)
            }
            MemberRequest::Forward { caller, question } => {
                // Only from member to leader: never further.
                let life = self.leading()?;
                let caller = caller.map_or(Caller::Joiner, Caller::Node);
                let answer = self.answer_as_leader(&life, caller, &question).await?;
                Ok(MemberAnswer::Forward(answer))
            }
            MemberRequest::Keys => self.keys_for(&asker, from).await,
            raft => {
                let answer = self.quorum.answer(from, raft).await;
                answer.ok_or_else(|| Refusal::new(RefusalCode::Invalid, "no question for this member"))
            }
        }
    }

    /// A certificate of role `control` is needed for every word; which member shows it, the members know. Whether this
    /// one knows it: whoever is new here may be known to others already.
    fn check_member(
        &self,
        asker: &NodeIdentity,
        from: MemberId,
        address: SocketAddr,
    ) -> Result<bool, Refusal> {
        let denied = |why: &str| Err(Refusal::new(RefusalCode::Denied, why));
        if asker.role != Role::Control {
            return denied("only members of the control plane may ask this");
        }
        let standing = self.quorum.standing();
        let standing = standing.borrow();
        let known = standing.voters.get(&from).or_else(|| standing.learners.get(&from));
        match known {
            Some(place) if place.name != asker.node.as_str() => {
                return denied("another member has this number");
            }
            None if self.is_gone(from) => return denied("this member was removed"),
            _ => {}
        }
        if !address.ip().is_unspecified() {
            self.quorum.peers().heard(from, asker.node.as_str(), address);
        }
        Ok(known.is_some())
    }

    fn is_gone(&self, id: MemberId) -> bool {
        store::read(&self.quorum.held().record).is_ok_and(|record| record.control.gone.contains(&id))
    }

    /// The network's keys, for who has a seat and for nobody else.
    async fn keys_for(&self, asker: &NodeIdentity, from: MemberId) -> Result<MemberAnswer, Refusal> {
        let record = store::read(&self.quorum.held().record);
        let seated = record.is_ok_and(|record| record.control.seats.get(&asker.node) == Some(&from));
        if !seated {
            return Err(Refusal::new(RefusalCode::Denied, "no member of this name and number has a seat"));
        }
        tracing::warn!(node = %asker.node, "a new member of the control plane gets the network's keys");
        self.keys.read().map_err(|error| {
            tracing::error!(%error, "could not read the network's keys");
            Refusal::new(RefusalCode::Internal, "the keys cannot be read")
        })
    }
}

impl Handler for Service {
    async fn answer(&self, caller: Caller, question: Bytes) -> Result<Vec<u8>, Refusal> {
        let question = String::from_utf8(question.into())
            .map_err(|_| Refusal::new(RefusalCode::Invalid, "not a question known here"))?;
        if let Caller::Node(asker) = &caller
            && asker.role == Role::Control
            && let Ok(NodeRequest::Member(question)) = serde_json::from_str(&question)
        {
            let answer = self.answer_member(asker.clone(), question).await?;
            return serde_json::to_vec(&answer)
                .map_err(|_| Refusal::new(RefusalCode::Internal, "the answer cannot be written"));
        }
        self.answer_or_forward(caller, question).await.map(String::into_bytes)
    }
}

fn parse<T: DeserializeOwned>(question: &str) -> Result<T, Refusal> {
    // Not the parser's own words: they quote what was sent, and a token may be in it.
    serde_json::from_str(question)
        .map_err(|_| Refusal::new(RefusalCode::Invalid, "not a question known here"))
}

fn nobody_leads() -> Refusal {
    Refusal::new(RefusalCode::Busy, "the members have no leader at the moment")
}

fn not_confirmed(error: &QuorumError) -> Refusal {
    tracing::debug!(%error, "no majority confirms that this member leads");
    Refusal::new(RefusalCode::Busy, "no majority of the control plane's members answers")
}
