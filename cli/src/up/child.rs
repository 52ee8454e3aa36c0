//! One process of the network: started, watched, its log kept within bounds, stopped.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail};
use locum_identity::Role;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child as Process, ChildStderr, Command};
use tokio::time::Instant;

use crate::control;

/// A log starts anew at this size; one older file is kept.
const LOG_BYTES: u64 = 8 << 20;
/// Lines shown when a process dies.
const LAST_LINES: usize = 12;

type LastLines = Arc<Mutex<VecDeque<String>>>;

/// A process that was started.
pub(super) struct Child {
    /// Such as `edge-1`.
    pub name: String,
    process: Process,
    last_lines: LastLines,
}

impl Child {
    /// Starts `binary --config config`; what it says on standard error goes to `log`.
    pub(super) fn spawn(name: &str, binary: &Path, config: &Path, log: PathBuf) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg("--config").arg(config);
        Self::start(name, command, log).with_context(|| format!("start {}", binary.display()))
    }

    /// Starts what is no node of the network but belongs to it.
    pub(super) fn start(name: &str, mut command: Command, log: PathBuf) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.kill_on_drop(true).process_group(0);
        die_with_parent(&mut command);
        let mut process = command.spawn()?;
        let last_lines = LastLines::default();
        let errors = process.stderr.take().context("standard error is piped")?;
        tokio::spawn(keep_log(errors, log, Arc::clone(&last_lines)));
        Ok(Self { name: name.to_owned(), process, last_lines })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<anyhow::Error> {
        let status = match self.process.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        let said = lines.iter().map(|line| format!("\n  {line}")).collect::<String>();
        Some(anyhow!("{} ended by itself ({status}); the last it said:{said}", self.name))
    }

    /// Sends SIGTERM: the process drains and ends.
    #[allow(unsafe_code)]
    pub(super) fn ask_to_stop(&self) {
        if let Some(id) = self.process.id() {
            // SAFETY: kill(2) takes two integers. The process is not reaped yet (`id` is Some), so the id is its own.
            unsafe { libc::kill(id.cast_signed(), libc::SIGTERM) };
        }
    }

    /// Waits for the end, and makes it at `deadline`.
    pub(super) async fn wait_or_kill(&mut self, deadline: Instant) {
        if tokio::time::timeout_at(deadline, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
        }
    }
}

/// Has the control-plane member mint a one-time join token for a node.
pub(super) async fn join_token(
    binaries: &Path,
    config: &Path,
    role: Role,
    node: &str,
    region: &str,
) -> Result<String> {
    let output = Command::new(binaries.join("locum-control"))
        .arg("join-token")
        .arg("--config")
        .arg(config)
        .args(["--role", role.as_str(), "--node", node, "--region", region])
        .output()
        .await
        .context("run locum-control join-token")?;
    if !output.status.success() {
        bail!("locum-control join-token: {}", control::problem(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout).context("read a join token")?.trim().to_owned())
}

/// However `locum` ends, no process of the network outlives it.
#[allow(unsafe_code)]
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: the closure runs between fork and exec and calls only prctl(2), which is async-signal-safe.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

async fn keep_log(errors: ChildStderr, path: PathBuf, last_lines: LastLines) {
    let mut lines = BufReader::new(errors).lines();
    let mut log = Log::open(path);
    while let Ok(Some(line)) = lines.next_line().await {
        log.append(&line);
        let mut last = last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
}

/// A log file within bounds. A full disk costs log lines, never the network.
struct Log {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl Log {
    fn open(path: PathBuf) -> Self {
        let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let file = File::options().create(true).append(true).open(&path).ok();
        Self { path, file, bytes }
    }

    fn append(&mut self, line: &str) {
        if self.bytes > LOG_BYTES && fs::rename(&self.path, self.path.with_extension("log.1")).is_ok() {
            *self = Self::open(std::mem::take(&mut self.path));
        }
        if let Some(file) = &mut self.file
            && writeln!(file, "{line}").is_ok()
        {
            self.bytes += line.len() as u64 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Written by a process of its own: a file that this one has open for writing can't be executed as long as
    /// a child that another test forked at that moment still holds it ("text file busy").
    fn script(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("daemon");
        let text = format!("#!/bin/sh\n{text}\n");
        let write = "printf %s \"$1\" >\"$0\" && chmod 755 \"$0\"";
        let written = std::process::Command::new("sh").args(["-c", write]).arg(&path).arg(text).status();
        assert!(written.unwrap().success());
        path
    }

    #[tokio::test]
    async fn a_process_that_dies_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let binary = script(folder.path(), "echo no such key >&2; exit 64");
        let log = folder.path().join("x.log");
        let mut child = Child::spawn("x-1", &binary, Path::new("x.toml"), log.clone()).unwrap();
        child.process.wait().await.unwrap();
        let told = tokio::time::timeout(Duration::from_secs(5), async {
            loop {
                let text = child.ended().unwrap().to_string();
                if text.contains("no such key") {
                    break text;
                }
                tokio::task::yield_now().await;
            }
        });
        let told = told.await.unwrap();
        assert!(told.contains("x-1 ended by itself") && told.contains("64"), "{told}");
        assert_eq!(fs::read_to_string(log).unwrap(), "no such key\n");
    }

    #[tokio::test]
    async fn one_that_ignores_sigterm_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        let text = format!("trap '' TERM; touch {}; while :; do sleep 1; done", ready.display());
        let binary = script(folder.path(), &text);
        let mut child =
            Child::spawn("x-1", &binary, Path::new("x.toml"), folder.path().join("x.log")).unwrap();
        while !ready.exists() {
            tokio::task::yield_now().await;
        }
        child.ask_to_stop();
        child.wait_or_kill(Instant::now() + Duration::from_millis(100)).await;
        assert!(child.ended().unwrap().to_string().contains("signal: 9"));
    }

    #[test]
    fn a_log_starts_anew_when_it_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.log");
        let mut log = Log::open(path.clone());
        log.bytes = LOG_BYTES + 1;
        log.append("new");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert!(path.with_extension("log.1").is_file());
    }
}
