//! What requests see of a replicated group: the copy to read from, the engine to write to, and when what they
//! saw is safe to show.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use locum_identity::{NodeId, RegionId};
use locum_replication::{Company, Epoch, FrameNo, GroupId, History, Position};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::applier::Applier;
use super::copies::Copies;
use super::fit::Fit;
use super::hrana::{CarryError, HranaClient};
use super::replica::Progress;
use super::settled::{Settled, Standing};
use super::writer::{EngineWriter, Shared};
use crate::store::group::{Group, Older, View};
use crate::store::migrations::Schema;
use crate::store::readers::Readers;
use crate::store::sqlite::Database;
use crate::store::transaction::{Transaction, Turn};
use crate::store::{Failure, SqlError, TransactionLimits, Writer};

/// Longest wait for a second region.
const KEPT_WITHIN: Duration = Duration::from_secs(2);
/// Longest wait until this host's own copy has what its engine has committed.
const HELD_WITHIN: Duration = Duration::from_secs(5);

/// A record group on one of its hosts.
pub(super) struct ReplicatedGroup {
    pub(super) id: GroupId,
    /// What this release needs of a copy.
    pub(super) schema: Arc<Schema>,
    turn: Turn,
    /// Touched only by whoever has the turn.
    writing: Mutex<Writing>,
    pub(super) serving: watch::Sender<Serving>,
    settled: Arc<Settled>,
}

/// The transaction that requests share, between them.
enum Writing {
    Nothing,
    /// The connection is kept, and the epoch whose copy it is of.
    Between(Epoch, Database),
    Open(Shared),
}

/// Where a group stands on this host. Replaced whole by the group's driver.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) writer: Writer,
    /// The voters, the primary first, where this host is none of them: it holds nothing of the group.
    pub(super) holders: Arc<[NodeId]>,
    /// The voters but this host, the primary first.
    pub(super) others: Arc<[NodeId]>,
    /// May hold the group.
    pub(super) regions: Arc<[RegionId]>,
    /// The newest complete copy, open for reading.
    pub(super) copy: Option<OpenCopy>,
    /// Set while this host leads and its engine runs.
    pub(super) leading: Option<Leading>,
    /// The newest epoch this host takes part in, and how much of it is acknowledged.
    pub(super) acked: Option<Position>,
    /// Where epochs began.
    pub(super) history: Arc<History>,
    /// The driver has said all this once.
    pub(super) is_known: bool,
}

/// A copy and how far it has come.
#[derive(Clone)]
pub(super) struct OpenCopy {
    pub(super) epoch: Epoch,
    pub(super) readers: Arc<Readers>,
    pub(super) progress: Arc<Progress>,
    pub(super) fit: Arc<Fit>,
}

/// This host's time as primary.
#[derive(Clone)]
pub(super) struct Leading {
    pub(super) epoch: Epoch,
    pub(super) engine: Arc<HranaClient>,
    /// On the clock of [`now`].
    pub(super) lease_until: Duration,
    /// No new write begins: a person moves the group.
    pub(super) is_quiet: bool,
    /// The first frame of the epoch: until the next one there is what it began from.
    pub(super) first: FrameNo,
    /// Only this copy holds what is written, and that is taken to be enough.
    pub(super) is_single_copy: bool,
}

/// Where a group stands, as its driver sees it.
pub(super) struct News<'a> {
    pub(super) writer: Writer,
    /// As in [`Serving`].
    pub(super) holders: Vec<NodeId>,
    /// As in [`Serving`].
    pub(super) others: Vec<NodeId>,
    /// As in [`Serving`].
    pub(super) regions: Vec<RegionId>,
    /// The newest complete copy on this disk.
    pub(super) copy: Option<Position>,
    /// What is being written to, and how far it has come.
    pub(super) running: Option<(Epoch, &'a Arc<Progress>)>,
    /// The engine, while this host leads.
    pub(super) leading: Option<(Epoch, FrameNo, &'a Arc<HranaClient>)>,
    pub(super) is_single_copy: bool,
    pub(super) history: &'a History,
    pub(super) copies: &'a Copies,
}

impl ReplicatedGroup {
    pub(super) fn new(id: GroupId, limits: TransactionLimits, schema: Arc<Schema>) -> Arc<Self> {
        let serving = Serving {
            writer: Writer::Nowhere,
            holders: Arc::default(),
            others: Arc::default(),
            regions: Arc::default(),
            copy: None,
            leading: None,
            acked: None,
            history: Arc::new(History::default()),
            is_known: false,
        };
        let (turn, writing) = (Turn::new(limits), Mutex::new(Writing::Nothing));
        let (serving, settled) = (watch::Sender::new(serving), Arc::default());
        Arc::new(Self { id, schema, turn, writing, serving, settled })
    }

    /// Keeps what is acknowledged of `copy` in view. Blocks.
    pub(super) fn look_after(&self, copy: &OpenCopy, applier: &Mutex<Applier>) {
        let acked = self.serving.borrow().acked;
        let is_kept = |position| self.serving.borrow().is_acknowledged(position);
        self.settled.look(copy, applier, &Standing { is_kept: &is_kept, acked });
    }

    /// What of the acknowledged is kept in view.
    pub(super) fn settled_at(&self) -> Option<Position> {
        self.settled.caught()
    }

    /// Whether something that this host has is not acknowledged.
    fn waits(&self) -> bool {
        let acked = self.serving.borrow().acked;
        let is_kept = |position| self.serving.borrow().is_acknowledged(position);
        self.settled.note(self.newest(), &Standing { is_kept: &is_kept, acked })
    }

    /// What was acknowledged last, if what this host has is not, and has not been for a while. Blocks.
    fn settled(&self, not_before: Option<Position>, deadline: Instant) -> Option<View> {
        if !self.waits() {
            return None;
        }
        let acked = self.serving.borrow().acked;
        let may_show = |position| self.serving.borrow().keeps(position, now());
        let lent = self.settled.lend(not_before, deadline, &Standing { is_kept: &may_show, acked });
        let (snapshot, position) = lent?;
        metrics::counter!("locum_edge_reads_of_settled_total", "group" => self.id.to_string()).increment(1);
        Some(View { snapshot, at: Some(position) })
    }

    /// Tells whether anybody follows.
    pub(super) fn measure(&self, company: Company) {
        for (name, state) in [
            ("locum_edge_group_alone", Company::Alone),
            ("locum_edge_group_single_copy", Company::SingleCopy),
        ] {
            let is_so = if company == state { 1.0 } else { 0.0 };
            metrics::gauge!(name, "group" => self.id.to_string()).set(is_so);
        }
    }

    /// The turn after all that wait for it now.
    pub(super) async fn last_turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turn.wait_longer().await
    }

    /// Lets the next request, or whoever carries it out, have the shared transaction. One that holds nothing is
    /// not kept open.
    pub(super) fn put_back(&self, shared: Shared) {
        let epoch = shared.epoch;
        let kept = match shared.is_empty() {
            false => Writing::Open(shared),
            true => shared.close().0.map_or(Writing::Nothing, |database| Writing::Between(epoch, database)),
        };
        *self.writing() = kept;
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_writing(&self) -> Writing {
        std::mem::replace(&mut *self.writing(), Writing::Nothing)
    }

    /// The shared transaction of `copy`'s epoch, open. What was left of another epoch is undone.
    fn shared(&self, copy: &OpenCopy) -> Result<Shared, SqlError> {
        let database = match self.take_writing() {
            Writing::Open(shared) if shared.epoch == copy.epoch && shared.is_open() => return Ok(shared),
            Writing::Between(epoch, database) if epoch == copy.epoch => database,
            Writing::Open(shared) => {
                shared.close().1.fail(Failure::TransactionLost);
                copy.readers.speculative()?
            }
            Writing::Between(..) | Writing::Nothing => copy.readers.speculative()?,
        };
        Shared::open(copy.epoch, database)
    }

    /// Carries out what requests did in their shared transaction. Returns once the next one can begin.
    pub(super) async fn carry_out(&self, _turn: &OwnedSemaphorePermit) {
        let shared = match self.take_writing() {
            Writing::Open(shared) => shared,
            other => return *self.writing() = other,
        };
        let epoch = shared.epoch;
        // Nothing of it has reached a file: this only lets go of memory and a lock.
        let (database, work) = shared.close();
        if let Some(database) = database {
            *self.writing() = Writing::Between(epoch, database);
        }
        let (leading, copy) = {
            let serving = self.serving.borrow();
            (serving.leading.clone(), serving.copy.clone())
        };
        let leading = leading.filter(|leading| leading.epoch == epoch && now() < leading.lease_until);
        let Some((leading, copy)) = leading.zip(copy) else { return work.fail(Failure::NoPrimary) };
        metrics::histogram!("locum_edge_transaction_requests").record(work.members.len() as f64);
        let done = match work.statements.as_slice() {
            [] => Ok(leading.engine.newest()),
            statements => leading.engine.carry_out(statements, work.changes).await,
        };
        match done {
            Ok(frame) => work.succeed(Position::new(epoch, frame)),
            Err(error @ CarryError::Refused { .. }) => {
                tracing::error!(group = %self.id, %error, "a transaction was not carried out");
                return work.fail(Failure::TransactionLost);
            }
            Err(error @ CarryError::Unknown) => {
                tracing::error!(group = %self.id, %error, "the epoch ends");
                leading.engine.give_up();
                return work.fail(Failure::OutcomeUnknown);
            }
        }
        // The next transaction has to see it.
        let newest = leading.engine.newest();
        let held = async { copy.progress.held().wait_for(|held| held.frame >= Some(newest)).await.is_ok() };
        if tokio::time::timeout(HELD_WITHIN, held).await.is_err() {
            tracing::error!(group = %self.id, "this host's own copy does not follow; the epoch ends");
            leading.engine.give_up();
        }
    }

    /// This request's part of the shared transaction, and its time. Blocks.
    fn writer(self: &Arc<Self>) -> Result<(EngineWriter, Instant), SqlError> {
        let leading = self.serving.borrow().leading.clone();
        let leading = leading.filter(|leading| !leading.is_quiet && now() < leading.lease_until);
        let leading = leading.ok_or(SqlError::Ended(Failure::NoPrimary))?;
        let copy = self.copy()?;
        if copy.epoch != leading.epoch {
            return Err(SqlError::Ended(Failure::NoPrimary));
        }
        let shared = self.shared(&copy)?;
        let deadline = Instant::now() + self.hold_limit();
        Ok((EngineWriter::begin(Arc::clone(self), shared, deadline)?, deadline))
    }

    fn copy(&self) -> Result<OpenCopy, SqlError> {
        self.serving.borrow().copy.clone().ok_or(SqlError::Ended(Failure::NotSettled))
    }
}

impl Serving {
    /// True when something changed.
    pub(super) fn take_in(&mut self, news: News<'_>) -> bool {
        let mut is_news = self.writer != news.writer || !std::mem::replace(&mut self.is_known, true);
        self.writer = news.writer;
        if *self.holders != *news.holders {
            self.holders = news.holders.into();
            is_news = true;
        }
        if *self.others != *news.others {
            self.others = news.others.into();
            is_news = true;
        }
        if *self.regions != *news.regions {
            self.regions = news.regions.into();
            is_news = true;
        }
        if *self.history != *news.history {
            self.history = Arc::new(news.history.clone());
            is_news = true;
        }
        if let Some((epoch, first, engine)) = news.leading
            && self.leading.as_ref().is_none_or(|leading| leading.epoch != epoch)
        {
            let (engine, lease_until) = (Arc::clone(engine), Duration::ZERO);
            let (is_quiet, is_single_copy) = (false, false);
            self.leading = Some(Leading { epoch, engine, lease_until, is_quiet, first, is_single_copy });
            is_news = true;
        }
        if let Some(leading) = &mut self.leading
            && leading.is_single_copy != news.is_single_copy
        {
            leading.is_single_copy = news.is_single_copy;
            is_news = true;
        }
        let Some(copy) = news.copy else { return is_news };
        let progress = news.running.filter(|(epoch, _)| *epoch == copy.epoch).map(|(_, progress)| progress);
        let is_shown = self.copy.as_ref().is_some_and(|shown| {
            shown.epoch == copy.epoch && progress.is_none_or(|now| Arc::ptr_eq(now, &shown.progress))
        });
        if let (false, Ok(key)) = (is_shown, news.copies.key()) {
            // Within an epoch a copy only grows.
            let known = self.copy.take().filter(|shown| shown.epoch == copy.epoch);
            self.copy = Some(OpenCopy {
                fit: known.map_or_else(Arc::default, |shown| shown.fit),
                epoch: copy.epoch,
                readers: Readers::new(&news.copies.data_file(copy.epoch), key),
                progress: progress.map_or_else(|| Progress::at(copy.frame), Arc::clone),
            });
            is_news = true;
        }
        is_news
    }

    /// Functions of this release may not run on the copy.
    pub(super) fn is_lacking(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.fit.is_lacking())
    }

    /// The copy can be handed on by this release, and not be served.
    pub(super) fn is_outdated(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.fit.is_outdated())
    }

    /// What a primary shows at the beginning of its epoch it holds from an older one.
    fn began_from(&self, position: Position) -> Option<Position> {
        let leading = self.leading.as_ref()?;
        let is_first = leading.epoch == position.epoch && position.frame <= leading.first;
        if is_first { self.history.start_of(position.epoch) } else { None }
    }

    /// Whether what stands at `position` survives the loss of any one region, and this host may say so.
    fn keeps(&self, position: Position, now: Duration) -> bool {
        // Somebody else may lead by now; what this host calls kept may not be.
        let may_say = self.leading.as_ref().is_none_or(|leading| now < leading.lease_until);
        may_say && self.is_acknowledged(position)
    }

    /// What stands at an acknowledged `position`, under a name that lasts: as long as nothing of an epoch is
    /// acknowledged nothing may grow out of it, and what it began from is the same.
    fn lasting(&self, position: Position) -> Position {
        match self.acked {
            Some(acked) if acked.epoch < position.epoch => self.began_from(position).unwrap_or(position),
            _ => position,
        }
    }

    fn is_acknowledged(&self, position: Position) -> bool {
        if position.epoch < self.history.newest() && !self.history.holds(position) {
            // A person accepted its loss.
            return false;
        }
        match self.acked {
            Some(acked) if acked.epoch == position.epoch => acked.frame >= position.frame,
            // Of an older epoch: what the newer one grew out of.
            Some(acked) if acked.epoch > position.epoch => self.history.holds(position),
            Some(acked) => self
                .began_from(position)
                .is_some_and(|start| start.epoch == acked.epoch && start.frame <= acked.frame),
            None => false,
        }
    }
}

impl Group for ReplicatedGroup {
    fn begin_read(&self, deadline: Instant, older: Option<Older>) -> Result<View, SqlError> {
        let copy = self.copy()?;
        self.check_fit(&copy)?;
        match older.and_then(|older| self.settled(older.not_before, deadline)) {
            Some(settled) => Ok(settled),
            None => Ok(View { snapshot: copy.readers.begin(deadline)?, at: None }),
        }
    }

    fn begin_read_now(&self, deadline: Instant, older: Option<Older>) -> Option<View> {
        let copy = self.copy().ok()?;
        if !copy.fit.is_known_to_fit() || older.is_some() && self.waits() {
            return None;
        }
        Some(View { snapshot: copy.readers.begin_now(deadline)?, at: None })
    }

    fn turn(&self) -> BoxFuture<'_, Result<OwnedSemaphorePermit, Failure>> {
        self.turn.wait().boxed()
    }

    fn begin_write(self: Arc<Self>, turn: OwnedSemaphorePermit) -> Result<Transaction, SqlError> {
        self.check_fit(&self.copy()?)?;
        let (writer, deadline) = self.writer()?;
        Ok(Transaction::new(Box::new(writer), deadline, turn))
    }

    fn begin_change(self: Arc<Self>, turn: OwnedSemaphorePermit) -> Result<Transaction, SqlError> {
        let (writer, deadline) = self.writer()?;
        Ok(Transaction::new(Box::new(writer.alone()), deadline, turn))
    }

    fn flush<'a>(&'a self, turn: &'a OwnedSemaphorePermit) -> BoxFuture<'a, ()> {
        self.carry_out(turn).boxed()
    }

    fn hold_limit(&self) -> Duration {
        self.turn.hold_limit()
    }

    fn newest(&self) -> Option<Position> {
        let copy = self.serving.borrow().copy.clone()?;
        Some(Position::new(copy.epoch, copy.progress.newest()))
    }

    fn kept(&self, position: Position) -> BoxFuture<'_, Option<Position>> {
        let mut serving = self.serving.subscribe();
        async move {
            let began = Instant::now();
            let kept = serving.wait_for(|serving| serving.keeps(position, now()));
            let is_kept = matches!(tokio::time::timeout(KEPT_WITHIN, kept).await, Ok(Ok(_)));
            metrics::histogram!("locum_edge_acknowledgement_wait_seconds")
                .record(began.elapsed().as_secs_f64());
            // The lease may have ended while the answer to this question was on its way.
            let serving = self.serving.borrow();
            (is_kept && serving.keeps(position, now())).then(|| serving.lasting(position))
        }
        .boxed()
    }
}

/// A frame's place in a copy that may hold none yet.
pub(super) fn position(epoch: Epoch, frame: Option<FrameNo>) -> Option<Position> {
    frame.map(|frame| Position::new(epoch, frame))
}

/// The clock of leases: it runs on while the machine sleeps.
pub(super) fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
