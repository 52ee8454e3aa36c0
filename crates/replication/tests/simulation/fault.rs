//! Mistakes that somebody could make in carrying out what the machines say. The same runner that finds
//! nothing without one must find each of them.

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// Everything is done as it should be.
    None,
    /// The primary acknowledges what it alone holds.
    OwnCopyIsEnough,
    /// A voter answers its promise before it is on disk.
    PromiseNotPersisted,
    /// The lease is counted from when the answer came, not from before the question left.
    LeaseFromAnswer,
    /// The control plane compares frame numbers without their epochs.
    GreatestFrame,
    /// A voter reports frames that are applied but not synced.
    ReportBeforeSync,
    /// A voter that promised goes on applying and reporting.
    AppliesAfterPromise,
    /// An engine that died is started again in its epoch.
    SameEpochAgain,
    /// The old copy makes room for the new one before that is complete.
    DropsBeforeComplete,
    /// A former primary shows its copy before it has become a follower's.
    ShowsOwnTail,
    /// A follower shows what it holds, whether the primary has called it acknowledged or not.
    ShowsWhatItHolds,
    /// Nobody exports what did not become history.
    TailForgotten,
    /// A host whose release is too old for its copy does not say so.
    OutdatedUnsaid,
}
