//! A copy of one epoch: a database file that follows the primary's replication log.
//!
//! The log comes as a stream that the primary feeds with every commit, so nobody polls. Transactions that are
//! there already are taken in together, with one sync.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use locum_replication::{Epoch, FrameNo, Position};
use locum_telemetry::config::chain;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::applier::{self, Applied, Applier, FrameError, Pending, Stamp};
use super::log_client::{LogClient, LogError, LogSource, refused};
use crate::store::SqlError;
use crate::store::sqlite::DatabaseKey;

/// Before trying again after the stream broke.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// Frames that are taken in together at most; a transaction of more is not divided.
const FRAMES_AT_ONCE: usize = 1_024;
/// The copy's own log moves into its file when it has so many pages.
const CHECKPOINT_PAGES: usize = 1_000;
/// 1 GiB of log: comparing pages with the primary is quicker than reading so much.
const TOO_MANY_FRAMES: u64 = 1 << 18;

/// Longest wait for a compacted log, and between two looks. It has some ten thousand frames.
const COMPACTED_WITHIN: Duration = Duration::from_secs(4);
const COMPACTED_LOOK: Duration = Duration::from_millis(20);

/// How far a copy has come. Shared with whoever waits for it.
pub(super) struct Progress {
    /// The newest frame that may be in the file: set before it is written.
    newest: AtomicU64,
    held: watch::Sender<Held>,
    /// Pages of the copy's own log, when it was last looked at.
    log_pages: AtomicU32,
}

/// What is synced to disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Held {
    /// The last commit.
    pub(super) frame: Option<FrameNo>,
    /// Everything was there that the engine had when the copy first reached it. Before that it may lack what
    /// others have acknowledged: they can be ahead of the primary's own copy, which it was made from.
    pub(super) is_complete: bool,
    /// The log does not bring the rest: the copy has to be compared with the primary's.
    pub(super) is_stranded: bool,
}

/// What a copy is when it begins to follow.
#[derive(Clone, Copy)]
pub(super) enum Origin {
    /// A copy of this epoch already. `is_complete`: it once held all that the primary had.
    Began { is_complete: bool },
    /// The very file that the engine started with; its log then stood at this frame.
    Cloned(FrameNo),
}

/// What follows what.
pub(super) struct Following {
    pub(super) epoch: Epoch,
    pub(super) path: PathBuf,
    pub(super) key: DatabaseKey,
    pub(super) source: Arc<dyn LogSource>,
}

/// Follows the log until told to stop.
pub(super) struct Replica {
    pub(super) progress: Arc<Progress>,
    /// Only ever locked on a blocking thread.
    pub(super) applier: Arc<Mutex<Applier>>,
    stop: CancellationToken,
    done: tokio::task::JoinHandle<()>,
}

/// The copy does not follow.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplicaError {
    #[error("open the copy {path}")]
    Open {
        path: PathBuf,
        #[source]
        source: SqlError,
    },
    #[error("the copy {0} is not one of this epoch")]
    NotOfThisEpoch(PathBuf),
    #[error("follow the log")]
    Log(#[source] LogError),
    #[error("follow the log")]
    Frame(#[source] FrameError),
    #[error("the log is too far ahead")]
    TooFarBehind,
    /// One engine serves one log in one epoch.
    #[error("another log than the one this copy follows")]
    AnotherLog,
    #[error("write the copy")]
    Apply(#[source] SqlError),
    #[error("the stream has ended")]
    Ended,
}

struct Follower {
    epoch: Epoch,
    source: Arc<dyn LogSource>,
    /// Only ever locked on a blocking thread.
    applier: Arc<Mutex<Applier>>,
    /// Where the copy stands, once that is known.
    stamp: Option<Stamp>,
    /// Where the file stands in a log whose id is not known yet.
    seed: Option<FrameNo>,
    /// The engine's newest frame at the first greeting.
    goal: Option<FrameNo>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    /// Pages written since the last checkpoint.
    unchecked: usize,
    /// What comes next was compacted.
    is_compacted: bool,
}

impl Progress {
    /// Of a copy that nothing follows.
    pub(super) fn at(frame: FrameNo) -> Arc<Self> {
        Self::new(Some(frame), true)
    }

    fn new(frame: Option<FrameNo>, is_complete: bool) -> Arc<Self> {
        let newest = AtomicU64::new(frame.map_or(0, |frame| frame.0));
        let held = watch::Sender::new(Held { frame, is_complete, is_stranded: false });
        Arc::new(Self { newest, held, log_pages: AtomicU32::new(0) })
    }

    /// At most this is visible to a reader that has begun.
    pub(super) fn newest(&self) -> FrameNo {
        FrameNo(self.newest.load(Ordering::Acquire))
    }

    /// What is held, now and whenever it changes.
    pub(super) fn held(&self) -> watch::Receiver<Held> {
        self.held.subscribe()
    }

    pub(super) fn is_stranded(&self) -> bool {
        self.held.borrow().is_stranded
    }

    pub(super) fn log_pages(&self) -> u32 {
        self.log_pages.load(Ordering::Relaxed)
    }

    pub(super) fn log_is(&self, pages: u32) {
        self.log_pages.store(pages, Ordering::Relaxed);
    }

    fn may_show(&self, frame: FrameNo) {
        self.newest.fetch_max(frame.0, Ordering::AcqRel);
    }

    /// `goal`: from here on the copy is complete.
    fn hold(&self, frame: FrameNo, goal: FrameNo) {
        self.held.send_modify(|held| {
            held.frame = Some(frame);
            held.is_complete |= frame >= goal;
        });
    }

    fn strand(&self) {
        self.held.send_modify(|held| held.is_stranded = true);
    }
}

impl Replica {
    /// Opens the copy and follows its log.
    pub(super) async fn follow(following: Following, origin: Origin) -> Result<Self, ReplicaError> {
        let Following { epoch, path, key, source } = following;
        let stop = CancellationToken::new();
        let opened = {
            let (path, stop) = (path.clone(), stop.clone());
            tokio::task::spawn_blocking(move || Applier::open(&path, &key, stop))
        };
        let opened = opened.await.map_err(|_| ReplicaError::Ended)?;
        let (applier, stamp) = opened.map_err(|source| ReplicaError::Open { path: path.clone(), source })?;
        let (stamp, seed, is_complete) = match origin {
            Origin::Began { is_complete } => {
                let stamp = stamp.filter(|stamp| stamp.position.epoch == epoch);
                (Some(stamp.ok_or(ReplicaError::NotOfThisEpoch(path))?), None, is_complete)
            }
            Origin::Cloned(frame) => (None, Some(frame), false),
        };
        let progress = Progress::new(stamp.map(|stamp| stamp.position.frame), is_complete);
        let applier = Arc::new(Mutex::new(applier));
        let follower = Follower {
            epoch,
            source,
            applier: Arc::clone(&applier),
            stamp,
            seed,
            goal: None,
            progress: Arc::clone(&progress),
            stop: stop.clone(),
            unchecked: 0,
            is_compacted: false,
        };
        let done = tokio::spawn(follower.run());
        Ok(Self { progress, applier, stop, done })
    }

    /// Stops following. When this returns nothing writes to the copy any more.
    pub(super) async fn stop(self) -> Held {
        self.stop.cancel();
        // It only ends by itself; a panic in it was logged when it happened.
        let _ = self.done.await;
        *self.progress.held.borrow()
    }
}

impl Follower {
    async fn run(mut self) {
        while !self.stop.is_cancelled() {
            let Err(error) = self.follow().await else { return };
            if self.stop.is_cancelled() {
                return;
            }
            // Its text can name addresses, never rows.
            let error_text = chain(&error);
            match error {
                // As after every compaction, to whoever had not read the very last of the old log. Not the
                // compacted log itself: that is asked for once.
                ReplicaError::Log(LogError::TooFarBehind) if !self.is_compacted => {
                    self.is_compacted = true;
                    continue;
                }
                ReplicaError::TooFarBehind
                | ReplicaError::Log(LogError::TooFarBehind)
                | ReplicaError::Frame(_) => {
                    tracing::info!(error = error_text, "the copy will be compared with the primary's");
                    return self.progress.strand();
                }
                ReplicaError::AnotherLog | ReplicaError::Apply(_) => {
                    tracing::error!(error = error_text, "the copy does not follow");
                }
                _ => tracing::debug!(error = error_text, "replication stream broke"),
            }
            let _ = tokio::time::timeout(RETRY_AFTER, self.stop.cancelled()).await;
        }
    }

    /// Until told to stop, or the stream breaks: what has begun to be taken in always ends.
    async fn follow(&mut self) -> Result<(), ReplicaError> {
        let stop = self.stop.clone();
        let mut client = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            client = LogClient::open(&self.source) => client.map_err(ReplicaError::Log)?,
        };
        let stamp = self.settle(&client).await?;
        let mut last = stamp.position.frame;
        if client.newest.0.saturating_sub(last.0) > TOO_MANY_FRAMES {
            return Err(ReplicaError::TooFarBehind);
        }
        if std::mem::take(&mut self.is_compacted) {
            last = self.take_in_compacted(&mut client, stamp).await?;
        }
        let mut frames = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            frames = client.frames(last) => frames.map_err(ReplicaError::Log)?.ready_chunks(FRAMES_AT_ONCE),
        };
        let mut pending = Pending::default();
        loop {
            let chunk = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                chunk = frames.next() => chunk.ok_or(ReplicaError::Ended)?,
            };
            for frame in chunk {
                let frame = frame.map_err(|status| ReplicaError::Log(refused(status)))?;
                pending.push(last, &frame.data).map_err(ReplicaError::Frame)?;
            }
            if let Some(transaction) = pending.take(self.epoch) {
                last = transaction.last.frame;
                self.take_in(stamp.log, transaction).await?;
            }
        }
    }

    /// The engine makes its compacted log beside its work; meanwhile nothing of it can be had.
    async fn take_in_compacted(
        &mut self,
        client: &mut LogClient,
        stamp: Stamp,
    ) -> Result<FrameNo, ReplicaError> {
        let after = stamp.position.frame;
        let asked = Instant::now();
        let frames = loop {
            match client.compacted(after).await {
                Err(LogError::NotYet) if asked.elapsed() < COMPACTED_WITHIN => {
                    tokio::time::sleep(COMPACTED_LOOK).await;
                }
                Err(LogError::NotYet | LogError::TooFarBehind) => return Err(ReplicaError::TooFarBehind),
                frames => break frames.map_err(ReplicaError::Log)?,
            }
            if self.stop.is_cancelled() {
                return Ok(after);
            }
        };
        let taken = applier::compacted(self.epoch, after, &frames).map_err(ReplicaError::Frame)?;
        let last = taken.last.frame;
        self.take_in(stamp.log, taken).await?;
        Ok(last)
    }

    /// Makes sure that it is this copy's log, and says from where on it is wanted.
    async fn settle(&mut self, client: &LogClient) -> Result<Stamp, ReplicaError> {
        let stamp = match (self.stamp, self.seed) {
            (Some(stamp), _) if stamp.log != client.log_id => return Err(ReplicaError::AnotherLog),
            (Some(stamp), _) => stamp,
            (None, seed) => {
                let position = Position::new(self.epoch, seed.ok_or(ReplicaError::Ended)?);
                let stamp = Stamp { position, log: client.log_id };
                self.progress.may_show(position.frame);
                self.blocking(move |applier| applier.stamp(stamp)).await?;
                *self.stamp.insert(stamp)
            }
        };
        let goal = *self.goal.get_or_insert(client.newest);
        self.progress.hold(stamp.position.frame, goal);
        Ok(stamp)
    }

    async fn take_in(&mut self, log: u32, transaction: Applied) -> Result<(), ReplicaError> {
        let (position, pages) = (transaction.last, transaction.pages.len());
        self.progress.may_show(position.frame);
        self.blocking(move |applier| applier.apply(log, &transaction)).await?;
        self.stamp = Some(Stamp { position, log });
        self.progress.hold(position.frame, self.goal.unwrap_or(position.frame));
        self.unchecked += pages;
        if self.unchecked < CHECKPOINT_PAGES {
            return Ok(());
        }
        // After it is reported: nobody waits for this.
        self.unchecked = 0;
        let pages = self.blocking(Applier::checkpoint).await?;
        self.progress.log_is(pages);
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Applier) -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, ReplicaError> {
        let applier = Arc::clone(&self.applier);
        let worked = tokio::task::spawn_blocking(move || {
            work(&mut applier.lock().unwrap_or_else(PoisonError::into_inner))
        });
        worked.await.map_err(|_| ReplicaError::Ended)?.map_err(ReplicaError::Apply)
    }
}
