//! What was acknowledged, kept in view for when nothing more is: a primary whose follower died in the middle of a
//! write holds a commit that must not be shown, and goes on showing what was before it.
//!
//! At most two views are open: of the newest acknowledged position that could be caught, and of a later one that
//! waits to be acknowledged. Each is some connections inside one read transaction. They keep the copy's own log
//! from beginning anew, so now and then, when all is acknowledged, they are let go and taken again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use locum_replication::Position;
use locum_telemetry::config::chain;
use tokio_util::task::AbortOnDropHandle;

use super::applier::Applier;
use super::group::{OpenCopy, ReplicatedGroup, position};
use super::replica::Replica;
use crate::store::SqlError;
use crate::store::readers::{Home, Readers, Snapshot, end};
use crate::store::sqlite::Database;

/// Requests that read from one view at once; others wait.
const CONNECTIONS: usize = 4;
/// As long as something waits to be acknowledged for no longer, it is worth waiting for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Longest wait for one of the connections.
const LENT_WITHIN: Duration = Duration::from_secs(2);
/// The copy's own log begins anew when it is so long and all is acknowledged, or so long whatever is.
const LONG_LOG_PAGES: u32 = 1_000;
const LONGEST_LOG_PAGES: u32 = 16_000;

/// The views of one group on this host. They outlive the epoch whose copy they are of.
#[derive(Default)]
pub(super) struct Settled {
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    /// Acknowledged.
    shown: Option<View>,
    /// Takes its place once it is.
    next: Option<View>,
    waiting: Option<Waiting>,
}

/// Something is not acknowledged.
#[derive(Clone, Copy)]
struct Waiting {
    /// What is.
    acked: Option<Position>,
    /// Since when that is the newest.
    since: Instant,
}

/// Connections that all see the same.
struct View {
    position: Position,
    readers: Arc<Readers>,
    free: Vec<Database>,
}

/// Where a lent connection comes back to.
struct Lender {
    settled: Arc<Settled>,
    position: Position,
    readers: Arc<Readers>,
}

/// How a group stands, for those who look after its views.
pub(super) struct Standing<'a> {
    /// Whether a position is acknowledged.
    pub(super) is_kept: &'a dyn Fn(Position) -> bool,
    /// The newest one that is.
    pub(super) acked: Option<Position>,
}

impl Settled {
    /// Looks after the views of `replica`'s copy for as long as what is returned lives.
    pub(super) fn keep(group: &Arc<ReplicatedGroup>, replica: &Replica) -> AbortOnDropHandle<()> {
        let (progress, applier) = (Arc::clone(&replica.progress), Arc::clone(&replica.applier));
        let group = Arc::clone(group);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let (mut serving, mut held) = (group.serving.subscribe(), progress.held());
            loop {
                held.borrow_and_update();
                let copy = serving.borrow_and_update().copy.clone();
                if let Some(copy) = copy.filter(|copy| Arc::ptr_eq(&copy.progress, &progress)) {
                    let (group, applier) = (Arc::clone(&group), Arc::clone(&applier));
                    let looked = tokio::task::spawn_blocking(move || group.look_after(&copy, &applier));
                    // A panic in it was logged when it happened.
                    let _ = looked.await;
                }
                let changed = tokio::select! {
                    changed = serving.changed() => changed,
                    changed = held.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
            }
        }))
    }

    /// Where the acknowledged view stands, if there is one.
    pub(super) fn caught(&self) -> Option<Position> {
        self.state().shown.as_ref().map(|view| view.position)
    }

    /// Something was taken into `copy`, or acknowledged. Blocks.
    pub(super) fn look(&self, copy: &OpenCopy, applier: &Mutex<Applier>, standing: &Standing<'_>) {
        let looked = self.catch(copy, standing).and_then(|()| self.make_room(copy, applier, standing));
        if let Err(error) = looked {
            tracing::warn!(error = chain(&error), "what is acknowledged cannot be kept in view");
        }
    }

    /// Notes whether anything waits, and for how long. `newest`: what this host has.
    pub(super) fn note(&self, newest: Option<Position>, standing: &Standing<'_>) -> bool {
        let acked = standing.acked;
        let waiting = &mut self.state().waiting;
        match (newest.is_none_or(standing.is_kept), &*waiting) {
            (true, _) => *waiting = None,
            (false, Some(since)) if since.acked == acked => {}
            (false, _) => *waiting = Some(Waiting { acked, since: Instant::now() }),
        }
        waiting.is_some()
    }

    /// What was acknowledged last, once nothing more has been for a while; not from before `not_before`. Blocks
    /// while others read from it.
    pub(super) fn lend(
        self: &Arc<Self>,
        not_before: Option<Position>,
        deadline: Instant,
        standing: &Standing<'_>,
    ) -> Option<(Snapshot, Position)> {
        let until = deadline.min(Instant::now() + LENT_WITHIN);
        let mut state = self.state();
        loop {
            let waits = state.waiting.is_some_and(|waiting| waiting.since.elapsed() >= PATIENCE);
            let view = state.shown.as_mut().filter(|view| waits && Some(view.position) >= not_before)?;
            let position = view.position;
            if !(standing.is_kept)(position) {
                return None;
            }
            if let Some(database) = view.free.pop() {
                let readers = Arc::clone(&view.readers);
                let lender = Lender { settled: Arc::clone(self), position, readers };
                return Some((Snapshot::of(Arc::new(lender), database, deadline), position));
            }
            let left = until.checked_duration_since(Instant::now())?;
            let waited = self.returned.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Opens a view of what the copy holds, unless there is one, or one that waits.
    fn catch(&self, copy: &OpenCopy, standing: &Standing<'_>) -> Result<(), SqlError> {
        let held = position(copy.epoch, copy.progress.held().borrow().frame);
        self.note(held, standing);
        self.promote(standing);
        let Some(held) = held.filter(|held| self.wants(*held)) else { return Ok(()) };
        if let Some(view) = View::open(copy, held)? {
            self.state().next = Some(view);
            self.promote(standing);
        }
        Ok(())
    }

    /// One that waits of another epoch may wait for ever.
    fn wants(&self, held: Position) -> bool {
        let state = self.state();
        let waits = state.next.as_ref().is_some_and(|view| view.position.epoch == held.epoch);
        !waits && state.shown.as_ref().is_none_or(|view| view.position < held)
    }

    fn promote(&self, standing: &Standing<'_>) {
        let mut state = self.state();
        if let Some(next) = state.next.take_if(|next| (standing.is_kept)(next.position)) {
            state.shown = Some(next);
        }
    }

    /// Lets the copy's own log begin anew.
    fn make_room(
        &self,
        copy: &OpenCopy,
        applier: &Mutex<Applier>,
        standing: &Standing<'_>,
    ) -> Result<(), SqlError> {
        let pages = copy.progress.log_pages();
        if pages < LONG_LOG_PAGES || !self.may_let_go(copy, pages) {
            return Ok(());
        }
        // Nothing is taken in meanwhile.
        let mut applier = applier.lock().unwrap_or_else(PoisonError::into_inner);
        if applier.is_stopped() {
            return Ok(());
        }
        {
            let mut state = self.state();
            state.next = None;
            state.shown.take_if(|view| view.position.epoch == copy.epoch);
        }
        copy.progress.log_is(applier.checkpoint()?);
        self.catch(copy, standing)?;
        // The next write finds all of it in the file, and nobody who needs the log.
        copy.progress.log_is(0);
        Ok(())
    }

    /// All is acknowledged; or more is written than may be kept, and acknowledged as ever.
    fn may_let_go(&self, copy: &OpenCopy, pages: u32) -> bool {
        let state = self.state();
        let held = position(copy.epoch, copy.progress.held().borrow().frame);
        let is_settled = state.waiting.is_none() && state.shown.as_ref().map(|view| view.position) == held;
        let is_stuck = state.waiting.is_some_and(|waiting| waiting.since.elapsed() >= PATIENCE);
        is_settled || (pages >= LONGEST_LOG_PAGES && !is_stuck)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// `None`: something was taken in meanwhile, and nobody knows what is seen.
    fn open(copy: &OpenCopy, held: Position) -> Result<Option<Self>, SqlError> {
        if copy.progress.newest() != held.frame {
            return Ok(None);
        }
        let readers = Arc::clone(&copy.readers);
        let mut view = Self { position: held, readers, free: Vec::new() };
        for _ in 0..CONNECTIONS {
            let mut database = view.readers.connection()?;
            database.set_deadline(None);
            database.host("BEGIN", &[])?;
            // A transaction sees nothing before it has read.
            database.host("PRAGMA schema_version", &[])?;
            view.free.push(database);
        }
        Ok((copy.progress.newest() == held.frame).then_some(view))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.free.drain(..).for_each(|database| end(&self.readers, database));
    }
}

impl Home for Lender {
    fn take_back(&self, database: Database) {
        let mut state = self.settled.state();
        match state.shown.as_mut().filter(|view| view.position == self.position) {
            Some(view) if !database.is_autocommit() && view.free.len() < CONNECTIONS => {
                view.free.push(database);
                drop(state);
                self.settled.returned.notify_one();
            }
            _ => {
                drop(state);
                end(&self.readers, database);
            }
        }
    }
}
