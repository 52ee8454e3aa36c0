//! `locum status`: the processes of a network on this machine, how its record groups stand, and what the node list
//! says.

mod screen;
pub(crate) mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use locum_cluster::Load;
use locum_telemetry::ReadyFile;
use serde::Serialize;
use serde_json::Value;

use crate::client::client;
use crate::control::Control;
use crate::metrics::Metrics;
use crate::output::print;

/// A primary that no second voter follows: the group can only be read.
const ALONE: &str = "locum_edge_group_alone";
/// The same where the group's policy accepts changes of which there is one copy.
const SINGLE_COPY: &str = "locum_edge_group_single_copy";

#[derive(Serialize)]
struct Status {
    /// How many regions hold an acknowledged write.
    records: &'static str,
    /// How each record group stands, as the control plane's member says; `null`: one region, or it does not answer.
    groups: Value,
    processes: BTreeMap<String, Process>,
}

/// What a process says of itself.
#[derive(Clone, Serialize)]
pub(crate) struct Process {
    pid: u32,
    state: &'static str,
    memory_mib: Option<u64>,
    addresses: BTreeMap<String, SocketAddr>,
    /// Version of the node list it holds.
    pub(crate) node_list: Option<u64>,
    /// Record groups that it leads and nobody follows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    alone: Vec<String>,
    /// Those of them whose changes it acknowledges by itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    single_copy: Vec<String>,
    /// Media nodes: how full they are.
    calls: Option<Calls>,
    /// Members of the control plane: how many vote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) voters: Option<u64>,
    /// Members of the control plane: whether this one leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    leads: Option<bool>,
}

/// Participants of a media node's calls.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
struct Calls {
    participants: u32,
    capacity: u32,
    used_percent: u16,
    /// Not from 70 % on: the rest is kept for calls that lose their node.
    takes_new_calls: bool,
}

impl Calls {
    /// `None` for what is no media node.
    fn read(metrics: &Metrics) -> Option<Self> {
        let count = |name| u32::try_from(metric(metrics, name)?).ok();
        let (sessions, capacity) = (count("locum_media_sessions")?, count("locum_media_capacity")?);
        let load = Load { sessions, capacity, cpu_permille: 0 };
        Some(Self {
            participants: sessions,
            capacity,
            used_percent: load.used_permille() / 10,
            takes_new_calls: !load.is_full(),
        })
    }

    fn text(&self) -> String {
        let Self { participants, capacity, used_percent, takes_new_calls } = self;
        let new_calls = if *takes_new_calls { "" } else { ", no new calls" };
        format!("calls {participants}/{capacity} ({used_percent} %{new_calls})")
    }
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
    let told = groups(data, json).await.unwrap_or_else(|error| format!("record groups: {error:#}\n"));
    if json {
        let groups = serde_json::from_str(&told).unwrap_or_default();
        let status = Status { records: records(&processes), groups, processes: processes.clone() };
        print(&serde_json::to_string(&status).context("write JSON")?)?;
    } else {
        print(&table(records(&processes), &told, &processes))?;
    }
    match (processes.is_empty(), troubled.is_empty()) {
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
        alone: Vec::new(),
        single_copy: Vec::new(),
        calls: None,
        voters: None,
        leads: None,
    };
    let Some(&telemetry) = process.addresses.get("telemetry") else { return Ok(process) };
    let client = client("localhost", telemetry)?;
    if let Ok(answer) = client.get(format!("http://{telemetry}/readyz")).send().await {
        process.state = if answer.status().is_success() { "ready" } else { "not ready" };
    }
    if let Ok(answer) = client.get(format!("http://{telemetry}/metrics")).send().await {
        let metrics = Metrics::parse(&answer.text().await.unwrap_or_default());
        process.calls = Calls::read(&metrics);
        process.alone = groups_with(ALONE, &metrics);
        process.single_copy = groups_with(SINGLE_COPY, &metrics);
        process.node_list = metric(&metrics, "locum_node_list_version");
        process.voters = metrics.of("locum_quorum_members", &[("kind", "voter")]).map(|voters| voters as u64);
        process.leads = metric(&metrics, "locum_quorum_leads").map(|leads| leads == 1);
    }
    Ok(process)
}

/// What the first of the control plane's members to answer says of the record groups, as it says it.
async fn groups(data: &Path, json: bool) -> Result<String> {
    if Control::configs(data).next().is_none() {
        return Ok(String::new());
    }
    Control::of_network(None, data).await?.status(json).await
}

/// The groups of which a gauge is 1.
fn groups_with(gauge: &str, metrics: &Metrics) -> Vec<String> {
    let is_one = |group: &&str| metrics.of(gauge, &[("group", group)]) == Some(1.0);
    metrics.labels(gauge, "group").into_iter().filter(is_one).map(str::to_owned).collect()
}

fn metric(metrics: &Metrics, name: &str) -> Option<u64> {
    metrics.of(name, &[]).map(|value| value as u64)
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

fn table(records: &str, groups: &str, processes: &BTreeMap<String, Process>) -> String {
    let mut text = format!("records: {records}\n");
    text.extend(groups.lines().map(|line| format!("  {line}\n")));
    for (name, process) in processes {
        for group in &process.alone {
            text += &format!("  {group}: nobody follows {name}, so nothing can be changed\n");
        }
        for group in &process.single_copy {
            text += &format!("  {group}: nobody follows {name}, which alone holds what is new\n");
        }
    }
    let width = processes.keys().map(String::len).max().unwrap_or(0).max(10);
    for (name, process) in processes {
        let memory = process.memory_mib.map_or_else(String::new, |mib| format!("{mib} MiB"));
        let list = match (process.leads, process.voters, process.node_list) {
            (Some(true), ..) => "leads".to_owned(),
            (Some(false), ..) | (None, Some(_), _) => "follows".to_owned(),
            (None, None, version) => {
                version.map_or_else(String::new, |version| format!("node list {version}"))
            }
        };
        let addresses = process.addresses.iter().map(|(what, address)| format!("{what} {address}"));
        let rest: Vec<String> = process.calls.iter().map(Calls::text).chain(addresses).collect();
        text += &format!(
            "{name:<width$} {:<9} pid {:<8} {memory:>8}  {list:<14} {}\n",
            process.state,
            process.pid,
            rest.join("  ")
        );
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_off_the_metrics() {
        let text =
            "# TYPE locum_node_list_version gauge\nlocum_node_list_version 17\nother 3\nof{kind=\"a\"} 2\n";
        let metric = |text, name| metric(&Metrics::parse(text), name);
        assert_eq!(metric(text, "locum_node_list_version"), Some(17));
        assert_eq!(metric(text, "of"), Some(2));
        assert_eq!(metric("other 3\n", "locum_node_list_version"), None);
        assert_eq!(metric("locum_node_list_version_of_others 3\n", "locum_node_list_version"), None);
    }

    #[test]
    fn a_media_node_says_how_full_it_is() {
        let text = |sessions| {
            let metrics = format!("locum_media_sessions {sessions}\nlocum_media_capacity 64\n");
            Calls::read(&Metrics::parse(&metrics)).unwrap().text()
        };
        assert_eq!(text(0), "calls 0/64 (0 %)");
        assert_eq!(text(44), "calls 44/64 (68 %)");
        assert_eq!(text(45), "calls 45/64 (70 %, no new calls)");
        assert_eq!(text(64), "calls 64/64 (100 %, no new calls)");
        assert_eq!(Calls::read(&Metrics::parse("locum_node_list_version 17\n")), None);
    }

    #[test]
    fn who_leads_without_followers_is_named() {
        let metrics = "locum_edge_group_alone{group=\"main\"} 0\nlocum_edge_group_alone{group=\"eu\"} 1\n";
        let metrics = &Metrics::parse(metrics);
        assert_eq!(groups_with(ALONE, metrics), ["eu"]);
        assert!(groups_with(SINGLE_COPY, metrics).is_empty());
        let process = Process {
            pid: 7,
            state: "ready",
            memory_mib: None,
            addresses: BTreeMap::new(),
            node_list: None,
            alone: groups_with(ALONE, metrics),
            single_copy: Vec::new(),
            calls: None,
            voters: None,
            leads: None,
        };
        let text = table("two", "eu: epoch 7\n", &BTreeMap::from([("edge-1".to_owned(), process)]));
        let said =
            "records: two\n  eu: epoch 7\n  eu: nobody follows edge-1, so nothing can be changed\nedge-1 ";
        assert!(text.starts_with(said), "{text}");
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
