//! The node's tie to the control plane: it learns whose tokens to believe, and says how busy it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use locum_agent::{Agent, AgentConfig, AgentError, Announcement, MeshListen};
use locum_cluster::{Load, NodeList};
use locum_identity::{Jwks, Role};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::{Config, Control};
use crate::relay::links::media_nodes;
use crate::shard::{RelayEvent, Shard};
use crate::token::KeySet;

/// How often the load is looked at; heartbeats carry the last value.
const LOAD_EVERY: Duration = Duration::from_millis(500);

/// Until an event loop that did not take an order is told again.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// The key file of a node that stands alone cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not a JWK set.
    #[error("parse {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Keys of a node that stands alone: every issuer is believed.
///
/// # Errors
/// See [`KeyFileError`].
pub fn keys_from_file(path: &Path) -> Result<KeySet, KeyFileError> {
    let bytes = fs::read(path).map_err(|source| KeyFileError::Read { path: path.to_owned(), source })?;
    let jwks: Jwks = serde_json::from_slice(&bytes)
        .map_err(|source| KeyFileError::Parse { path: path.to_owned(), source })?;
    let mut keys = KeySet::default();
    for jwk in &jwks.keys {
        keys.add(None, jwk);
    }
    Ok(keys)
}

/// Joins the control plane and announces the node.
///
/// # Errors
/// See [`AgentError`].
pub async fn join(
    config: &Config,
    control: &Control,
    announcement: Announcement,
    stop: CancellationToken,
) -> Result<Agent, AgentError> {
    let agent = AgentConfig {
        zone: config.zone.clone(),
        region: config.region.clone(),
        role: Role::Media,
        control: control.address.all(),
        from: control.from.or_else(|| config.calls_from(control)),
        join_token_file: control.join_token_file.clone(),
        state_dir: config.state_dir.clone(),
        mesh: config
            .mesh_listen
            .map(|address| MeshListen { address, announce: config.mesh_announce_ips.clone() }),
    };
    Agent::start(agent, announcement, stop).await
}

/// Sends everybody away, or takes people in again, as the control plane says; also what it said before a restart.
pub async fn follow_orders(agent: Agent, shard: Shard, stop: CancellationToken) {
    let mut orders = agent.orders();
    let mut drains = false;
    loop {
        let order = *orders.borrow_and_update();
        if order.drain != drains {
            info!(generation = order.generation, drain = order.drain, "told whether to take people");
            let told = if order.drain { shard.drain().await } else { shard.take_in().await };
            // An overwhelmed loop is told again.
            if told.is_ok() {
                drains = order.drain;
            }
        }
        tokio::select! {
            changed = orders.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(TELL_AGAIN), if order.drain != drains => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Keeps the keys at what the newest node list says, until `stop`.
pub async fn follow_keys(agent: Agent, keys: watch::Sender<Arc<KeySet>>, stop: CancellationToken) {
    let mut lists = agent.list();
    loop {
        let view = Arc::clone(&lists.borrow_and_update());
        let current = keys_of(&view.list);
        keys.send_if_modified(|known| {
            let changed = **known != current;
            if changed {
                info!(version = view.list.version, keys = current.len(), "token keys changed");
                *known = Arc::new(current);
            }
            changed
        });
        tokio::select! {
            changed = lists.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Tells the relay which media nodes there are, until `stop`.
pub async fn follow_nodes(agent: Agent, shard: Shard, stop: CancellationToken) {
    let mut lists = agent.list();
    let mut told = None;
    loop {
        let nodes = media_nodes(&lists.borrow_and_update().list);
        if told.as_ref() != Some(&nodes) && shard.relay(RelayEvent::Nodes(nodes.clone())).await.is_ok() {
            told = Some(nodes);
        }
        tokio::select! {
            changed = lists.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(TELL_AGAIN), if told.is_none() => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Reports how busy the node is, until `stop`.
pub async fn report_load(agent: Agent, shard: Shard, capacity: u32, stop: CancellationToken) {
    let mut every = tokio::time::interval(LOAD_EVERY);
    loop {
        tokio::select! {
            _ = every.tick() => {
                agent.set_load(Load { sessions: shard.session_count(), capacity, ..Load::default() });
            }
            () = stop.cancelled() => return,
        }
    }
}

/// A key is believed from the edge hosts that publish it, also while one is down: what it signed before still
/// counts.
fn keys_of(list: &NodeList) -> KeySet {
    let mut keys = KeySet::default();
    for node in list.nodes.iter().filter(|node| node.role == Role::Edge) {
        for jwk in node.jwks.iter().flat_map(|jwks| &jwks.keys) {
            keys.add(Some(node.id.as_str()), jwk);
        }
    }
    keys
}
