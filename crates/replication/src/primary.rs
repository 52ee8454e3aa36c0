//! The primary's side: which frames are acknowledged, whom to tell, and whether the lease still holds.
//!
//! One value lives for one epoch, that is for one run of the engine.

use std::collections::BTreeMap;
use std::time::Duration;

use locum_identity::NodeId;

use crate::{Epoch, FrameNo, GroupId, GroupView, Hint};

/// What the owner of a [`Primary`] carries out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// Tell a voter. Only the newest hint to each counts; an older one still waiting may be dropped.
    Hint {
        /// Whom.
        to: NodeId,
        /// What.
        hint: Hint,
    },
    /// Every frame up to here is held by enough voters. Ask [`Primary::may_acknowledge`] when answering.
    Acknowledged {
        /// The newest of them.
        up_to: FrameNo,
    },
    /// The lease ran out: acknowledge nothing and show nothing until [`Event::LeaseHeld`]. The engine may go
    /// on; it is stopped when another epoch is being prepared.
    LeaseLost,
    /// The lease holds, for the first time or again.
    LeaseHeld,
    /// Let no new write begin (`true`), or go on (`false`): the primary is being moved by a person.
    Quiesce(bool),
    /// Somebody promised a newer epoch: this one is over, for good. Stop the engine, then call
    /// [`crate::Voter::engine_stopped`]: the control plane may have forgotten what it was preparing.
    Fenced,
}

/// The state of one epoch at its primary. All times are on the owner's clock, which must run through suspend
/// (`CLOCK_BOOTTIME`).
#[derive(Clone, Debug)]
pub struct Primary {
    group: GroupId,
    epoch: Epoch,
    me: NodeId,
    voters: Vec<NodeId>,
    w: usize,
    own: Option<FrameNo>,
    others: BTreeMap<NodeId, FrameNo>,
    acked: Option<FrameNo>,
    lease_until: Option<Duration>,
    held: bool,
    quiesce: bool,
    fenced: bool,
    /// By policy, for now.
    one_copy_is_enough: bool,
}

impl Primary {
    /// For the epoch of `view`, which `me` leads.
    pub fn new(me: NodeId, view: &GroupView) -> Self {
        Self {
            group: view.group.clone(),
            epoch: view.epoch,
            me,
            voters: view.voters.clone(),
            w: view.w,
            own: None,
            others: BTreeMap::new(),
            acked: None,
            lease_until: None,
            held: false,
            quiesce: false,
            fenced: false,
            one_copy_is_enough: false,
        }
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// This host's own copy holds everything up to `frame`, synced: once when the engine has started, then
    /// after each commit. Followers may be ahead of it.
    pub fn committed(&mut self, frame: FrameNo) -> Vec<Event> {
        if self.fenced || self.own >= Some(frame) {
            return Vec::new();
        }
        self.own = Some(frame);
        // Acknowledged first, so that the hints tell it.
        let acknowledged = self.advance();
        let mut events = self.hints();
        events.extend(acknowledged);
        events
    }

    /// A voter holds `epoch` up to `frame`. Late and repeated reports take nothing back.
    pub fn reported(&mut self, voter: &NodeId, epoch: Epoch, frame: FrameNo) -> Vec<Event> {
        let counts = !self.fenced && epoch == self.epoch && *voter != self.me && self.voters.contains(voter);
        if !counts {
            return Vec::new();
        }
        let held = self.others.entry(voter.clone()).or_insert(frame);
        *held = frame.max(*held);
        self.advance().into_iter().collect()
    }

    /// Whether this host's copy alone acknowledges, see [`crate::Company::SingleCopy`]. Takes back nothing that is
    /// acknowledged.
    pub fn let_one_copy_do(&mut self, enough: bool) -> Vec<Event> {
        self.one_copy_is_enough = enough;
        if self.fenced { Vec::new() } else { self.advance().into_iter().collect() }
    }

    /// The control plane's answer to the report sent at `sent_at`.
    pub fn heard(&mut self, view: &GroupView, sent_at: Duration, now: Duration) -> Vec<Event> {
        if view.epoch > self.epoch || view.prepare.is_some_and(|prepare| prepare > self.epoch) {
            return self.fence();
        }
        if self.fenced || view.epoch < self.epoch {
            return Vec::new();
        }
        let mut events = Vec::new();
        if view.quiesce != self.quiesce {
            self.quiesce = view.quiesce;
            events.push(Event::Quiesce(view.quiesce));
        }
        if let Some(lease_ms) = view.lease_ms {
            // From before the question left: whatever its journey and the answer's took is already over.
            self.lease_until = self.lease_until.max(Some(sent_at + Duration::from_millis(lease_ms)));
        }
        events.extend(self.lease_changed(now));
        events
    }

    /// Time passed. Says again what may have been lost on the way.
    pub fn tick(&mut self, now: Duration) -> Vec<Event> {
        if self.fenced {
            return Vec::new();
        }
        let mut events = self.hints();
        events.extend(self.lease_changed(now));
        events
    }

    /// A voter answered that it promised a newer epoch.
    pub fn fence(&mut self) -> Vec<Event> {
        let before = std::mem::replace(&mut self.fenced, true);
        if before { Vec::new() } else { vec![Event::Fenced] }
    }

    /// The newest frame that w voters hold, this one included.
    pub fn acked(&self) -> Option<FrameNo> {
        self.acked
    }

    /// Whether a success that depends on `frame` may leave now. Ask just before it does.
    pub fn may_acknowledge(&self, frame: FrameNo, now: Duration) -> bool {
        self.acked >= Some(frame) && self.holds_lease(now)
    }

    /// Whether an answer read from a snapshot at `frame` may leave now: nobody may act on what a failover can
    /// take back.
    pub fn may_show(&self, frame: FrameNo, now: Duration) -> bool {
        self.may_acknowledge(frame, now)
    }

    /// Whether a new write may begin.
    pub fn may_begin(&self, now: Duration) -> bool {
        !self.quiesce && self.holds_lease(now)
    }

    /// Whether the lease holds at `now`.
    pub fn holds_lease(&self, now: Duration) -> bool {
        !self.fenced && self.lease_until.is_some_and(|until| now < until)
    }

    fn lease_changed(&mut self, now: Duration) -> Option<Event> {
        let holds = self.holds_lease(now);
        if holds == self.held {
            return None;
        }
        self.held = holds;
        Some(if holds { Event::LeaseHeld } else { Event::LeaseLost })
    }

    /// To every voter that is not known to hold all of it.
    fn hints(&self) -> Vec<Event> {
        let Some(own) = self.own else { return Vec::new() };
        let hint = Hint { group: self.group.clone(), epoch: self.epoch, frame: own, acked: self.acked };
        let behind = |voter: &&NodeId| **voter != self.me && self.others.get(*voter) < Some(&own);
        self.voters
            .iter()
            .filter(behind)
            .map(|to| Event::Hint { to: to.clone(), hint: hint.clone() })
            .collect()
    }

    fn advance(&mut self) -> Option<Event> {
        let acked = self.quorum_frame().filter(|frame| self.acked < Some(*frame))?;
        self.acked = Some(acked);
        Some(Event::Acknowledged { up_to: acked })
    }

    /// The w-th greatest frame, where one of the w is always this host: it alone knows what it committed.
    fn quorum_frame(&self) -> Option<FrameNo> {
        let own = self.own?;
        let others_needed = self.w.checked_sub(2).filter(|_| !self.one_copy_is_enough);
        let Some(others_needed) = others_needed else { return Some(own) };
        let mut others: Vec<FrameNo> = self.others.values().copied().collect();
        others.sort_unstable_by(|a, b| b.cmp(a));
        others.get(others_needed).map(|frame| own.min(*frame))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    pub(crate) fn view(voters: &[&str]) -> GroupView {
        GroupView {
            group: "main".parse().unwrap(),
            epoch: Epoch(4),
            primary: Some(node("a")),
            start: None,
            lease_ms: Some(4_000),
            prepare: None,
            quiesce: false,
            voters: voters.iter().map(|name| node(name)).collect(),
            regions: Vec::new(),
            w: crate::write_quorum(voters.len()),
            single_copy: false,
            complete: 0,
            missing: 0,
            again_ms: 500,
            history: Vec::new(),
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn leading(voters: &[&str]) -> Primary {
        let mut primary = Primary::new(node("a"), &view(voters));
        primary.heard(&view(voters), at(0), at(10));
        primary.committed(FrameNo(1));
        primary
    }

    #[test]
    fn a_frame_is_acknowledged_when_a_second_voter_holds_it() {
        let mut primary = leading(&["a", "b", "c"]);
        assert_eq!(primary.acked(), None, "one copy is not enough, not even of what it began with");
        primary.committed(FrameNo(3));
        assert_eq!(
            primary.reported(&node("b"), Epoch(4), FrameNo(2)),
            [Event::Acknowledged { up_to: FrameNo(2) }]
        );
        assert!(primary.may_acknowledge(FrameNo(2), at(20)));
        assert!(!primary.may_acknowledge(FrameNo(3), at(20)));
        assert_eq!(primary.reported(&node("c"), Epoch(4), FrameNo(1)), []);
        assert_eq!(
            primary.reported(&node("c"), Epoch(4), FrameNo(9)),
            [Event::Acknowledged { up_to: FrameNo(3) }],
            "never more than this host knows to be durable here"
        );
    }

    #[test]
    fn strangers_and_other_epochs_do_not_count() {
        let mut primary = leading(&["a", "b", "c"]);
        for (voter, epoch) in [("d", 4), ("b", 3), ("b", 5), ("a", 4)] {
            assert_eq!(primary.reported(&node(voter), Epoch(epoch), FrameNo(1)), [], "{voter} in {epoch}");
        }
        assert_eq!(primary.acked(), None);
    }

    #[test]
    fn one_voter_acknowledges_alone() {
        let mut primary = leading(&["a"]);
        assert_eq!(primary.committed(FrameNo(2)), [Event::Acknowledged { up_to: FrameNo(2) }]);
    }

    #[test]
    fn one_copy_does_while_it_may_and_what_it_acknowledged_stays() {
        let mut primary = leading(&["a", "b"]);
        assert_eq!(primary.let_one_copy_do(true), [Event::Acknowledged { up_to: FrameNo(1) }]);
        assert!(primary.committed(FrameNo(2)).contains(&Event::Acknowledged { up_to: FrameNo(2) }));
        assert_eq!(primary.let_one_copy_do(false), []);
        primary.committed(FrameNo(3));
        assert_eq!(primary.acked(), Some(FrameNo(2)));
        assert_eq!(
            primary.reported(&node("b"), Epoch(4), FrameNo(3)),
            [Event::Acknowledged { up_to: FrameNo(3) }]
        );
    }

    #[test]
    fn the_lease_counts_from_before_the_question() {
        let mut primary = leading(&["a"]);
        assert_eq!(primary.tick(at(3_999)), []);
        assert!(primary.may_begin(at(3_999)));
        assert!(!primary.may_acknowledge(FrameNo(1), at(4_000)), "also without a tick");
        assert_eq!(primary.tick(at(4_000)), [Event::LeaseLost]);
        assert_eq!(primary.heard(&view(&["a"]), at(3_900), at(7_000)), [Event::LeaseHeld]);
        assert!(!primary.holds_lease(at(7_900)));
        primary.heard(&view(&["a"]), at(1_000), at(7_001));
        assert!(primary.holds_lease(at(7_899)), "a late answer does not shorten it");
    }

    #[test]
    fn it_ends_when_a_newer_epoch_is_prepared_or_begun() {
        for newer in [
            GroupView { prepare: Some(Epoch(5)), ..view(&["a"]) },
            GroupView { epoch: Epoch(5), primary: Some(node("b")), ..view(&["a"]) },
        ] {
            let mut primary = leading(&["a"]);
            assert_eq!(primary.heard(&newer, at(20), at(30)), [Event::Fenced]);
            assert!(!primary.may_acknowledge(FrameNo(1), at(30)));
            assert_eq!(primary.heard(&view(&["a"]), at(40), at(50)), [], "an older answer comes late");
            assert!(!primary.holds_lease(at(60)));
        }
    }

    #[test]
    fn hints_go_to_those_behind_and_are_said_again() {
        let mut primary = leading(&["a", "b", "c"]);
        primary.reported(&node("b"), Epoch(4), FrameNo(1));
        let told = |events: Vec<Event>| -> Vec<(String, u64, Option<u64>)> {
            let hint = |event| match event {
                Event::Hint { to, hint } => {
                    Some((to.to_string(), hint.frame.0, hint.acked.map(|acked| acked.0)))
                }
                _ => None,
            };
            events.into_iter().filter_map(hint).collect()
        };
        assert_eq!(told(primary.tick(at(20))), [("c".to_owned(), 1, Some(1))]);
        let both = [("b".to_owned(), 2, Some(1)), ("c".to_owned(), 2, Some(1))];
        assert_eq!(told(primary.committed(FrameNo(2))), both);
        assert_eq!(told(primary.tick(at(30))), both);
    }
}
