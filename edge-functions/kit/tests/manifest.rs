//! spin.toml uses only what Spin's manifest version 2 knows.
//!
//! The types below are those of Spin's own `spin-manifest` crate (crates/manifest/src/schema/v2.rs and
//! common.rs), with its `deny_unknown_fields` and its rules for names, as far as this project's manifest
//! goes: a key that Spin has and we do not use may be missing here, never the other way round.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::collections::BTreeMap;

use serde::Deserialize;

const MANIFEST: &str = include_str!("../../../spin.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppManifest {
    spin_manifest_version: u8,
    application: AppDetails,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    trigger: Triggers,
    component: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read")]
struct AppDetails {
    name: String,
    version: Option<String>,
    description: Option<String>,
    #[serde(default)]
    authors: Vec<String>,
    #[serde(default)]
    tool: BTreeMap<String, toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    #[expect(dead_code, reason = "only read")]
    description: Option<String>,
    #[serde(default)]
    required: bool,
    default: Option<String>,
    #[serde(default)]
    secret: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Triggers {
    http: Vec<HttpTrigger>,
    /// Of Spin's cron plug-in (spinframework/spin-trigger-cron).
    cron: Vec<CronTrigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CronTrigger {
    id: String,
    component: String,
    cron_expression: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTrigger {
    route: String,
    component: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only read")]
struct Component {
    source: String,
    description: Option<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    files: Vec<String>,
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    sqlite_databases: Vec<String>,
    #[serde(default)]
    tool: BTreeMap<String, toml::Table>,
}

fn is_id(text: &str, delimiter: char) -> bool {
    text.split(delimiter).all(|word| {
        let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(rest)
    })
}

#[test]
fn spin_would_take_the_manifest() {
    let manifest: AppManifest = toml::from_str(MANIFEST).unwrap();
    assert_eq!(manifest.spin_manifest_version, 2);
    assert_eq!(manifest.application.name, "locum");
    for (name, variable) in &manifest.variables {
        assert!(is_id(name, '_'), "{name}");
        assert!(variable.required != variable.default.is_some(), "{name} needs a default, or to be required");
    }
    for (id, component) in &manifest.component {
        assert!(is_id(id, '-'), "{id}");
        for (name, template) in &component.variables {
            assert!(is_id(name, '_'), "{id}: {name}");
            let used = template.strip_prefix("{{ ").and_then(|rest| rest.strip_suffix(" }}"));
            assert!(used.is_some_and(|name| manifest.variables.contains_key(name)), "{id}: {template}");
        }
    }
    for trigger in &manifest.trigger.http {
        assert!(manifest.component.contains_key(&trigger.component), "{}", trigger.route);
    }
    for trigger in &manifest.trigger.cron {
        assert!(manifest.component.contains_key(&trigger.component), "{}", trigger.id);
        assert_eq!(trigger.cron_expression.split(' ').count(), 6, "{}: seconds first", trigger.id);
    }
}

#[test]
fn a_component_has_the_least_that_it_needs() {
    let manifest: AppManifest = toml::from_str(MANIFEST).unwrap();
    let secrets: Vec<_> = manifest
        .variables
        .iter()
        .filter(|(_, variable)| variable.secret)
        .map(|(name, _)| name.as_str())
        .collect();
    let nobody = manifest.variables["identity_hosts"].default.as_deref();
    assert_eq!(nobody, Some("https://identity.invalid"), "RFC 6761: never a host");
    assert_eq!(
        secrets,
        [
            "bounce_token",
            "host_key",
            "setup_token",
            "sms_token",
            "stripe_secret_key",
            "stripe_webhook_secret",
            "token_signing_key"
        ]
    );
    for (id, component) in &manifest.component {
        // Whom the operator names may be asked who somebody is, and nobody else anything.
        let outbound: &[&str] = match id.as_str() {
            "auth" => &["{{ identity_hosts }}"],
            "payments" => &["{{ stripe_api }}"],
            _ => &[],
        };
        assert_eq!(component.allowed_outbound_hosts, outbound, "{id}");
        assert_eq!(component.sqlite_databases, ["default"], "{id}");
        assert!(component.key_value_stores.is_empty() && component.environment.is_empty(), "{id}");
        assert_eq!(component.variables.contains_key("token_signing_key"), id == "tokens", "{id}");
        assert_eq!(component.variables.contains_key("setup_token"), id == "auth", "{id}");
        let told_by_hosts = ["messages", "payments", "records"].contains(&id.as_str());
        assert_eq!(component.variables.contains_key("host_key"), told_by_hosts, "{id}");
        assert_eq!(component.variables.contains_key("stripe_secret_key"), id == "payments", "{id}");
        for name in ["sms_token", "bounce_token"] {
            assert_eq!(component.variables.contains_key(name), id == "messages", "{id}");
        }
    }
}

#[test]
fn an_unknown_key_would_be_noticed() {
    for (place, added) in [
        ("[application]\n", "[application]\nregions = []\n"),
        ("[component.auth]\n", "[component.auth]\nroute = \"/\"\n"),
        ("[[trigger.http]]\n", "[[trigger.http]]\nmethod = \"GET\"\n"),
    ] {
        assert!(toml::from_str::<AppManifest>(&MANIFEST.replacen(place, added, 1)).is_err(), "{added}");
    }
}
