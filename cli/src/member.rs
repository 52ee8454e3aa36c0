//! `locum member`: the members of the control plane. Its own program does it, on a member's machine and with its keys;
//! this one knows where a network of `locum up` keeps them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::control::Control;

/// Options of `locum member`.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
    /// The folder of a network on this machine.
    #[arg(long, default_value = ".locum", value_name = "FOLDER", global = true)]
    data: PathBuf,
    /// The member to go through, in that folder [default: the first that answers].
    #[arg(long, value_name = "NAME", global = true)]
    through: Option<String>,
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
    /// Take a new one in. Shows what changes; with --yes it prints nothing but the one-time token, good for 24 hours, with
    /// which the new host joins: in its configuration, `[join]` with `addresses` of members and `join_token_file`.
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

/// Has the control plane's own program do it.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let bin_dir = options.bin_dir.as_deref();
    let control = match (&options.config, &options.through) {
        (Some(config), _) => Control::find(bin_dir, config.clone())?,
        (None, Some(name)) => Control::find(bin_dir, options.data.join(format!("{name}.toml")))?,
        (None, None) => Control::of_network(bin_dir, &options.data).await?,
    };
    control.run("member", &words(options.what)).await
}

/// Names behind `--`: one that looks like an option is none.
fn words(what: What) -> Vec<String> {
    let said = |yes: bool| yes.then(|| "--yes".to_owned());
    let (task, with, yes, node) = match what {
        What::List => return vec!["list".to_owned()],
        What::Add { node, region, yes } => ("add", vec!["--region".to_owned(), region], yes, node),
        What::Remove { node, yes } => ("remove", Vec::new(), yes, node),
    };
    let task = std::iter::once(task.to_owned());
    task.chain(with).chain(said(yes)).chain(["--".to_owned(), node]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_carried_out_unless_it_was_said() {
        let words = |what| words(what).join(" ");
        let node = || "control-4".to_owned();
        assert_eq!(words(What::List), "list");
        let remove = |yes| words(What::Remove { node: node(), yes });
        assert_eq!(remove(false), "remove -- control-4");
        assert_eq!(remove(true), "remove --yes -- control-4");
        let add = words(What::Add { node: node(), region: "west".to_owned(), yes: true });
        assert_eq!(add, "add --region west --yes -- control-4");
    }
}
