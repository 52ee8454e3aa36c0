//! One network of `locum up` in a folder of its own, on ports the system gives.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// Who may sign in to the demo clinic.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    /// What the person types.
    pub username: String,
    /// Random, made at the network's first start.
    pub password: String,
    /// The first role is the one that matters to a test.
    pub roles: Vec<String>,
}

/// A running network; dropping it stops every process.
pub struct Network {
    folder: tempfile::TempDir,
    up: Child,
    ready: Value,
}

impl Network {
    /// Starts a fresh network and waits until it is ready.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("make a data folder")?;
        let (up, ready) = spawn(&folder.path().join("data"))?;
        Ok(Self { folder, up, ready })
    }

    /// Stops it as an operator would and starts it again on the same data.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        (self.up, self.ready) = spawn(&self.data())?;
        Ok(())
    }

    /// Asks it to end and waits for that.
    pub fn stop(&mut self) -> Result<()> {
        signal(self.up.id(), libc::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.up.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("`locum up` did not stop within 20 s of SIGTERM");
            }
            pause();
        }
        Ok(())
    }

    /// Where the network keeps everything.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A process's own address, such as `("edge-1", "http")`.
    pub fn address(&self, process: &str, name: &str) -> Result<String> {
        self.ready["processes"][process]["addresses"][name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("no address {name} of {process} in {}", self.ready))
    }

    /// Names of the processes that `locum up` started.
    pub fn processes(&self) -> Vec<String> {
        self.ready["processes"].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
    }

    /// Process id of one of them.
    pub fn process_id(&self, process: &str) -> Result<u32> {
        let id = self.ready["processes"][process]["pid"].as_u64().context("no pid")?;
        Ok(u32::try_from(id)?)
    }

    /// The demo account that has `role`.
    pub fn account(&self, role: &str) -> Result<Account> {
        let accounts: Vec<Account> = serde_json::from_value(self.ready["accounts"].clone())?;
        accounts.into_iter().find(|a| a.roles.iter().any(|r| r == role)).with_context(|| role.to_owned())
    }

    /// What `locum up --json` said.
    pub fn ready(&self) -> &Value {
        &self.ready
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.up.try_wait().is_ok_and(|ended| ended.is_none()) && self.stop().is_err() {
            signal(self.up.id(), libc::SIGKILL);
            let _ = self.up.wait();
        }
    }
}

/// Sends a signal; a process that is gone already is no error.
#[allow(unsafe_code)]
pub fn signal(process: u32, signal: libc::c_int) {
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    unsafe { libc::kill(process.cast_signed(), signal) };
}

/// The folder that holds `locum` and the three daemons.
pub fn binaries() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("LOCUM_BIN_DIR") {
        return Ok(folder.into());
    }
    // target/debug/deps/<test> → target/debug
    let test = std::env::current_exe()?;
    test.ancestors().nth(2).map(Path::to_owned).context("test executable has no folder")
}

fn spawn(data: &Path) -> Result<(Child, Value)> {
    let binaries = binaries()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut child = Command::new(binaries.join("locum"))
        .args(["up", "--json", "--port", "0", "--data"])
        .arg(data)
        .current_dir(root)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}/locum", binaries.display()))?;
    let output = child.stdout.take().context("no stdout")?;
    for line in BufReader::new(output).lines() {
        if let Ok(ready) = serde_json::from_str::<Value>(&line?)
            && ready.get("processes").is_some()
        {
            return Ok((child, ready));
        }
    }
    let mut said = String::new();
    if let Some(mut errors) = child.stderr.take() {
        errors.read_to_string(&mut said)?;
    }
    bail!("`locum up` ended before it was ready: {said}")
}

/// Between two looks at a condition that has a deadline.
#[allow(clippy::disallowed_methods)]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
