//! One task a group: while this host leads it, its backups are taken, its log is shipped, old ones go, and
//! drills are held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use locum_backup::{Kept, ReadError, Repository, WriteError, expired};
use locum_identity::RegionId;
use locum_telemetry::config::chain;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::config::Schedule;
use super::drill::{DrillFolder, DrillResult};
use super::taking::{self, Chain, TakeError, Taken};
use crate::store::{GroupId, LocalCopy, RecordStore, Writer};

/// After a backup that failed.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// Between looks at whether a drill is due.
const LOOK_AT_DRILLS: Duration = Duration::from_secs(60);

/// What an operator wants now.
pub(crate) enum Ask {
    Backup(oneshot::Sender<Result<Taken, String>>),
    Drill(oneshot::Sender<Result<DrillResult, String>>),
}

/// What a keeper is made of.
pub(crate) struct Keeper {
    pub(crate) repository: Repository,
    pub(crate) store: Arc<dyn RecordStore>,
    pub(crate) group: GroupId,
    pub(crate) region: RegionId,
    pub(crate) schedule: Schedule,
    pub(crate) drills: DrillFolder,
    /// This host has taken one since it started.
    pub(crate) has_backup: AtomicBool,
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
        let mut ticks = tokio::time::interval(self.schedule.segments);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
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
            () = stop.cancelled() => {}
        }
    }

    /// For ever.
    async fn hold_drills(&self) {
        let mut ticks = tokio::time::interval(LOOK_AT_DRILLS);
        loop {
            ticks.tick().await;
            if self.copy().is_some() && self.has_backup.load(Ordering::Relaxed) {
                self.drill_if_due().await;
            }
        }
    }

    /// This host's copy, while it leads.
    fn copy(&self) -> Option<LocalCopy> {
        let leads = self.store.writer(&self.group) == Writer::Here;
        leads.then(|| self.store.local_copy(&self.group)).flatten()
    }

    async fn look(&self, state: &mut State) {
        let Some(copy) = self.copy() else {
            state.chain = None;
            return;
        };
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
                    Some(_) => Ok(self.drills.run(&self.repository, &self.group).await),
                    None => Err(NOT_HERE.to_owned()),
                };
                let _ = reply.send(held);
            }
        }
    }

    async fn ship(&self, state: &mut State, chain_so_far: Chain) {
        let labels = self.labels();
        match chain_so_far.ship().await {
            Ok((chain, bytes)) => {
                state.chain = Some(chain);
                metrics::counter!("locum_edge_backup_log_bytes_total", &labels).increment(bytes);
                self.now("locum_edge_backup_newest_timestamp_seconds");
            }
            Err((chain_so_far, error)) => {
                let group = &self.group;
                tracing::warn!(%group, error = chain(&error), "the log is not shipped");
                metrics::counter!("locum_edge_backup_failures_total", &labels).increment(1);
                // Without one the next look takes a whole backup.
                state.chain = chain_so_far;
            }
        }
    }

    async fn whole(&self, state: &mut State, copy: LocalCopy) -> Result<Taken, TakeError> {
        let (group, labels) = (&self.group, self.labels());
        state.not_before = Instant::now() + TRY_AGAIN;
        let taken = taking::whole(&self.repository, group, &self.region, copy).await;
        metrics::gauge!("locum_edge_backup_success", &labels).set(f64::from(u8::from(taken.is_ok())));
        let (going_on, taken) = match taken {
            Ok(taken) => taken,
            Err(error) => {
                tracing::error!(%group, error = chain(&error), "no backup was taken");
                metrics::counter!("locum_edge_backup_failures_total", &labels).increment(1);
                return Err(error);
            }
        };
        state.chain = Some(going_on);
        self.has_backup.store(true, Ordering::Relaxed);
        state.not_before = Instant::now();
        let (backup, bytes, seconds) = (&taken.manifest.id, taken.manifest.sealed_bytes, taken.seconds);
        tracing::info!(%group, %backup, bytes, seconds, "backup taken");
        metrics::gauge!("locum_edge_backup_bytes", &labels).set(bytes as f64);
        metrics::gauge!("locum_edge_backup_duration_seconds", &labels).set(seconds);
        self.now("locum_edge_backup_timestamp_seconds");
        self.now("locum_edge_backup_newest_timestamp_seconds");
        if let Err(error) = self.remove_expired().await {
            tracing::warn!(%group, error = chain(&error), "old backups are not removed");
        }
        Ok(taken)
    }

    async fn remove_expired(&self) -> Result<(), RetainError> {
        let found = self.repository.backups(&self.group).await.map_err(RetainError::List)?;
        let kept = found.into_iter().filter_map(|found| match found.manifest {
            Ok(_) => Some(Kept { id: found.id, is_good: true }),
            Err(ReadError::Unfinished(_)) => Some(Kept { id: found.id, is_good: false }),
            // With another key, or in a place that is in trouble: nothing to decide on.
            Err(_) => None,
        });
        let kept: Vec<Kept> = kept.collect();
        for id in expired(&kept, self.schedule.keep, Timestamp::now()) {
            self.repository.remove(&self.group, &id).await.map_err(RetainError::Remove)?;
            tracing::info!(group = %self.group, backup = %id, "old backup removed");
        }
        Ok(())
    }

    async fn drill_if_due(&self) {
        let every = SignedDuration::try_from(self.schedule.drill_every).unwrap_or(SignedDuration::MAX);
        let last = self.drills.last(&self.group);
        if let Some(last) = &last {
            let age = Timestamp::now().duration_since(last.at);
            metrics::gauge!("locum_edge_restore_drill_age_seconds", &self.labels()).set(age.as_secs_f64());
            if age < every {
                return;
            }
        }
        self.drills.run(&self.repository, &self.group).await;
    }

    fn now(&self, gauge: &'static str) {
        metrics::gauge!(gauge, &self.labels()).set(Timestamp::now().as_second() as f64);
    }

    fn labels(&self) -> [(&'static str, String); 1] {
        [("group", self.group.to_string())]
    }
}

/// Old backups stay.
#[derive(Debug, thiserror::Error)]
enum RetainError {
    #[error("list the backups")]
    List(#[source] ReadError),
    #[error("remove a backup")]
    Remove(#[source] WriteError),
}
