//! What a vantage point's report says of a node, and whether its word counts.

use std::collections::BTreeMap;
use std::time::Duration;

use locum_identity::NodeId;
use serde::{Deserialize, Serialize};

use super::{FAILING, FRESH, GOOD, MISSES, ProbeKind, Reason, Report, Seen};

/// The newest report of a vantage point.
#[derive(Clone, Debug)]
pub(super) struct Vantage {
    at: Duration,
    life: u64,
    number: u64,
    seen: BTreeMap<NodeId, BTreeMap<ProbeKind, Seen>>,
}

/// What one vantage point says of one node.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Word {
    /// Reached every time for a while.
    Steady,
    /// Reached.
    Sees,
    /// Not any more, but not for long enough.
    Unsure,
    /// Not for three misses.
    Misses,
}

/// The word of one vantage point, and what it rests on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opinion {
    /// Who says it.
    pub(crate) vantage: NodeId,
    /// What.
    pub(crate) word: Word,
    /// The probe that decided.
    pub(crate) kind: ProbeKind,
    /// Its misses in a row.
    pub(crate) misses: u32,
    /// How long there was no good answer.
    pub(crate) failing_ms: u64,
    /// Why the last one missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    /// Round trip of the last good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency_ms: Option<u64>,
}

/// Everything a verdict rests on.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evidence {
    /// The vantage points whose word counted.
    pub(crate) opinions: Vec<Opinion>,
    /// Those whose word did not: they see nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) blind: Vec<NodeId>,
    /// How long the node itself said nothing.
    pub(crate) silent_ms: u64,
}

impl Vantage {
    pub(super) fn new(report: Report, now: Duration) -> Self {
        let mut seen: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for one in report.seen {
            seen.entry(one.node.clone()).or_default().insert(one.kind, one);
        }
        Self { at: now, life: report.life, number: report.number, seen }
    }

    /// Whether `report` was written after this one.
    pub(super) fn is_older_than(&self, report: &Report) -> bool {
        self.life != report.life || self.number < report.number
    }

    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) < FRESH
    }

    /// Whether it reaches anybody at all. One that does not is cut off itself.
    pub(super) fn is_sighted(&self) -> bool {
        self.seen.values().flat_map(BTreeMap::values).any(|seen| seen.good > 0 && is_recent(seen))
    }

    /// What it says of a node: the worst of the probes that decide. `None`: it has not probed it.
    pub(super) fn opinion(&self, me: &NodeId, node: &NodeId) -> Option<Opinion> {
        let probes = self.seen.get(node)?.values().filter(|seen| seen.kind.condemns());
        let worst = probes.max_by_key(|seen| (word(seen), seen.misses))?;
        Some(Opinion {
            vantage: me.clone(),
            word: word(worst),
            kind: worst.kind,
            misses: worst.misses,
            failing_ms: worst.failing_ms,
            reason: worst.reason,
            latency_ms: worst.latency_ms,
        })
    }

    /// What it says of a node's record groups; `None`: it did not ask.
    pub(super) fn records(&self, node: &NodeId) -> Option<Word> {
        self.seen.get(node)?.get(&ProbeKind::Records).map(word)
    }
}

fn word(seen: &Seen) -> Word {
    let failing = Duration::from_millis(seen.failing_ms);
    match seen {
        _ if !is_recent(seen) => Word::Unsure,
        Seen { misses: 0, good: GOOD.., .. } => Word::Steady,
        Seen { misses: 0, .. } => Word::Sees,
        Seen { misses: MISSES.., .. } if failing >= FAILING => Word::Misses,
        _ => Word::Unsure,
    }
}

/// A prober that stands still says nothing. Canaries are rarer than other probes.
fn is_recent(seen: &Seen) -> bool {
    let patience = if seen.kind.condemns() { FRESH } else { 10 * FRESH };
    Duration::from_millis(seen.age_ms) < patience
}
