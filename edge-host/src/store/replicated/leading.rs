//! Beginning an epoch on this host: its engine, and this host's own copy of it.

use std::path::Path;
use std::sync::Arc;

use locum_replication::Epoch;

use super::copies::{Copies, CopyError};
use super::engine::{Engine, EngineError, EngineSettings, Scope};
use super::log::LocalLog;
use super::replica::{Following, Origin, Replica, ReplicaError};
use super::room;
use crate::store::migrations::Schema;

/// An engine that serves, and the copy that follows it.
pub(super) struct Started {
    pub(super) epoch: Epoch,
    pub(super) engine: Engine,
    pub(super) replica: Replica,
}

/// The epoch does not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum LeadError {
    #[error("prepare the database")]
    Copy(#[source] CopyError),
    #[error("run the engine")]
    Engine(#[source] EngineError),
    #[error("follow the engine")]
    Replica(#[source] ReplicaError),
    #[error("too little room on the disk")]
    NoRoom,
    #[error("a task was given up")]
    Ended,
}

/// Starts `epoch` on the newest complete copy, or on an empty database.
pub(super) async fn start(
    copies: Copies,
    epoch: Epoch,
    from: Option<Epoch>,
    schema: Arc<Schema>,
    binary: &Path,
) -> Result<Started, LeadError> {
    if room::is_short(copies.folder()) {
        return Err(LeadError::NoRoom);
    }
    let prepared = {
        let copies = copies.clone();
        tokio::task::spawn_blocking(move || copies.make_engine_folder(epoch, from, &schema))
    };
    let folder = prepared.await.map_err(|_| LeadError::Ended)?.map_err(LeadError::Copy)?;
    let key = copies.key().map_err(LeadError::Copy)?;
    let settings = EngineSettings { binary, folder: &folder, key: &key };
    // The engine reads its file while this host's own copy goes to disk.
    let own = copies.clone();
    let synced = tokio::task::spawn_blocking(move || own.sync(epoch));
    let engine = Engine::start(&settings).await.map_err(LeadError::Engine)?;
    synced.await.map_err(|_| LeadError::Ended)?.map_err(LeadError::Copy)?;
    let token = engine.token(Scope::Read).map_err(LeadError::Engine)?;
    let log = Arc::new(LocalLog { address: engine.log_address, token });
    let origin = Origin::Cloned(engine.first);
    let path = copies.data_file(epoch);
    let following = Following { epoch, path, key, source: log };
    let replica = Replica::follow(following, origin).await;
    Ok(Started { epoch, engine, replica: replica.map_err(LeadError::Replica)? })
}
