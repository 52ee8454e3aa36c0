//! `locum promote`: moves the primary of a record group. The control plane's own program does it, on the member's
//! machine and with its keys; this one knows where a network of `locum up` keeps them.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::binaries;

/// The control plane's program.
const PROGRAM: &str = "locum-control";

/// Options of `locum promote`.
#[derive(Args)]
pub(crate) struct Options {
    /// The region whose voter should lead.
    region: String,
    /// The record group.
    #[arg(long, default_value = "main")]
    group: String,
    /// Also when too few voters answer to rule out that acknowledged writes are lost; the plan names whose.
    #[arg(long)]
    accept_loss: bool,
    /// Carry the plan out; without it the plan is only shown.
    #[arg(long)]
    yes: bool,
    /// The folder of a network on this machine.
    #[arg(long, default_value = ".locum", value_name = "FOLDER")]
    data: PathBuf,
    /// The configuration of the control plane's member, for a network that `locum up` did not make.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// Where locum-control is [default: beside `locum`].
    #[arg(long, value_name = "FOLDER")]
    bin_dir: Option<PathBuf>,
}

/// Becomes `locum-control promote`; returns only if that cannot be.
pub(crate) fn run(options: Options) -> Result<()> {
    let program = binaries::folder(options.bin_dir.as_deref(), &[PROGRAM])?.join(PROGRAM);
    Err(command(&options, &program).exec()).with_context(|| format!("run {}", program.display()))
}

fn command(options: &Options, program: &Path) -> Command {
    let config = options.config.clone().unwrap_or_else(|| options.data.join("control-1.toml"));
    let mut command = Command::new(program);
    command.arg("promote").arg("--config").arg(config).args(["--group", &options.group]);
    command.args(options.accept_loss.then_some("--accept-loss")).args(options.yes.then_some("--yes"));
    // Behind `--`: a region that looks like an option is none.
    command.args(["--", &options.region]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_carried_out_unless_it_was_said() {
        let mut options = Options {
            region: "us-east".to_owned(),
            group: "main".to_owned(),
            accept_loss: false,
            yes: false,
            data: "network".into(),
            config: None,
            bin_dir: None,
        };
        let words = |options: &Options| {
            let command = command(options, PROGRAM.as_ref());
            let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
            words.collect::<Vec<_>>().join(" ")
        };
        let shown = "promote --config network/control-1.toml --group main -- us-east";
        assert_eq!(words(&options), shown);
        (options.yes, options.accept_loss, options.config) = (true, true, Some("/etc/control.toml".into()));
        let done = "promote --config /etc/control.toml --group main --accept-loss --yes -- us-east";
        assert_eq!(words(&options), done);
    }
}
