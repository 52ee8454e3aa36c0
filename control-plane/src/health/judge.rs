//! Who is there and who is not.

use std::collections::BTreeMap;
use std::time::Duration;

use locum_identity::NodeId;
use serde::{Deserialize, Serialize};

use super::standing::FORGIVEN_AFTER;
use super::vantage::Vantage;
use super::{Condition, Evidence, PROBE_EVERY, Report, SILENT, Standing, Word};

/// Everybody is looked at ten times a second: a longer gap means that this process did not run, and what it
/// did not hear meanwhile was not necessarily not said.
const AWAY: Duration = Duration::from_secs(1);
/// What a new leader waits for the reports of those whose word could still change a verdict: a member may
/// notice it late, and reports every second.
const FIRST_REPORTS: Duration = Duration::from_secs(2);
/// Heard without a gap for as long as five good probes take, for a node that nobody can probe.
const HEARD_FOR: Duration = Duration::from_millis(5 * PROBE_EVERY.as_millis() as u64);

/// How a node's standing should change.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Change {
    /// Nobody reaches it.
    Lost,
    /// It went, as it said it would.
    Left,
    /// It is there again.
    Back,
    /// It has been there for long.
    Forgiven,
}

/// A change, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Verdict {
    /// Whose standing.
    pub(crate) node: NodeId,
    /// How.
    pub(crate) change: Change,
    /// On what grounds.
    pub(crate) evidence: Evidence,
    /// For how long it has been so, before it was said: what detection took, or how long the node was away as
    /// far as this leader knows.
    pub(crate) after: Duration,
}

/// What a node says of itself.
#[derive(Clone, Copy, Debug)]
struct Heard {
    at: Duration,
    /// Since then without a gap of [`SILENT`].
    since: Duration,
    draining: bool,
}

/// What the leader knows. It may be forgotten: members report again, nodes say again that they are there.
#[derive(Debug)]
pub(crate) struct Health {
    since: Duration,
    looked_at: Duration,
    /// Nobody is given up before, because this process stood still.
    spare_until: Duration,
    vantages: BTreeMap<NodeId, Vantage>,
    heard: BTreeMap<NodeId, Heard>,
    changed: BTreeMap<NodeId, Duration>,
}

impl Health {
    /// Of a process that just began to lead.
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            since: now,
            looked_at: now,
            spare_until: now,
            vantages: BTreeMap::new(),
            heard: BTreeMap::new(),
            changed: BTreeMap::new(),
        }
    }

    /// A node says that it is there.
    pub(crate) fn heard(&mut self, node: &NodeId, draining: bool, now: Duration) {
        let before = self.heard.get(node).filter(|before| now.saturating_sub(before.at) < SILENT);
        let since = before.map_or(now, |before| before.since);
        self.heard.insert(node.clone(), Heard { at: now, since, draining });
    }

    /// What a member sees; it replaces what it saw before, unless that is newer.
    pub(crate) fn report(&mut self, vantage: &NodeId, report: Report, now: Duration) {
        if self.vantages.get(vantage).is_some_and(|known| !known.is_older_than(&report)) {
            return;
        }
        self.vantages.insert(vantage.clone(), Vantage::new(report, now));
    }

    /// A change was put into the record.
    pub(crate) fn changed(&mut self, node: &NodeId, now: Duration) {
        self.changed.insert(node.clone(), now);
    }

    /// How long a node said nothing; since this process began to lead at most.
    pub(crate) fn silent(&self, node: &NodeId, now: Duration) -> Duration {
        now.saturating_sub(self.heard.get(node).map_or(self.since, |heard| heard.at))
    }

    /// Whether this leader can judge anybody: it, or another member, reaches somebody.
    pub(crate) fn is_sighted(&self, now: Duration) -> bool {
        self.hears_anybody(now) || self.counting(now).next().is_some()
    }

    /// Time passed.
    pub(crate) fn look(&mut self, now: Duration) {
        if now.saturating_sub(self.looked_at) > AWAY {
            self.spare_until = self.spare_until.max(now + SILENT);
        }
        self.looked_at = now;
    }

    /// Whose standing should change; at most one change a node. The control plane has so many `members`.
    pub(crate) fn judge<'a>(
        &self,
        standings: impl IntoIterator<Item = (&'a NodeId, Standing)>,
        members: usize,
        now: Duration,
    ) -> Vec<Verdict> {
        let judge = |(node, standing): (&NodeId, Standing)| {
            let evidence = self.evidence(node, now);
            let change = match standing.condition {
                Condition::Up => {
                    self.goes(node, &evidence, members, now).or(self.forgiven(node, standing, now))
                }
                Condition::Left | Condition::Lost => self.comes(node, standing, &evidence, now),
            }?;
            let after = match change {
                Change::Lost | Change::Left => lasted(&evidence),
                Change::Back | Change::Forgiven => self.unchanged(node, now),
            };
            Some(Verdict { node: node.clone(), change, evidence, after })
        };
        standings.into_iter().filter_map(judge).collect()
    }

    /// Whether the copies of record groups on an edge host can be read and, where it leads, written: `None` if
    /// nobody asked. One vantage point that says so is enough: what it did not reach says nothing of copies.
    pub(crate) fn serves_records(&self, node: &NodeId, now: Duration) -> Option<bool> {
        let words: Vec<Word> = self.counting(now).filter_map(|(_, vantage)| vantage.records(node)).collect();
        let good = |word: &Word| matches!(word, Word::Steady | Word::Sees);
        (!words.is_empty()).then(|| words.iter().any(good))
    }

    fn goes(&self, node: &NodeId, evidence: &Evidence, members: usize, now: Duration) -> Option<Change> {
        if now < self.spare_until {
            return None;
        }
        let announced = self.heard.get(node).is_some_and(|heard| heard.draining);
        let gone = if announced { Change::Left } else { Change::Lost };
        let all_had_time = now >= self.since + FIRST_REPORTS;
        let misses = count(&evidence.opinions, |word| word == Word::Misses);
        let is_gone = match evidence.opinions.as_slice() {
            // One word is too little where the node itself can be asked, and none is no word.
            [] | [_] => {
                let nobody_sees_it = misses == evidence.opinions.len();
                let is_silent = self.silent(node, now) >= SILENT;
                all_had_time && nobody_sees_it && is_silent && self.is_sighted(now)
            }
            opinions if all_had_time => is_majority(opinions.len(), misses),
            // Whatever the others are about to report, it would not change this.
            opinions => is_majority(members.max(opinions.len()), misses),
        };
        is_gone.then_some(gone)
    }

    fn comes(&self, node: &NodeId, standing: Standing, evidence: &Evidence, now: Duration) -> Option<Change> {
        let heard = self.heard.get(node).filter(|heard| now.saturating_sub(heard.at) < SILENT)?;
        if self.unchanged(node, now) < standing.hold() {
            return None;
        }
        let announced = standing.condition == Condition::Left;
        let is_good = |word: Word| word == Word::Steady || (announced && word == Word::Sees);
        let good = count(&evidence.opinions, is_good);
        let is_back = match evidence.opinions.len() {
            // Whoever is not given up while it is heard must not stay given up while it is heard.
            0 | 1 => good == 1 || announced || now.saturating_sub(heard.since) >= HEARD_FOR,
            opinions => is_majority(opinions, good),
        };
        // A node that is going is no better than one that is gone.
        (is_back && !heard.draining).then_some(Change::Back)
    }

    fn forgiven(&self, node: &NodeId, standing: Standing, now: Duration) -> Option<Change> {
        (standing.strikes > 0 && self.unchanged(node, now) >= FORGIVEN_AFTER).then_some(Change::Forgiven)
    }

    /// Since the last change, as far as this leader knows.
    fn unchanged(&self, node: &NodeId, now: Duration) -> Duration {
        now.saturating_sub(self.changed.get(node).copied().unwrap_or(self.since))
    }

    fn evidence(&self, node: &NodeId, now: Duration) -> Evidence {
        let opinions = self.counting(now).filter_map(|(me, vantage)| vantage.opinion(me, node)).collect();
        let blind = |(_, vantage): &(&NodeId, &Vantage)| vantage.is_fresh(now) && !vantage.is_sighted();
        let blind = self.vantages.iter().filter(blind).map(|(me, _)| me.clone()).collect();
        let silent_ms = u64::try_from(self.silent(node, now).as_millis()).unwrap_or(u64::MAX);
        Evidence { opinions, blind, silent_ms }
    }

    /// Vantage points whose word counts.
    fn counting(&self, now: Duration) -> impl Iterator<Item = (&NodeId, &Vantage)> {
        self.vantages.iter().filter(move |(_, vantage)| vantage.is_fresh(now) && vantage.is_sighted())
    }

    fn hears_anybody(&self, now: Duration) -> bool {
        self.heard.values().any(|heard| now.saturating_sub(heard.at) < SILENT)
    }
}

fn count(opinions: &[super::Opinion], is_meant: impl Fn(Word) -> bool) -> usize {
    opinions.iter().filter(|opinion| is_meant(opinion.word)).count()
}

fn is_majority(all: usize, some: usize) -> bool {
    2 * some > all
}

/// How long the node has not been reached by whoever reached it last, of those who gave it up.
fn lasted(evidence: &Evidence) -> Duration {
    let missing = evidence.opinions.iter().filter(|opinion| opinion.word == Word::Misses);
    let failing = missing.map(|opinion| opinion.failing_ms).min();
    Duration::from_millis(failing.unwrap_or(evidence.silent_ms))
}

#[cfg(test)]
mod tests;
