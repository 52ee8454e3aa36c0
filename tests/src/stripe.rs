//! A service that speaks Stripe's API: `localstripe`, with what it lacks in front of it (`tests/stripe/service.py`).

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use reqwest::Client;
use serde_json::{Value, json};

use crate::network::Network;

const PUBLISHABLE_KEY: &str = "pk_test_of_the_network";
const SECRET_KEY: &str = "sk_test_of_the_network";
const WEBHOOK_SECRET: &str = "whsec_of_the_network";

/// The service, for as long as this lives.
pub struct Stripe {
    process: Child,
    base: String,
    client: Client,
    keys: tempfile::TempDir,
}

impl Stripe {
    /// Starts it, and waits until it answers.
    pub fn start() -> Result<Self> {
        let python = std::env::var("LOCUM_LOCALSTRIPE").unwrap_or_else(|_| "python3".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("stripe/service.py");
        let mut process = Command::new(&python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| {
                format!("{python}; `setup/localstripe` installs it, LOCUM_LOCALSTRIPE names it")
            })?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).context("localstripe does not answer")?;
        let base = format!("http://127.0.0.1:{}", said["port"]);
        let keys = tempfile::tempdir()?;
        std::fs::write(keys.path().join("secret"), format!("{SECRET_KEY}\n"))?;
        std::fs::write(keys.path().join("webhook"), WEBHOOK_SECRET)?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self { process, base, client: Client::new(), keys })
    }

    /// What `locum up` is told of it.
    pub fn options(&self) -> Vec<String> {
        let file = |name: &str| -> PathBuf { self.keys.path().join(name) };
        [
            ("--variable-file", format!("stripe_secret_key={}", file("secret").display())),
            ("--variable-file", format!("stripe_webhook_secret={}", file("webhook").display())),
            ("--variable", format!("stripe_publishable_key={PUBLISHABLE_KEY}")),
            ("--variable", format!("stripe_api={}", self.base)),
            ("--variable", format!("stripe_script={}/v3/", self.base)),
            ("--variable", format!("stripe_page_hosts={}", self.base)),
        ]
        .into_iter()
        .flat_map(|(option, value)| [option.to_owned(), value])
        .collect()
    }

    /// A card is given to it, as its fields in a page do. What it says of the payment then.
    pub async fn pay(&self, client_secret: &str, card: &str) -> Result<Value> {
        let (id, _) = client_secret.split_once("_secret_").context("no client secret")?;
        let kind = if id.starts_with("seti_") { "setup_intents" } else { "payment_intents" };
        let card = json!({"number": card, "exp_month": 12, "exp_year": 2044, "cvc": "123"});
        let body = json!({"key": PUBLISHABLE_KEY, "client_secret": client_secret,
            "payment_method_data": {"type": "card", "card": card}});
        self.post(&format!("/v1/{kind}/{id}/confirm"), &body).await
    }

    /// The patient tells their bank yes, or no.
    pub async fn authenticate(&self, client_secret: &str, yes: bool) -> Result<Value> {
        let (id, _) = client_secret.split_once("_secret_").context("no client secret")?;
        let body = json!({"key": PUBLISHABLE_KEY, "client_secret": client_secret});
        self.post(&format!("/v1/payment_intents/{id}/_authenticate?success={yes}"), &body).await
    }

    /// Its books, how often it was asked for what, its payments, and what it told.
    pub async fn books(&self) -> Result<Value> {
        Ok(self.client.get(format!("{}/_test/books", self.base)).send().await?.json().await?)
    }

    /// Its names of what it told so far of a kind.
    pub async fn events(&self, kind: &str) -> Result<Vec<String>> {
        let books = self.books().await?;
        let events = books["events"].as_array().context("no events")?.iter();
        let of_kind = events.filter(|event| event["type"] == kind);
        Ok(of_kind.filter_map(|event| event["id"].as_str().map(str::to_owned)).collect())
    }

    /// It tells the network of an event, signed so many seconds ago, with the right secret or another. The status.
    pub async fn tell(&self, network: &Network, event: &str, age_s: i64, genuine: bool) -> Result<u64> {
        let region = network.regions().into_iter().next().context("no region")?;
        let address = network.address(&network.edge(&region), "http")?;
        let port = address.rsplit(':').next().context("no port")?;
        let secret = if genuine { WEBHOOK_SECRET } else { "whsec_of_somebody_else" };
        let wish = json!({"event": event, "secret": secret, "age": age_s,
            "url": format!("http://{address}/c/demo/payments/hooks/stripe"),
            "host": format!("{region}.locum.localhost:{port}")});
        let said = self.post("/_test/deliver", &wish).await?;
        said["status"].as_u64().context("no status")
    }

    /// The next answer to a request for `path` (`refunds`) gets lost after it was done.
    pub async fn lose_answer(&self, path: &str) -> Result<()> {
        self.post("/_test/lose", &json!({"path": path})).await?;
        Ok(())
    }

    /// How often it was asked for `path`; what was asked again with its key does not count.
    pub async fn asked(&self, path: &str) -> Result<u64> {
        Ok(self.books().await?["asked"][path].as_u64().unwrap_or(0))
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.client.post(format!("{}{path}", self.base)).json(body).send().await?;
        ensure!(!answer.status().is_server_error(), "{path}: {answer:?}");
        Ok(answer.json().await?)
    }
}

impl Drop for Stripe {
    fn drop(&mut self) {
        // Its input ends: it ends localstripe, then itself.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
