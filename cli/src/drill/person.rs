//! People of the canary clinic, as their browsers speak to edge hosts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use reqwest::{Client, Method, Response};
use serde_json::Value;

use crate::look;
use crate::site::{Node, Site};
use crate::up::clinics::CANARY;

/// An edge host as the public reaches it.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// Name of the host.
    pub host: String,
    /// Base of its API.
    pub api: String,
    /// Origin of the pages.
    pub origin: String,
}

/// Somebody with a browser, and the cookies in it.
#[derive(Clone)]
pub(super) struct Person {
    client: Client,
    /// Kept here because browsers send `Secure` cookies to `http://*.localhost` and HTTP libraries do not.
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
}

/// A status with what came with it.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Version of what is in the body.
    pub etag: Option<String>,
    /// `Null` when there was no JSON body.
    pub body: Value,
}

impl Door {
    /// The public side of an edge host.
    pub(super) fn of(site: &Site, edge: &Node) -> Result<Self> {
        let url = |label: &str| look::url(site, edge, label);
        Ok(Self { host: edge.name.clone(), api: url(&edge.region)?, origin: url("app")? })
    }
}

impl Person {
    /// With an empty browser.
    pub(super) fn new(client: &Client) -> Self {
        Self { client: client.clone(), cookies: Arc::default() }
    }

    /// The same person at another browser, signed in there too. What one has seen says nothing of the other.
    pub(super) fn another(&self) -> Self {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let session = cookies.into_iter().filter(|(name, _)| !name.starts_with("locum_seen_"));
        Self { client: self.client.clone(), cookies: Arc::new(Mutex::new(session.collect())) }
    }

    /// One request below the canary's path.
    pub(super) async fn send(
        &self,
        door: &Door,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer> {
        let url = format!("{}/c/{CANARY}{path}", door.api);
        let mut request = self.client.request(method, url).header("cookie", self.cookies());
        request = request.header("origin", &door.origin);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("ask {}", door.host))?;
        let status = response.status().as_u16();
        let etag = response.headers().get("etag").and_then(|tag| Some(tag.to_str().ok()?.to_owned()));
        self.keep_cookies(&response);
        let text = response.text().await.with_context(|| format!("read an answer of {}", door.host))?;
        Ok(Answer { status, etag, body: serde_json::from_str(&text).unwrap_or(Value::Null) })
    }

    /// A `GET`.
    pub(super) async fn get(&self, door: &Door, path: &str) -> Result<Answer> {
        self.send(door, Method::GET, path, None, &[]).await
    }

    fn cookies(&self) -> String {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep_cookies(&self, response: &Response) {
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        for header in response.headers().get_all("set-cookie") {
            let text = String::from_utf8_lossy(header.as_bytes());
            let Some((name, value)) = text.split(';').next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            if text.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Answer {
    /// The slug of a problem document.
    pub(super) fn problem(&self) -> &str {
        self.body["type"].as_str().and_then(|t| t.strip_prefix("urn:locum:problem:")).unwrap_or("")
    }
}
