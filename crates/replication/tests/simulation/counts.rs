//! A simulation in which nothing happens proves nothing.

/// How much happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) runs: u64,
    pub(crate) epochs: u64,
    pub(crate) acks: u64,
    pub(crate) reads: u64,
    pub(crate) retries: u64,
    pub(crate) crashes: u64,
    pub(crate) registry_crashes: u64,
    pub(crate) tails: u64,
    pub(crate) wipes: u64,
    pub(crate) moves: u64,
    pub(crate) changes_of_release: u64,
    pub(crate) full_disks: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.epochs += other.epochs;
        self.acks += other.acks;
        self.reads += other.reads;
        self.retries += other.retries;
        self.crashes += other.crashes;
        self.registry_crashes += other.registry_crashes;
        self.tails += other.tails;
        self.wipes += other.wipes;
        self.moves += other.moves;
        self.changes_of_release += other.changes_of_release;
        self.full_disks += other.full_disks;
    }
}
