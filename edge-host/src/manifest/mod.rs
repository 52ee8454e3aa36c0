//! `spin.toml`, manifest version 2: the part of Spin's format that this host runs.
//!
//! What it does not run is an unknown key, so nobody believes in a setting that has no effect. Only `tool`
//! tables of others are ignored, as Spin ignores ours.

mod outbound;
mod table;
mod template;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use locum_telemetry::config::{ConfigError, invalid, load, resolve};
use serde::Deserialize;

pub use outbound::{AllowedHost, AllowedHosts, OutboundList, ParseHostError};
pub use table::{ParseTableError, TableName};
pub use template::Template;

use crate::jobs::Job;
use crate::routes::Route;

/// The whole application, checked.
#[derive(Debug)]
pub struct Application {
    /// The manifest's folder: sources are seen from here.
    pub name: String,
    /// The built web pages.
    pub pages: Option<PathBuf>,
    /// Folder of schema files.
    pub migrations: Option<PathBuf>,
    /// Where what media nodes tell of calls is kept.
    pub call_events: Option<CallEventsTool>,
    /// How what functions write to people is sent.
    pub deliveries: Option<DeliveriesTool>,
    /// Scheduled work.
    pub jobs: Vec<Job>,
    /// Table that holds whose tokens media nodes refuse: `room`, `participant` (empty: all), `until` (unix ms).
    pub revocations: Option<TableName>,
    /// Names of variables whose values the host itself supplies.
    pub supplied: Vec<String>,
    /// Names of variables of which all have a value, or none.
    pub together: Vec<Vec<String>>,
    /// Other hosts that pages load scripts and frames of, and ask, once something is configured.
    pub page_hosts: Option<PageHosts>,
    /// Declared variables.
    pub variables: BTreeMap<String, VariableDeclaration>,
    /// Components by id.
    pub components: BTreeMap<String, Component>,
    /// Routes, the most specific first.
    pub routes: Vec<(Route, String)>,
}

/// `[application.tool.locum.page_hosts]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageHosts {
    /// The variable that must have a value.
    pub when: String,
    /// The variable that names them, as in `allowed_outbound_hosts`, with blanks between.
    pub hosts: String,
}

/// One component, checked.
#[derive(Debug)]
pub struct Component {
    /// Its `.wasm` file.
    pub source: PathBuf,
    /// `wasi:cli/environment`.
    pub environment: BTreeMap<String, String>,
    /// What `spin:variables` answers.
    pub variables: BTreeMap<String, Template>,
    /// Where it may send requests.
    pub outbound: OutboundList,
    /// `spin:key-value` labels.
    pub key_value_stores: Vec<String>,
    /// `spin:sqlite` labels.
    pub sqlite_databases: Vec<String>,
    /// Whether it may ask which passwords are known from breaches, as the store `breached-passwords`.
    pub breached_passwords: bool,
    /// Routes whose unsafe methods only read.
    pub reads: Vec<Route>,
    /// Routes whose `GET` writes.
    pub writes: Vec<Route>,
    /// Routes whose answers show health data: without an audit event there is no answer.
    pub health: Vec<Route>,
    /// Whether it may read the clinic's audit events.
    pub reads_audit: bool,
    /// Routes that other people's pages may ask, without any cookie: they bring a token, or need none.
    pub apps: Vec<Route>,
    /// Shorter than the host's own deadline.
    pub deadline: Option<Duration>,
    /// Less than the host's own bound, in bytes.
    pub memory_bytes: Option<usize>,
}

/// `[variables]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableDeclaration {
    /// There must be a value.
    #[serde(default)]
    pub required: bool,
    /// The value otherwise.
    pub default: Option<String>,
    /// Not for printing.
    #[serde(default)]
    pub secret: bool,
    /// For people.
    #[serde(default)]
    #[allow(dead_code, reason = "Spin knows it")]
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    spin_manifest_version: u32,
    application: RawApplication,
    #[serde(default)]
    variables: BTreeMap<String, VariableDeclaration>,
    trigger: RawTriggers,
    #[serde(default)]
    component: BTreeMap<String, RawComponent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "descriptive keys of Spin's format")]
struct RawApplication {
    name: String,
    version: Option<String>,
    description: Option<String>,
    #[serde(default)]
    authors: Vec<String>,
    #[serde(default)]
    tool: RawTools<ApplicationTool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTriggers {
    #[serde(default)]
    http: Vec<RawHttpTrigger>,
    #[serde(default)]
    cron: Vec<RawCronTrigger>,
}

/// As Spin's cron plug-in has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCronTrigger {
    id: String,
    component: String,
    cron_expression: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttpTrigger {
    #[serde(default)]
    #[allow(dead_code, reason = "Spin knows it")]
    id: Option<String>,
    route: String,
    component: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawComponent {
    source: PathBuf,
    #[serde(default)]
    #[allow(dead_code, reason = "Spin knows it")]
    description: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    sqlite_databases: Vec<String>,
    #[serde(default)]
    #[allow(dead_code, reason = "for `spin build`, not for running")]
    build: Option<toml::Table>,
    #[serde(default)]
    tool: RawTools<ComponentTool>,
}

/// `tool` tables: ours is strict, others are none of our business.
#[derive(Deserialize)]
struct RawTools<T> {
    locum: Option<T>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplicationTool {
    pages: Option<PathBuf>,
    migrations: Option<PathBuf>,
    revocations: Option<String>,
    /// Read by the tests that hold the routes against it.
    #[allow(dead_code, reason = "names a file for tests and tools")]
    openapi: Option<PathBuf>,
    #[serde(default)]
    supplied: Vec<String>,
    #[serde(default)]
    together: Vec<Vec<String>>,
    page_hosts: Option<PageHosts>,
    call_events: Option<CallEventsTool>,
    deliveries: Option<DeliveriesTool>,
}

/// `[application.tool.locum.deliveries]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveriesTool {
    /// SQL that answers with the clinics that have something to send by now (`?1`, unix ms).
    pub due: String,
    /// Hands out messages and takes what became of them, below `/c/:clinic`.
    pub path: String,
}

/// `[application.tool.locum.call_events]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallEventsTool {
    /// SQL that answers with the clinic of a call, by the `sink` of its join tokens (`?1`).
    pub clinic: String,
    /// Takes the events of one call, below `/c/:clinic`.
    pub path: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentTool {
    #[serde(default)]
    reads: Vec<String>,
    #[serde(default)]
    writes: Vec<String>,
    #[serde(default)]
    health: Vec<String>,
    #[serde(default)]
    reads_audit: bool,
    #[serde(default)]
    breached_passwords: bool,
    #[serde(default)]
    apps: Vec<String>,
    /// Path of each of its cron triggers, by the trigger's id.
    #[serde(default)]
    cron: BTreeMap<String, String>,
    deadline_ms: Option<u64>,
    memory_mib: Option<u32>,
}

impl<T> Default for RawTools<T> {
    fn default() -> Self {
        Self { locum: None }
    }
}

impl Application {
    /// Reads and checks a manifest. Every error names its key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let raw: RawManifest = load(path)?;
        let wrong = |key, problem: String| invalid(path, key, problem);
        if raw.spin_manifest_version != 2 {
            return Err(wrong("spin_manifest_version", "this host runs version 2".to_owned()));
        }
        let tool = raw.application.tool.locum.unwrap_or_default();
        if let Some(name) = tool.supplied.iter().find(|name| !raw.variables.contains_key(*name)) {
            return Err(wrong(
                "application.tool.locum.supplied",
                format!("`{name}` is not declared in [variables]"),
            ));
        }
        let mut named = tool.together.iter().flatten();
        let hosts = tool.page_hosts.iter().flat_map(|hosts| [&hosts.when, &hosts.hosts]);
        if let Some(name) = named.find(|name| !raw.variables.contains_key(*name)) {
            let problem = format!("`{name}` is not declared in [variables]");
            return Err(wrong("application.tool.locum.together", problem));
        }
        if let Some(name) = hosts.into_iter().find(|name| !raw.variables.contains_key(*name)) {
            let problem = format!("`{name}` is not declared in [variables]");
            return Err(wrong("application.tool.locum.page_hosts", problem));
        }
        let routes =
            routes(raw.trigger.http, &raw.component).map_err(|problem| wrong("trigger.http", problem))?;
        let jobs =
            jobs(raw.trigger.cron, &raw.component).map_err(|problem| wrong("trigger.cron", problem))?;
        let components = raw
            .component
            .into_iter()
            .map(|(id, component)| {
                let named = |problem: String| wrong("component", format!("`{id}`: {problem}"));
                let component = Component::check(component, path, &raw.variables).map_err(named)?;
                Ok((id, component))
            })
            .collect::<Result<_, ConfigError>>()?;
        let revocations = tool.revocations.map(|name| name.parse::<TableName>()).transpose();
        let revocations =
            revocations.map_err(|error| wrong("application.tool.locum.revocations", error.to_string()))?;
        let from_file = |own: PathBuf| resolve(path, &own);
        Ok(Self {
            name: raw.application.name,
            pages: tool.pages.map(from_file),
            migrations: tool.migrations.map(from_file),
            call_events: tool.call_events,
            deliveries: tool.deliveries,
            jobs,
            revocations,
            supplied: tool.supplied,
            together: tool.together,
            page_hosts: tool.page_hosts,
            variables: raw.variables,
            components,
            routes,
        })
    }
}

impl Component {
    fn check(
        raw: RawComponent,
        manifest: &Path,
        declared: &BTreeMap<String, VariableDeclaration>,
    ) -> Result<Self, String> {
        // A label that no store stands behind would only fail once a patient needs it.
        for label in raw.sqlite_databases.iter().chain(&raw.key_value_stores) {
            if label != "default" {
                return Err(format!("store `{label}`: only `default`, the clinic's record group, exists"));
            }
        }
        let mut variables = BTreeMap::new();
        for (name, text) in raw.variables {
            let template = Template::parse(&text).map_err(|error| format!("variable `{name}`: {error}"))?;
            if let Some(unknown) = template.names().find(|used| !declared.contains_key(*used)) {
                return Err(format!("variable `{name}`: `{unknown}` is not declared in [variables]"));
            }
            variables.insert(name, template);
        }
        let outbound = OutboundList::parse(&raw.allowed_outbound_hosts)
            .map_err(|error| format!("allowed_outbound_hosts: {error}"))?;
        if let Some(unknown) = outbound.names().find(|used| !declared.contains_key(*used)) {
            return Err(format!("allowed_outbound_hosts: `{unknown}` is not declared in [variables]"));
        }
        let tool = raw.tool.locum.unwrap_or_default();
        let parse = |routes: Vec<String>| {
            routes
                .iter()
                .map(|raw| Route::parse(raw).map_err(|error| error.to_string()))
                .collect::<Result<_, _>>()
        };
        Ok(Self {
            source: resolve(manifest, &raw.source),
            environment: raw.environment,
            variables,
            outbound,
            key_value_stores: raw.key_value_stores,
            sqlite_databases: raw.sqlite_databases,
            breached_passwords: tool.breached_passwords,
            reads: parse(tool.reads)?,
            writes: parse(tool.writes)?,
            health: parse(tool.health)?,
            reads_audit: tool.reads_audit,
            apps: parse(tool.apps)?,
            deadline: tool.deadline_ms.map(Duration::from_millis),
            memory_bytes: tool.memory_mib.map(|mib| (mib as usize) << 20),
        })
    }
}

/// Every trigger with the path that stands for it in its component's `tool.locum.cron`, and no path without a trigger.
fn jobs(
    triggers: Vec<RawCronTrigger>,
    components: &BTreeMap<String, RawComponent>,
) -> Result<Vec<Job>, String> {
    let paths = |id: &str| components.get(id)?.tool.locum.as_ref().map(|tool| &tool.cron);
    let mut jobs: Vec<Job> = Vec::new();
    for RawCronTrigger { id, component, cron_expression } in triggers {
        if jobs.iter().any(|job| job.id == id) {
            return Err(format!("`{id}` is there twice"));
        }
        let path = paths(&component).and_then(|paths| paths.get(&id));
        let path =
            path.ok_or_else(|| format!("`{id}`: component `{component}` names no path in tool.locum.cron"))?;
        jobs.push(Job::new(id, path.clone(), &cron_expression)?);
    }
    let named = components.keys().filter_map(|id| paths(id)).flat_map(BTreeMap::keys);
    match named.into_iter().find(|name| !jobs.iter().any(|job| job.id == **name)) {
        Some(name) => Err(format!("tool.locum.cron names `{name}`, which no trigger does")),
        None => Ok(jobs),
    }
}

fn routes(
    triggers: Vec<RawHttpTrigger>,
    components: &BTreeMap<String, RawComponent>,
) -> Result<Vec<(Route, String)>, String> {
    let mut routes: Vec<(Route, String)> = Vec::new();
    for trigger in triggers {
        let route = Route::parse(&trigger.route).map_err(|error| error.to_string())?;
        if !components.contains_key(&trigger.component) {
            return Err(format!("route `{route}`: there is no component `{}`", trigger.component));
        }
        if let Some((other, _)) = routes.iter().find(|(other, _)| other.is_same(&route)) {
            return Err(format!("routes `{other}` and `{route}` match the same paths"));
        }
        routes.push((route, trigger.component));
    }
    routes.sort_by(|(a, _), (b, _)| a.by_precedence(b));
    Ok(routes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use locum_telemetry::config::chain;

    fn read(text: &str) -> Result<Application, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spin.toml");
        std::fs::write(&path, text).unwrap();
        Application::read(&path).map_err(|error| chain(&error))
    }

    const GOOD: &str = r#"
spin_manifest_version = 2
[application]
name = "test"
[application.tool.locum]
supplied = ["zone"]
[application.tool.other]
anything = true
[variables]
zone = { default = "" }
[[trigger.http]]
route = "/c/:clinic/a/..."
component = "a"
[component.a]
source = "a.wasm"
allowed_outbound_hosts = ["https://api.example.org"]
sqlite_databases = ["default"]
[component.a.variables]
where = "https://{{ zone }}"
[component.a.tool.locum]
reads = ["/c/:clinic/a/_search"]
"#;

    #[test]
    fn a_good_manifest_is_read() {
        let application = read(GOOD).unwrap();
        assert_eq!(application.routes.len(), 1);
        assert!(application.components["a"].source.ends_with("a.wasm"));
    }

    #[test]
    fn unknown_keys_are_named_everywhere() {
        for (place, key) in [
            ("[application]\nname = \"test\"\n", "nmae = 1"),
            ("[application.tool.locum]\n", "pagse = \"x\""),
            ("[component.a]\n", "sqlite_database = [\"default\"]"),
            ("[component.a.tool.locum]\n", "read = []"),
            ("zone = { default = \"\"", ", scret = true"),
            ("component = \"a\"\n", "exector = 1"),
        ] {
            let separator = if key.starts_with(',') { "" } else { "\n" };
            let text = GOOD.replacen(place, &format!("{place}{key}{separator}"), 1);
            assert_ne!(text, GOOD);
            let error = read(&text).unwrap_err();
            let name = key.trim_start_matches(", ").split(' ').next().unwrap();
            assert!(error.contains(&format!("unknown key `{name}`")), "{error}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_at_the_start() {
        for (from, to, expected) in [
            ("{{ zone }}", "{{ zine }}", "`zine` is not declared"),
            ("{{ zone }}", "{{ zone", "not closed"),
            ("[\"default\"]", "[\"other\"]", "store `other`"),
            ("component = \"a\"", "component = \"b\"", "no component `b`"),
            ("supplied = [\"zone\"]", "supplied = [\"zine\"]", "`zine` is not declared"),
            ("version = 2", "version = 1", "version 2"),
            ("https://api.example.org", "api.example.org", "allowed_outbound_hosts"),
            ("https://api.example.org", "{{ zine }}", "`zine` is not declared"),
        ] {
            let error = read(&GOOD.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
