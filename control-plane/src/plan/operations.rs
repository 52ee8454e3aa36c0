//! What operation of the network rests on and must not be forgotten: standings, orders, what people want. Every
//! change is a [`Step`] with the next generation; nothing else changes it.

use std::collections::{BTreeMap, BTreeSet};

use locum_cluster::{NodeOrder, Subject, Wish};
use locum_identity::{NodeId, RegionId, Role};
use locum_replication::GroupId;
use serde::{Deserialize, Serialize};

use super::step::{Action, Step};
use super::timeline::{Author, Entry, Timeline};
use crate::health::{Change, Condition, Standing};

/// What people may want at once.
const MAX_WISHES: usize = 256;

/// The durable part.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Operations {
    /// Of the newest step.
    pub(crate) generation: u64,
    /// Nodes that are not simply there.
    pub(crate) standings: BTreeMap<NodeId, Standing>,
    /// What nodes were told last; who is not here was told nothing.
    pub(crate) orders: BTreeMap<NodeId, NodeOrder>,
    /// Regions that are down.
    pub(crate) down: BTreeSet<RegionId>,
    /// What is to be drained, with the generation since when.
    pub(crate) drains: BTreeMap<Subject, u64>,
    /// Where primaries belong.
    pub(crate) pins: BTreeMap<GroupId, RegionId>,
    /// What happened.
    pub(crate) timeline: Timeline,
}

/// A step that is not applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum StepRefused {
    /// It was applied before, or planned by somebody who did not know what is there now.
    #[error("the step is of generation {step}, and {current} is current")]
    Old { step: u64, current: u64 },
    /// Something in between is missing.
    #[error("the step is of generation {step}, which does not follow {current}")]
    Ahead { step: u64, current: u64 },
    /// People want too much.
    #[error("more than {MAX_WISHES} drains and pins")]
    Full,
}

impl Operations {
    /// How a node stands.
    pub(crate) fn standing(&self, node: &NodeId) -> Standing {
        self.standings.get(node).copied().unwrap_or_default()
    }

    /// Whether a person wants this node drained.
    pub(crate) fn is_drained(&self, node: &NodeId, region: &RegionId) -> bool {
        self.drains.keys().any(|subject| subject.covers(node, region))
    }

    /// Whether this node was told to take nobody new, and not yet that it may again.
    pub(crate) fn is_told_to_drain(&self, node: &NodeId) -> bool {
        self.orders.get(node).is_some_and(|order| order.drain)
    }

    /// What a person wants, if it is not so already.
    pub(crate) fn wish(&self, wish: Wish) -> Option<Step> {
        let is_so = match &wish {
            Wish::Drain(subject) => self.drains.contains_key(subject),
            Wish::Undrain(subject) => !self.drains.contains_key(subject),
            Wish::Pin { group, region } => self.pins.get(group) == Some(region),
            Wish::Unpin { group } => !self.pins.contains_key(group),
        };
        (!is_so).then(|| self.step(Action::Wish(wish), 0)).flatten()
    }

    /// A step that does `action` next. `None` once generations are spent: a wrapped one would un-fence every
    /// old order.
    pub(crate) fn step(&self, action: Action, after_ms: u64) -> Option<Step> {
        let generation = self.generation.checked_add(1)?;
        Some(Step { generation, action, after_ms })
    }

    /// What is there once `step` was taken; `role_of` says what a node does.
    pub(crate) fn apply(
        &self,
        step: &Step,
        by: Author,
        at_ms: i64,
        role_of: impl Fn(&NodeId) -> Option<Role>,
    ) -> Result<Self, StepRefused> {
        let (current, generation) = (self.generation, step.generation);
        if generation <= current {
            return Err(StepRefused::Old { step: generation, current });
        }
        if Some(generation) != current.checked_add(1) {
            return Err(StepRefused::Ahead { step: generation, current });
        }
        let mut next = self.clone();
        next.generation = generation;
        match &step.action {
            Action::Node { node, change, .. } => {
                next.change(node, *change, role_of(node) == Some(Role::Media));
            }
            Action::Region { region, down: true } => drop(next.down.insert(region.clone())),
            Action::Region { region, down: false } => drop(next.down.remove(region)),
            Action::Tell { node, drain } => next.tell(node, *drain),
            Action::Wish(wish) => next.want(wish)?,
            // Groups have a record of their own.
            Action::MovePrimary { .. } | Action::Led { .. } | Action::Promote { .. } => {}
            // Nor is anything else to be remembered of these.
            Action::RemoveMember { .. } | Action::Drill { .. } => {}
        }
        let (what, after_ms) = (step.action.clone(), step.after_ms);
        next.timeline.push(Entry { generation, at_ms, by, what, after_ms });
        Ok(next)
    }

    fn change(&mut self, node: &NodeId, change: Change, is_media: bool) {
        let before = self.standing(node);
        let after = match change {
            Change::Lost => before.lost(),
            Change::Left => before.left(),
            Change::Back => before.back(),
            Change::Forgiven => before.forgiven(),
        };
        // Its rooms go elsewhere even if only the way to it is broken.
        if is_media && change == Change::Lost {
            self.tell(node, true);
        }
        match after == Standing::default() {
            true => drop(self.standings.remove(node)),
            false => drop(self.standings.insert(node.clone(), after)),
        }
    }

    fn tell(&mut self, node: &NodeId, drain: bool) {
        self.orders.insert(node.clone(), NodeOrder { generation: self.generation, drain });
    }

    fn want(&mut self, wish: &Wish) -> Result<(), StepRefused> {
        match wish {
            Wish::Drain(subject) => drop(self.drains.insert(subject.clone(), self.generation)),
            Wish::Undrain(subject) => drop(self.drains.remove(subject)),
            Wish::Pin { group, region } => drop(self.pins.insert(group.clone(), region.clone())),
            Wish::Unpin { group } => drop(self.pins.remove(group)),
        }
        if self.drains.len() + self.pins.len() > MAX_WISHES { Err(StepRefused::Full) } else { Ok(()) }
    }

    /// Whether a node is there.
    pub(crate) fn condition(&self, node: &NodeId) -> Condition {
        self.standing(node).condition
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Evidence;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn apply(operations: &Operations, step: &Step) -> Result<Operations, StepRefused> {
        operations.apply(step, Author::Operator, 7, |node| {
            Some(if node.as_str().starts_with("media") { Role::Media } else { Role::Edge })
        })
    }

    fn done(operations: &Operations, action: Action) -> Operations {
        apply(operations, &operations.step(action, 0).unwrap()).unwrap()
    }

    fn lost(name: &str) -> Action {
        Action::Node { node: node(name), change: Change::Lost, evidence: Evidence::default() }
    }

    #[test]
    fn a_step_is_applied_once_and_in_its_turn() {
        let before = Operations::default();
        let step = before.step(lost("edge-1"), 3_200).unwrap();
        let after = apply(&before, &step).unwrap();
        assert_eq!(after.condition(&node("edge-1")), Condition::Lost);
        assert_eq!(after.timeline.entries().last().unwrap().after_ms, 3_200);
        assert_eq!(apply(&after, &step), Err(StepRefused::Old { step: 1, current: 1 }));
        let ahead = Step { generation: 3, ..step.clone() };
        assert_eq!(apply(&after, &ahead), Err(StepRefused::Ahead { step: 3, current: 1 }));
        assert_eq!(Operations { generation: u64::MAX, ..before }.step(lost("edge-1"), 0), None);
    }

    #[test]
    fn a_lost_media_node_is_told_to_empty_itself_and_an_edge_host_is_not() {
        let operations = done(&done(&Operations::default(), lost("edge-1")), lost("media-1"));
        assert_eq!(operations.orders.len(), 1);
        assert_eq!(operations.orders[&node("media-1")], NodeOrder { generation: 2, drain: true });
    }

    #[test]
    fn wishes_stay_until_taken_back_and_said_twice_are_one() {
        let region = Subject::Region("us-west".parse().unwrap());
        let drain = Wish::Drain(region.clone());
        let operations = done(&Operations::default(), Action::Wish(drain.clone()));
        assert!(operations.is_drained(&node("edge-9"), &"us-west".parse().unwrap()));
        assert_eq!(operations.wish(drain), None);
        let undone = done(&operations, Action::Wish(Wish::Undrain(region.clone())));
        assert!(undone.drains.is_empty());
        assert_eq!(undone.wish(Wish::Undrain(region)), None);

        let (group, region) = ("main".parse().unwrap(), "us-east".parse().unwrap());
        let pinned = done(&undone, Action::Wish(Wish::Pin { group, region }));
        assert_eq!(pinned.pins.len(), 1);
        let unpinned = Wish::Unpin { group: "main".parse().unwrap() };
        assert!(done(&pinned, Action::Wish(unpinned.clone())).pins.is_empty());
        assert!(undone.wish(unpinned).is_none());
    }

    #[test]
    fn wishes_are_bounded() {
        let mut operations = Operations::default();
        for number in 0..MAX_WISHES {
            let subject = Subject::Node(node(&format!("edge-{number}")));
            operations = done(&operations, Action::Wish(Wish::Drain(subject)));
        }
        let more = operations.wish(Wish::Drain(Subject::Node(node("one-more")))).unwrap();
        assert_eq!(apply(&operations, &more), Err(StepRefused::Full));
    }
}
