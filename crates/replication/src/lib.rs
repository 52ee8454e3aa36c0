//! Who may write a record group, and when a write is safe: epochs, promises, leases, acknowledgements.
//!
//! Pure state machines: no clock, no I/O, no tasks. Whoever owns one gives it what was heard and what time it
//! is, and carries out what it answers, in order.
//!
//! | machine | where it runs | what it decides |
//! |---|---|---|
//! | [`GroupRegistry`] | control plane | which voter is primary of which epoch |
//! | [`Voter`] | every edge host, one a group | what to promise, whom to follow, when to lead |
//! | [`Primary`] | the edge host that leads | which frames are acknowledged, and whether its lease holds |
//! | [`Asked`], [`Round`] | control plane | whether the member that grants a lease still leads the others |
//!
//! **Safety rests on promises, not on clocks.** A write is acknowledged once w voters hold it durably. A new
//! epoch needs promises ("I take part in no older epoch") of n − w + 1 voters, so at least one of them holds
//! every acknowledged write, and it is the one with the greatest [`Position`] that becomes primary. The lease
//! only bounds for how long a primary that is cut off goes on serving.

mod company;
mod confirmation;
mod history;
mod ids;
mod primary;
pub mod protocol;
mod registry;
mod timing;
mod voter;

pub use company::{Company, Followers};
pub use confirmation::{Asked, Reign, Round};
pub use history::{EpochStart, History, Tail};
pub use ids::{Epoch, FrameNo, GroupId, ParseGroupIdError, Position, StoreId};
pub use primary::{Event, Primary};
pub use protocol::{CopyReport, GroupReport, GroupView, Hint, HintAnswer};
pub use registry::{
    AtRisk, GroupConfig, GroupRecord, GroupRegistry, GroupStatus, OtherRegions, PromoteError, Promotion,
    PromotionPlan, ReportRefused, Seat, VoterStatus,
};
pub use timing::{FRESH, LEASE, MARGIN, POLL, POLL_SOON};
pub use voter::{Action, Kept, Standing, Voter};

/// How many voters, the primary included, must hold a write before it is acknowledged: two, or the one that
/// there is.
pub fn write_quorum(voters: usize) -> usize {
    voters.min(2)
}

/// How many voters must promise before an epoch may begin: so many that every set of [`write_quorum`] voters
/// has a member among them.
pub fn promise_quorum(voters: usize) -> usize {
    (voters + 1).saturating_sub(write_quorum(voters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_and_acknowledgements_always_meet() {
        for voters in 1..=9 {
            assert!(promise_quorum(voters) + write_quorum(voters) > voters, "{voters} voters");
            assert!(promise_quorum(voters) <= voters);
        }
        assert_eq!((promise_quorum(3), promise_quorum(2), promise_quorum(1)), (2, 1, 1));
    }
}
