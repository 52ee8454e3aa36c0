//! One drill of several rounds: alone on a healthy network, with the canary's staff signed in.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use locum_identity::private_file;
use reqwest::Client;
use tokio_util::sync::CancellationToken;

use super::canary::{self, Canary, Visit};
use super::fault::Kind;
use super::report::Report;
use super::round::{self, Setting};
use super::stage::Stage;
use super::targets::Targets;
use super::{Common, health, tell};
use crate::control::{self, Control};
use crate::look;
use crate::site::Site;

/// Whoever calls this tool.
pub(super) const OPERATOR: &str = "operator";
/// Held for as long as a drill goes on: nothing is taken away twice.
const LOCK: &str = "drills/lock";

/// A drill that may begin.
pub(super) struct Session {
    /// The network.
    pub site: Site,
    /// To which every name of the zone is this machine.
    pub client: Client,
    /// The canary's staff.
    pub canary: Canary,
    /// A visit for each edge host's writer.
    pub visits: BTreeMap<String, Visit>,
    /// Cancelled when somebody wants it to end.
    pub stop: CancellationToken,
    /// Names its journals.
    pub name: String,
    /// The record group that it writes to.
    pub group: String,
    by: String,
    targets: Targets,
    began: String,
    _lock: File,
}

impl Session {
    /// Takes the network for itself, if it is healthy and nobody else has it.
    pub(super) async fn open(site: Site, common: &Common, by: &str, stop: CancellationToken) -> Result<Self> {
        let lock = lock(&site.folder)?;
        if !canary::is_there(&site.folder) {
            bail!("this network has no canary clinic yet: start it once with this release");
        }
        let client = look::client()?;
        health::check(&client, &site).await?;
        let stage = Stage::new(&client, site.clone());
        let doors = stage.doors_from("");
        let canary = Canary::sign_in(&site.folder, &client, &doors).await?;
        let mut visits = BTreeMap::new();
        for host in stage.hosts().into_keys() {
            visits
                .insert(host, canary.open_visit(&doors).await.context("open a visit at the canary clinic")?);
        }
        Ok(Self {
            group: site.drilled()?.to_owned(),
            site,
            client,
            canary,
            visits,
            stop,
            name: format!("drill-{:016x}", canary::random()?),
            by: by.to_owned(),
            targets: Targets::with(&common.targets),
            began: super::now(),
            _lock: lock,
        })
    }

    /// The same fault so many times. What was taken away is back at the end, or the report says that it is not.
    pub(super) async fn faulty(self, kind: Kind, target: &str, rounds: u32) -> Result<Report> {
        let doors = Stage::new(&self.client, self.site.clone()).doors_from("");
        let call = self.canary.open_visit(&doors).await.context("open a call at the canary clinic")?;
        let promise = Duration::from_secs_f64(self.targets.of("promise"));
        let report = self.report(kind.name(), target);
        self.note(kind).await?;
        let Self { site, client, canary, visits, stop, name, .. } = self;
        let setting = Setting { kind, target: target.to_owned(), canary, visits, call, name, promise };
        let (mut played, mut failures) = (Vec::new(), Vec::new());
        for number in 1..=rounds {
            let stage = Stage::new(&client, Site::read(&site.folder)?);
            tell(&format!("round {number} of {rounds}: {} of {target}", kind.name()));
            let round = tokio::select! {
                round = round::play(&setting, &stage, number) => round,
                () = stop.cancelled() => {
                    failures.push(format!("interrupted in round {number}; what was done is undone"));
                    break;
                }
            };
            match round {
                Ok(round) => {
                    let broken = !round.failures.is_empty();
                    played.push(round);
                    if broken {
                        failures.push(format!("no further round after round {number}"));
                        break;
                    }
                }
                Err(error) => {
                    failures.push(format!("round {number}: {error:#}"));
                    break;
                }
            }
        }
        end(&setting, &client, &site.folder).await;
        Ok(Report { rounds: played, failures, ended: super::now(), ..report }.judged())
    }

    /// Whose records they are finds in the audit who exercised the network.
    async fn note(&self, kind: Kind) -> Result<()> {
        let control = Control::of_network(None, &self.site.folder).await?;
        let mut command = control.command("note-drill");
        if self.by != OPERATOR {
            command.env("LOCUM_OPERATOR", &self.by);
        }
        let noted = command.arg(kind.name()).output().await.context("run locum-control")?;
        if !noted.status.success() {
            bail!("who holds this drill could not be recorded: {}", control::problem(&noted.stderr));
        }
        Ok(())
    }

    /// A report of which nothing has happened yet.
    pub(super) fn report(&self, drill: &str, target: &str) -> Report {
        Report {
            drill: drill.to_owned(),
            target: target.to_owned(),
            by: self.by.clone(),
            zone: self.site.zone.clone(),
            group: self.group.clone(),
            regions: self.site.regions().into_iter().map(str::to_owned).collect(),
            began: self.began.clone(),
            targets: self.targets.clone(),
            ..Report::default()
        }
    }
}

/// Ends the visits; they would end by themselves within hours.
async fn end(setting: &Setting, client: &Client, network: &Path) {
    let Ok(site) = Site::read(network) else { return };
    let doors = Stage::new(client, site).doors_from("");
    for visit in setting.visits.values().chain([&setting.call]) {
        if let Err(error) = setting.canary.end_visit(&doors, visit).await {
            tell(&format!("a visit of the canary stays open: {error:#}"));
            return;
        }
    }
}

fn lock(network: &Path) -> Result<File> {
    let path = network.join(LOCK);
    private_file::create_dir(&network.join("drills")).context("make the folder of drills")?;
    let lock = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    if lock.try_lock().is_err() {
        bail!("another drill goes on in {}: one at a time", network.display());
    }
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_drill_at_a_time() {
        let network = tempfile::tempdir().unwrap();
        let first = lock(network.path()).unwrap();
        let error = lock(network.path()).unwrap_err().to_string();
        assert!(error.contains("another drill"), "{error}");
        drop(first);
        assert!(lock(network.path()).is_ok());
    }
}
