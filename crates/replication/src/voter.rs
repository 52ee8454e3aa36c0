//! An edge host's side of a group: what it promises, whom it follows, when it leads.

use locum_identity::NodeId;
use serde::{Deserialize, Serialize};

use crate::{
    CopyReport, Epoch, FrameNo, GroupId, GroupReport, GroupView, Hint, HintAnswer, History, Position,
    StoreId, Tail,
};

/// What must be on disk before anything is said that depends on it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Made at random with this state.
    pub store: StoreId,
    /// This host takes part in no epoch below this one.
    pub promised: Epoch,
    /// The newest epoch in which this host started, or was about to start, an engine.
    pub started: Epoch,
}

/// What the owner of a [`Voter`] carries out: one after the other, each finished before the next begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Stop the engine or the follower, whichever runs. When this is done no frame is applied any more and no
    /// report of one leaves.
    Stop,
    /// Sync the newest complete copy, write this to disk, sync it, then call [`Voter::persisted`].
    Persist(Kept),
    /// The newest complete copy holds what did not become history: export it for people before anything else
    /// touches the copy. May be asked for again.
    KeepTail {
        /// The copy.
        copy: Position,
        /// What of it.
        tail: Tail,
    },
    /// Build a complete copy of `epoch` from `primary`, beside the one there is, and stay current.
    /// [`Voter::copied`] as soon as it is complete and synced, and after each further sync. *Complete*: it
    /// holds at least what the primary held when this host asked for it, so nothing of an older connection
    /// may flow into it.
    Follow {
        /// The epoch.
        epoch: Epoch,
        /// Who leads it.
        primary: NodeId,
    },
    /// Start the engine of `epoch` on the newest complete copy, or on an empty database when there is none.
    /// [`Voter::committed`] once it runs and after each commit; [`Voter::engine_stopped`] when it is gone.
    Lead {
        /// The epoch.
        epoch: Epoch,
    },
    /// Tell the primary.
    Report {
        /// Whom.
        to: NodeId,
        /// What.
        report: CopyReport,
    },
    /// Send [`Voter::report`] to the control plane at once.
    Ask,
    /// Enough voters hold complete copies of `epoch`: copies of older ones may go.
    DropOlder {
        /// The epoch.
        epoch: Epoch,
    },
}

/// What a host does for a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Nothing: no epoch that it may take part in has a primary.
    Idle,
    /// It holds, or builds, a copy.
    Following {
        /// Of this epoch.
        epoch: Epoch,
        /// From this host.
        primary: NodeId,
    },
    /// It runs the engine.
    Leading {
        /// In this epoch.
        epoch: Epoch,
    },
}

/// One group at one edge host. A host that is no voter (in a region that may not hold the group, or a second one in
/// its region) runs it all the same, and learns who leads; it follows nobody.
#[derive(Clone, Debug)]
pub struct Voter {
    group: GroupId,
    me: NodeId,
    kept: Kept,
    /// Being written to disk. Already binding, not yet to be spoken of.
    writing: Option<Kept>,
    copy: Option<Position>,
    standing: Standing,
    view: Option<GroupView>,
    history: History,
    /// The newest acknowledged position it was told of.
    acked: Option<Position>,
    quiesced: bool,
    dropped: Epoch,
    outdated: bool,
}

impl Voter {
    /// After a start: with what is on disk.
    pub fn new(group: GroupId, me: NodeId, kept: Kept, copy: Option<Position>) -> Self {
        Self {
            group,
            me,
            kept,
            writing: None,
            copy,
            standing: Standing::Idle,
            view: None,
            history: History::default(),
            acked: None,
            quiesced: false,
            dropped: Epoch::ZERO,
            outdated: false,
        }
    }

    /// What it does.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What the control plane said last.
    pub fn view(&self) -> Option<&GroupView> {
        self.view.as_ref()
    }

    /// Where the epochs it knows of began.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The newest complete copy on this disk.
    pub fn copy(&self) -> Option<Position> {
        self.copy
    }

    /// Whether its copy counts.
    pub fn votes(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.voters.contains(&self.me))
    }

    /// What to tell the control plane now.
    pub fn report(&self) -> GroupReport {
        let renew = match self.standing {
            Standing::Leading { epoch } => Some(epoch),
            Standing::Idle | Standing::Following { .. } => None,
        };
        GroupReport {
            group: self.group.clone(),
            store: self.kept.store,
            promised: self.kept.promised,
            copy: self.copy,
            started: self.kept.started,
            renew,
            quiesced: renew.is_some() && self.quiesced,
            known: self.history.newest(),
            outdated: self.outdated,
        }
    }

    /// Whether this host's release is too old for its copy, to be said with the next report.
    pub fn set_outdated(&mut self, is_outdated: bool) {
        self.outdated = is_outdated;
    }

    /// The control plane's answer to a report.
    pub fn heard(&mut self, view: GroupView) -> Vec<Action> {
        if view.group != self.group || self.view.as_ref().is_some_and(|newest| view.epoch < newest.epoch) {
            return Vec::new();
        }
        for start in &view.history {
            self.history.push(start.clone());
        }
        if !view.quiesce {
            self.quiesced = false;
        }
        self.view = Some(view);
        self.decide()
    }

    /// `kept` is on disk, and so is the copy, which stands at `copy`.
    pub fn persisted(&mut self, kept: Kept, copy: Option<Position>) -> Vec<Action> {
        if self.writing != Some(kept) {
            return Vec::new();
        }
        let leads = kept.started > self.kept.started;
        self.writing = None;
        self.kept = kept;
        self.copy = self.copy.max(copy);
        let mut actions = Vec::new();
        if leads && self.still_appointed(kept.started) {
            self.standing = Standing::Leading { epoch: kept.started };
            actions.push(Action::Lead { epoch: kept.started });
        }
        actions.push(Action::Ask);
        actions.extend(self.decide());
        actions
    }

    /// A complete copy of `at.epoch`, synced up to `at.frame`, is on this disk.
    pub fn copied(&mut self, at: Position) -> Vec<Action> {
        let Standing::Following { epoch, primary } = &self.standing else { return Vec::new() };
        if *epoch != at.epoch || self.copy >= Some(at) {
            return Vec::new();
        }
        let report = CopyReport { group: self.group.clone(), epoch: *epoch, frame: at.frame };
        let mut actions = Vec::new();
        if self.votes() {
            actions.push(Action::Report { to: primary.clone(), report });
        }
        if self.copy.is_none_or(|copy| copy.epoch < at.epoch) {
            // The first complete copy of this epoch: the registry counts them.
            actions.push(Action::Ask);
        }
        self.copy = Some(at);
        actions.extend(self.drop_older());
        actions
    }

    /// While it leads: its own copy holds everything up to `frame`, synced.
    pub fn committed(&mut self, epoch: Epoch, frame: FrameNo) -> Vec<Action> {
        if self.standing != (Standing::Leading { epoch }) {
            return Vec::new();
        }
        let first = self.copy.is_none_or(|copy| copy.epoch < epoch);
        self.copy = self.copy.max(Some(Position::new(epoch, frame)));
        let mut actions = Vec::new();
        if first {
            actions.push(Action::Ask);
        }
        actions.extend(self.drop_older());
        actions
    }

    /// The engine of `epoch` is gone without having been told to stop.
    pub fn engine_stopped(&mut self, epoch: Epoch) -> Vec<Action> {
        if self.standing != (Standing::Leading { epoch }) {
            return Vec::new();
        }
        self.standing = Standing::Idle;
        let mut actions = vec![Action::Ask];
        actions.extend(self.decide());
        actions
    }

    /// As asked, no new write begins any more, and all that began have ended.
    pub fn quiesced(&mut self) -> Vec<Action> {
        let asked = self.view.as_ref().is_some_and(|view| view.quiesce);
        if !asked || self.quiesced {
            return Vec::new();
        }
        self.quiesced = true;
        vec![Action::Ask]
    }

    /// A primary says that there is something to fetch. After [`HintAnswer::Asks`] the owner sends a report.
    pub fn hint(&mut self, from: &NodeId, hint: &Hint) -> HintAnswer {
        // Only what is on disk ends a primary: a promise that is still being written may be forgotten, here
        // and by the control plane, and then nobody would begin another epoch.
        let promised = self.kept.promised;
        if hint.epoch < promised {
            return HintAnswer::Fenced { promised };
        }
        match &self.standing {
            Standing::Following { epoch, primary } if *epoch == hint.epoch && primary == from => {
                if let Some(frame) = hint.acked {
                    self.acknowledged(Position::new(hint.epoch, frame));
                }
                HintAnswer::Fetches
            }
            _ => HintAnswer::Asks,
        }
    }

    /// Whether a stream of `epoch`'s frames may be opened to `to`: for the follower's own connector, so that
    /// a foreign log never reaches a good copy.
    pub fn may_follow(&self, epoch: Epoch, to: &NodeId) -> bool {
        self.standing == Standing::Following { epoch, primary: to.clone() }
    }

    /// Whether this host may serve `epoch`'s log to followers and take writes for it.
    pub fn may_serve(&self, epoch: Epoch) -> bool {
        self.standing == Standing::Leading { epoch }
    }

    /// The primary of the epoch that this host takes part in says that everything up to `at` is acknowledged.
    pub fn acknowledged(&mut self, at: Position) {
        let takes_part = match &self.standing {
            Standing::Idle => false,
            Standing::Following { epoch, .. } | Standing::Leading { epoch } => *epoch == at.epoch,
        };
        if takes_part {
            self.acked = self.acked.max(Some(at));
        }
    }

    /// Up to where local reads may be answered from the copy: all of it, once all of it is known to be
    /// acknowledged. That w voters hold it is not known from holding it: a follower may be ahead of the
    /// primary's own copy. `None` while leading; then [`crate::Primary::may_show`] decides.
    pub fn showable(&self) -> Option<Position> {
        let (copy, acked) = (self.copy?, self.acked?);
        let leads = matches!(self.standing, Standing::Leading { .. });
        let kept = if acked.epoch == copy.epoch {
            acked >= copy
        } else {
            // Of an older epoch: what the newer one grew out of.
            acked.epoch > copy.epoch && self.history.holds(copy)
        };
        (!leads && kept).then_some(copy)
    }

    fn still_appointed(&self, epoch: Epoch) -> bool {
        self.view.as_ref().is_some_and(|view| {
            view.epoch == epoch
                && view.primary.as_ref() == Some(&self.me)
                && view.prepare.is_none_or(|prepare| prepare <= epoch)
        })
    }

    /// What the newest view asks of this host, as far as its promises allow.
    fn decide(&mut self) -> Vec<Action> {
        // One write at a time: whatever else is wanted is still wanted when it is done.
        let Some(view) = self.view.as_ref().filter(|_| self.writing.is_none()) else { return Vec::new() };
        if let Some(prepare) = view.prepare.filter(|prepare| *prepare > self.kept.promised) {
            return self.persist(Kept { promised: prepare, ..self.kept });
        }
        let epoch = view.epoch;
        let Some(primary) = view.primary.clone().filter(|_| epoch >= self.kept.promised) else {
            return Vec::new();
        };
        if !self.votes() {
            return self.stop().into_iter().collect();
        }
        if primary == self.me {
            return self.lead(epoch, view.start);
        }
        let following = Standing::Following { epoch, primary };
        if self.standing == following {
            return self.drop_older().into_iter().collect();
        }
        if self.kept.promised < epoch {
            return self.persist(Kept { promised: epoch, ..self.kept });
        }
        self.follow(following)
    }

    fn lead(&mut self, epoch: Epoch, start: Option<Position>) -> Vec<Action> {
        if self.standing == (Standing::Leading { epoch }) {
            return self.drop_older().into_iter().collect();
        }
        // Spent, or appointed for a copy that this disk no longer holds: the next round finds out.
        if self.kept.started >= epoch || self.copy < start {
            return self.stop().into_iter().collect();
        }
        self.persist(Kept { promised: epoch, started: epoch, ..self.kept })
    }

    fn follow(&mut self, following: Standing) -> Vec<Action> {
        let Standing::Following { epoch, primary } = following.clone() else { return Vec::new() };
        let mut actions: Vec<Action> = self.stop().into_iter().collect();
        self.standing = following;
        let copy = self.copy.filter(|copy| copy.epoch < epoch);
        if let Some((copy, tail)) = copy.and_then(|copy| Some((copy, self.history.tail_of(copy)?))) {
            actions.push(Action::KeepTail { copy, tail });
        }
        actions.push(Action::Follow { epoch, primary });
        // After a restart the copy may already be one of this epoch: say so without waiting for a frame.
        if let Some(report) = self.report_again() {
            actions.push(report);
        }
        actions
    }

    /// Says again what the primary may not have heard.
    pub fn report_again(&self) -> Option<Action> {
        let Standing::Following { epoch, primary } = &self.standing else { return None };
        let copy = self.copy.filter(|copy| copy.epoch == *epoch && self.votes())?;
        let report = CopyReport { group: self.group.clone(), epoch: *epoch, frame: copy.frame };
        Some(Action::Report { to: primary.clone(), report })
    }

    fn persist(&mut self, kept: Kept) -> Vec<Action> {
        let mut actions: Vec<Action> = self.stop().into_iter().collect();
        self.writing = Some(kept);
        actions.push(Action::Persist(kept));
        actions
    }

    fn stop(&mut self) -> Option<Action> {
        let before = std::mem::replace(&mut self.standing, Standing::Idle);
        (before != Standing::Idle).then_some(Action::Stop)
    }

    fn drop_older(&mut self) -> Option<Action> {
        let view = self.view.as_ref()?;
        let epoch = view.epoch;
        let own = self.copy.is_some_and(|copy| copy.epoch == epoch);
        if !own || view.complete < view.w || view.w == 0 || self.dropped >= epoch {
            return None;
        }
        self.dropped = epoch;
        Some(Action::DropOlder { epoch })
    }
}

#[cfg(test)]
mod tests;
