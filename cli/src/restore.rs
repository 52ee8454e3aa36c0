//! `locum restore`: a network on this machine begins with what a backup holds.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::binaries;
use crate::up::Restoring;

/// Options of `locum restore`. An edge host of its own is restored by `locum-edge restore`.
#[derive(Args)]
pub(crate) struct Options {
    /// Where the backups are: a folder, or s3://bucket/below with the usual AWS_… variables.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// Where the backups' keys are, if not there.
    #[arg(long, value_name = "PLACE")]
    keyring: Option<String>,
    /// The backup key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// As it was then, such as 2026-11-22T10:00:00Z [default: as new as there is].
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The folder of the new network; `locum up --data` with as many regions starts it.
    #[arg(long, default_value = ".locum", value_name = "FOLDER")]
    to: PathBuf,
    /// Regions that it will have.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    regions: u8,
    /// Where locum-edge is [default: beside `locum`].
    #[arg(long, value_name = "FOLDER")]
    bin_dir: Option<PathBuf>,
}

/// The edge host's own code writes its disk.
pub(crate) fn run(options: &Options) -> Result<()> {
    let edge = binaries::folder(options.bin_dir.as_deref(), &["locum-edge"])?.join("locum-edge");
    let to = Restoring::prepare(&options.to, options.regions)?;
    let mut command = Command::new(edge);
    command.arg("restore").arg("--from").arg(&options.from).arg("--key").arg(&options.key);
    command.arg("--state-dir").arg(&to.state_dir).arg("--store-key").arg(&to.store_key);
    if let Some(keyring) = &options.keyring {
        command.arg("--keyring").arg(keyring);
    }
    if let Some(at) = &options.at {
        command.arg("--at").arg(at);
    }
    if options.regions > 1 {
        command.arg("--replicated");
    }
    let done = command.output().context("start locum-edge")?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{}", said.trim().trim_start_matches("error: "));
    }
    let said: Value = serde_json::from_slice(&done.stdout).context("read what locum-edge said")?;
    for group in said["restored"].as_array().into_iter().flatten() {
        let text = |key: &str| group[key].as_str().unwrap_or_default().to_owned();
        let line = format!(
            "{}: as of {}, from backup {} and {} segments of its log: {} rows, {} documents",
            text("group"),
            text("until"),
            text("backup"),
            group["segments"],
            group["rows"],
            group["documents"]
        );
        print(&line);
        for (key, what) in [
            ("erased", "erased since then, and erased again"),
            ("documents_missing", "documents were in no region when it was backed up"),
        ] {
            if group[key].as_u64().is_some_and(|count| count > 0) {
                print(&format!("{}: {} {what}", text("group"), group[key]));
            }
        }
        for problem in group["audit_problems"].as_array().into_iter().flatten() {
            print(&format!("{}: audit events: {}", text("group"), problem.as_str().unwrap_or_default()));
        }
    }
    print(&format!("start it with: locum up --data {} --regions {}", options.to.display(), options.regions));
    Ok(())
}

#[allow(clippy::print_stdout, reason = "what a person asked this tool to say")]
fn print(text: &str) {
    println!("{text}");
}
