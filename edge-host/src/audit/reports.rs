//! A report over all hosts of a group: what was changed, from this host's copy; what was read, from the log of every
//! host that answers, and from copies where one does not. What could not be reached is said with the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use locum_identity::NodeId;
use locum_telemetry::config::chain;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::Audit;
use super::search::Held;
use super::ship::{AuditAnswer, AuditQuestion};
use super::wish::{Best, Found, Wish, merge};
use crate::mesh::{Peers, Question, envelope};
use crate::store::{GroupId, StoreError};

/// Longest wait for another host: what it has is then taken from its copy.
const WITHIN: Duration = Duration::from_secs(4);
/// A message of the mesh holds 4 MiB.
const MAX_BYTES: usize = 3 << 20;

/// The events of one clinic, for a function.
pub struct AuditDoor {
    pub(crate) audit: Arc<Audit>,
    pub(crate) peers: Arc<dyn Peers>,
    pub(crate) group: GroupId,
    pub(crate) clinic: String,
}

/// What one host answers.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Part {
    best: Best,
    held: Vec<Held>,
}

/// A report.
#[derive(Debug, Serialize)]
pub(crate) struct Reported {
    pub(crate) events: Vec<Found>,
    pub(crate) matched: u64,
    pub(crate) more: bool,
    pub(crate) sources: Vec<Source>,
}

/// A host whose log of what was read is part of a report, or is not.
#[derive(Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Source {
    pub(crate) node: String,
    pub(crate) state: SourceState,
}

/// How complete it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SourceState {
    /// Complete.
    Answered,
    /// From the copy in another region: what it had not sent there is not in it, a second at most.
    Copied,
    /// Nothing of it is known.
    Missing,
}

/// No report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("read the events of changes")]
    Rows(#[source] StoreError),
    #[error("read the events of reading")]
    Files(#[source] io::Error),
}

impl AuditDoor {
    pub(crate) async fn report(&self, wish: Wish) -> Result<Reported, ReportError> {
        let Self { audit, peers, group, clinic } = self;
        audit.report((group, clinic), wish, peers.as_ref()).await
    }
}

impl Audit {
    /// The events of a clinic, as many as are wanted, out of all hosts.
    pub(crate) async fn report(
        self: &Arc<Self>,
        (group, clinic): (&GroupId, &str),
        wish: Wish,
        peers: &dyn Peers,
    ) -> Result<Reported, ReportError> {
        let me: Option<NodeId> = self.node().parse().ok();
        let others: Vec<NodeId> = peers.edge_hosts();
        let others: Vec<_> = others.into_iter().filter(|node| Some(node) != me.as_ref()).collect();
        let ask = |node: NodeId, logs: Option<Vec<u64>>| {
            let (clinic, wish) = (clinic.to_owned(), Box::new(wish.clone()));
            let question = AuditQuestion::Report { group: group.clone(), clinic, wish, logs };
            async move {
                let part = ask(peers, &node, question).await;
                if let Err(error) = &part {
                    tracing::warn!(%node, error = chain(error), "a host is missing in a report");
                }
                (node, part.ok())
            }
        };
        let here = self.here(group, clinic, &wish, None);
        let rows = self.look_at_rows(group, clinic, &wish, WITHIN);
        let asked = join_all(others.iter().map(|node| ask(node.clone(), None)));
        let (here, rows, asked) = tokio::join!(here, rows, asked);
        let here = here.map_err(ReportError::Files)?;
        let mut sources = Sources::default();
        let mut lists = vec![rows.map_err(ReportError::Rows)?, sources.answered(me.as_ref(), here)];
        for (node, part) in asked {
            match part {
                Some(part) => lists.push(sources.answered(Some(&node), part)),
                None => sources.missing(node),
            }
        }
        // Logs whose host does not answer, or is not there any more, from whoever goes furthest.
        for (holder, logs) in sources.copies() {
            let part = match &holder {
                None => self.here(group, clinic, &wish, Some(logs.clone())).await.ok(),
                Some(holder) => ask(holder.clone(), Some(logs.clone())).await.1,
            };
            if let Some(part) = part {
                sources.copied(&logs);
                lists.push(part.best);
            }
        }
        let Best { events, matched, more } = merge(&wish, lists);
        Ok(Reported { events, matched, more, sources: sources.list(me) })
    }

    async fn here(
        self: &Arc<Self>,
        group: &GroupId,
        clinic: &str,
        wish: &Wish,
        logs: Option<Vec<u64>>,
    ) -> io::Result<Part> {
        let (audit, group) = (Arc::clone(self), group.clone());
        let (clinic, wish) = (clinic.to_owned(), wish.clone());
        let looked = spawn_blocking(move || audit.part(&group, &clinic, &wish, logs.as_deref())).await;
        looked.map_err(io::Error::other)?
    }

    /// What this host has: of its own log, or of those that are named, with what else it holds. Blocks.
    pub(super) fn part(
        &self,
        group: &GroupId,
        clinic: &str,
        wish: &Wish,
        logs: Option<&[u64]>,
    ) -> io::Result<Part> {
        let held = self.held(group)?;
        let wanted: Vec<Held> = match logs {
            None => held.iter().filter(|held| held.of.is_none()).cloned().collect(),
            Some(logs) => held.iter().filter(|held| logs.contains(&held.log)).cloned().collect(),
        };
        let mut best = self.look(group, clinic, &wanted, wish)?;
        let mut bytes = 0;
        let fits = best.events.iter().take_while(|found| {
            bytes += serde_json::to_vec(found).map_or(MAX_BYTES, |json| json.len());
            bytes < MAX_BYTES
        });
        let fits = fits.count();
        best.more |= fits < best.events.len();
        best.events.truncate(fits);
        Ok(Part { best, held })
    }
}

/// Where each log of a report comes from.
#[derive(Default)]
struct Sources {
    states: BTreeMap<NodeId, SourceState>,
    /// Logs that their own host has answered for.
    complete: BTreeSet<u64>,
    /// By log.
    copies: BTreeMap<u64, Copied>,
    of_log: BTreeMap<u64, NodeId>,
    is_first: bool,
}

/// A log as somebody holds it who is not its host.
struct Copied {
    of: NodeId,
    /// How far it goes.
    end: (u64, u64),
    /// `None`: this host.
    holder: Option<NodeId>,
}

impl Sources {
    /// Takes in what a host says; the first is this one.
    fn answered(&mut self, node: Option<&NodeId>, part: Part) -> Best {
        let is_here = !std::mem::replace(&mut self.is_first, true);
        if let Some(node) = node {
            self.states.insert(node.clone(), SourceState::Answered);
        }
        for held in part.held {
            let Some(of) = held.of else {
                self.complete.insert(held.log);
                continue;
            };
            let holder = if is_here { None } else { node.cloned() };
            let known = self.copies.get(&held.log);
            if known.is_none_or(|known| known.end < held.end) {
                self.copies.insert(held.log, Copied { of, end: held.end, holder });
            }
        }
        part.best
    }

    fn missing(&mut self, node: NodeId) {
        self.states.insert(node, SourceState::Missing);
    }

    /// Who is to be asked for which logs of others.
    fn copies(&mut self) -> BTreeMap<Option<NodeId>, Vec<u64>> {
        let mut asked: BTreeMap<Option<NodeId>, Vec<u64>> = BTreeMap::new();
        for (log, Copied { of, holder, .. }) in std::mem::take(&mut self.copies) {
            if !self.complete.contains(&log) {
                asked.entry(holder).or_default().push(log);
                self.of_log.insert(log, of);
            }
        }
        asked
    }

    fn copied(&mut self, logs: &[u64]) {
        for node in logs.iter().filter_map(|log| self.of_log.get(log)) {
            let state = self.states.entry(node.clone()).or_insert(SourceState::Missing);
            // A host that is there again after it lost its disk has answered for what came since.
            if *state == SourceState::Missing {
                *state = SourceState::Copied;
            }
        }
    }

    fn list(self, me: Option<NodeId>) -> Vec<Source> {
        let here = me.is_none().then(|| Source { node: "edge".to_owned(), state: SourceState::Answered });
        let others = self.states.into_iter();
        let others = others.map(|(node, state)| Source { node: node.to_string(), state });
        here.into_iter().chain(others).collect()
    }
}

async fn ask(peers: &dyn Peers, node: &NodeId, question: AuditQuestion) -> io::Result<Part> {
    let question = envelope::seal(&Question::Audit(question), &[]).map_err(io::Error::other)?;
    let answer = peers.ask(node, &question, WITHIN).await.map_err(io::Error::other)?;
    let (answer, bytes) = envelope::open::<AuditAnswer>(&Bytes::from(answer)).map_err(io::Error::other)?;
    match answer {
        AuditAnswer::Part => serde_json::from_slice(&bytes).map_err(io::Error::other),
        _ => Err(io::Error::other("another answer")),
    }
}
