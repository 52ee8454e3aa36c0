//! How an edge host carries out what its machines say.

use locum_replication::{
    Action, CopyReport, Epoch, Event as Led, FrameNo, GroupView, HintAnswer, Position, Primary, Standing,
    Tail,
};

use crate::content::Log;
use crate::fault::Fault;
use crate::node::{Copy, Engine};
use crate::truth::Checked;
use crate::world::{Event, Input, World};

impl World {
    pub(crate) fn input(&mut self, node: usize, input: Input) -> Checked {
        let life = match &input {
            Input::Poll { life, .. }
            | Input::Tick { life }
            | Input::Persisted { life, .. }
            | Input::Synced { life, .. }
            | Input::Frames { life, .. }
            | Input::EngineUp { life, .. }
            | Input::EngineDied { life } => *life,
            _ => self.nodes[node].life,
        };
        if self.nodes[node].process.is_none() || life != self.nodes[node].life {
            return Ok(());
        }
        match input {
            Input::Poll { every, .. } => self.poll(node, every),
            Input::Tick { life } => self.tick(node, life)?,
            Input::View { question, view } => self.view(node, question, *view)?,
            Input::Hint { from, hint } => self.hint(node, from, &hint),
            Input::Fenced { epoch } => self.fenced(node, epoch)?,
            Input::Report { from, report } => self.reported(node, from, &report)?,
            Input::Acked { at } => {
                if let Some(process) = &mut self.nodes[node].process {
                    process.voter.acknowledged(at);
                }
            }
            Input::Wake { from, epoch } => self.fetch(node, from, epoch),
            Input::Fetch { from, life, epoch } => self.fetched(node, from, life, epoch),
            Input::Frames { from, at, log, .. } => self.frames(node, from, at, log)?,
            Input::Persisted { kept, .. } => {
                if self.fault != Fault::PromiseNotPersisted {
                    self.nodes[node].disk.kept = kept;
                }
                let position = self.nodes[node].disk.position();
                self.tell(node, |process| {
                    process.writing = false;
                    process.voter.persisted(kept, position)
                })?;
            }
            Input::Synced { follower, copy, .. } => self.synced(node, follower, copy)?,
            Input::EngineUp { epoch, frame, .. } => self.engine_up(node, epoch, frame)?,
            Input::EngineDied { .. } => self.engine_died(node)?,
        }
        self.answer(node)
    }

    /// Gives something to the voter and carries out what it says.
    fn tell(&mut self, node: usize, what: impl FnOnce(&mut crate::node::Process) -> Vec<Action>) -> Checked {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let actions = what(process);
        process.actions.extend(actions);
        self.carry_out(node)
    }

    fn carry_out(&mut self, node: usize) -> Checked {
        loop {
            let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
            if process.writing {
                return Ok(());
            }
            let Some(action) = process.actions.pop_front() else { return Ok(()) };
            self.act(node, action)?;
        }
    }

    fn act(&mut self, node: usize, action: Action) -> Checked {
        let (life, id) = (self.nodes[node].life, self.nodes[node].id.clone());
        let disk = self.disk_delay(node);
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        match action {
            Action::Stop => {
                process.engine = None;
                process.primary = None;
                process.syncing = false;
                if self.fault != Fault::AppliesAfterPromise {
                    process.follower += 1;
                }
            }
            Action::Persist(kept) => {
                process.writing = true;
                self.at(disk, Event::ToNode { node, input: Input::Persisted { life, kept } });
            }
            Action::KeepTail { tail, .. } => self.keep_tail(node, tail),
            Action::Follow { epoch, primary } => {
                process.follower += 1;
                process.syncing = false;
                if self.fault == Fault::DropsBeforeComplete {
                    self.nodes[node].disk.copies.retain(|copy| copy.at.epoch >= epoch);
                }
                let to = self.index_of(&primary);
                self.send(node, to, Input::Fetch { from: node, life, epoch });
            }
            Action::Lead { epoch } => {
                let Some(view) = process.voter.view() else { return Ok(()) };
                let mut view = view.clone();
                if self.fault == Fault::OwnCopyIsEnough {
                    view.w = 1;
                }
                process.primary = Some(Primary::new(id, &view));
                let frame = FrameNo(self.random.between(1, 6));
                let delay = self.random.between(20, 400);
                let dies = self.random.permille(100) && !self.calm;
                if dies || self.nodes[node].full {
                    self.at(delay, Event::ToNode { node, input: Input::EngineDied { life } });
                } else {
                    self.at(delay, Event::ToNode { node, input: Input::EngineUp { life, epoch, frame } });
                }
            }
            Action::Report { to, report } => {
                let to = self.index_of(&to);
                self.send(node, to, Input::Report { from: node, report });
            }
            Action::Ask => self.poll(node, false),
            Action::DropOlder { epoch } => {
                self.nodes[node].disk.copies.retain(|copy| copy.at.epoch >= epoch);
                self.truth.check_tails(&self.nodes)?;
            }
        }
        Ok(())
    }

    fn poll(&mut self, node: usize, every: bool) {
        let (life, clock) = (self.nodes[node].life, self.nodes[node].clock(self.now));
        let outdated = self.nodes[node].outdated && self.fault != Fault::OutdatedUnsaid;
        let Some(process) = &mut self.nodes[node].process else { return };
        process.voter.set_outdated(outdated);
        let mut report = process.voter.report();
        if self.fault == Fault::GreatestFrame {
            report.copy = report.copy.map(|copy| Position::new(Epoch(1), copy.frame));
        }
        process.asked.insert(self.questions + 1, clock);
        if process.asked.len() > 20 {
            process.asked.pop_first();
        }
        let again = process.voter.view().map_or(200, |view| view.again_ms);
        self.ask(node, report);
        if every {
            self.at(again, Event::ToNode { node, input: Input::Poll { life, every } });
        }
    }

    fn tick(&mut self, node: usize, life: u64) -> Checked {
        self.tick_again(node, life);
        let clock = self.nodes[node].clock(self.now);
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let events = process.primary.as_mut().map(|primary| primary.tick(clock)).unwrap_or_default();
        let again = process.voter.report_again();
        let standing = process.voter.standing().clone();
        process.actions.extend(again);
        self.led(node, events)?;
        if let Standing::Following { epoch, primary } = standing {
            let to = self.index_of(&primary);
            self.send(node, to, Input::Fetch { from: node, life, epoch });
        }
        self.carry_out(node)
    }

    fn view(&mut self, node: usize, question: u64, view: GroupView) -> Checked {
        let clock = self.nodes[node].clock(self.now);
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let Some(mut sent_at) = process.asked.get(&question).copied() else { return Ok(()) };
        if self.fault == Fault::LeaseFromAnswer {
            sent_at = clock;
        }
        let actions = process.voter.heard(view.clone());
        process.actions.extend(actions);
        let events = process.primary.as_mut().map(|primary| primary.heard(&view, sent_at, clock));
        self.carry_out(node)?;
        self.led(node, events.unwrap_or_default())
    }

    /// Carries out what a primary says.
    fn led(&mut self, node: usize, events: Vec<Led>) -> Checked {
        for event in events {
            match event {
                Led::Hint { to, hint } => {
                    let to = self.index_of(&to);
                    self.send(node, to, Input::Hint { from: node, hint });
                }
                Led::Acknowledged { up_to } => self.tell_acked(node, up_to),
                Led::Quiesce(true) => self.tell(node, |process| process.voter.quiesced())?,
                Led::Fenced => self.engine_died(node)?,
                Led::LeaseLost | Led::LeaseHeld | Led::Quiesce(false) => {}
            }
        }
        Ok(())
    }

    fn hint(&mut self, node: usize, from: usize, hint: &locum_replication::Hint) {
        let (id, life) = (self.nodes[from].id.clone(), self.nodes[node].life);
        let Some(process) = &mut self.nodes[node].process else { return };
        match process.voter.hint(&id, hint) {
            HintAnswer::Fetches => {
                self.send(node, from, Input::Fetch { from: node, life, epoch: hint.epoch })
            }
            HintAnswer::Fenced { .. } => self.send(node, from, Input::Fenced { epoch: hint.epoch }),
            HintAnswer::Asks => self.poll(node, false),
        }
    }

    fn fenced(&mut self, node: usize, epoch: Epoch) -> Checked {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let primary = process.primary.as_mut().filter(|primary| primary.epoch() == epoch);
        let events = primary.map(Primary::fence).unwrap_or_default();
        self.led(node, events)
    }

    fn reported(&mut self, node: usize, from: usize, report: &CopyReport) -> Checked {
        let id = self.nodes[from].id.clone();
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let Some(primary) = &mut process.primary else { return Ok(()) };
        let events = primary.reported(&id, report.epoch, report.frame);
        if let Some(frame) = primary.acked() {
            let at = Position::new(primary.epoch(), frame);
            self.send(node, from, Input::Acked { at });
        }
        self.led(node, events)
    }

    fn tell_acked(&mut self, node: usize, up_to: FrameNo) {
        let Some(process) = &mut self.nodes[node].process else { return };
        let Some(primary) = &process.primary else { return };
        let at = Position::new(primary.epoch(), up_to);
        process.voter.acknowledged(at);
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.send(node, other, Input::Acked { at });
        }
    }

    /// Asks a primary that it follows for what is new.
    fn fetch(&mut self, node: usize, from: usize, epoch: Epoch) {
        let (life, primary) = (self.nodes[node].life, &self.nodes[from].id);
        let process = self.nodes[node].process.as_ref();
        let anyway = self.fault == Fault::AppliesAfterPromise;
        if anyway || process.is_some_and(|process| process.voter.may_follow(epoch, primary)) {
            self.send(node, from, Input::Fetch { from: node, life, epoch });
        }
    }

    fn fetched(&mut self, node: usize, from: usize, life: u64, epoch: Epoch) {
        let Some(process) = &self.nodes[node].process else { return };
        let engine = process.engine.as_ref().filter(|engine| engine.at.epoch == epoch);
        if let Some(engine) = engine.filter(|_| process.voter.may_serve(epoch)) {
            let (at, log) = (engine.at, engine.log);
            self.send(node, from, Input::Frames { from: node, life, at, log });
        }
    }

    fn frames(&mut self, node: usize, from: usize, at: Position, log: Log) -> Checked {
        let primary = self.nodes[from].id.clone();
        let disk = self.disk_delay(node);
        let (life, held) = (self.nodes[node].life, self.nodes[node].disk.position());
        let anyway = self.fault == Fault::AppliesAfterPromise;
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        if process.syncing || held >= Some(at) || !(anyway || process.voter.may_follow(at.epoch, &primary)) {
            return Ok(());
        }
        process.syncing = true;
        let (follower, copy) = (process.follower, Copy { at, log });
        self.at(disk, Event::ToNode { node, input: Input::Synced { life, follower, copy } });
        if self.fault == Fault::ReportBeforeSync {
            self.tell(node, |process| process.voter.copied(at))?;
        }
        Ok(())
    }

    fn synced(&mut self, node: usize, follower: u64, copy: Copy) -> Checked {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        if process.follower != follower {
            return Ok(());
        }
        process.syncing = false;
        let standing = process.voter.standing().clone();
        self.nodes[node].disk.keep(copy);
        self.truth.committed.extend(self.truth.logs.keys(copy.log));
        if standing == (Standing::Leading { epoch: copy.at.epoch }) {
            self.sync_own(node);
            return self.committed(node, copy.at.epoch, copy.at.frame);
        }
        if self.fault == Fault::AppliesAfterPromise && standing == Standing::Idle {
            // As if nothing had been promised: whoever leads that epoch is told.
            let group = "main".parse().unwrap();
            let report = CopyReport { group, epoch: copy.at.epoch, frame: copy.at.frame };
            for to in 0..self.nodes.len() {
                self.send(node, to, Input::Report { from: node, report: report.clone() });
            }
        }
        self.tell(node, |process| process.voter.copied(copy.at))
    }

    fn engine_up(&mut self, node: usize, epoch: Epoch, frame: FrameNo) -> Checked {
        let newest = self.nodes[node].disk.newest();
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        if *process.voter.standing() != (Standing::Leading { epoch }) {
            return Ok(());
        }
        let log = newest.map_or(crate::content::EMPTY, |copy| copy.log);
        let at = Position::new(epoch, frame);
        process.engine = Some(Engine { at, log });
        self.truth.engine_started(node, at, log)?;
        self.sync_own(node);
        Ok(())
    }

    /// The primary's own copy follows its engine like every other.
    pub(crate) fn sync_own(&mut self, node: usize) {
        let disk = self.disk_delay(node);
        let (life, held) = (self.nodes[node].life, self.nodes[node].disk.position());
        let Some(process) = &mut self.nodes[node].process else { return };
        let Some(engine) = process.engine.as_ref().filter(|engine| held < Some(engine.at)) else { return };
        if !process.syncing {
            process.syncing = true;
            let (follower, copy) = (process.follower, Copy { at: engine.at, log: engine.log });
            self.at(disk, Event::ToNode { node, input: Input::Synced { life, follower, copy } });
        }
    }

    /// The primary's own copy holds `frame`.
    fn committed(&mut self, node: usize, epoch: Epoch, frame: FrameNo) -> Checked {
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let actions = process.voter.committed(epoch, frame);
        process.actions.extend(actions);
        let events = process.primary.as_mut().map(|primary| primary.committed(frame));
        self.led(node, events.unwrap_or_default())?;
        self.carry_out(node)?;
        self.answer(node)
    }

    fn engine_died(&mut self, node: usize) -> Checked {
        let life = self.nodes[node].life;
        let frame = FrameNo(self.random.between(1, 6));
        let Some(process) = &mut self.nodes[node].process else { return Ok(()) };
        let Standing::Leading { epoch } = *process.voter.standing() else { return Ok(()) };
        process.engine = None;
        process.syncing = false;
        process.follower += 1;
        if self.fault == Fault::SameEpochAgain {
            self.at(50, Event::ToNode { node, input: Input::EngineUp { life, epoch, frame } });
            return Ok(());
        }
        process.primary = None;
        self.tell(node, |process| process.voter.engine_stopped(epoch))
    }

    fn keep_tail(&mut self, node: usize, tail: Tail) {
        let disk = &mut self.nodes[node].disk;
        let Some(copy) = disk.newest().filter(|_| self.fault != Fault::TailForgotten) else { return };
        let shared = tail.after.map_or(0, |after| self.truth.logs.length(self.truth.log_at(after, copy.log)));
        let length = self.truth.logs.length(copy.log);
        let beyond = usize::try_from(length.saturating_sub(shared)).unwrap();
        disk.tails.extend(self.truth.logs.keys(copy.log).take(beyond));
        self.counts.tails += u64::from(beyond > 0);
    }

    fn index_of(&self, id: &locum_identity::NodeId) -> usize {
        self.nodes.iter().position(|node| node.id == *id).unwrap()
    }

    fn disk_delay(&mut self, node: usize) -> u64 {
        let slow = self.nodes[node].slow_until > self.now;
        if slow { self.random.between(100, 3_000) } else { self.random.between(1, 20) }
    }
}
