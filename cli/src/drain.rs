//! `locum drain` and `locum undrain`, `locum pin` and `locum unpin`: what a person wants of the network until it is
//! taken back. The control plane keeps it, and its own program asks for it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::member::Member;

/// Options of `locum drain` and `locum undrain`.
#[derive(Args)]
pub(crate) struct Drain {
    /// A node, or a region.
    name: String,
    /// Carry it out, and wait until it is so; without it, what would follow is only shown.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    member: Member,
}

/// Options of `locum pin`.
#[derive(Args)]
pub(crate) struct Pin {
    /// Where the group should be led.
    region: String,
    #[command(flatten)]
    group: Group,
}

/// Options of `locum unpin`, and of `locum pin`.
#[derive(Args)]
pub(crate) struct Group {
    /// The record group.
    #[arg(long, default_value = "main")]
    group: String,
    /// Carry it out, and wait until it is so; without it, what would follow is only shown.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    member: Member,
}

/// Becomes `locum-control drain` or `locum-control undrain`.
pub(crate) fn drain(what: &str, options: &Drain) -> Result<()> {
    options.member.become_its_command(|program| drain_command(what, options, program))
}

/// Becomes `locum-control pin`.
pub(crate) fn pin(options: &Pin) -> Result<()> {
    let Pin { region, group } = options;
    group.member.become_its_command(|program| {
        let mut command = group_command("pin", group, program);
        command.args(["--", region]);
        command
    })
}

/// Becomes `locum-control unpin`.
pub(crate) fn unpin(options: &Group) -> Result<()> {
    options.member.become_its_command(|program| group_command("unpin", options, program))
}

fn drain_command(what: &str, options: &Drain, program: &Path) -> Command {
    let mut command = options.member.command(program, what);
    command.args(options.yes.then_some("--yes"));
    // Behind `--`: a name that looks like an option is none.
    command.args(["--", &options.name]);
    command
}

fn group_command(what: &str, options: &Group, program: &Path) -> Command {
    let mut command = options.member.command(program, what);
    command.args(["--group", &options.group]).args(options.yes.then_some("--yes"));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> String {
        command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn nothing_is_carried_out_unless_it_was_said() {
        let mut drain = Drain { name: "us-west".to_owned(), yes: false, member: Member::of("network") };
        let said = |drain: &Drain| words(&drain_command("undrain", drain, "locum-control".as_ref()));
        assert_eq!(said(&drain), "undrain --config network/control-1.toml -- us-west");
        drain.yes = true;
        assert_eq!(said(&drain), "undrain --config network/control-1.toml --yes -- us-west");
        let group = Group { group: "main".to_owned(), yes: false, member: Member::of("network") };
        let unpin = group_command("unpin", &group, "locum-control".as_ref());
        assert_eq!(words(&unpin), "unpin --config network/control-1.toml --group main");
    }
}
