//! How many resources a second are validated on one core: HL7's examples of what a clinic keeps, again and again.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool")]

use std::time::{Duration, Instant};

use serde_json::Value;

fn main() {
    let text = include_str!("../tests/corpus/examples.ndjson");
    let resources: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (begun, mut count, mut issues) = (Instant::now(), 0_u32, 0);
    while begun.elapsed() < Duration::from_secs(3) {
        for resource in &resources {
            issues += fhir_model::validate(resource).len();
            count += 1;
        }
    }
    let bytes = text.len() / resources.len();
    let rate = f64::from(count) / begun.elapsed().as_secs_f64();
    println!("validated: {rate:.0} resources/s of {bytes} bytes on average ({issues} issues)");
}
