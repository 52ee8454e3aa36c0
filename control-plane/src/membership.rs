//! Who belongs to the network and how they are: decides, without clock and without I/O.
//!
//! What must survive a crash is the [`Record`]; a decision that changes it returns the next one, which counts
//! only once [`Membership::commit`] was told that it is on disk. Heartbeats change only what a restart may
//! forget. Who is given up, and who is told what, is decided elsewhere (`health`, `plan`); the list says it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use locum_cluster::probe::MediaProbe;
use locum_cluster::protocol::Heartbeat;
use locum_cluster::{Load, NodeList, NodeRecord, NodeState};
use locum_identity::{JoinTokenClaims, NodeId, NodeIdentity, RegionId, Role};
use locum_replication::{GroupId, GroupRecord};
use serde::{Deserialize, Serialize};

use crate::health::{Condition, SILENT};
use crate::plan::Operations;

mod control;

pub(crate) use control::{Control, MOST_CONTROL, Seat};

/// The load of a node is told anew at most this often.
const LOAD_EVERY: Duration = Duration::from_secs(2);
/// … and only when its use changed by this much, or crossed the line to full.
const LOAD_STEP_PERMILLE: u16 = 100;

const MAX_MEMBERS: usize = 1024;
const MAX_SPENT_TOKENS: usize = 10_000;
const MAX_ADDRESSES: usize = 8;
const MAX_ADDRESS_BYTES: usize = 256;
const MAX_KEYS: usize = 8;

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Since this process began; never goes back.
    pub(crate) elapsed: Duration,
    /// Milliseconds since 1970; may go anywhere.
    pub(crate) unix_ms: i64,
}

/// What must survive a crash.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Every node that ever joined.
    pub(crate) members: BTreeMap<NodeId, Member>,
    /// Join tokens that were used, with the second they expire in.
    pub(crate) spent: BTreeMap<String, u64>,
    /// Tokens expiring by this second are refused: their use may have been forgotten. Makes "never twice"
    /// hold whatever the clock does.
    pub(crate) forgotten_until: u64,
    /// The newest list.
    pub(crate) list: NodeList,
    /// Who leads which record group. Since format 2.
    #[serde(default)]
    pub(crate) groups: BTreeMap<GroupId, GroupRecord>,
    /// The members of the control plane. Since format 3.
    #[serde(default)]
    pub(crate) control: Control,
    /// How the network is operated. Since format 4.
    #[serde(default)]
    pub(crate) operations: Operations,
    /// How to try whether media gets through to each media node. Since format 4.
    #[serde(default)]
    pub(crate) probes: BTreeMap<NodeId, MediaProbe>,
}

impl Default for Record {
    fn default() -> Self {
        let list = NodeList { version: 0, issued_at_ms: 0, nodes: Vec::new() };
        Self {
            members: BTreeMap::new(),
            spent: BTreeMap::new(),
            forgotten_until: 0,
            list,
            groups: BTreeMap::new(),
            control: Control::default(),
            operations: Operations::default(),
            probes: BTreeMap::new(),
        }
    }
}

/// A node that joined.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) region: RegionId,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("this join token was used before; make a new one")]
    Spent,
    #[error("this join token is too old")]
    Forgotten,
    #[error("a node of this name has another role or region")]
    NameTaken,
    #[error("the control plane has a member of this name; remove it first")]
    Seated,
    #[error("the control plane has as many members as it may")]
    ControlFull,
    #[error("the last member of the control plane stays")]
    LastMember,
    #[error("the control plane has no such member")]
    NoSuchMember,
    #[error("the network is full")]
    Full,
    #[error("this node never joined")]
    NotMember,
    #[error("only edge hosts hold record groups")]
    NotEdge,
    #[error("only who holds the authority's key may ask this")]
    NotOperator,
    #[error("no node of this name ever joined")]
    NoNode,
    #[error("no node of this region ever joined")]
    NoRegion,
    #[error("the heartbeat says more than it may, or something else than it should")]
    Heartbeat,
}

/// What was last heard of a node.
#[derive(Clone, Debug)]
struct Heard {
    at: Duration,
    heartbeat: Heartbeat,
    load_told_at: Option<Duration>,
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Membership {
    record: Record,
    heard: HashMap<NodeId, Heard>,
    since: Duration,
}

impl Membership {
    /// From what was on disk.
    pub(crate) fn new(record: Record, now: Now) -> Self {
        Self { record, heard: HashMap::new(), since: now.elapsed }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The record in which the bearer of a verified token is a member and the token is spent.
    pub(crate) fn join(&self, claims: &JoinTokenClaims, now: Now) -> Result<Record, Refused> {
        let NodeIdentity { region, role, node, .. } = &claims.identity;
        if self.record.spent.contains_key(&claims.jti) {
            return Err(Refused::Spent);
        }
        if claims.exp <= self.record.forgotten_until {
            return Err(Refused::Forgotten);
        }
        let mut next = self.record.clone();
        next.forget_expired(now);
        if next.spent.len() >= MAX_SPENT_TOKENS {
            return Err(Refused::Full);
        }
        let member = Member { role: *role, region: region.clone() };
        match next.members.get(node) {
            Some(known) if *known != member => return Err(Refused::NameTaken),
            None if next.members.len() >= MAX_MEMBERS => return Err(Refused::Full),
            _ => {}
        }
        if *role == Role::Control {
            next.control.take_in(node)?;
        }
        next.members.insert(node.clone(), member);
        next.spent.insert(claims.jti.clone(), claims.exp);
        Ok(next)
    }

    /// Whether `identity` is who joined under its name.
    pub(crate) fn check(&self, identity: &NodeIdentity) -> Result<(), Refused> {
        let member = self.record.members.get(&identity.node).ok_or(Refused::NotMember)?;
        let same = member.role == identity.role && member.region == identity.region;
        same.then_some(()).ok_or(Refused::NotMember)
    }

    /// Takes a heartbeat. Says whether it holds news that should not wait for the next look at everybody.
    pub(crate) fn heartbeat(
        &mut self,
        identity: &NodeIdentity,
        heartbeat: Heartbeat,
        now: Now,
    ) -> Result<bool, Refused> {
        self.check(identity)?;
        let seat = self.record.control.seats.get(&identity.node);
        if identity.role == Role::Control && seat.map(|id| id.0) != heartbeat.member {
            return Err(Refused::NoSuchMember);
        }
        if !acceptable(identity.role, &heartbeat) {
            return Err(Refused::Heartbeat);
        }
        let load_told_at = self.heard.get(&identity.node).and_then(|heard| heard.load_told_at);
        let heard = Heard { at: now.elapsed, heartbeat, load_told_at };
        let state = self.record.state(&identity.node, identity.role, heard.says(now));
        let told = self.record.list.nodes.iter().find(|told| told.id == identity.node);
        let probe = self.record.probes.get(&identity.node);
        let news = told.is_none_or(|told| {
            told.state != state
                || probe != heard.heartbeat.probe.as_ref()
                || told.addresses != heard.heartbeat.addresses
                || told.jwks != heard.heartbeat.jwks
                || told.mesh != heard.heartbeat.mesh
                || told.public != heard.heartbeat.public
        });
        self.heard.insert(identity.node.clone(), heard);
        Ok(news)
    }

    /// What `record` should say of nodes, if that is something else: the next list, and how to probe. The list
    /// stays as it is when versions are used up.
    pub(crate) fn refreshed(&self, record: &Record, now: Now) -> Option<Record> {
        let nodes: Vec<_> =
            record.members.iter().filter_map(|(id, member)| self.node(record, id, member, now)).collect();
        let version = record.list.version.checked_add(1).filter(|_| nodes != record.list.nodes);
        let list = version.map(|version| NodeList { version, issued_at_ms: now.unix_ms, nodes });
        let probes = self.probes(record);
        if list.is_none() && probes == record.probes {
            return None;
        }
        let list = list.unwrap_or_else(|| record.list.clone());
        Some(Record { list, probes, ..record.clone() })
    }

    fn probes(&self, record: &Record) -> BTreeMap<NodeId, MediaProbe> {
        let probe = |id: &NodeId| match self.heard.get(id) {
            Some(heard) => heard.heartbeat.probe.clone(),
            None => record.probes.get(id).cloned(),
        };
        record.members.keys().filter_map(|id| Some((id.clone(), probe(id)?))).collect()
    }

    /// `record` is on disk: from now on it counts.
    pub(crate) fn commit(&mut self, record: Record, now: Now) {
        for told in &record.list.nodes {
            let before = self.record.list.nodes.iter().find(|before| before.id == told.id);
            if before.is_none_or(|before| before.load != told.load)
                && let Some(heard) = self.heard.get_mut(&told.id)
            {
                heard.load_told_at = Some(now.elapsed);
            }
        }
        self.record = record;
    }

    /// How long ago each node of the list was heard from; since the start of this process at most.
    pub(crate) fn heartbeat_ages(&self, now: Now) -> impl Iterator<Item = (&NodeRecord, Duration)> {
        self.record.list.nodes.iter().map(move |node| {
            let at = self.heard.get(&node.id).map_or(self.since, |heard| heard.at);
            (node, now.elapsed.saturating_sub(at))
        })
    }

    /// What a node said of itself last, since this process began.
    pub(crate) fn said(&self, node: &NodeId) -> Option<&Heartbeat> {
        self.heard.get(node).map(|heard| &heard.heartbeat)
    }

    /// What the list should say of a member; nothing until it was heard from once.
    fn node(&self, record: &Record, id: &NodeId, member: &Member, now: Now) -> Option<NodeRecord> {
        let told = record.list.nodes.iter().find(|told| told.id == *id);
        let Some(heard) = self.heard.get(id) else {
            let mut told = told?.clone();
            let is_missed = member.role == Role::Control && now.elapsed.saturating_sub(self.since) >= SILENT;
            let says = if is_missed { NodeState::Down } else { told.state };
            told.state = record.state(id, member.role, says);
            return Some(told);
        };
        let said = &heard.heartbeat;
        let load = match told {
            Some(told) if !heard.load_is_news(told.load, now) => told.load,
            _ => said.load,
        };
        Some(NodeRecord {
            id: id.clone(),
            role: member.role,
            region: member.region.clone(),
            addresses: said.addresses.clone(),
            jwks: said.jwks.clone(),
            mesh: said.mesh.clone(),
            public: said.public.clone(),
            load,
            state: record.state(id, member.role, heard.says(now)),
        })
    }
}

impl Record {
    /// What the list says of a node, given what the node says itself. Members of the control plane are not probed:
    /// of them nothing else is known.
    fn state(&self, node: &NodeId, role: Role, says: NodeState) -> NodeState {
        match self.operations.condition(node) {
            _ if role == Role::Control => says,
            Condition::Left | Condition::Lost => NodeState::Down,
            Condition::Up if says == NodeState::Draining || self.operations.is_told_to_drain(node) => {
                NodeState::Draining
            }
            Condition::Up => NodeState::Up,
        }
    }

    /// What a node does, if it ever joined.
    pub(crate) fn role_of(&self, node: &NodeId) -> Option<Role> {
        self.members.get(node).map(|member| member.role)
    }

    /// Drops tokens that expired a day ago.
    fn forget_expired(&mut self, now: Now) {
        const KEEP_S: i64 = 24 * 60 * 60;
        let before = u64::try_from(now.unix_ms / 1000 - KEEP_S).unwrap_or(0);
        let forgotten = self.spent.extract_if(.., |_, exp| *exp <= before).map(|(_, exp)| exp).max();
        self.forgotten_until = self.forgotten_until.max(forgotten.unwrap_or(0));
    }
}

impl Heard {
    /// Down is a node that says nothing any more.
    fn says(&self, now: Now) -> NodeState {
        match self.heartbeat.draining {
            _ if now.elapsed.saturating_sub(self.at) >= SILENT => NodeState::Down,
            true => NodeState::Draining,
            false => NodeState::Up,
        }
    }

    fn load_is_news(&self, told: Load, now: Now) -> bool {
        let said = self.heartbeat.load;
        let moved = said.used_permille().abs_diff(told.used_permille()) >= LOAD_STEP_PERMILLE
            || said.is_full() != told.is_full()
            || said.capacity != told.capacity;
        // A node that has just started has not yet said how much it can take.
        let first = told == Load::default();
        let waited = self.load_told_at.is_none_or(|at| now.elapsed.saturating_sub(at) >= LOAD_EVERY);
        moved && (first || waited)
    }
}

fn acceptable(role: Role, heartbeat: &Heartbeat) -> bool {
    let address = |address: &String| {
        let schemes = ["https://", "http://", "wss://", "ws://"];
        address.len() <= MAX_ADDRESS_BYTES && schemes.iter().any(|scheme| address.starts_with(scheme))
    };
    let keys = heartbeat.jwks.as_ref();
    heartbeat.addresses.len() <= MAX_ADDRESSES
        && heartbeat.addresses.iter().all(address)
        // Only an edge may sign tokens that media nodes believe.
        && (keys.is_none() || role == Role::Edge)
        && keys.is_none_or(|jwks| jwks.keys.len() <= MAX_KEYS)
        // Who answers there, its certificate says.
        && heartbeat.mesh.len() <= MAX_ADDRESSES
        && heartbeat.mesh.iter().all(|mesh| mesh.port() != 0 && can_be_called(mesh.ip()))
        && heartbeat.public.len() <= MAX_ADDRESSES
        && heartbeat.public.iter().copied().all(can_be_called)
        && (heartbeat.probe.is_none() || role == Role::Media)
        && heartbeat.probe.as_ref().is_none_or(MediaProbe::is_acceptable)
}

fn can_be_called(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

#[cfg(test)]
mod tests;
