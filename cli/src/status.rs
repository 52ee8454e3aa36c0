//! `locum status`: the processes of a network on this machine, and what the node list says.

mod screen;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use locum_telemetry::ReadyFile;
use serde::Serialize;

use crate::client::client;

#[derive(Serialize)]
struct Status {
    /// How many regions hold an acknowledged write.
    records: &'static str,
    processes: BTreeMap<String, Process>,
}

/// What a process says of itself.
#[derive(Serialize)]
pub(crate) struct Process {
    pid: u32,
    state: &'static str,
    memory_mib: Option<u64>,
    addresses: BTreeMap<String, SocketAddr>,
    /// Version of the node list it holds.
    pub(crate) node_list: Option<u64>,
}

/// Prints the status; fails when a process is not ready.
pub(crate) async fn run(data: &Path, json: bool) -> Result<()> {
    let run = data.join("run");
    let entries = fs::read_dir(&run).with_context(|| format!("no network in {}", data.display()))?;
    let mut processes = BTreeMap::new();
    for entry in entries {
        let path = entry.context("read the folder of ready files")?.path();
        if let (Some(name), Ok(ready)) = (path.file_stem(), ReadyFile::read(&path)) {
            processes.insert(name.to_string_lossy().into_owned(), look_at(ready).await?);
        }
    }
    let troubled: Vec<&str> =
        processes.iter().filter(|(_, p)| p.state != "ready").map(|(name, _)| name.as_str()).collect();
    let troubled = troubled.join(", ");
    let status = Status { records: records(&processes), processes };
    print(&if json { serde_json::to_string(&status).context("write JSON")? } else { table(&status) });
    match (status.processes.is_empty(), troubled.is_empty()) {
        (true, _) => bail!("nothing runs in {}", data.display()),
        (false, false) => bail!("not ready: {troubled}"),
        (false, true) => Ok(()),
    }
}

/// Asks the process that a ready file names.
pub(crate) async fn look_at(ready: ReadyFile) -> Result<Process> {
    let mut process = Process {
        pid: ready.pid,
        state: "stopped",
        memory_mib: memory_mib(ready.pid),
        addresses: ready.addresses,
        node_list: None,
    };
    let Some(&telemetry) = process.addresses.get("telemetry") else { return Ok(process) };
    let client = client("localhost", telemetry)?;
    if let Ok(answer) = client.get(format!("http://{telemetry}/readyz")).send().await {
        process.state = if answer.status().is_success() { "ready" } else { "not ready" };
    }
    if let Ok(answer) = client.get(format!("http://{telemetry}/metrics")).send().await {
        process.node_list = answer.text().await.ok().as_deref().and_then(node_list_version);
    }
    Ok(process)
}

fn node_list_version(metrics: &str) -> Option<u64> {
    let line = metrics.lines().find(|line| line.starts_with("locum_node_list_version"))?;
    line.split_whitespace().last()?.parse().ok()
}

/// Resident memory, from proc(5).
fn memory_mib(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

/// By how many edge hosts were started.
fn records(processes: &BTreeMap<String, Process>) -> &'static str {
    match processes.keys().filter(|name| name.starts_with("edge-")).count() {
        0 | 1 => "one copy",
        _ => "two copies of every acknowledged change",
    }
}

fn table(status: &Status) -> String {
    let mut text = format!("records: {}\n", status.records);
    let width = status.processes.keys().map(String::len).max().unwrap_or(0).max(10);
    for (name, process) in &status.processes {
        let memory = process.memory_mib.map_or_else(String::new, |mib| format!("{mib} MiB"));
        let list = process.node_list.map_or_else(String::new, |version| format!("node list {version}"));
        let addresses: Vec<String> =
            process.addresses.iter().map(|(what, address)| format!("{what} {address}")).collect();
        text += &format!(
            "{name:<width$} {:<9} pid {:<8} {memory:>8}  {list:<14} {}\n",
            process.state,
            process.pid,
            addresses.join("  ")
        );
    }
    text.trim_end().to_owned()
}

#[allow(clippy::print_stdout, reason = "what a person asked this tool to say")]
fn print(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_off_the_metrics() {
        let text = "# TYPE locum_node_list_version gauge\nlocum_node_list_version 17\nother 3\n";
        assert_eq!(node_list_version(text), Some(17));
        assert_eq!(node_list_version("other 3\n"), None);
    }

    #[tokio::test]
    async fn a_folder_without_a_network_is_said_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(&folder.path().join("none"), true).await.unwrap_err().to_string();
        assert!(error.starts_with("no network in"), "{error}");
        fs::create_dir(folder.path().join("run")).unwrap();
        let error = run(folder.path(), true).await.unwrap_err().to_string();
        assert!(error.starts_with("nothing runs in"), "{error}");
    }
}
