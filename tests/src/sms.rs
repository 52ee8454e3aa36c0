//! A provider of short messages (`tests/sms/server.py`), which knows Twilio's interface from its published description and
//! signs with Twilio's library, which `setup/twilio` installs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::network::{Network, root};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Where the network says that it can be told things.
const ORIGIN: &str = "https://us-west.clinics.example";

/// The provider, for as long as this lives.
pub struct SmsProvider {
    folder: tempfile::TempDir,
    process: Child,
    output: Mutex<BufReader<ChildStdout>>,
    port: u16,
}

/// A message that it has taken.
#[derive(Clone, Debug, Deserialize)]
pub struct ShortMessage {
    /// The form: `To`, `Body` and so on.
    pub fields: std::collections::BTreeMap<String, String>,
    /// All of the request but who signs in.
    pub raw: String,
}

impl SmsProvider {
    /// Starts it, with a certificate of its own.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem())?;
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem())?;
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n"))?;
        let program = std::env::var("LOCUM_TWILIO").unwrap_or_else(|_| "python3".to_owned());
        let mut process = Command::new(&program)
            .arg(root()?.join("tests/sms/server.py"))
            .arg(folder.path())
            .args([ACCOUNT, TOKEN])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{program}; `setup/twilio` installs it, LOCUM_TWILIO names it"))?;
        let mut output = BufReader::new(process.stdout.take().context("no output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let port = line.trim().parse().context("the provider does not start")?;
        Ok(Self { folder, process, output: Mutex::new(output), port })
    }

    /// What stands under `[messages]` of a host that sends by it.
    pub fn configuration(&self) -> Result<PathBuf> {
        let path = self.folder.path().join("messages.toml");
        let (ca, token) = (self.folder.path().join("cert.pem"), self.folder.path().join("token"));
        let text = format!(
            "claim_s = 12\n[sms]\napi = \"https://localhost:{}\"\naccount = \"{ACCOUNT}\"\ntoken_file = {token:?}\n\
             from = \"+15005550006\"\ntold_at = \"{ORIGIN}\"\nca_file = {ca:?}\n",
            self.port
        );
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// What it has taken.
    pub fn taken(&self) -> Result<Vec<ShortMessage>> {
        self.lines("taken")
    }

    /// Requests that were not as the description has them.
    pub fn refused(&self) -> Result<Vec<Value>> {
        self.lines("refused")
    }

    fn lines<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>> {
        let text = match std::fs::read_to_string(self.folder.path().join(name)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// It tells the network something, signed as it should be or by somebody else. The status.
    pub fn tell(&mut self, network: &Network, path: &str, fields: &Value, genuine: bool) -> Result<u16> {
        let region = network.regions().into_iter().next().context("no region")?;
        let address = network.address(&network.edge(&region), "http")?;
        let port = address.rsplit(':').next().context("no port")?;
        let path = path.strip_prefix(ORIGIN).unwrap_or(path);
        let wish = json!({"url": format!("{ORIGIN}{path}"), "connect": address, "fields": fields,
            "genuine": genuine, "host": format!("{region}.locum.localhost:{port}")});
        let input = self.process.stdin.as_mut().context("no input")?;
        writeln!(input, "{wish}")?;
        let mut line = String::new();
        let mut output = self.output.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
        output.read_line(&mut line)?;
        line.trim().parse().context("no status")
    }
}

impl Drop for SmsProvider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
