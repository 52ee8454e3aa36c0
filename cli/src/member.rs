//! `locum member`: the members of the control plane. Its own program does it, on a member's machine and with its keys;
//! this one knows where a network of `locum up` keeps them.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::binaries;

/// The control plane's program.
const PROGRAM: &str = "locum-control";

/// Options of `locum member`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    /// The folder of a network on this machine.
    #[arg(long, default_value = ".locum", value_name = "FOLDER", global = true)]
    data: PathBuf,
    /// The member to go through, in that folder.
    #[arg(long, default_value = "control-1", value_name = "NAME", global = true)]
    through: String,
    /// The configuration of a member, for a network that `locum up` did not make.
    #[arg(long, value_name = "FILE", conflicts_with = "data", global = true)]
    config: Option<PathBuf>,
    /// Where locum-control is [default: beside `locum`].
    #[arg(long, value_name = "FOLDER", global = true)]
    bin_dir: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// Show them: who leads, who votes, who is silent.
    List,
    /// Take a new one in. Shows what changes; with --yes it prints the one-time token with which the new host joins.
    Add {
        /// Its name.
        node: String,
        /// Where it will run.
        #[arg(long)]
        region: String,
        /// Make the token.
        #[arg(long)]
        yes: bool,
    },
    /// Let one go, for good. Shows what changes; carries it out only with --yes.
    Remove {
        /// Its name.
        node: String,
        /// Do it.
        #[arg(long)]
        yes: bool,
    },
}

/// Becomes `locum-control member`; returns only if that cannot be.
pub(crate) fn run(options: Options) -> Result<()> {
    let program = binaries::folder(options.bin_dir.as_deref(), &[PROGRAM])?.join(PROGRAM);
    Err(command(&options, &program).exec()).with_context(|| format!("run {}", program.display()))
}

fn command(options: &Options, program: &Path) -> Command {
    let of_network = || options.data.join(format!("{}.toml", options.through));
    let config = options.config.clone().unwrap_or_else(of_network);
    let mut command = Command::new(program);
    command.arg("--config").arg(config).arg("member");
    // Names behind `--`: one that looks like an option is none.
    match &options.what {
        What::List => command.arg("list"),
        What::Add { node, region, yes } => {
            command.args(["add", "--region", region]).args(yes.then_some("--yes")).args(["--", node])
        }
        What::Remove { node, yes } => command.arg("remove").args(yes.then_some("--yes")).args(["--", node]),
    };
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(what: What, config: Option<&str>) -> String {
        let options = Options {
            what,
            data: "network".into(),
            through: "control-2".to_owned(),
            config: config.map(PathBuf::from),
            bin_dir: None,
        };
        let command = command(&options, PROGRAM.as_ref());
        let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn nothing_is_carried_out_unless_it_was_said() {
        let node = || "control-4".to_owned();
        assert_eq!(words(What::List, None), "--config network/control-2.toml member list");
        let remove = |yes| words(What::Remove { node: node(), yes }, Some("/etc/control.toml"));
        assert_eq!(remove(false), "--config /etc/control.toml member remove -- control-4");
        assert_eq!(remove(true), "--config /etc/control.toml member remove --yes -- control-4");
        let add = words(What::Add { node: node(), region: "west".to_owned(), yes: true }, None);
        assert_eq!(add, "--config network/control-2.toml member add --region west --yes -- control-4");
    }
}
