//! Drills that hold themselves: one kind after the other, one region after the other, one at a time, and only while
//! the network is healthy.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use jiff::Timestamp;
use locum_identity::Role;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::fault::{Kind, PRIMARY};
use super::session::Session;
use super::{Common, conclude, gauges, tell};
use crate::site::Site;

/// In the folder of drills: a restart of the network changes nothing about when the next one is due.
const STATE: &str = "drills/schedule.json";
/// A drill takes about a minute.
const SHORTEST: Duration = Duration::from_secs(60);
/// When one is due and the network is not healthy.
const AGAIN_AT_MOST: Duration = Duration::from_secs(600);

/// A time between two drills, such as `7d`, `12h`, `30m` or `90s`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Every(Duration);

/// Options of `locum drill schedule`.
#[derive(Args, Clone)]
pub(crate) struct Options {
    /// Time between two drills, as in 7d, 12h or 30m.
    #[arg(long, default_value = "7d", value_name = "TIME")]
    every: Every,
    /// Which drills, in turn. A partition takes root.
    #[arg(long, value_delimiter = ',', default_value = "region-loss,primary-pause,node-kill")]
    kinds: Vec<Kind>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// Unix time of the next drill.
    next: i64,
    /// How many there were.
    turn: u64,
}

impl FromStr for Every {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unit = text.chars().last().unwrap_or_default();
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err("a time is given as 7d, 12h, 30m or 90s".to_owned()),
        };
        let count: u32 = text[..text.len() - 1].parse().map_err(|_| format!("`{text}` is no time"))?;
        let every = Duration::from_secs(u64::from(count) * seconds);
        if every < SHORTEST {
            return Err(format!("a drill takes a while: {} s at least", SHORTEST.as_secs()));
        }
        Ok(Self(every))
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs())
    }
}

/// Holds drills until it is told to stop.
pub(super) async fn run(options: Options) -> Result<()> {
    let stop = locum_telemetry::signals::shutdown().context("listen for signals")?;
    let network = Site::read(&options.common.data)?.folder;
    let mut state = State::read(&network).unwrap_or(State { next: now() + whole(options.every.0), turn: 0 });
    // One that was due while nothing ran is held soon, but not at once: a network that just started is not settled.
    state.next = state.next.max(now() + whole(SHORTEST.min(options.every.0 / 2)));
    loop {
        state.keep(&network)?;
        let wait = u64::try_from(state.next - now()).unwrap_or(0);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(wait)) => {}
            () = stop.cancelled() => return Ok(()),
        }
        match hold(&options, state.turn, &stop).await {
            Ok(()) => {}
            Err(Held::PutOff(why)) => {
                tell(&format!("put off: {why:#}"));
                state.next =
                    now() + whole((options.every.0 / 4).clamp(Duration::from_secs(15), AGAIN_AT_MOST));
                continue;
            }
            Err(Held::Failed(error)) => tell(&format!("{error:#}")),
        }
        state = State { next: now() + whole(options.every.0), turn: state.turn + 1 };
    }
}

enum Held {
    PutOff(anyhow::Error),
    Failed(anyhow::Error),
}

async fn hold(options: &Options, turn: u64, stop: &CancellationToken) -> Result<(), Held> {
    let site = Site::read(&options.common.data).map_err(Held::PutOff)?;
    let (kind, target) = plan(&site, &options.kinds, turn);
    let session =
        Session::open(site, &options.common, "schedule", stop.clone()).await.map_err(Held::PutOff)?;
    tell(&format!("scheduled: {} of {target}", kind.name()));
    let report = session.faulty(kind, &target, 1).await.map_err(Held::PutOff)?;
    conclude(report, &options.common).map_err(Held::Failed)
}

/// Which drill is whose turn: kinds take turns, and those who can be its target take turns within each kind.
fn plan(site: &Site, kinds: &[Kind], turn: u64) -> (Kind, String) {
    let (kinds_count, place) =
        (kinds.len().max(1) as u64, |all: usize, turn: u64| (turn % all.max(1) as u64) as usize);
    let kind = kinds.get(place(kinds.len(), turn)).copied().unwrap_or(Kind::RegionLoss);
    let within = turn / kinds_count;
    let targets: Vec<String> = match kind {
        Kind::RegionLoss | Kind::Partition => site.regions().into_iter().map(str::to_owned).collect(),
        Kind::PrimaryPause => vec![PRIMARY.to_owned()],
        Kind::NodeKill => {
            let alone = site.with_role(Role::Control).count() < 2;
            let may_die = site.nodes.values().filter(|node| node.role != Role::Control || !alone);
            may_die.map(|node| node.name.clone()).collect()
        }
    };
    let target = targets.get(place(targets.len(), within)).cloned();
    (kind, target.unwrap_or_else(|| PRIMARY.to_owned()))
}

impl State {
    fn read(network: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(network.join(STATE)).ok()?).ok()
    }

    fn keep(self, network: &Path) -> Result<()> {
        let (path, folder) = (network.join(STATE), network.join("drills"));
        gauges::set_next(&folder, self.next)?;
        let text = serde_json::to_vec(&self).context("write the schedule")?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

fn whole(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::tests::three_regions;

    #[test]
    fn times_are_read() {
        let of = |text: &str| text.parse::<Every>().map(|every| every.0.as_secs());
        assert_eq!((of("7d"), of("12h"), of("30m"), of("90s")), (Ok(604_800), Ok(43_200), Ok(1_800), Ok(90)));
        for bad in ["", "7", "d", "7w", "30s", "-1d", "1.5h", "é"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kinds_and_targets_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let site = three_regions(folder.path(), &["eu-central"]);
        let kinds = [Kind::RegionLoss, Kind::PrimaryPause, Kind::NodeKill];
        let turn = |turn| {
            let (kind, target) = plan(&site, &kinds, turn);
            format!("{} {target}", kind.name())
        };
        let first: Vec<String> = (0..7).map(turn).collect();
        let expected = [
            "region-loss eu-central",
            "primary-pause primary",
            "node-kill edge-eu-central",
            "region-loss us-east",
            "primary-pause primary",
            "node-kill edge-us-east",
            "region-loss us-west",
        ];
        assert_eq!(first, expected);
        assert!((0..100).all(|number| !turn(number).contains("control")), "the only member is left alone");
    }

    #[test]
    fn the_schedule_outlives_a_restart() {
        let network = tempfile::tempdir().unwrap();
        assert!(State::read(network.path()).is_none());
        fs::create_dir(network.path().join("drills")).unwrap();
        State { next: 42, turn: 7 }.keep(network.path()).unwrap();
        let kept = State::read(network.path()).unwrap();
        assert_eq!((kept.next, kept.turn), (42, 7));
    }
}
