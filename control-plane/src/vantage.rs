//! This member as a vantage point: probes every node, and hands what it sees to whoever leads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use locum_mesh::Client;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::config::Config;
use crate::health::REPORT_EVERY;
use crate::membership::Record;
use crate::probe::{Means, Prober, Targets, client_config, targets};
use crate::service::Service;

/// Between two tries to find somebody who takes a report.
const AGAIN: Duration = Duration::from_millis(200);

/// A member that looks.
pub(crate) struct Vantage(Arc<Prober>);

impl Vantage {
    /// Looks at nobody yet. Canaries go through `mesh`.
    pub(crate) fn new(config: &Config, mesh: Arc<Client>) -> anyhow::Result<Self> {
        let tls = client_config(config.probe_trust.as_deref()).context("probe_trust")?;
        let means = Means { zone: config.zone.clone(), own: config.probe_from, tls, mesh };
        Ok(Self(Arc::new(Prober::new(means))))
    }

    /// Looks at whoever is in `record`, and reports, until `stop`.
    pub(crate) fn start(
        self,
        service: Service,
        record: watch::Receiver<Arc<Record>>,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) {
        let (told, targets) = watch::channel(Arc::default());
        tasks.spawn(Arc::clone(&self.0).run(targets, stop.clone()));
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keep_targets(record, &told) => {}
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
                // Between two leaders: the next one waits for it.
                ticks.reset_after(AGAIN);
            }
        }
    }
}

/// Whoever is in the record is looked at. Ends when it is not followed any more.
async fn keep_targets(mut record: watch::Receiver<Arc<Record>>, told: &watch::Sender<Arc<Targets>>) {
    loop {
        let current = targets(&record.borrow_and_update());
        told.send_if_modified(|known| {
            let changed = **known != current;
            if changed {
                *known = Arc::new(current);
            }
            changed
        });
        if record.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
