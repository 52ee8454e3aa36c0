//! What an all-seeing observer knows, and the named invariants it checks.

use std::collections::{BTreeMap, BTreeSet};

use locum_replication::{Epoch, GroupRecord, Position, promise_quorum};

use crate::content::{EMPTY, Log, Logs};
use crate::node::Node;

/// A named invariant that does not hold.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) detail: String,
}

pub(crate) type Checked = Result<(), Violation>;

pub(crate) fn hold(invariant: &'static str, holds: bool, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

/// Everything that was ever promised to anybody.
pub(crate) struct Truth {
    pub(crate) logs: Logs,
    /// Everything ever acknowledged or shown: one history, or something was lost.
    required: Log,
    /// The invariant that the newest of it rests on.
    because: &'static str,
    /// Where each epoch began, and who led it.
    /// `None`: its disk was lost between promise and appointment, so it never begins.
    begun: BTreeMap<Epoch, (usize, Option<Log>)>,
    /// Where each engine began: its first frame holds so many writes.
    engines: BTreeMap<Epoch, (u64, u64)>,
    /// Who acknowledged in which epoch.
    acknowledged: BTreeMap<Epoch, usize>,
    /// Tokens of sessions are compared with what copies hold.
    pub(crate) committed: BTreeSet<u64>,
    pub(crate) wiped: bool,
}

impl Truth {
    pub(crate) fn new() -> Self {
        Self {
            logs: Logs::new(),
            required: EMPTY,
            because: "acked_is_durable",
            begun: BTreeMap::new(),
            engines: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            committed: BTreeSet::new(),
            wiped: false,
        }
    }

    /// An epoch is about to begin: `record` is what the control plane holds on disk.
    pub(crate) fn appointed(&mut self, record: &GroupRecord, nodes: &[Node]) -> Checked {
        let Some(primary) = &record.primary else { return Ok(()) };
        let epoch = record.epoch;
        let winner = nodes.iter().position(|node| node.id == *primary).unwrap();
        if let Some((before, _)) = self.begun.get(&epoch) {
            return hold("one_writer", *before == winner, || format!("epoch {epoch} has two primaries"));
        }
        let newest = self.begun.last_key_value().map_or(Epoch::ZERO, |(newest, _)| *newest);
        hold("one_writer", epoch > newest, || format!("epoch {epoch} after {newest}"))?;

        let lost = |node: &Node| {
            record
                .seats
                .values()
                .flatten()
                .any(|seat| seat.node == node.id && seat.store != node.disk.kept.store)
        };
        if lost(&nodes[winner]) {
            self.begun.insert(epoch, (winner, None));
            return Ok(());
        }
        let best = nodes[winner].disk.newest();
        let position = nodes[winner].disk.position();
        let behind = voters(record, nodes)
            .filter(|voter| voter.disk.kept.promised >= epoch && voter.disk.position() <= position)
            .count();
        // Who promised and then lost its disk had promised all the same.
        let promised = behind + nodes.iter().filter(|node| lost(node)).count();
        let quorum = promise_quorum(record.seats.len());
        hold("no_empty_promotion", promised >= quorum, || {
            format!("epoch {epoch} with {promised} promises of voters that hold no more, {quorum} needed")
        })?;
        let all_empty = nodes.iter().all(|node| node.disk.newest().is_none());
        hold("no_empty_promotion", best.is_some() || all_empty, || format!("epoch {epoch} begins empty"))?;

        let start = best.map_or(EMPTY, |copy| copy.log);
        hold(self.because, self.logs.begins_with(start, self.required), || {
            format!("epoch {epoch} begins with less than was promised")
        })?;
        self.begun.insert(epoch, (winner, Some(start)));
        Ok(())
    }

    /// An engine starts with `frame` on a database that holds `log`.
    pub(crate) fn engine_started(&mut self, node: usize, at: Position, log: Log) -> Checked {
        let appointed = self.begun.get(&at.epoch).is_some_and(|(primary, _)| *primary == node);
        hold("one_writer", appointed, || format!("an engine of {} at somebody else's", at.epoch))?;
        let again = self.engines.insert(at.epoch, (at.frame.0, self.logs.length(log)));
        hold("one_writer", again.is_none(), || format!("two engines in epoch {}", at.epoch))?;
        hold("once", !self.logs.has_twice(log), || "a write is there twice".to_owned())
    }

    /// What a complete copy that stands at `at`, and now holds `log`, held there.
    pub(crate) fn log_at(&self, at: Position, log: Log) -> Log {
        let (first_frame, first_length) = self.engines.get(&at.epoch).copied().unwrap_or((0, 0));
        self.logs.first(log, first_length + at.frame.0.saturating_sub(first_frame))
    }

    /// `node` says success for a write in `epoch`, whose history up to it is `log`.
    pub(crate) fn acknowledges(&mut self, node: usize, epoch: Epoch, log: Log) -> Checked {
        let who = *self.acknowledged.entry(epoch).or_insert(node);
        hold("one_writer", who == node, || format!("two hosts acknowledge in epoch {epoch}"))?;
        for (later, (_, start)) in self.begun.range(epoch..).skip(1) {
            let within = start.is_none_or(|start| self.logs.begins_with(start, log));
            hold("fenced_stays_fenced", within, || {
                format!("epoch {epoch} acknowledges what {later} began without")
            })?;
        }
        self.require("acked_is_durable", log)
    }

    /// Somebody is shown `log`.
    pub(crate) fn shows(&mut self, log: Log) -> Checked {
        self.require("no_unacked_reads", log)
    }

    fn require(&mut self, invariant: &'static str, log: Log) -> Checked {
        if self.logs.begins_with(self.required, log) {
            return Ok(());
        }
        let one_history = self.logs.begins_with(log, self.required);
        (self.required, self.because) = (log, invariant);
        hold(invariant, one_history, || "it and what was promised before exclude each other".to_owned())
    }

    /// Whatever w − 1 voters are lost: the greatest copy of the rest holds all that was promised.
    pub(crate) fn check_durable(&self, record: &GroupRecord, nodes: &[Node]) -> Checked {
        let voters: Vec<&Node> = voters(record, nodes).collect();
        let n = record.seats.len();
        let quorum = promise_quorum(n);
        for set in 0..1u32 << voters.len() {
            if set.count_ones() as usize != quorum {
                continue;
            }
            let members = voters.iter().enumerate().filter(|(index, _)| set & (1 << index) != 0);
            let best = members.filter_map(|(_, voter)| voter.disk.newest()).max_by_key(|copy| copy.at);
            let log = best.map_or(EMPTY, |copy| copy.log);
            hold(self.because, self.logs.begins_with(log, self.required), || {
                format!("the voters {set:b} hold less than was promised")
            })?;
        }
        Ok(())
    }

    /// At most one host believes that it may serve.
    pub(crate) fn check_lease(&self, nodes: &[Node], now: u64) -> Checked {
        let holders: Vec<&str> =
            nodes.iter().filter(|node| node.holds_lease(now)).map(|node| node.id.as_str()).collect();
        hold("one_lease", holders.len() <= 1, || format!("{holders:?} hold leases at once"))
    }

    /// Every write that was ever durable somewhere can still be found by a person.
    pub(crate) fn check_tails(&self, nodes: &[Node]) -> Checked {
        if self.wiped {
            return Ok(());
        }
        let mut found = BTreeSet::new();
        for node in nodes {
            found.extend(node.disk.copies.iter().flat_map(|copy| self.logs.keys(copy.log)));
            found.extend(node.disk.tails.iter().copied());
        }
        let lost = self.committed.difference(&found).next();
        hold("tail_kept", lost.is_none(), || format!("write {lost:?} is nowhere"))
    }
}

/// The voters whose disks count.
fn voters<'a>(record: &'a GroupRecord, nodes: &'a [Node]) -> impl Iterator<Item = &'a Node> {
    let seats = record.seats.values().flatten().filter(|seat| seat.counted);
    seats.filter_map(|seat| {
        nodes.iter().find(|node| node.id == seat.node && node.disk.kept.store == seat.store)
    })
}
