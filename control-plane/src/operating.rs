//! Carries out what the planner says (`plan`): into the record first, then into force.

use std::collections::BTreeMap;
use std::time::Duration;

use locum_cluster::operate::{GroupPlace, NodeView, OperationsView, Ordered, TimelineEntry};
use locum_cluster::{Subject, Wish};
use locum_identity::{NodeId, NodeIdentity, Role};
use locum_replication::{Epoch, GroupId};
use locum_telemetry::config::chain;
use metrics::{counter, gauge, histogram};
use tracing::{info, warn};

use crate::health::{Change, Health, Report};
use crate::member::{Member, MemberError};
use crate::membership::{Now, Record, Refused};
use crate::plan::{Action, Author, Patience, Place, Sight, Step, plan};
use crate::store::Store;
use crate::words;

/// What a leader knows of the network and may forget.
#[derive(Debug)]
pub(crate) struct Operating {
    me: NodeId,
    pub(crate) health: Health,
    patience: Patience,
}

impl Operating {
    /// Of a member that just began to lead.
    pub(crate) fn new(me: NodeId, now: Now) -> Self {
        Self { me, health: Health::new(now.elapsed), patience: Patience::default() }
    }
}

impl<S: Store> Member<S> {
    /// Takes in what a member sees.
    pub(crate) fn observe(
        &mut self,
        vantage: &NodeIdentity,
        report: Report,
        now: Now,
    ) -> Result<(), MemberError> {
        if vantage.role != Role::Control {
            return Err(Refused::NotOperator.into());
        }
        self.operating.health.report(&vantage.node, report, now.elapsed);
        self.look(now);
        Ok(())
    }

    /// The record once the next steps are taken, and these steps; `None`: nothing is to be done.
    pub(crate) fn planned(&self, now: Now) -> (Option<Record>, Vec<Step>) {
        let record = self.membership().record();
        let steps = self.steps(record, now);
        let mut next: Option<Record> = None;
        for step in &steps {
            let before = next.as_ref().unwrap_or(record);
            match self.taken(before, step, Author::Member(self.operating.me.clone()), now) {
                Ok(taken) => next = Some(taken),
                // The planner applies each step itself: this would be a mistake in it.
                Err(error) => {
                    warn!(error = chain(&error), "a planned step is refused");
                    return (None, Vec::new());
                }
            }
        }
        (next, steps)
    }

    fn steps(&self, record: &Record, now: Now) -> Vec<Step> {
        let operations = &record.operations;
        let nodes = record.list.nodes.iter();
        let place = |node: &locum_cluster::NodeRecord| Place {
            node: node.id.clone(),
            role: node.role,
            region: node.region.clone(),
        };
        // Members of the control plane look at nodes; at them, the members look themselves.
        let places: Vec<Place> = nodes.filter(|node| node.role != Role::Control).map(place).collect();
        let health = &self.operating.health;
        let standings = places.iter().map(|place| (&place.node, operations.standing(&place.node)));
        let verdicts = health.judge(standings, record.control.seats.len(), now.elapsed);
        let edges = places.iter().filter(|place| place.role == Role::Edge).map(|place| &place.node);
        let serves = |node: &NodeId| Some((node.clone(), health.serves_records(node, now.elapsed)?));
        let sight = Sight {
            places: &places,
            verdicts: &verdicts,
            groups: &self.groups().sights(now.elapsed),
            records: &edges.filter_map(serves).collect(),
            patience: &self.operating.patience,
        };
        plan(operations, &sight, now.elapsed)
    }

    fn taken(&self, record: &Record, step: &Step, by: Author, now: Now) -> Result<Record, MemberError> {
        let role_of = |node: &NodeId| record.role_of(node);
        let operations = record.operations.apply(step, by, now.unix_ms, role_of)?;
        Ok(Record { operations, ..record.clone() })
    }

    /// Steps that are in the record come into force.
    pub(crate) fn carry_out(&mut self, steps: &[Step], now: Now) {
        for step in steps {
            let what = words::action(&step.action);
            info!(generation = step.generation, what, after_ms = step.after_ms, "step taken");
            counter!("locum_control_steps_total", "action" => words::kind(&step.action)).increment(1);
            match &step.action {
                Action::Node { node, change, .. } => {
                    if *change == Change::Lost {
                        let after = Duration::from_millis(step.after_ms);
                        histogram!("locum_control_detection_seconds").record(after);
                    }
                    self.operating.health.changed(node, now.elapsed);
                }
                Action::MovePrimary { group, epoch, to, .. } => {
                    self.operating.patience.tried(group, now.elapsed);
                    if let Err(error) = self.groups_mut().move_primary(group, *epoch, to, now.elapsed) {
                        warn!(%group, error = chain(&error), "the primary does not move");
                    }
                }
                _ => {}
            }
        }
    }

    /// A new primary is part of what happened.
    pub(crate) fn note_leader(
        &mut self,
        next: &mut Record,
        group: &GroupId,
        epoch: Epoch,
        by: &NodeId,
        now: Now,
    ) {
        self.operating.patience.moved(group);
        let led = Action::Led { group: group.clone(), epoch, by: by.clone() };
        let author = Author::Member(self.operating.me.clone());
        let step = next.operations.step(led, 0);
        if let Some(Ok(noted)) = step.map(|step| self.taken(next, &step, author, now)) {
            *next = noted;
        }
    }

    /// What would follow from a wish at once; nothing, if it is kept already.
    pub(crate) fn preview(&self, wish: Wish, now: Now) -> Result<Vec<String>, MemberError> {
        self.check_wish(&wish)?;
        let record = self.membership().record();
        let Some(step) = record.operations.wish(wish) else { return Ok(Vec::new()) };
        let wished = self.taken(record, &step, Author::Operator, now)?;
        let steps = self.steps(&wished, now);
        let actions = std::iter::once(&step.action).chain(steps.iter().map(|step| &step.action));
        Ok(actions.map(words::action).collect())
    }

    /// Keeps what a person wants: it is in the record before this returns. Said twice, it is one.
    pub(crate) fn keep_wish(&mut self, wish: Wish, by: &NodeId, now: Now) -> Result<(), MemberError> {
        self.check_wish(&wish)?;
        let record = self.membership().record();
        let Some(step) = record.operations.wish(wish) else { return Ok(()) };
        let next = self.taken(record, &step, Author::Person(by.clone()), now)?;
        self.save(next, now).map_err(MemberError::Save)?;
        self.carry_out(&[step], now);
        self.look(now);
        Ok(())
    }

    /// `record`, in which it stands who ordered `action`.
    pub(crate) fn with_order(
        &self,
        record: &Record,
        action: Action,
        by: &NodeId,
        now: Now,
    ) -> Result<Record, MemberError> {
        // Without a generation that is left nothing can be ordered any more; nobody lives to see that.
        let Some(step) = record.operations.step(action, 0) else { return Ok(record.clone()) };
        self.taken(record, &step, Author::Person(by.clone()), now)
    }

    /// What people ordered since a generation, oldest first, as far as it is still known.
    pub(crate) fn ordered_since(&self, generation: u64) -> Vec<Ordered> {
        let entries = self.membership().record().operations.timeline.entries();
        entries.filter(|entry| entry.generation > generation).filter_map(words::ordered).collect()
    }

    /// Whether what a wish names is there.
    fn check_wish(&self, wish: &Wish) -> Result<(), MemberError> {
        // Members of the control plane are removed, not drained.
        let members = &self.membership().record().members;
        let mut nodes = members.iter().filter(|(_, member)| member.role != Role::Control);
        match wish {
            Wish::Drain(Subject::Node(node)) if !nodes.any(|(name, _)| name == node) => {
                Err(Refused::NoNode.into())
            }
            Wish::Drain(Subject::Region(region)) if !nodes.any(|(_, member)| member.region == *region) => {
                Err(Refused::NoRegion.into())
            }
            Wish::Pin { group, region } => Ok(self.groups().check_voter(group, region)?),
            _ => Ok(()),
        }
    }

    /// For metrics.
    pub(crate) fn measure_operations(&self, now: Now) {
        let record = self.membership().record();
        let operations = &record.operations;
        let set = |name: &'static str, holds: bool| gauge!(name).set(if holds { 1.0 } else { 0.0 });
        set("locum_control_sighted", self.operating.health.is_sighted(now.elapsed));
        gauge!("locum_control_generation").set(operations.generation as f64);
        gauge!("locum_control_drains").set(operations.drains.len() as f64);
        for region in record.members.values().map(|member| &member.region) {
            let down = if operations.down.contains(region) { 1.0 } else { 0.0 };
            gauge!("locum_region_down", "region" => region.to_string()).set(down);
        }
        for sight in self.groups().sights(now.elapsed) {
            for voter in sight.voters.iter().filter(|voter| voter.is_current) {
                let labels = [("group", sight.group.to_string()), ("node", voter.node.to_string())];
                gauge!("locum_group_behind_frames", &labels).set(voter.behind as f64);
            }
        }
    }

    /// How the network is operated.
    pub(crate) fn operations(&self, now: Now) -> OperationsView {
        let record = self.membership().record();
        let operations = &record.operations;
        let timeline = operations.timeline.entries().map(|entry| TimelineEntry {
            generation: entry.generation,
            at_ms: entry.at_ms,
            by: words::author(&entry.by),
            what: words::action(&entry.what),
            why: words::why(&entry.what),
            after_ms: entry.after_ms,
        });
        let nodes = record.list.nodes.iter().filter(|node| node.role != Role::Control);
        OperationsView {
            generation: operations.generation,
            nodes: nodes.map(|node| self.node_view(node)).collect(),
            groups: self.group_places(now),
            down: operations.down.iter().cloned().collect(),
            drains: operations.drains.keys().cloned().collect(),
            pins: operations.pins.clone(),
            timeline: timeline.collect(),
        }
    }

    fn node_view(&self, node: &locum_cluster::NodeRecord) -> NodeView {
        let said = self.membership().said(&node.id);
        NodeView {
            node: node.id.clone(),
            role: node.role,
            region: node.region.clone(),
            state: node.state,
            strikes: self.membership().record().operations.standing(&node.id).strikes,
            told: self.order(&node.id),
            obeyed: said.map_or(0, |said| said.obeyed),
            sessions: said.map_or(node.load.sessions, |said| said.load.sessions),
        }
    }

    fn group_places(&self, now: Now) -> Vec<GroupPlace> {
        let places: BTreeMap<_, _> =
            self.list().nodes.iter().map(|node| (node.id.clone(), node.region.clone())).collect();
        let place = |(group, status): (&GroupId, locum_replication::GroupStatus)| GroupPlace {
            group: group.clone(),
            epoch: status.epoch,
            region: status.primary.as_ref().and_then(|primary| places.get(primary).cloned()),
            primary: status.primary,
            served: status.served,
        };
        self.groups().statuses(now.elapsed).map(place).collect()
    }
}

#[cfg(test)]
mod tests;
