//! The way of a request: origin, route, clinic, admission, body, idempotency, function, transaction, answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::timeout_at;
use uuid::Uuid;

use super::access_log::AccessLog;
use super::answer::AnswerHeaders;
use super::function_request::{self, Meeting};
use super::origin::Sender;
use super::{Pages, body};
use crate::admission::Admission;
use crate::clinic::{ClinicId, Clinics};
use crate::config::Limits;
use crate::idempotency::{self, Fingerprint, InFlight, Key, Known};
use crate::network::Network;
use crate::problem::Problem;
use crate::routes::{Route, RouteMatch};
use crate::runtime::{Call, CallError, Function};
use crate::store::{Access, Failure, GroupId, RecordStore, Session, StoreError};

/// The segment that names a clinic.
const CLINIC: &str = "clinic";
const DISCOVERY: &str = "/.well-known/locum.json";
const JWKS: &str = "/.well-known/jwks.json";

/// A route of the application and the function behind it.
pub(crate) struct FunctionRoute {
    /// As the manifest has it.
    pub(crate) route: Route,
    /// The linked component.
    pub(crate) function: Arc<Function>,
    /// Routes of this component whose unsafe methods only read.
    pub(crate) reads: Arc<[Route]>,
    /// Routes of this component whose `GET` writes.
    pub(crate) writes: Arc<[Route]>,
}

/// Everything a request can meet.
pub(crate) struct Edge {
    /// The most specific route first.
    pub(crate) functions: Vec<FunctionRoute>,
    /// Clinic → record group.
    pub(crate) clinics: Clinics,
    /// The record groups.
    pub(crate) store: Arc<dyn RecordStore>,
    /// The built web pages.
    pub(crate) pages: Arc<Pages>,
    /// Names, keys and node list.
    pub(crate) network: Arc<Network>,
    /// Bounds.
    pub(crate) limits: Limits,
    admission: Admission,
    in_flight: InFlight,
    headers: AnswerHeaders,
}

/// Where a path leads.
enum Target<'a> {
    Discovery,
    Jwks,
    Function { to: &'a FunctionRoute, found: RouteMatch<'a> },
    Pages,
}

/// A request that met a function.
struct Visit<'a> {
    to: &'a FunctionRoute,
    found: RouteMatch<'a>,
    clinic: Option<(&'a ClinicId, &'a GroupId)>,
    access: Access,
    client: SocketAddr,
    id: Uuid,
}

impl Edge {
    /// Joins the parts.
    pub(crate) fn new(
        functions: Vec<FunctionRoute>,
        clinics: Clinics,
        store: Arc<dyn RecordStore>,
        pages: Arc<Pages>,
        network: Arc<Network>,
        limits: Limits,
    ) -> Self {
        let (admission, headers) = (Admission::new(&limits), AnswerHeaders::new(&network.origins));
        Self {
            functions,
            clinics,
            store,
            pages,
            network,
            limits,
            admission,
            in_flight: InFlight::default(),
            headers,
        }
    }

    /// Calls that run now, and the most there may be.
    pub(crate) fn load(&self) -> (u32, u32) {
        (self.admission.running(), self.admission.capacity())
    }

    /// Answers any request.
    pub(crate) async fn answer<B>(&self, request: Request<B>, client: SocketAddr) -> Response<Bytes>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (id, started) = (Uuid::now_v7(), Instant::now());
        let path = request.uri().path().to_owned();
        let target = self.target(&path);
        let (route, component) = target.labels();
        let log = AccessLog { id, method: request.method().clone(), route, component, started };
        let sender = Sender::of(request.headers(), &self.network.origins);
        let is_page = matches!(target, Target::Pages);
        let mut response = if is_page {
            self.page(&request, &path).await
        } else {
            self.api(request, target, sender, client, id).await
        };
        match is_page {
            true => self.headers.page(&mut response),
            false => self.headers.api(&mut response, sender == Sender::Pages),
        }
        self.headers.common(&mut response, id);
        log.write(response.status());
        response
    }

    fn target<'a>(&'a self, path: &'a str) -> Target<'a> {
        match path {
            DISCOVERY => return Target::Discovery,
            JWKS => return Target::Jwks,
            _ => {}
        }
        let met = self.functions.iter().find_map(|to| to.route.matches(path).map(|found| (to, found)));
        met.map_or(Target::Pages, |(to, found)| Target::Function { to, found })
    }

    async fn page<B>(&self, request: &Request<B>, path: &str) -> Response<Bytes> {
        match *request.method() {
            Method::GET | Method::HEAD => self.pages.serve(path, request.headers()).await,
            _ => Problem::NOT_FOUND.response(),
        }
    }

    async fn api<B>(
        &self,
        request: Request<B>,
        target: Target<'_>,
        sender: Sender,
        client: SocketAddr,
        id: Uuid,
    ) -> Response<Bytes>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if request.method() == Method::OPTIONS {
            return self.preflight(&request, sender);
        }
        if !sender.may(request.method()) {
            return Problem::FOREIGN_ORIGIN.response();
        }
        match target {
            Target::Function { to, found } => match self.function(request, to, found, client, id).await {
                Ok(response) => response,
                Err(problem) => problem.response(),
            },
            _ if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                Problem::METHOD_NOT_ALLOWED.response()
            }
            Target::Jwks => json(serde_json::to_vec(&self.network.jwks()).unwrap_or_default()),
            _ => json(self.network.discovery(self.clinics.names().map(ClinicId::as_str))),
        }
    }

    fn preflight<B>(&self, request: &Request<B>, sender: Sender) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if sender == Sender::Pages && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            self.headers.preflight(&mut response);
        }
        response
    }

    async fn function<B>(
        &self,
        request: Request<B>,
        to: &FunctionRoute,
        found: RouteMatch<'_>,
        client: SocketAddr,
        id: Uuid,
    ) -> Result<Response<Bytes>, Problem>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let named = found.named.iter().find(|(name, _)| name == CLINIC).map(|(_, segment)| *segment);
        let clinic = named.map(|name| self.clinics.find(name).ok_or(Problem::UNKNOWN_CLINIC)).transpose()?;
        let access = to.access(request.method(), request.uri().path())?;
        let visit = Visit { to, found, clinic, access, client, id };
        let admitted = self.admission.enter().ok_or(Problem::BUSY)?;
        let request =
            body::read(request, self.limits.body_bytes as usize, self.limits.read_timeout()).await?;
        let key = self.key(&request, &visit)?;
        let running = self.admission.run(admitted).await.ok_or(Problem::BUSY)?;
        let answer = match key {
            Some((key, group)) => self.once(request, &visit, key, group).await,
            None => self.run(request, &visit, None, self.deadline(&visit)).await,
        };
        drop(running);
        answer
    }

    /// Only what writes can have a second effect.
    fn key<'a>(
        &self,
        request: &Request<Bytes>,
        visit: &Visit<'a>,
    ) -> Result<Option<(Key, &'a GroupId)>, Problem> {
        let Some((clinic, group)) = visit.clinic.filter(|_| visit.access == Access::Write) else {
            return Ok(None);
        };
        let key = Key::read(request.headers(), clinic.as_str()).map_err(|_| Problem::BAD_IDEMPOTENCY_KEY)?;
        Ok(key.map(|key| (key, group)))
    }

    /// A request with a key: its effect at most once, its first answer every time.
    async fn once(
        &self,
        request: Request<Bytes>,
        visit: &Visit<'_>,
        key: Key,
        group: &GroupId,
    ) -> Result<Response<Bytes>, Problem> {
        let deadline = self.deadline(visit);
        let turn = timeout_at(deadline.into(), self.in_flight.turn(key.clone())).await;
        let _turn = turn.map_err(|_| Problem::BUSY)?;
        let fingerprint = Fingerprint::of(&request);
        let session = self.store.session(group, Access::Read, deadline).map_err(store_problem)?;
        let known = idempotency::look_up(session.as_ref(), &key, fingerprint).await;
        session.rollback().await;
        match known {
            Ok(Known::New) => self.run(request, visit, Some((key, fingerprint)), deadline).await,
            Ok(Known::Answered(response)) => Ok(response),
            Ok(Known::Reused) => Err(Problem::IDEMPOTENCY_KEY_REUSED),
            Err(_) => Err(Problem::STORE_FAILED),
        }
    }

    async fn run(
        &self,
        request: Request<Bytes>,
        visit: &Visit<'_>,
        key: Option<(Key, Fingerprint)>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, Problem> {
        let meeting = Meeting {
            route: &visit.to.route,
            found: &visit.found,
            client: visit.client,
            id: visit.id,
            scheme: self.network.origins.scheme,
        };
        let request = function_request::prepare(request, &meeting)?;
        let session = match visit.clinic {
            Some((_, group)) => {
                Some(self.store.session(group, visit.access, deadline).map_err(store_problem)?)
            }
            None => None,
        };
        let clinic = visit.clinic.map(|(clinic, _)| clinic.to_string()).unwrap_or_default();
        let call = Call { request, session: session.clone(), clinic, deadline };
        let answered = visit.to.function.call(call).await;
        if let Err(error) = &answered {
            // Its text could quote what the function worked on: only its kind is logged.
            tracing::warn!(component = visit.component(), kind = error.kind(), request = %visit.id, "call failed");
        }
        match session {
            Some(session) => settle(session.as_ref(), answered, key).await,
            None => answered.map_err(call_problem),
        }
    }

    fn deadline(&self, visit: &Visit<'_>) -> Instant {
        Instant::now() + visit.to.function.environment().deadline
    }
}

impl FunctionRoute {
    fn access(&self, method: &Method, path: &str) -> Result<Access, Problem> {
        let declared = |routes: &[Route]| routes.iter().any(|route| route.matches(path).is_some());
        match *method {
            Method::GET | Method::HEAD if declared(&self.writes) => Ok(Access::Write),
            Method::GET | Method::HEAD => Ok(Access::Read),
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE if declared(&self.reads) => {
                Ok(Access::Read)
            }
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE => Ok(Access::Write),
            _ => Err(Problem::METHOD_NOT_ALLOWED),
        }
    }
}

impl Visit<'_> {
    fn component(&self) -> &str {
        &self.to.function.environment().component
    }
}

impl<'a> Target<'a> {
    /// Route and component, for log and metrics.
    fn labels(&self) -> (&'a str, &'a str) {
        match self {
            Self::Discovery => (DISCOVERY, "host"),
            Self::Jwks => (JWKS, "host"),
            Self::Function { to, .. } => (to.route.raw(), &to.function.environment().component),
            Self::Pages => ("pages", "pages"),
        }
    }
}

/// Commits or rolls back by the answer, and only then lets it go.
async fn settle(
    session: &dyn Session,
    answered: Result<Response<Bytes>, CallError>,
    key: Option<(Key, Fingerprint)>,
) -> Result<Response<Bytes>, Problem> {
    let keep = matches!(&answered, Ok(response) if response.status().as_u16() < 500);
    if !keep || session.failure().is_some() {
        session.rollback().await;
        if let Some(failure) = session.failure() {
            return Err(failure_problem(failure));
        }
        let refused = session.write_refused() && answered.is_ok();
        return if refused { Err(Problem::READ_ONLY_REQUEST) } else { answered.map_err(call_problem) };
    }
    let response = answered.map_err(call_problem)?;
    if let Some((key, fingerprint)) = key
        && idempotency::record(session, &key, fingerprint, &response).await.is_err()
    {
        session.rollback().await;
        return Err(session.failure().map_or(Problem::STORE_FAILED, failure_problem));
    }
    session.commit().await.map_err(store_problem)?;
    Ok(response)
}

fn call_problem(error: CallError) -> Problem {
    match error {
        CallError::Deadline => Problem::DEADLINE,
        CallError::Memory => Problem::FUNCTION_MEMORY,
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
    }
}

fn json(body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
