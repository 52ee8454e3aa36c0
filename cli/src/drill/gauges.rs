//! What came of the last drill of each kind, as a file for node_exporter's textfile collector: alerts are raised from
//! it (ops/prometheus).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::report::Report;
use crate::metrics::Metrics;

/// In the folder of drills.
const FILE: &str = "locum_drill.prom";
const KIND: &str = "drill";
const NEXT: &str = "locum_drill_next_timestamp_seconds";
const BY_KIND: [(&str, &str); 3] = [
    ("locum_drill_timestamp_seconds", "When the last drill of this kind ended."),
    ("locum_drill_passed", "Whether it was as promised: 1 or 0."),
    ("locum_drill_lost_writes", "Acknowledged changes that it found lost, doubled or seen and gone."),
];

/// Puts a report's outcome in place of the earlier one of its kind.
pub(super) fn write(folder: &Path, report: &Report) -> Result<()> {
    let mut kept = Kept::read(folder);
    let lost: u32 = report.rounds.iter().map(super::report::Round::wrong).sum();
    let passed = if report.passed { 1.0 } else { 0.0 };
    kept.kinds.insert(report.drill.clone(), [unix_now(), passed, f64::from(lost)]);
    kept.write(folder)
}

/// When the next scheduled drill is due.
pub(super) fn set_next(folder: &Path, at: i64) -> Result<()> {
    let mut kept = Kept::read(folder);
    kept.next = Some(at as f64);
    kept.write(folder)
}

#[derive(Default)]
struct Kept {
    kinds: BTreeMap<String, [f64; 3]>,
    next: Option<f64>,
}

impl Kept {
    /// What is in the file; nothing, if there is none or somebody spoiled it.
    fn read(folder: &Path) -> Self {
        let metrics = Metrics::parse(&fs::read_to_string(folder.join(FILE)).unwrap_or_default());
        let of = |kind: &str| {
            let value = |(name, _): (&str, &str)| metrics.of(name, &[(KIND, kind)]).unwrap_or(0.0);
            (kind.to_owned(), BY_KIND.map(value))
        };
        let kinds = metrics.labels(BY_KIND[0].0, KIND).into_iter().map(of).collect();
        Self { kinds, next: metrics.of(NEXT, &[]) }
    }

    /// Whole or not at all: the collector may read at any moment.
    fn write(&self, folder: &Path) -> Result<()> {
        let mut text = String::new();
        for (index, (name, meaning)) in BY_KIND.into_iter().enumerate() {
            let _ = writeln!(text, "# HELP {name} {meaning}\n# TYPE {name} gauge");
            for (kind, values) in &self.kinds {
                let _ = writeln!(text, "{name}{{{KIND}=\"{kind}\"}} {}", values[index]);
            }
        }
        if let Some(next) = self.next {
            let _ = writeln!(
                text,
                "# HELP {NEXT} When the next scheduled drill is due.\n# TYPE {NEXT} gauge\n{NEXT} {next}"
            );
        }
        let (path, beside) = (folder.join(FILE), folder.join(format!("{FILE}.new")));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&beside, text))
            .and_then(|()| fs::rename(&beside, &path))
            .with_context(|| format!("write {}", path.display()))
    }
}

fn unix_now() -> f64 {
    jiff::Timestamp::now().as_second() as f64
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::*;

    #[test]
    fn the_last_drill_of_each_kind_stands_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &sample()).unwrap();
        set_next(folder.path(), 1_800_000_000).unwrap();
        let mut bad = sample();
        bad.drill = "node-kill".to_owned();
        bad.rounds[0].writes.lost = 3;
        write(folder.path(), &bad.judged()).unwrap();
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        let metrics = Metrics::parse(&text);
        let of = |name: &str, kind: &str| metrics.of(name, &[(KIND, kind)]);
        assert_eq!(of("locum_drill_passed", "region-loss"), Some(1.0));
        assert_eq!(of("locum_drill_passed", "node-kill"), Some(0.0));
        assert_eq!(of("locum_drill_lost_writes", "node-kill"), Some(3.0));
        assert!(of("locum_drill_timestamp_seconds", "region-loss").unwrap() > 1.7e9);
        assert_eq!(metrics.of(NEXT, &[]), Some(1.8e9));
        assert_eq!(text.matches("# TYPE").count(), 4);
    }
}
