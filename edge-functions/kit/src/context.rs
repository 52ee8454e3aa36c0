//! What a function knows about the request it answers.

use http::{Request, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use crate::audit::Trail;
use crate::audit_log::{AuditLog, Report, Wish};
use crate::clock::Clock;
use crate::database::Database;
use crate::ids::{AppointmentId, ClinicId, GuestId, UserId};
use crate::phi::Phi;
use crate::policy::Role;
use crate::problem::Problem;
use crate::variables::Variables;

/// What surrounds a function.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The clinic's record group.
    pub database: &'a dyn Database,
    /// The component's variables.
    pub variables: &'a dyn Variables,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Who did what so far.
    pub events: &'a dyn AuditLog,
}

/// A request whose caller is known and allowed.
pub struct Context<'a> {
    /// The clinic in the URL.
    pub clinic: ClinicId,
    /// The host's id of this request; empty under a host that gives none.
    pub request_id: String,
    /// When the request came, to the millisecond.
    pub now: Timestamp,
    /// The request itself.
    pub request: Request<Vec<u8>>,
    /// Who calls.
    pub caller: Caller,
    pub(crate) host: Host<'a>,
    pub(crate) path_id: Option<String>,
    pub(crate) trail: &'a Trail,
}

/// Who calls: nobody known, or any of these. A browser may hold the cookies of both.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// A member of staff with a live session.
    pub staff: Option<Staff>,
    /// Somebody who has given a member of staff's password, and not yet what comes after it.
    pub signing_in: Option<SigningIn>,
    /// A patient or a guest with the session of a visit.
    pub visitor: Option<Visitor>,
    /// The holder of the network's set-up token.
    pub operator: bool,
    /// A node of this network.
    pub node: Option<NodeId>,
}

/// The name of a node of this network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeId(String);

impl NodeId {
    /// The name in a header of the host; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid = (1..=63).contains(&text.len()) && text.bytes().all(plain);
        valid.then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A member of staff.
#[derive(Clone, Debug)]
pub struct Staff {
    /// Their id.
    pub user: UserId,
    /// Their name.
    pub name: Phi<String>,
    /// What they may act as.
    pub roles: Vec<Role>,
    /// SHA-256 of the session's secret, which is its key.
    pub session: [u8; 32],
}

/// A sign-in that a password began.
#[derive(Clone, Copy, Debug)]
pub struct SigningIn {
    /// Whose password it was.
    pub user: UserId,
    /// SHA-256 of its secret, which is its key.
    pub key: [u8; 32],
    /// What is owed.
    pub next: NextStep,
}

/// What completes a sign-in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextStep {
    /// One of the person's second factors.
    SecondFactor,
    /// The person has none, and needs one.
    Enrolment,
}

impl NextStep {
    /// As in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SecondFactor => "second-factor",
            Self::Enrolment => "enrolment",
        }
    }

    /// What the database says.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::SecondFactor, Self::Enrolment].into_iter().find(|next| next.as_str() == text)
    }
}

/// Somebody known by the link of a visit: the patient, or a guest.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// That visit.
    pub appointment: AppointmentId,
    /// `None`: the patient.
    pub guest: Option<GuestId>,
}

impl Visitor {
    /// In which role they act.
    pub const fn role(self) -> Role {
        if self.guest.is_some() { Role::Guest } else { Role::Patient }
    }
}

impl Caller {
    /// Whether the caller acts in one of the roles that `allowed` says yes to.
    pub fn acts_as(&self, allowed: impl Fn(Role) -> bool) -> bool {
        let staff = self.staff.iter().flat_map(|staff| staff.roles.iter().copied());
        let visitor = self.visitor.map(|visitor| visitor.role());
        let operator = self.operator.then_some(Role::Ops);
        staff.chain(visitor).chain(operator).any(allowed)
    }
}

impl Context<'_> {
    /// The clinic's record group.
    pub fn database(&self) -> &dyn Database {
        self.host.database
    }

    /// Audit events of the clinic.
    pub async fn events(&self, wish: &Wish) -> Result<Report, Problem> {
        self.host.events.search(wish).await.map_err(|_| {
            let title = "The audit events cannot be read now";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit-unavailable", title)
        })
    }

    /// A variable of the component.
    pub async fn variable(&self, name: &str) -> Result<String, Problem> {
        Ok(self.host.variables.get(name).await?)
    }

    /// The member of staff who calls.
    pub fn staff(&self) -> Result<&Staff, Problem> {
        self.caller.staff.as_ref().ok_or_else(Problem::sign_in_required)
    }

    /// The node that tells something.
    pub fn node(&self) -> Result<&NodeId, Problem> {
        self.caller.node.as_ref().ok_or_else(Problem::sign_in_required)
    }

    /// The patient, or the guest, who calls.
    pub fn visitor(&self) -> Result<Visitor, Problem> {
        self.caller.visitor.ok_or_else(Problem::sign_in_required)
    }

    /// The guest who calls.
    pub fn guest(&self) -> Result<GuestId, Problem> {
        self.visitor()?.guest.ok_or_else(Problem::sign_in_required)
    }

    /// The `{id}` of the path. What is no id names nothing.
    pub fn path_id<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Problem> {
        let id = self.path_id.as_deref().and_then(parse);
        id.ok_or_else(|| Problem::not_found("No such id"))
    }

    /// Runs `work` so that all its writes are kept, or, if it fails, none.
    pub async fn transaction<T>(&self, work: impl AsyncFnOnce() -> Result<T, Problem>) -> Result<T, Problem> {
        let (database, done) = (self.database(), self.trail.len());
        database.execute("BEGIN IMMEDIATE", Vec::new()).await?;
        let outcome = work().await;
        let end = if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" };
        if outcome.is_err() {
            self.trail.undo(done);
        }
        database.execute(end, Vec::new()).await?;
        outcome
    }
}
