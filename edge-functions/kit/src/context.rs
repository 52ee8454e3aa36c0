//! What a function knows about the request it answers.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use crate::audit::{Action, Trail};
use crate::audit_log::{AuditLog, Report, Wish};
use crate::bearer;
use crate::breached::Breached;
use crate::clock::Clock;
use crate::database::Database;
use crate::ids::{
    AccountId, AppointmentId, ClientId, ClinicId, GrantId, GuestId, PatientId, ProxyId, UserId,
};
use crate::outbound::Outbound;
use crate::phi::Phi;
use crate::policy::{self, Role, Scope, Through};
use crate::problem::Problem;
use crate::scopes::{Level, Permissions, Scopes};
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
    /// Passwords known from breaches.
    pub breached: &'a dyn Breached,
    /// Other servers.
    pub outbound: &'a dyn Outbound,
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
    /// How far the scopes of an app's token reach here.
    pub(crate) level: Option<Level>,
}

/// Who calls: nobody known, or any of these. A browser may hold the cookies of both.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// A member of staff with a live session, or for whom an app calls.
    pub staff: Option<Staff>,
    /// What the app that calls was granted.
    pub grant: Option<Grant>,
    /// Somebody who has given a member of staff's password, and not yet what comes after it.
    pub signing_in: Option<SigningIn>,
    /// A patient or a guest with the session of a visit.
    pub visitor: Option<Visitor>,
    /// A patient with an account, or somebody who acts for one.
    pub person: Option<Person>,
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
    /// When they last showed what completes a sign-in.
    pub proved_at: Timestamp,
    /// From which country, if that is known.
    pub country: Option<String>,
}

/// What an app was granted, as far as the token goes that it came with.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The app.
    pub client: ClientId,
    /// What its token is good for.
    pub scopes: Scopes,
    /// The patient it was opened for.
    pub patient: Option<PatientId>,
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
    /// `None`: the patient, or who acts for them.
    pub guest: Option<GuestId>,
    /// Who acts for the patient; `None`: the patient, or a guest.
    pub proxy: Option<ProxyId>,
}

/// A patient with an account, or somebody who acts for one.
#[derive(Clone, Debug)]
pub struct Person {
    /// The patient's.
    pub account: AccountId,
    /// `None`: the patient.
    pub proxy: Option<Proxy>,
    /// SHA-256 of the session's secret, which is its key.
    pub session: [u8; 32],
}

/// Somebody who acts for a patient.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Their id.
    pub id: ProxyId,
    /// What they were given.
    pub scopes: Vec<Scope>,
}

impl Visitor {
    /// The patient of a visit.
    pub const fn patient(appointment: AppointmentId) -> Self {
        Self { appointment, guest: None, proxy: None }
    }

    /// In which role they act.
    pub const fn role(self) -> Role {
        match (self.guest, self.proxy) {
            (Some(_), _) => Role::Guest,
            (None, Some(_)) => Role::Proxy,
            (None, None) => Role::Patient,
        }
    }
}

impl Person {
    /// In which role they act.
    pub const fn role(&self) -> Role {
        if self.proxy.is_some() { Role::Proxy } else { Role::Patient }
    }
}

impl Caller {
    /// Whether this is somebody, or something, that we know.
    pub fn is_known(&self) -> bool {
        self.grant.is_some() || self.acts_as(|_| true)
    }

    /// Whether the caller acts in one of the roles that `allowed` says yes to.
    pub fn acts_as(&self, allowed: impl Fn(Role) -> bool) -> bool {
        let staff = self.staff.iter().flat_map(|staff| staff.roles.iter().copied());
        let visitor = self.visitor.map(|visitor| visitor.role());
        let person = self.person.as_ref().map(Person::role);
        let operator = self.operator.then_some(Role::Ops);
        staff.chain(visitor).chain(person).chain(operator).any(allowed)
    }
}

/// How far somebody gets with a type of resource.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reach {
    /// The only patient whose resources they reach.
    pub only_patient: Option<PatientId>,
}

impl Caller {
    /// At which level an app may do that with a type of resource, for its person or by itself; people have no level.
    pub(crate) fn reach(&self, resource: &str, permission: Permissions) -> Result<Option<Level>, Problem> {
        let Some(rule) = policy::resource(resource) else {
            return Err(Problem::not_found("No such type of resource"));
        };
        if let Some(staff) = &self.staff
            && !rule.of_roles(&staff.roles).holds(permission)
        {
            return Err(Problem::role_not_allowed());
        }
        let Some(grant) = &self.grant else { return Ok(None) };
        let by_itself = self.staff.is_none();
        // An app by itself changes nothing.
        let levels: &[Level] = match permission {
            Permissions::READ | Permissions::SEARCH => &[Level::Patient, Level::User, Level::System],
            _ => &[Level::Patient, Level::User],
        };
        let level = grant.level(by_itself, &Through::Scope(rule.resource, permission, levels));
        let level = level.filter(|_| !by_itself || rule.of_system().holds(permission));
        level.map(Some).ok_or_else(bearer::insufficient_scope)
    }
}

impl Context<'_> {
    /// How far the caller gets with a type of resource; whoever may not is turned away, and that is recorded.
    pub fn access_to(&self, resource: &str, permission: Permissions) -> Result<Reach, Problem> {
        if self.caller.staff.is_none() && self.caller.grant.is_none() {
            return Err(Problem::sign_in_required());
        }
        let level = self.caller.reach(resource, permission).inspect_err(|problem| match problem.slug() {
            "insufficient-scope" => {
                self.audit(Action::AppRefused, self.caller.grant.as_ref().map(|grant| &grant.client as _));
            }
            "role-not-allowed" => self.audit(Action::OperationRefused, None),
            _ => {}
        })?;
        let bound = self.caller.grant.as_ref().filter(|_| level == Some(Level::Patient));
        Ok(Reach { only_patient: bound.and_then(|grant| grant.patient) })
    }

    /// Whether the caller gets anywhere with a type of resource; who does not is not turned away by that.
    pub fn caller_reaches(&self, resource: &str, permission: Permissions) -> bool {
        self.caller.reach(resource, permission).is_ok()
    }

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

    /// Whether the password with this SHA-1 is on the operator's list of known ones, if there is a list.
    pub async fn is_breached(&self, sha1: &str) -> Result<bool, Problem> {
        Ok(self.host.breached.contains(sha1).await.map_err(Problem::internal)?.unwrap_or(false))
    }

    /// Whom alone the answer may be about: the patient whom an app was opened for, if its scopes say `patient/`.
    pub fn only_patient(&self) -> Option<PatientId> {
        self.caller.grant.as_ref().filter(|_| self.level == Some(Level::Patient))?.patient
    }

    /// Whether whoever asks may be shown a type of resource beside what was asked for. People may; an app needs a
    /// scope at the level that it came in by.
    pub fn may_read(&self, resource: &str) -> bool {
        let Some((grant, level)) = self.caller.grant.as_ref().zip(self.level) else { return true };
        grant.scopes.permissions(level, resource).holds(Permissions::READ)
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

    /// The patient with an account, or who acts for one, who calls.
    pub fn person(&self) -> Result<&Person, Problem> {
        self.caller.person.as_ref().ok_or_else(Problem::sign_in_required)
    }

    /// Where the request came from, as its host says: an IPv4 address, or the /64 that an IPv6 one is in, for that is
    /// what one household or one machine has.
    pub fn network(&self) -> Option<String> {
        let client = self.request.headers().get("spin-client-addr")?.to_str().ok()?;
        let address: SocketAddr = client.parse().ok()?;
        Some(match address.ip().to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{:x}:{:x}:{:x}:{:x}::/64", a, b, c, d)
            }
        })
    }

    /// The country that the request came from, if its host knows: two letters (ISO 3166-1).
    pub fn country(&self) -> Option<&str> {
        country(self.request.headers())
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

/// As the host says; what a client says of it is taken off by the host.
pub(crate) fn country(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("locum-client-country")?.to_str().ok()?;
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_two_letters() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("locum-client-country", http::HeaderValue::from_static(text));
            country(&headers).map(str::to_owned)
        };
        assert_eq!(of("NO").as_deref(), Some("NO"));
        for none in ["", "no", "NOR", "N1"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
