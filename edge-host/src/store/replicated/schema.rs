//! Keeps a group's schema in step while hosts of two releases are alive.
//!
//! A host whose copy lacks what its functions need hands that to the primary, which need not know it: it checks that it
//! only adds, and applies it through its ordinary write path. A primary also runs contracts, once every host of the
//! group has said that it knows them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use locum_identity::NodeId;
use locum_replication::{Epoch, GroupId};
use locum_telemetry::config::chain;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::group::{OpenCopy, ReplicatedGroup, Serving};
use super::links::{Links, RecordsAnswer, RecordsQuestion};
use crate::store::Writer;
use crate::store::group::Group;
use crate::store::migrations::contract::{Knowledge, Step};
use crate::store::migrations::online::{self, OnlineError};
use crate::store::migrations::{Handed, Ledger, Migration, MigrationError, MigrationId, Schema, Standing};

/// Between two looks at a copy that functions may run on.
const LOOK: Duration = Duration::from_secs(1);
/// The same while they may not.
const LOOK_SOON: Duration = Duration::from_millis(50);
/// How often a host says what it knows, and hands over what was not applied yet.
const SAY: Duration = Duration::from_secs(2);
/// A primary that answers nothing so often is not only about to change.
const UNHEARD: usize = 3;
/// What was refused is not tried again before this time is over.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Of other hosts, waiting to be applied.
const MAX_HANDED: usize = 64;
/// In one report.
const MAX_KNOWN: usize = 256;

/// Voter → primary: contracts that have not run and that this host's release knows.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct SchemaReport {
    /// The group.
    pub(crate) group: GroupId,
    /// The primary's epoch.
    pub(crate) epoch: Epoch,
    /// What is known.
    pub(crate) contracts: Vec<MigrationId>,
}

/// Voter → primary: this host needs an expand or backfill that the group lacks.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct HandedOver {
    /// The group.
    pub(crate) group: GroupId,
    /// The primary's epoch.
    pub(crate) epoch: Epoch,
    /// What is needed.
    pub(crate) migration: Handed,
}

/// The answer to [`HandedOver`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum HandedAnswer {
    /// It will be applied.
    Taken,
    /// It will not.
    Refused {
        /// Why, for people.
        why: String,
    },
}

/// What other hosts of the group say to this one, as the primary.
#[derive(Default)]
pub(super) struct Inbox {
    said: Mutex<Said>,
    /// There is something new.
    wake: Notify,
}

#[derive(Default)]
struct Said {
    knowledge: Knowledge,
    /// In the order in which they go.
    handed: BTreeMap<MigrationId, Arc<Migration>>,
    refused: BTreeMap<MigrationId, (Instant, &'static str)>,
}

/// One task a group.
pub(super) struct Keeper {
    group: Arc<ReplicatedGroup>,
    links: Arc<dyn Links>,
    inbox: Arc<Inbox>,
    /// How long every host has known a contract before it runs.
    contract_after: Duration,
    /// When this host said last what it knows.
    said_at: Option<Instant>,
    /// What was handed over last, and when.
    handed_at: Option<(MigrationId, Instant)>,
    /// How often nobody took what was handed over.
    unheard: usize,
    /// What was logged last: said once, not every second.
    logged: Option<Note>,
}

/// Something that people should know of, for as long as it is so.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Note {
    /// The copy cannot be used.
    Unusable(String),
    /// Functions wait for this.
    Lacks(MigrationId),
    /// It is not applied.
    NotApplied(MigrationId, String),
    /// A contract waits for these hosts.
    Waits(MigrationId, Vec<NodeId>),
}

impl Inbox {
    /// What a host of the group knows.
    pub(super) fn heard(&self, from: NodeId, mut knows: Vec<MigrationId>) {
        knows.truncate(MAX_KNOWN);
        self.said().knowledge.heard(from, knows, Instant::now());
    }

    /// What a host of the group needs.
    pub(super) fn take(&self, handed: Handed, schema: &Schema) -> HandedAnswer {
        let refused = |why: &str| HandedAnswer::Refused { why: why.to_owned() };
        let Some(migration) = handed.open() else { return refused("not an expand") };
        let id = migration.id().clone();
        if schema.has_other(&id) {
            return refused("another migration has its number");
        }
        let mut said = self.said();
        said.refused.retain(|_, (at, _)| at.elapsed() < REFUSED_FOR);
        if let Some((_, why)) = said.refused.get(&id) {
            return refused(why);
        }
        if said.handed.len() >= MAX_HANDED && !said.handed.contains_key(&id) {
            return refused("too many at once");
        }
        said.handed.insert(id, Arc::new(migration));
        self.wake.notify_one();
        HandedAnswer::Taken
    }

    fn first(&self) -> Option<Arc<Migration>> {
        self.said().handed.values().next().cloned()
    }

    fn done(&self, id: &MigrationId, refused: Option<&'static str>) {
        let mut said = self.said();
        said.handed.remove(id);
        if let Some(why) = refused {
            said.refused.insert(id.clone(), (Instant::now(), why));
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    pub(super) fn new(
        group: Arc<ReplicatedGroup>,
        links: Arc<dyn Links>,
        inbox: Arc<Inbox>,
        contract_after: Duration,
    ) -> Self {
        let (said_at, handed_at, logged) = (None, None, None);
        Self { group, links, inbox, contract_after, said_at, handed_at, unheard: 0, logged }
    }

    /// Until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let mut serving = self.group.serving.subscribe();
            let place = Place::of(&serving.borrow_and_update());
            let next = tokio::select! {
                next = self.round(&place) => next,
                () = stop.cancelled() => return,
            };
            let inbox = Arc::clone(&self.inbox);
            tokio::select! {
                () = tokio::time::sleep(next) => {}
                () = inbox.wake.notified() => {}
                // Closed, its driver is gone; then this ends as well.
                _ = serving.wait_for(|serving| !place.is_still(serving)) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Looks at the copy and does what there is to do. How long to wait before the next look.
    async fn round(&mut self, place: &Place) -> Duration {
        let Some(copy) = &place.copy else { return LOOK };
        let (group, looked) = (Arc::clone(&self.group), copy.clone());
        let ledger = tokio::task::spawn_blocking(move || group.read_ledger(&looked)).await;
        let Ok(ledger) = ledger else { return LOOK };
        let schema = Arc::clone(&self.group.schema);
        let stands = ledger.and_then(|ledger| Ok((schema.compare(&ledger)?, ledger)));
        let (standing, ledger) = match stands {
            Ok(stands) => stands,
            Err(error) => {
                self.measure(copy, Err(&error));
                self.note(Note::Unusable(chain(&error)));
                return LOOK;
            }
        };
        self.measure(copy, Ok(&standing));
        match &place.writer {
            Writer::Here => self.lead(place, &schema, &standing, &ledger).await,
            Writer::At(primary) => self.follow(primary, copy.epoch, &standing, &ledger).await,
            Writer::Nowhere => {}
        }
        if standing.fits() { LOOK } else { LOOK_SOON }
    }

    fn measure(&self, copy: &OpenCopy, standing: Result<&Standing<'_>, &MigrationError>) {
        copy.fit.set(standing);
        let (fits, contracts) = standing.map_or((false, 0), |it| (it.fits(), it.contracts.len()));
        let set = |name: &'static str, value: f64| {
            metrics::gauge!(name, "group" => self.group.id.to_string()).set(value);
        };
        set("locum_edge_schema_fits", if fits { 1.0 } else { 0.0 });
        set("locum_edge_contracts_waiting", contracts as f64);
    }

    /// Applies what this release needs, what others need, and contracts.
    async fn lead(&mut self, place: &Place, schema: &Schema, standing: &Standing<'_>, ledger: &Ledger) {
        if let Some(missing) = standing.missing.first() {
            let missing = Arc::clone(missing);
            return drop(self.apply(&missing).await);
        }
        if let Some(handed) = self.inbox.first() {
            match self.apply(&handed).await {
                Ok(()) => self.inbox.done(handed.id(), None),
                Err(OnlineError::Unavailable(_)) => {}
                Err(OnlineError::Refused(_)) => self.inbox.done(handed.id(), Some("it cannot be applied")),
                Err(OnlineError::Engine) => self.inbox.done(handed.id(), Some("the engine refuses it")),
            }
            return self.inbox.wake.notify_one();
        }
        let now = (Instant::now(), crate::clock::unix_ms());
        let of = (schema, standing, ledger);
        let step = self.inbox.said().knowledge.step(of, &place.others, now, self.contract_after);
        let group = Arc::clone(&self.group) as Arc<dyn Group>;
        let done = match step {
            Step::Nothing => return self.logged = None,
            Step::WaitFor(id, hosts) => return self.note(Note::Waits(id, hosts)),
            Step::Remember(id) => online::remember(&group, &id, now.1).await,
            Step::Forget(series, version) => online::forget(&group, (&series, version)).await,
            Step::Apply(id) => {
                let contract = standing.contracts.iter().find(|contract| *contract.id() == id);
                let Some(contract) = contract.map(|contract| Arc::clone(contract)) else { return };
                return drop(self.apply(&contract).await);
            }
        };
        if let Err(error) = done {
            tracing::debug!(error = chain(&error), "what is known of contracts was not noted");
        }
    }

    async fn apply(&mut self, migration: &Arc<Migration>) -> Result<(), OnlineError> {
        let group = Arc::clone(&self.group) as Arc<dyn Group>;
        let applied = online::apply(&group, migration).await;
        match &applied {
            Ok(()) => self.logged = None,
            // Said again and again until it works, or somebody else leads.
            Err(OnlineError::Unavailable(_)) => {}
            Err(error) => self.note(Note::NotApplied(migration.id().clone(), error.told())),
        }
        applied
    }

    /// Says what this host knows, and hands over what it lacks.
    async fn follow(&mut self, primary: &NodeId, epoch: Epoch, standing: &Standing<'_>, ledger: &Ledger) {
        let (has_news, now) = (ledger.has_waiting() || !standing.contracts.is_empty(), Instant::now());
        if has_news && self.said_at.is_none_or(|at| now.duration_since(at) >= SAY) {
            self.said_at = Some(now);
            let contracts = standing.contracts.iter().map(|contract| contract.id().clone()).collect();
            let report = SchemaReport { group: self.group.id.clone(), epoch, contracts };
            if let Err(error) = self.links.ask(primary, RecordsQuestion::Schema(report)).await {
                tracing::debug!(%error, "the primary does not hear what contracts are known here");
            }
        }
        let Some(missing) = standing.missing.first() else { return self.logged = None };
        let id = missing.id();
        let was_handed = self.handed_at.as_ref().is_some_and(|(last, at)| last == id && at.elapsed() < SAY);
        if was_handed {
            return;
        }
        self.handed_at = Some((id.clone(), now));
        let handed = HandedOver { group: self.group.id.clone(), epoch, migration: missing.handed() };
        let answer = self.links.ask(primary, RecordsQuestion::HandOver(handed)).await;
        self.unheard = if answer.is_ok() { 0 } else { self.unheard + 1 };
        match answer {
            Ok(RecordsAnswer::HandedOver(HandedAnswer::Taken)) => self.note(Note::Lacks(id.clone())),
            Ok(RecordsAnswer::HandedOver(HandedAnswer::Refused { why })) => {
                self.note(Note::NotApplied(id.clone(), why));
            }
            Ok(_) | Err(_) if self.unheard < UNHEARD => {}
            Ok(_) | Err(_) => self.note(Note::NotApplied(id.clone(), "the primary takes none".to_owned())),
        }
    }

    /// Once, until something else is to be said.
    fn note(&mut self, note: Note) {
        if self.logged.as_ref() == Some(&note) {
            return;
        }
        let group = &self.group.id;
        match &note {
            Note::Unusable(error) => {
                tracing::error!(%group, error, "this release cannot serve the copy it holds");
            }
            Note::Lacks(id) => {
                let (series, version) = (id.series.as_str(), id.version);
                tracing::info!(%group, series, version, "waits for a migration, which the primary applies");
            }
            Note::NotApplied(id, why) => {
                let (series, version) = (id.series.as_str(), id.version);
                tracing::warn!(%group, series, version, why, "a migration is not applied");
            }
            Note::Waits(id, hosts) => {
                let (series, version) = (id.series.as_str(), id.version);
                let hosts = hosts.iter().map(NodeId::as_str).collect::<Vec<_>>().join(",");
                tracing::info!(%group, series, version, hosts, "a contract waits for hosts that do not know it");
            }
        }
        self.logged = Some(note);
    }
}

/// Where a group stands on this host, as far as its schema is concerned.
struct Place {
    copy: Option<OpenCopy>,
    writer: Writer,
    others: Arc<[NodeId]>,
}

impl Place {
    fn of(serving: &Serving) -> Self {
        let (copy, writer) = (serving.copy.clone(), serving.writer.clone());
        Self { copy, writer, others: Arc::clone(&serving.others) }
    }

    fn is_still(&self, serving: &Serving) -> bool {
        let is_same = match (&self.copy, &serving.copy) {
            (Some(was), Some(is)) => Arc::ptr_eq(&was.fit, &is.fit),
            (was, is) => was.is_none() == is.is_none(),
        };
        is_same && self.writer == serving.writer
    }
}
