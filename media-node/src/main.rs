//! `locum-media`: the media node.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use locum_media::config::Config;
use locum_telemetry::config::exit_64;
use tracing::error;

/// Media node of a Locum network.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file.
    #[arg(long)]
    config: PathBuf,
    /// Checks the configuration and exits.
    #[arg(long)]
    check: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = Config::load(&arguments.config).unwrap_or_else(|error| exit_64(&error));
    if arguments.check {
        return ExitCode::SUCCESS;
    }
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "media node failed");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let telemetry = locum_telemetry::init("media")?;
    locum_telemetry::cores::forbid()?;
    // The media libraries log by this crate, at every level: addresses, passwords of ICE, session
    // descriptions.
    log::set_max_level(log::LevelFilter::Off);
    log_panics();
    let stop = locum_telemetry::signals::shutdown()?;
    locum_media::node::run(config, telemetry, stop).await
}

/// Where, not what: a panic's text may quote what a client sent.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(location, "panic");
    }));
}
