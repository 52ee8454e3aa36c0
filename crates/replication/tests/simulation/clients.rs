//! People: sessions that write, try again when they do not know the outcome, and read anywhere.

use locum_replication::Position;

use crate::content::{EMPTY, Log};
use crate::fault::Fault;
use crate::node::Wait;
use crate::truth::{Checked, hold};
use crate::world::{Input, World};

/// After this long without a second copy the outcome is unknown.
const NOT_DURABLE_YET: u64 = 2_000;

pub(crate) struct Session {
    /// Up to where it has seen: its cookie.
    token: Option<Position>,
    seen: Log,
    /// A write of unknown outcome, to be tried again under its key.
    unknown: Option<u64>,
    pub(crate) waiting: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self { token: None, seen: EMPTY, unknown: None, waiting: false }
    }
}

impl World {
    pub(crate) fn client(&mut self) -> Checked {
        let session = self.random.index(self.sessions.len());
        let node = self.random.index(self.nodes.len());
        if self.random.permille(500) {
            return self.read(session, node);
        }
        if self.sessions[session].waiting {
            return Ok(());
        }
        // Replayed to whoever takes writes.
        let takes: Vec<usize> =
            (0..self.nodes.len()).filter(|node| self.nodes[*node].takes_writes(self.now)).collect();
        if takes.is_empty() {
            return Ok(());
        }
        let node = takes[self.random.index(takes.len())];
        self.write(session, node)
    }

    fn write(&mut self, session: usize, node: usize) -> Checked {
        let key = match self.sessions[session].unknown {
            Some(key) => {
                self.counts.retries += 1;
                key
            }
            None => {
                self.next_key += 1;
                self.next_key
            }
        };
        self.sessions[session].unknown = Some(key);
        let now = self.now;
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let Some(engine) = &mut process.engine else { return Ok(()) };
        let epoch = engine.at.epoch;
        // The idempotency row is part of the transaction.
        if !self.truth.logs.has(engine.log, key) {
            engine.log = self.truth.logs.extend(engine.log, key);
            engine.at.frame.0 += 1;
        }
        let (frame, log, seen) = (engine.at.frame, engine.log, self.sessions[session].seen);
        hold("read_your_writes", self.truth.logs.begins_with(log, seen), || {
            "a write is made on less than its session has seen".to_owned()
        })?;
        process.waits.push(Wait { session, key, frame, log, until: now + NOT_DURABLE_YET });
        self.sessions[session].waiting = true;
        hold("once", !self.truth.logs.has_twice(log), || format!("write {key} is there twice"))?;
        // Followers and the primary's own copy hear of it alike, in any order.
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.send(node, other, Input::Wake { from: node, epoch });
        }
        self.sync_own(node);
        Ok(())
    }

    /// Answers what may be answered, and gives up what took too long.
    pub(crate) fn answer(&mut self, node: usize) -> Checked {
        let (now, clock) = (self.now, self.nodes[node].clock(self.now));
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        if process.waits.is_empty() {
            return Ok(());
        }
        let Some(primary) = &process.primary else {
            // The engine was stopped under them.
            for wait in std::mem::take(&mut process.waits) {
                self.sessions[wait.session].waiting = false;
            }
            return Ok(());
        };
        let epoch = primary.epoch();
        let may = |wait: &Wait| primary.may_acknowledge(wait.frame, clock);
        let (done, left): (Vec<Wait>, Vec<Wait>) =
            std::mem::take(&mut process.waits).into_iter().partition(|wait| may(wait) || wait.until <= now);
        process.waits = left;
        let answers: Vec<(Wait, bool)> = done
            .into_iter()
            .map(|wait| {
                let acknowledged = may(&wait);
                (wait, acknowledged)
            })
            .collect();
        for (wait, acknowledged) in answers {
            let session = &mut self.sessions[wait.session];
            session.waiting = false;
            // An answer can be lost on its way to the person, too: then it is as if there had been none.
            if !acknowledged {
                continue;
            }
            self.truth.acknowledges(node, epoch, wait.log)?;
            self.counts.acks += 1;
            self.calm_acks += u64::from(self.calm);
            if self.random.permille(100) && !self.calm {
                continue;
            }
            if session.unknown == Some(wait.key) {
                session.unknown = None;
            }
            session.token = session.token.max(Some(Position::new(epoch, wait.frame)));
            // It may have read further while it waited.
            if !self.truth.logs.begins_with(session.seen, wait.log) {
                session.seen = wait.log;
            }
        }
        Ok(())
    }

    fn read(&mut self, session: usize, node: usize) -> Checked {
        let Some(copy) = self.nodes[node].shows(self.now, self.fault) else { return Ok(()) };
        let Some(process) = &self.nodes[node].process else { return Ok(()) };
        let (token, history) = (self.sessions[session].token, process.voter.history());
        // With the planted confusion of frames the history itself is confused; that is not what it is about.
        let judged = self.fault != Fault::GreatestFrame;
        if let Some(token) = token.filter(|token| judged && token.epoch <= history.newest()) {
            hold("monotonic_reads", history.holds(token), || format!("{token} is called lost"))?;
        }
        // A copy that is behind waits or asks elsewhere.
        if Some(copy.at) < token {
            return Ok(());
        }
        self.truth.shows(copy.log)?;
        self.counts.reads += 1;
        let seen = self.sessions[session].seen;
        hold("monotonic_reads", self.truth.logs.begins_with(copy.log, seen), || {
            format!("a copy at {} shows less than was seen", copy.at)
        })?;
        self.sessions[session].seen = copy.log;
        self.sessions[session].token = Some(copy.at);
        Ok(())
    }
}
