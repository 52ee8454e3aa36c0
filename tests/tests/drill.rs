//! Drills on a network of three regions, each in namespaces of its own: every fault is measured and undone, nothing
//! that was acknowledged is lost, reports are signed, and a broken promise is loud.
//!
//! `LOCUM_ROUNDS` says how often each fault comes, three times if it does not; `LOCUM_IDLE_MINUTES` and
//! `LOCUM_LOAD_MINUTES` how long nothing is done, idle (2) and with every processor busy (0). With
//! `LOCUM_DRILL_REPORTS`, a folder, the stated targets hold and reports go there; without, whoever shares the machine
//! may cost time, and only what must never happen fails.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Network, alone, binaries, signal, until};
use serde_json::Value;

/// For machines that others share: these figures are looked at by `make soak`.
const PATIENT: [&str; 7] =
    ["detect=60", "control=60", "recordsMedian=60", "recordsWorst=60", "edge=60", "heldCall=60", "names=60"];

fn number(variable: &str, otherwise: u32) -> Result<u32> {
    std::env::var(variable)
        .map_or(Ok(otherwise), |text| text.parse().with_context(|| format!("{variable} is a number")))
}

/// `locum drill` on this network.
fn drill(network: &Network, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binaries()?.join("locum"));
    let (kind, others) = arguments.split_first().context("which drill")?;
    command.args(["drill", kind, "--json", "--data"]).arg(network.data());
    if let Some(folder) = std::env::var_os("LOCUM_DRILL_REPORTS") {
        command.arg("--report").arg(folder);
    } else {
        for target in PATIENT {
            command.args(["--target", target]);
        }
    }
    // Last: what is said here goes before what is patient.
    command.args(others);
    Ok(command)
}

/// What a drill that ended well reports.
fn passed(network: &Network, arguments: &[&str]) -> Result<Value> {
    let output = drill(network, arguments)?.output()?;
    let report = report(&output)?;
    ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
    ensure!(report["passed"] == true && report["failures"].as_array().is_some_and(Vec::is_empty), "{report}");
    Ok(report)
}

fn report(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| said(output))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One line of a report.
fn line<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    let lines = report["lines"].as_array().context("no lines")?;
    lines.iter().find(|line| line["name"] == name).with_context(|| format!("no {name} in {report}"))
}

/// A fault on whoever leads, as often as is asked for: each round has these figures, and lost nothing.
fn comes_and_goes(network: &Network, kind: &str, target: &str, figures: &[&str]) -> Result<Value> {
    let wanted = number("LOCUM_ROUNDS", 3)?;
    let report = passed(network, &[kind, target, "--rounds", &wanted.to_string(), "--yes"])?;
    let rounds = report["rounds"].as_array().context("no rounds")?;
    ensure!(rounds.len() == wanted as usize, "{} rounds of {kind}", rounds.len());
    for round in rounds {
        let seconds = round["seconds"].as_object().context("no seconds")?;
        for figure in figures {
            ensure!(seconds.get(*figure).is_some_and(Value::is_number), "{kind}: no {figure} in {round}");
        }
        ensure!(round["led"] == true, "{kind}: nobody led in {round}");
        ensure!(round["recordsByRegion"].as_object().is_some_and(|regions| regions.len() == 2), "{round}");
        let epoch = |when: &str| round["epochs"][when].as_u64();
        ensure!(epoch("after") > epoch("before"), "{kind}: the primary stayed: {round}");
        ensure!(round["writes"]["acknowledged"].as_u64() > Some(10), "{kind}: hardly a change: {round}");
        ensure!(round["writes"]["lost"] == 0 && round["writes"]["doubled"] == 0, "{kind}: {round}");
    }
    ensure!(line(&report, "lost")?["worst"] == 0.0, "{report}");
    Ok(report)
}

#[test]
fn a_region_that_leads_is_lost_and_the_report_is_signed() -> Result<()> {
    alone("a_region_that_leads_is_lost_and_the_report_is_signed", async || {
        let network = Network::start_regions(3)?;
        let all = ["detect", "decide", "records", "edge", "heldCall", "newCall", "names", "caughtUp"];
        comes_and_goes(&network, "region-loss", "primary", &all)?;
        is_signed(&network)?;
        a_broken_promise_is_loud(&network)?;
        network.stop_and_verify()
    })
}

#[test]
fn the_primarys_host_is_killed_and_a_media_node_too() -> Result<()> {
    alone("the_primarys_host_is_killed_and_a_media_node_too", async || {
        let network = Network::start_regions(3)?;
        comes_and_goes(
            &network,
            "node-kill",
            "primary",
            &["detect", "decide", "records", "edge", "newCall", "caughtUp"],
        )?;
        let report = passed(&network, &["node-kill", "media-us-east", "--yes"])?;
        let round = &report["rounds"][0];
        ensure!(round["led"] == false && round["seconds"]["heldCall"].is_number(), "{round}");
        ensure!(round["seconds"].get("decide").is_none(), "a media node leads nothing: {round}");
        ensure!(round["epochs"]["before"] == round["epochs"]["after"], "the primary moved: {round}");
        network.stop_and_verify()
    })
}

#[test]
fn the_control_planes_leader_is_killed_and_with_the_primary_too() -> Result<()> {
    alone("the_control_planes_leader_is_killed_and_with_the_primary_too", async || {
        let network = Network::start_regions(3)?;
        comes_and_goes(&network, "node-kill", "primary,leader", &["detect", "control", "decide", "records"])?;
        let rounds = number("LOCUM_ROUNDS", 3)?.to_string();
        let report = passed(&network, &["node-kill", "leader", "--rounds", &rounds, "--yes"])?;
        for round in report["rounds"].as_array().context("no rounds")? {
            ensure!(round["led"] == false && round["ledControl"] == true, "{round}");
            ensure!(round["seconds"]["control"].is_number(), "nobody leads instead: {round}");
            ensure!(round["epochs"]["before"] == round["epochs"]["after"], "the primary moved: {round}");
        }
        network.stop_and_verify()
    })
}

#[test]
fn the_primarys_region_is_cut_off() -> Result<()> {
    alone("the_primarys_region_is_cut_off", async || {
        let network = Network::start_regions(3)?;
        comes_and_goes(
            &network,
            "partition",
            "primary",
            &["detect", "decide", "records", "heldCall", "newCall", "names", "caughtUp"],
        )?;
        ensure!(cuts()?.is_empty(), "rules stay behind: {}", cuts()?);
        whoever_is_interrupted_undoes_what_was_done(&network)?;
        network.stop_and_verify()
    })
}

#[test]
fn the_primary_stands_still_and_goes_on() -> Result<()> {
    alone("the_primary_stands_still_and_goes_on", async || {
        let network = Network::start_regions(3)?;
        comes_and_goes(
            &network,
            "primary-pause",
            "primary",
            &["detect", "decide", "records", "edge", "newCall", "caughtUp"],
        )?;
        network.stop_and_verify()
    })
}

#[test]
fn nothing_fails_over_without_a_reason() -> Result<()> {
    alone("nothing_fails_over_without_a_reason", async || {
        let mut network = Network::start_regions(3)?;
        let minutes = number("LOCUM_IDLE_MINUTES", 2)?.to_string();
        let report = passed(&network, &["idle", &minutes])?;
        ensure!(line(&report, "falseFailovers")?["worst"] == 0.0, "{report}");
        let loaded = number("LOCUM_LOAD_MINUTES", 0)?;
        if loaded > 0 {
            let processors = std::thread::available_parallelism()?.to_string();
            passed(&network, &["idle", &loaded.to_string(), "--load", &processors])?;
        }
        only_a_healthy_network_is_exercised(&mut network)
    })
}

/// What is shown verifies; what was altered does not.
fn is_signed(network: &Network) -> Result<()> {
    let folder = std::env::var_os("LOCUM_DRILL_REPORTS").map_or(network.data().join("drills"), PathBuf::from);
    let report = newest(&folder)?;
    let verify = || -> Result<Output> {
        Ok(Command::new(binaries()?.join("locum")).args(["drill", "verify"]).arg(&report).output()?)
    };
    let good = verify()?;
    ensure!(good.status.success(), "{}", said(&good));
    ensure!(String::from_utf8_lossy(&good.stdout).contains("region-loss of primary"), "{good:?}");
    for (extension, from, to) in [("json", "\"lost\": 0", "\"lost\": 9"), ("html", "kept", "kepT")] {
        let path = report.with_extension(extension);
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.contains(from), "no {from} in {}", path.display());
        std::fs::write(&path, text.replacen(from, to, 1))?;
        let bad = verify()?;
        ensure!(bad.status.code() == Some(1), "an altered {extension} passes: {bad:?}");
        std::fs::write(&path, text)?;
    }
    ensure!(verify()?.status.success(), "what was put back is refused");
    Ok(())
}

/// The only kind of file of which there is one a report.
fn newest(folder: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut signed: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "jws")).collect();
    signed.retain(|path| path.to_string_lossy().contains("region-loss"));
    signed.sort();
    Ok(signed.pop().context("no report")?.with_extension("json"))
}

fn a_broken_promise_is_loud(network: &Network) -> Result<()> {
    let mut late = drill(network, &["node-kill", "media-us-west", "--yes", "--target", "recordsWorst=0"])?;
    // In a folder of its own: it is no report to keep.
    late.arg("--report").arg(network.data().join("late"));
    if std::env::var_os("LOCUM_DRILL_REPORTS").is_some() {
        return Ok(());
    }
    let output = late.output()?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let said = said(&output);
    ensure!(said.contains("THE DRILL FAILED") && said.contains("first acknowledged change, worst"), "{said}");
    let report = report(&output)?;
    ensure!(report["passed"] == false && line(&report, "recordsWorst")?["passed"] == false, "{report}");
    ensure!(line(&report, "lost")?["passed"] == true, "{report}");
    Ok(())
}

fn whoever_is_interrupted_undoes_what_was_done(network: &Network) -> Result<()> {
    let mut drilling = Interrupted::start(drill(network, &["partition", "primary", "--yes"])?)?;
    until("the region is cut off", || {
        ensure!(drilling.0.try_wait()?.is_none(), "the drill ended");
        Ok(!cuts()?.is_empty())
    })?;
    let second = drill(network, &["node-kill", "media-us-west", "--yes"])?.output()?;
    ensure!(said(&second).contains("another drill goes on"), "two at once: {}", said(&second));
    signal(drilling.0.id(), libc::SIGINT);
    let mut status = None;
    until("it ends", || {
        status = drilling.0.try_wait()?;
        Ok(status.is_some())
    })?;
    ensure!(status.and_then(|status| status.code()) == Some(1), "an interrupted drill passes: {status:?}");
    ensure!(cuts()?.is_empty(), "rules stay behind: {}", cuts()?);
    until("the network is healthy", || {
        let again = drill(network, &["node-kill", "media-us-west", "--yes"])?.output()?;
        Ok(again.status.success())
    })
}

/// A drill that ends with its test.
struct Interrupted(Child);

impl Interrupted {
    fn start(mut drill: Command) -> Result<Self> {
        Ok(Self(drill.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?))
    }
}

impl Drop for Interrupted {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(self.0.id(), libc::SIGINT);
            let _ = self.0.wait();
        }
    }
}

/// Rules of a drill that are in force here.
fn cuts() -> Result<String> {
    let tables = Command::new("nft").args(["list", "tables"]).output()?;
    let all = String::from_utf8_lossy(&tables.stdout).into_owned();
    Ok(all.lines().filter(|table| table.contains("locum_drill")).collect())
}

fn only_a_healthy_network_is_exercised(network: &mut Network) -> Result<()> {
    network.kill("media-us-west")?;
    let refused = drill(network, &["region-loss", "us-east", "--yes"])?.output()?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    let said = said(&refused);
    ensure!(said.contains("not healthy") && said.contains("media-us-west does not run"), "{said}");
    Ok(())
}
