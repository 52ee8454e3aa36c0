//! The servers that are measured, each a process of its own, and what they use.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use locum_identity::SigningKey;
use serde_json::Value;
use tempfile::TempDir;

use crate::signal::{Janus, LiveKit, Plain, Signalling};

const READY_WITHIN: Duration = Duration::from_secs(20);

/// proc(5): of `utime` and `stime`.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Locum,
    Str0m,
    Janus,
}

/// Where programs are.
pub struct Programs {
    pub node: PathBuf,
    pub str0m: PathBuf,
    pub janus: PathBuf,
}

/// A running server.
pub struct Server {
    process: Child,
    dir: TempDir,
    signal: SocketAddr,
    /// Where media goes, if it is one port.
    pub media: Option<SocketAddr>,
    key: Option<SigningKey>,
    kind: Kind,
}

impl Server {
    pub fn start(kind: Kind, programs: &Programs, host: IpAddr) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        match kind {
            Kind::Locum => locum(dir, &programs.node, host),
            Kind::Str0m => str0m(dir, &programs.str0m, host),
            Kind::Janus => janus(dir, &programs.janus, host),
        }
    }

    pub fn signalling(&self) -> Result<Box<dyn Signalling>> {
        Ok(match (self.kind, &self.key) {
            (Kind::Locum, Some(key)) => Box::new(LiveKit::new(self.signal, key.clone())?),
            (Kind::Janus, _) => Box::new(Janus(self.signal)),
            _ => Box::new(Plain(self.signal)),
        })
    }

    /// Processor time of all threads so far, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks = fields.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
        Ok(f64::from(ticks) / TICKS_PER_SECOND)
    }

    /// Memory of its own, shared pages counted in part (PSS), in MiB.
    pub fn memory_mib(&self) -> Result<f64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1_024.0)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn locum(dir: TempDir, program: &Path, host: IpAddr) -> Result<Server> {
    let key = SigningKey::generate()?;
    fs::write(dir.path().join("keys.json"), serde_json::to_vec(&key.jwks())?)?;
    let config = dir.path().join("media.toml");
    fs::write(
        &config,
        format!(
            "zone = \"locum.localhost\"\nregion = \"eu-central\"\nstate_dir = \"state\"\nready_file = \"ready.json\"\n\
             jwks_file = \"keys.json\"\nannounce_host = \"{host}\"\nsignal_listen = \"{host}:0\"\n\
             media_listen = \"{host}:0\"\ncapacity = 2000\n"
        ),
    )?;
    let mut process = spawn(&dir, Command::new(program).arg("--config").arg(&config))?;
    let ready = dir.path().join("ready.json");
    let ready = until(&mut process, || serde_json::from_slice::<Value>(&fs::read(&ready).ok()?).ok())?;
    let address = |name: &str| -> Result<SocketAddr> {
        Ok(ready["addresses"][name].as_str().context("no such address")?.parse()?)
    };
    let (signal, media) = (address("signal")?, Some(address("media")?));
    Ok(Server { process, dir, signal, media, key: Some(key), kind: Kind::Locum })
}

fn str0m(dir: TempDir, program: &Path, host: IpAddr) -> Result<Server> {
    let (signal, media) = (free(host)?, free(host)?);
    let mut process = spawn(&dir, Command::new(program).args([media.to_string(), signal.to_string()]))?;
    until(&mut process, || std::net::TcpStream::connect(signal).ok())?;
    Ok(Server { process, dir, signal, media: Some(media), key: None, kind: Kind::Str0m })
}

/// Debian's. It takes no loopback address for media, so `host` is that of an interface, the only one it may use.
fn janus(dir: TempDir, program: &Path, host: IpAddr) -> Result<Server> {
    const LIB: &str = "/usr/lib/x86_64-linux-gnu/janus";
    let signal = free(host)?;
    let files = [
        (
            "janus.jcfg",
            format!(
                "general: {{ configs_folder = \"{0}\"; plugins_folder = \"{LIB}/plugins\"; \
                 transports_folder = \"{LIB}/transports\"; events_folder = \"/nonexistent\"; \
                 loggers_folder = \"/nonexistent\"; debug_level = 2; session_timeout = 0; interface = \"{host}\" }}\n\
                 media: {{ ipv6 = false; rtp_port_range = \"20000-40000\" }}\n\
                 nat: {{ ice_tcp = false; full_trickle = false; ice_enforce_list = \"{host}\"; ignore_mdns = true }}\n\
                 plugins: {{ disable = \"{1}\" }}\ntransports: {{ disable = \"{2}\" }}\n",
                dir.path().display(),
                others(&format!("{LIB}/plugins"), "libjanus_echotest.so"),
                others(&format!("{LIB}/transports"), "libjanus_http.so"),
            ),
        ),
        ("janus.plugin.echotest.jcfg", "general: { }\n".to_owned()),
        (
            "janus.transport.http.jcfg",
            format!(
                "general: {{ json = \"compact\"; base_path = \"/janus\"; http = true; port = {}; ip = \"{host}\"; \
                 https = false }}\nadmin: {{ admin_http = false }}\n",
                signal.port()
            ),
        ),
    ];
    for (name, text) in files {
        fs::write(dir.path().join(name), text)?;
    }
    let config = dir.path().join("janus.jcfg");
    let mut process = spawn(&dir, Command::new(program).arg("-F").arg(dir.path()).arg("-C").arg(config))?;
    until(&mut process, || std::net::TcpStream::connect(signal).ok())?;
    Ok(Server { process, dir, signal, media: None, key: None, kind: Kind::Janus })
}

/// All but one library of a folder.
fn others(folder: &str, but: &str) -> String {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.into_iter().filter(|name| name.ends_with(".so") && name != but).collect::<Vec<_>>().join(",")
}

fn spawn(dir: &TempDir, command: &mut Command) -> Result<Child> {
    let log = fs::File::create(dir.path().join("log"))?;
    command.current_dir(dir.path()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("start {}", command.get_program().display()))
}

fn free(host: IpAddr) -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind(SocketAddr::new(host, 0))?.local_addr()?)
}

fn until<R>(process: &mut Child, mut condition: impl FnMut() -> Option<R>) -> Result<R> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        if let Some(result) = condition() {
            return Ok(result);
        }
        ensure!(process.try_wait()?.is_none(), "the server ended");
        if Instant::now() > deadline {
            let _ = process.kill();
            bail!("the server is not ready");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
