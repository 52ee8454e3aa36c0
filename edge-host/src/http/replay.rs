//! A request at another host, in one round trip over the mesh: one that writes at the host that writes its group,
//! and one that reads, of a group whose records may not be here, at a host that holds them.
//!
//! A replayed request carries a key of its own, so it may be asked for twice and has its effect once. It is
//! never replayed again: a host that is not who it was taken for says so, and whoever asked looks again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use locum_identity::NodeId;
use locum_telemetry::config::chain;

use super::audited::strip;
use super::service::{Edge, Target};
use super::visit::Visit;
use crate::clinic::ClinicId;
use crate::idempotency::Key;
use crate::mesh::{AskError, Outcome, Replay, ReplayedRequest};
use crate::problem::Problem;
use crate::store::{GroupId, Writer};

/// How often somebody else is asked, all hosts together.
const ASKS: usize = 2;
/// A host that died says nothing: after this long it is asked again, on a new connection, or its successor is.
const PATIENCE: Duration = Duration::from_secs(3);
/// What the other host's answer may take on its way, so that its "too late" arrives in time.
const TRAVEL: Duration = Duration::from_millis(250);

/// What another host sent is no request of a clinic on this one.
pub(crate) struct Unlike;

impl Edge {
    /// Carries out what another host sent, if this one is the writer, or holds what is read.
    pub(crate) async fn carry_out(&self, replayed: ReplayedRequest) -> Result<Outcome, Unlike> {
        let ReplayedRequest { id, client, node, within, request } = replayed;
        let path = request.uri().path().to_owned();
        let Target::Function { to, found } = self.target(&path) else { return Err(Unlike) };
        let visit = self.visit(to, found, (request.method(), &path), client, id).map_err(|_| Unlike)?;
        let visit = Visit { node, ..visit };
        let (clinic, group) = visit.clinic.ok_or(Unlike)?;
        let writer = match visit.written() {
            Some(_) => self.store.writer(group),
            None if self.store.holders(group).is_empty() => Writer::Here,
            None => Writer::Nowhere,
        };
        let outcome = match writer {
            Writer::Here => {
                let key = visit.written().map(|_| Key::of_request(clinic.as_str(), id));
                let answered = visit.replayed(request, key, within).await;
                Outcome::Answered(strip(answered.unwrap_or_else(|problem| visit.problem(problem))))
            }
            Writer::At(node) => Outcome::NotWriter(Some(node)),
            Writer::Nowhere => Outcome::NotWriter(None),
        };
        let (status, label) = match &outcome {
            Outcome::Answered(response) => (Some(response.status().as_u16()), "answered"),
            Outcome::NotWriter(_) => (None, "not-writer"),
        };
        metrics::counter!("locum_edge_replays_received_total", "outcome" => label).increment(1);
        tracing::info!(route = to.route.raw(), status, request = %id, "request of another host");
        Ok(outcome)
    }
}

impl Visit<'_> {
    async fn replayed(
        &self,
        request: Request<Bytes>,
        key_of_request: Option<Key>,
        within: Duration,
    ) -> Result<Response<Bytes>, Problem> {
        let _held = self.edge.bodies.hold(request.body())?;
        let key = self.key(&request)?.or(key_of_request);
        self.here(request, key.as_ref(), within.min(self.longest())).await
    }

    /// Sends the request to whoever writes its group. `key` is the client's.
    pub(super) async fn at_the_writer(
        &self,
        request: Request<Bytes>,
        key: Option<Key>,
        (clinic, group): (&ClinicId, &GroupId),
    ) -> Result<Response<Bytes>, Problem> {
        let _waiting = self.edge.replays.run().await.ok_or(Problem::BUSY)?;
        let deadline = Instant::now() + self.longest();
        let mut sending = Sending::default();
        while sending.asks < ASKS {
            let left = deadline.saturating_duration_since(Instant::now());
            let node = match self.edge.store.writer(group) {
                Writer::Here => {
                    let key = key.unwrap_or_else(|| Key::of_request(clinic.as_str(), self.id));
                    return sending.judge(self.here(request, Some(&key), left).await);
                }
                Writer::At(node) => sending.next(node),
                Writer::Nowhere => break,
            };
            if left <= TRAVEL {
                break;
            }
            match self.ask(&node, &request, left).await {
                Ok(Outcome::Answered(response)) => return sending.judge(Ok(response)),
                Ok(Outcome::NotWriter(writer)) => sending.told = writer,
                Err(problem) => sending.failed(problem),
            }
            sending.asked = Some(node);
            sending.asks += 1;
        }
        Err(sending.problem())
    }

    /// Sends a request that reads to the hosts of its group, one after the other.
    pub(super) async fn at_a_holder(
        &self,
        request: Request<Bytes>,
        group: &GroupId,
    ) -> Result<Response<Bytes>, Problem> {
        let _waiting = self.edge.replays.run().await.ok_or(Problem::BUSY)?;
        let deadline = Instant::now() + self.longest();
        let unasked = if self.edge.store.is_fit() { Problem::NOT_SETTLED } else { Problem::UPGRADING };
        let mut refused = unasked.response();
        for node in self.edge.store.holders(group).iter() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left <= TRAVEL {
                break;
            }
            match self.ask(node, &request, left).await {
                Ok(Outcome::Answered(response)) if response.status() != StatusCode::SERVICE_UNAVAILABLE => {
                    return Ok(response);
                }
                Ok(Outcome::Answered(response)) => refused = response,
                // Nothing was read: another copy may serve as well.
                Ok(Outcome::NotWriter(_)) | Err(_) => {}
            }
        }
        Ok(refused)
    }

    async fn ask(&self, node: &NodeId, request: &Request<Bytes>, left: Duration) -> Result<Outcome, Problem> {
        let begun = Instant::now();
        let replay = Replay { id: self.id, client: self.client, node: self.node.as_ref(), request };
        let question = replay.question(left - TRAVEL).map_err(|_| Problem::BAD_REQUEST)?;
        let answer = self.edge.peers.ask(node, &question, left.min(PATIENCE)).await;
        let outcome = match answer {
            // Whoever answers something else may have done it.
            Ok(answer) => Outcome::open(answer).map_err(|_| Problem::OUTCOME_UNKNOWN),
            Err(error) => {
                tracing::warn!(%node, request = %self.id, error = chain(&error), "no answer to a replay");
                Err(problem(&error))
            }
        };
        let label = match &outcome {
            Ok(Outcome::Answered(_)) => "answered",
            Ok(Outcome::NotWriter(_)) => "not-writer",
            Err(problem) => problem.slug(),
        };
        metrics::counter!("locum_edge_replays_sent_total", "outcome" => label).increment(1);
        metrics::histogram!("locum_edge_replay_seconds").record(begun.elapsed().as_secs_f64());
        outcome
    }
}

/// What came of a request so far.
#[derive(Default)]
struct Sending {
    asks: usize,
    asked: Option<NodeId>,
    /// Who writes the group, by the word of the host asked last.
    told: Option<NodeId>,
    /// A host may have carried it out, or be about to.
    unknown: bool,
    busy: bool,
}

impl Sending {
    /// Whom to ask. Our own news first; where they are still what led to the wrong host, that host's.
    fn next(&mut self, writer: NodeId) -> NodeId {
        match self.told.take() {
            Some(told) if self.asked.as_ref() == Some(&writer) => told,
            _ => writer,
        }
    }

    fn failed(&mut self, problem: Problem) {
        self.unknown |= problem == Problem::OUTCOME_UNKNOWN;
        self.busy |= problem == Problem::BUSY;
    }

    /// "Nothing was changed" is true of the last try only.
    fn judge(&self, answered: Result<Response<Bytes>, Problem>) -> Result<Response<Bytes>, Problem> {
        let response = answered.unwrap_or_else(Problem::response);
        let turned_away = response.status() == StatusCode::SERVICE_UNAVAILABLE;
        if self.unknown && turned_away { Err(Problem::OUTCOME_UNKNOWN) } else { Ok(response) }
    }

    fn problem(&self) -> Problem {
        match (self.unknown, self.busy) {
            (true, _) => Problem::OUTCOME_UNKNOWN,
            (false, true) => Problem::BUSY,
            (false, false) => Problem::NO_PRIMARY,
        }
    }
}

fn problem(error: &AskError) -> Problem {
    if error.may_have_been_carried_out() {
        Problem::OUTCOME_UNKNOWN
    } else if error.is_overload() {
        Problem::BUSY
    } else {
        Problem::NO_PRIMARY
    }
}
