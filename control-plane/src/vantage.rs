//! This member as a vantage point: probes every node, and hands what it sees to whoever leads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use locum_mesh::Client;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::config::Config;
use crate::health::REPORT_EVERY;
use crate::probe::{Means, Prober, Targets, client_config, targets};
use crate::quorum::Quorum;
use crate::service::Service;
use crate::store;

/// Whom to probe is looked up in the record again no sooner than this.
const TARGETS_EVERY: Duration = Duration::from_millis(100);

/// A member that looks.
pub(crate) struct Vantage(Arc<Prober>);

impl Vantage {
    /// Looks at nobody yet. Canaries go through `mesh`.
    pub(crate) fn new(config: &Config, mesh: Arc<Client>) -> anyhow::Result<Self> {
        let tls = client_config(config.probe_trust.as_deref()).context("probe_trust")?;
        let means = Means { zone: config.zone.clone(), own: config.probe_from, tls, mesh };
        Ok(Self(Arc::new(Prober::new(means))))
    }

    /// Looks and reports until `stop`.
    pub(crate) fn start(self, service: Service, stop: &CancellationToken, tasks: &TaskTracker) {
        let (told, targets) = watch::channel(Arc::default());
        tasks.spawn(Arc::clone(&self.0).run(targets, stop.clone()));
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keep_targets(&service, &told) => {}
                () = self.keep_reporting(&service) => {}
            }
        });
    }

    /// Every second, and at once when something should not wait.
    async fn keep_reporting(&self, service: &Service) {
        let mut ticks = interval(REPORT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.0.news() => {}
            }
            self.0.write_canaries(service.life.borrow().is_some());
            if let Err(refusal) = service.observed(self.0.report()).await {
                debug!(error = &refusal as &dyn std::error::Error, "report not taken");
            }
        }
    }
}

/// Whoever is in the record, as this member knows it, is looked at: also while nobody leads. Ends with the quorum.
async fn keep_targets(service: &Service, told: &watch::Sender<Arc<Targets>>) {
    let (mut standing, mut revision) = (service.quorum.standing(), None);
    loop {
        let held = service.quorum.held();
        if revision != Some(held.revision)
            && !held.record.is_null()
            // One that cannot be read ends this member's reigns, and says so there.
            && let Ok(record) = store::read(&held.record)
        {
            let current = targets(&record);
            told.send_if_modified(|known| {
                let changed = **known != current;
                if changed {
                    *known = Arc::new(current);
                }
                changed
            });
        }
        revision = Some(held.revision);
        sleep(TARGETS_EVERY).await;
        if standing.changed().await.is_err() {
            // It ends, and says so elsewhere.
            return std::future::pending().await;
        }
    }
}
