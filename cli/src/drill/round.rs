//! One round: writers write, the fault comes, everybody looks at how long what takes, it is undone, and whatever was
//! acknowledged is looked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use locum_identity::Role;

use super::canary::{Canary, Visit};
use super::clients::{self, People};
use super::fault::{Kind, Victims};
use super::health;
use super::log::{Seen, What};
use super::measure::{Fault, Measure, measure, silences};
use super::names;
use super::report::{CAUGHT_UP, Epochs, Lane, Moment, Round};
use super::stage::Stage;
use super::watch;
use super::writers::Writers;
use crate::look;

/// Changes through each edge host before the fault, and after all is healed.
const SETTLED: u32 = 3;
/// Between two looks at what came.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A fault lasts at least so long, that what should not happen has time to.
const LASTS_AT_LEAST: Duration = Duration::from_secs(5);
/// Whoever keeps the promise for people has this long to be whole again.
const WHOLE_WITHIN: Duration = Duration::from_secs(300);

/// What stays the same from round to round.
pub(super) struct Setting {
    /// What goes wrong.
    pub kind: Kind,
    /// Whom it meets, by name or as `primary`.
    pub target: String,
    /// The canary's staff.
    pub canary: Canary,
    /// A visit for each edge host's writer.
    pub visits: BTreeMap<String, Visit>,
    /// A visit whose call is open.
    pub call: Visit,
    /// Names this drill's journals.
    pub name: String,
    /// Longest wait for people to be served again.
    pub promise: Duration,
}

/// Plays round `number` on a healthy network.
pub(super) async fn play(setting: &Setting, stage: &Stage, number: u32) -> Result<Round> {
    let site = stage.site();
    let leader = look::leader(&stage.client, &site).await;
    let victims = setting.kind.choose(&site, &setting.target, leader.as_deref())?;
    let looking = watch::start(stage);
    let journals = format!("{}-{number}", setting.name);
    let mut writers = Writers::start(stage, &setting.canary.doctor, &setting.visits, &journals);
    writers.go_on(|_| true, SETTLED).await.context("before the fault")?;
    let doors = stage.doors_from(&victims.region);
    let held = clients::join(&setting.canary.doctor, &doors, &setting.call).await;
    let people = People {
        region: victims.region.clone(),
        doctor: setting.canary.doctor.clone(),
        visit: setting.call.clone(),
        held: held.context("nobody gives a place in a call, before the fault")?,
    };

    let mut round = Round {
        number,
        began: super::now(),
        region: victims.region.clone(),
        nodes: victims.names().into_iter().collect(),
        led: victims.led,
        led_control: victims.led_control,
        ..Round::default()
    };
    let mut fault = expectation(stage, &victims, site.drilled()?);
    let names = match setting.kind {
        // Of one host gone from a region, what names say depends on who else is there.
        Kind::NodeKill | Kind::PrimaryPause => None,
        Kind::RegionLoss | Kind::Partition => names::question(stage, &victims.region, &fault.away).await,
    };
    if names.is_some() {
        fault.expected.insert(Measure::Names);
    }
    fault.at = stage.log.now();
    let mut made = victims.meet(&site).await?;
    fault.done = stage.log.now();
    stage.log.note(What::Done(format!("done: {victims}")));
    let mut going_on = clients::start(stage, &people, &fault.away);
    if let Some(question) = names {
        going_on.spawn(names::ask(stage.clone(), question));
    }
    wait_until_served(stage, &fault, setting.promise).await;
    drop(going_on);
    let healed = stage.log.now();
    made.undo()?;
    stage.log.note(What::Done("undone".to_owned()));
    let whole = caught_up(stage, &mut round, healed).await;
    if whole {
        let settled = writers.go_on(|_| true, SETTLED).await;
        round.failures.extend(settled.err().map(|error| format!("after all was healed: {error:#}")));
    }
    let (writes, trouble) = writers.check().await?;
    round.writes = writes;
    round.failures.extend(trouble);
    stage.over.cancel();
    drop(looking);
    describe(&mut round, stage, &fault, healed);
    Ok(round)
}

/// What should come of it.
fn expectation(stage: &Stage, victims: &Victims, group: &str) -> Fault {
    let hosts = stage.hosts();
    let away = victims.names();
    let edge_is_away = victims.nodes.iter().any(|node| node.role == Role::Edge);
    let media_is_away = victims.nodes.iter().any(|node| node.role == Role::Media);
    let mut expected = BTreeSet::from([Measure::Records, Measure::NewCall]);
    if !victims.listed().is_empty() {
        expected.insert(Measure::Detect);
    }
    if victims.led {
        expected.insert(Measure::Decide);
    }
    if victims.led_control {
        expected.insert(Measure::Control);
    }
    if edge_is_away {
        expected.insert(Measure::Edge);
    }
    if media_is_away {
        expected.insert(Measure::HeldCall);
    }
    let epoch = epoch(stage, group);
    let (listed, group) = (victims.listed(), group.to_owned());
    Fault { at: Duration::ZERO, done: Duration::ZERO, away, listed, group, epoch, expected, hosts }
}

/// The newest epoch of a group that any member has told of.
fn epoch(stage: &Stage, group: &str) -> u64 {
    let of = |seen: &Seen| match &seen.what {
        What::Group(seen) if seen.group == group => Some(seen.epoch),
        _ => None,
    };
    stage.log.with(|seen| seen.iter().filter_map(of).max()).unwrap_or(0)
}

/// Returns when everything that is measured has come, or the promise is broken.
async fn wait_until_served(stage: &Stage, fault: &Fault, promise: Duration) {
    loop {
        let passed = stage.log.now().saturating_sub(fault.at);
        let served = stage.log.with(|seen| measure(seen, fault).is_complete());
        if (served && passed >= LASTS_AT_LEAST) || passed >= promise.max(LASTS_AT_LEAST) {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Waits until the network is as it was before.
async fn caught_up(stage: &Stage, round: &mut Round, healed: Duration) -> bool {
    let waited = health::wait(stage, WHOLE_WITHIN).await;
    let took = stage.log.now().saturating_sub(healed);
    round.seconds.insert(CAUGHT_UP.to_owned(), waited.is_ok().then(|| seconds(took)));
    stage.log.note(What::Done(match &waited {
        Ok(()) => "everything has caught up".to_owned(),
        Err(complaints) => format!("not caught up: {}", complaints.join("; ")),
    }));
    let is_whole = waited.is_ok();
    round
        .failures
        .extend(waited.err().map(|complaints| format!("not healthy again: {}", complaints.join("; "))));
    is_whole
}

/// Puts what was seen into the round.
fn describe(round: &mut Round, stage: &Stage, fault: &Fault, healed: Duration) {
    let since = |at: Duration| seconds(at) - seconds(fault.at);
    let end = stage.log.now();
    stage.log.with(|seen| {
        let measured = measure(seen, fault);
        let all = measured.all.iter().map(|(measure, took)| (measure.key().to_owned(), took.map(seconds)));
        round.seconds.extend(all);
        let by_region = measured.records_by_region.into_iter();
        round.records_by_region = by_region.map(|(region, took)| (region, took.map(seconds))).collect();
        let lane = |host: &String| {
            let silences = silences(seen, host, end).into_iter();
            let silences = silences.map(|silence| [rounded(since(silence.from)), rounded(since(silence.to))]);
            Lane { host: host.clone(), silences: silences.collect() }
        };
        round.lanes = fault.hosts.keys().map(lane).collect();
        round.timeline = timeline(seen, fault);
    });
    round.epochs = Epochs { before: fault.epoch, after: epoch(stage, &fault.group) };
    (round.healed_at, round.ended_at) = (Some(rounded(since(healed))), rounded(since(end)));
}

/// What happened, without the single changes: of those the first through each host after the fault.
pub(super) fn timeline(seen: &[Seen], fault: &Fault) -> Vec<Moment> {
    let (mut first, mut down) = (BTreeSet::new(), BTreeMap::<&String, &BTreeSet<String>>::new());
    let mut agreed: (Option<&String>, Duration) = (None, Duration::ZERO);
    let mut moments = Vec::new();
    for Seen { at, what } in seen {
        let what = match what {
            What::Acknowledged { host, asked } if *asked >= fault.done && first.insert(host) => {
                format!("first change acknowledged through {host}")
            }
            What::Acknowledged { .. } => continue,
            What::Refused { host, why } => format!("{host} acknowledges nothing: {why}"),
            What::List { host, version, down: now } => {
                // Loads change too; here only who is there counts.
                if down.insert(host, now) == Some(now) {
                    continue;
                }
                let names = now.iter().cloned().collect::<Vec<_>>().join(", ");
                let names = if names.is_empty() { "nobody" } else { &names };
                format!("{host} shows node list {version}; down: {names}")
            }
            What::Group(seen) => format!(
                "{} says: group {} epoch {}, {}, {} of {} copies complete, {} promises missing",
                seen.member,
                seen.group,
                seen.epoch,
                if seen.served { "led" } else { "not led" },
                seen.complete,
                seen.voters,
                seen.missing
            ),
            What::Agreed { member, index } => {
                // One leader agrees on much; who it is counts, and the first thing after the fault.
                let is_first = *at >= fault.at && agreed.1 < fault.at;
                if agreed.0 == Some(member) && !is_first {
                    continue;
                }
                agreed = (Some(member), *at);
                format!("{member} leads the control plane; {index} entries are agreed")
            }
            What::Edge { host } => format!("a client has a good answer of {host}"),
            What::Held { node } => format!("a person in a call is let in at {node}"),
            What::Joined { node } => format!("a person who comes anew is let in at {node}"),
            What::Named { servers } => format!("{servers} name server(s) no longer name what is gone"),
            What::Done(what) => what.clone(),
        };
        moments.push(Moment { at: rounded(seconds(*at) - seconds(fault.at)), what });
    }
    moments
}

/// To the millisecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64())
}

pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}
