//! A real member as a process, and agents that talk to it.

#![allow(clippy::unwrap_used, dead_code, missing_docs, unreachable_pub, reason = "support of tests")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use locum_agent::{Agent, AgentConfig, AgentError, Announcement, NodeListView};
use locum_cluster::{NodeRecord, NodeState};
use locum_identity::{Role, private_file};
use locum_mesh::{Caller, Handler, Refusal};
use locum_telemetry::ReadyFile;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub const LONG: Duration = Duration::from_secs(20);
pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// A member that is killed at the end of the test. Its log goes to the test's output when it does not start.
pub struct Control {
    pub dir: TempDir,
    process: Option<Child>,
    zone: &'static str,
    /// The rest of its configuration.
    rest: String,
    name: String,
    pub addresses: BTreeMap<String, SocketAddr>,
}

impl Control {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// With tables of record groups.
    pub async fn start_with(groups: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), "locum.localhost", groups).await
    }

    /// In a folder that may hold files already.
    pub async fn start_in(dir: TempDir, zone: &'static str, rest: &str) -> Self {
        Self::begin(dir, zone, "control-1", rest.to_owned()).await
    }

    /// A new member that joins `first` with `token`.
    pub async fn join(first: &Self, name: &str, token: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        private_file::write(&dir.path().join("token"), token.as_bytes()).unwrap();
        let join = format!("[join]\naddresses = [\"{}\"]\njoin_token_file = \"token\"\n", first.mesh());
        Self::begin(dir, first.zone, name, format!("{}{join}", first.rest)).await
    }

    async fn begin(dir: TempDir, zone: &'static str, name: &str, rest: String) -> Self {
        let (name, addresses) = (name.to_owned(), BTreeMap::new());
        let mut control = Self { dir, process: None, zone, rest, name, addresses };
        control.write_config("127.0.0.1:0".parse().unwrap());
        control.run().await;
        // From now on it comes back where it was.
        control.write_config(control.mesh());
        control
    }

    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// Such as `-STOP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub fn mesh(&self) -> SocketAddr {
        self.addresses["mesh"]
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub async fn run(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let process = command(&self.path("control.toml")).stderr(log).spawn().unwrap();
        let pid = process.id();
        self.process = Some(process);
        let begun = Instant::now();
        loop {
            // A killed member leaves its file: only this process's own counts.
            let ready = ReadyFile::read(&self.path("ready.json")).ok().filter(|ready| ready.pid == pid);
            if let Some(ready) = ready {
                self.addresses = ready.addresses;
                return;
            }
            let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(begun.elapsed() < LONG, "not ready: {}", log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Adds record groups to its configuration.
    pub fn declare(&mut self, groups: &str) {
        self.rest += groups;
        self.write_config(self.mesh());
    }

    /// Asks it to stop and returns its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM");
        self.ended().await
    }

    /// Waits until it ends by itself and returns its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = process.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < LONG, "did not stop");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Has it do something beside the running member; what it printed.
    pub fn run_command(&self, arguments: &[&str]) -> String {
        let done = command(&self.path("control.toml")).args(arguments).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    pub fn token(&self, role: Role, node: &str) -> String {
        self.token_in("eu-central", role, node)
    }

    pub fn token_in(&self, region: &str, role: Role, node: &str) -> String {
        let made = Command::new(env!("CARGO_BIN_EXE_locum-control"))
            .args(["join-token", "--role", role.as_str(), "--node", node, "--region", region, "--config"])
            .arg(self.path("control.toml"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap()
    }

    /// The configuration of a node whose token, if any, is in place.
    pub fn node(&self, role: Role, node: &str, token: Option<&str>) -> AgentConfig {
        let file = self.path(&format!("{node}.join"));
        if let Some(token) = token {
            private_file::write(&file, token.as_bytes()).unwrap();
        }
        AgentConfig {
            zone: self.zone.parse().unwrap(),
            region: "eu-central".parse().unwrap(),
            role,
            control: vec![self.mesh()],
            from: None,
            join_token_file: Some(file),
            state_dir: self.path(node),
            mesh: None,
        }
    }

    /// The body of a telemetry endpoint, and its status line.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.addresses["telemetry"]).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    fn write_config(&self, mesh: SocketAddr) {
        let text = format!(
            "zone = \"{}\"\nregion = \"{}\"\nnode = \"{}\"\nstate_dir = \"{}\"\n\
             ready_file = \"ready.json\"\ntelemetry_listen = \"127.0.0.1:0\"\nmesh_listen = \"{mesh}\"\n\
             {}",
            self.zone,
            if self.name == "control-1" { "eu-central" } else { "us-west" },
            self.name,
            self.name,
            self.rest
        );
        std::fs::write(self.path("control.toml"), text).unwrap();
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn command(config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_locum-control"));
    command.arg("--config").arg(config).stdin(Stdio::null());
    command
}

/// A node that runs until it is dropped.
pub struct Node {
    pub agent: Agent,
    stop: CancellationToken,
}

impl Node {
    pub async fn start(config: AgentConfig) -> Result<Self, AgentError> {
        let addresses = vec!["ws://media.example:7880".to_owned()];
        Self::start_as(config, Announcement { addresses, ..Announcement::default() }).await
    }

    /// With these addresses.
    pub async fn start_as(config: AgentConfig, announcement: Announcement) -> Result<Self, AgentError> {
        let stop = CancellationToken::new();
        let agent = timeout(LONG, Agent::start(config, announcement, stop.clone())).await.unwrap()?;
        Ok(Self { agent, stop })
    }

    /// Answers what other nodes ask with their own words.
    pub fn run_mesh(&self) {
        struct Echo;
        impl Handler for Echo {
            async fn answer(&self, _: Caller, question: Bytes) -> Result<Vec<u8>, Refusal> {
                Ok(question.to_vec())
            }
        }
        let (mesh, stop) = (self.agent.mesh().clone(), self.stop.clone());
        tokio::spawn(async move { mesh.server().unwrap().run(Echo, stop).await });
    }

    pub fn list(&self) -> Arc<NodeListView> {
        self.agent.list().borrow().clone()
    }

    /// Waits until its list says `state` of `node`.
    pub async fn sees(&self, node: &str, state: NodeState) -> NodeRecord {
        let find = |view: &NodeListView| {
            view.list.nodes.iter().find(|record| record.id.as_str() == node && record.state == state).cloned()
        };
        let mut list = self.agent.list();
        let seen = timeout(LONG, list.wait_for(|view| find(view).is_some())).await;
        match seen {
            Ok(view) => find(&view.unwrap()).unwrap(),
            Err(_) => panic!("{node} did not become {state}: {:?}", self.list().list),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
