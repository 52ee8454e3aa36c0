//! Onboards the demo clinic through the API that any clinic is onboarded by.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use locum_cluster::{NodeList, NodeState};
use locum_identity::Role;
use reqwest::{Client, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::accounts::Accounts;
use super::configuration::{CLINIC, REGION, ZONE};
use crate::client::client;

/// Heartbeats, which carry the node list, come twice a second.
pub(super) const NODE_LIST_WITHIN: Duration = Duration::from_secs(10);

/// Where people go.
#[derive(Serialize)]
pub(super) struct Pages {
    /// Booking.
    pub patient: String,
    /// Staff.
    pub clinic: String,
    /// Messages that a real clinic would have sent.
    pub outbox: String,
}

/// The demo clinic at an edge host.
pub(super) struct Demo {
    client: Client,
    api: String,
    port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WellKnown {
    node_list: Option<String>,
}

impl Demo {
    /// Speaks to the edge host at `http`.
    pub(super) fn new(http: SocketAddr) -> Result<Self> {
        let host = format!("{REGION}.{ZONE}");
        let api = format!("http://{host}:{}", http.port());
        Ok(Self { client: client(&host, http)?, api, port: http.port() })
    }

    /// Waits until the edge host would send people to a media node, and answers with the version of the node list that
    /// says so: a media node that holds it, or a later one, knows the edge host's token keys.
    pub(super) async fn wait_for_media_node(&self) -> Result<u64> {
        let listed = async {
            loop {
                match self.node_list().await? {
                    Some(list) if joins_are_possible(&list) => return anyhow::Ok(list.version),
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let waited = tokio::time::timeout(NODE_LIST_WITHIN, listed).await;
        waited.context("no media node came into the node list")?
    }

    /// Onboards the clinic; one that is there already stays as it is.
    pub(super) async fn onboard(&self, setup_token: &str, accounts: &Accounts) -> Result<()> {
        let request = self
            .client
            .put(format!("{}/c/{CLINIC}/auth/clinic", self.api))
            .bearer_auth(setup_token)
            .json(&document(accounts));
        let answer = request.send().await.context("onboard the demo clinic")?;
        match answer.status() {
            // 409: onboarded by an earlier release, whose document was another.
            StatusCode::CREATED | StatusCode::OK | StatusCode::CONFLICT => Ok(()),
            status => bail!("onboarding the demo clinic: {status}: {}", answer.text().await?),
        }
    }

    /// Where people go.
    pub(super) fn pages(&self) -> Pages {
        let app = format!("http://app.{ZONE}:{}", self.port);
        Pages {
            patient: format!("{app}/c/{CLINIC}"),
            clinic: format!("{app}/clinic/{CLINIC}"),
            outbox: format!("{app}/clinic/{CLINIC}/outbox"),
        }
    }

    async fn node_list(&self) -> Result<Option<NodeList>> {
        let answer = self.client.get(format!("{}/.well-known/locum.json", self.api)).send().await;
        let known: WellKnown =
            answer.context("ask the edge host")?.json().await.context("read its answer")?;
        // Only looked at; who acts on a list verifies it.
        let payload = known.node_list.as_deref().and_then(|jws| jws.split('.').nth(1)).unwrap_or_default();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(payload).context("decode the node list")?;
        Ok(serde_json::from_slice(&bytes).ok())
    }
}

/// A media node is up, and an edge host whose token keys it can know.
fn joins_are_possible(list: &NodeList) -> bool {
    let mut up = list.nodes.iter().filter(|node| node.state == NodeState::Up);
    up.clone().any(|node| node.role == Role::Media) && up.any(|node| node.jwks.is_some())
}

/// Open at every hour, so that whoever tries the demo finds a time to book.
fn document(accounts: &Accounts) -> Value {
    let always =
        json!([{"rrule": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA,SU", "start": "00:00", "end": "24:00"}]);
    let is_doctor = |roles: &[String]| roles.iter().any(|role| role == "doctor");
    let (doctors, others): (Vec<_>, Vec<_>) = accounts.list.iter().partition(|a| is_doctor(&a.roles));
    let practitioners: Vec<Value> = doctors
        .iter()
        .map(|a| {
            json!({"name": a.name, "username": a.username, "password": a.password, "roles": a.roles,
                   "hours": always})
        })
        .collect();
    json!({
        "name": "Riverside Clinic",
        "timeZone": "Europe/Berlin",
        "practitioners": practitioners,
        "staff": others,
        "services": [
            {"name": "Video consultation", "durationMinutes": 20,
             "price": {"amount": "60.00", "currency": "EUR"}},
            {"name": "First appointment", "durationMinutes": 40,
             "price": {"amount": "110.00", "currency": "EUR"}},
            {"name": "Prescription renewal", "durationMinutes": 10,
             "price": {"amount": "25.00", "currency": "EUR"}},
        ],
    })
}
