//! `locum drill`: takes something away from a running network of several regions, measures how long what takes to come
//! back, and looks for every change that was acknowledged meanwhile.

mod canary;
mod clients;
mod cut;
mod fault;
mod gauges;
mod health;
mod idle;
mod journal;
mod log;
mod measure;
mod names;
mod page;
mod person;
mod report;
mod round;
mod schedule;
mod session;
mod stage;
mod targets;
mod watch;
mod writers;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use crate::look;
use crate::site::Site;
use fault::{Kind, PRIMARY};
use report::Report;
use session::{OPERATOR, Session};
use targets::Target;

pub(crate) use schedule::Every;

/// `locum drill …`.
#[derive(Subcommand)]
pub(crate) enum Drill {
    /// Kill every process of a region, measure, and start them again.
    RegionLoss(Faulty),
    /// Kill a process, or several at once, measure, and start them again.
    NodeKill(Faulty),
    /// Cut a region off from the others with rules of this machine's firewall, measure, and remove the rules. As root.
    Partition(Faulty),
    /// Stop the host that leads the canary's record group, measure, and let it go on.
    PrimaryPause(Faulty),
    /// Do nothing for some minutes: whatever fails over or is called down meanwhile did so without a reason.
    Idle(idle::Options),
    /// Check that a report and its page are what was signed.
    Verify {
        /// The report, with its page and signature beside it.
        report: PathBuf,
        /// The public keys to believe [default: `keys.json` beside the report, which only shows that nothing was
        /// altered by mistake].
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
    },
    /// Hold a drill again and again, one at a time, as long as the network is healthy. `locum up --drill-every` runs it.
    Schedule(schedule::Options),
    /// Be busy until killed.
    #[command(hide = true)]
    Burn,
}

/// What every drill with a fault is told.
#[derive(Args, Clone)]
pub(crate) struct Faulty {
    /// A region, for region-loss and partition; processes, with commas between them, for node-kill; `primary`: whoever
    /// leads the canary's record group when a round begins; for node-kill also `leader`: the member that leads the
    /// control plane then.
    #[arg(default_value = PRIMARY)]
    target: String,
    /// How often.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    #[command(flatten)]
    common: Common,
    /// Do it; without this it is only said what would be done.
    #[arg(long)]
    yes: bool,
}

/// What every drill is told.
#[derive(Args, Clone)]
pub(crate) struct Common {
    /// The folder of the network.
    #[arg(long, default_value = ".locum", value_name = "FOLDER")]
    data: PathBuf,
    /// Where reports go [default: `drills` in the network's folder].
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
    /// Another target than the stated one, as in `recordsWorst=20` (seconds). May be given again.
    #[arg(long = "target", value_name = "NAME=NUMBER")]
    targets: Vec<Target>,
    /// Print the report as JSON, and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs one; fails when something was not as promised.
pub(crate) async fn run(drill: Drill) -> Result<()> {
    match drill {
        Drill::RegionLoss(options) => faulty(Kind::RegionLoss, options).await,
        Drill::NodeKill(options) => faulty(Kind::NodeKill, options).await,
        Drill::Partition(options) => faulty(Kind::Partition, options).await,
        Drill::PrimaryPause(options) => faulty(Kind::PrimaryPause, options).await,
        Drill::Idle(options) => idle::run(options).await,
        Drill::Verify { report, keys } => verify(&report, keys.as_deref()),
        Drill::Schedule(options) => schedule::run(options).await,
        Drill::Burn => idle::burn(),
    }
}

async fn faulty(kind: Kind, options: Faulty) -> Result<()> {
    let site = Site::read(&options.common.data)?;
    let leader = look::leader(&look::client()?, &site).await;
    let victims = kind.choose(&site, &options.target, leader.as_deref())?;
    if !options.yes {
        print(&format!("this would {victims}, {} time(s)", options.rounds));
        print("nothing was done; add --yes to carry this out");
        return Ok(());
    }
    let stop = locum_telemetry::signals::shutdown().context("listen for signals")?;
    let session = Session::open(site, &options.common, OPERATOR, stop).await?;
    let report = session.faulty(kind, &options.target, options.rounds).await?;
    conclude(report, &options.common)
}

/// Keeps the report, and says what came of it.
fn conclude(report: Report, common: &Common) -> Result<()> {
    let network = Site::read(&common.data).map_or_else(|_| common.data.clone(), |site| site.folder);
    let folder = common.report.clone().unwrap_or_else(|| network.join("drills"));
    let kept = report.clone().keep(&folder, &network)?;
    gauges::write(&network.join("drills"), &report)?;
    if common.json {
        print(&std::fs::read_to_string(&kept.json)?);
    } else {
        print(&summary(&report, &kept.page));
    }
    if report.passed {
        return Ok(());
    }
    bail!("THE DRILL FAILED\n  {}", report.broken().join("\n  "))
}

fn summary(report: &Report, page: &Path) -> String {
    let shown = |value: Option<f64>, unit: &str| match value {
        None => "never".to_owned(),
        Some(value) if unit.is_empty() => format!("{value}"),
        Some(value) => format!("{value:.2} {unit}"),
    };
    let line = |line: &targets::Line| {
        let limit = line.limit.map_or_else(String::new, |limit| format!("at most {limit}"));
        let verdict = match (line.passed, line.limit) {
            (false, _) => "FAILED",
            (true, Some(_)) => "kept",
            (true, None) => "",
        };
        let (median, worst) = (shown(line.median, &line.unit), shown(line.worst, &line.unit));
        format!("  {:<58} {median:>10} {worst:>10}  {limit:<13} {verdict}", line.title).trim_end().to_owned()
    };
    let lines: Vec<String> = report.lines.iter().map(line).collect();
    format!(
        "  {:<58} {:>10} {:>10}\n{}\n\n  {}\n  read {}",
        format!("{} of {}, {} round(s)", report.drill, report.target, report.rounds.len()),
        "median",
        "worst",
        lines.join("\n"),
        if report.passed { "passed" } else { "FAILED" },
        page.display()
    )
}

fn verify(report: &Path, keys: Option<&Path>) -> Result<()> {
    let (report, kid) = Report::verified(report, keys)?;
    let verdict = if report.passed { "passed" } else { "FAILED" };
    print(&format!(
        "whole, signed by {kid}: {} of {}, {}, {} round(s), {verdict}",
        report.drill,
        report.target,
        report.began,
        report.rounds.len()
    ));
    Ok(())
}

/// RFC 3339, to the second.
fn now() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}

#[allow(clippy::print_stdout, reason = "what a person asked this tool to say")]
fn print(text: &str) {
    println!("{text}");
}

/// What goes on, for whoever watches.
#[allow(clippy::print_stderr, reason = "standard output may be read by a program")]
fn tell(text: &str) {
    eprintln!("drill: {text}");
}
