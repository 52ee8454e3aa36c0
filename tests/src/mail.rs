//! A mail server (`aiosmtpd`, which `setup/aiosmtpd` installs), and what it was sent.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::network::root;

/// A server with a certificate of its own.
pub struct MailServer {
    folder: tempfile::TempDir,
    process: Option<Child>,
    /// Where it listens; the same after it was started again.
    pub port: u16,
}

/// A message that the server has taken.
#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    /// Its receiver.
    pub to: String,
    /// Whether it came over TLS.
    pub tls: bool,
    /// By their names in lower case.
    pub headers: std::collections::BTreeMap<String, String>,
    /// Its text, decoded.
    pub text: String,
    /// Every byte of it.
    pub raw: String,
}

impl MailServer {
    /// A server in that mode: `plain`, `starttls` or `implicit`.
    pub fn start(mode: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem())?;
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem())?;
        // The seed of RFC 8032 §7.1: it signs nothing that anybody gets.
        std::fs::write(folder.path().join("dkim"), "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n")?;
        let mut server = Self { folder, process: None, port: 0 };
        server.start_again(mode)?;
        Ok(server)
    }

    /// The same server in another mode.
    pub fn start_again(&mut self, mode: &str) -> Result<()> {
        self.stop();
        let program = std::env::var("LOCUM_AIOSMTPD").unwrap_or_else(|_| "python3".to_owned());
        let mut process = Command::new(&program)
            .arg(root()?.join("tests/mail/server.py"))
            .arg(self.folder.path())
            .args([mode, &self.port.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("{program}; `setup/aiosmtpd` installs it, LOCUM_AIOSMTPD names it"))?;
        let output = process.stdout.take().context("no output")?;
        self.process = Some(process);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        self.port = line.trim().parse().context("the mail server does not start")?;
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// What stands under `[messages]` of a host that sends to it.
    pub fn configuration(&self, tls: &str) -> Result<PathBuf> {
        let path = self.folder.path().join("messages.toml");
        let (ca, key) = (self.folder.path().join("cert.pem"), self.folder.path().join("dkim"));
        let text = format!(
            "claim_s = 12\n[smtp]\nhost = \"localhost\"\nport = {}\ntls = \"{tls}\"\nca_file = {ca:?}\n\
             from = \"no-reply@clinics.example\"\n[smtp.dkim]\ndomain = \"clinics.example\"\n\
             selector = \"test\"\nalgorithm = \"ed25519\"\nkey_file = {key:?}\n",
            self.port
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// So many messages are acknowledged; further ones wait.
    pub fn allow(&self, count: u32) -> Result<()> {
        let (new, path) = (self.folder.path().join("allow.new"), self.folder.path().join("allow"));
        std::fs::write(&new, count.to_string())?;
        Ok(std::fs::rename(new, path)?)
    }

    /// What it has taken.
    pub fn taken(&self) -> Result<Vec<Mail>> {
        let text = match std::fs::read_to_string(self.folder.path().join("taken")) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        // The last line may be on its way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.stop();
    }
}
