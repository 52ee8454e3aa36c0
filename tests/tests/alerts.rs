//! Rules for alerts speak of metrics that exist, and lead to a runbook. `tests/run` has promtool raise each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(default, rename = "for")]
    _for: Option<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn rules() -> Result<Vec<Rule>> {
    let text = fs::read_to_string(root().join("ops/prometheus/locum.rules.yml"))?;
    let rules: Rules = serde_saphyr::from_str(&text)?;
    ensure!(rules.groups.iter().all(|group| !group.name.is_empty()), "a group has no name");
    Ok(rules.groups.into_iter().flat_map(|group| group.rules).collect())
}

/// Everything that the programs' code says between quotation marks and that could be a metric's name.
fn named_in_code() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for part in ["cli", "control-plane", "crates", "edge-host", "media-node"] {
        collect(&root().join(part), &mut names)?;
    }
    Ok(names)
}

fn collect(folder: &Path, names: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("tests") && !path.ends_with("node_modules") {
            collect(&path, names)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            let quoted = text.split('"').filter(|part| metric(part).is_some_and(|name| name == *part));
            names.extend(quoted.map(str::to_owned));
        }
    }
    Ok(())
}

/// The name at the beginning of a text, if it is one of ours.
fn metric(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    text[..end].starts_with("locum_").then(|| &text[..end])
}

/// Names of ours in an expression.
fn metrics_of(expr: &str) -> BTreeSet<&str> {
    let starts = expr.match_indices("locum_").map(|(at, _)| at);
    let whole = starts.filter(|&at| !expr[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
    let names = whole.filter_map(|at| metric(&expr[at..]));
    // A histogram's buckets are made from it.
    names.map(|name| name.strip_suffix("_bucket").unwrap_or(name)).collect()
}

#[test]
fn every_metric_in_a_rule_exists() -> Result<()> {
    let known = named_in_code()?;
    ensure!(known.len() > 50, "only {} names of metrics were found", known.len());
    for rule in rules()? {
        let metrics = metrics_of(&rule.expr);
        ensure!(!metrics.is_empty() || rule.expr.starts_with("up{"), "{} is about nothing", rule.alert);
        for metric in metrics {
            ensure!(known.contains(metric), "{}: no program measures {metric}", rule.alert);
        }
    }
    Ok(())
}

#[test]
fn every_alert_says_how_bad_it_is_and_leads_to_a_runbook() -> Result<()> {
    let (rules, mut names) = (rules()?, BTreeSet::new());
    for rule in &rules {
        let alert = &rule.alert;
        ensure!(names.insert(alert), "{alert} is there twice");
        let severity = rule.labels.get("severity").context("no severity")?;
        ensure!(["critical", "warning"].contains(&severity.as_str()), "{alert}: {severity}");
        ensure!(rule.annotations.contains_key("summary"), "{alert} says nothing");
        let runbook = rule.annotations.get("runbook").with_context(|| format!("{alert} has no runbook"))?;
        let text = fs::read_to_string(root().join(runbook)).with_context(|| format!("{alert}: {runbook}"))?;
        ensure!(text.starts_with("# "), "{runbook} has no title");
    }
    // What nobody asks for is forgotten; each of these is a way in which the network fails.
    for must in [
        "LocumGroupWithoutPrimary",
        "LocumGroupAlone",
        "LocumNodeDown",
        "LocumBackupOld",
        "LocumControlWithoutLeader",
        "LocumDrillLostWrites",
    ] {
        ensure!(names.contains(&must.to_owned()), "no alert {must}");
    }
    Ok(())
}

/// promtool raises each of them once; it does not say when one was left out.
#[test]
fn every_alert_is_raised_by_a_test() -> Result<()> {
    let tests = fs::read_to_string(root().join("ops/prometheus/locum.rules.test.yml"))?;
    for Rule { alert, .. } in rules()? {
        let raised =
            tests.contains(&format!("        alertname: {alert}\n        exp_alerts:\n          - "));
        let quiet = tests.contains(&format!("alertname: {alert}, exp_alerts: []"));
        if !raised || !quiet {
            bail!("ops/prometheus/locum.rules.test.yml lacks {alert}: when it is raised, and when it is not");
        }
    }
    Ok(())
}
