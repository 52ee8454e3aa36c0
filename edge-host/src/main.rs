//! `locum-edge --config FILE [--check | --verify-records]`, `locum-edge --precompile MANIFEST --cache-dir FOLDER`,
//! `locum-edge --verify-audit FILE... [--group GROUP]`, `locum-edge restore --from PLACE --key FILE --config FILE`,
//! `locum-edge tail --config FILE [GROUP/TAIL]`, `locum-edge audit-list --config FILE...`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use locum_edge::store::Verified;
use locum_edge::{
    AuditListOptions, AuditReport, Prepared, ReadTailError, RestoreError, RestoreOptions, TailOptions,
    VerifyAuditError,
};
use locum_telemetry::config::{chain, exit_64};

/// Edge host of a Locum network.
#[derive(Parser)]
#[command(version, about, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    task: Option<Task>,
    /// Configuration (TOML).
    #[arg(long, required_unless_present_any = ["precompile", "verify_audit"])]
    config: Option<PathBuf>,
    /// Only say what is wrong with configuration and manifest; exit code 64 when something is.
    #[arg(long)]
    check: bool,
    /// Only look whether the newest copy of each record group is whole in itself. The host must not run.
    #[arg(long, conflicts_with = "check")]
    verify_records: bool,
    /// Only compile the functions of this Spin manifest, for hosts whose `cache_dir` is the given one.
    #[arg(long, value_name = "MANIFEST", requires = "cache_dir")]
    precompile: Option<PathBuf>,
    /// Where compiled functions go.
    #[arg(long, value_name = "FOLDER", requires = "precompile")]
    cache_dir: Option<PathBuf>,
    /// Only verify the audit events on the disks of hosts with these configurations; exit code 1 when something
    /// was altered.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["config", "precompile"])]
    verify_audit: Vec<PathBuf>,
    /// This record group only.
    #[arg(long, requires = "verify_audit")]
    group: Option<String>,
}

/// What is done instead of running a host.
#[derive(Subcommand)]
enum Task {
    /// Bring record groups back from backup, keyring and key, to a host that has no records. Prints what came
    /// back, as JSON.
    Restore(RestoreOptions),
    /// What a lost primary held and nobody acknowledged: the list, or the rows of one.
    Tail(TailOptions),
    /// Who did what: audit events, one a line.
    AuditList(AuditListOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = locum_telemetry::cores::forbid() {
        return ended(Err(error));
    }
    match arguments.task {
        Some(Task::Restore(options)) => return restored(&options),
        Some(Task::Tail(options)) => return read_tails(&options),
        Some(Task::AuditList(options)) => return list_audit(&options),
        None => {}
    }
    if let (Some(manifest), Some(cache)) = (arguments.precompile, arguments.cache_dir) {
        return ended(locum_edge::precompile(&manifest, cache));
    }
    if !arguments.verify_audit.is_empty() {
        return verified(locum_edge::verify_audit(&arguments.verify_audit, arguments.group.as_deref()));
    }
    // clap has made sure that it is there.
    let config = arguments.config.unwrap_or_default();
    let prepared = locum_edge::prepare(&config).unwrap_or_else(|error| exit_64(&error));
    if arguments.check {
        return ExitCode::SUCCESS;
    }
    if arguments.verify_records {
        return verify_records(&prepared);
    }
    ended(locum_edge::run(prepared))
}

#[allow(clippy::print_stdout, reason = "the report is what was asked for")]
fn verified(reports: Result<Vec<AuditReport>, VerifyAuditError>) -> ExitCode {
    let reports = match reports {
        Ok(reports) => reports,
        Err(VerifyAuditError::Config(error)) => exit_64(&error),
        Err(error) => return ended(Err::<(), _>(error)),
    };
    for report in &reports {
        println!("{report}");
    }
    if reports.iter().all(AuditReport::is_sound) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[allow(clippy::print_stdout, reason = "what was asked for")]
fn restored(options: &RestoreOptions) -> ExitCode {
    match locum_edge::restore(options) {
        Err(RestoreError::Config(error)) => exit_64(&error),
        Err(error) => ended(Err::<(), _>(error)),
        Ok(restored) => {
            println!("{}", serde_json::json!({ "restored": restored }));
            ExitCode::SUCCESS
        }
    }
}

#[allow(clippy::print_stdout, reason = "what was asked for")]
fn read_tails(options: &TailOptions) -> ExitCode {
    match locum_edge::read_tails(options, |line| println!("{line}")) {
        Err(ReadTailError::Config(error)) => exit_64(&error),
        read => ended(read),
    }
}

#[allow(clippy::print_stdout, reason = "what was asked for")]
fn list_audit(options: &AuditListOptions) -> ExitCode {
    match locum_edge::list_audit(options, |line| println!("{line}")) {
        Err(VerifyAuditError::Config(error)) => exit_64(&error),
        listed => ended(listed),
    }
}

/// One line a group.
#[allow(clippy::print_stdout, reason = "what was asked for")]
fn verify_records(prepared: &Prepared) -> ExitCode {
    let found = match locum_edge::verify_records(prepared) {
        Ok(found) => found,
        Err(error) => return ended(Err(error)),
    };
    for Verified { group, copy, damage } in &found {
        let copy = copy.map_or("no copy".to_owned(), |copy| format!("copy at {copy}"));
        println!("{group}: {copy}, {}", if damage.is_empty() { "whole" } else { "DAMAGED" });
        damage.iter().for_each(|line| println!("  {line}"));
    }
    let is_whole = found.iter().all(|verified| verified.damage.is_empty());
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ended<E: std::error::Error>(result: Result<(), E>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    // Logging may be what failed; whoever started the process reads this line.
    #[allow(clippy::print_stderr, reason = "last words of the process")]
    {
        eprintln!("error: {}", chain(&error));
    }
    ExitCode::FAILURE
}
