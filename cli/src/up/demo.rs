//! Onboards the network's clinics through the API that any clinic is onboarded by.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use locum_cluster::{NodeList, NodeState};
use locum_identity::Role;
use reqwest::{Client, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::accounts::Accounts;
use super::clinics::{CANARY, Clinic, DEMO};
use super::configuration::ZONE;
use crate::client::client;
use crate::look;

/// Heartbeats, which carry the node list, come twice a second.
pub(super) const NODE_LIST_WITHIN: Duration = Duration::from_secs(10);

/// Longest wait for an edge host that can write.
const ONBOARDED_WITHIN: Duration = Duration::from_secs(30);

/// Where people go in a region.
#[derive(Serialize)]
pub(super) struct Pages {
    /// Which.
    #[serde(skip)]
    pub region: &'static str,
    /// Booking.
    pub patient: String,
    /// Staff.
    pub clinic: String,
    /// Messages that a real clinic would have sent.
    pub outbox: String,
}

/// The demo clinic at an edge host.
pub(super) struct Demo {
    region: &'static str,
    client: Client,
    api: String,
    port: u16,
}

impl Demo {
    /// Speaks to the edge host of `region` at `http`.
    pub(super) fn new(region: &'static str, http: SocketAddr) -> Result<Self> {
        let host = format!("{region}.{ZONE}");
        let api = format!("http://{host}:{}", http.port());
        Ok(Self { region, client: client(&host, http)?, api, port: http.port() })
    }

    /// Waits until the edge host knows so many media nodes and edge hosts, and answers with the version of the node
    /// list that says so: a media node that holds it, or a later one, knows every edge host's token keys.
    pub(super) async fn wait_for_nodes(&self, media: usize, edges: usize) -> Result<u64> {
        let listed = async {
            loop {
                match look::node_list(&self.client, &self.api, 0).await {
                    Some(list) if joins_are_possible(&list, media, edges) => return anyhow::Ok(list.version),
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let waited = tokio::time::timeout(NODE_LIST_WITHIN, listed).await;
        waited.with_context(|| format!("some node did not come into the node list of {}", self.region))?
    }

    /// `Some` once the clinic is there, and whether it is this one; one that is there already stays as it is.
    /// `None`: not yet, not here.
    async fn onboard(&self, clinic: &str, setup_token: &str, document: &Value) -> Result<Option<bool>> {
        let request = self
            .client
            .put(format!("{}/c/{clinic}/auth/clinic", self.api))
            .bearer_auth(setup_token)
            .json(document);
        let answer = request.send().await.context("onboard a clinic")?;
        match answer.status() {
            StatusCode::CREATED | StatusCode::OK => Ok(Some(true)),
            // By an earlier release, whose document was another, or out of a backup.
            StatusCode::CONFLICT => Ok(Some(false)),
            // The same document again has no further effect, so an unknown outcome is no harm.
            StatusCode::SERVICE_UNAVAILABLE => Ok(None),
            status => bail!("onboarding {clinic}: {status}: {}", answer.text().await?),
        }
    }

    /// Where people go.
    pub(super) fn pages(&self) -> Pages {
        let app = format!("http://app.{ZONE}:{}", self.port);
        Pages {
            region: self.region,
            patient: format!("{app}/c/{DEMO}"),
            clinic: format!("{app}/clinic/{DEMO}"),
            outbox: format!("{app}/clinic/{DEMO}/outbox"),
        }
    }
}

/// Onboards the clinic at the first edge host that takes it: those without a primary cannot write. Whether it has
/// these accounts for sure.
pub(super) async fn onboard(
    clinic: &Clinic,
    hosts: &[Demo],
    setup_token: &str,
    accounts: &Accounts,
) -> Result<bool> {
    let document = if clinic.name == CANARY { canary(accounts) } else { document(accounts) };
    let taken = async {
        loop {
            for host in hosts {
                if let Some(is_this_one) = host.onboard(&clinic.name, setup_token, &document).await? {
                    return anyhow::Ok(is_this_one);
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let waited = tokio::time::timeout(ONBOARDED_WITHIN, taken).await;
    waited.context("no edge host takes a clinic: its records have no primary")?
}

/// Media nodes are up, and edge hosts whose token keys they can know.
fn joins_are_possible(list: &NodeList, media: usize, edges: usize) -> bool {
    let up = || list.nodes.iter().filter(|node| node.state == NodeState::Up);
    up().filter(|node| node.role == Role::Media).count() >= media
        && up().filter(|node| node.jwks.is_some()).count() >= edges
}

fn document(accounts: &Accounts) -> Value {
    let services = json!([
        {"name": "Video consultation", "durationMinutes": 20, "price": {"amount": "60.00", "currency": "EUR"}},
        {"name": "First appointment", "durationMinutes": 40, "price": {"amount": "110.00", "currency": "EUR"}},
        {"name": "Prescription renewal", "durationMinutes": 10, "price": {"amount": "25.00", "currency": "EUR"}},
    ]);
    let mut clinic = open_always("Riverside Clinic", "Europe/Berlin", accounts, services);
    // As a clinic of the world has it: nobody is in a call who has not agreed to it.
    clinic["consentTexts"] = example(include_str!("../../../docs/examples/consents.json"));
    let questions = example(include_str!("../../../docs/examples/questionnaire.json"));
    clinic["questionnaires"] = json!([{"key": "intake", "questionnaire": questions}]);
    clinic
}

/// A file of this repository, which tests read.
fn example(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Its visits are long: a call of it stays open for as long as a drill may take.
fn canary(accounts: &Accounts) -> Value {
    let services =
        json!([{"name": "Watch", "durationMinutes": 480, "price": {"amount": "0.00", "currency": "EUR"}}]);
    open_always("Canary", "Etc/UTC", accounts, services)
}

/// Open at every hour, so that whoever tries the demo finds a time to book, and a drill too.
fn open_always(name: &str, zone: &str, accounts: &Accounts, services: Value) -> Value {
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
        "name": name, "timeZone": zone, "practitioners": practitioners, "staff": others, "services": services,
    })
}
