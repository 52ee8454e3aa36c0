//! One task a group: while this host leads it, its backups are taken, its log is shipped, old ones go, and
//! drills are held. Its audit files are shipped by every host that has any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use locum_identity::RegionId;
use locum_telemetry::config::chain;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::audit_files::AuditFiles;
use super::begun::Begun;
use super::config::Schedule;
use super::drill::{DrillFolder, DrillResult};
use super::retaining;
use super::source::Source;
use super::taking::{self, Chain, Regions, TakeError, Taken};
use crate::store::{LocalCopy, RecordStore};

/// After a backup that failed.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// After a drill that found something.
const DRILL_AGAIN: Duration = Duration::from_secs(3_600);

/// Between looks at whether a drill is due.
const LOOK_AT_DRILLS: Duration = Duration::from_secs(60);

const TELL_AGE: Duration = Duration::from_secs(1);
/// Of a host that does not lead.
pub(crate) const NEVER: i64 = i64::MIN;

/// What an operator wants now.
pub(crate) enum Ask {
    Backup(oneshot::Sender<Result<Taken, String>>),
    Drill(oneshot::Sender<Result<DrillResult, String>>),
}

/// What a keeper is made of.
pub(crate) struct Keeper {
    pub(crate) source: Source,
    pub(crate) store: Arc<dyn RecordStore>,
    pub(crate) region: RegionId,
    pub(crate) schedule: Schedule,
    pub(crate) drills: DrillFolder,
    pub(crate) begun: Begun,
    /// This host has taken one since it started.
    pub(crate) has_backup: AtomicBool,
    /// The newest moment that could be restored, while this host leads, or else when it began to.
    pub(crate) newest_ms: AtomicI64,
}

/// Between two looks.
struct State {
    chain: Option<Chain>,
    /// No whole backup by itself before then.
    not_before: Instant,
}

const NOT_HERE: &str = "this host does not lead the record group";

impl Keeper {
    /// Until `stop`: a backup that is on its way then is none.
    pub(crate) async fn run(self, mut asks: mpsc::Receiver<Ask>, stop: CancellationToken) {
        let mut ticks = self.ticks();
        let mut state = State { chain: None, not_before: Instant::now() };
        let working = async {
            loop {
                tokio::select! {
                    _ = ticks.tick() => self.look(&mut state).await,
                    ask = asks.recv() => match ask {
                        Some(ask) => self.answer(&mut state, ask).await,
                        None => return,
                    },
                }
            }
        };
        tokio::select! {
            () = working => {}
            // Beside the log, which goes on meanwhile.
            () = self.hold_drills() => {}
            () = self.ship_audit_files() => {}
            () = self.tell_age() => {}
            () = stop.cancelled() => {}
        }
    }

    fn ticks(&self) -> tokio::time::Interval {
        let mut ticks = tokio::time::interval(self.schedule.segments);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks
    }

    /// For ever.
    async fn hold_drills(&self) {
        let mut ticks = tokio::time::interval(LOOK_AT_DRILLS);
        loop {
            ticks.tick().await;
            if self.copy().is_some() {
                self.drill_if_due().await;
            }
        }
    }

    /// For ever.
    async fn ship_audit_files(&self) {
        let (mut files, mut ticks) = (AuditFiles::default(), self.ticks());
        let mut is_behind = false;
        loop {
            ticks.tick().await;
            let now = Timestamp::now();
            let shipped = files.ship(&self.source).await;
            if shipped.is_ok() {
                metrics::gauge!("locum_edge_backup_audit_newest_timestamp_seconds", &self.labels())
                    .set(now.as_second() as f64);
            }
            // Said when it begins and when it is over.
            match shipped {
                Ok(_) if is_behind => {
                    tracing::info!(group = %self.source.group, "audit files are shipped again");
                    is_behind = false;
                }
                Err(error) if !is_behind => {
                    let (group, error) = (&self.source.group, chain(&error));
                    tracing::warn!(%group, error, "audit files are not shipped");
                    is_behind = true;
                }
                _ => {}
            }
            metrics::gauge!("locum_edge_backup_audit_behind", &self.labels())
                .set(f64::from(u8::from(is_behind)));
        }
    }

    /// This host's copy, while it leads.
    fn copy(&self) -> Option<LocalCopy> {
        self.store.local_copy(&self.source.group)
    }

    async fn look(&self, state: &mut State) {
        let Some(copy) = self.copy() else {
            state.chain = None;
            self.newest_ms.store(NEVER, Ordering::Relaxed);
            return;
        };
        // What was there before it led is another host's to tell.
        let began = Timestamp::now().as_millisecond();
        let _ = self.newest_ms.compare_exchange(NEVER, began, Ordering::Relaxed, Ordering::Relaxed);
        let going_on = state.chain.take().filter(|chain| chain.is_of(&copy));
        match going_on {
            Some(chain) if chain.began.elapsed() < self.schedule.every => self.ship(state, chain).await,
            // The old log ends where the new backup begins.
            _ if Instant::now() >= state.not_before => {
                // Its error is logged; there is another look.
                let _ = self.whole(state, copy).await;
            }
            _ => {}
        }
    }

    async fn answer(&self, state: &mut State, ask: Ask) {
        // Whoever asked may have left: then nobody reads the answer.
        match ask {
            Ask::Backup(reply) => {
                let taken = match self.copy() {
                    Some(copy) => self.whole(state, copy).await.map_err(|error| chain(&error)),
                    None => Err(NOT_HERE.to_owned()),
                };
                let _ = reply.send(taken);
            }
            Ask::Drill(reply) => {
                let held = match self.copy() {
                    Some(_) => Ok(self.drills.run(&self.source.repository, &self.source.group).await),
                    None => Err(NOT_HERE.to_owned()),
                };
                let _ = reply.send(held);
            }
        }
    }

    async fn ship(&self, state: &mut State, mut going_on: Chain) {
        let labels = self.labels();
        // Before it looks: what is written meanwhile may be in it or not.
        let now = Timestamp::now();
        match going_on.ship(&self.source).await {
            Ok(bytes) => {
                metrics::counter!("locum_edge_backup_log_bytes_total", &labels).increment(bytes);
                self.is_newest(now);
            }
            Err(error) => {
                let group = &self.source.group;
                tracing::warn!(%group, error = chain(&error), "the log is not shipped");
                metrics::counter!("locum_edge_backup_failures_total", &labels).increment(1);
            }
        }
        // Without one the next look takes a whole backup.
        state.chain = (!going_on.is_over()).then_some(going_on);
    }

    async fn whole(&self, state: &mut State, copy: LocalCopy) -> Result<Taken, TakeError> {
        let (group, labels) = (&self.source.group, self.labels());
        state.not_before = Instant::now() + TRY_AGAIN;
        let taken = self.take(copy).await;
        metrics::gauge!("locum_edge_backup_success", &labels).set(f64::from(u8::from(taken.is_ok())));
        let (going_on, taken) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                tracing::error!(%group, error = chain(&error), "no backup was taken");
                metrics::counter!("locum_edge_backup_failures_total", &labels).increment(1);
                return Err(error);
            }
        };
        let (backup, bytes, seconds) = (&taken.manifest.id, taken.manifest.sealed_bytes, taken.seconds);
        let documents_missing = going_on.missing();
        tracing::info!(%group, %backup, bytes, seconds, documents_missing, "backup taken");
        state.chain = Some(going_on);
        self.has_backup.store(true, Ordering::Relaxed);
        state.not_before = Instant::now();
        metrics::gauge!("locum_edge_backup_bytes", &labels).set(bytes as f64);
        metrics::gauge!("locum_edge_backup_duration_seconds", &labels).set(seconds);
        let taken_at = taken.manifest.taken_at;
        metrics::gauge!("locum_edge_backup_timestamp_seconds", &labels).set(taken_at.as_second() as f64);
        self.is_newest(taken_at);
        if let Err(error) = retaining::remove_expired(&self.source, self.schedule.keep).await {
            tracing::warn!(%group, error = chain(&error), "old backups are not removed");
        }
        Ok(taken)
    }

    /// Removes what a former process of this host began and did not finish, then takes a whole backup.
    async fn take(&self, copy: LocalCopy) -> Result<(Chain, Taken), TakeError> {
        let (repository, group) = (&self.source.repository, &self.source.group);
        self.begun.tidy(repository, group).await?;
        let id = repository.name(Timestamp::now()).map_err(TakeError::Write)?;
        self.begun.note(group, &id)?;
        let regions = Regions { own: self.region.clone(), allowed: self.store.regions(group) };
        let taken = taking::whole(&self.source, id, regions, copy).await?;
        self.begun.clear(group)?;
        Ok(taken)
    }

    async fn drill_if_due(&self) {
        if let Some(last) = self.drills.last(&self.source.group) {
            // Of a former process, too.
            last.tell();
            let every = self.schedule.drill_every;
            let every = if last.problem.is_some() { every.min(DRILL_AGAIN) } else { every };
            let age = Timestamp::now().duration_since(last.at);
            if age < SignedDuration::try_from(every).unwrap_or(SignedDuration::MAX) {
                return;
            }
        }
        if self.has_backup.load(Ordering::Relaxed) {
            self.drills.run(&self.source.repository, &self.source.group).await;
        }
    }

    fn is_newest(&self, at: Timestamp) {
        self.newest_ms.store(at.as_millisecond(), Ordering::Relaxed);
        metrics::gauge!("locum_edge_backup_newest_timestamp_seconds", &self.labels())
            .set(at.as_second() as f64);
    }

    /// How much a disaster would cost now, also while the place does not answer. For ever. A host that does not
    /// lead has nothing to lose.
    async fn tell_age(&self) {
        let mut ticks = tokio::time::interval(TELL_AGE);
        loop {
            ticks.tick().await;
            let age = match self.newest_ms.load(Ordering::Relaxed) {
                NEVER => 0.0,
                newest => Timestamp::now().as_millisecond().saturating_sub(newest) as f64 / 1e3,
            };
            metrics::gauge!("locum_edge_backup_age_seconds", &self.labels()).set(age);
        }
    }

    fn labels(&self) -> [(&'static str, String); 1] {
        [("group", self.source.group.to_string())]
    }
}
