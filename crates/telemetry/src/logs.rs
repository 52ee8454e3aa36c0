//! JSON lines on standard error. Constant messages, data in fields; never health data, never a token.

use std::io;
use std::panic;

use tracing::error;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

use crate::TelemetryError;

/// Libraries that log what strangers sent, and from where.
const NEVER: &str = "hickory_proto=off,hickory_net=off,hickory_server=off";

pub(crate) fn init() -> Result<(), TelemetryError> {
    let filter = std::env::var("LOCUM_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(format!("{filter},{NEVER}")).map_err(TelemetryError::Filter)?;
    let lines = fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines.with_writer(io::stderr))
        .try_init()
        .map_err(TelemetryError::Logs)?;
    log_panics_without_their_text();
    Ok(())
}

/// A panic's text may quote the data it stumbled over, so only its place is logged.
fn log_panics_without_their_text() {
    panic::set_hook(Box::new(|panicked| {
        let place = panicked.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "panicked");
    }));
}
