//! All sessions, and which of them want attention: a loop that looked at every one after each packet would cost more
//! with every caller.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Instant;

use super::session::Session;
use crate::room::SessionId;

/// The sessions of one event loop.
pub(super) struct Sessions<P> {
    all: HashMap<SessionId, Session<P>>,
    /// Those that may have something to send, or timers that moved.
    touched: Vec<SessionId>,
    /// Those whose peers panicked.
    broken: Vec<SessionId>,
    /// The earliest of each session's that is not over is true; others were moved.
    alarms: BinaryHeap<Reverse<(Instant, SessionId)>>,
}

impl<P> Default for Sessions<P> {
    fn default() -> Self {
        Self { all: HashMap::new(), touched: Vec::new(), broken: Vec::new(), alarms: BinaryHeap::new() }
    }
}

impl<P> Sessions<P> {
    pub(super) fn insert(&mut self, id: SessionId, session: Session<P>) {
        self.all.insert(id, session);
        self.touch(id);
    }

    pub(super) fn remove(&mut self, id: SessionId) -> Option<Session<P>> {
        self.all.remove(&id)
    }

    pub(super) fn contains(&self, id: SessionId) -> bool {
        self.all.contains_key(&id)
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session<P>> {
        self.all.get(&id)
    }

    /// For what changes neither what it sends nor its timers.
    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session<P>> {
        self.all.get_mut(&id)
    }

    /// For everything else.
    pub(super) fn touch(&mut self, id: SessionId) -> Option<&mut Session<P>> {
        let session = self.all.get_mut(&id)?;
        if !std::mem::replace(&mut session.touched, true) {
            self.touched.push(id);
        }
        Some(session)
    }

    /// Calls `serve` for each that was touched; it returns when the session wants attention again.
    pub(super) fn settle(&mut self, mut serve: impl FnMut(SessionId, &mut Session<P>) -> Option<Instant>) {
        let mut touched = std::mem::take(&mut self.touched);
        for id in touched.drain(..) {
            let Some(session) = self.all.get_mut(&id) else { continue };
            session.next_timeout = serve(id, session);
            session.touched = false;
            if session.broken {
                self.broken.push(id);
            }
            if let Some(at) = session.next_timeout
                && session.alarm.is_none_or(|alarm| at < alarm)
            {
                session.alarm = Some(at);
                self.alarms.push(Reverse((at, id)));
            }
        }
        self.touched = touched;
    }

    /// Those whose time has come, and those that were touched and cannot wait.
    pub(super) fn due(&mut self, now: Instant) -> Vec<SessionId> {
        let hasty = |id: &&SessionId| self.all.get(id).is_some_and(|session| session.downlink.is_due());
        let mut due: Vec<SessionId> = self.touched.iter().filter(hasty).copied().collect();
        while let Some(Reverse((at, id))) = self.alarms.peek().copied()
            && at <= now
        {
            self.alarms.pop();
            let Some(session) = self.all.get_mut(&id).filter(|session| session.alarm == Some(at)) else {
                continue;
            };
            session.alarm = None;
            match session.next_timeout {
                Some(next) if next <= now => due.push(id),
                // It was put off since.
                Some(next) => {
                    session.alarm = Some(next);
                    self.alarms.push(Reverse((next, id)));
                }
                None => {}
            }
        }
        due
    }

    /// When [`Sessions::due`] should be asked next.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.peek().map(|Reverse((at, _))| *at)
    }

    /// Whether somebody's peer panicked.
    pub(super) fn any_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Those whose peers panicked, once.
    pub(super) fn take_broken(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.broken)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const A: SessionId = SessionId::for_test(1);
    const B: SessionId = SessionId::for_test(2);

    fn sessions() -> Sessions<()> {
        let mut sessions = Sessions::default();
        sessions.insert(A, Session::new(()));
        sessions.insert(B, Session::new(()));
        sessions
    }

    fn settled(sessions: &mut Sessions<()>, next: Option<Instant>) -> Vec<SessionId> {
        let mut served = Vec::new();
        sessions.settle(|id, _| {
            served.push(id);
            next
        });
        served
    }

    #[test]
    fn whoever_was_touched_is_served_once() {
        let mut sessions = sessions();
        assert_eq!(settled(&mut sessions, None), [A, B]);
        sessions.touch(B);
        sessions.touch(B);
        sessions.get_mut(A);
        assert_eq!(settled(&mut sessions, None), [B]);
        sessions.touch(A);
        sessions.remove(A);
        assert!(settled(&mut sessions, None).is_empty());
    }

    #[test]
    fn alarms_may_be_put_off_and_brought_forward() {
        let (mut sessions, start) = (sessions(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        settled(&mut sessions, Some(at(100)));
        sessions.touch(A);
        settled(&mut sessions, Some(at(50)));
        sessions.touch(B);
        settled(&mut sessions, Some(at(200)));
        assert_eq!(sessions.next_alarm(), Some(at(50)));
        assert!(sessions.due(at(49)).is_empty());
        assert_eq!(sessions.due(at(50)), [A]);
        assert!(sessions.due(at(150)).is_empty(), "A was served, B was put off");
        assert_eq!(sessions.due(at(200)), [B]);
        assert_eq!(sessions.next_alarm(), None);
    }

    #[test]
    fn what_is_put_off_for_ever_takes_no_memory() {
        let (mut sessions, start) = (sessions(), Instant::now());
        for ms in 0..10_000 {
            sessions.touch(A);
            settled(&mut sessions, Some(start + Duration::from_millis(ms + 200)));
            sessions.due(start + Duration::from_millis(ms));
        }
        assert!(sessions.alarms.len() <= 3, "{}", sessions.alarms.len());
    }

    #[test]
    fn whoever_broke_is_told_once() {
        let mut sessions = sessions();
        if let Some(session) = sessions.touch(B) {
            session.broken = true;
        }
        settled(&mut sessions, None);
        assert!(sessions.any_broken());
        assert_eq!(sessions.take_broken(), [B]);
        assert!(!sessions.any_broken());
    }
}
