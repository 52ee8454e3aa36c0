//! `locum promote`: moves the primary of a record group. The control plane's own program does it, on the member's
//! machine and with its keys; this one knows where a network of `locum up` keeps them.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::member::Member;

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
    #[command(flatten)]
    member: Member,
}

/// Becomes `locum-control promote`; returns only if that cannot be.
pub(crate) fn run(options: Options) -> Result<()> {
    options.member.become_its_command(|program| command(&options, program))
}

fn command(options: &Options, program: &Path) -> Command {
    let mut command = options.member.command(program, "promote");
    command.args(["--group", &options.group]);
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
            member: Member::of("network"),
        };
        let words = |options: &Options| {
            let command = command(options, "locum-control".as_ref());
            let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
            words.collect::<Vec<_>>().join(" ")
        };
        let shown = "promote --config network/control-1.toml --group main -- us-east";
        assert_eq!(words(&options), shown);
        (options.yes, options.accept_loss) = (true, true);
        options.member.config = Some("/etc/control.toml".into());
        let done = "promote --config /etc/control.toml --group main --accept-loss --yes -- us-east";
        assert_eq!(words(&options), done);
    }
}
