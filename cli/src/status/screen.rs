//! The network on a screen of 80 columns. Pure: [`watch`](super::watch) looks, this says.

/// Of any terminal.
const WIDTH: usize = 80;
/// Changes that fit below everything else.
const CHANGES: usize = 8;

/// One look at a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Picture {
    /// Local time of day.
    pub time: String,
    /// The network's folder.
    pub folder: String,
    /// By region, then by name.
    pub nodes: Vec<NodeLine>,
    /// By name.
    pub groups: Vec<GroupLine>,
    /// Record group, and how old a restore would be, in seconds.
    pub backups: Vec<(String, f64)>,
    /// Kind, seconds since, and whether it was as promised.
    pub drills: Vec<(String, f64, bool)>,
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NodeLine {
    pub region: String,
    pub name: String,
    /// In a word.
    pub state: String,
    /// Percent of what it may carry.
    pub load: Option<u16>,
    pub memory_mib: Option<u64>,
    /// What else there is to say.
    pub note: String,
}

/// One record group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GroupLine {
    pub name: String,
    pub primary: Option<String>,
    pub epoch: u64,
    pub served: bool,
    pub complete: u64,
    pub voters: u64,
    /// Frames that the copy furthest behind lacks.
    pub lag: Option<u64>,
    /// What else there is to say.
    pub note: String,
}

/// Something that changed, and when.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Change {
    /// Unix time.
    pub at: i64,
    pub what: String,
}

/// The whole screen, a line each, none longer than the screen is wide.
pub(super) fn lines(picture: &Picture, changes: &[Change], now: i64) -> Vec<String> {
    let trouble = trouble(picture);
    let verdict = if trouble.is_empty() { "all is well".to_owned() } else { trouble.join(", ") };
    let mut lines = vec![format!("locum {}  {}  {verdict}", picture.folder, picture.time), String::new()];
    lines.push(format!("{:<11} {:<20} {:<10} {:>5} {:>8}", "REGION", "NODE", "STATE", "LOAD", "MEMORY"));
    let mut region = "";
    for node in &picture.nodes {
        let shown = if node.region == region { "" } else { node.region.as_str() };
        region = &node.region;
        let load = node.load.map_or_else(String::new, |load| format!("{load} %"));
        let memory = node.memory_mib.map_or_else(String::new, |mib| format!("{mib} MiB"));
        lines.push(format!(
            "{shown:<11} {:<20} {:<10} {load:>5} {memory:>8}  {}",
            node.name, node.state, node.note
        ));
    }
    if !picture.groups.is_empty() {
        lines.push(String::new());
        lines.push(format!(
            "{:<11} {:<20} {:>6} {:>7} {:>8} {:>6}",
            "RECORDS", "PRIMARY", "EPOCH", "SERVED", "COPIES", "BEHIND"
        ));
    }
    for group in &picture.groups {
        let (served, lag) = (
            if group.served { "yes" } else { "NO" },
            group.lag.map_or_else(String::new, |frames| frames.to_string()),
        );
        lines.push(format!(
            "{:<11} {:<20} {:>6} {served:>7} {:>8} {lag:>6}  {}",
            group.name,
            group.primary.as_deref().unwrap_or("nobody"),
            group.epoch,
            format!("{} of {}", group.complete, group.voters),
            group.note
        ));
    }
    lines.extend(kept(picture));
    if !changes.is_empty() {
        lines.extend([String::new(), "LATELY".to_owned()]);
        let newest = changes.iter().rev().take(CHANGES);
        lines.extend(
            newest.map(|change| format!("{:>11} ago  {}", age((now - change.at) as f64), change.what)),
        );
    }
    lines.into_iter().map(|line| line.trim_end().chars().take(WIDTH).collect()).collect()
}

/// Backups and drills.
fn kept(picture: &Picture) -> Vec<String> {
    let mut lines = Vec::new();
    if !(picture.backups.is_empty() && picture.drills.is_empty()) {
        lines.push(String::new());
    }
    for (group, seconds) in &picture.backups {
        lines.push(format!("BACKUP      {group}: a restore would be {} old", age(*seconds)));
    }
    for (kind, seconds, passed) in &picture.drills {
        let verdict = if *passed { "passed" } else { "FAILED" };
        lines.push(format!("DRILL       {kind}: {verdict} {} ago", age(*seconds)));
    }
    lines
}

/// What somebody should look at, in few words.
fn trouble(picture: &Picture) -> Vec<String> {
    let bad = ["gone", "not ready", "down"];
    let nodes = picture.nodes.iter().filter(|node| bad.contains(&node.state.as_str()));
    let nodes = nodes.map(|node| format!("{} {}", node.name, node.state));
    let groups = picture.groups.iter().filter(|group| !group.served);
    groups.map(|group| format!("{} has no primary", group.name)).chain(nodes).collect()
}

/// What differs between two looks, in the order in which it is said.
pub(super) fn differences(before: &Picture, after: &Picture, at: i64) -> Vec<Change> {
    let mut changes = Vec::new();
    for now in &after.groups {
        let Some(was) = before.groups.iter().find(|was| was.name == now.name) else { continue };
        let primary = now.primary.as_deref().unwrap_or("nobody");
        if was.epoch != now.epoch {
            changes.push(format!("{}: epoch {}, after {}", now.name, now.epoch, was.epoch));
        }
        if was.primary != now.primary && now.primary.is_some() {
            changes.push(format!("{}: {primary} leads", now.name));
        }
        if was.served != now.served {
            changes.push(format!("{}: {}", now.name, if now.served { "served again" } else { "not served" }));
        }
    }
    let all = before.nodes.iter().chain(&after.nodes).map(|node| &node.name);
    let mut names: Vec<&String> = all.collect();
    names.sort();
    names.dedup();
    let state = |picture: &Picture, name: &str| {
        let node = picture.nodes.iter().find(|node| node.name == name);
        node.map_or("gone", |node| node.state.as_str()).to_owned()
    };
    for name in names {
        let (was, now) = (state(before, name), state(after, name));
        if was != now {
            changes.push(format!("{name}: {now}, was {was}"));
        }
    }
    changes.into_iter().map(|what| Change { at, what }).collect()
}

/// How long, to one unit.
fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    match seconds {
        _ if seconds < 120.0 => format!("{seconds:.0} s"),
        _ if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ if seconds < 172_800.0 => format!("{:.0} h", seconds / 3_600.0),
        _ => format!("{:.0} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(region: &str, name: &str, state: &str) -> NodeLine {
        let (region, name, state) = (region.to_owned(), name.to_owned(), state.to_owned());
        NodeLine { region, name, state, load: Some(3), memory_mib: Some(61), note: String::new() }
    }

    fn picture() -> Picture {
        let group = GroupLine {
            name: "main".to_owned(),
            primary: Some("edge-us-west".to_owned()),
            epoch: 7,
            served: true,
            complete: 3,
            voters: 3,
            lag: Some(0),
            note: String::new(),
        };
        Picture {
            time: "12:03:41".to_owned(),
            folder: ".locum".to_owned(),
            nodes: vec![
                node("eu-central", "control-1", "leads"),
                node("eu-central", "edge-eu-central", "up"),
                node("us-west", "edge-us-west", "up"),
            ],
            groups: vec![group],
            backups: vec![("main".to_owned(), 9.0)],
            drills: vec![("region-loss".to_owned(), 500_000.0, true)],
        }
    }

    #[test]
    fn everything_fits_on_80_columns() {
        let mut long = picture();
        long.nodes[1].note = "x".repeat(200);
        let changes = [Change { at: 100, what: "main: epoch 7, after 6".to_owned() }];
        let shown = lines(&long, &changes, 400);
        assert!(shown.iter().all(|line| line.chars().count() <= WIDTH), "{shown:#?}");
        let text = shown.join("\n");
        for words in [
            "locum .locum  12:03:41  all is well",
            "eu-central  control-1            leads        3 %   61 MiB",
            "\n            edge-eu-central      up ",
            "main        edge-us-west              7     yes   3 of 3      0",
            "main: a restore would be 9 s old",
            "region-loss: passed 6 days ago",
            "      5 min ago  main: epoch 7, after 6",
        ] {
            assert!(text.contains(words), "{words} in\n{text}");
        }
    }

    #[test]
    fn trouble_stands_in_the_first_line() {
        let mut bad = picture();
        bad.nodes[2].state = "gone".to_owned();
        (bad.groups[0].served, bad.groups[0].primary) = (false, None);
        let shown = lines(&bad, &[], 0);
        assert_eq!(shown[0], "locum .locum  12:03:41  main has no primary, edge-us-west gone");
        assert!(shown.iter().any(|line| line.starts_with("main        nobody") && line.contains(" NO ")));
    }

    #[test]
    fn what_changes_is_told_once() {
        let (before, mut after) = (picture(), picture());
        assert!(differences(&before, &after, 5).is_empty());
        after.nodes.pop();
        (after.groups[0].epoch, after.groups[0].primary) = (8, Some("edge-eu-central".to_owned()));
        let told: Vec<String> =
            differences(&before, &after, 5).into_iter().map(|change| change.what).collect();
        let expected =
            ["main: epoch 8, after 7", "main: edge-eu-central leads", "edge-us-west: gone, was up"];
        assert_eq!(told, expected);
    }
}
