//! Keeps the zone true: makes its next generation whenever the view changes, a file does, or time alone makes a
//! difference, and hands it to all who answer.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use metrics::{counter, gauge, histogram};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::sources::Files;
use super::view::ZoneView;
use super::zone::{Settings, Snapshot};

/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Signatures are made anew long before they end: they are valid for two days.
const RENEW_AFTER: Duration = Duration::from_secs(12 * 60 * 60);

/// See the module.
pub(super) struct Keeper {
    pub(super) settings: Arc<Settings>,
    pub(super) files: Files,
    pub(super) views: watch::Receiver<ZoneView>,
    made: Instant,
    calm_at_ms: Option<i64>,
}

impl Keeper {
    /// With the files read. Blocks.
    pub(super) fn new(settings: Settings, mut files: Files, views: watch::Receiver<ZoneView>) -> Self {
        files.refresh();
        Self { settings: Arc::new(settings), files, views, made: Instant::now(), calm_at_ms: None }
    }

    /// The next generation. Blocks, for milliseconds.
    pub(super) fn make(&mut self) -> Arc<Snapshot> {
        let begun = Instant::now();
        let mut view = self.views.borrow_and_update().clone();
        for (name, texts) in &self.files.texts {
            view.challenges.entry(name.clone()).or_default().extend(texts.iter().cloned());
        }
        let now_ms = unix_ms();
        let signers = self.files.signers.clone();
        let snapshot = Snapshot::new(&self.settings, &view, &self.files.map, signers, now_ms);
        self.made = begun;
        self.calm_at_ms = snapshot.calm_at_ms;
        histogram!("locum_dns_generation_seconds").record(begun.elapsed());
        counter!("locum_dns_generations_total").increment(1);
        gauge!("locum_dns_view_generation").set(view.generation as f64);
        gauge!("locum_dns_address_ranges").set(snapshot.ranges() as f64);
        gauge!("locum_dns_signed").set(f64::from(self.files.signers.is_some()));
        Arc::new(snapshot)
    }

    /// Until `stop`.
    pub(super) async fn run(mut self, snapshots: watch::Sender<Arc<Snapshot>>, stop: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut views = self.views.clone();
        loop {
            let viewed = tokio::select! {
                () = stop.cancelled() => return,
                changed = views.changed() => changed.is_ok(),
                _ = looks.tick() => false,
            };
            // Reading a large file takes seconds, and threads of the runtime are few.
            let worked = tokio::task::spawn_blocking(move || {
                let due = viewed | self.is_due();
                // What the quorum says does not wait for files.
                let first = due.then(|| self.make());
                (self, first)
            });
            let Ok((keeper, made)) = worked.await else { return error!("the zone's keeper died") };
            publish(&snapshots, made);
            let worked = tokio::task::spawn_blocking(move || {
                let mut keeper = keeper;
                let made = keeper.files.refresh().then(|| keeper.make());
                (keeper, made)
            });
            let Ok((keeper, made)) = worked.await else { return error!("the zone's keeper died") };
            publish(&snapshots, made);
            self = keeper;
        }
    }

    fn is_due(&self) -> bool {
        self.made.elapsed() >= RENEW_AFTER || self.calm_at_ms.is_some_and(|calm| calm <= unix_ms())
    }
}

fn publish(snapshots: &watch::Sender<Arc<Snapshot>>, made: Option<Arc<Snapshot>>) {
    if let Some(made) = made {
        snapshots.send_replace(made);
    }
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> i64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(unix.as_millis()).unwrap_or(i64::MAX)
}
