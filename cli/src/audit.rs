//! `locum audit`: who saw and who changed what, and that nobody altered it.

use std::ffi::OsString;
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
    /// Who did what: events with ids only, oldest first, one JSON object a line. Hosts may be running.
    List {
        /// The folder of a network on this machine.
        #[arg(long, default_value = ".locum", value_name = "FOLDER")]
        data: PathBuf,
        /// Configuration files of edge hosts, instead; each says where its host's disk is.
        #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "data")]
        config: Vec<PathBuf>,
        /// Where locum-edge is [default: beside `locum`].
        #[arg(long, value_name = "FOLDER")]
        bin_dir: Option<PathBuf>,
        /// What of it: `--clinic NAME`, `--agent ID`, `--entity ID`, `--code CODE`, `--from TIME`, `--until TIME`, `--failed`,
        /// `--group NAME`; and `--csv`.
        #[arg(last = true, value_name = "FILTER")]
        filters: Vec<OsString>,
    },
}

/// The edge host's own code reads its disk; its report and exit code are the answer.
pub(crate) fn run(command: Audit) -> Result<()> {
    let (data, config, bin_dir) = match &command {
        Audit::Verify { data, config, bin_dir, .. } | Audit::List { data, config, bin_dir, .. } => {
            (data, config, bin_dir)
        }
    };
    let configs = if config.is_empty() { edge_hosts(data)? } else { config.clone() };
    let mut edge = Command::new(binaries::folder(bin_dir.as_deref(), &["locum-edge"])?.join("locum-edge"));
    match command {
        Audit::Verify { group, .. } => {
            if let Some(group) = group {
                edge.arg("--group").arg(group);
            }
            edge.arg("--verify-audit").args(configs);
        }
        Audit::List { filters, .. } => {
            edge.arg("audit-list").args(filters).arg("--config").args(configs);
        }
    }
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
