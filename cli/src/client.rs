//! HTTP towards processes of a network on this machine.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::Client;

/// No answer of a process on this machine takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(10);

/// A client to which `host` is at `address`: a system's resolver need not know `*.localhost`.
pub(crate) fn client(host: &str, address: SocketAddr) -> Result<Client> {
    // A second call finds the provider already there, which is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().resolve(host, address).timeout(DEADLINE).build().context("make an HTTP client")
}
