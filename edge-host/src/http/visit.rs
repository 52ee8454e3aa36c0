//! A request at its function: body, idempotency, call, and the transaction that ends by the answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use locum_identity::NodeId;
use tokio::time::timeout_at;
use uuid::Uuid;

use super::audited::strip;
use super::function_request::{self, Meeting};
use super::seen;
use super::service::{Edge, FunctionRoute};
use crate::audit::{self, AuditDoor, Event};
use crate::clinic::ClinicId;
use crate::idempotency::{self, Fingerprint, Key, Known};
use crate::problem::Problem;
use crate::routes::RouteMatch;
use crate::runtime::{Call, CallError};
use crate::store::{Access, Failure, GroupId, Position, Session, StoreError, Writer};

/// On answers while only one region holds what is new, and the group's policy accepts that.
const SINGLE_COPY: HeaderName = HeaderName::from_static("locum-single-copy");
/// Between two looks for an answer that another run has recorded.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A request that met a function of the application.
pub(super) struct Visit<'a> {
    pub(super) edge: &'a Edge,
    pub(super) to: &'a FunctionRoute,
    pub(super) found: RouteMatch<'a>,
    pub(super) clinic: Option<(&'a ClinicId, &'a GroupId)>,
    pub(super) access: Access,
    pub(super) shows_health_data: bool,
    pub(super) client: SocketAddr,
    /// The node of this network that tells something, by its certificate; people's requests name none.
    pub(super) node: Option<NodeId>,
    pub(super) id: Uuid,
}

/// Why a run has no answer of its own.
enum RunError {
    Problem(Problem),
    /// The key has its answer already; what this run did is undone.
    AnsweredMeanwhile,
}

impl Visit<'_> {
    /// A node's own.
    pub(super) fn told_by(self, node: NodeId) -> Self {
        Self { node: Some(node), ..self }
    }

    /// Whatever becomes of it.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: Body<Data = Bytes>,
    {
        let answered = self.serve(request).await;
        strip(answered.unwrap_or_else(|problem| self.problem(problem)))
    }

    /// The body first: a slow sender must not keep a place from others.
    async fn serve<B>(&self, request: Request<B>) -> Result<Response<Bytes>, Problem>
    where
        B: Body<Data = Bytes>,
    {
        let (request, _held) = self.edge.bodies.read(request).await?;
        let key = self.key(&request)?;
        match (self.written(), self.clinic) {
            (Some((clinic, group)), _) if self.edge.store.writer(group) != Writer::Here => {
                self.at_the_writer(request, key, (clinic, group)).await
            }
            (None, Some((_, group))) if !self.edge.store.holders(group).is_empty() => {
                self.at_a_holder(request, group).await
            }
            _ => self.here(request, key.as_ref(), self.longest()).await,
        }
    }

    /// Carries the request out on this host, within this time from when its turn comes.
    pub(super) async fn here(
        &self,
        request: Request<Bytes>,
        key: Option<&Key>,
        within: Duration,
    ) -> Result<Response<Bytes>, Problem> {
        // Held until the call's instance and transaction are gone.
        let _running = self.edge.admission.run().await.ok_or(Problem::BUSY)?;
        let deadline = Instant::now() + within;
        let mut seen = None;
        if let Some((_, group)) = self.clinic
            && let Some(token) = seen::read(request.headers(), group)
        {
            let caught_up = self.edge.store.catch_up(group, token, deadline).await;
            seen = caught_up.map_err(failure_problem)?;
        }
        match (key.zip(self.clinic), self.clinic) {
            (Some((key, (_, group))), _) => self.once(request, key, group, deadline).await,
            (None, Some((_, group))) if self.access == Access::Read => {
                self.look(request, group, seen, deadline).await
            }
            (None, _) => self.run(request, None, None, deadline).await.map_err(RunError::problem),
        }
    }

    /// A request that only reads. What it waited for in vain to be acknowledged it looks past the second time.
    async fn look(
        &self,
        request: Request<Bytes>,
        group: &GroupId,
        seen: Option<Position>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, Problem> {
        let older = Some(seen);
        match self.run(request.clone(), None, older, deadline).await.map_err(RunError::problem) {
            Err(Problem::NOT_SETTLED) if self.edge.store.shows_settled(group) => {
                self.run(request, None, older, deadline).await.map_err(RunError::problem)
            }
            looked => looked,
        }
    }

    /// The answer, with what its receiver has now seen.
    fn with_seen(&self, mut response: Response<Bytes>, session: &dyn Session) -> Response<Bytes> {
        let at = self.clinic.map(|(_, group)| group).zip(session.position());
        let token = at.and_then(|(group, position)| Some((group, self.edge.store.seal(group, position)?)));
        if let Some((group, token)) = token {
            seen::write(response.headers_mut(), &self.edge.network.origins.zone, group, &token);
        }
        if self.clinic.is_some_and(|(_, group)| self.edge.store.is_single_copy(group)) {
            response.headers_mut().insert(SINGLE_COPY, HeaderValue::from_static("true"));
        }
        response
    }

    /// An answer of the host, not of the function. Who was told of a loss need not be told again.
    pub(super) fn problem(&self, problem: Problem) -> Response<Bytes> {
        let mut response = problem.response();
        if let (true, Some((_, group))) = (problem == Problem::HISTORY_LOST, self.clinic) {
            seen::forget(response.headers_mut(), &self.edge.network.origins.zone, group);
        }
        response
    }

    /// The group that this request may write.
    pub(super) fn written(&self) -> Option<(&ClinicId, &GroupId)> {
        self.clinic.filter(|_| self.access == Access::Write)
    }

    /// The client's key. Only what writes can have a second effect.
    pub(super) fn key(&self, request: &Request<Bytes>) -> Result<Option<Key>, Problem> {
        let Some((clinic, _)) = self.written() else { return Ok(None) };
        Key::read(request.headers(), clinic.as_str()).map_err(|_| Problem::BAD_IDEMPOTENCY_KEY)
    }

    /// How long the function may take.
    pub(super) fn longest(&self) -> Duration {
        self.to.function.environment().deadline
    }

    /// A request with a key: its effect at most once, its first answer every time.
    async fn once(
        &self,
        request: Request<Bytes>,
        key: &Key,
        group: &GroupId,
        deadline: Instant,
    ) -> Result<Response<Bytes>, Problem> {
        let turn = timeout_at(deadline.into(), self.edge.in_flight.turn(key.clone())).await;
        let _turn = turn.map_err(|_| Problem::BUSY)?;
        let fingerprint = Fingerprint::of(&request);
        if let Some(answer) = self.known(group, key, fingerprint, deadline).await? {
            return Ok(answer);
        }
        match self.run(request, Some((key, fingerprint)), None, deadline).await {
            Err(RunError::AnsweredMeanwhile) => self.answered(group, key, fingerprint, deadline).await,
            ran => ran.map_err(RunError::problem),
        }
    }

    /// The answer that the key has, if any.
    async fn known(
        &self,
        group: &GroupId,
        key: &Key,
        fingerprint: Fingerprint,
        deadline: Instant,
    ) -> Result<Option<Response<Bytes>>, Problem> {
        let session = self.edge.store.session(group, Access::Read, deadline).map_err(store_problem)?;
        let known = idempotency::look_up(session.as_ref(), key, fingerprint).await;
        if !matches!(known, Ok(Known::New)) {
            // An answer is given again only once what it says is kept.
            session.commit().await.map_err(store_problem)?;
        }
        match known {
            Ok(Known::New) => Ok(None),
            Ok(Known::Answered(response)) => {
                self.record_again(group, &response).await?;
                Ok(Some(self.with_seen(response, session.as_ref())))
            }
            Ok(Known::Reused) => Err(Problem::IDEMPOTENCY_KEY_REUSED),
            Err(_) => Err(Problem::STORE_FAILED),
        }
    }

    /// The answer of a key that has one. The copy that is read may be some frames behind the writer.
    async fn answered(
        &self,
        group: &GroupId,
        key: &Key,
        fingerprint: Fingerprint,
        deadline: Instant,
    ) -> Result<Response<Bytes>, Problem> {
        loop {
            if let Some(answer) = self.known(group, key, fingerprint, deadline).await? {
                return Ok(answer);
            }
            if Instant::now() + LOOK_AGAIN > deadline {
                return Err(Problem::OUTCOME_UNKNOWN);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// `older`: it may be shown what was acknowledged last, but nothing from before what its sender has seen.
    async fn run(
        &self,
        request: Request<Bytes>,
        key: Option<(&Key, Fingerprint)>,
        older: Option<Option<Position>>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, RunError> {
        let meeting = Meeting {
            route: &self.to.route,
            found: &self.found,
            client: self.client,
            country: self.edge.countries.as_ref().and_then(|countries| countries.of(self.client.ip())),
            node: self.node.as_ref().map(|node| (node, &self.edge.host_key)),
            id: self.id,
            scheme: self.edge.network.origins.scheme,
        };
        let request = function_request::prepare(request, &meeting).map_err(RunError::Problem)?;
        let open = |(_, group)| self.edge.store.session(group, self.access, deadline).map_err(store_problem);
        let session = self.clinic.map(open).transpose().map_err(RunError::Problem)?;
        if let Some((session, not_before)) = session.as_ref().zip(older) {
            session.allow_older(not_before);
        }
        let clinic = self.clinic.map(|(clinic, _)| clinic.to_string()).unwrap_or_default();
        let audit = self.clinic.filter(|_| self.to.reads_audit).map(|(clinic, group)| {
            let (audit, peers) = (Arc::clone(&self.edge.audit), Arc::clone(&self.edge.peers));
            Arc::new(AuditDoor { audit, peers, group: group.clone(), clinic: clinic.to_string() })
        });
        let call = Call { request, session: session.clone(), clinic, audit, deadline };
        let answered = self.to.function.call(call).await;
        if let Err(error) = &answered {
            let component = &self.to.function.environment().component;
            // Its text could quote what the function worked on: only its kind is logged.
            tracing::warn!(component, kind = error.kind(), request = %self.id, "call failed");
        }
        match session {
            Some(session) => {
                let response = self.settle(session.as_ref(), answered, key).await?;
                Ok(self.with_seen(response, session.as_ref()))
            }
            None => answered.map_err(|error| RunError::Problem(call_problem(&error))),
        }
    }

    /// Commits or rolls back by the answer, and only then lets it go.
    async fn settle(
        &self,
        session: &dyn Session,
        answered: Result<Response<Bytes>, CallError>,
        key: Option<(&Key, Fingerprint)>,
    ) -> Result<Response<Bytes>, RunError> {
        let response = match answered {
            Ok(response) if !response.status().is_server_error() && session.failure().is_none() => response,
            undone => {
                session.rollback().await;
                return undone_answer(session, undone).map_err(RunError::Problem);
            }
        };
        let events = match self.events(&response) {
            Ok(events) => events,
            Err(problem) => {
                session.rollback().await;
                return Err(RunError::Problem(problem));
            }
        };
        if let Err(error) = self.record(session, &response, &events, key).await {
            session.rollback().await;
            return Err(session
                .failure()
                .map_or(error, |failure| RunError::Problem(failure_problem(failure))));
        }
        session.commit().await.map_err(|error| RunError::Problem(store_problem(error)))?;
        if let Some(feed) = &self.edge.feed {
            feed.see(&events, self.client.ip());
        }
        if let (Access::Read, Some((_, group))) = (self.access, self.clinic) {
            self.record_reading(group, events).await.map_err(RunError::Problem)?;
        }
        Ok(response)
    }

    /// Adds the host's own rows to a transaction that writes.
    async fn record(
        &self,
        session: &dyn Session,
        response: &Response<Bytes>,
        events: &[Event],
        key: Option<(&Key, Fingerprint)>,
    ) -> Result<(), RunError> {
        let failed = |_| RunError::Problem(Problem::STORE_FAILED);
        if self.access == Access::Write {
            audit::insert(session, events).await.map_err(failed)?;
        }
        let Some((key, fingerprint)) = key else { return Ok(()) };
        match idempotency::record(session, key, fingerprint, response).await.map_err(failed)? {
            true => Ok(()),
            false => Err(RunError::AnsweredMeanwhile),
        }
    }
}

impl RunError {
    fn problem(self) -> Problem {
        match self {
            Self::Problem(problem) => problem,
            Self::AnsweredMeanwhile => Problem::STORE_FAILED,
        }
    }
}

/// What is answered where nothing is kept.
fn undone_answer(
    session: &dyn Session,
    undone: Result<Response<Bytes>, CallError>,
) -> Result<Response<Bytes>, Problem> {
    match (session.failure(), undone) {
        (Some(failure), _) => Err(failure_problem(failure)),
        (None, Err(error)) => Err(call_problem(&error)),
        (None, Ok(_)) if session.write_refused() => Err(Problem::READ_ONLY_REQUEST),
        (None, Ok(response)) => Ok(response),
    }
}

fn call_problem(error: &CallError) -> Problem {
    match error {
        CallError::Deadline => Problem::DEADLINE,
        CallError::Memory => Problem::FUNCTION_MEMORY,
        CallError::HostMemory => Problem::BUSY,
        CallError::AnswerTooLarge => Problem::ANSWER_TOO_LARGE,
        CallError::Failed(_) => Problem::FUNCTION_FAILED,
    }
}

fn store_problem(error: StoreError) -> Problem {
    match error {
        StoreError::UnknownGroup(_) => Problem::UNKNOWN_CLINIC,
        StoreError::Failed(failure) => failure_problem(failure),
        StoreError::Commit(_) => Problem::STORE_FAILED,
    }
}

fn failure_problem(failure: Failure) -> Problem {
    match failure {
        Failure::Busy => Problem::STORE_BUSY,
        Failure::TransactionTimeout => Problem::TRANSACTION_TIMEOUT,
        Failure::TransactionLost => Problem::STORE_FAILED,
        Failure::NoPrimary => Problem::NO_PRIMARY,
        Failure::NotSettled => Problem::NOT_SETTLED,
        Failure::Upgrading => Problem::UPGRADING,
        Failure::NotDurableYet => Problem::NOT_DURABLE_YET,
        Failure::OutcomeUnknown => Problem::OUTCOME_UNKNOWN,
        Failure::HistoryLost => Problem::HISTORY_LOST,
    }
}
