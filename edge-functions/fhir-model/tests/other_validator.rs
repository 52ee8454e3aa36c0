//! What somebody else's validator refuses, ours does: fhir.resources (R4B; types that are the same in R4), which knows
//! structure and cardinalities without us. `setup/fhir FOLDER` installs it, `LOCUM_FHIR` names its Python.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use fhir_model::validate;
use serde_json::Value;

mod mutations;

use mutations::{mutations, removals};

/// Of these R4B has other elements.
const OTHER_IN_R4B: [&str; 1] = ["Bundle"];
/// One of so many mutations is asked about: it takes its time.
const ONE_IN: usize = 5;

fn judged(lines: &[String]) -> Vec<bool> {
    let python = std::env::var("LOCUM_FHIR").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/other_validator.py");
    let child = Command::new(&python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child =
        child.unwrap_or_else(|error| panic!("{python}: {error}; LOCUM_FHIR names one with fhir.resources"));
    let (mut input, text) = (child.stdin.take().unwrap(), lines.join("\n"));
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{python} failed; `setup/fhir FOLDER` installs what it needs");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line == "valid").collect()
}

#[test]
fn what_another_validator_refuses_is_refused_here() {
    let examples: Vec<Value> = include_str!("corpus/examples.ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let known = |example: &&Value| !OTHER_IN_R4B.contains(&example["resourceType"].as_str().unwrap());
    let short = examples.iter().filter(known).filter(|example| example.to_string().len() < 1_500);
    let changed: Vec<(String, Value)> = short
        .clone()
        .flat_map(mutations)
        .step_by(ONE_IN)
        .chain(short.clone().flat_map(removals))
        .map(|mutation| (format!("{} at {}", mutation.kind, mutation.at), mutation.resource))
        .collect();
    assert!(changed.len() >= 200, "only {}", changed.len());
    let verdicts = judged(&changed.iter().map(|(_, resource)| resource.to_string()).collect::<Vec<_>>());
    assert_eq!(verdicts.len(), changed.len());
    let refused = verdicts.iter().filter(|valid| !**valid).count();
    assert!(refused * 3 > changed.len(), "it refused {refused} of {} only", changed.len());
    let missed: Vec<&String> = changed
        .iter()
        .zip(verdicts)
        .filter(|((_, resource), valid)| !valid && validate(resource).is_empty())
        .map(|((name, _), _)| name)
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}
