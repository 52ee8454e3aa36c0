//! What goes wrong.

use crate::fault::Fault;
use crate::node::{Disk, Node};
use crate::truth::Checked;
use crate::world::{Event, Input, World};

impl World {
    pub(crate) fn weather(&mut self) -> Checked {
        let node = self.random.index(self.nodes.len());
        // Half of all trouble finds the primary.
        let leads = |node: &Node| node.process.as_ref().is_some_and(|process| process.engine.is_some());
        let primary = self.nodes.iter().position(leads).filter(|_| self.random.permille(500));
        let node = primary.unwrap_or(node);
        match self.random.below(100) {
            0..22 => self.crash(node),
            22..27 => self.kill_engine(node),
            27..39 => self.nodes[node].paused_until = self.now + self.random.between(50, 9_000),
            39..47 => self.nodes[node].slow_until = self.now + self.random.between(500, 6_000),
            47..56 => self.cut_off(node),
            56..66 => self.cut(node, self.nodes.len()),
            66..74 => {
                let other = self.random.index(self.nodes.len());
                self.cut(node, other);
            }
            74..80 => self.crash_registry(),
            80..85 => self.registry_paused_until = self.now + self.random.between(50, 8_000),
            85..91 => self.move_primary(node),
            91..95 => self.wipe(node),
            95..97 => self.change_release(node),
            97..98 => self.fill(node),
            _ => {
                // A whole region goes at once, the control plane with it.
                self.crash(node);
                self.crash_registry();
            }
        }
        Ok(())
    }

    fn crash(&mut self, node: usize) {
        let back = if self.random.permille(500) { 300 } else { 8_000 };
        self.counts.crashes += u64::from(self.nodes[node].process.is_some());
        if let Some(process) = self.nodes[node].process.take() {
            for wait in process.waits {
                self.sessions[wait.session].waiting = false;
            }
        }
        self.nodes[node].paused_until = 0;
        let back = self.random.between(20, back);
        self.at(back, Event::StartNode { node });
    }

    fn kill_engine(&mut self, node: usize) {
        let life = self.nodes[node].life;
        self.at(0, Event::ToNode { node, input: Input::EngineDied { life } });
    }

    fn crash_registry(&mut self) {
        self.counts.registry_crashes += u64::from(self.registry.is_some());
        self.registry = None;
        self.registry_paused_until = 0;
        let back = self.random.between(10, 4_000);
        self.at(back, Event::StartRegistry);
    }

    fn cut(&mut self, a: usize, b: usize) {
        let until = self.now + self.random.between(200, 9_000);
        self.cuts.retain(|(_, _, until)| *until > self.now);
        self.cuts.push((a, b, until));
    }

    /// From everybody.
    fn cut_off(&mut self, node: usize) {
        let until = self.now + self.random.between(200, 9_000);
        for other in 0..=self.nodes.len() {
            self.cuts.push((node, other, until));
        }
    }

    fn move_primary(&mut self, node: usize) {
        let now = self.elapsed();
        let target = self.nodes[node].id.clone();
        let Some(registry) = &mut self.registry else { return };
        if let Ok(plan) = registry.plan(&target, false, now) {
            registry.promote(&plan, now).unwrap();
            self.counts.moves += 1;
        }
    }

    /// A host is put back to a release that is too old for the schema, and later upgraded again.
    fn change_release(&mut self, node: usize) {
        let Some(record) = &self.record else { return };
        if self.fault == Fault::GreatestFrame {
            // Nobody knows then which copies are of the current epoch, and that is not what it is about.
            return;
        }
        let votes = |other: &Node| record.seats.values().flatten().any(|seat| seat.node == other.id);
        let can_serve = |(index, other): (usize, &Node)| index != node && !other.outdated && votes(other);
        if !self.nodes[node].outdated && !self.nodes.iter().enumerate().any(can_serve) {
            return;
        }
        self.crash(node);
        self.nodes[node].outdated = !self.nodes[node].outdated;
        self.counts.changes_of_release += 1;
    }

    /// A disk becomes full, one at most: the primary's engine steps down, and none starts there.
    fn fill(&mut self, node: usize) {
        if !self.nodes.iter().any(|node| node.full) {
            self.nodes[node].full = true;
            self.counts.full_disks += 1;
            self.kill_engine(node);
        }
    }

    /// Somebody makes room for a disk that is full, at the latest when it is needed: another host is missing, too old, or
    /// there are too few. In half of the lives nobody does: the others lead without it.
    pub(crate) fn make_room(&mut self) {
        let is_spare = self.record.as_ref().is_some_and(|record| {
            let mut seats = record.seats.values().flatten();
            record.seats.len() > 2
                && record.established
                && seats.all(|seat| {
                    let node = self.nodes.iter().find(|node| node.id == seat.node);
                    seat.counted
                        && node.is_some_and(|node| !node.outdated && node.disk.kept.store == seat.store)
                })
        });
        if !is_spare || self.random.permille(500) {
            self.nodes.iter_mut().for_each(|node| node.full = false);
        }
    }

    /// A disk is lost, and with it everything the host promised or held. One at a time, and only when the
    /// others can bear it: more is more than w − 1 losses.
    fn wipe(&mut self, node: usize) {
        let Some(record) = &self.record else { return };
        let whole = record.seats.values().all(|seat| {
            seat.as_ref().is_some_and(|seat| {
                let disk = self.nodes.iter().find(|node| node.id == seat.node).map(|node| &node.disk);
                seat.counted && disk.is_some_and(|disk| disk.kept.store == seat.store)
            })
        });
        let current = |node: &&Node| node.disk.position().is_some_and(|at| at.epoch == record.epoch);
        let votes = |node: &&Node| record.seats.values().flatten().any(|seat| seat.node == node.id);
        let complete = self.nodes.iter().filter(votes).filter(current).count();
        if record.seats.len() < 2 || !whole || complete < 2 {
            return;
        }
        self.crash(node);
        self.nodes[node].disk = Disk::new(self.next_store);
        self.next_store += 1;
        self.truth.wiped = true;
        self.counts.wipes += 1;
    }
}
