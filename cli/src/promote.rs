//! `locum promote`: moves the primary of a record group. The control plane's own program does it, on the member's
//! machine and with its keys; this one knows where a network of `locum up` keeps them, and whether anything can be
//! written afterwards.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use locum_identity::RegionId;
use locum_replication::{GroupId, GroupStatus, write_quorum};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::control::{self, Control};
use crate::output::print;

/// Followers of a new epoch need a moment to hold it.
const WRITABLE_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Options of `locum promote`.
#[derive(Args)]
pub(crate) struct Options {
    /// The region whose voter should lead.
    region: RegionId,
    /// The record group.
    #[arg(long, default_value = "main")]
    group: GroupId,
    /// Also when too few voters answer to rule out that acknowledged writes are lost; the plan names whose.
    #[arg(long)]
    accept_loss: bool,
    /// Carry the plan out; without it the plan is only shown.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: control::Place,
}

/// Shows the plan, and with `--yes` carries it out.
pub(crate) async fn run(options: Options) -> Result<ExitCode> {
    let control = options.place.control().await?;
    let one_copy_may_do = accepts_single_copy(control.config_file(), &options.group);
    let mut running = command(&options, &control).spawn().context("run locum-control")?;
    let mut lines = BufReader::new(running.stdout.take().context("standard output is piped")?).lines();
    let mut plan = Vec::new();
    while let Some(line) = lines.next_line().await.context("read what locum-control says")? {
        match options.yes {
            true => print(&line)?,
            false => plan.push(line),
        }
    }
    let ended = running.wait_with_output().await.context("wait for locum-control")?;
    let code = control::ended_with(&ended)?;
    if !ended.status.success() {
        return Ok(code);
    }
    if options.yes {
        print_whether_writable(&control, &options.group, one_copy_may_do).await?;
    } else {
        print_plan(&plan, control.status_of(&options.group).await.ok(), one_copy_may_do)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn command(options: &Options, control: &Control) -> Command {
    let mut command = control.command("promote");
    command.args(["--group", options.group.as_str()]);
    command.args(options.accept_loss.then_some("--accept-loss")).args(options.yes.then_some("--yes"));
    // Behind `--`: a region that looks like an option is none.
    command.arg("--").arg(options.region.to_string());
    command
}

/// The last line says how to carry the plan out.
fn print_plan(plan: &[String], status: Option<GroupStatus>, one_copy_may_do: bool) -> Result<()> {
    let Some((last, plan)) = plan.split_last() else { return Ok(()) };
    plan.iter().try_for_each(|line| print(line))?;
    if status.is_some_and(|status| !has_company(&status)) {
        print(&format!("then {}", alone(one_copy_may_do)))?;
    }
    print(last)
}

/// The target leads; whether it has company shows when the others have followed.
async fn print_whether_writable(control: &Control, group: &GroupId, one_copy_may_do: bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        match control.status_of(group).await {
            Ok(status) if status.served && has_company(&status) => return Ok(()),
            _ if begun.elapsed() < WRITABLE_WITHIN => sleep(LOOK_EVERY).await,
            Ok(_) => return print(&format!("but {}", alone(one_copy_may_do))),
            Err(error) => return print(&format!("whether it can be written to is not known: {error:#}")),
        }
    }
}

/// So many regions hold the epoch that changes are acknowledged.
fn has_company(status: &GroupStatus) -> bool {
    status.complete >= write_quorum(status.voters)
}

fn alone(one_copy_may_do: bool) -> &'static str {
    match one_copy_may_do {
        false => "nothing can be written until another region of the group holds a complete copy",
        true => "one region alone holds what is written, until another of the group holds a complete copy",
    }
}

/// What is wrong with the file is for `locum-control` to say.
fn accepts_single_copy(config: &Path, group: &GroupId) -> bool {
    let read = fs::read_to_string(config).ok().and_then(|text| toml::from_str::<toml::Table>(&text).ok());
    read.and_then(|table| table.get("groups")?.get(group.as_str())?.get("single_copy")?.as_bool())
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_carried_out_unless_it_was_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("locum-control"), "").unwrap();
        let mut options = Options {
            region: "us-east".parse().unwrap(),
            group: "main".parse().unwrap(),
            accept_loss: false,
            yes: false,
            place: control::Place::default(),
        };
        let control = Control::find(Some(folder.path()), "control.toml".into()).unwrap();
        let words = |options: &Options| {
            let command = command(options, &control);
            let words = command.as_std().get_args().map(|word| word.to_string_lossy().into_owned());
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(words(&options), "promote --config control.toml --group main -- us-east");
        (options.yes, options.accept_loss) = (true, true);
        let done = "promote --config control.toml --group main --accept-loss --yes -- us-east";
        assert_eq!(words(&options), done);
    }

    #[test]
    fn one_copy_is_company_enough_only_for_one_voter() {
        let status = |complete, voters| {
            let status = serde_json::json!({"epoch": 7, "primary": "edge-us-east", "served": true,
                "preparing": null, "missing": 0, "complete": complete, "voters": voters});
            serde_json::from_value::<GroupStatus>(status).unwrap()
        };
        assert!(!has_company(&status(1, 3)) && !has_company(&status(0, 1)));
        assert!(has_company(&status(2, 3)) && has_company(&status(1, 1)));
    }

    #[test]
    fn the_policy_is_the_groups_own() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("control.toml");
        fs::write(&config, "[groups.main]\nregions = []\n[groups.eu]\nsingle_copy = true\n").unwrap();
        let accepts = |group: &str| accepts_single_copy(&config, &group.parse().unwrap());
        assert!(accepts("eu") && !accepts("main") && !accepts("other"));
        assert!(!accepts_single_copy(&folder.path().join("none"), &"eu".parse().unwrap()));
    }
}
