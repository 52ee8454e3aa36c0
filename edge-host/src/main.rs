//! `locum-edge --config FILE [--check]`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use locum_telemetry::config::{chain, exit_64};

/// Edge host of a Locum network.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Configuration (TOML).
    #[arg(long)]
    config: PathBuf,
    /// Only say what is wrong with configuration and manifest; exit code 64 when something is.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let prepared = locum_edge::prepare(&arguments.config).unwrap_or_else(|error| exit_64(&error));
    if arguments.check {
        return ExitCode::SUCCESS;
    }
    match locum_edge::run(prepared) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may be what failed; whoever started the process reads this line.
            #[allow(clippy::print_stderr, reason = "last words of the process")]
            {
                eprintln!("error: {}", chain(&error));
            }
            ExitCode::FAILURE
        }
    }
}
