//! A person moves the primary: first a plan that says what it costs, then that plan and no other.

use std::time::Duration;

use locum_identity::{NodeId, RegionId};
use serde::{Deserialize, Serialize};

use super::{GroupRegistry, Heard};
use crate::{Epoch, GroupId, Position, promise_quorum};

/// A primary that does not come to rest, or a target that does not catch up, within this time: all goes on
/// as before.
const QUIET_WITHIN: Duration = Duration::from_secs(5);
/// A wish not fulfilled by then is forgotten; the person looks again.
const FULFIL_WITHIN: Duration = Duration::from_secs(30);

/// How the primary moves.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promotion {
    /// The primary lives: it lets no new write begin, the target catches up, then the epoch changes. Nothing
    /// is lost, not even what was never acknowledged.
    Switchover,
    /// There is no primary, and enough voters answer: nothing acknowledged is lost.
    Failover,
    /// There is no primary, and too few voters answer to rule out that acknowledged writes are missing.
    AcceptLoss,
}

/// A voter whose frames may be lost.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AtRisk {
    /// Who does not answer.
    pub node: NodeId,
    /// The last position it told. `None`: it told none since the control plane started.
    pub copy: Option<Position>,
}

/// What a promotion would do.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PromotionPlan {
    /// The group.
    pub group: GroupId,
    /// The epoch that would end. The plan is void once it did.
    pub epoch: Epoch,
    /// Who would lead.
    pub target: NodeId,
    /// How.
    pub promotion: Promotion,
    /// From where the new epoch would begin, if the target's copy does not grow meanwhile.
    pub from: Position,
    /// With [`Promotion::AcceptLoss`]: everything these hold beyond `from` goes.
    pub at_risk: Vec<AtRisk>,
}

/// Why there is no such promotion.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PromoteError {
    /// Another epoch began, or the voters came or went, since the plan was shown.
    #[error("the group changed since the plan was made; make a new one")]
    Changed,
    /// No voter.
    #[error("{target} is no voter of this group")]
    NoVoter {
        /// Who was named.
        target: NodeId,
    },
    /// The target cannot lead.
    #[error("{target} does not answer, or holds no complete copy")]
    NotAble {
        /// Who was named.
        target: NodeId,
    },
    /// The target could serve nothing.
    #[error("{target} runs a release that is too old for this group's schema: upgrade it first")]
    Outdated {
        /// Who was named.
        target: NodeId,
    },
    /// It leads already.
    #[error("{target} leads already")]
    Leads {
        /// Who was named.
        target: NodeId,
    },
    /// Somebody who answers holds more.
    #[error("{better} holds more than {target}: promote it instead")]
    Behind {
        /// Who was named.
        target: NodeId,
        /// Who holds more.
        better: NodeId,
    },
    /// Too few voters answer.
    #[error("{answering} voters answer and {needed} are needed to rule out the loss of acknowledged writes")]
    TooFew {
        /// How many answer.
        answering: usize,
        /// How many are needed.
        needed: usize,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Wish {
    target: NodeId,
    promotion: Promotion,
    since: Duration,
}

impl GroupRegistry {
    /// The voter of `region`.
    pub fn voter_of(&self, region: &RegionId) -> Option<&NodeId> {
        self.record.seats.get(region)?.as_ref().map(|seat| &seat.node)
    }

    /// What promoting `target` would do now.
    ///
    /// # Errors
    /// [`PromoteError`].
    pub fn plan(
        &self,
        target: &NodeId,
        accept_loss: bool,
        now: Duration,
    ) -> Result<PromotionPlan, PromoteError> {
        let named = target.clone();
        if self.record.seat(target).is_none() {
            return Err(PromoteError::NoVoter { target: named });
        }
        let answering: Vec<_> = self.answering(now).collect();
        let able = answering.iter().find(|(node, _)| *node == target);
        let Some((from, outdated)) = able.and_then(|(_, heard)| Some((heard.copy?, heard.outdated))) else {
            return Err(PromoteError::NotAble { target: named });
        };
        if outdated {
            return Err(PromoteError::Outdated { target: named });
        }
        let served = self.status(now).served;
        if served && self.record.primary.as_ref() == Some(target) {
            return Err(PromoteError::Leads { target: named });
        }
        if served && from.epoch != self.record.epoch {
            return Err(PromoteError::NotAble { target: named });
        }
        let better = answering.iter().find(|(_, heard)| heard.copy > Some(from));
        if let Some((better, _)) = better.filter(|_| !served) {
            return Err(PromoteError::Behind { target: named, better: (*better).clone() });
        }
        let needed = promise_quorum(self.regions.len());
        let enough = answering.len() >= needed;
        if !enough && !accept_loss {
            return Err(PromoteError::TooFew { answering: answering.len(), needed });
        }
        let promotion = match (enough, served) {
            (true, true) => Promotion::Switchover,
            (true, false) => Promotion::Failover,
            (false, _) => Promotion::AcceptLoss,
        };
        let at_risk = if enough { Vec::new() } else { self.silent(now) };
        Ok(PromotionPlan {
            group: self.group.clone(),
            epoch: self.record.epoch,
            target: named,
            promotion,
            from,
            at_risk,
        })
    }

    /// Carries out `plan`, if it is still what [`Self::plan`] would say. It happens with the voters' next
    /// reports, or not at all: look at [`Self::status`].
    ///
    /// # Errors
    /// [`PromoteError`].
    pub fn promote(&mut self, plan: &PromotionPlan, now: Duration) -> Result<(), PromoteError> {
        let accept_loss = plan.promotion == Promotion::AcceptLoss;
        let mut current = self.plan(&plan.target, accept_loss, now)?;
        // While it is being served the target's copy grows, and that costs nothing.
        if plan.promotion == Promotion::Switchover {
            current.from = plan.from;
        }
        if current != *plan {
            return Err(PromoteError::Changed);
        }
        self.wish = Some(Wish { target: current.target, promotion: current.promotion, since: now });
        self.look(now);
        Ok(())
    }

    /// Whoever holds most leads, so that nothing is lost, even if its release can serve nothing of it: then only until
    /// somebody who can has the same.
    pub(super) fn wish_for_another_than_an_outdated(&mut self, now: Duration) {
        let primary = self.record.primary.as_ref();
        let is_outdated = primary.and_then(|primary| self.heard.get(primary)).is_some_and(|p| p.outdated);
        // A failover that somebody asked for and that was not needed any more does not stand in the way.
        if !is_outdated || self.wants_quiet() || self.round.is_some() {
            return;
        }
        let able = self.heard.iter().filter(|(node, heard)| {
            let is_current = heard.copy.is_some_and(|copy| copy.epoch == self.record.epoch);
            is_current && !heard.outdated && self.counts(node) && heard.is_fresh(now)
        });
        let target = able.min_by_key(|(node, heard)| self.rank(node, &heard.region)).map(|(node, _)| node);
        self.wish = target.map(|target| Wish {
            target: target.clone(),
            promotion: Promotion::Switchover,
            since: now,
        });
    }

    pub(super) fn forget_old_wish(&mut self, now: Duration) {
        let round = self.round.is_some();
        self.wish.take_if(|wish| {
            let waits_for_quiet = wish.promotion == Promotion::Switchover && !round;
            let within = if waits_for_quiet { QUIET_WITHIN } else { FULFIL_WITHIN };
            now.saturating_sub(wish.since) >= within
        });
    }

    /// The primary should let no new write begin.
    pub(super) fn wants_quiet(&self) -> bool {
        self.wish.as_ref().is_some_and(|wish| wish.promotion == Promotion::Switchover)
    }

    /// The primary is quiet and the target holds all it has.
    pub(super) fn moves_now(&self) -> bool {
        let Some(wish) = self.wish.as_ref().filter(|_| self.wants_quiet()) else { return false };
        let primary = self.record.primary.as_ref().and_then(|primary| self.heard.get(primary));
        let target = self.heard.get(&wish.target);
        primary.zip(target).is_some_and(|(primary, target)| {
            primary.quiesced
                && primary.copy.is_some_and(|copy| copy.epoch == self.record.epoch)
                && target.copy >= primary.copy
        })
    }

    pub(super) fn is_wished(&self, node: &NodeId) -> bool {
        self.wish.as_ref().is_some_and(|wish| wish.target == *node)
    }

    /// What is known of whom a person wants.
    pub(super) fn wished(&self) -> Option<&Heard> {
        self.heard.get(&self.wish.as_ref()?.target)
    }

    /// For whom a person accepts that acknowledged writes may be missing.
    pub(super) fn accepts_loss(&self) -> Option<&NodeId> {
        let wish = self.wish.as_ref().filter(|wish| wish.promotion == Promotion::AcceptLoss)?;
        Some(&wish.target)
    }

    fn silent(&self, now: Duration) -> Vec<AtRisk> {
        let silent = |node: &NodeId| !self.heard.get(node).is_some_and(|heard| heard.is_fresh(now));
        let risk = |node: &NodeId| AtRisk {
            node: node.clone(),
            copy: self.heard.get(node).and_then(|heard| heard.copy),
        };
        self.seats().map(|seat| &seat.node).filter(|node| silent(node)).map(risk).collect()
    }
}
