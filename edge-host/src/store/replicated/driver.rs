//! One task a group: it owns the voter and, while this host leads, the primary, tells them what happened and
//! carries out what they decide.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use locum_identity::NodeId;
use locum_replication::{
    Action, Company, CopyReport, Epoch, Event, Followers, FrameNo, GroupView, Hint, HintAnswer, Kept,
    Position, Primary, Standing, Tail, Voter,
};
use locum_telemetry::config::chain;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::compare;
use super::copies::{Copies, CopyError};
use super::engine::Scope;
use super::group::{News, ReplicatedGroup, now, position};
use super::hrana::HranaClient;
use super::leading::{self, LeadError, Started};
use super::links::{Links, LogRequest, RecordsAnswer, RecordsQuestion};
use super::log::RemoteLog;
use super::replica::{Held, Replica};
use super::room;
use super::run::{Change, Run, fetch_until_there};
use super::settled::Settled;
use super::tails::TailMark;
use crate::store::Writer;
use crate::store::group::Group;
use crate::store::migrations::Schema;

/// How often what may have been lost on the way is said again.
const TICK: Duration = Duration::from_millis(500);
/// Between reports to a control plane that does not answer.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// How long the answer to a copy report waits for its frame to be acknowledged.
const ANSWER_WITHIN: Duration = Duration::from_millis(100);

/// What other hosts say to this one about the group.
pub(super) enum Command {
    /// A primary has news.
    Hint(NodeId, Hint, oneshot::Sender<HintAnswer>),
    /// A voter holds more.
    Copy(NodeId, CopyReport, oneshot::Sender<Option<FrameNo>>),
    /// A follower wants the log: where it is, and a token for it.
    Log(NodeId, LogRequest, oneshot::Sender<Option<LogAccess>>),
}

/// The way to this host's engine.
pub(super) struct LogAccess {
    pub(super) address: std::net::SocketAddr,
    pub(super) token: String,
    /// How far this host's own copy goes.
    pub(super) held: Option<FrameNo>,
}

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) group: Arc<ReplicatedGroup>,
    pub(super) me: NodeId,
    pub(super) copies: Copies,
    pub(super) schema: Arc<Schema>,
    pub(super) engine_binary: PathBuf,
    pub(super) links: Arc<dyn Links>,
}

pub(super) struct Driver {
    parts: Parts,
    voter: Voter,
    run: Run,
    /// While leading.
    primary: Option<Primary>,
    /// While leading: who follows, and whether that is enough.
    followers: Option<Followers>,
    company: Company,
    /// This host holds a copy and has no part in the group; said once.
    is_misplaced: bool,
    /// Actions still to be carried out.
    todo: VecDeque<Action>,
    /// Answers that wait for a frame to be acknowledged.
    waiting: Vec<(FrameNo, Instant, oneshot::Sender<Option<FrameNo>>)>,
    /// Questions on their way.
    asked: FuturesUnordered<BoxFuture<'static, Heard>>,
    is_reporting: bool,
    next_report: Instant,
    /// The newest report to the primary, and whether one is on its way.
    copy_report: Option<(NodeId, CopyReport)>,
    is_telling: bool,
    /// The primary's time is over; its engine has to go.
    is_fenced: bool,
    /// The writer's turn, held while the group is being moved.
    quiet: Option<OwnedSemaphorePermit>,
}

/// An answer that came back.
enum Heard {
    View(io::Result<GroupView>, Duration),
    Acked(Epoch, io::Result<RecordsAnswer>),
    Hint(io::Result<RecordsAnswer>),
    /// Nobody writes any more, as long as this is held; `None`: that did not come about.
    Quiet(Option<OwnedSemaphorePermit>),
}

/// What woke the driver.
enum Woken {
    Stop,
    Command(Option<Command>),
    Heard(Heard),
    Change(Change),
    Time,
}

/// The group does not start on this host.
#[derive(Debug, thiserror::Error)]
pub(super) enum DriverError {
    #[error("open the copies")]
    Copies(#[source] CopyError),
    #[error("make a name for the voter's state")]
    Random(#[source] getrandom::Error),
}

impl Driver {
    /// With what is on disk. Nothing is said yet.
    pub(super) fn open(parts: Parts) -> Result<Self, DriverError> {
        let kept = match parts.copies.load_voter::<Kept>().map_err(DriverError::Copies)? {
            Some(kept) => kept,
            None => {
                let store = getrandom::u64().map_err(DriverError::Random)?;
                let kept = Kept {
                    store: locum_replication::StoreId(store),
                    promised: Epoch::ZERO,
                    started: Epoch::ZERO,
                };
                parts.copies.save_voter(&kept).map_err(DriverError::Copies)?;
                kept
            }
        };
        let copy = parts.copies.newest().map_err(DriverError::Copies)?;
        parts.copies.count_tails().map_err(DriverError::Copies)?;
        let voter = Voter::new(parts.group.id.clone(), parts.me.clone(), kept, copy);
        if let Some(copy) = copy {
            tracing::info!(group = %parts.group.id, epoch = copy.epoch.0, frame = copy.frame.0, "copy found");
        }
        Ok(Self {
            parts,
            voter,
            run: Run::Nothing,
            primary: None,
            followers: None,
            company: Company::Alone,
            is_misplaced: false,
            todo: VecDeque::new(),
            waiting: Vec::new(),
            asked: FuturesUnordered::new(),
            is_reporting: false,
            next_report: Instant::now(),
            copy_report: None,
            is_telling: false,
            is_fenced: false,
            quiet: None,
        })
    }

    /// Until `stop`; then the engine is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.report_if_due();
            self.carry_out().await;
            self.tell();
            let woken = tokio::select! {
                () = stop.cancelled() => Woken::Stop,
                command = commands.recv() => Woken::Command(command),
                Some(heard) = self.asked.next() => Woken::Heard(heard),
                change = self.run.next() => Woken::Change(change),
                () = tokio::time::sleep_until(self.next_report), if !self.is_reporting => Woken::Time,
                _ = ticks.tick() => Woken::Time,
            };
            match woken {
                Woken::Stop | Woken::Command(None) => break,
                Woken::Command(Some(command)) => self.answer(command),
                Woken::Heard(heard) => self.heard(heard),
                Woken::Change(Change::Fetched(replica)) => self.fetched(replica),
                Woken::Change(Change::Started(started)) => self.started(*started),
                Woken::Change(Change::Held) => {
                    self.held();
                    self.fetch_again().await;
                }
                Woken::Change(Change::EngineEnded) => self.end_epoch().await,
                Woken::Time => self.tick(),
            }
            if std::mem::take(&mut self.is_fenced) {
                self.end_epoch().await;
            }
        }
        self.stop_running().await;
    }

    fn report_if_due(&mut self) {
        if self.is_reporting || Instant::now() < self.next_report {
            return;
        }
        self.is_reporting = true;
        self.voter.set_outdated(self.parts.group.serving.borrow().is_outdated());
        let (links, report, sent_at) = (Arc::clone(&self.parts.links), self.voter.report(), now());
        self.asked.push(async move { Heard::View(links.report(report).await, sent_at) }.boxed());
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::View(view, sent_at) => {
                self.is_reporting = false;
                match view {
                    Ok(view) => self.view(view, sent_at),
                    Err(error) => {
                        tracing::debug!(error = chain(&error), "the control plane does not answer");
                        self.next_report = Instant::now() + ASK_AGAIN;
                    }
                }
            }
            Heard::Acked(epoch, answer) => {
                self.is_telling = false;
                // Anything else is said again with the next frame or tick.
                if let Ok(RecordsAnswer::Acked(Some(frame))) = answer {
                    self.acknowledged(Position::new(epoch, frame));
                }
            }
            Heard::Hint(Ok(RecordsAnswer::Hint(HintAnswer::Fenced { .. }))) => {
                let events = self.primary.as_mut().map(Primary::fence).unwrap_or_default();
                self.events(events);
            }
            Heard::Hint(_) => {}
            Heard::Quiet(turn) => {
                self.quiet = turn;
                if self.quiet.is_some() {
                    let actions = self.voter.quiesced();
                    self.todo.extend(actions);
                }
            }
        }
        self.answer_waiting();
    }

    fn view(&mut self, view: GroupView, sent_at: Duration) {
        self.next_report = Instant::now() + Duration::from_millis(view.again_ms);
        let events = self.primary.as_mut().map(|primary| primary.heard(&view, sent_at, now()));
        if let (Some(lease_ms), Run::Leading { started, .. }) = (view.lease_ms, &self.run)
            && started.epoch == view.epoch
        {
            let until = sent_at + Duration::from_millis(lease_ms);
            self.lease(until);
        }
        self.events(events.unwrap_or_default());
        let actions = self.voter.heard(view);
        self.todo.extend(actions);
    }

    fn tick(&mut self) {
        let events = self.primary.as_mut().map(|primary| primary.tick(now())).unwrap_or_default();
        self.events(events);
        self.count_followers();
        self.todo.extend(self.voter.report_again());
        self.answer_waiting();
        if matches!(self.run, Run::Leading { .. }) && room::is_short(self.parts.copies.folder()) {
            tracing::error!(group = %self.parts.group.id, "too little room on the disk: steps down");
            self.lease(Duration::ZERO);
            self.is_fenced = true;
        }
    }

    /// A primary that nobody would acknowledge does not call itself the writer.
    fn count_followers(&mut self) {
        let (Some(followers), Some(primary)) = (&mut self.followers, &mut self.primary) else { return };
        let company = followers.company(now());
        self.parts.group.measure(company);
        if company == self.company {
            return;
        }
        tracing::info!(group = %self.parts.group.id, ?company, "followers came or went");
        self.company = company;
        let events = primary.let_one_copy_do(company == Company::SingleCopy);
        self.events(events);
    }

    /// What the primary decided.
    fn events(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Hint { to, hint } => self.hint(to, hint),
                Event::Acknowledged { up_to } => {
                    if let Some(epoch) = self.primary.as_ref().map(Primary::epoch) {
                        self.acknowledged(Position::new(epoch, up_to));
                    }
                }
                Event::LeaseHeld => {
                    let epoch = self.primary.as_ref().map_or(0, |primary| primary.epoch().0);
                    tracing::info!(group = %self.parts.group.id, epoch, "leads");
                }
                Event::LeaseLost => tracing::warn!(group = %self.parts.group.id, "lease lost"),
                Event::Quiesce(is_quiet) => self.quiesce(is_quiet),
                Event::Fenced => {
                    tracing::warn!(group = %self.parts.group.id, "another epoch is being prepared");
                    self.lease(Duration::ZERO);
                    self.is_fenced = true;
                }
            }
        }
        self.answer_waiting();
    }

    /// A person moves the group: no new write begins, and once the last one has ended and is in this host's
    /// copy the control plane is told.
    fn quiesce(&mut self, is_quiet: bool) {
        self.parts.group.serving.send_modify(|serving| {
            if let Some(leading) = &mut serving.leading {
                leading.is_quiet = is_quiet;
            }
        });
        self.quiet = None;
        let Run::Leading { started, held, .. } = &self.run else { return };
        if is_quiet {
            let (group, engine) = (Arc::clone(&self.parts.group), Arc::clone(&started.engine.writer));
            let held = held.clone();
            self.asked.push(async move { Heard::Quiet(last_write(group, engine, held).await) }.boxed());
        }
    }

    fn hint(&mut self, to: NodeId, hint: Hint) {
        let links = Arc::clone(&self.parts.links);
        self.asked
            .push(async move { Heard::Hint(links.ask(&to, RecordsQuestion::Hint(hint)).await) }.boxed());
    }

    fn acknowledged(&mut self, up_to: Position) {
        self.parts.group.serving.send_if_modified(|serving| {
            let is_news = serving.acked < Some(up_to);
            serving.acked = serving.acked.max(Some(up_to));
            is_news
        });
    }

    /// The lease of the running epoch ends at `until`. It is never shortened but by fencing.
    fn lease(&mut self, until: Duration) {
        self.parts.group.serving.send_modify(|serving| {
            if let Some(leading) = &mut serving.leading {
                leading.lease_until =
                    if until == Duration::ZERO { until } else { leading.lease_until.max(until) };
            }
        });
    }

    fn answer(&mut self, command: Command) {
        // Whoever asked may have left: then nobody reads the answer.
        match command {
            Command::Hint(from, hint, reply) => {
                let acked = hint.acked.map(|frame| Position::new(hint.epoch, frame));
                let answer = self.voter.hint(&from, &hint);
                match answer {
                    HintAnswer::Fetches => acked.into_iter().for_each(|acked| self.acknowledged(acked)),
                    HintAnswer::Asks => self.next_report = Instant::now(),
                    HintAnswer::Fenced { .. } => {}
                }
                let _ = reply.send(answer);
            }
            Command::Copy(from, report, reply) => {
                let Some(primary) = self.primary.as_mut().filter(|p| p.epoch() == report.epoch) else {
                    let _ = reply.send(None);
                    return;
                };
                let events = primary.reported(&from, report.epoch, report.frame);
                self.waiting.push((report.frame, Instant::now() + ANSWER_WITHIN, reply));
                self.events(events);
                let votes = self.voter.view().is_some_and(|view| view.voters.contains(&from));
                if let Some(followers) = self.followers.as_mut().filter(|_| votes) {
                    followers.heard(&from, now());
                }
                self.count_followers();
            }
            Command::Log(from, request, reply) => drop(reply.send(self.log_access(&from, &request))),
        }
    }

    /// Only hosts of the group, and only of the epoch that they take to be current.
    fn log_access(&self, from: &NodeId, request: &LogRequest) -> Option<LogAccess> {
        let Run::Leading { started, held, .. } = &self.run else { return None };
        let of_the_group = self.voter.view().is_some_and(|view| view.voters.contains(from));
        if !of_the_group || started.epoch != request.epoch || !self.voter.may_serve(request.epoch) {
            return None;
        }
        let held = held.borrow().frame;
        let token = started.engine.token(Scope::Read).ok()?;
        Some(LogAccess { address: started.engine.log_address, token, held })
    }

    /// Answers reports whose frame is acknowledged, or that have waited long enough.
    fn answer_waiting(&mut self) {
        let acked = self.primary.as_ref().and_then(Primary::acked);
        let asked_at = Instant::now();
        let is_due = |(frame, until, reply): &(FrameNo, Instant, oneshot::Sender<_>)| {
            acked >= Some(*frame) || *until <= asked_at || reply.is_closed()
        };
        for (_, _, reply) in self.waiting.extract_if(.., |waiting| is_due(waiting)) {
            let _ = reply.send(acked);
        }
    }

    /// Sends the newest report to the primary, one at a time.
    fn tell(&mut self) {
        if self.is_telling {
            return;
        }
        let Some((primary, report)) = self.copy_report.take() else { return };
        self.is_telling = true;
        let links = Arc::clone(&self.parts.links);
        let epoch = report.epoch;
        let asked =
            async move { Heard::Acked(epoch, links.ask(&primary, RecordsQuestion::Copy(report)).await) };
        self.asked.push(asked.boxed());
    }

    async fn carry_out(&mut self) {
        while let Some(action) = self.todo.pop_front() {
            match action {
                Action::Stop => self.stop_running().await,
                Action::Persist(kept) => self.persist(kept).await,
                Action::KeepTail { copy, tail } => self.keep_tail(copy, &tail),
                Action::Follow { epoch, primary } => self.follow(epoch, primary, false),
                Action::Lead { epoch } => self.lead(epoch),
                Action::Report { to, report } => self.copy_report = Some((to, report)),
                Action::Ask => self.next_report = Instant::now(),
                Action::DropOlder { epoch } => self.drop_older(epoch),
            }
        }
        self.show();
    }

    fn keep_tail(&self, copy: Position, tail: &Tail) {
        let (epoch, frame) = (copy.epoch.0, copy.frame.0);
        tracing::warn!(group = %self.parts.group.id, epoch, frame, "this copy holds an unacknowledged tail");
        metrics::counter!("locum_edge_tails_total").increment(1);
        if let Err(error) = self.parts.copies.mark_tail(TailMark { copy, after: tail.after }) {
            tracing::error!(error = chain(&error), "the tail cannot be marked to be kept");
        }
    }

    /// To disk first; what it says is only then in force.
    async fn persist(&mut self, kept: Kept) {
        let copies = self.parts.copies.clone();
        let saved = tokio::task::spawn_blocking(move || {
            copies.save_voter(&kept)?;
            copies.newest()
        });
        match saved.await {
            Ok(Ok(copy)) => {
                let actions = self.voter.persisted(kept, copy);
                self.todo.extend(actions);
            }
            Ok(Err(error)) => {
                tracing::error!(error = chain(&error), "a promise cannot be kept on disk");
                // Tried again: until then this host takes part in nothing.
                self.todo.push_back(Action::Persist(kept));
                tokio::time::sleep(TICK).await;
            }
            Err(_) => {}
        }
    }

    /// The copy is opened, or fetched, beside the loop.
    fn follow(&mut self, epoch: Epoch, primary: NodeId, is_stranded: bool) {
        tracing::info!(group = %self.parts.group.id, epoch = epoch.0, %primary, "follows");
        let source = RemoteLog {
            links: Arc::clone(&self.parts.links),
            primary,
            group: self.parts.group.id.clone(),
            epoch,
        };
        let (copies, source) = (self.parts.copies.clone(), Arc::new(source));
        let fetched = fetch_until_there(copies, Arc::clone(&source), is_stranded);
        let task = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(fetched));
        let fetched = async move {
            match task.await {
                Ok(replica) => replica,
                // A panic in it, logged when it happened.
                Err(_) => std::future::pending().await,
            }
        };
        self.run = Run::Fetching { source, fetched: fetched.boxed() };
    }

    fn fetched(&mut self, replica: Replica) {
        let Run::Fetching { source, .. } = &self.run else { return };
        let (epoch, held) = (source.epoch, replica.progress.held());
        let compared = compare::daily(self.parts.copies.clone(), Arc::clone(source));
        let settled = Settled::keep(&self.parts.group, &replica);
        self.run = Run::Following { epoch, replica, held, _beside: [compared, settled] };
        self.held();
    }

    /// The engine starts beside the loop: the lease must be renewed meanwhile.
    fn lead(&mut self, epoch: Epoch) {
        let from = self.voter.copy().map(|copy| copy.epoch);
        let (copies, schema) = (self.parts.copies.clone(), Arc::clone(&self.parts.schema));
        let binary = self.parts.engine_binary.clone();
        let started = async move { leading::start(copies, epoch, from, schema, &binary).await };
        // On a task of its own: what was begun is either finished or dropped whole.
        let task = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(started));
        let started = async move { task.await.unwrap_or(Err(LeadError::Ended)) };
        self.run = Run::Starting { epoch, started: started.boxed() };
        self.primary = self.voter.view().map(|view| Primary::new(self.parts.me.clone(), view));
        self.followers = self.voter.view().map(|view| Followers::new(view, now()));
        self.company = Company::Alone;
    }

    fn started(&mut self, started: Result<Started, LeadError>) {
        let Run::Starting { epoch, .. } = std::mem::replace(&mut self.run, Run::Nothing) else { return };
        match started {
            Ok(started) => {
                let held = started.replica.progress.held();
                let ended = started.engine.ended();
                let settled = Settled::keep(&self.parts.group, &started.replica);
                self.run = Run::Leading { started: Box::new(started), held, ended, _beside: settled };
                self.next_report = Instant::now();
                self.held();
                self.count_followers();
            }
            Err(error) => {
                tracing::error!(error = chain(&error), epoch = epoch.0, "this host cannot lead");
                self.primary = None;
                let actions = self.voter.engine_stopped(epoch);
                self.todo.extend(actions);
            }
        }
    }

    /// The copy has come further.
    fn held(&mut self) {
        let (epoch, held, leads) = match &mut self.run {
            Run::Following { epoch, held, .. } => (*epoch, *held.borrow_and_update(), false),
            Run::Leading { started, held, .. } => (started.epoch, *held.borrow_and_update(), true),
            Run::Nothing | Run::Fetching { .. } | Run::Starting { .. } => return,
        };
        let Some(at) = position(epoch, held.frame).filter(|_| held.is_complete) else { return };
        if !self.parts.copies.is_complete(epoch)
            && let Err(error) = self.parts.copies.mark_complete(epoch)
        {
            tracing::error!(error = chain(&error), "the copy cannot be marked as complete");
            return;
        }
        let group = self.parts.group.id.to_string();
        metrics::gauge!("locum_edge_replica_frame", "group" => group).set(at.frame.0 as f64);
        let actions = if leads { self.voter.committed(epoch, at.frame) } else { self.voter.copied(at) };
        self.todo.extend(actions);
        let events = self.primary.as_mut().filter(|_| leads).map(|primary| primary.committed(at.frame));
        self.events(events.unwrap_or_default());
    }

    /// Where the log does not bring the rest, the copy is compared with the primary's. The primary's own copy
    /// cannot be: then its time is over.
    async fn fetch_again(&mut self) {
        match &self.run {
            Run::Following { epoch, replica, .. } if replica.progress.is_stranded() => {
                let (epoch, primary) = (*epoch, self.voter.view().and_then(|view| view.primary.clone()));
                let Some(primary) = primary.filter(|primary| *primary != self.parts.me) else { return };
                if let Run::Following { replica, .. } = std::mem::replace(&mut self.run, Run::Nothing) {
                    replica.stop().await;
                }
                self.follow(epoch, primary, true);
            }
            Run::Leading { started, .. } if started.replica.progress.is_stranded() => {
                self.end_epoch().await;
            }
            _ => {}
        }
    }

    /// This host leads no longer: its engine is gone, or has to go. An engine never starts twice in an epoch.
    async fn end_epoch(&mut self) {
        let epoch = match &self.run {
            Run::Leading { started, .. } => started.epoch,
            Run::Starting { epoch, .. } => *epoch,
            Run::Nothing | Run::Fetching { .. } | Run::Following { .. } => return,
        };
        self.stop_running().await;
        let actions = self.voter.engine_stopped(epoch);
        self.todo.extend(actions);
    }

    /// When this returns nothing writes to any copy.
    async fn stop_running(&mut self) {
        (self.primary, self.copy_report, self.quiet) = (None, None, None);
        // Who leads nobody is not alone.
        self.parts.group.measure(Company::Enough);
        self.parts.group.serving.send_modify(|serving| serving.leading = None);
        match std::mem::replace(&mut self.run, Run::Nothing) {
            Run::Nothing => {}
            Run::Following { replica, .. } => drop(replica.stop().await),
            Run::Fetching { fetched, .. } => drop(fetched),
            Run::Starting { started, .. } => drop(started),
            Run::Leading { started, mut ended, .. } => {
                let Started { engine, replica, .. } = *started;
                // What the engine has sent is still taken in.
                replica.stop().await;
                drop(engine);
                // Closed without a word, it is gone as well.
                drop(ended.wait_for(|ended| *ended).await.map(|ended| *ended));
            }
        }
        self.answer_waiting();
    }

    /// Beside the loop: it takes as long as reading a copy.
    fn drop_older(&self, epoch: Epoch) {
        let copies = self.parts.copies.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = copies.clear_before(epoch) {
                tracing::warn!(error = chain(&error), "an old copy cannot be removed");
            }
        });
    }

    /// Tells requests where the group stands.
    fn show(&mut self) {
        let writer = match (self.voter.standing(), self.voter.view()) {
            (Standing::Leading { .. }, _) if matches!(self.run, Run::Leading { .. }) => match self.company {
                Company::Alone => Writer::Nowhere,
                Company::SingleCopy | Company::Enough => Writer::Here,
            },
            (_, Some(view)) => match &view.primary {
                Some(primary) if *primary != self.parts.me && view.prepare.is_none() => {
                    Writer::At(primary.clone())
                }
                _ => Writer::Nowhere,
            },
            _ => Writer::Nowhere,
        };
        self.tell_misplaced();
        let (running, leading) = match &self.run {
            Run::Following { epoch, replica, .. } => (Some((*epoch, &replica.progress)), None),
            Run::Leading { started, .. } => {
                let leading = (started.epoch, started.engine.first, &started.engine.writer);
                (Some((started.epoch, &started.replica.progress)), Some(leading))
            }
            Run::Nothing | Run::Fetching { .. } | Run::Starting { .. } => (None, None),
        };
        let news = News {
            writer,
            holders: self.voter.view().map(|view| holders(view, &self.parts.me)).unwrap_or_default(),
            others: self.voter.view().map(|view| others(view, &self.parts.me)).unwrap_or_default(),
            regions: self.voter.view().map(|view| view.regions.clone()).unwrap_or_default(),
            copy: self.voter.copy(),
            running,
            leading,
            is_single_copy: self.company == Company::SingleCopy,
            history: self.voter.history(),
            copies: &self.parts.copies,
        };
        self.parts.group.serving.send_if_modified(|serving| serving.take_in(news));
    }

    /// A copy that this host's region may not hold, such as one that was restored to the wrong place.
    fn tell_misplaced(&mut self) {
        let is_voter = |view: &GroupView| view.voters.is_empty() || view.voters.contains(&self.parts.me);
        let is_misplaced = self.voter.copy().is_some() && !self.voter.view().is_none_or(is_voter);
        if is_misplaced && !self.is_misplaced {
            self.is_misplaced = true;
            let group = &self.parts.group.id;
            tracing::error!(%group, "this host holds a copy of a record group that it has no part in");
        }
    }
}

/// Whom a host that is no voter asks: it holds no copy. The primary has the newest.
fn holders(view: &GroupView, me: &NodeId) -> Vec<NodeId> {
    if view.voters.contains(me) { Vec::new() } else { others(view, me) }
}

/// The voters but this host, the primary first.
fn others(view: &GroupView, me: &NodeId) -> Vec<NodeId> {
    let mut others = view.voters.clone();
    others.retain(|voter| voter != me);
    others.sort_by_key(|voter| view.primary.as_ref() != Some(voter));
    others
}

/// Waits for the writer's turn, and until the last commit is in this host's copy.
async fn last_write(
    group: Arc<ReplicatedGroup>,
    engine: Arc<HranaClient>,
    mut held: watch::Receiver<Held>,
) -> Option<OwnedSemaphorePermit> {
    let turn = group.turn().await.ok()?;
    group.carry_out(&turn).await;
    let last = engine.newest();
    held.wait_for(|held| held.frame >= Some(last)).await.ok()?;
    Some(turn)
}
