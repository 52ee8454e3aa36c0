//! The store of a network with several regions.
//!
//! | file | what it is |
//! |---|---|
//! | `driver.rs` | one task a group: carries out what the voter and the primary of `locum-replication` decide |
//! | `run.rs` | what runs here for the group: nothing, a follower, an engine |
//! | `leading.rs`, `engine.rs` | an epoch begins here: `sqld`, and this host's own copy |
//! | `transfer.rs`, `digest.rs` | a follower's copy is compared with the primary's, and gets what it lacks |
//! | `replica.rs`, `applier.rs` | a copy that follows an epoch's log, and knows where it stands |
//! | `log.rs`, `log_client.rs` | the log, over loopback or the mesh |
//! | `compare.rs` | once a day a follower's copy is compared with the primary's |
//! | `tails.rs`, `tail_rows.rs` | what a lost primary held and nobody acknowledged, for people to read |
//! | `group.rs`, `writer.rs`, `hrana.rs` | what requests use: copy, transaction, acknowledgement |
//! | `restored.rs` | a copy out of a backup |
//! | `schema.rs`, `fit.rs` | two releases alive: who lacks what, and whether functions may run on a copy |
//! | `seen.rs` | what a browser has seen, and waiting for it |
//! | `settled.rs` | what was acknowledged last, kept in view for when nothing more is |
//! | `copies.rs` | folders and files |
//! | `room.rs` | when there is too little room on the disk to lead |
//! | `verify.rs` | whether the copies of a stopped host are whole |
//! | `links.rs` | what hosts of one group say to each other |

mod applier;
mod compare;
mod copies;
mod digest;
mod driver;
mod engine;
mod fit;
mod group;
mod hrana;
mod leading;
mod links;
mod log;
mod log_client;
mod replica;
mod restored;
mod room;
mod run;
mod schema;
mod seen;
mod settled;
mod tail_rows;
mod tails;
#[cfg(test)]
mod tests;
mod transfer;
mod verify;
mod writer;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use locum_identity::{NodeId, RegionId, private_file};
use locum_replication::Epoch;
use locum_telemetry::config::chain;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::group::{Group, folder_of};
use super::migrations::Schema;
use super::session::GroupSession;
use super::single_file::lock;
use super::{
    Access, DerivedKey, Failure, GroupId, LocalCopy, MasterKey, OpenError, Position, RecordStore,
    ResultLimits, Session, StoreError, StoreSettings, Writer,
};
use copies::Copies;
use driver::{Command, Driver, LogAccess, Parts};
use group::ReplicatedGroup;
pub(crate) use links::{Links, LogRequest, RecordsAnswer, RecordsQuestion};
pub(crate) use log_client::ByteStream;
pub(super) use restored::place;
pub(crate) use restored::position_of;
use schema::{Inbox, Keeper};
pub(crate) use tails::{TailError, Tails};
pub use verify::{Verified, VerifyError};

/// Longest wait for what a browser has seen elsewhere.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(2);
/// Questions waiting for a group's driver; beyond it askers are told to come back.
const QUEUE: usize = 1_024;

/// Every group of this host, each with a driver of its own once the host has joined.
pub struct ReplicatedStore {
    groups: BTreeMap<GroupId, Arc<ReplicatedGroup>>,
    copies: BTreeMap<GroupId, Copies>,
    commands: OnceLock<BTreeMap<GroupId, mpsc::Sender<Command>>>,
    /// What other hosts say about the schema.
    inboxes: BTreeMap<GroupId, Arc<Inbox>>,
    schema: Arc<Schema>,
    contract_after: Duration,
    engine_binary: PathBuf,
    results: ResultLimits,
    /// Held as long as the store lives: a second process on the same files would break every promise.
    _lock: File,
}

/// The driver does not answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// No such group here, or not started.
    #[error("this group is not on this host")]
    UnknownGroup,
    /// Too much to do.
    #[error("the group has too much to do")]
    Busy,
    /// Not the primary of that epoch.
    #[error("this host does not lead that epoch")]
    NotLeading,
}

impl ReplicatedStore {
    /// Opens keys and folders; no copy is touched yet. Blocks.
    pub fn open(
        groups: impl IntoIterator<Item = GroupId>,
        settings: &StoreSettings<'_>,
        engine_binary: PathBuf,
    ) -> Result<Self, OpenError> {
        let folder = settings.state_dir.join("records");
        let make = |folder: &PathBuf| {
            private_file::create_dir(folder)
                .map_err(|source| OpenError::File { path: folder.clone(), source })
        };
        make(&folder)?;
        let lock = lock(&folder.join("lock"))?;
        let schema = Arc::new(Schema::new(settings.migrations).map_err(OpenError::Schema)?);
        let (mut opened, mut copies) = (BTreeMap::new(), BTreeMap::new());
        for id in groups {
            let folder = folder_of(settings.state_dir, &id);
            make(&folder)?;
            let found = Copies::open(id.clone(), &folder, settings.master_key);
            copies.insert(id.clone(), found.map_err(OpenError::Key)?);
            let group = ReplicatedGroup::new(id.clone(), settings.transactions, Arc::clone(&schema));
            opened.insert(id, group);
        }
        let inboxes = opened.keys().map(|id| (id.clone(), Arc::default())).collect();
        Ok(Self {
            groups: opened,
            copies,
            commands: OnceLock::new(),
            inboxes,
            schema,
            contract_after: settings.contract_after,
            engine_binary,
            results: settings.results,
            _lock: lock,
        })
    }

    /// Starts taking part, as `me`, until `stop`.
    pub(crate) fn start(
        &self,
        me: &NodeId,
        links: &Arc<dyn Links>,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<(), StartGroupError> {
        let mut commands = BTreeMap::new();
        for (id, group) in &self.groups {
            let Some(copies) = self.copies.get(id) else { continue };
            let parts = Parts {
                group: Arc::clone(group),
                me: me.clone(),
                copies: copies.clone(),
                schema: Arc::clone(&self.schema),
                engine_binary: self.engine_binary.clone(),
                links: Arc::clone(links),
            };
            let driver = Driver::open(parts)
                .map_err(|source| StartGroupError { group: id.clone(), source: Box::new(source) })?;
            let (sender, receiver) = mpsc::channel(QUEUE);
            commands.insert(id.clone(), sender);
            tasks.spawn(driver.run(receiver, stop.clone()));
            if let Some(inbox) = self.inboxes.get(id) {
                let (group, links, inbox) = (Arc::clone(group), Arc::clone(links), Arc::clone(inbox));
                tasks.spawn(Keeper::new(group, links, inbox, self.contract_after).run(stop.clone()));
            }
        }
        // Started once a process.
        let _ = self.commands.set(commands);
        Ok(())
    }

    /// Answers another host of a group.
    pub(crate) async fn answer(
        &self,
        from: NodeId,
        question: RecordsQuestion,
    ) -> Result<RecordsAnswer, NoAnswer> {
        match question {
            RecordsQuestion::Hint(hint) => {
                let group = hint.group.clone();
                self.command(&group, |reply| Command::Hint(from, hint, reply)).await.map(RecordsAnswer::Hint)
            }
            RecordsQuestion::Copy(report) => {
                let group = report.group.clone();
                let acked = self.command(&group, |reply| Command::Copy(from, report, reply)).await?;
                Ok(RecordsAnswer::Acked(acked))
            }
            RecordsQuestion::LogToken(request) => {
                self.access(from, request).await.map(|access| RecordsAnswer::LogToken(access.token))
            }
            RecordsQuestion::Schema(report) => {
                let (_, inbox) = self.as_primary(&from, &report.group, report.epoch)?;
                inbox.heard(from, report.contracts);
                Ok(RecordsAnswer::Noted)
            }
            RecordsQuestion::HandOver(handed) => {
                let (group, inbox) = self.as_primary(&from, &handed.group, handed.epoch)?;
                Ok(RecordsAnswer::HandedOver(inbox.take(handed.migration, &group.schema)))
            }
        }
    }

    /// A group that this host leads in `epoch`, towards another voter of it.
    fn as_primary(
        &self,
        from: &NodeId,
        group: &GroupId,
        epoch: Epoch,
    ) -> Result<(&ReplicatedGroup, &Inbox), NoAnswer> {
        let found = self.groups.get(group).zip(self.inboxes.get(group)).ok_or(NoAnswer::UnknownGroup)?;
        let serving = found.0.serving.borrow();
        let leads = serving.leading.as_ref().is_some_and(|leading| leading.epoch == epoch);
        if leads && serving.others.contains(from) {
            Ok((found.0, found.1))
        } else {
            Err(NoAnswer::NotLeading)
        }
    }

    /// Where this host's engine serves the log that is asked for.
    pub(crate) async fn log(&self, from: NodeId, request: LogRequest) -> Result<SocketAddr, NoAnswer> {
        self.access(from, request).await.map(|access| access.address)
    }

    /// The whole copy of the epoch that is asked for, to be sent.
    pub(crate) async fn copy(&self, from: NodeId, request: LogRequest) -> Result<CopyToSend, NoAnswer> {
        let epoch = request.epoch;
        let copies = self.copies.get(&request.group).ok_or(NoAnswer::UnknownGroup)?.clone();
        self.access(from, request).await?.held.ok_or(NoAnswer::NotLeading)?;
        Ok(CopyToSend { copies, epoch })
    }

    async fn access(&self, from: NodeId, request: LogRequest) -> Result<LogAccess, NoAnswer> {
        let group = request.group.clone();
        let access = self.command(&group, |reply| Command::Log(from, request, reply)).await?;
        access.ok_or(NoAnswer::NotLeading)
    }

    async fn command<T>(
        &self,
        group: &GroupId,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, NoAnswer> {
        let driver = self.commands.get().and_then(|commands| commands.get(group));
        let driver = driver.ok_or(NoAnswer::UnknownGroup)?;
        let (reply, answer) = oneshot::channel();
        driver.try_send(command(reply)).map_err(|_| NoAnswer::Busy)?;
        answer.await.map_err(|_| NoAnswer::Busy)
    }
}

/// The newest whole copy of a group in its folder on this host.
pub(super) fn newest_copy(
    group: &GroupId,
    folder: &Path,
    master_key: &MasterKey,
) -> Result<Option<PathBuf>, Box<dyn std::error::Error + Send + Sync>> {
    let copies = Copies::open(group.clone(), folder, master_key)?;
    Ok(copies.newest()?.map(|position| copies.data_file(position.epoch)))
}

/// A copy that another host of the group asked for.
pub(crate) struct CopyToSend {
    copies: Copies,
    epoch: Epoch,
}

impl CopyToSend {
    /// Sends what the other side lacks. Ends early when the other side does.
    pub(crate) async fn send(self, stream: impl ByteStream + 'static) {
        if let Err(error) = transfer::send(self.copies, self.epoch, stream).await {
            tracing::info!(error = chain(&error), "a copy was not sent whole");
        }
    }
}

/// A group's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("start record group `{group}`")]
pub struct StartGroupError {
    /// Which.
    group: GroupId,
    /// Why.
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl RecordStore for ReplicatedStore {
    fn session(
        &self,
        group: &GroupId,
        access: Access,
        deadline: Instant,
    ) -> Result<Arc<dyn Session>, StoreError> {
        let found = self.groups.get(group).ok_or_else(|| StoreError::UnknownGroup(group.clone()))?;
        Ok(GroupSession::new(Arc::clone(found) as Arc<dyn Group>, access, self.results, deadline))
    }

    fn writer(&self, group: &GroupId) -> Writer {
        let Some(serving) = self.groups.get(group).map(|group| group.serving.borrow()) else {
            return Writer::Nowhere;
        };
        match &serving.writer {
            Writer::Here if serving.is_lacking() => Writer::Nowhere,
            writer => writer.clone(),
        }
    }

    fn holders(&self, group: &GroupId) -> Arc<[NodeId]> {
        let Some(serving) = self.groups.get(group).map(|group| group.serving.borrow()) else {
            return Arc::default();
        };
        // Functions that the copy here is not ready for: the hosts of the release before go on with theirs.
        Arc::clone(if serving.is_lacking() { &serving.others } else { &serving.holders })
    }

    fn is_fit(&self) -> bool {
        let known = |group: &Arc<ReplicatedGroup>| {
            let serving = group.serving.borrow();
            serving.is_known && serving.copy.as_ref().is_none_or(|copy| copy.fit.is_known_to_fit())
        };
        self.groups.values().all(known)
    }

    fn is_single_copy(&self, group: &GroupId) -> bool {
        let serving = self.groups.get(group).map(|group| group.serving.borrow());
        serving
            .and_then(|serving| serving.leading.as_ref().map(|leading| leading.is_single_copy))
            .unwrap_or(false)
    }

    fn shows_settled(&self, group: &GroupId) -> bool {
        self.groups.get(group).is_some_and(|group| group.settled_at().is_some())
    }

    fn seal(&self, group: &GroupId, position: Position) -> Option<String> {
        let key = self.copies.get(group)?.key().ok()?;
        Some(seen::seal(&key, group, position))
    }

    fn catch_up<'a>(
        &'a self,
        group: &'a GroupId,
        token: &'a str,
        deadline: Instant,
    ) -> BoxFuture<'a, Result<Option<Position>, Failure>> {
        let key = self.copies.get(group).and_then(|copies| copies.key().ok());
        let position = key.and_then(|key| seen::open(&key, group, token));
        let Some((position, group)) = position.zip(self.groups.get(group)) else {
            return std::future::ready(Ok(None)).boxed();
        };
        let deadline = deadline.min(Instant::now() + CATCH_UP_WITHIN);
        async move {
            seen::catch_up(Arc::clone(group), position, deadline).await?;
            Ok(Some(position))
        }
        .boxed()
    }

    fn local_copy(&self, group: &GroupId) -> Option<LocalCopy> {
        let copies = self.copies.get(group)?;
        let serving = self.groups.get(group)?.serving.borrow();
        let epoch = serving.leading.as_ref().filter(|leading| group::now() < leading.lease_until)?.epoch;
        serving.copy.as_ref().filter(|copy| copy.epoch == epoch)?;
        Some(LocalCopy::new(copies.data_file(epoch), copies.key().ok()?))
    }

    fn regions(&self, group: &GroupId) -> Vec<RegionId> {
        self.groups.get(group).map(|group| group.serving.borrow().regions.to_vec()).unwrap_or_default()
    }

    fn derived_key(&self, group: &GroupId, purpose: &str) -> Option<DerivedKey> {
        Some(self.copies.get(group)?.key().ok()?.derive(group, purpose))
    }

    fn groups(&self) -> Vec<GroupId> {
        self.groups.keys().cloned().collect()
    }
}
