//! What a network on this machine says of itself: readiness and figures of its processes, node lists of its edge
//! hosts, and what members of the control plane say of record groups.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use locum_cluster::NodeList;
use locum_identity::Role;
use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::Deserialize;

use crate::metrics::Metrics;
use crate::site::{Node, Site};

/// What a page waits for an answer at most.
const PATIENCE: Duration = Duration::from_secs(12);
/// Whoever says nothing for so long is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// `/.well-known/locum.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovery {
    node_list: Option<String>,
    node_list_version: u64,
}

/// What a member says of a record group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct GroupSeen {
    /// Which member.
    pub member: String,
    /// Which group.
    pub group: String,
    /// Its epoch.
    pub epoch: u64,
    /// Whether it has a primary with a lease.
    pub served: bool,
    /// Complete copies.
    pub complete: u64,
    /// Regions that may hold it.
    pub voters: u64,
    /// Promises that are missing.
    pub missing: u64,
}

/// Names of a zone on this machine are this machine: a system's resolver need not know `*.localhost`.
struct Here;

impl Resolve for Here {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            let found: Vec<SocketAddr> = if name.ends_with(".localhost") {
                vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)]
            } else {
                tokio::net::lookup_host((name, 0)).await?.collect()
            };
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// A client to which every name of the zone is this machine.
pub(crate) fn client() -> Result<Client> {
    // A second call finds the provider already there, which is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().dns_resolver(Arc::new(Here)).timeout(PATIENCE).build().context("make an HTTP client")
}

/// The base of a URL of an edge host, under a name of the zone.
pub(crate) fn url(site: &Site, edge: &Node, label: &str) -> Result<String> {
    Ok(format!("http://{label}.{}:{}", site.zone, edge.address("http")?.port()))
}

/// The node list that the edge host with this API shows, if it is another than the one `known`.
pub(crate) async fn node_list(client: &Client, api: &str, known: u64) -> Option<NodeList> {
    let asked = client.get(format!("{api}/.well-known/locum.json")).timeout(ANSWER_WITHIN);
    let said: Discovery = asked.send().await.ok()?.json().await.ok()?;
    if said.node_list_version == known {
        return None;
    }
    // Only looked at; who acts on a list verifies it.
    let payload = said.node_list?.split('.').nth(1).map(str::to_owned)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// Whether a process says that it is ready.
pub(crate) async fn is_ready(client: &Client, node: &Node) -> bool {
    let Ok(telemetry) = node.address("telemetry") else { return false };
    let asked = client.get(format!("http://{telemetry}/readyz")).timeout(ANSWER_WITHIN);
    asked.send().await.is_ok_and(|answer| answer.status().is_success())
}

/// The figures of a process.
pub(crate) async fn metrics(client: &Client, node: &Node) -> Option<Metrics> {
    let telemetry = node.address("telemetry").ok()?;
    let asked = client.get(format!("http://{telemetry}/metrics")).timeout(ANSWER_WITHIN);
    Some(Metrics::parse(&asked.send().await.ok()?.text().await.ok()?))
}

/// What a member says of every record group.
pub(crate) fn groups(member: &str, metrics: &Metrics) -> Vec<GroupSeen> {
    let figure = |name: &str, group: &str| metrics.of(name, &[("group", group)]).unwrap_or_default();
    let whole = |name: &str, group: &str| figure(name, group) as u64;
    let seen = |group: &str| GroupSeen {
        member: member.to_owned(),
        group: group.to_owned(),
        epoch: whole("locum_group_epoch", group),
        served: figure("locum_group_has_primary", group) > 0.0,
        complete: whole("locum_group_complete_copies", group),
        voters: whole("locum_group_voters", group),
        missing: whole("locum_group_promises_missing", group),
    };
    metrics.labels("locum_group_epoch", "group").into_iter().map(seen).collect()
}

/// Whether a member leads the control plane: that one alone knows how record groups are.
pub(crate) fn leads(metrics: &Metrics) -> bool {
    metrics.of("locum_quorum_leads", &[]) == Some(1.0)
}

/// How much of the members' log is agreed, as one of them knows it.
pub(crate) fn agreed(metrics: &Metrics) -> u64 {
    metrics.of("locum_quorum_commit_index", &[]).unwrap_or_default() as u64
}

/// The member that leads the control plane, if one does.
pub(crate) async fn leader(client: &Client, site: &Site) -> Option<String> {
    for member in site.with_role(Role::Control) {
        if metrics(client, member).await.is_some_and(|metrics| leads(&metrics)) {
            return Some(member.name.clone());
        }
    }
    None
}
