//! Calendars as two libraries that are not ours read them, each with clocks of its own: the instant that was booked, one
//! UID over all changes, a SEQUENCE that rises, and that a visit is cancelled.

#![allow(clippy::unwrap_used, reason = "part of the tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

use http::Method;
use kit::testing::{Client, World};
use scheduling::SchedulingFunction;
use serde_json::{Value as Json, json};

/// A zone, and the days on which its clocks are put forward and back.
const ZONES: [(&str, &str, &str); 3] = [
    ("Europe/Berlin", "2026-03-29", "2026-10-25"),
    ("America/New_York", "2026-03-08", "2026-11-01"),
    ("Australia/Sydney", "2026-10-04", "2026-04-05"),
];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `program` says of the calendars: one line each.
fn read_by(program: &str, script: &str, zone: &str, files: &[PathBuf]) -> Vec<Json> {
    let script = project().join("tests/calendars").join(script);
    let output = Command::new(program).arg(script).arg(zone).args(files).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; setup/icalendar installs it"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn python() -> String {
    std::env::var("LOCUM_ICALENDAR").unwrap_or_else(|_| {
        let target = std::env::var("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|_| project().join("target"));
        target.join("icalendar/bin/python").to_str().unwrap().to_owned()
    })
}

async fn keep(client: &Client<'_>, folder: &Path, files: &mut Vec<PathBuf>) {
    let answer =
        client.send::<SchedulingFunction>(Method::GET, "/scheduling/visit/calendar", None, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let file = folder.join(format!("{}.ics", files.len()));
    std::fs::write(&file, &answer.bytes).unwrap();
    files.push(file);
}

/// The first slot of `day`, by the API.
async fn first_slot(client: &Client<'_>, service: &str, day: &str) -> String {
    let path = format!("/scheduling/slots?service={service}&from={day}&days=1");
    client.get::<SchedulingFunction>(&path).await.text("/slots/0/start")
}

#[tokio::test]
async fn two_other_libraries_read_the_same_visit_through_all_its_changes() {
    for (zone, forward, back) in ZONES {
        let world = World::new().await;
        let seeded = world.seed("demo", zone).await;
        let (client, folder) = (world.client("demo"), tempfile::tempdir().unwrap());
        let service = seeded.service.to_string();
        let (mut files, mut wanted) = (Vec::new(), Vec::new());
        let mut expect = |sequence: u8, status: &str, start: &str, day: &str| {
            let start: jiff::Timestamp = start.parse().unwrap();
            let method = if status == "CANCELLED" { "CANCEL" } else { "PUBLISH" };
            wanted.push(json!({
                "method": method, "sequence": sequence, "status": status, "start": start.as_second(),
                "end": start.as_second() + 30 * 60, "local": format!("{day} 09:00"),
            }));
        };
        let start = first_slot(&client, &service, forward).await;
        let visit = world.seed_visit(&seeded, &start).await;
        client.begin_visit(&visit).await;
        keep(&client, folder.path(), &mut files).await;
        expect(0, "CONFIRMED", &start, forward);

        let start = first_slot(&client, &service, back).await;
        let wish = json!({"service": service, "practitioner": seeded.practitioner, "start": start});
        let held = client.post::<SchedulingFunction>("/scheduling/holds", wish).await;
        let other = json!({"hold": held.text("/id"), "secret": held.text("/secret")});
        let moved = client.post::<SchedulingFunction>("/scheduling/visit/move", other).await;
        assert_eq!(moved.status, 200, "{}", moved.body);
        keep(&client, folder.path(), &mut files).await;
        expect(1, "CONFIRMED", &start, back);

        let cancelled = client.post::<SchedulingFunction>("/scheduling/visit/cancel", json!({})).await;
        assert_eq!(cancelled.status, 200, "{}", cancelled.body);
        keep(&client, folder.path(), &mut files).await;
        expect(2, "CANCELLED", &start, back);

        for (program, script) in [(python().as_str(), "read.py"), ("node", "read.mjs")] {
            let mut read = read_by(program, script, zone, &files);
            let uids: Vec<Json> =
                read.iter_mut().map(|event| event.as_object_mut().unwrap().remove("uid").unwrap()).collect();
            assert_eq!(uids, vec![json!(format!("{}@locum.test", visit.appointment)); 3], "{script}");
            assert_eq!(read, wanted, "{script}, {zone}");
        }
    }
}
