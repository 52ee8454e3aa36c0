//! A record group with a clock and variables that a test owns.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use http::Request;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;
use tempfile::TempDir;

use super::{Client, KeptEvents, LibsqlDatabase};
use crate::Pending;
use crate::audit::Trail;
use crate::breached::{Breached, BreachedError};
use crate::clock::Clock;
use crate::context::{Caller, Context, Host};
use crate::database::{Database as _, Row, Value};
use crate::ids::ClinicId;
use crate::outbound::{Incoming, Outbound, OutboundError, Outgoing};
use crate::variables::{VariableError, Variables};

/// What surrounds a function under test.
pub struct World {
    file: PathBuf,
    /// Removes the file in the end; only the world that made it has this.
    _folder: Option<TempDir>,
    pub(super) database: LibsqlDatabase,
    now: Cell<Timestamp>,
    variables: RefCell<BTreeMap<String, String>>,
    breached: RefCell<Option<Vec<String>>>,
    /// What other servers answer, by URL.
    elsewhere: RefCell<BTreeMap<String, (u16, Vec<u8>)>>,
    /// What they were sent.
    sent: RefCell<Vec<Outgoing>>,
    /// What functions said they did, as their host would keep it.
    pub(super) trail: RefCell<Vec<Json>>,
    pub(super) kept: KeptEvents,
}

impl World {
    /// An empty record group; it is Monday, 2 March 2026, 07:00 UTC.
    pub async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("records.db");
        LibsqlDatabase::open(&file).await.migrate().await;
        Self { _folder: Some(folder), ..Self::open(&file).await }
    }

    /// Another connection to the record group in `file`, as another instance of a component has it.
    pub async fn open(file: &Path) -> Self {
        let variables = [
            ("zone", "locum.test"),
            ("pages_origin", "https://app.locum.test"),
            ("demo", "true"),
            ("stripe_secret_key", ""),
            ("stripe_webhook_secret", ""),
            ("sms_token", ""),
            ("sms_origin", ""),
            ("bounce_token", ""),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            file: file.to_owned(),
            _folder: None,
            database: LibsqlDatabase::open(file).await,
            now: Cell::new("2026-03-02T07:00:00Z".parse().unwrap()),
            variables: RefCell::new(BTreeMap::from(variables)),
            breached: RefCell::default(),
            elsewhere: RefCell::default(),
            sent: RefCell::default(),
            trail: RefCell::default(),
            kept: KeptEvents::default(),
        }
    }

    /// Where the record group is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// Moves the clock.
    pub fn set_now(&self, now: &str) {
        self.now.set(now.parse().unwrap());
    }

    /// Moves the clock on.
    pub fn advance(&self, by: SignedDuration) {
        self.now.set(self.now.get() + by);
    }

    /// Sets a variable.
    pub fn set(&self, name: &str, value: &str) {
        self.variables.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// Gives the host a list of the passwords with these SHA-1 hashes.
    pub fn set_breached(&self, sha1: &[&str]) {
        *self.breached.borrow_mut() = Some(sha1.iter().map(|hash| (*hash).to_owned()).collect());
    }

    /// Has another server answer `url` so from now on.
    pub fn serve_elsewhere(&self, url: &str, status: u16, body: &Json) {
        self.elsewhere.borrow_mut().insert(url.to_owned(), (status, body.to_string().into_bytes()));
    }

    /// What functions sent to other servers.
    pub fn sent_elsewhere(&self) -> Vec<Outgoing> {
        self.sent.borrow().clone()
    }

    /// A browser that has no cookies yet.
    pub fn client(&self, clinic: &str) -> Client<'_> {
        Client::new(self, clinic)
    }

    /// Rows of the record group.
    pub async fn query(&self, sql: &str, parameters: Vec<Value>) -> Vec<Row> {
        self.database.query(sql, parameters).await.unwrap()
    }

    /// The only value of the only row of `sql`.
    pub async fn count(&self, sql: &str) -> i64 {
        self.query(sql, Vec::new()).await.first().unwrap().integer(0).unwrap()
    }

    /// What was recorded, oldest first.
    pub fn audit_events(&self) -> Vec<Json> {
        self.trail.borrow().clone()
    }

    /// The same, as agent and code.
    pub fn audit_trail(&self) -> Vec<String> {
        let text = |event: &Json, pointer: &str| event.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        let line = |event: &Json| format!("{} {}", text(event, "/agent/type"), text(event, "/code"));
        self.trail.borrow().iter().map(line).collect()
    }

    /// Keeps an event as if somebody had done it at that time.
    pub fn keep_event(&self, clinic: &str, at: Timestamp, status: u16, said: &Json) {
        self.kept.keep(clinic, at, status, said);
    }

    /// Does what functions share, as if nobody whom we know had asked for it.
    pub async fn as_nobody<T>(&self, clinic: &str, work: impl AsyncFnOnce(&Context<'_>) -> T) -> T {
        let (trail, request) = (Trail::default(), Request::new(Vec::new()));
        let context = Context {
            clinic: ClinicId::parse(clinic).unwrap(),
            request_id: "test".to_owned(),
            now: self.now(),
            request,
            caller: Caller::default(),
            host: self.host(clinic),
            path_id: None,
            trail: &trail,
            level: None,
        };
        work(&context).await
    }

    pub(super) fn host(&self, clinic: &str) -> Host<'_> {
        let events = self.kept.of(clinic);
        Host {
            database: &self.database,
            variables: self,
            clock: self,
            events,
            breached: self,
            outbound: self,
        }
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.now.get()
    }
}

impl Breached for World {
    fn contains<'a>(&'a self, sha1: &'a str) -> Pending<'a, Result<Option<bool>, BreachedError>> {
        let found = self.breached.borrow().as_ref().map(|list| list.iter().any(|known| known == sha1));
        Box::pin(async move { Ok(found) })
    }
}

impl Variables for World {
    fn get<'a>(&'a self, name: &'a str) -> Pending<'a, Result<String, VariableError>> {
        let value = self.variables.borrow().get(name).cloned();
        Box::pin(async move { value.ok_or_else(|| VariableError::Missing(name.to_owned())) })
    }
}

impl Outbound for World {
    fn send(&self, request: Outgoing) -> Pending<'_, Result<Incoming, OutboundError>> {
        let found = self.elsewhere.borrow().get(&request.url).cloned();
        self.sent.borrow_mut().push(request);
        let answer = found.map(|(status, body)| Incoming { status, body });
        Box::pin(async move { answer.ok_or(OutboundError::Unanswered) })
    }
}
