//! The metrics of a process, as Prometheus reads them.

use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::{TelemetryError, process};

/// Bounds of every histogram whose name ends in `_seconds`: 0.1 ms to 10 s.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bounds of every histogram whose name ends in `_bytes`: 256 B to 16 MiB.
const BYTES: [f64; 9] =
    [256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// The metrics of this process.
#[derive(Clone)]
pub struct Telemetry {
    handle: PrometheusHandle,
}

impl Telemetry {
    pub(crate) fn install(service: &'static str) -> Result<Self, TelemetryError> {
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES))
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(TelemetryError::Metrics)?;
        gauge!("locum_build_info", "service" => service, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        process::describe();
        Ok(Self { handle })
    }

    /// Every metric in Prometheus's text format.
    pub fn render(&self) -> String {
        process::measure();
        self.handle.render()
    }

    /// Folds what histograms collected, so that a process nobody scrapes does not grow.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}
