//! A whole network is lost, and another begins with what its backups hold: from a folder, from a bucket, after the
//! bucket was away, after hosts were killed while they wrote to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Bucket, Network, PATIENT, Patient, Planted, Visit, binaries};

/// Segments go every ten seconds; machines are shared.
const PATIENCE: Duration = Duration::from_secs(90);
/// Of a region that has backups: the metric that tells how new they are.
const NEWEST: &str = "locum_edge_backup_newest_timestamp_seconds";
const AUDIT_NEWEST: &str = "locum_edge_backup_audit_newest_timestamp_seconds";

/// A folder for keys and backups, and what a test does with them.
struct Kept {
    folder: tempfile::TempDir,
    from: String,
    environment: Vec<(String, String)>,
}

impl Kept {
    fn in_a_folder() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let from = folder.path().join("backups").to_string_lossy().into_owned();
        Self { folder, from, environment: Vec::new() }.with_key()
    }

    fn in_a_bucket(bucket: &Bucket) -> Result<Self> {
        let (folder, from) = (tempfile::tempdir()?, bucket.place().to_owned());
        Self { folder, from, environment: bucket.directly() }.with_key()
    }

    fn with_key(self) -> Result<Self> {
        self.locum(&["backup", "key", &self.key()])?;
        Ok(self)
    }

    fn key(&self) -> String {
        self.folder.path().join("backup.key").to_string_lossy().into_owned()
    }

    /// Options of `locum up`.
    fn options(&self) -> [String; 4] {
        ["--backup-to".into(), self.from.clone(), "--backup-key".into(), self.key()]
    }

    fn start(&self, regions: u8, more: &[&str], environment: Vec<(String, String)>) -> Result<Network> {
        let options = self.options();
        let options: Vec<&str> = options.iter().map(String::as_str).chain(more.iter().copied()).collect();
        Network::start_in(regions, &options, environment)
    }

    /// Runs `locum`; what it said.
    fn locum(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(binaries()?.join("locum"))
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn list(&self) -> Result<String> {
        self.locum(&["backup", "list", "--from", &self.from, "--key", &self.key()])
    }

    fn verify(&self) -> Result<String> {
        self.locum(&["backup", "verify", "--from", &self.from, "--key", &self.key()])
    }

    fn restore(&self, to: &Path, regions: usize) -> Result<String> {
        let (to, regions) = (to.to_string_lossy(), regions.to_string());
        self.locum(&[
            "restore",
            "--from",
            &self.from,
            "--key",
            &self.key(),
            "--to",
            &to,
            "--regions",
            &regions,
        ])
    }

    /// The network is gone with everything it had; another begins with what the backups hold, and people still know
    /// their passwords.
    fn replace(&self, network: &mut Network) -> Result<()> {
        network.stop()?;
        let accounts = fs::read(network.data().join("demo-accounts.json"))?;
        fs::remove_dir_all(network.data())?;
        self.restore(&network.data(), network.regions().len())?;
        locum_identity::private_file::write(&network.data().join("demo-accounts.json"), &accounts)?;
        network.start_again()
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1e3
}

async fn metric(network: &Network, region: &str, name: &str) -> Result<f64> {
    Ok(network.metric(&network.edge(region), name, "main").await?.unwrap_or(0.0))
}

/// Waits until a metric of some region is as it should be.
async fn until(network: &Network, name: &str, fits: impl Fn(f64) -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let mut found = Vec::new();
        for region in network.regions() {
            found.push(metric(network, &region, name).await?);
        }
        if found.iter().any(|value| fits(*value)) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{name} is {found:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until everything that was written by now is in the place.
async fn until_shipped(network: &Network) -> Result<()> {
    let now = now();
    // In whole seconds: of when the look began.
    until(network, NEWEST, |newest| newest > now).await
}

/// The same for what was read, wherever.
async fn until_audit_is_shipped(network: &Network) -> Result<()> {
    let (now, begun) = (now(), Instant::now());
    for region in network.regions() {
        while metric(network, &region, AUDIT_NEWEST).await? <= now {
            ensure!(begun.elapsed() < PATIENCE, "{region} ships no audit files");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

async fn book(network: &Network, patient: &Patient) -> Result<Visit> {
    let home = network.regions().pop().context("a region")?;
    let staff = Browser::at(network, &home)?;
    staff.sign_in(&network.account("front-desk")?).await?;
    Browser::at(network, &home)?.book(&staff, patient).await
}

/// Everybody everywhere sees these visits, and can make more.
async fn all_is_there(network: &Network, visits: &[Visit]) -> Result<()> {
    let account = network.account("front-desk")?;
    for region in network.regions() {
        let staff = Browser::at(network, &region)?;
        staff.sign_in(&account).await?;
        for visit in visits {
            let found = staff.appointment(&visit.appointment).await?;
            ensure!(found["id"] == visit.appointment.as_str(), "{region}: {found}");
        }
        Browser::at(network, &region)?.hold_any().await?;
    }
    Ok(())
}

/// The doctor looks into the record in every region: an event of reading in each.
async fn read_everywhere(network: &Network, visit: &Visit) -> Result<()> {
    for region in network.regions() {
        let doctor = Browser::at(network, &region)?;
        doctor.sign_in(&network.account("doctor")?).await?;
        let encounter = doctor.encounter(&visit.appointment).await?;
        doctor.get(&format!("/records/encounters/{encounter}")).await?;
    }
    Ok(())
}

async fn comes_back(regions: u8) -> Result<()> {
    let kept = Kept::in_a_folder()?;
    let mut network = kept.start(regions, &[], Vec::new())?;
    let visit = book(&network, &Patient::planted()).await?;
    let data = network.data().to_string_lossy().into_owned();
    let said = kept.locum(&["backup", "now", "--data", &data])?;
    ensure!(said.starts_with("main: backup 2"), "{said}");
    kept.locum(&["backup", "drill", "--data", &data])?;
    all_is_there(&network, std::slice::from_ref(&visit)).await?;
    read_everywhere(&network, &visit).await?;
    let later = book(&network, &Patient::numbered(1)).await?;
    until_shipped(&network).await?;
    until_audit_is_shipped(&network).await?;
    let before = kept.locum(&["audit", "verify", "--data", &data])?;

    Planted::new([PATIENT])?.absent_below(kept.folder.path())?;
    let verified = kept.verify()?;
    ensure!(verified.contains("whole, up to") && verified.contains("audit files whole"), "{verified}");
    kept.replace(&mut network)?;
    all_is_there(&network, &[visit, later]).await?;
    let after = kept.locum(&["audit", "verify", "--data", &data])?;
    ensure!(after.contains("nothing was altered") && after.contains("restored at"), "{after}");
    let logs_before = logs(&before);
    ensure!(logs_before.len() >= network.regions().len(), "somebody's reading left no event: {before}");
    for (log, last) in logs_before {
        let found = logs(&after).into_iter().filter(|(known, _)| *known == log).map(|(_, last)| last).max();
        ensure!(found >= Some(last), "log {log} went to {last}: {after}");
    }
    Ok(())
}

/// Logs of reads in a report, and their last events.
fn logs(report: &str) -> Vec<(String, u64)> {
    let lines = report.lines().filter_map(|line| line.split_once(", log "));
    let logs = lines.filter_map(|(_, rest)| {
        let (log, events) = rest.split_once(": events ")?;
        let last = events.split_whitespace().nth(2)?.trim_end_matches(',').parse().ok()?;
        Some((log.to_owned(), last))
    });
    logs.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_one_region_comes_back_from_its_backups() -> Result<()> {
    comes_back(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_three_regions_comes_back_from_its_backups() -> Result<()> {
    comes_back(3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_was_away_for_a_while_lacks_nothing_and_a_network_comes_back_from_it() -> Result<()> {
    let bucket = Bucket::start().await?;
    let kept = Kept::in_a_bucket(&bucket)?;
    let mut network = kept.start(1, &[], bucket.over_the_line())?;
    let mut visits = vec![book(&network, &Patient::planted()).await?];
    until_shipped(&network).await?;

    bucket.line.cut();
    visits.push(book(&network, &Patient::numbered(1)).await?);
    // Three looks later than it should be; nobody who books notices.
    until(&network, "locum_edge_backup_age_seconds", |age| age > 35.0).await?;
    visits.push(book(&network, &Patient::numbered(2)).await?);
    bucket.line.mend();
    until_shipped(&network).await?;
    until(&network, "locum_edge_backup_age_seconds", |age| age < 15.0).await?;
    until_audit_is_shipped(&network).await?;
    kept.verify()?;
    let whole = kept.list()?.lines().count();
    ensure!(whole == 1, "it began anew instead of going on: {whole} backups");

    // As a fire does it.
    network.kill("edge-1")?;
    kept.replace(&mut network)?;
    all_is_there(&network, &visits).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_while_it_uploads_leaves_nothing_half_and_goes_on() -> Result<()> {
    let bucket = Bucket::start().await?;
    let kept = Kept::in_a_bucket(&bucket)?;
    // All but the last part of the first whole backup gets through.
    bucket.line.hold_at("/manifest ");
    let mut network = kept.start(1, &[], bucket.over_the_line())?;
    within(bucket.line.until_held()).await?;
    network.kill("edge-1")?;
    let half = half_backup(&bucket, "pages/").await?;
    ensure!(kept.list()?.contains("not finished"), "{}", kept.list()?);
    let elsewhere = network.working().join("elsewhere");
    let refused = kept.restore(&elsewhere, 1).err().context("half a backup was restored")?.to_string();
    ensure!(refused.contains("no backup"), "{refused}");
    ensure!(!elsewhere.join("edge-1/records/main").exists(), "something was restored");

    network.stop()?;
    bucket.line.mend();
    network.start_again()?;
    until(&network, NEWEST, |newest| newest > 0.0).await?;
    let left: Vec<String> = bucket.objects().await?.into_iter().filter(|name| name.contains(&half)).collect();
    ensure!(left.is_empty(), "{left:?} of a backup that was cut off");
    let mut visits = vec![book(&network, &Patient::planted()).await?];
    until_shipped(&network).await?;

    // Now in the middle of a segment.
    bucket.line.hold_at("/log/0");
    visits.push(book(&network, &Patient::numbered(1)).await?);
    within(bucket.line.until_held()).await?;
    network.kill("edge-1")?;
    kept.restore(&elsewhere, 1)?;
    kept.verify()?;
    network.stop()?;
    bucket.line.mend();
    network.start_again()?;
    until_shipped(&network).await?;
    kept.verify()?;
    kept.replace(&mut network)?;
    all_is_there(&network, &visits).await
}

/// The name of the backup that objects below `part` belong to.
async fn half_backup(bucket: &Bucket, part: &str) -> Result<String> {
    let objects = bucket.objects().await?;
    let half = objects.iter().find(|name| name.contains(part)).context("nothing was uploaded")?;
    let name = half.split('/').rev().nth(2).context("no backup in its name")?;
    Ok(name.to_owned())
}

async fn within(done: impl Future<Output = ()>) -> Result<()> {
    tokio::time::timeout(PATIENCE, done).await.context("it does not come to that")
}

/// Two groups; whatever is wrong with one, the other does not appear alone.
#[tokio::test(flavor = "multi_thread")]
async fn all_groups_come_back_or_none_does() -> Result<()> {
    let kept = Kept::in_a_folder()?;
    let mut network = kept.start(2, &["--clinic", "berlin=us-west,us-east"], Vec::new())?;
    let demo = book(&network, &Patient::planted()).await?;
    let staff = Browser::at(&network, "us-west")?.of("berlin");
    staff.sign_in(&network.account("front-desk")?).await?;
    let berlin = Browser::at(&network, "us-east")?.of("berlin").book(&staff, &Patient::planted()).await?;
    let data = network.data();
    kept.locum(&["backup", "now", "--data", &data.to_string_lossy()])?;
    network.stop()?;
    let accounts = fs::read(data.join("demo-accounts.json"))?;
    fs::remove_dir_all(&data)?;

    let part = newest_part(&kept.folder.path().join("backups/main"))?;
    let whole = fs::read(&part)?;
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&part, flipped)?;
    let refused = kept.restore(&data, 2).err().context("it was restored")?.to_string();
    ensure!(refused.contains(&*part.canonicalize()?.to_string_lossy()), "{refused}");
    let state = data.join("edge-us-west");
    ensure!(!data.exists(), "something is left");
    fs::write(&part, whole)?;
    kept.restore(&data, 2)?;

    // Cut off after the first of them was put in its place: the start carries on.
    let stage = state.join(".restore-cut-off");
    for below in ["blobs", "audit", "records"] {
        fs::create_dir_all(stage.join(below))?;
    }
    fs::rename(state.join("records/main"), stage.join("records/main"))?;
    let marker = serde_json::json!({"stage": ".restore-cut-off", "groups": ["berlin", "main"]});
    locum_identity::private_file::write(&state.join("restore.json"), marker.to_string().as_bytes())?;
    locum_identity::private_file::write(&data.join("demo-accounts.json"), &accounts)?;
    network.start_again()?;
    all_is_there(&network, &[demo]).await?;
    for region in network.regions() {
        let staff = Browser::at(&network, &region)?.of("berlin");
        staff.sign_in(&network.account("front-desk")?).await?;
        staff.appointment(&berlin.appointment).await?;
    }
    ensure!(!stage.exists() && !state.join("restore.json").exists(), "the restore is not over");
    Ok(())
}

/// One group may be in two of three regions. With one of them away the other still backs it up, and a restore puts
/// it where it may be.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_comes_back_where_it_may_be() -> Result<()> {
    let kept = Kept::in_a_folder()?;
    let mut network = kept.start(3, &["--clinic", "berlin=eu-central,us-east"], Vec::new())?;
    let staff = Browser::at(&network, "eu-central")?.of("berlin");
    staff.sign_in(&network.account("front-desk")?).await?;
    let visit = Browser::at(&network, "us-west")?.of("berlin").book(&staff, &Patient::planted()).await?;
    network.kill_region("us-east")?;
    let data = network.data();
    let begun = Instant::now();
    while network.metric("edge-eu-central", "locum_edge_group_alone", "berlin").await? != Some(1.0) {
        ensure!(begun.elapsed() < PATIENCE, "the primary does not notice that nobody follows");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Somebody leads again within seconds; until then it is refused with words.
    let said = loop {
        match kept.locum(&["backup", "now", "--data", &data.to_string_lossy()]) {
            Ok(said) => break said,
            Err(error) => ensure!(begun.elapsed() < PATIENCE, "{error:#}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    ensure!(said.contains("berlin: backup") && said.contains("main: backup"), "{said}");

    kept.replace(&mut network)?;
    let epochs = |region: &str| data.join(format!("edge-{region}/records/berlin/epochs"));
    let holds = |region: &str| fs::read_dir(epochs(region)).is_ok_and(|mut epochs| epochs.next().is_some());
    ensure!(holds("us-east") && !holds("us-west"), "it is where it may not be");
    for region in network.regions() {
        let staff = Browser::at(&network, &region)?.of("berlin");
        staff.sign_in(&network.account("front-desk")?).await?;
        staff.appointment(&visit.appointment).await?;
    }
    let elsewhere = Command::new(binaries()?.join("locum-edge"))
        .args([
            "restore",
            "--group",
            "berlin",
            "--region",
            "us-west",
            "--from",
            &kept.from,
            "--key",
            &kept.key(),
        ])
        .arg("--state-dir")
        .arg(kept.folder.path().join("elsewhere"))
        .arg("--store-key")
        .arg(data.join("edge-us-west.key"))
        .output()?;
    let said = String::from_utf8(elsewhere.stderr)?;
    ensure!(said.contains("`berlin` may not be in us-west: it belongs in eu-central or us-east"), "{said}");
    Ok(())
}

/// A chunk of pages of the newest backup of a group.
fn newest_part(group: &Path) -> Result<PathBuf> {
    let mut backups: Vec<PathBuf> =
        fs::read_dir(group.join("backups"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    backups.sort();
    Ok(backups.pop().context("no backup")?.join("pages/00000001"))
}
