//! The report of a drill; docs/drills.md says what each field means.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use locum_identity::{Jwks, SigningKey, private_file};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::page;
use super::targets::{Line, Targets};

/// The only one so far.
const FORMAT: u32 = 1;
/// `typ` of the signature: it is of nothing else.
const TYPE: &str = "locum-drill+json";
/// The operator's key, in the network's folder.
const KEY: &str = "drill.key";
/// Its public half, beside the reports.
const PUBLIC: &str = "keys.json";
/// No report is larger; 20 rounds take some 300 KB.
const MOST_BYTES: u64 = 16 << 20;
/// In [`Round::seconds`]: from the healing until what failed has caught up.
pub(super) const CAUGHT_UP: &str = "caughtUp";

/// A whole report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Report {
    pub format: u32,
    pub drill: String,
    pub target: String,
    pub by: String,
    pub version: String,
    pub zone: String,
    pub group: String,
    pub regions: Vec<String>,
    pub began: String,
    pub ended: String,
    pub targets: Targets,
    pub lines: Vec<Line>,
    pub passed: bool,
    pub failures: Vec<String>,
    pub rounds: Vec<Round>,
    /// Of the page; empty while it is made.
    pub page_sha256: String,
}

/// One time that the fault came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Round {
    pub number: u32,
    pub began: String,
    pub region: String,
    pub nodes: Vec<String>,
    pub led: bool,
    pub led_control: bool,
    pub seconds: BTreeMap<String, Option<f64>>,
    pub records_by_region: BTreeMap<String, Option<f64>>,
    pub epochs: Epochs,
    pub writes: Writes,
    /// Where nothing was done: what happened all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub false_failovers: Option<u32>,
    pub healed_at: Option<f64>,
    pub ended_at: f64,
    pub lanes: Vec<Lane>,
    pub timeline: Vec<Moment>,
    pub failures: Vec<String>,
}

/// Of the canary's record group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Epochs {
    pub before: u64,
    pub after: u64,
}

/// What writers and the reader found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Writes {
    pub acknowledged: u32,
    pub lost: u32,
    pub doubled: u32,
    pub went_back: u32,
}

/// Where through one edge host nothing was acknowledged, in seconds from the fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Lane {
    pub host: String,
    pub silences: Vec<[f64; 2]>,
}

/// Something that was seen, in seconds from the fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Moment {
    pub at: f64,
    pub what: String,
}

/// Where a report lies.
pub(super) struct Kept {
    /// The document.
    pub json: PathBuf,
    /// What people read.
    pub page: PathBuf,
}

impl Round {
    /// When everything that people need was there again; `None` inside where something never was.
    pub(super) fn all_back(&self) -> Option<Option<f64>> {
        let of = |key: &str| self.seconds.get(key).copied();
        // Each region's people, not only the luckiest's.
        let regions = self.records_by_region.values().copied();
        let people = ["edge", "heldCall", "newCall"].into_iter().filter_map(of);
        let names = of("names").map(|names| Some(names? + of("detect").flatten()?));
        regions.chain(people).chain(names).chain(of("records")).reduce(|a, b| Some(a?.max(b?)))
    }

    /// Changes that are not there once, or were seen and then not.
    pub(super) fn wrong(&self) -> u32 {
        let Writes { lost, doubled, went_back, .. } = self.writes;
        lost.saturating_add(doubled).saturating_add(went_back)
    }
}

impl Report {
    /// Judges all rounds.
    pub(super) fn judged(mut self) -> Self {
        self.format = FORMAT;
        self.version = env!("CARGO_PKG_VERSION").to_owned();
        self.lines = self.targets.judge(&self.rounds);
        let failures = self.rounds.iter().any(|round| !round.failures.is_empty());
        let kept = self.lines.iter().all(|line| line.passed);
        self.passed = kept && !failures && self.failures.is_empty() && !self.rounds.is_empty();
        self
    }

    /// What is not as promised, a sentence each.
    pub(super) fn broken(&self) -> Vec<String> {
        let lines = self.lines.iter().filter(|line| !line.passed).map(Line::complaint);
        let rounds = self.rounds.iter().flat_map(|round| {
            round.failures.iter().map(|failure| format!("round {}: {failure}", round.number))
        });
        lines.chain(rounds).chain(self.failures.iter().cloned()).collect()
    }

    /// Writes the report, its page and the signature of both into `folder`, under a name with its date.
    pub(super) fn keep(mut self, folder: &Path, network: &Path) -> Result<Kept> {
        let page = page::of(&self);
        self.page_sha256 = sha256(page.as_bytes());
        let text = serde_json::to_string_pretty(&self).context("write the report")?;
        let key =
            SigningKey::load_or_create(&network.join(KEY)).context("open the key that signs reports")?;
        let signature = key.sign_detached(TYPE, text.as_bytes()).context("sign the report")?;
        private_file::create_dir(folder).with_context(|| format!("make {}", folder.display()))?;
        let target: String =
            self.target.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let name = format!("{}-{}-{target}", self.began.replace(':', "-"), self.drill);
        let write = |extension: &str, content: &str| {
            let path = folder.join(format!("{name}.{extension}"));
            fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
            anyhow::Ok(path)
        };
        let page = write("html", &page)?;
        write("jws", &signature)?;
        let json = write("json", &text)?;
        remember_key(&folder.join(PUBLIC), &key)?;
        Ok(Kept { json, page })
    }

    /// The report in `path`, if it and its page are what one of the `keys` signed; and whose signature it is.
    pub(super) fn verified(path: &Path, keys: Option<&Path>) -> Result<(Self, String)> {
        let beside = path.parent().unwrap_or(Path::new(".")).join(PUBLIC);
        let keys: Jwks = serde_json::from_slice(&read(keys.unwrap_or(&beside))?).context("read the keys")?;
        let (text, signature) = (read(path)?, read(&path.with_extension("jws"))?);
        let signature = String::from_utf8_lossy(&signature);
        let by = keys.keys.iter().find(|key| {
            let one = Jwks { keys: vec![(*key).clone()] };
            one.verify_detached(TYPE, signature.trim(), &text).is_ok()
        });
        let Some(by) = by else {
            keys.verify_detached(TYPE, signature.trim(), &text)
                .with_context(|| format!("{} is not what was signed", path.display()))?;
            bail!("{} is signed by nobody known", path.display());
        };
        let report: Self =
            serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))?;
        let page = path.with_extension("html");
        if sha256(&read(&page)?) != report.page_sha256 {
            bail!("{} is not the page of this report", page.display());
        }
        Ok((report, by.kid.clone()))
    }
}

impl Line {
    fn complaint(&self) -> String {
        let shown = |value: Option<f64>| match value {
            Some(value) => format!("{value:.3} {}", self.unit).trim_end().trim_end_matches(".000").to_owned(),
            None => "never".to_owned(),
        };
        let value = if self.name == "recordsMedian" { self.median } else { self.worst };
        let limit = self.limit.map_or_else(String::new, |limit| format!(", at most {limit} {}", self.unit));
        format!("{}: {}{}", self.title, shown(value), limit.trim_end())
    }
}

/// Adds the key to those by which reports beside it are verified: the key may change, old reports stay.
fn remember_key(path: &Path, key: &SigningKey) -> Result<()> {
    let mut known: Jwks = match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).with_context(|| format!("read {}", path.display()))?,
        Err(_) => Jwks::default(),
    };
    if known.keys.iter().all(|known| known.kid != key.kid()) {
        known.keys.push(key.jwk());
        let text = serde_json::to_vec_pretty(&known).context("write the keys")?;
        fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(path).with_context(|| format!("read {}", path.display()))?.len();
    if size > MOST_BYTES {
        bail!("{} is too large for what it should be", path.display());
    }
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::drill) fn sample() -> Report {
        let seconds = [("detect", 3.4), ("decide", 5.1), ("records", 5.9), ("edge", 0.02), (CAUGHT_UP, 4.0)];
        let round = Round {
            number: 1,
            began: "2026-11-22T10:00:03Z".to_owned(),
            region: "us-west".to_owned(),
            nodes: vec!["edge-us-west".to_owned(), "media-us-west".to_owned()],
            led: true,
            led_control: false,
            seconds: seconds.map(|(key, value)| (key.to_owned(), Some(value))).into(),
            records_by_region: BTreeMap::from([("us-east".to_owned(), Some(6.2))]),
            epochs: Epochs { before: 3, after: 4 },
            writes: Writes { acknowledged: 212, ..Writes::default() },
            false_failovers: None,
            healed_at: Some(6.5),
            ended_at: 14.0,
            lanes: vec![Lane { host: "edge-us-east".to_owned(), silences: vec![[-0.1, 6.2]] }],
            timeline: vec![Moment { at: 0.0, what: "<killed> edge-us-west & media-us-west".to_owned() }],
            failures: Vec::new(),
        };
        let report = Report {
            drill: "region-loss".to_owned(),
            target: "us-west".to_owned(),
            by: "operator".to_owned(),
            zone: "locum.localhost".to_owned(),
            group: "main".to_owned(),
            regions: vec!["us-east".to_owned(), "us-west".to_owned()],
            began: "2026-11-22T10:00:00Z".to_owned(),
            ended: "2026-11-22T10:00:30Z".to_owned(),
            rounds: vec![round],
            ..Report::default()
        };
        report.judged()
    }

    #[test]
    fn a_report_verifies_as_it_was_kept_and_not_altered() {
        let folder = tempfile::tempdir().unwrap();
        let (drills, network) = (folder.path().join("drills"), folder.path());
        let kept = sample().keep(&drills, network).unwrap();
        let name = kept.json.file_name().unwrap().to_string_lossy();
        assert_eq!(name, "2026-11-22T10-00-00Z-region-loss-us-west.json");
        let (report, kid) = Report::verified(&kept.json, None).unwrap();
        assert!(report.passed && !kid.is_empty(), "{:?}", report.broken());

        let text = fs::read_to_string(&kept.json).unwrap();
        fs::write(&kept.json, text.replace("\"lost\": 0", "\"lost\":  0")).unwrap();
        let error = format!("{:#}", Report::verified(&kept.json, None).unwrap_err());
        assert!(error.contains("is not what was signed"), "{error}");
        fs::write(&kept.json, &text).unwrap();
        assert!(Report::verified(&kept.json, None).is_ok());

        let page = fs::read_to_string(&kept.page).unwrap();
        fs::write(&kept.page, page.replace("212", "999")).unwrap();
        let error = format!("{:#}", Report::verified(&kept.json, None).unwrap_err());
        assert!(error.contains("is not the page"), "{error}");
    }

    #[test]
    fn keys_from_elsewhere_decide() {
        let folder = tempfile::tempdir().unwrap();
        let kept = sample().keep(&folder.path().join("drills"), folder.path()).unwrap();
        let others = folder.path().join("others.json");
        let other = SigningKey::generate().unwrap();
        fs::write(&others, serde_json::to_vec(&other.jwks()).unwrap()).unwrap();
        assert!(Report::verified(&kept.json, Some(&others)).is_err(), "whoever swaps both is found out");
        // The next key signs the next report; the first one still verifies.
        fs::remove_file(folder.path().join(KEY)).unwrap();
        let later = Report { began: "2026-11-29T10:00:00Z".to_owned(), ..sample() };
        let later = later.keep(&folder.path().join("drills"), folder.path()).unwrap();
        let kids = [&kept, &later].map(|kept| Report::verified(&kept.json, None).unwrap().1);
        assert_ne!(kids[0], kids[1]);
    }

    #[test]
    fn people_are_back_when_the_last_of_them_is() {
        let mut round = sample().rounds.remove(0);
        assert_eq!(round.all_back(), Some(Some(6.2)), "the slowest region");
        round.seconds.insert("names".to_owned(), Some(4.0));
        assert_eq!(round.all_back(), Some(Some(7.4)), "from the verdict on");
        round.seconds.insert("newCall".to_owned(), None);
        assert_eq!(round.all_back(), Some(None));
        assert_eq!(Round::default().all_back(), None, "nothing was done");
    }

    #[test]
    fn what_broke_is_said() {
        let mut report = sample();
        report.rounds[0].writes.lost = 2;
        report.rounds[0].seconds.insert("edge".to_owned(), None);
        report.rounds[0].failures.push("edge-us-west did not come back".to_owned());
        let report = report.judged();
        assert!(!report.passed);
        let broken = report.broken().join("\n");
        for words in [
            "lost, doubled or seen and gone: 2, at most 0",
            "good answer: never, at most 4 s",
            "round 1: edge-us-west",
        ] {
            assert!(broken.contains(words), "{words} in {broken}");
        }
        assert!(!Report { rounds: Vec::new(), ..sample() }.judged().passed, "nothing was shown");
    }

    /// docs/drills.md explains each field of a report.
    #[test]
    fn every_field_is_documented() {
        let text = include_str!("../../../docs/drills.md");
        let value = serde_json::to_value(sample()).unwrap();
        let mut fields = Vec::new();
        collect(&value, &mut fields);
        fields.push("falseFailovers".to_owned());
        for field in fields {
            assert!(text.contains(&format!("`{field}`")), "{field}");
        }
    }

    fn collect(value: &serde_json::Value, fields: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    // Names of regions are data.
                    if !key.contains("us-") {
                        fields.push(key.clone());
                    }
                    collect(value, fields);
                }
            }
            serde_json::Value::Array(all) => all.iter().for_each(|value| collect(value, fields)),
            _ => {}
        }
    }
}
