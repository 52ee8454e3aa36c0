//! A patient's name is in no log, no metric and, in the clear, in no file: not of a host, not of a backup, not in the
//! folder for temporary files, and no core dump is written.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Network, PATIENT, Patient, Planted, Visit, binaries, signal, until};
use reqwest::Method;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;

const NOTE: &str = "Zyzzogeton allergy suspected";

/// What was entrusted to a network.
struct Secrets {
    visit: Visit,
    join_token: String,
    password: String,
}

impl Secrets {
    /// A visit from its booking to the note, and requests that fail, which are the ones that tempt a logger.
    async fn entrust(network: &Network, regions: [&str; 3]) -> Result<Self> {
        let [doctor, desk, patient] = regions.map(|region| Browser::at(network, region));
        let (doctor, desk, patient) = (doctor?, desk?, patient?);
        let account = network.account("doctor")?;
        ensure!(doctor.sign_in(&account).await?.status == 201);
        ensure!(desk.sign_in(&network.account("front-desk")?).await?.status == 201);
        let visit = patient.book(&desk, &Patient::planted()).await?;
        patient.be_admitted(&doctor, &visit).await?;
        let joined = patient.post("/tokens/join", &json!({})).await?;
        ensure!(joined.status == 201, "{joined:?}");
        let join_token = joined.body["token"].as_str().context("no token")?.to_owned();
        let encounter = doctor.encounter(&visit.appointment).await?;
        let path = format!("/records/encounters/{encounter}");
        let etag = doctor.send(Method::GET, &path, None).await?.headers["etag"].clone();
        let (note, headers) = (json!({"text": NOTE}), [("if-match", etag.as_str())]);
        let written = doctor.send_with(Method::PUT, &format!("{path}/note"), Some(&note), &headers).await?;
        ensure!(written.status == 200, "{written:?}");
        let _ = patient.post("/payments/confirmations", &json!({"patient": {"name": PATIENT}})).await?;
        let _ = patient.send(Method::GET, "/scheduling/clinic?name=Wilhelmina%20Quetzalcoatl", None).await?;
        let _ = patient.send(Method::GET, &format!("/Wilhelmina/{PATIENT}"), None).await?;

        // Everyone who may know the name does: otherwise this test proves nothing.
        let date = date_of(&doctor, &visit.appointment).await?;
        let list = doctor.get(&format!("/scheduling/appointments?date={date}")).await?;
        ensure!(list.to_string().contains(PATIENT), "the doctor does not see the patient");
        Ok(Self { visit, join_token, password: account.password })
    }

    /// What is looked for everywhere.
    fn planted(&self) -> Result<Planted> {
        Planted::new(self.texts())
    }

    /// The demo accounts' own file is where their passwords belong.
    fn with_password(&self) -> Result<Planted> {
        Planted::new(self.texts().into_iter().chain([self.password.as_str()]))
    }

    fn texts(&self) -> [&str; 6] {
        [PATIENT, "Wilhelmina", "wilhelmina@patients", NOTE, &self.visit.token, &self.join_token]
    }

    /// Once the network has stopped.
    fn are_nowhere(&self, network: &Network) -> Result<()> {
        std::fs::remove_file(network.data().join("demo-accounts.json"))?;
        let planted = self.with_password()?;
        let searched = planted.absent_below(&network.data())?;
        ensure!(searched > 5, "only {searched} files were searched");
        planted.absent_below(&network.temporary())?;
        planted.absent_below(&network.working())?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_text_stays_inside_the_encrypted_store() -> Result<()> {
    let mut network = Network::start()?;
    let secrets = Secrets::entrust(&network, ["eu-central"; 3]).await?;
    metrics_hold_nothing(&network, &secrets).await?;
    secrets.planted()?.absent_below(&network.data())?;
    network.stop()?;
    secrets.are_nowhere(&network)
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_text_is_in_no_file_of_three_regions_their_backups_or_a_crash() -> Result<()> {
    // As generous as the system allows: what forbids cores are the processes themselves.
    setrlimit(Resource::Core, Rlimit { current: None, maximum: None })?;
    let kept = tempfile::tempdir()?;
    let backups = kept.path().join("backups").to_string_lossy().into_owned();
    let mut network = Network::start_with(3, &["--backup-to", &backups])?;
    let secrets = Secrets::entrust(&network, ["us-west", "us-east", "eu-central"]).await?;
    for region in network.regions() {
        let doctor = Browser::at(&network, &region)?;
        doctor.sign_in(&network.account("doctor")?).await?;
        let encounter = doctor.encounter(&secrets.visit.appointment).await?;
        let read = doctor.get(&format!("/records/encounters/{encounter}")).await?;
        ensure!(read.to_string().contains(NOTE), "{region} does not show the note");
    }
    metrics_hold_nothing(&network, &secrets).await?;
    for task in ["now", "drill"] {
        let data = network.data();
        let done =
            Command::new(binaries()?.join("locum")).args(["backup", task, "--data"]).arg(data).output()?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    audit_files_are_in(&kept.path().join("backups/main/archives"))?;
    let planted = secrets.planted()?;
    for folder in [&network.data(), kept.path(), &network.temporary(), &network.working()] {
        planted.absent_below(folder)?;
    }

    // A crash of everything that holds a record in its memory, or a key.
    let mut processes = Vec::new();
    for region in network.regions() {
        processes.extend(network.engine(&region)?);
    }
    ensure!(processes.len() == 1, "{} engines", processes.len());
    for name in network.processes() {
        processes.push(network.process_id(&name)?);
    }
    for process in &processes {
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits"))?;
        let cores = limits.lines().find(|line| line.starts_with("Max core file size")).context("no limit")?;
        ensure!(cores.split_whitespace().skip(4).eq(["1", "1", "bytes"]), "{cores}");
    }
    for process in &processes {
        signal(*process, libc::SIGABRT);
    }
    for process in &processes {
        until("it is gone", || Ok(!Path::new(&format!("/proc/{process}/exe")).exists()))?;
    }
    network.stop()?;
    let left: Vec<_> = std::fs::read_dir(network.working())?.collect::<std::io::Result<_>>()?;
    ensure!(left.is_empty(), "{left:?} is left where the processes stood");
    planted.absent_below(kept.path())?;
    secrets.are_nowhere(&network)
}

/// Events of reading have reached the place, from every region.
fn audit_files_are_in(archives: &Path) -> Result<()> {
    let begun = Instant::now();
    loop {
        let hosts = std::fs::read_dir(archives).map_or(0, Iterator::count);
        if hosts == 3 {
            return Ok(());
        }
        ensure!(begun.elapsed().as_secs() < 60, "audit files of {hosts} hosts");
        locum_network_tests::pause();
    }
}

async fn metrics_hold_nothing(network: &Network, secrets: &Secrets) -> Result<()> {
    let planted = secrets.with_password()?;
    for process in network.processes() {
        let url = format!("http://{}/metrics", network.address(&process, "telemetry")?);
        let metrics = reqwest::get(url).await?.text().await?;
        ensure!(metrics.contains("locum_build_info"), "{process} has no metrics");
        planted.absent_in(metrics.as_bytes(), &format!("metrics of {process}"))?;
    }
    Ok(())
}

async fn date_of(doctor: &Browser, appointment: &str) -> Result<String> {
    let entry = doctor.appointment(appointment).await?;
    let clinic = doctor.get("/scheduling/clinic").await?;
    let start: jiff::Timestamp = entry["start"].as_str().context("no start")?.parse()?;
    Ok(start.in_tz(clinic["timeZone"].as_str().context("no zone")?)?.date().to_string())
}
