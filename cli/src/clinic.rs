//! A clinic's set-up, from a bundle: what it would change, and that it is done.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use locum_identity::Role;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::look;
use crate::output::{complain, print};
use crate::site::Site;

/// Larger than any clinic's, smaller than what an edge host takes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
const TOKEN_FILE: &str = "setup-token";

/// Set clinics up.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show how a clinic is set up: a bundle that can be edited and applied.
    Show(Show),
    /// Make a clinic what a bundle says. Shows the difference; carries it out only with --yes. What is not in the bundle
    /// is removed, and people who are not in it leave.
    Apply(Apply),
}

#[derive(Args)]
pub(crate) struct Show {
    #[command(flatten)]
    place: Place,
    /// The clinic's name in URLs.
    clinic: String,
}

#[derive(Args)]
pub(crate) struct Apply {
    #[command(flatten)]
    place: Place,
    /// The clinic's name in URLs. Edge hosts have to know it: `clinics` in their configuration.
    clinic: String,
    /// YAML or JSON: docs/clinic-bundle.schema.json.
    bundle: PathBuf,
    /// Only show the difference, as without --yes.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Carry it out.
    #[arg(long)]
    yes: bool,
}

/// Which network.
#[derive(Args)]
struct Place {
    /// The folder of a network on this machine.
    #[arg(long, default_value = ".locum", value_name = "FOLDER")]
    data: PathBuf,
    /// An edge host of another network, such as https://eu-central.example.org.
    #[arg(long, value_name = "URL", requires = "setup_token_file")]
    url: Option<String>,
    /// The file with that network's set-up token.
    #[arg(long, value_name = "FILE")]
    setup_token_file: Option<PathBuf>,
}

/// Edge hosts, any of which will do, and the token.
struct Hosts {
    client: Client,
    urls: Vec<String>,
    token: String,
}

/// What the clinic answers.
#[derive(Deserialize)]
struct Outcome {
    changes: Vec<Change>,
    checklist: Vec<Item>,
    version: String,
    open: bool,
    invitations: Vec<Invitation>,
}

#[derive(Deserialize)]
struct Change {
    part: String,
    key: String,
    step: String,
    #[serde(default)]
    fields: Vec<String>,
}

#[derive(Deserialize)]
struct Item {
    item: String,
    done: bool,
}

#[derive(Deserialize)]
struct Invitation {
    username: String,
    token: String,
}

pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Show(options) => show(&options).await,
        Command::Apply(options) => apply(&options).await,
    }
}

async fn show(options: &Show) -> Result<ExitCode> {
    let hosts = options.place.hosts()?;
    let ask = |url: &str| hosts.client.get(format!("{url}/c/{}/auth/set-up", options.clinic));
    let Some(answer) = hosts.ask(ask).await? else { return Ok(ExitCode::FAILURE) };
    print(&serde_json::to_string_pretty(&answer["bundle"]).context("write the bundle")?)?;
    Ok(ExitCode::SUCCESS)
}

async fn apply(options: &Apply) -> Result<ExitCode> {
    let bundle = read(&options.bundle)?;
    let hosts = options.place.hosts()?;
    let put = |url: &str, query: &str| {
        let request = hosts.client.put(format!("{url}/c/{}/auth/set-up?{query}", options.clinic));
        request.json(&bundle)
    };
    let Some(planned) = hosts.ask(|url| put(url, "plan=true")).await? else {
        return Ok(ExitCode::FAILURE);
    };
    let planned: Outcome = serde_json::from_value(planned).context("read what would change")?;
    for line in planned.lines() {
        print(&line)?;
    }
    if planned.keeps() {
        print("Nothing to change.")?;
    } else if !options.yes {
        print("Nothing was changed: --yes carries it out.")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !options.yes {
        return Ok(ExitCode::SUCCESS);
    }
    let Some(done) = hosts.ask(|url| put(url, "plan=false")).await? else { return Ok(ExitCode::FAILURE) };
    let done: Outcome = serde_json::from_value(done).context("read what was changed")?;
    for Invitation { username, token } in &done.invitations {
        print(&format!("{username} chooses a password at /clinic/{}/enrol#{token}", options.clinic))?;
    }
    if done.version != planned.version {
        bail!("the clinic is not as the bundle says: apply it again");
    }
    Ok(ExitCode::SUCCESS)
}

/// YAML, of which JSON is a part, as JSON.
fn read(file: &Path) -> Result<Value> {
    let size = std::fs::metadata(file).with_context(|| format!("read {}", file.display()))?.len();
    if size > MAX_BYTES {
        bail!("{} is larger than 4 MiB", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("parse {}", file.display()))
}

impl Place {
    fn hosts(&self) -> Result<Hosts> {
        let client = look::client()?;
        let (urls, file) = match (&self.url, &self.setup_token_file) {
            (Some(url), Some(file)) => (vec![url.trim_end_matches('/').to_owned()], file.clone()),
            _ => {
                let site = Site::read(&self.data)?;
                let edges = site.with_role(Role::Edge);
                let urls = edges.map(|edge| look::url(&site, edge, &edge.region)).collect::<Result<_>>()?;
                (urls, self.setup_token_file.clone().unwrap_or_else(|| self.data.join(TOKEN_FILE)))
            }
        };
        let token = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        Ok(Hosts { client, urls, token: token.trim().to_owned() })
    }
}

impl Hosts {
    /// The answer of the first host that can; `None` once its refusal has been said.
    async fn ask(&self, request: impl Fn(&str) -> RequestBuilder) -> Result<Option<Value>> {
        let mut away = None;
        for url in &self.urls {
            let answer = match request(url).bearer_auth(&self.token).send().await {
                Ok(answer) => answer,
                Err(error) => {
                    away = Some(anyhow::Error::new(error).context(format!("ask {url}")));
                    continue;
                }
            };
            let status = answer.status();
            let body: Value = answer.json().await.with_context(|| format!("read the answer of {url}"))?;
            if status.is_success() {
                return Ok(Some(body));
            }
            if status != StatusCode::SERVICE_UNAVAILABLE {
                refusal(&body);
                return Ok(None);
            }
            away = Some(anyhow::anyhow!("{url}: {}", body["title"].as_str().unwrap_or("not now")));
        }
        Err(away.context("no edge host runs")?)
    }
}

/// With where in the bundle it is.
fn refusal(problem: &Value) {
    complain(&format!("error: {}", problem["title"].as_str().unwrap_or("refused")));
    for error in problem["errors"].as_array().into_iter().flatten() {
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        complain(&format!("  {} {}", text("pointer"), text("detail")));
    }
}

impl Outcome {
    fn keeps(&self) -> bool {
        self.changes.iter().all(|change| change.step == "keep")
    }

    fn lines(&self) -> Vec<String> {
        let line = |change: &Change| {
            let fields = match change.fields.as_slice() {
                [] => String::new(),
                fields => format!(" ({})", fields.join(", ")),
            };
            format!("{:<7} {:<13} {}{fields}", change.step, change.part, change.key)
        };
        let missing = self.checklist.iter().filter(|item| !item.done).map(|item| item.item.as_str());
        let missing: Vec<_> = missing.collect();
        let state = match (self.open, missing.as_slice()) {
            (true, []) => "Patients can book.".to_owned(),
            (true, missing) => format!("Patients can book; missing: {}.", missing.join(", ")),
            (false, missing) => format!("Patients cannot book; missing: {}.", missing.join(", ")),
        };
        self.changes.iter().map(line).chain([state]).collect()
    }
}
