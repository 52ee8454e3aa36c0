//! A mail server (`aiosmtpd`, which `setup/aiosmtpd` installs), and what it was sent.

use std::io::{BufRead as _, BufReader, Write as _};
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
    /// Of the key that signs.
    algorithm: &'static str,
    /// What stands of it in the DNS.
    record: String,
}

const DKIMPY: &str = "`setup/dkimpy` installs dkimpy, LOCUM_DKIMPY names its python";

fn dkimpy() -> Command {
    let program = std::env::var("LOCUM_DKIMPY").unwrap_or_else(|_| "python3".to_owned());
    let mut command = Command::new(program);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/mail/signatures.py"));
    command
}

/// A message that the server has taken.
#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    /// Its receiver.
    pub to: String,
    /// What it comes back to.
    pub from: String,
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
        let key = folder.path().join("dkim");
        let (algorithm, record) = match mode {
            // What every receiver checks.
            "implicit" => {
                let made = dkimpy().arg("key").arg(&key).output().context(DKIMPY)?;
                anyhow::ensure!(made.status.success(), "{DKIMPY}: {}", String::from_utf8_lossy(&made.stderr));
                ("rsa", String::from_utf8(made.stdout)?.trim().to_owned())
            }
            // The keys of RFC 8032 §7.1, and RFC 8463 §A.2: they sign nothing that anybody gets.
            _ => {
                std::fs::write(&key, "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n")?;
                let public = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
                ("ed25519", format!("v=DKIM1; k=ed25519; p={public}"))
            }
        };
        std::fs::write(folder.path().join("bounces"), "token of the mail server\n")?;
        let mut server = Self { folder, process: None, port: 0, algorithm, record };
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
        let file = |name: &str| self.folder.path().join(name);
        let (ca, key, token) = (file("cert.pem"), file("dkim"), file("bounces"));
        let text = format!(
            "claim_s = 12\n[smtp]\nhost = \"localhost\"\nport = {}\ntls = \"{tls}\"\nca_file = {ca:?}\n\
             from = \"no-reply@clinics.example\"\n[smtp.dkim]\ndomain = \"clinics.example\"\n\
             selector = \"test\"\nalgorithm = \"{}\"\nkey_file = {key:?}\n[smtp.bounces]\n\
             return_path = \"bounces@clinics.example\"\ntoken_file = {token:?}\n",
            self.port, self.algorithm
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Has another program verify the signature of a mail, and find that of a changed one wrong.
    pub fn verify(&self, mail: &Mail) -> Result<()> {
        // Written down byte by byte.
        let bytes: Vec<u8> =
            mail.raw.chars().map(|c| u8::try_from(u32::from(c))).collect::<Result<_, _>>()?;
        let mut command = dkimpy();
        command.args(["verify", "test._domainkey.clinics.example", &self.record]);
        let mut process = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context(DKIMPY)?;
        process.stdin.take().context("no input")?.write_all(&bytes)?;
        let done = process.wait_with_output()?;
        anyhow::ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(())
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
