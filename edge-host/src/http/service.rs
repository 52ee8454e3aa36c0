//! Where a request goes, by its path and origin, and what every answer carries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, COOKIE, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::Pages;
use super::access_log::AccessLog;
use super::answer::{AnswerHeaders, Reader};
use super::body::BodyReader;
use super::origin::Sender;
use super::visit::Visit;
use crate::admission::Admission;
use crate::audit::Audit;
use crate::blob::Blobs;
use crate::clinic::{ClinicId, Clinics};
use crate::config::{Limits, Secret};
use crate::countries::Countries;
use crate::idempotency::InFlight;
use crate::manifest::{CallEventsTool, DeliveriesTool};
use crate::mesh::Peers;
use crate::network::Network;
use crate::problem::Problem;
use crate::revocations::Revocations;
use crate::routes::{Route, RouteMatch};
use crate::runtime::Function;
use crate::security_feed::SecurityFeed;
use crate::store::{Access, RecordStore};

/// The segment that names a clinic.
const CLINIC: &str = "clinic";
const DISCOVERY: &str = "/.well-known/locum.json";
const JWKS: &str = "/.well-known/jwks.json";
/// A control plane has five members at most, and each asks every few seconds.
const CANARIES: usize = 5;
/// Each writes; people come first.
const CALL_EVENTS: usize = 2;

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
    /// Routes of this component whose answers show health data.
    pub(crate) health: Arc<[Route]>,
    /// Whether the component may read audit events.
    pub(crate) reads_audit: bool,
    /// Routes of this component that other people's pages may ask, without cookies.
    pub(crate) apps: Arc<[Route]>,
}

/// Everything a request can meet.
pub(crate) struct Edge {
    /// The most specific route first.
    pub(crate) functions: Vec<FunctionRoute>,
    /// Clinic → record group.
    pub(crate) clinics: Clinics,
    /// The record groups.
    pub(crate) store: Arc<dyn RecordStore>,
    /// Who saw and changed what.
    pub(crate) audit: Arc<Audit>,
    /// Documents.
    pub(crate) blobs: Arc<Blobs>,
    /// Whose tokens media nodes refuse.
    pub(crate) revocations: Revocations,
    /// What a security team is told.
    pub(super) feed: Option<SecurityFeed>,
    /// The built web pages.
    pub(crate) pages: Arc<Pages>,
    /// Names, keys and node list.
    pub(crate) network: Arc<Network>,
    /// Other edge hosts.
    pub(crate) peers: Arc<dyn Peers>,
    pub(super) admission: Admission,
    /// Requests that wait for another host need no function's place, and must not take one from those that
    /// the other host sends here.
    pub(super) replays: Admission,
    pub(super) bodies: BodyReader,
    pub(super) in_flight: InFlight,
    /// Members of the control plane that look how records are, at once.
    pub(crate) canaries: Semaphore,
    /// Where what media nodes tell of calls is kept.
    pub(super) call_events: Option<CallEventsTool>,
    /// How messages to people outside are handed out.
    pub(crate) deliveries: Option<DeliveriesTool>,
    /// Media nodes that tell something, at once.
    pub(crate) call_events_taken: Semaphore,
    /// Marks requests that this host makes itself.
    pub(super) host_key: Secret,
    /// Where clients are.
    pub(super) countries: Option<Arc<Countries>>,
    headers: AnswerHeaders,
}

/// The application, and what the host needs to ask one of its functions itself.
pub(crate) struct Functions {
    /// The most specific route first.
    pub(crate) routes: Vec<FunctionRoute>,
    /// Where what media nodes tell of calls is kept.
    pub(crate) call_events: Option<CallEventsTool>,
    /// How messages to people outside are handed out.
    pub(crate) deliveries: Option<DeliveriesTool>,
    /// Marks requests that the host makes itself.
    pub(crate) host_key: Secret,
    /// Where clients are.
    pub(crate) countries: Option<Arc<Countries>>,
}

/// What a host keeps of its record groups.
pub(crate) struct Kept {
    /// Their databases.
    pub(crate) store: Arc<dyn RecordStore>,
    /// Who saw and changed what.
    pub(crate) audit: Arc<Audit>,
    /// Documents.
    pub(crate) blobs: Arc<Blobs>,
    /// Whose tokens media nodes refuse.
    pub(crate) revocations: Revocations,
    /// What a security team is told.
    pub(crate) feed: Option<SecurityFeed>,
}

/// Where a path leads.
pub(super) enum Target<'a> {
    Discovery,
    Jwks,
    Function { to: &'a FunctionRoute, found: RouteMatch<'a> },
    Pages,
}

impl Edge {
    /// Joins the parts.
    pub(crate) fn new(
        Functions { routes: functions, call_events, deliveries, host_key, countries }: Functions,
        clinics: Clinics,
        Kept { store, audit, blobs, revocations, feed }: Kept,
        pages: Arc<Pages>,
        network: Arc<Network>,
        peers: Arc<dyn Peers>,
        limits: &Limits,
    ) -> Self {
        let headers = AnswerHeaders::new(&network.origins, pages.others());
        Self {
            functions,
            clinics,
            store,
            audit,
            blobs,
            revocations,
            feed,
            pages,
            network,
            peers,
            admission: Admission::new(limits, "locum_edge_calls_running"),
            replays: Admission::new(limits, "locum_edge_replays_running"),
            bodies: BodyReader::new(limits),
            in_flight: InFlight::default(),
            canaries: Semaphore::new(CANARIES),
            call_events,
            deliveries,
            call_events_taken: Semaphore::new(CALL_EVENTS),
            host_key,
            countries,
            headers,
        }
    }

    /// Calls that run now, and the most there may be.
    pub(crate) fn load(&self) -> (u32, u32) {
        (self.admission.running(), self.admission.capacity())
    }

    /// Answers any request.
    pub(crate) async fn answer<B>(&self, mut request: Request<B>, client: SocketAddr) -> Response<Bytes>
    where
        B: Body<Data = Bytes>,
    {
        let (id, started) = (Uuid::now_v7(), Instant::now());
        let path = request.uri().path().to_owned();
        let target = self.target(&path);
        let (route, component) = target.labels();
        // Public keys tell nothing of anybody, and every member of the control plane asks for them all the time.
        let is_probe = matches!(target, Target::Jwks);
        let log = AccessLog { id, method: request.method().clone(), route, component, started, is_probe };
        let mut sender = Sender::of(request.headers(), &self.network);
        if sender == Sender::Foreign && target.is_for_apps(&path) {
            // Whatever the browser has of ours is not the app's.
            request.headers_mut().remove(COOKIE);
            sender = Sender::App;
        }
        let reader = match sender {
            Sender::Pages => request.headers().get(ORIGIN).cloned().map_or(Reader::Nobody, Reader::Pages),
            Sender::App => Reader::Anybody,
            Sender::Direct | Sender::Same | Sender::Foreign => Reader::Nobody,
        };
        let is_page = matches!(target, Target::Pages);
        let mut response = if is_page {
            self.page(&request, &path).await
        } else {
            self.api(request, target, sender, client, id).await
        };
        match is_page {
            true => self.headers.page(&mut response),
            false => self.headers.api(&mut response, reader),
        }
        self.headers.common(&mut response, id);
        log.write(response.status());
        response
    }

    pub(super) fn target<'a>(&'a self, path: &'a str) -> Target<'a> {
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
        B: Body<Data = Bytes>,
    {
        if request.method() == Method::OPTIONS {
            return self.preflight(&request, sender);
        }
        if !sender.may(request.method()) {
            return Problem::FOREIGN_ORIGIN.response();
        }
        match target {
            Target::Function { to, found } => {
                let visit = self.visit(to, found, (request.method(), request.uri().path()), client, id);
                match visit {
                    Ok(visit) => visit.answer(request).await,
                    Err(problem) => problem.response(),
                }
            }
            _ if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                Problem::METHOD_NOT_ALLOWED.response()
            }
            Target::Jwks => json(serde_json::to_vec(&self.network.all_jwks()).unwrap_or_default()),
            _ => json(self.network.discovery(self.clinics.names().map(ClinicId::as_str))),
        }
    }

    pub(super) fn visit<'a>(
        &'a self,
        to: &'a FunctionRoute,
        found: RouteMatch<'a>,
        (method, path): (&Method, &str),
        client: SocketAddr,
        id: Uuid,
    ) -> Result<Visit<'a>, Problem> {
        let named = found.named.iter().find(|(name, _)| name == CLINIC).map(|(_, segment)| *segment);
        let clinic = named.map(|name| self.clinics.find(name).ok_or(Problem::UNKNOWN_CLINIC)).transpose()?;
        let access = to.access(method, path)?;
        let shows_health_data = to.health.iter().any(|route| route.matches(path).is_some());
        Ok(Visit { edge: self, to, found, clinic, access, shows_health_data, client, node: None, id })
    }

    fn preflight<B>(&self, request: &Request<B>, sender: Sender) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let may_ask = matches!(sender, Sender::Pages | Sender::App);
        if may_ask && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            self.headers.preflight(&mut response);
        }
        response
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

impl<'a> Target<'a> {
    fn is_for_apps(&self, path: &str) -> bool {
        matches!(self, Self::Function { to, .. } if to.apps.iter().any(|route| route.matches(path).is_some()))
    }

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

fn json(body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
