//! What a database holds: the writes it has seen, in order. Histories share their beginnings, so one is a
//! number and "is the beginning of" is a short walk.

use std::collections::BTreeSet;

/// One history of writes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Log(usize);

/// Nothing was ever written.
pub(crate) const EMPTY: Log = Log(0);

struct Entry {
    before: usize,
    key: u64,
    length: u64,
}

/// Every history there ever was in one run.
pub(crate) struct Logs(Vec<Entry>);

impl Logs {
    pub(crate) fn new() -> Self {
        Self(vec![Entry { before: 0, key: 0, length: 0 }])
    }

    /// `log` and then the write `key`.
    pub(crate) fn extend(&mut self, log: Log, key: u64) -> Log {
        self.0.push(Entry { before: log.0, key, length: self.length(log) + 1 });
        Log(self.0.len() - 1)
    }

    pub(crate) fn length(&self, log: Log) -> u64 {
        self.0[log.0].length
    }

    /// The first `length` writes of `log`.
    pub(crate) fn first(&self, log: Log, length: u64) -> Log {
        let mut at = log.0;
        while self.0[at].length > length {
            at = self.0[at].before;
        }
        Log(at)
    }

    /// Whether `log` begins with all of `beginning`.
    pub(crate) fn begins_with(&self, log: Log, beginning: Log) -> bool {
        self.first(log, self.length(beginning)) == beginning
    }

    /// The writes of `log`, newest first.
    pub(crate) fn keys(&self, log: Log) -> impl Iterator<Item = u64> {
        let mut at = log.0;
        std::iter::from_fn(move || {
            let entry = &self.0[at];
            at = entry.before;
            (entry.length > 0).then_some(entry.key)
        })
    }

    pub(crate) fn has(&self, log: Log, key: u64) -> bool {
        self.keys(log).any(|other| other == key)
    }

    pub(crate) fn has_twice(&self, log: Log) -> bool {
        let mut seen = BTreeSet::new();
        self.keys(log).any(|key| !seen.insert(key))
    }
}
