//! `locum`: one command to run and watch a network.

mod audit;
mod backup;
mod binaries;
mod client;
mod drill;
mod look;
mod metrics;
mod process;
mod promote;
mod restore;
mod site;
mod status;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Run and watch a Locum network.
#[derive(Parser)]
#[command(name = "locum", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, or stopped as asked; 1 something failed, standard error says what; \
2 the command line is wrong; 64 a configuration file is wrong.";

#[derive(Subcommand)]
enum Command {
    /// Who saw and who changed what.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Backups of the records: take, list, verify and try them.
    #[command(subcommand)]
    Backup(backup::Backup),
    /// Take something away from a running network, and measure how it comes back.
    #[command(subcommand)]
    Drill(drill::Drill),
    /// Bring records back from backup, keyring and key, to a network on this machine that does not run yet.
    Restore(restore::Options),
    /// Run a whole network on this machine, with a demo clinic. Ctrl-C stops it; the data stays.
    Up(up::Options),
    /// Move the primary of a record group to another region. Shows what it would cost; carries it out only with
    /// --yes. Run it on the machine of the control plane's member.
    Promote(promote::Options),
    /// Show the processes of a network that runs on this machine, and what the node list says.
    Status {
        /// The folder of the network.
        #[arg(long, default_value = ".locum", value_name = "FOLDER")]
        data: PathBuf,
        /// One JSON document instead of a table.
        #[arg(long)]
        json: bool,
        /// Look again every second, until interrupted.
        #[arg(long, conflicts_with = "json")]
        watch: bool,
    },
}

/// One thread: a child that dies with its parent dies with the *thread* that started it (prctl(2)).
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Audit(command) => audit::run(command),
        Command::Backup(command) => backup::run(command).await,
        Command::Drill(command) => drill::run(command).await,
        Command::Restore(options) => restore::run(&options),
        Command::Up(options) => up::run(options).await,
        Command::Promote(options) => promote::run(options),
        Command::Status { data, watch: true, .. } => status::watch::run(&data).await,
        Command::Status { data, json, .. } => status::run(&data, json).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stderr, reason = "a command-line tool's errors go to standard error")]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
