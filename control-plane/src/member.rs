//! Carries out what [`Membership`] decides: to disk first, then into force, then out to the nodes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use locum_cluster::protocol::{
    ControlMember, Heartbeat, JoinAnswer, JoinRequest, MAX_GROUPS, NodeAnswer, OperatorRequest, Trust,
};
use locum_cluster::{NodeList, NodeOrder, SignedNodeList};
use locum_identity::{
    CertificateAuthority, CertificateError, CertificateRequest, JoinTokenClaims, JoinTokenError, KeyError,
    NodeId, NodeIdentity, Role, SigningKey, Zone, private_file,
};
use locum_replication::{Epoch, GroupId, GroupRecord, GroupReport, GroupView, Promotion};
use metrics::{counter, histogram};
use tracing::{error, info, warn};

use crate::groups::{GroupError, Groups};
use crate::membership::{Membership, Now, Record, Refused, Seat};
use crate::operating::Operating;
use crate::plan::{Action, StepRefused};
use crate::quorum::{MemberAnswer, MemberId};
use crate::store::Store;

/// Why a node got no certificate or no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberError {
    #[error("check join token")]
    Token(#[from] JoinTokenError),
    #[error("check membership")]
    Refused(#[from] Refused),
    #[error("take in reports on record groups")]
    Group(#[from] GroupError),
    #[error("issue certificate")]
    Certificate(#[from] CertificateError),
    #[error("keep what a person wants")]
    Wish(#[from] StepRefused),
    #[error("keep the record")]
    Save(#[source] io::Error),
}

/// A member's secrets.
pub(crate) struct Keys {
    pub(crate) authority: Arc<CertificateAuthority>,
    pub(crate) signing: SigningKey,
}

/// A member's secrets cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("open the network's authority")]
    Authority(#[from] CertificateError),
    #[error("open the key that signs lists and join tokens")]
    Signing(#[from] KeyError),
}

/// Where a member keeps the network's keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyFiles(PathBuf);

impl KeyFiles {
    /// In a member's folder.
    pub(crate) fn within(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// For another member, and for nobody else.
    pub(crate) fn read(&self) -> io::Result<MemberAnswer> {
        let read = |name: &str| private_file::read_to_string(&self.0.join(name));
        Ok(MemberAnswer::Keys {
            authority: read("ca.pem")?,
            authority_key: read("ca.key")?,
            signing_key: read("signing.key")?,
        })
    }

    /// As another member gave them.
    pub(crate) fn write(&self, authority: &str, authority_key: &str, signing_key: &str) -> io::Result<()> {
        let write = |name: &str, text: &str| private_file::write(&self.0.join(name), text.as_bytes());
        write("ca.key", authority_key)?;
        write("signing.key", signing_key)?;
        write("ca.pem", authority)
    }
}

impl Keys {
    /// Those in `dir`; made there at the first start.
    pub(crate) fn open(dir: &Path, zone: &Zone) -> Result<Self, KeysError> {
        let authority = CertificateAuthority::load_or_create(dir, zone, SystemTime::now())?;
        let signing = SigningKey::load_or_create(&dir.join("signing.key"))?;
        Ok(Self { authority: Arc::new(authority), signing })
    }
}

/// One member of the control plane. Blocks while it writes.
pub(crate) struct Member<S> {
    membership: Membership,
    groups: Groups,
    store: S,
    keys: Arc<Keys>,
    signed: SignedNodeList,
    pub(crate) operating: Operating,
}

impl<S: Store> Member<S> {
    /// `groups` were made from the same `record`; `me` is what the timeline calls this member.
    pub(crate) fn new(
        me: NodeId,
        record: Record,
        groups: Groups,
        store: S,
        keys: Arc<Keys>,
        now: Now,
    ) -> Result<Self, serde_json::Error> {
        let signed = SignedNodeList::sign(&record.list, &keys.signing)?;
        let operating = Operating::new(me, now);
        Ok(Self { membership: Membership::new(record, now), groups, store, keys, signed, operating })
    }

    pub(crate) fn membership(&self) -> &Membership {
        &self.membership
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    pub(crate) fn groups_mut(&mut self) -> &mut Groups {
        &mut self.groups
    }

    pub(crate) fn list(&self) -> &NodeList {
        &self.membership.record().list
    }

    /// A certificate for a token, once: that the token is spent is on disk before the certificate exists.
    pub(crate) fn join(&mut self, request: &JoinRequest, now: Now) -> Result<JoinAnswer, MemberError> {
        let wall = wall(now);
        let claims = JoinTokenClaims::verify(&request.token, &self.keys.signing.jwks(), wall)?;
        // Before the token is spent: a request that cannot be served should not cost it.
        let key = CertificateRequest::from_pem(&request.certificate_request)?;
        let next = self.membership.join(&claims, now)?;
        self.save(next, now).map_err(MemberError::Save)?;
        let issued = self.keys.authority.issue(&claims.identity, &key, wall)?;
        info!(node = %claims.identity.node, role = %claims.identity.role, "node joined");
        let trust =
            Trust { authority: self.keys.authority.pem().to_owned(), list_keys: self.keys.signing.jwks() };
        let member = self.membership.record().control.seats.get(&claims.identity.node).map(|id| id.0);
        Ok(JoinAnswer { certificate: issued.pem().to_owned(), trust, member })
    }

    /// What a node was told last.
    pub(crate) fn order(&self, node: &NodeId) -> NodeOrder {
        self.membership.record().operations.orders.get(node).copied().unwrap_or_default()
    }

    /// The newest list if it is newer than the one held.
    pub(crate) fn heartbeat(
        &mut self,
        identity: &NodeIdentity,
        heartbeat: Heartbeat,
        now: Now,
    ) -> Result<Option<SignedNodeList>, MemberError> {
        let (held, draining) = (heartbeat.held_version, heartbeat.draining);
        let is_news = self.membership.heartbeat(identity, heartbeat, now)?;
        self.operating.health.heard(&identity.node, draining, now.elapsed);
        if is_news {
            self.look(now);
        }
        let version = self.list().version;
        if held > version {
            error!(node = %identity.node, held, version, "a node holds a newer list than this member");
        }
        Ok((held < version).then(|| self.signed.clone()))
    }

    /// The next certificate of a node, PEM.
    pub(crate) fn renew(
        &self,
        identity: &NodeIdentity,
        request: &str,
        now: Now,
    ) -> Result<String, MemberError> {
        self.membership.check(identity)?;
        let issued =
            self.keys.authority.issue(identity, &CertificateRequest::from_pem(request)?, wall(now))?;
        info!(node = %identity.node, "certificate renewed");
        Ok(issued.pem().to_owned())
    }

    /// Takes in what an edge host says of its record groups. Whoever leads one is agreed on before anybody is
    /// told. Then [`Self::views`], once a majority has confirmed that this member still leads.
    pub(crate) fn hear(
        &mut self,
        identity: &NodeIdentity,
        reports: &[GroupReport],
        now: Now,
    ) -> Result<(), MemberError> {
        self.membership.check(identity)?;
        if identity.role != Role::Edge {
            return Err(Refused::NotEdge.into());
        }
        if reports.len() > MAX_GROUPS {
            return Err(GroupError::TooMany.into());
        }
        for report in reports {
            self.groups.hear(identity, report, now.elapsed)?;
        }
        self.settle_groups(now).map_err(MemberError::Save)
    }

    /// What an edge host should do about its record groups. Grants leases.
    pub(crate) fn views(
        &mut self,
        identity: &NodeIdentity,
        reports: &[GroupReport],
        now: Now,
    ) -> Vec<GroupView> {
        let view = |report| self.groups.view(identity, report, now.elapsed);
        reports.iter().filter_map(view).collect()
    }

    /// The members of the control plane, as they were last heard from.
    pub(crate) fn seats(&self, now: Now) -> Vec<Seat> {
        self.membership.seats(now)
    }

    /// Does what a person asks who holds the authority's key: nobody else has a certificate of this role.
    pub(crate) fn operate(
        &mut self,
        identity: &NodeIdentity,
        request: OperatorRequest,
        now: Now,
    ) -> Result<NodeAnswer, MemberError> {
        if identity.role != Role::Control {
            return Err(Refused::NotOperator.into());
        }
        let by = &identity.node;
        match request {
            OperatorRequest::Status(group) => {
                Ok(NodeAnswer::Status(self.groups.status(&group, now.elapsed)?))
            }
            OperatorRequest::Plan { group, to, accept_loss } => {
                Ok(NodeAnswer::Plan(self.groups.plan(&group, &to, accept_loss, now.elapsed)?))
            }
            OperatorRequest::Promote(plan) => {
                self.groups.promote(&plan, now.elapsed)?;
                let (group, target, epoch) = (plan.group.as_str(), plan.target.as_str(), plan.epoch.0);
                let accept_loss = plan.promotion == Promotion::AcceptLoss;
                warn!(group, target, epoch, accept_loss, %by, "a person moves the primary of a record group");
                let (group, epoch, to) = (plan.group.clone(), plan.epoch, plan.target.clone());
                self.note_order(Action::Promote { group, epoch, to, accept_loss }, by, now)?;
                self.settle_groups(now).map_err(MemberError::Save)?;
                Ok(NodeAnswer::Status(self.groups.status(&plan.group, now.elapsed)?))
            }
            OperatorRequest::Members => Ok(NodeAnswer::Members(self.control_members(now))),
            OperatorRequest::RemoveMember { node, id } => {
                let next = self.membership.without(&node, MemberId(id))?;
                let next = self.with_order(&next, Action::RemoveMember { node: node.clone() }, by, now)?;
                self.save(next, now).map_err(MemberError::Save)?;
                warn!(%node, id, %by, "a person removes a member of the control plane");
                self.look_at_network(now);
                Ok(NodeAnswer::Members(self.control_members(now)))
            }
            OperatorRequest::Preview(wish) => Ok(NodeAnswer::Preview(self.preview(wish, now)?)),
            OperatorRequest::Wish(wish) => {
                self.keep_wish(wish, by, now)?;
                Ok(NodeAnswer::Operations(Box::new(self.operations(now))))
            }
            OperatorRequest::Drill(fault) => {
                self.note_order(Action::Drill { fault: fault.to_string() }, by, now)?;
                Ok(NodeAnswer::Operations(Box::new(self.operations(now))))
            }
            OperatorRequest::Operations => Ok(NodeAnswer::Operations(Box::new(self.operations(now)))),
        }
    }

    /// It is in the record before anybody is answered.
    fn note_order(&mut self, action: Action, by: &NodeId, now: Now) -> Result<(), MemberError> {
        let next = self.with_order(self.membership.record(), action, by, now)?;
        self.save(next, now).map_err(MemberError::Save)
    }

    pub(crate) fn control_members(&self, now: Now) -> Vec<ControlMember> {
        let member = |seat: Seat| ControlMember {
            id: seat.id.0,
            node: seat.node,
            region: Some(seat.region),
            address: seat.heard.map(|(address, _)| address),
            heard_ms: seat.heard.map(|(_, age)| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            leads: false,
            votes: false,
            leaves: false,
            other_groups: seat.groups.is_some_and(|groups| groups != self.groups.checksum()),
            behind: None,
        };
        self.seats(now).into_iter().map(member).collect()
    }

    /// Looks at everybody and every record group. What cannot be kept on disk is tried again.
    pub(crate) fn look(&mut self, now: Now) {
        self.look_at_network(now);
        self.groups.look(now.elapsed);
        if let Err(error) = self.settle_groups(now) {
            error!(%error, "could not keep the record of a record group");
        }
    }

    /// Writes what the groups have decided, one decision at a time.
    fn settle_groups(&mut self, now: Now) -> io::Result<()> {
        while let Some((group, record)) = self.groups.next(now.elapsed) {
            let mut next = self.membership.record().clone();
            let before = next.groups.insert(group.clone(), record.clone());
            let is_led = before.is_none_or(|before| before.epoch < record.epoch);
            if let Some(primary) = record.primary.as_ref().filter(|_| is_led) {
                self.note_leader(&mut next, &group, record.epoch, primary, now);
            }
            self.save(next, now)?;
            if is_led {
                told_of_epoch(&group, &record);
            }
            self.groups.commit(&group, record, now.elapsed);
        }
        Ok(())
    }

    /// What is no longer true of the network is replaced: standings and orders by the next steps of the plan, the
    /// list by what they and heartbeats say. All of it in one write.
    fn look_at_network(&mut self, now: Now) {
        self.operating.health.look(now.elapsed);
        let (planned, steps) = self.planned(now);
        let base = planned.as_ref().unwrap_or(self.membership.record());
        let Some(next) = self.membership.refreshed(base, now).or(planned) else { return };
        let signed = match SignedNodeList::sign(&next.list, &self.keys.signing) {
            Ok(signed) => signed,
            Err(error) => return error!(%error, "could not sign the node list"),
        };
        let (version, before) = (next.list.version, self.list().version);
        match self.save(next, now) {
            Ok(()) => {
                self.signed = signed;
                self.carry_out(&steps, now);
                if version > before {
                    info!(version, "new node list");
                }
            }
            Err(error) => error!(%error, version, "could not keep the record of the network"),
        }
    }

    pub(crate) fn save(&mut self, next: Record, now: Now) -> io::Result<()> {
        let begun = std::time::Instant::now();
        let saved = self.store.save(&next);
        histogram!("locum_control_record_save_seconds").record(begun.elapsed());
        if saved.is_err() {
            counter!("locum_control_record_save_failures_total").increment(1);
        }
        saved.map(|()| self.membership.commit(next, now))
    }
}

fn told_of_epoch(group: &GroupId, record: &GroupRecord) {
    let Some(begun) = record.history.since(Epoch::ZERO).last() else { return };
    let start = begun.start.map(|start| start.to_string());
    let (epoch, primary, accepted_loss) = (begun.epoch.0, begun.primary.as_str(), begun.accepted_loss);
    info!(%group, epoch, primary, start, accepted_loss, "new primary of a record group");
}

fn wall(now: Now) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(now.unix_ms).unwrap_or(0))
}
