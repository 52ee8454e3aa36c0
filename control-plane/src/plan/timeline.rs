//! What happened, newest last: a bounded part of the record, so that it outlives every member.

use std::collections::VecDeque;

use locum_identity::NodeId;
use serde::{Deserialize, Serialize};

use super::step::Action;

/// Entries kept. The record is written whole at each change: this bounds what the timeline costs.
const MAX_ENTRIES: usize = 64;
/// Opinions kept of a verdict's evidence; a control plane has five members at most.
const MAX_OPINIONS: usize = 5;

/// Who did it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Author {
    /// The member that led.
    Member(NodeId),
    /// A person who holds the authority's key. Until format 4.
    Operator,
    /// A person, as the certificate says that they made with the authority's key.
    Person(NodeId),
}

/// One thing that happened.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// The generation that began with it.
    pub(crate) generation: u64,
    /// When, milliseconds since 1970 by the leader's clock: for people, nothing is decided by it.
    pub(crate) at_ms: i64,
    /// Who.
    pub(crate) by: Author,
    /// What and why.
    pub(crate) what: Action,
    /// How long what made it necessary had lasted.
    pub(crate) after_ms: u64,
}

/// The newest entries, oldest first.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Timeline(VecDeque<Entry>);

impl Timeline {
    /// Adds one; the oldest goes.
    pub(crate) fn push(&mut self, mut entry: Entry) {
        if let Action::Node { evidence, .. } = &mut entry.what {
            evidence.opinions.truncate(MAX_OPINIONS);
            evidence.blind.truncate(MAX_OPINIONS);
        }
        if self.0.len() >= MAX_ENTRIES {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// All that is kept, oldest first.
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes() {
        let mut timeline = Timeline::default();
        for generation in 0..100 {
            let what = Action::Tell { node: "edge-1".parse().unwrap(), drain: true };
            timeline.push(Entry { generation, at_ms: 0, by: Author::Operator, what, after_ms: 0 });
        }
        let kept: Vec<u64> = timeline.entries().map(|entry| entry.generation).collect();
        assert_eq!(kept, (36..100).collect::<Vec<_>>());
    }
}
