//! A patient's name is in no log, no metric, and in the clear in no file.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Network, PATIENT, Patient};
use reqwest::Method;
use serde_json::json;

const NOTE: &str = "Zyzzogeton allergy suspected";

#[tokio::test(flavor = "multi_thread")]
async fn planted_text_stays_inside_the_encrypted_store() -> Result<()> {
    let mut network = Network::start()?;
    let (doctor, desk, patient) = (Browser::new(&network)?, Browser::new(&network)?, Browser::new(&network)?);
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
    let written = doctor
        .send_with(Method::PUT, &format!("{path}/note"), Some(&json!({"text": NOTE})), &[("if-match", &etag)])
        .await?;
    ensure!(written.status == 200, "{written:?}");
    // Requests that fail are the ones that tempt a logger.
    let _ = patient.post("/payments/confirmations", &json!({"patient": {"name": PATIENT}})).await?;
    let _ = patient.send(Method::GET, "/scheduling/clinic?name=Wilhelmina%20Quetzalcoatl", None).await?;
    let _ = patient.send(Method::GET, &format!("/Wilhelmina/{PATIENT}"), None).await?;

    // Everyone who may know the name does: otherwise this test proves nothing.
    let date = date_of(&doctor, &visit.appointment).await?;
    let list = doctor.get(&format!("/scheduling/appointments?date={date}")).await?;
    ensure!(list.to_string().contains(PATIENT), "the doctor does not see the patient");

    let secrets =
        [PATIENT, "Wilhelmina", "wilhelmina@patients", NOTE, &visit.token, &join_token, &account.password];
    for process in network.processes() {
        let metrics = metrics(&network, &process).await?;
        ensure!(metrics.contains("locum_build_info"), "{process} has no metrics");
        absent(&metrics, &secrets, &format!("metrics of {process}"))?;
    }
    search(&network.data(), &secrets)?;
    network.stop()?;
    search(&network.data(), &secrets)
}

async fn metrics(network: &Network, process: &str) -> Result<String> {
    let address = network.address(process, "telemetry")?;
    Ok(reqwest::get(format!("http://{address}/metrics")).await?.text().await?)
}

async fn date_of(doctor: &Browser, appointment: &str) -> Result<String> {
    let entry = doctor.appointment(appointment).await?;
    let clinic = doctor.get("/scheduling/clinic").await?;
    let start: jiff::Timestamp = entry["start"].as_str().context("no start")?.parse()?;
    Ok(start.in_tz(clinic["timeZone"].as_str().context("no zone")?)?.date().to_string())
}

fn search(folder: &Path, secrets: &[&str]) -> Result<()> {
    let (mut folders, mut searched) = (vec![folder.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path: PathBuf = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(bytes) = std::fs::read(&path) else { continue };
            searched += 1;
            let text = String::from_utf8_lossy(&bytes);
            // The demo accounts' own file is where their passwords belong.
            let kept =
                secrets.iter().filter(|s| !(path.ends_with("demo-accounts.json") && text.contains(**s)));
            absent(&text, &kept.copied().collect::<Vec<_>>(), &path.display().to_string())?;
        }
    }
    ensure!(searched > 5, "only {searched} files were searched");
    Ok(())
}

fn absent(text: &str, secrets: &[&str], place: &str) -> Result<()> {
    for (number, secret) in secrets.iter().enumerate() {
        ensure!(!text.contains(secret), "planted text {number} is in {place}");
    }
    Ok(())
}
