//! This member as a vantage point: probes every node, and hands what it sees to whoever leads.

use std::sync::Arc;

use anyhow::Context as _;
use locum_identity::NodeIdentity;
use locum_mesh::{Client, Limits};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::config::Config;
use crate::health::REPORT_EVERY;
use crate::probe::{Means, Prober, client_config};
use crate::process::Own;
use crate::service::Service;

/// A member that looks.
pub(crate) struct Vantage {
    me: NodeIdentity,
    prober: Arc<Prober>,
    mesh: Arc<Client>,
}

impl Vantage {
    /// Looks at nobody yet.
    pub(crate) fn new(config: &Config, own: &Own) -> anyhow::Result<Self> {
        let credentials = own.credentials()?;
        let from = config.mesh_listen.ip();
        let mesh = match from.is_unspecified() {
            true => Client::new(config.mesh_listen, &credentials, Limits::default())?,
            false => Client::from(from, &credentials, Limits::default())?,
        };
        let mesh = Arc::new(mesh);
        let tls = client_config(config.probe_trust.as_deref()).context("probe_trust")?;
        let means = Means { zone: config.zone.clone(), own: config.probe_from, tls, mesh: Arc::clone(&mesh) };
        let prober = Arc::new(Prober::new(means));
        // One member: it leads.
        prober.write_canaries(true);
        Ok(Self { me: own.identity.clone(), prober, mesh })
    }

    /// For canaries, which need certificates of the day.
    pub(crate) fn mesh(&self) -> &Arc<Client> {
        &self.mesh
    }

    /// Looks and reports until `stop`.
    pub(crate) fn start(self, service: Service, stop: &CancellationToken, tasks: &TaskTracker) {
        tasks.spawn(Arc::clone(&self.prober).run(service.targets(), stop.clone()));
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
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
                () = self.prober.news() => {}
            }
            if let Err(refusal) = service.observed(self.me.clone(), self.prober.report()).await {
                debug!(error = &refusal as &dyn std::error::Error, "report not taken");
            }
        }
    }
}
