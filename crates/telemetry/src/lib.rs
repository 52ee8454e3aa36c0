//! What every process needs to be operated: logs, metrics, health endpoints, configuration, signals, drain.

pub mod config;
pub mod cores;
mod endpoints;
mod health;
mod logs;
mod metrics_registry;
mod process;
mod ready_file;
pub mod service_manager;
pub mod signals;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use endpoints::serve;
pub use health::Health;
pub use metrics_registry::Telemetry;
pub use ready_file::{ReadyFile, write_ready_file};

/// Logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Another subscriber is there already.
    #[error("set up logging")]
    Logs(#[source] tracing_subscriber::util::TryInitError),
    /// `LOCUM_LOG` does not parse.
    #[error("read the log filter in LOCUM_LOG")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Another recorder is there already.
    #[error("set up metrics")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
}

/// Sets up JSON logs on standard error (filter: `LOCUM_LOG`, default `info`) and the recorder behind
/// `metrics::…!`. Once a process, before anything logs.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(service: &'static str) -> Result<Telemetry, TelemetryError> {
    logs::init()?;
    Telemetry::install(service)
}

/// Waits for `stop`, then for `tasks` to end, at most `grace`. Says whether all ended.
pub async fn drain(grace: Duration, stop: CancellationToken, tasks: TaskTracker) -> bool {
    stop.cancelled().await;
    tasks.close();
    let clean = tokio::time::timeout(grace, tasks.wait()).await.is_ok();
    if !clean {
        warn!(left = tasks.len(), "grace period over");
    }
    clean
}
