//! Read events on their way to another region: whole files, in the order of their bytes, within a second.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use locum_cluster::operate::Ordered;
use locum_identity::{Jwk, NodeId, private_file};
use locum_telemetry::config::chain;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::checkpoint::{self, Chain, Checkpoint};
use super::frame::{self, End, FileName};
use super::log::{self, Synced};
use super::{Action, Audit, Event, Wish, rows};
use crate::clinic::ClinicId;
use crate::mesh::{Peers, Question, envelope};
use crate::store::{GroupId, Writer};

/// Between two looks at what is new.
const ROUND: Duration = Duration::from_millis(500);
/// Between two looks at what is old.
const EXPIRE_EVERY: Duration = Duration::from_secs(3_600);
/// Between two checkpoints of one chain.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
/// Longest wait for another host.
const WITHIN: Duration = Duration::from_secs(2);
/// Most bytes of one message.
const CHUNK: u64 = 1 << 20;
/// Says that another region holds a file that is not added to any more.
const SHIPPED: &str = "shipped";

/// What a host asks another to keep of its audit events.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AuditQuestion {
    /// Bytes of a file of read events, which follow. Answered with [`AuditAnswer::Held`].
    Events {
        /// Whose.
        group: GroupId,
        /// Which file.
        file: FileName,
        /// Where in it.
        offset: u64,
    },
    /// A signed checkpoint. Answered with [`AuditAnswer::Kept`].
    Checkpoint {
        /// Whose.
        group: GroupId,
        /// JWS.
        token: String,
        /// Signed with.
        key: Jwk,
    },
    /// Which events of reading do you have? Answered with [`AuditAnswer::Part`].
    Report {
        /// Whose.
        group: GroupId,
        /// Of this clinic only.
        clinic: String,
        /// Which.
        wish: Box<Wish>,
        /// Of these logs; of your own, if there are none.
        logs: Option<Vec<u64>>,
    },
}

impl AuditQuestion {
    /// Whose events it is about.
    pub(crate) fn group(&self) -> &GroupId {
        match self {
            Self::Events { group, .. } | Self::Checkpoint { group, .. } | Self::Report { group, .. } => group,
        }
    }
}

/// Answers to [`AuditQuestion`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AuditAnswer {
    /// So long is the file now, synced.
    Held {
        /// Its length.
        bytes: u64,
    },
    /// It is kept, synced.
    Kept,
    /// A part of a report follows, as JSON.
    Part,
}

/// How far a group's events have come.
#[derive(Default)]
pub(super) struct Shipping {
    /// Who takes them.
    to: Option<NodeId>,
    /// Nobody takes them.
    is_behind: bool,
    /// What that host holds of the file being shipped.
    held: Option<(FileName, u64)>,
    /// When each chain had its last checkpoint, and its sequence.
    vouched: Vec<(Chain, Instant, u64)>,
    overflow: Option<Overflow>,
    /// It is recorded that this host writes the group.
    leads: bool,
    /// Generation of the newest order of a person that is recorded, as far as this host knows.
    ordered: u64,
}

/// A log of which nothing is here.
struct Overflow {
    to: NodeId,
    file: FileName,
    held: u64,
    end: End,
}

impl Audit {
    /// Chains, ships and vouches until `stop`, and once more then.
    pub(crate) async fn run(&self, peers: &dyn Peers, stop: CancellationToken) {
        let mut expired_at: Option<Instant> = None;
        loop {
            let stopped = tokio::time::timeout(ROUND, stop.cancelled()).await.is_ok();
            let expires = expired_at.is_none_or(|at| at.elapsed() >= EXPIRE_EVERY) && !stopped;
            for group in self.groups.keys() {
                self.round(group, peers).await;
                if expires {
                    self.expire(group, crate::clock::unix_ms(), peers).await;
                }
            }
            if expires {
                expired_at = Some(Instant::now());
            }
            if stopped {
                return;
            }
        }
    }

    /// What there is to do for a group now.
    pub(crate) async fn round(&self, group: &GroupId, peers: &dyn Peers) {
        let Some(own) = self.groups.get(group) else { return };
        let mut shipping = own.shipping.lock().await;
        let leads = self.store.writer(group) == Writer::Here;
        shipping.leads &= leads;
        if leads {
            if !shipping.leads {
                shipping.leads = self.record_beginning(group).await;
                shipping.ordered = 0;
            }
            if shipping.leads {
                self.record_orders(group, &mut shipping.ordered).await;
            }
            match rows::chain(self.store.as_ref(), group).await {
                Ok(end) => self.vouch(group, &mut shipping, Chain::Writes, end, peers).await,
                // A group that is changing hands; the next writer goes on.
                Err(error) => {
                    tracing::debug!(%group, error = chain(&error), "audit rows are not chained yet")
                }
            }
        }
        let Some(log) = own.log.get() else { return };
        let synced = *log.synced().borrow();
        // Said when it begins and when it is over: it may last, and where there is one region it does.
        match self.ship(group, &mut shipping, synced, peers).await {
            Ok(()) if shipping.is_behind => {
                tracing::info!(%group, "audit events are in another region again");
                shipping.is_behind = false;
            }
            Err(error) if !shipping.is_behind => {
                tracing::warn!(%group, error = chain(&error), "audit events are in this region only");
                shipping.is_behind = true;
            }
            _ => {}
        }
        metrics::gauge!("locum_edge_audit_in_one_region", "group" => group.to_string())
            .set(if shipping.is_behind { 1.0 } else { 0.0 });
        self.vouch(group, &mut shipping, Chain::Reads(synced.file.log), synced.end, peers).await;
    }

    /// Tells each clinic of the group that its records are written here from now on: after a start or a failover, or
    /// because an operator moved them.
    async fn record_beginning(&self, group: &GroupId) -> bool {
        let node = self.node();
        let event = |clinic: &ClinicId| Event {
            request: format!("begin.{node}"),
            code: "primary-began".to_owned(),
            agent_type: "node".to_owned(),
            agent: Some(node.clone()),
            entity_type: Some("Group".to_owned()),
            entity: Some(group.to_string()),
            ..self.of_network(clinic, crate::clock::unix_ms())
        };
        let events: Vec<Event> = self.settings.clinics.of(group).map(event).collect();
        let written = rows::write(self.store.as_ref(), group, &events).await;
        if let Err(error) = &written {
            // Another host was faster, or nobody acknowledges yet: once more in the next round.
            tracing::debug!(%group, error = chain(error), "that the group is written here is not recorded yet");
        }
        written.is_ok()
    }

    /// Tells each clinic of the group what people ordered who operate the network, up to the newest order that is known
    /// here. Whichever host writes the group tells it; what another one has told before is there already.
    async fn record_orders(&self, group: &GroupId, told: &mut u64) {
        let ordered = (self.settings.ordered)();
        let Some(newest) = ordered.last().map(|newest| newest.generation).filter(|newest| newest > told)
        else {
            return;
        };
        let concerns = |order: &&Ordered| order.generation > *told && order.concerns(group);
        let mut events = Vec::new();
        for order in ordered.iter().filter(concerns) {
            events.extend(self.settings.clinics.of(group).map(|clinic| Event {
                request: format!("order.{}", order.generation),
                code: format!("operator-{}", order.what),
                agent_type: "operator".to_owned(),
                agent: Some(order.by.clone()),
                entity_type: Some(order.kind.clone()),
                entity: Some(order.subject.clone()),
                new: order.to.clone(),
                ..self.of_network(clinic, order.at_ms)
            }));
        }
        match rows::write(self.store.as_ref(), group, &events).await {
            Ok(()) => *told = newest,
            Err(error) => tracing::debug!(%group, error = chain(&error), "an order is not recorded yet"),
        }
    }

    /// What the host itself has to tell a clinic.
    fn of_network(&self, clinic: &ClinicId, recorded_at_ms: i64) -> Event {
        Event {
            recorded_at_ms,
            clinic: clinic.to_string(),
            request: String::new(),
            region: self.settings.region.clone(),
            node: self.node(),
            status: 200,
            action: Action::E,
            code: String::new(),
            agent_type: String::new(),
            agent: None,
            entity_type: None,
            entity: None,
            patient: None,
            purpose: None,
            token: None,
            old: None,
            new: None,
        }
    }

    async fn ship(
        &self,
        group: &GroupId,
        shipping: &mut Shipping,
        synced: Synced,
        peers: &dyn Peers,
    ) -> io::Result<()> {
        let folder = self.own_folder(group);
        let pending = {
            let folder = folder.clone();
            blocking(move || pending(&folder, synced)).await?
        };
        for (file, bytes) in pending {
            let mut held = match shipping.held {
                Some((of, held)) if of == file => held,
                _ => 0,
            };
            while held < bytes {
                let path = file.in_folder(&folder);
                let chunk = blocking(move || read(&path, held, (bytes - held).min(CHUNK))).await?;
                let question = AuditQuestion::Events { group: group.clone(), file, offset: held };
                match send(shipping, question, &chunk, peers).await? {
                    AuditAnswer::Held { bytes: now } if now > bytes => {
                        return Err(io::Error::other("the other region holds more than was written here"));
                    }
                    AuditAnswer::Held { bytes: now } if now != held => held = now,
                    _ => return Err(io::Error::other("the other host keeps nothing")),
                }
                shipping.held = Some((file, held));
            }
            if file != synced.file {
                let (path, text) = (folder.join(SHIPPED), format!("{:016x} {:016}", file.log, file.first));
                blocking(move || private_file::write(&path, text.as_bytes())).await?;
            }
        }
        metrics::gauge!("locum_edge_audit_shipped_sequence", "group" => group.to_string())
            .set(synced.end.sequence as f64);
        Ok(())
    }

    /// Signs how far a chain has come, now and then, and has it kept here and elsewhere.
    async fn vouch(&self, group: &GroupId, shipping: &mut Shipping, of: Chain, end: End, peers: &dyn Peers) {
        let last = shipping.vouched.iter().find(|(chain, ..)| *chain == of);
        let is_due = last
            .is_none_or(|(_, at, sequence)| *sequence < end.sequence && at.elapsed() >= CHECKPOINT_INTERVAL);
        if end.sequence == 0 || !is_due {
            return;
        }
        let (settings, folder) = (&self.settings, self.own_folder(group));
        let place = (settings.region.as_str(), &*(settings.node)());
        let Some(token) = Checkpoint::new(group, of, end, place).sign(&settings.key) else { return };
        let (key, text) = (settings.key.jwk(), token.clone());
        let kept = blocking(move || checkpoint::keep(&folder, &text, &key)).await;
        let question = AuditQuestion::Checkpoint { group: group.clone(), token, key: settings.key.jwk() };
        let sent = send(shipping, question, &[], peers).await;
        for failed in [kept.err(), sent.err()].into_iter().flatten() {
            // Where there is one region there is nobody to keep it.
            tracing::debug!(%group, error = chain(&failed), "an audit checkpoint has too few copies");
        }
        shipping.vouched.retain(|(chain, ..)| *chain != of);
        shipping.vouched.push((of, Instant::now(), end.sequence));
    }

    /// Has a signed statement kept elsewhere too. It also stands here.
    pub(super) async fn tell(&self, group: &GroupId, token: String, peers: &dyn Peers) {
        let Some(own) = self.groups.get(group) else { return };
        let key = self.settings.key.jwk();
        let question = AuditQuestion::Checkpoint { group: group.clone(), token, key };
        let mut shipping = own.shipping.lock().await;
        if let Err(error) = send(&mut shipping, question, &[], peers).await {
            tracing::debug!(%group, error = chain(&error), "an audit checkpoint has too few copies");
        }
    }

    /// Keeps an event on another region's disk, because there is no room on this one's.
    pub(super) async fn keep_elsewhere(&self, group: &GroupId, event: &Event, peers: &dyn Peers) -> bool {
        let Some((own, sealer)) = self.groups.get(group).zip(self.sealer(group)) else { return false };
        let mut shipping = own.shipping.lock().await;
        let known = shipping.overflow.take();
        let hosts = peers.elsewhere().into_iter().map(|to| begin(to, group));
        for overflow in known.into_iter().chain(hosts.flatten()) {
            let Overflow { to, file, held, end } = overflow;
            let Some((frame, end)) = sealer.frame(file.log, end, event) else { return false };
            let before =
                if held == 0 { file.head(&FileName::origin(file.log, group).hash) } else { Vec::new() };
            let bytes = [before, frame].concat();
            let question = AuditQuestion::Events { group: group.clone(), file, offset: held };
            let held = held + bytes.len() as u64;
            if ask(peers, &to, question, &bytes)
                .await
                .is_ok_and(|answer| answer == AuditAnswer::Held { bytes: held })
            {
                shipping.overflow = Some(Overflow { to, file, held, end });
                return true;
            }
        }
        false
    }
}

fn begin(to: NodeId, group: &GroupId) -> Option<Overflow> {
    let file = FileName::overflow().ok()?;
    Some(Overflow { to, file, held: 0, end: FileName::origin(file.log, group) })
}

/// Sends to the host that took the last, or else to the first of another region that takes it.
async fn send(
    shipping: &mut Shipping,
    question: AuditQuestion,
    bytes: &[u8],
    peers: &dyn Peers,
) -> io::Result<AuditAnswer> {
    let mut failed = io::Error::other("there is no host in another region");
    if let Some(to) = &shipping.to {
        match ask(peers, to, question.clone(), bytes).await {
            Ok(answer) => return Ok(answer),
            Err(error) => failed = error,
        }
    }
    // Whoever is new begins with what it holds.
    shipping.held = None;
    for host in peers.elsewhere() {
        if shipping.to.as_ref() == Some(&host) {
            continue;
        }
        match ask(peers, &host, question.clone(), bytes).await {
            Ok(answer) => {
                shipping.to = Some(host);
                return Ok(answer);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn ask(
    peers: &dyn Peers,
    node: &NodeId,
    question: AuditQuestion,
    bytes: &[u8],
) -> io::Result<AuditAnswer> {
    let question = envelope::seal(&Question::Audit(question), bytes).map_err(io::Error::other)?;
    let answer = peers.ask(node, &question, WITHIN).await.map_err(io::Error::other)?;
    envelope::open(&Bytes::from(answer)).map(|(answer, _)| answer).map_err(io::Error::other)
}

/// The files that another region may lack, with their lengths.
fn pending(folder: &Path, synced: Synced) -> io::Result<Vec<(FileName, u64)>> {
    let shipped = shipped_through(folder)?;
    let mut pending = Vec::new();
    for file in log::files(folder)? {
        let is_shipped = shipped.is_some_and(|last| last.log == file.log && file.first <= last.first);
        if file == synced.file {
            pending.push((file, synced.bytes));
        } else if file.log == synced.file.log && !is_shipped {
            pending.push((file, fs::metadata(file.in_folder(folder))?.len()));
        }
    }
    Ok(pending)
}

/// The last file that another region holds whole.
pub(super) fn shipped_through(folder: &Path) -> io::Result<Option<FileName>> {
    match private_file::read_to_string(&folder.join(SHIPPED)) {
        Ok(text) => Ok(FileName::parse(&format!("{}.log", text.trim().replace(' ', "-")))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whole events of a file, about as many bytes as `length`.
fn read(path: &Path, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    File::open(path)?.read_exact_at(&mut bytes, offset)?;
    let head = if offset == 0 { frame::HEADER_BYTES } else { 0 };
    bytes.truncate(head + frame::whole(bytes.get(head..).unwrap_or_default()));
    Ok(bytes)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
