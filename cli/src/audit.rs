//! `locum audit`: who saw and who changed what, and that nobody altered it.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::binaries;

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Walk every chain of audit events, compare copies and signatures, and name what is first wrong. Hosts
    /// may be running. Exit code 1 when something was altered.
    Verify {
        /// The folder of a network on this machine.
        #[arg(long, default_value = ".locum", value_name = "FOLDER")]
        data: PathBuf,
        /// Configuration files of edge hosts, instead; each says where its host's disk is.
        #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "data")]
        config: Vec<PathBuf>,
        /// This record group only.
        #[arg(long)]
        group: Option<String>,
        /// Where locum-edge is [default: beside `locum`].
        #[arg(long, value_name = "FOLDER")]
        bin_dir: Option<PathBuf>,
    },
}

/// The edge host's own code reads its disk; its report and exit code are the answer.
pub(crate) fn run(command: Audit) -> Result<()> {
    let Audit::Verify { data, config, group, bin_dir } = command;
    let configs = if config.is_empty() { edge_hosts(&data)? } else { config };
    let mut edge = Command::new(binaries::folder(bin_dir.as_deref(), &["locum-edge"])?.join("locum-edge"));
    if let Some(group) = group {
        edge.arg("--group").arg(group);
    }
    edge.arg("--verify-audit").args(configs);
    Err(edge.exec()).context("start locum-edge")
}

fn edge_hosts(data: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(data).with_context(|| format!("look into {}", data.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("look into {}", data.display()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("edge-") && name.ends_with(".toml") {
            found.push(path);
        }
    }
    found.sort_unstable();
    if found.is_empty() {
        bail!("no network in {}: name one with --data, or edge hosts with --config", data.display());
    }
    Ok(found)
}
