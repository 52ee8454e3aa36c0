//! Where the control plane's member is: its own program does what a person asks of it, on its machine and with its
//! keys; this one knows where a network of `locum up` keeps them.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::binaries;

/// The control plane's program.
const PROGRAM: &str = "locum-control";

/// Which member.
#[derive(Args)]
pub(crate) struct Member {
    /// The folder of a network on this machine.
    #[arg(long, default_value = ".locum", value_name = "FOLDER")]
    data: PathBuf,
    /// The configuration of the control plane's member, for a network that `locum up` did not make.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub(crate) config: Option<PathBuf>,
    /// Where locum-control is [default: beside `locum`].
    #[arg(long, value_name = "FOLDER")]
    bin_dir: Option<PathBuf>,
}

impl Member {
    /// Becomes what `command` makes of its program; returns only if that cannot be.
    pub(crate) fn become_its_command(&self, command: impl FnOnce(&Path) -> Command) -> Result<()> {
        let program = binaries::folder(self.bin_dir.as_deref(), &[PROGRAM])?.join(PROGRAM);
        Err(command(&program).exec()).with_context(|| format!("run {}", program.display()))
    }

    /// Its program, asked to do `what`.
    pub(crate) fn command(&self, program: &Path, what: &str) -> Command {
        let config = self.config.clone().unwrap_or_else(|| self.data.join("control-1.toml"));
        let mut command = Command::new(program);
        command.arg(what).arg("--config").arg(config);
        command
    }

    /// Of a network in this folder.
    #[cfg(test)]
    pub(crate) fn of(data: &str) -> Self {
        Self { data: data.into(), config: None, bin_dir: None }
    }
}
