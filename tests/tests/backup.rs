//! A whole network is lost, and another begins with what its backups hold.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use locum_network_tests::{Browser, Network, PATIENT, Patient, binaries};

/// Runs `locum`; what it said.
fn locum(arguments: &[&str]) -> Result<String> {
    let output = Command::new(binaries()?.join("locum")).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

fn holds_nothing_of(folder: &Path, planted: &[u8]) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            holds_nothing_of(&path, planted)?;
        } else {
            let found = fs::read(&path)?.windows(planted.len()).any(|window| window == planted);
            ensure!(!found, "{} holds the planted name", path.display());
        }
    }
    Ok(())
}

async fn comes_back(regions: u8) -> Result<()> {
    let kept = tempfile::tempdir()?;
    let path = |name: &str| kept.path().join(name).to_string_lossy().into_owned();
    let (backups, key) = (path("backups"), path("backup.key"));
    locum(&["backup", "key", &key])?;
    let mut network = Network::start_with(regions, &["--backup-to", &backups, "--backup-key", &key])?;
    let home = network.regions().last().context("a region")?.clone();
    let front_desk = network.account("front-desk")?;
    let staff = Browser::at(&network, &home)?;
    staff.sign_in(&front_desk).await?;
    let visit = Browser::at(&network, &home)?.book(&staff, &Patient::planted()).await?;
    let data = network.data().to_string_lossy().into_owned();
    let said = locum(&["backup", "now", "--data", &data])?;
    ensure!(said.starts_with("main: backup 2"), "{said}");
    locum(&["backup", "drill", "--data", &data])?;

    network.stop()?;
    // What people remember.
    let accounts = fs::read(network.data().join("demo-accounts.json"))?;
    fs::remove_dir_all(network.data())?;
    holds_nothing_of(kept.path(), PATIENT.as_bytes())?;
    let verified = locum(&["backup", "verify", "--from", &backups, "--key", &key])?;
    ensure!(verified.contains("whole, up to"), "{verified}");
    let count = regions.to_string();
    locum(&["restore", "--from", &backups, "--key", &key, "--to", &data, "--regions", &count])?;
    locum_identity::private_file::write(&network.data().join("demo-accounts.json"), &accounts)?;
    network.start_again()?;

    for region in network.regions() {
        let staff = Browser::at(&network, &region)?;
        staff.sign_in(&front_desk).await?;
        let found = staff.appointment(&visit.appointment).await?;
        ensure!(found["id"] == visit.appointment.as_str(), "{region}: {found}");
    }
    Browser::at(&network, &home)?.hold_any().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_one_region_comes_back_from_its_backups() -> Result<()> {
    comes_back(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_three_regions_comes_back_from_its_backups() -> Result<()> {
    comes_back(3).await
}
