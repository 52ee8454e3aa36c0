//! `locum`: one command to run and watch a network.

mod audit;
mod backup;
mod binaries;
mod breached;
mod client;
mod clinic;
mod control;
mod drain;
mod drill;
mod look;
mod member;
mod metrics;
mod output;
mod process;
mod promote;
mod restore;
mod site;
mod status;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Run and watch a Locum network.
#[derive(Parser)]
#[command(name = "locum", version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, or stopped as asked; 1 something failed, standard error says what; \
2 the command line is wrong; 64 a configuration file is wrong; 75 the control plane cannot do it at the moment.";

#[derive(Subcommand)]
enum Command {
    /// Who saw and who changed what.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Backups of the records: take, list, verify and try them.
    #[command(subcommand)]
    Backup(backup::Backup),
    /// Make the file by which edge hosts refuse passwords known from breaches, from the public list of their SHA-1 hashes.
    BreachedPasswords(breached::Options),
    /// Set clinics up from a bundle.
    #[command(subcommand)]
    Clinic(clinic::Command),
    /// Take something away from a running network, and measure how it comes back.
    #[command(subcommand)]
    Drill(drill::Drill),
    /// Bring records back from backup, keyring and key, to a network on this machine that does not run yet.
    Restore(restore::Options),
    /// Run a whole network on this machine, with a demo clinic. Ctrl-C stops it; the data stays.
    Up(up::Options),
    /// Move the primary of a record group to another region. Shows what it would cost; carries it out only with
    /// --yes. Run it on a machine where a member of the control plane is.
    Promote(promote::Options),
    /// The members of the control plane: show them, take one in, let one go.
    Member(member::Options),
    /// Take a node or a whole region out of service, until `locum undrain`: nobody new, calls and the records' primary
    /// move away. Shows what follows; carries it out only with --yes. Run it on a machine where a member of the control
    /// plane is.
    Drain(drain::Drain),
    /// Take a node or region back into service, once its records have caught up.
    Undrain(drain::Drain),
    /// Lead a record group in this region whenever that is possible.
    Pin(drain::Pin),
    /// Lead a record group wherever it happens to be.
    Unpin(drain::Group),
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
    let command = Arguments::parse().command;
    // What is verified here is opened here; and the processes that `up` starts inherit it.
    let done = match locum_telemetry::cores::forbid() {
        Ok(()) => run(command).await,
        Err(error) => Err(error.into()),
    };
    done.unwrap_or_else(|error| {
        output::complain(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Audit(command) => audit::run(command)?,
        Command::Backup(command) => backup::run(command).await?,
        Command::BreachedPasswords(options) => breached::run(&options)?,
        Command::Clinic(command) => return clinic::run(command).await,
        Command::Drill(command) => drill::run(command).await?,
        Command::Restore(options) => restore::run(&options).await?,
        Command::Up(options) => up::run(options).await?,
        Command::Promote(options) => return promote::run(options).await,
        Command::Drain(options) => return drain::drain("drain", &options).await,
        Command::Undrain(options) => return drain::drain("undrain", &options).await,
        Command::Pin(options) => return drain::pin(&options).await,
        Command::Unpin(options) => return drain::unpin(&options).await,
        Command::Member(options) => return member::run(options).await,
        Command::Status { data, watch: true, .. } => status::watch::run(&data).await?,
        Command::Status { data, json, .. } => status::run(&data, json).await?,
    }
    Ok(ExitCode::SUCCESS)
}
