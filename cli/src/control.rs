//! The control plane's own program: it has the key by which the member knows an operator.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Output, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use locum_replication::{GroupId, GroupStatus};
use tokio::process::Command;

use crate::binaries;
use crate::output::complain;

const PROGRAM: &str = "locum-control";
/// What it ends with when its configuration file is wrong.
const WRONG_CONFIG: u8 = 64;
/// The same when a member answers that it cannot be done at the moment.
const LATER: u8 = 75;
/// The member's refusals come wrapped in these.
const WRAPPINGS: [&str; 2] = ["move the primary: ", "take in reports on record groups: "];

/// Where a member of the control plane is, on this machine.
#[derive(Args)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Place {
    /// The folder of a network on this machine.
    #[arg(long, default_value = ".locum", value_name = "FOLDER")]
    data: PathBuf,
    /// The configuration of one of the control plane's members, for a network that `locum up` did not make.
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    config: Option<PathBuf>,
    /// Where locum-control is [default: beside `locum`].
    #[arg(long, value_name = "FOLDER")]
    bin_dir: Option<PathBuf>,
}

impl Place {
    /// The member of this configuration, or the first of the network to answer.
    pub(crate) async fn control(&self) -> Result<Control> {
        let bin_dir = self.bin_dir.as_deref();
        match &self.config {
            Some(config) => Control::find(bin_dir, config.clone()),
            None => Control::of_network(bin_dir, &self.data).await,
        }
    }
}

/// `locum-control` with the configuration of a member on this machine.
pub(crate) struct Control {
    program: PathBuf,
    config: PathBuf,
}

impl Control {
    pub(crate) fn find(bin_dir: Option<&Path>, config: PathBuf) -> Result<Self> {
        Ok(Self { program: binaries::folder(bin_dir, &[PROGRAM])?.join(PROGRAM), config })
    }

    /// Of a network that `locum up` made: the first member to answer, or the first of all.
    pub(crate) async fn of_network(bin_dir: Option<&Path>, data: &Path) -> Result<Self> {
        let first = Self::find(bin_dir, Self::config(data, 1))?;
        let mut alive = None;
        for config in Self::configs(data) {
            let member = Self { program: first.program.clone(), config };
            let status = member.command("status").output().await.context("run locum-control")?.status;
            if status.success() {
                return Ok(member);
            }
            // It says why nothing can be done; one that is dead says nothing.
            if status.code() == Some(LATER.into()) {
                alive.get_or_insert(member);
            }
        }
        Ok(alive.unwrap_or(first))
    }

    /// The configurations of such a network's members.
    pub(crate) fn configs(data: &Path) -> impl Iterator<Item = PathBuf> {
        (1..).map(|number| Self::config(data, number)).take_while(|config| config.is_file())
    }

    fn config(data: &Path, number: u32) -> PathBuf {
        data.join(format!("control-{number}.toml"))
    }

    /// Where its configuration is.
    pub(crate) fn config_file(&self) -> &Path {
        &self.config
    }

    /// To be started; what it says is for this tool to read.
    pub(crate) fn command(&self, task: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(task).arg("--config").arg(&self.config).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("RUST_BACKTRACE", "0").env("RUST_LIB_BACKTRACE", "0");
        command
    }

    /// Runs it with these words too, and lets it say what it has to say. Its exit code, when that tells more than failure.
    pub(crate) async fn run(&self, task: &str, words: &[String]) -> Result<ExitCode> {
        let mut command = self.command(task);
        let running = command.args(words).stdout(Stdio::inherit()).spawn().context("run locum-control")?;
        let ended = running.wait_with_output().await.context("wait for locum-control")?;
        ended_with(&ended)
    }

    /// How the record groups stand, as it says it.
    pub(crate) async fn status(&self, json: bool) -> Result<String> {
        let mut command = self.command("status");
        let output = command.args(json.then_some("--json")).output().await.context("run locum-control")?;
        if !output.status.success() {
            bail!("{}", problem(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// How one stands.
    pub(crate) async fn status_of(&self, group: &GroupId) -> Result<GroupStatus> {
        let said = self.status(true).await?;
        let mut groups: BTreeMap<String, GroupStatus> =
            serde_json::from_str(&said).context("read what locum-control said")?;
        groups.remove(group.as_str()).with_context(|| format!("locum-control names no group {group}"))
    }
}

/// An error, unless it did what it was asked for or its exit code tells more than failure.
pub(crate) fn ended_with(ended: &Output) -> Result<ExitCode> {
    match ended.status.code().and_then(|code| u8::try_from(code).ok()) {
        _ if ended.status.success() => Ok(ExitCode::SUCCESS),
        Some(code @ (WRONG_CONFIG | LATER)) => {
            complain(&format!("error: {}", problem(&ended.stderr)));
            Ok(ExitCode::from(code))
        }
        _ => bail!("{}", problem(&ended.stderr)),
    }
}

/// What it said on standard error, on one line; of a refusal only the member's reason.
pub(crate) fn problem(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let said = said.trim();
    let said = said.strip_prefix("Error: ").or_else(|| said.strip_prefix("error: ")).unwrap_or(said);
    let lines = said.lines().map(|line| without_number(line.trim()));
    let causes: Vec<&str> = lines.filter(|line| !line.is_empty() && *line != "Caused by:").collect();
    let chain = causes.join(": ");
    let reason = WRAPPINGS.iter().find_map(|wrapping| chain.rsplit_once(*wrapping));
    match reason {
        Some((_, reason)) => reason.to_owned(),
        None => chain,
    }
}

/// Causes are numbered when there are several.
fn without_number(line: &str) -> &str {
    match line.split_once(": ") {
        Some((number, cause)) if number.parse::<u8>().is_ok() => cause,
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_its_reason() {
        let said = "Error: ask the member\n\nCaused by:\n    0: 127.0.4.1:40986 refuses\n    1: refused as invalid: \
                    take in reports on record groups: move the primary: edge-us-west leads already\n";
        assert_eq!(problem(said.as_bytes()), "edge-us-west leads already");
        let said = "error: ask the member: 127.0.4.1:40986 refuses: refused as invalid: take in reports on record \
                    groups: group `b` is not one of this network\n";
        assert_eq!(problem(said.as_bytes()), "group `b` is not one of this network");
    }

    #[test]
    fn what_else_went_wrong_is_one_line() {
        let said = "Error: ask the member\n\nCaused by:\n    0: no way to 127.0.4.1:4443\n    1: shake hands in time\n";
        assert_eq!(problem(said.as_bytes()), "ask the member: no way to 127.0.4.1:4443: shake hands in time");
        assert_eq!(
            problem(b"Error: no keys in state: start the member once first\n"),
            "no keys in state: start the member once first"
        );
        assert_eq!(problem(b""), "");
    }
}
