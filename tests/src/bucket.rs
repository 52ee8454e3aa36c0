//! A service that speaks S3 (`moto_server`, which `setup/moto` installs), and what stands between it and the network.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::line::Line;
use crate::network::PATIENCE;

/// A service with one bucket, `backups`, reached over a line that can be cut.
pub struct Bucket {
    process: Child,
    service: SocketAddr,
    /// Between the network and the service.
    pub line: Line,
}

impl Bucket {
    /// Starts it, and waits until the bucket is there.
    pub async fn start() -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let service = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let program = std::env::var("LOCUM_MOTO").unwrap_or_else(|_| "moto_server".to_owned());
        let process = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{program}; `setup/moto` installs it, LOCUM_MOTO names it"))?;
        let bucket = Self { process, service, line: Line::open(service).await? };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (client, begun) = (reqwest::Client::new(), Instant::now());
        let make = || client.put(format!("http://{service}/backups")).send();
        while !make().await.is_ok_and(|answer| answer.status().is_success()) {
            ensure!(begun.elapsed() < PATIENCE, "{program} does not answer");
            tokio::task::yield_now().await;
        }
        Ok(bucket)
    }

    /// Where backups go, by its name.
    pub fn place(&self) -> &'static str {
        "s3://backups/locum"
    }

    /// The usual variables, for whoever reaches it over the line.
    pub fn over_the_line(&self) -> Vec<(String, String)> {
        variables(self.line.address())
    }

    /// The same, for whoever reaches it whatever the line does.
    pub fn directly(&self) -> Vec<(String, String)> {
        variables(self.service)
    }

    /// Names of the objects there are.
    pub async fn objects(&self) -> Result<Vec<String>> {
        let list = format!("http://{}/backups?list-type=2&max-keys=1000", self.service);
        let text = reqwest::get(list).await?.text().await?;
        ensure!(text.contains("<IsTruncated>false"), "more objects than a test makes: {text}");
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        Ok(keys.map(|(key, _)| key.to_owned()).collect())
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn variables(address: SocketAddr) -> Vec<(String, String)> {
    let variables = [
        ("AWS_ENDPOINT", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
}
