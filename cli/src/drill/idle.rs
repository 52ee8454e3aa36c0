//! Nothing is done to the network, or only its processors are kept busy: whatever fails over meanwhile did so without
//! a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::process::{Child, Command};

use super::canary::Canary;
use super::log::{Seen, What};
use super::measure::Fault;
use super::report::{Epochs, Report, Round};
use super::round::{rounded, seconds, timeline};
use super::session::{OPERATOR, Session};
use super::stage::Stage;
use super::writers::one_change_each;
use super::{Common, conclude, health, tell, watch};
use crate::look::GroupSeen;
use crate::site::Site;
use crate::up::child::die_with_parent;

/// After the load has gone, if there was any.
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);

/// Options of `locum drill idle`.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// How long.
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_080))]
    minutes: u32,
    /// Keep so many processes busy meanwhile, as many as there are processors for full load.
    #[arg(long, default_value_t = 0, value_name = "PROCESSES", value_parser = clap::value_parser!(u32).range(0..=1_024))]
    load: u32,
    #[command(flatten)]
    common: Common,
}

/// Watches, and keeps a report.
pub(super) async fn run(options: Options) -> Result<()> {
    let stop = locum_telemetry::signals::shutdown().context("listen for signals")?;
    let session = Session::open(Site::read(&options.common.data)?, &options.common, OPERATOR, stop).await?;
    let report = watch_idle(&session, &options).await?;
    conclude(report, &options.common)
}

async fn watch_idle(session: &Session, options: &Options) -> Result<Report> {
    let stage = Stage::new(&session.client, session.site.clone());
    let (doctor, visits) = (&session.canary.doctor, &session.visits);
    let (mut round, began) = (Round { number: 1, began: super::now(), ..Round::default() }, stage.log.now());
    let before = one_change_each(&stage, doctor, visits, &format!("{}-before", session.name)).await?;
    let looking = watch::start(&stage);
    let busy = busy(options.load)?;
    tell(&format!("{} minutes with {} busy processes", options.minutes, options.load));
    let interrupted = tokio::select! {
        () = tokio::time::sleep(Duration::from_secs(60) * options.minutes) => false,
        () = session.stop.cancelled() => true,
    };
    drop((busy, looking));
    let complaints = health::wait(&stage, HEALTHY_WITHIN).await.err().unwrap_or_default();
    round
        .failures
        .extend(complaints.into_iter().map(|complaint| format!("not healthy at the end: {complaint}")));
    if interrupted {
        round.failures.push("interrupted".to_owned());
    }
    // Who does nothing for half an hour is signed out.
    let again = Canary::sign_in(&session.site.folder, &session.client, &stage.doors_from("")).await?;
    let after = one_change_each(&stage, &again.doctor, visits, &format!("{}-after", session.name)).await?;
    for (writes, trouble) in [before, after] {
        round.writes.acknowledged += writes.acknowledged;
        round.writes.lost += writes.lost;
        round.writes.doubled += writes.doubled;
        round.failures.extend(trouble);
    }
    let nothing = Fault { at: began, done: Duration::MAX, ..Fault::default() };
    stage.log.with(|seen| {
        round.timeline = timeline(seen, &nothing);
        round.false_failovers = Some(false_failovers(seen));
        round.epochs = epochs(seen, &session.group);
    });
    round.ended_at = rounded(seconds(stage.log.now()) - seconds(began));
    let target = format!("{} minutes, {} busy", options.minutes, options.load);
    let report = session.report("idle", &target);
    Ok(Report { rounds: vec![round], ended: super::now(), ..report }.judged())
}

/// Epochs that began, and nodes that were called down.
fn false_failovers(seen: &[Seen]) -> u32 {
    let (mut epochs, mut down) = (BTreeMap::<&str, BTreeSet<u64>>::new(), BTreeSet::<&str>::new());
    for Seen { what, .. } in seen {
        match what {
            What::Group(GroupSeen { group, epoch, .. }) => {
                epochs.entry(group).or_default().insert(*epoch);
            }
            What::List { down: nodes, .. } => down.extend(nodes.iter().map(String::as_str)),
            _ => {}
        }
    }
    let begun: usize = epochs.values().map(|all| all.len() - 1).sum();
    u32::try_from(begun + down.len()).unwrap_or(u32::MAX)
}

fn epochs(seen: &[Seen], of: &str) -> Epochs {
    let all = || {
        seen.iter().filter_map(|seen| match &seen.what {
            What::Group(GroupSeen { group, epoch, .. }) if group == of => Some(*epoch),
            _ => None,
        })
    };
    Epochs { before: all().min().unwrap_or(0), after: all().max().unwrap_or(0) }
}

/// Processes that do nothing but keep a processor busy; they end with the drill, however it ends.
fn busy(count: u32) -> Result<Vec<Child>> {
    let itself = std::env::current_exe().context("find this program")?;
    let start = |_| {
        let mut command = Command::new(&itself);
        command.args(["drill", "burn"]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        die_with_parent(&mut command);
        command.spawn().context("start a busy process")
    };
    (0..count).map(start).collect()
}

/// Is busy until killed.
pub(super) fn burn() -> Result<()> {
    loop {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(group: &str, epoch: u64) -> What {
        let (member, group) = ("control-1".to_owned(), group.to_owned());
        What::Group(GroupSeen { member, group, epoch, served: true, complete: 3, voters: 3, missing: 0 })
    }

    fn list(down: &[&str]) -> What {
        let down = down.iter().map(|&name| name.to_owned()).collect();
        What::List { host: "edge-us-east".to_owned(), version: 1, down }
    }

    #[test]
    fn every_epoch_and_verdict_without_a_fault_counts_once() {
        let log = |all: Vec<What>| -> Vec<Seen> {
            all.into_iter().map(|what| Seen { at: Duration::ZERO, what }).collect()
        };
        let quiet = log(vec![group("main", 4), list(&[]), group("eu", 1), group("main", 4), list(&[])]);
        assert_eq!(false_failovers(&quiet), 0);
        let busy = log(vec![
            group("main", 4),
            group("main", 5),
            list(&["a"]),
            list(&["a", "b"]),
            list(&[]),
            list(&["a"]),
        ]);
        assert_eq!(false_failovers(&busy), 3);
        assert_eq!(epochs(&busy, "main"), Epochs { before: 4, after: 5 });
        assert_eq!(epochs(&busy, "eu"), Epochs::default());
    }
}
