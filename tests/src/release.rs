//! Releases of the application in folders of their own: the functions there are, further migrations, and a function
//! that asks what only a newer schema answers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::network::{Network, root, until};

/// A release that an edge host can be started with.
pub struct Release {
    folder: PathBuf,
    /// Its own route, below the clinic's; the release before has none of that name.
    pub route: String,
    /// Number of its last migration.
    pub newest: usize,
}

impl Release {
    /// `files` are added to the migrations there are, each with the next number before its name. Its route is answered by
    /// the function `guest`.
    pub fn make(folder: &Path, number: usize, files: &[(&str, &str)], guest: &Path) -> Result<Self> {
        let folder = folder.join(format!("release-{number}"));
        let migrations = folder.join("migrations");
        std::fs::create_dir_all(&migrations)?;
        let root = root()?;
        let mut newest = 0;
        for entry in std::fs::read_dir(root.join("edge-functions/migrations"))? {
            let path = entry?.path();
            std::fs::copy(&path, migrations.join(path.file_name().context("no name")?))?;
            newest += 1;
        }
        for (name, sql) in files {
            newest += 1;
            std::fs::write(migrations.join(format!("{newest:04}_{name}")), sql)?;
        }
        let mut manifest = std::fs::read_to_string(root.join("spin.toml"))?;
        for (key, from, to) in [
            ("migrations", "edge-functions/migrations", migrations),
            ("pages", "web/dist", root.join("web/dist")),
            ("openapi", "docs/openapi.yaml", root.join("docs/openapi.yaml")),
        ] {
            let (from, to) = (format!("{key} = \"{from}\""), format!("{key} = \"{}\"", to.display()));
            ensure!(manifest.contains(&from), "{from} is not in spin.toml");
            manifest = manifest.replace(&from, &to);
        }
        let sources = format!("source = \"{}/edge-functions/build/", root.display());
        manifest = manifest.replace("source = \"edge-functions/build/", &sources);
        let (route, guest) = (format!("/release-{number}"), guest.display());
        let component = format!(
            "\n[[trigger.http]]\nroute = \"/c/:clinic{route}/...\"\ncomponent = \"asks\"\n\n\
             [component.asks]\nsource = \"{guest}\"\nsqlite_databases = [\"default\"]\n"
        );
        std::fs::write(folder.join("spin.toml"), manifest + &component)?;
        Ok(Self { folder, route, newest })
    }
}

impl Network {
    /// Stops a region's edge host as an operator would, and starts it again with `release`. It may not be ready yet.
    pub fn change_release(&mut self, region: &str, release: &Release) -> Result<()> {
        let edge = self.edge(region);
        self.stop_process(&edge)?;
        let path = self.data().join(format!("{edge}.toml"));
        let mut config: toml::Table = std::fs::read_to_string(&path)?.parse()?;
        let manifest = release.folder.join("spin.toml").to_string_lossy().into_owned();
        config.insert("manifest".to_owned(), manifest.into());
        // So that a contract is seen to wait for hosts, and a test need not wait for a day.
        let wait = toml::Table::from_iter([("contract_after_s".to_owned(), 2.into())]);
        config.insert("migrations".to_owned(), wait.into());
        std::fs::write(&path, config.to_string())?;
        self.revive(&edge)
    }

    /// Whether a process says that it takes work.
    pub async fn is_ready(&self, process: &str) -> Result<bool> {
        let url = format!("http://{}/readyz", self.address(process, "telemetry")?);
        Ok(reqwest::get(url).await?.status().is_success())
    }

    /// Asks a process to end, and waits for that.
    fn stop_process(&mut self, process: &str) -> Result<()> {
        crate::network::signal(self.process_id(process)?, libc::SIGTERM);
        until("it stops", || self.has_ended(process)).with_context(|| process.to_owned())
    }
}

/// The function that does what its caller says, built once. `target`: where build products go.
pub fn guest(target: &Path) -> Result<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--target", "wasm32-wasip2", "--profile", "wasm"])
        .args(["-p", "locum-edge-test-guest", "--target-dir"])
        .arg(target)
        .current_dir(root()?)
        .status()?;
    ensure!(built.success(), "the test function does not build");
    Ok(target.join("wasm32-wasip2/wasm/locum_edge_test_guest.wasm"))
}
