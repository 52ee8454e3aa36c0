//! One network of `locum up` in a folder of its own, on ports the system gives.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// As `locum up --regions 3` names them.
const REGIONS: [&str; 3] = ["us-west", "us-east", "eu-central"];
/// Longest wait for a process to do as it is told.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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
    regions: u8,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    up: Child,
    ready: Value,
    /// Processes that died and were started again by the test.
    revived: BTreeMap<String, Child>,
    /// Who led which group in which epoch, as far as it was looked for.
    pub(crate) leaders: BTreeMap<(String, u64), String>,
}

impl Network {
    /// Starts a fresh network of one region and waits until it is ready.
    pub fn start() -> Result<Self> {
        Self::start_with(1, &[])
    }

    /// Starts a fresh network of 1 to 3 regions and waits until it is ready.
    pub fn start_regions(regions: u8) -> Result<Self> {
        Self::start_with(regions, &[])
    }

    /// The same, with further options of `locum up`.
    pub fn start_with(regions: u8, options: &[&str]) -> Result<Self> {
        Self::start_in(regions, options, Vec::new())
    }

    /// The same, with variables of its own.
    pub fn start_in(regions: u8, options: &[&str], mut environment: Vec<(String, String)>) -> Result<Self> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let folder = tempfile::tempdir().context("make a data folder")?;
        for below in ["tmp", "here"] {
            std::fs::create_dir(folder.path().join(below))?;
        }
        let temporary = folder.path().join("tmp").to_string_lossy().into_owned();
        environment.push(("TMPDIR".to_owned(), temporary));
        let (up, ready) = spawn(folder.path(), regions, &options, &environment)?;
        Ok(Self {
            folder,
            regions,
            options,
            environment,
            up,
            ready,
            revived: BTreeMap::new(),
            leaders: BTreeMap::new(),
        })
    }

    /// Stops it as an operator would and starts it again on the same data.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// Starts it again after [`Self::stop`], on whatever is in its folder now.
    pub fn start_again(&mut self) -> Result<()> {
        (self.up, self.ready) = spawn(self.folder.path(), self.regions, &self.options, &self.environment)?;
        Ok(())
    }

    /// From now on nothing notices the death of a process: `locum up` stands still.
    pub fn leave_alone(&self) -> Result<()> {
        let up = self.up.id();
        signal(up, libc::SIGSTOP);
        until("`locum up` stands still", || Ok(state(up) == Some('T')))
    }

    /// Asks it to end and waits for that.
    pub fn stop(&mut self) -> Result<()> {
        self.end_revived()?;
        signal(self.up.id(), libc::SIGTERM);
        signal(self.up.id(), libc::SIGCONT);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.up.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("`locum up` did not stop within 20 s of SIGTERM");
            }
            pause();
        }
        Ok(())
    }

    fn end_revived(&mut self) -> Result<()> {
        for (_, mut process) in std::mem::take(&mut self.revived) {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }

    /// Where the network keeps everything.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where its processes put what is temporary.
    pub fn temporary(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// Where its processes stand: a core dump would be written here.
    pub fn working(&self) -> PathBuf {
        self.folder.path().join("here")
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

    /// The regions, in the order in which `locum up` names them.
    pub fn regions(&self) -> Vec<String> {
        match self.regions {
            1 => vec!["eu-central".to_owned()],
            count => REGIONS[..usize::from(count)].iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// Where a person may come in: the regions, and further edge hosts of them, such as `us-east-2` in `us-east`.
    pub fn places(&self) -> Vec<String> {
        let of_region = |process: &String| {
            let place = process.strip_prefix("edge-")?;
            self.regions().iter().any(|region| sibling_of(region) == place).then(|| place.to_owned())
        };
        let siblings = self.processes().iter().filter_map(of_region).collect::<Vec<_>>();
        self.regions().into_iter().chain(siblings).collect()
    }

    /// Name of a region's edge host, or of its second one.
    pub fn edge(&self, region: &str) -> String {
        self.in_region("edge", region)
    }

    /// Name of a region's media node.
    pub fn media(&self, region: &str) -> String {
        self.in_region("media", region)
    }

    fn in_region(&self, role: &str, region: &str) -> String {
        if self.regions == 1 { format!("{role}-1") } else { format!("{role}-{region}") }
    }

    /// SIGKILL, as a power cut is to a process; returns when it is gone.
    pub fn kill(&mut self, process: &str) -> Result<()> {
        let id = self.process_id(process)?;
        signal(id, libc::SIGKILL);
        if let Some(mut revived) = self.revived.remove(process) {
            revived.wait()?;
        }
        until("it is killed", || Ok(has_ended(id)))
    }

    /// Whether a process is gone, by itself or because it was asked to.
    pub(crate) fn has_ended(&mut self, process: &str) -> Result<bool> {
        if let Some(revived) = self.revived.get_mut(process) {
            if revived.try_wait()?.is_none() {
                return Ok(false);
            }
            self.revived.remove(process);
            return Ok(true);
        }
        Ok(has_ended(self.process_id(process)?))
    }

    /// What runs in a region: of three, a member of the control plane too.
    fn in_all_of(&self, region: &str) -> Vec<String> {
        let control = (self.regions == 3).then(|| self.control_in(region));
        control.into_iter().chain([self.media(region), self.edge(region)]).collect()
    }

    /// SIGKILL to everything in a region.
    pub fn kill_region(&mut self, region: &str) -> Result<()> {
        self.kill_all(&self.in_all_of(region))
    }

    /// SIGKILL to the hosts of a region; its member of the control plane lives.
    pub fn kill_hosts(&mut self, region: &str) -> Result<()> {
        self.kill_all(&[self.media(region), self.edge(region)])
    }

    /// SIGKILL to every member of the control plane.
    pub fn kill_control(&mut self) -> Result<()> {
        self.kill_all(&self.controls())
    }

    /// All at once: nothing dies in an order.
    fn kill_all(&mut self, names: &[String]) -> Result<()> {
        for name in names {
            signal(self.process_id(name)?, libc::SIGKILL);
        }
        names.iter().try_for_each(|name| self.kill(name))
    }

    /// SIGSTOP: the process stands still, its sockets stay open. Returns when it does.
    pub fn pause(&self, process: &str) -> Result<()> {
        let id = self.process_id(process)?;
        signal(id, libc::SIGSTOP);
        until("it stands still", || Ok(state(id) == Some('T')))
    }

    /// SIGSTOP to everything in a region.
    pub fn pause_region(&self, region: &str) -> Result<()> {
        self.in_all_of(region).iter().try_for_each(|name| self.pause(name))
    }

    /// SIGCONT.
    pub fn resume(&self, process: &str) -> Result<()> {
        signal(self.process_id(process)?, libc::SIGCONT);
        Ok(())
    }

    /// SIGCONT to everything in a region.
    pub fn resume_region(&self, region: &str) -> Result<()> {
        self.in_all_of(region).iter().try_for_each(|name| self.resume(name))
    }

    /// Starts a killed process again on its data, and waits until it is ready. From now on it is known by its
    /// new id and addresses.
    pub fn revive(&mut self, process: &str) -> Result<()> {
        self.revive_with(process, &[])
    }

    /// The same, with more variables.
    pub fn revive_with(&mut self, process: &str, variables: &[(&str, &str)]) -> Result<()> {
        let role = process.split('-').next().unwrap_or(process);
        let (data, ready_file) = (self.data(), self.data().join(format!("run/{process}.json")));
        if ready_file.exists() {
            std::fs::remove_file(&ready_file)?;
        }
        let log = File::options().create(true).append(true).open(data.join(format!("log/{process}.log")))?;
        let mut child = Command::new(binaries()?.join(format!("locum-{role}")))
            .arg("--config")
            .arg(data.join(format!("{process}.toml")))
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(variables.iter().copied())
            .current_dir(self.working())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {process} again"))?;
        let mut said: Option<Value> = None;
        let waited = until("it is ready", || {
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(data.join(format!("log/{process}.log")))?;
                bail!("{process} ended at once: {status}; the last it said: {:#?}", last_said(&log));
            }
            said = std::fs::read(&ready_file).ok().and_then(|text| serde_json::from_slice(&text).ok());
            Ok(said.is_some())
        });
        self.revived.insert(process.to_owned(), child);
        self.ready["processes"][process] = said.unwrap_or_default();
        waited.with_context(|| process.to_owned())
    }

    /// Starts a process again with another configuration; nothing notices its death from now on.
    pub fn reconfigure(&mut self, process: &str, change: impl FnOnce(&mut toml::Table)) -> Result<()> {
        self.leave_alone()?;
        self.kill(process)?;
        let path = self.data().join(format!("{process}.toml"));
        let mut config: toml::Table = std::fs::read_to_string(&path)?.parse()?;
        change(&mut config);
        std::fs::write(&path, config.to_string())?;
        self.revive(process)
    }

    /// The same for the control plane, each member where everybody knows it to be: its port may be one that the system
    /// gave.
    pub fn revive_control(&mut self) -> Result<()> {
        for member in self.controls() {
            let mesh = self.address(&member, "mesh")?;
            let path = self.data().join(format!("{member}.toml"));
            let mut config: toml::Table = std::fs::read_to_string(&path)?.parse()?;
            config.insert("mesh_listen".to_owned(), mesh.into());
            std::fs::write(&path, config.to_string())?;
            self.revive(&member)?;
        }
        Ok(())
    }

    /// Starts a killed region again.
    pub fn revive_region(&mut self, region: &str) -> Result<()> {
        self.in_all_of(region).iter().try_for_each(|name| self.revive(name))
    }

    /// What `locum up --json` said.
    pub fn ready(&self) -> &Value {
        &self.ready
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for process in self.processes() {
            // Whoever stands still could not end.
            let _ = self.resume(&process);
        }
        let _ = self.end_revived();
        if self.up.try_wait().is_ok_and(|ended| ended.is_none()) && self.stop().is_err() {
            signal(self.up.id(), libc::SIGKILL);
            let _ = self.up.wait();
        }
    }
}

/// The second edge host of a region, by its place.
pub fn sibling_of(region: &str) -> String {
    format!("{region}-2")
}

/// Sends a signal; a process that is gone already is no error.
#[allow(unsafe_code)]
pub fn signal(process: u32, signal: libc::c_int) {
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    unsafe { libc::kill(process.cast_signed(), signal) };
}

/// The root of the sources: tests and benchmarks run in this package's folder, wherever they were compiled.
pub(crate) fn root() -> Result<PathBuf> {
    Path::new("..").canonicalize().context("tests run in the folder of their package")
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

fn spawn(
    folder: &Path,
    regions: u8,
    options: &[String],
    environment: &[(String, String)],
) -> Result<(Child, Value)> {
    let binaries = binaries()?;
    // A test may have one of its own.
    let own = options.iter().any(|option| option == "--manifest");
    let manifest = if own { None } else { Some(root()?.join("spin.toml")) };
    let manifest = manifest
        .map(|path| [std::ffi::OsString::from("--manifest"), path.into_os_string()])
        .into_iter()
        .flatten();
    let mut child = Command::new(binaries.join("locum"))
        .args(["up", "--json", "--port", "0", "--regions", &regions.to_string()])
        .args(manifest)
        .arg("--data")
        .arg(folder.join("data"))
        .args(options)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder.join("here"))
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

/// Waits for a condition, with a deadline.
pub fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !holds()? {
        if begun.elapsed() > PATIENCE {
            bail!("not within {} s: {what}", PATIENCE.as_secs());
        }
        pause();
    }
    Ok(())
}

/// A process's state letter, from proc(5); `None` when there is no such process.
fn state(process: u32) -> Option<char> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it may hold anything, brackets too.
    text.rsplit_once(')')?.1.trim_start().chars().next()
}

/// The last lines of a log, before the stack they came from.
fn last_said(log: &str) -> Vec<&str> {
    let said = log.rsplit_once("\nStack backtrace").map_or(log, |(said, _)| said);
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(6)..].to_vec()
}

/// Whether nothing of a process runs any more. Its first thread is a zombie as soon as that one ended, while others may
/// still hold its files and ports.
fn has_ended(process: u32) -> bool {
    let threads = || std::fs::read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count);
    match state(process) {
        None => true,
        Some('Z') => threads() <= 1,
        Some(_) => false,
    }
}

/// Between two looks at a condition that has a deadline.
#[allow(clippy::disallowed_methods)]
pub fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
