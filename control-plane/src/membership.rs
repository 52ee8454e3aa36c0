//! Who belongs to the network and how they are: decides, without clock and without I/O.
//!
//! What must survive a crash is the [`Record`]; a decision that changes it returns the next one, which counts
//! only once [`Membership::commit`] was told that it is on disk. Heartbeats change only what a restart may
//! forget.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use locum_cluster::protocol::Heartbeat;
use locum_cluster::{Load, NodeList, NodeRecord, NodeState};
use locum_identity::{JoinTokenClaims, NodeId, NodeIdentity, RegionId, Role};
use locum_replication::{GroupId, GroupRecord};
use serde::{Deserialize, Serialize};

/// A node not heard from for this long is down.
pub(crate) const DOWN_AFTER: Duration = Duration::from_secs(3);
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
    #[error("members of the control plane do not join by token")]
    Control,
    #[error("the network is full")]
    Full,
    #[error("this node never joined")]
    NotMember,
    #[error("only edge hosts hold record groups")]
    NotEdge,
    #[error("only who holds the authority's key may ask this")]
    NotOperator,
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
    /// From what was on disk. Nodes get as long as after a heartbeat to be heard from before they count as
    /// down.
    pub(crate) fn new(record: Record, now: Now) -> Self {
        Self { record, heard: HashMap::new(), since: now.elapsed }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The record in which the bearer of a verified token is a member and the token is spent.
    pub(crate) fn join(&self, claims: &JoinTokenClaims, now: Now) -> Result<Record, Refused> {
        let NodeIdentity { region, role, node, .. } = &claims.identity;
        if *role == Role::Control {
            return Err(Refused::Control);
        }
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
        if !acceptable(identity.role, &heartbeat) {
            return Err(Refused::Heartbeat);
        }
        let load_told_at = self.heard.get(&identity.node).and_then(|heard| heard.load_told_at);
        let heard = Heard { at: now.elapsed, heartbeat, load_told_at };
        let told = self.record.list.nodes.iter().find(|told| told.id == identity.node);
        let news = told.is_none_or(|told| {
            told.state != heard.state(now)
                || told.addresses != heard.heartbeat.addresses
                || told.public != heard.heartbeat.public
                || told.jwks != heard.heartbeat.jwks
                || told.mesh != heard.heartbeat.mesh
        });
        self.heard.insert(identity.node.clone(), heard);
        Ok(news)
    }

    /// The record with the next list, if the newest one is no longer true. `None` also when versions are used
    /// up.
    pub(crate) fn next_list(&self, now: Now) -> Option<Record> {
        let nodes: Vec<_> =
            self.record.members.iter().filter_map(|(id, member)| self.node(id, member, now)).collect();
        if nodes == self.record.list.nodes {
            return None;
        }
        let version = self.record.list.version.checked_add(1)?;
        let list = NodeList { version, issued_at_ms: now.unix_ms, nodes };
        Some(Record { list, ..self.record.clone() })
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

    /// What the list should say of a member; nothing until it was heard from once.
    fn node(&self, id: &NodeId, member: &Member, now: Now) -> Option<NodeRecord> {
        let told = self.record.list.nodes.iter().find(|told| told.id == *id);
        let Some(heard) = self.heard.get(id) else {
            let mut told = told?.clone();
            if now.elapsed.saturating_sub(self.since) >= DOWN_AFTER {
                told.state = NodeState::Down;
            }
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
            public: said.public.clone(),
            jwks: said.jwks.clone(),
            mesh: said.mesh,
            load,
            state: heard.state(now),
        })
    }
}

impl Record {
    /// Drops tokens that expired a day ago.
    fn forget_expired(&mut self, now: Now) {
        const KEEP_S: i64 = 24 * 60 * 60;
        let before = u64::try_from(now.unix_ms / 1000 - KEEP_S).unwrap_or(0);
        let forgotten = self.spent.extract_if(.., |_, exp| *exp <= before).map(|(_, exp)| exp).max();
        self.forgotten_until = self.forgotten_until.max(forgotten.unwrap_or(0));
    }
}

impl Heard {
    fn state(&self, now: Now) -> NodeState {
        if now.elapsed.saturating_sub(self.at) >= DOWN_AFTER {
            NodeState::Down
        } else if self.heartbeat.draining {
            NodeState::Draining
        } else {
            NodeState::Up
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
        && heartbeat.public.len() <= MAX_ADDRESSES
        && heartbeat.public.iter().all(|public| !public.is_unspecified() && !public.is_multicast())
        // Only an edge may sign tokens that media nodes believe.
        && (keys.is_none() || role == Role::Edge)
        && keys.is_none_or(|jwks| jwks.keys.len() <= MAX_KEYS)
        // Who answers there, its certificate says.
        && heartbeat.mesh.is_none_or(can_be_called)
}

fn can_be_called(mesh: SocketAddr) -> bool {
    mesh.port() != 0 && !mesh.ip().is_unspecified() && !mesh.ip().is_multicast()
}

#[cfg(test)]
mod tests;
