//! `locum-media`: the media node.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use locum_media::config::Config;
use locum_media::listen::Sockets;
use locum_media::{node, sandbox};
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

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let config = Config::load(&arguments.config).unwrap_or_else(|error| exit_64(&error));
    if arguments.check {
        return ExitCode::SUCCESS;
    }
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "media node failed");
            ExitCode::FAILURE
        }
    }
}

/// What has to be done by one thread, before there are others.
fn start(config: Config) -> anyhow::Result<()> {
    let telemetry = locum_telemetry::init("media")?;
    locum_telemetry::cores::forbid()?;
    // The media libraries log by this crate, at every level: addresses, passwords of ICE, session
    // descriptions.
    log::set_max_level(log::LevelFilter::Off);
    log_panics();
    node::create_private(&config.state_dir).context("create state_dir")?;
    if let Some(dir) = config.ready_file.as_deref().and_then(Path::parent) {
        std::fs::create_dir_all(dir).context("create the folder of ready_file")?;
    }
    let sockets = Sockets::bind(&config)?;
    sandbox::report(sandbox::close(&config.folders()).context("close the sandbox")?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("start the runtime")?.block_on(async {
        let stop = locum_telemetry::signals::shutdown()?;
        node::run(config, sockets, telemetry, stop).await
    })
}

/// Where, not what: a panic's text may quote what a client sent.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(location, "panic");
    }));
}
