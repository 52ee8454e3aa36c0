//! What was seen during a round, and when. Everybody who looks writes here; [`measure`](super::measure) reads it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::look::GroupSeen;

/// Far more than half an hour of looking; beyond it what is new is not noted, and what needs it never comes.
const MOST: usize = 1_000_000;

/// One thing that was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    /// Since the round began.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What can be seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum What {
    /// A change that was asked for through `host` at `asked` is acknowledged.
    Acknowledged {
        /// The edge host.
        host: String,
        /// When it was sent.
        asked: Duration,
    },
    /// A change through `host` was not acknowledged, for the first time since one was.
    Refused {
        /// The edge host.
        host: String,
        /// In few words.
        why: String,
    },
    /// An edge host shows another node list.
    List {
        /// The edge host.
        host: String,
        /// The list's version.
        version: u64,
        /// The nodes that are down by it.
        down: BTreeSet<String>,
    },
    /// A member of the control plane says something new of a record group.
    Group(GroupSeen),
    /// A member leads the control plane, and more is agreed than before.
    Agreed {
        /// The member.
        member: String,
        /// How much.
        index: u64,
    },
    /// A client had a good answer of an edge host.
    Edge {
        /// The edge host.
        host: String,
    },
    /// A person in a call was let in at a media node of the list they held.
    Held {
        /// The media node.
        node: String,
    },
    /// A person who asked anew was let in at the media node that was named first.
    Joined {
        /// The media node.
        node: String,
    },
    /// No name server's answer has the addresses that are gone.
    Named {
        /// How many were asked.
        servers: usize,
    },
    /// The drill itself did something.
    Done(String),
}

/// Where everybody writes. Clones are the same log.
#[derive(Clone)]
pub(super) struct Log {
    begun: Instant,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Log {
    /// Begins now.
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), seen: Arc::default() }
    }

    /// Since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Notes what is seen now.
    pub(super) fn note(&self, what: What) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < MOST {
            // Read under the lock, so that the log is in the order of its times.
            seen.push(Seen { at: self.begun.elapsed(), what });
        }
    }

    /// Whatever was seen so far.
    pub(super) fn with<T>(&self, look: impl FnOnce(&[Seen]) -> T) -> T {
        look(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
