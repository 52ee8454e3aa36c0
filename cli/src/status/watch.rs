//! `locum status --watch`: looks every second, and shows it in place.

use std::fs::File;
use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use jiff::{Timestamp, Zoned};
use locum_cluster::{NodeList, NodeRecord};
use locum_identity::Role;
use reqwest::Client;
use serde_json::Value;
use tokio::task::JoinSet;

use super::screen::{self, Change, GroupLine, NodeLine, Picture};
use crate::look::{self, GroupSeen};
use crate::metrics::Metrics;
use crate::site::{Node, Site};

const EVERY: Duration = Duration::from_secs(1);
/// More than anybody looks back.
const CHANGES: usize = 100;
/// Of the end of a host's log, where its last failovers stand.
const LOG_BYTES: u64 = 256 << 10;

/// Shows the network until it is interrupted.
pub(crate) async fn run(folder: &Path) -> Result<()> {
    let client = look::client()?;
    // Said at once if there is no network.
    let mut changes = led_lately(&Site::read(folder)?);
    let is_terminal = std::io::stdout().is_terminal();
    let (mut ticks, mut before) = (tokio::time::interval(EVERY), None::<Picture>);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (picture, now) = (look(&client, folder).await, Timestamp::now().as_second());
        if let Some(before) = &before {
            changes.extend(screen::differences(before, &picture, now));
            changes.drain(..changes.len().saturating_sub(CHANGES));
        }
        show(&screen::lines(&picture, &changes, now), is_terminal)?;
        before = Some(picture);
    }
}

/// In place on a terminal; one look after the other for whoever else reads.
fn show(lines: &[String], is_terminal: bool) -> Result<()> {
    // Home, each line to its end, and whatever an earlier look left below (ECMA-48).
    let text = if is_terminal {
        format!("\x1b[H{}\x1b[J", lines.iter().map(|line| format!("{line}\x1b[K\r\n")).collect::<String>())
    } else {
        format!("{}\n\n", lines.join("\n"))
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

async fn look(client: &Client, folder: &Path) -> Picture {
    let time = Zoned::now().strftime("%H:%M:%S").to_string();
    let mut picture = Picture { time, folder: folder.display().to_string(), ..Picture::default() };
    let Ok(site) = Site::read(folder) else { return picture };
    let mut asked = JoinSet::new();
    for node in site.nodes.values().cloned() {
        let client = client.clone();
        asked.spawn(async move {
            let (ready, metrics) =
                tokio::join!(look::is_ready(&client, &node), look::metrics(&client, &node));
            (node, ready, metrics.unwrap_or_default())
        });
    }
    let mut said = asked.join_all().await;
    said.sort_by(|(a, ..), (b, ..)| (&a.region, &a.name).cmp(&(&b.region, &b.name)));
    let list = newest_list(client, &site).await;
    picture.nodes =
        said.iter().map(|(node, ready, metrics)| line(node, *ready, metrics, list.as_ref())).collect();
    picture.groups = groups(&site, &said);
    picture.backups = backups(&said);
    picture.drills = drills(&site);
    picture
}

/// Of whichever edge host answers with the newest.
async fn newest_list(client: &Client, site: &Site) -> Option<NodeList> {
    let mut newest: Option<NodeList> = None;
    for edge in site.with_role(Role::Edge).filter(|edge| edge.is_alive()) {
        let Ok(api) = look::url(site, edge, &edge.region) else { continue };
        let list = look::node_list(client, &api, 0).await;
        newest = [newest, list].into_iter().flatten().max_by_key(|list| list.version);
    }
    newest
}

fn line(node: &Node, ready: bool, metrics: &Metrics, list: Option<&NodeList>) -> NodeLine {
    let record = list.and_then(|list| list.nodes.iter().find(|record| record.id.as_str() == node.name));
    let leads = metrics.of("locum_quorum_leads", &[]);
    let state = match (node.is_alive(), ready, record, leads) {
        (false, ..) => "gone",
        (true, false, ..) => "not ready",
        (.., Some(record), _) => record.state.as_str(),
        (.., Some(leads)) if leads > 0.0 => "leads",
        (.., Some(_)) => "follows",
        _ => "ready",
    };
    let count = |name: &str| metrics.of(name, &[]).map(|value| value as u64);
    let note = match (count("locum_media_sessions"), count("locum_media_capacity")) {
        (Some(people), Some(most)) => format!("{people}/{most} people"),
        (Some(people), None) => format!("{people} people"),
        _ => String::new(),
    };
    let memory = metrics.of("process_resident_memory_bytes", &[]);
    NodeLine {
        region: node.region.clone(),
        name: node.name.clone(),
        state: state.to_owned(),
        load: record.filter(|_| ready).map(|record: &NodeRecord| record.load.used_permille() / 10),
        memory_mib: memory.map(|bytes| bytes as u64 / (1 << 20)),
        note,
    }
}

fn groups(site: &Site, said: &[(Node, bool, Metrics)]) -> Vec<GroupLine> {
    let members = said.iter().filter(|(node, ..)| node.role == Role::Control);
    let knows = members.filter(|(.., metrics)| look::leads(metrics));
    let all = knows.flat_map(|(node, _, metrics)| look::groups(&node.name, metrics));
    let edges = || said.iter().filter(|(node, ..)| node.role == Role::Edge).map(|(.., metrics)| metrics);
    let line = |seen: GroupSeen| {
        let of = |name: &str| {
            edges()
                .filter_map(|metrics| metrics.of(name, &[("group", seen.group.as_str())]))
                .collect::<Vec<_>>()
        };
        let frames = of("locum_edge_replica_frame").into_iter().map(|frame| frame as u64);
        let is = |name: &str| of(name).contains(&1.0);
        let note = match seen.missing {
            missing if missing > 0 => format!("{missing} promises missing"),
            _ if is("locum_edge_group_alone") => "alone: read only".to_owned(),
            _ if is("locum_edge_group_single_copy") => "one copy only".to_owned(),
            _ => String::new(),
        };
        let (least, most) = (frames.clone().min(), frames.max());
        GroupLine {
            primary: site.primary(&seen.group).map(|node| node.name.clone()),
            epoch: seen.epoch,
            served: seen.served,
            complete: seen.complete,
            voters: seen.voters,
            lag: most.zip(least).map(|(most, least)| most - least),
            note,
            name: seen.group,
        }
    };
    let mut lines: Vec<GroupLine> = all.map(line).collect();
    lines.sort_by(|a, b| a.name.cmp(&b.name));
    lines.dedup_by(|a, b| a.name == b.name);
    lines
}

fn backups(said: &[(Node, bool, Metrics)]) -> Vec<(String, f64)> {
    const NEWEST: &str = "locum_edge_backup_newest_timestamp_seconds";
    let now = Timestamp::now().as_second() as f64;
    let all = said.iter().flat_map(|(.., metrics)| {
        let of = |group: &str| Some((group.to_owned(), metrics.of(NEWEST, &[("group", group)])?));
        metrics.labels(NEWEST, "group").into_iter().filter_map(of).collect::<Vec<_>>()
    });
    let mut newest = std::collections::BTreeMap::<String, f64>::new();
    for (group, at) in all {
        let kept = newest.entry(group).or_insert(at);
        *kept = kept.max(at);
    }
    newest.into_iter().map(|(group, at)| (group, now - at)).collect()
}

fn drills(site: &Site) -> Vec<(String, f64, bool)> {
    let text = std::fs::read_to_string(site.folder.join("drills/locum_drill.prom")).unwrap_or_default();
    let (metrics, now) = (Metrics::parse(&text), Timestamp::now().as_second() as f64);
    let of = |kind: &str| {
        let figure = |name: &str| metrics.of(name, &[("drill", kind)]);
        let passed = figure("locum_drill_passed")? > 0.0;
        Some((kind.to_owned(), now - figure("locum_drill_timestamp_seconds")?, passed))
    };
    metrics.labels("locum_drill_timestamp_seconds", "drill").into_iter().filter_map(of).collect()
}

/// Who began to lead what, by the ends of the hosts' logs, oldest first.
fn led_lately(site: &Site) -> Vec<Change> {
    let hosts = site.with_role(Role::Edge);
    let mut changes: Vec<Change> = hosts
        .flat_map(|host| {
            let log = end_of(&site.folder.join(format!("log/{}.log", host.name))).unwrap_or_default();
            log.lines().filter_map(|line| led(&host.name, line)).collect::<Vec<_>>()
        })
        .collect();
    changes.sort();
    changes
}

/// A line of a host's log, if it says that the host leads.
fn led(host: &str, line: &str) -> Option<Change> {
    let line: Value = serde_json::from_str(line).ok()?;
    let says = line["message"].as_str().or_else(|| line["fields"]["message"].as_str())?;
    let at: Timestamp = line["timestamp"].as_str()?.parse().ok()?;
    let what = format!("{}: {host} leads epoch {}", line["group"].as_str()?, line["epoch"].as_u64()?);
    (says == "leads").then_some(Change { at: at.as_second(), what })
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES)))?;
    let mut end = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_led_stands_in_the_log() {
        let line = r#"{"timestamp":"2026-11-22T10:00:00.5Z","level":"INFO","message":"leads","group":"main","epoch":7}"#;
        let change = led("edge-us-east", line).unwrap();
        assert_eq!((change.what.as_str(), change.at), ("main: edge-us-east leads epoch 7", 1_795_341_600));
        assert_eq!(led("edge-us-east", &line.replace("leads", "follows")), None);
        assert_eq!(led("edge-us-east", "no JSON"), None);
    }

    #[test]
    fn only_the_end_of_a_log_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        std::fs::write(&path, format!("{}\nlast", "x".repeat(2 * LOG_BYTES as usize))).unwrap();
        let end = end_of(&path).unwrap();
        assert!(end.ends_with("\nlast") && end.len() == LOG_BYTES as usize);
    }
}
