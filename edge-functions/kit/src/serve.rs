//! From a request to its answer: route, who calls, whether they may, then the function.

use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use jiff::Timestamp;

use crate::audit::{Action, Trail};
use crate::bearer;
use crate::clock;
use crate::context::{Caller, Context, Host, NodeId};
use crate::cookies;
use crate::ids::ClinicId;
use crate::policy::{Access, Condition, Operation, Role, Rule, Through};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::scopes::Level;
use crate::secret::Secret;
use crate::{person_sessions, sessions};

/// A component's library code.
#[allow(async_fn_in_trait, reason = "a component runs on one thread")]
pub trait Function {
    /// What it does, with its part of the policy table.
    type Operation: Operation;

    /// Answers a request whose caller may make it.
    async fn call(context: &Context<'_>, operation: Self::Operation) -> Result<Reply, Problem>;

    /// How it answers what went wrong.
    fn refuse(problem: Problem) -> Reply {
        problem.into_reply()
    }
}

/// Answers `request`. A failure of ours is answered as such, and its cause given to `failed`.
pub async fn serve<F: Function>(
    host: Host<'_>,
    request: Request<Vec<u8>>,
    failed: impl FnOnce(&Problem),
) -> Reply {
    let trail = Trail::default();
    let clinic = split(request.uri().path()).map(|(clinic, _)| clinic);
    let mut answered = answer::<F>(host, request, &trail).await;
    if let Some(clinic) = clinic
        && let Err(error) = trail.find_patients(host.database, &clinic).await
    {
        answered = answered.and(Err(Problem::internal(error)));
    }
    let mut reply = answered.unwrap_or_else(|problem| {
        if problem.cause().is_some() {
            failed(&problem);
        }
        F::refuse(problem)
    });
    // Health data and secrets: nothing between us and the caller may keep them (RFC 9111 §5.2.2.5).
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    trail.write(reply.headers_mut());
    reply
}

async fn answer<F: Function>(
    host: Host<'_>,
    request: Request<Vec<u8>>,
    trail: &Trail,
) -> Result<Reply, Problem> {
    let (clinic, path) = split(request.uri().path()).ok_or_else(Problem::no_route)?;
    let (rule, path_id) = route::<F::Operation>(request.method(), path)?;
    let path_id = path_id.map(str::to_owned);
    let resource = rule.resource(path).map(str::to_owned);
    let now = clock::to_millisecond(host.clock.now());
    let known = identify(host, &clinic, request.headers(), rule.access, now).await;
    let Known { caller, renewed } =
        known.inspect_err(|problem| refused(trail, &Caller::default(), rule, problem))?;
    let level = authorize(&caller, rule, resource.as_deref())
        .inspect_err(|problem| refused(trail, &caller, rule, problem))?;
    if let Some(hash) = known_by(&caller, request.headers()) {
        trail.known_by(&hash);
    }
    let elsewhere = sessions::is_elsewhere(&caller, request.headers());
    let condition = check_condition(&caller, rule, elsewhere, now);
    condition.inspect_err(|problem| refused(trail, &caller, rule, problem))?;
    let request_id = request.headers().get("locum-request-id").and_then(|id| id.to_str().ok());
    let request_id = request_id.unwrap_or_default().to_owned();
    let context = Context { clinic, request_id, now, request, caller, host, path_id, trail, level };
    let answered = F::call(&context, rule.operation).await;
    let mut reply = answered.inspect_err(|problem| not_here(&context, rule, problem))?;
    context.audit_app();
    // What the function set itself is newer.
    if !renewed.is_empty() && !reply.headers().contains_key(SET_COOKIE) {
        let zone = context.variable("zone").await?;
        for (name, value) in renewed {
            let cookie = cookies::set(name, &value, &zone, &context.clinic).map_err(Problem::internal)?;
            reply.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    Ok(reply)
}

/// `/c/{clinic}/auth/session` as the clinic and `/auth/session`.
fn split(path: &str) -> Option<(ClinicId, &str)> {
    let rest = path.strip_prefix("/c/")?;
    let slash = rest.find('/')?;
    let (clinic, path) = rest.split_at(slash);
    Some((ClinicId::parse(clinic)?, path))
}

type Found<'p, O> = (&'static Rule<O>, Option<&'p str>);

fn route<'p, O: Operation>(method: &Method, path: &'p str) -> Result<Found<'p, O>, Problem> {
    let mut allowed = Vec::new();
    for rule in O::RULES {
        match rule.matches(path) {
            Some(id) if rule.method == *method => return Ok((rule, id)),
            Some(_) => allowed.push(rule.method.as_str()),
            None => {}
        }
    }
    if allowed.is_empty() {
        Err(Problem::no_route())
    } else {
        Err(Problem::method_not_allowed(&allowed.join(", ")))
    }
}

struct Known {
    caller: Caller,
    /// Cookies that are due, by name.
    renewed: Vec<(&'static str, String)>,
}

/// Looks only at the credentials that could open the door.
async fn identify(
    host: Host<'_>,
    clinic: &ClinicId,
    headers: &HeaderMap,
    access: Access,
    now: Timestamp,
) -> Result<Known, Problem> {
    let mut known = Known { caller: Caller::default(), renewed: Vec::new() };
    let roles = match access {
        Access::Roles(roles) => roles,
        Access::Node => {
            known.caller.node = node(host, headers).await?;
            return Ok(known);
        }
        Access::SigningIn => {
            known.caller.signing_in = sessions::signing_in(host.database, clinic, headers, now).await?;
            &[Role::Doctor]
        }
        Access::Anyone => return Ok(known),
    };
    if let Some(token) = bearer::token(headers) {
        // An app is no browser: what cookies say beside its token does not count.
        let found =
            bearer::find(host.database, clinic, token, now).await?.ok_or_else(bearer::invalid_token)?;
        known.caller = Caller { staff: found.staff, grant: Some(found.grant), ..Caller::default() };
        return Ok(known);
    }
    if roles.iter().any(|role| role.is_staff())
        && let Some(live) = sessions::staff(host.database, clinic, headers, now).await?
    {
        known.caller.staff = Some(live.staff);
        known.renewed.extend(live.renewed.map(|value| (cookies::STAFF, value)));
    }
    if roles.contains(&Role::Patient) || roles.contains(&Role::Guest) {
        known.caller.visitor = sessions::visitor(host.database, clinic, headers, now).await?;
    }
    if roles.contains(&Role::Patient)
        && let Some(live) = person_sessions::person(host.database, clinic, headers, now).await?
    {
        known.caller.person = Some(live.person);
        known.renewed.extend(live.renewed.map(|value| (cookies::PERSON, value)));
    }
    if roles.contains(&Role::Ops) {
        known.caller.operator = holds_setup_token(host, headers).await?;
    }
    Ok(known)
}

/// The key of the session by which the caller is known.
fn known_by(caller: &Caller, headers: &HeaderMap) -> Option<[u8; 32]> {
    let visit = || {
        let secret = caller.visitor.and(cookies::read(headers, cookies::VISIT));
        secret.map(|secret| Secret::presented(secret).hash())
    };
    let person = || caller.person.as_ref().map(|person| person.session);
    caller.staff.as_ref().map(|staff| staff.session).or_else(visit).or_else(person)
}

/// The node that the host names. Under a host that has no key of its own nobody is a node.
async fn node(host: Host<'_>, headers: &HeaderMap) -> Result<Option<NodeId>, Problem> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some((node, key)) = header("locum-node").zip(header("locum-host-key")) else { return Ok(None) };
    let wanted = host.variables.get("host_key").await?;
    let named_by_host =
        !wanted.is_empty() && Secret::presented(key).hash() == Secret::presented(&wanted).hash();
    Ok(NodeId::parse(node).filter(|_| named_by_host))
}

async fn holds_setup_token(host: Host<'_>, headers: &HeaderMap) -> Result<bool, Problem> {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(given) = given.and_then(|value| value.strip_prefix("Bearer ")) else { return Ok(false) };
    let wanted = host.variables.get("setup_token").await?;
    // Hashes are compared: how far two of them agree says nothing about the token. Without a token nobody
    // holds it.
    Ok(!wanted.is_empty() && Secret::presented(given).hash() == Secret::presented(&wanted).hash())
}

/// How far an app's scopes reach, if it is an app that may.
fn authorize<O>(caller: &Caller, rule: &Rule<O>, resource: Option<&str>) -> Result<Option<Level>, Problem> {
    let access = rule.access;
    let by_itself = caller.grant.is_some() && caller.staff.is_none();
    let is_node = access == Access::Node && caller.node.is_some();
    let signs_in = access == Access::SigningIn && caller.signing_in.is_some();
    let may = access == Access::Anyone || is_node || signs_in || caller.acts_as(|role| access.allows(role));
    if !may && !by_itself {
        return Err(if caller.is_known() {
            Problem::role_not_allowed()
        } else {
            Problem::sign_in_required()
        });
    }
    if let (Some(Through::Each(permission)), Some(resource)) = (&rule.app, resource) {
        return caller.reach(resource, *permission);
    }
    let Some(grant) = &caller.grant else { return Ok(None) };
    let level = rule.app.as_ref().and_then(|through| grant.level(by_itself, through));
    level.map(Some).ok_or_else(bearer::insufficient_scope)
}

/// Notes who was turned away at the door: an app, or a person whose role it is not.
fn refused<O>(trail: &Trail, caller: &Caller, rule: &Rule<O>, problem: &Problem) {
    match problem.slug() {
        "invalid-token" | "insufficient-scope" => {
            trail.note(caller, Action::AppRefused, caller.grant.as_ref().map(|grant| &grant.client as _));
        }
        "role-not-allowed" | "not-given" => trail.note(caller, Action::OperationRefused, Some(&rule.name)),
        _ => {}
    }
}

/// Notes who asked for an id that this clinic does not have: it may be another's.
fn not_here<O>(context: &Context<'_>, rule: &Rule<O>, problem: &Problem) {
    if problem.status() == StatusCode::NOT_FOUND && context.path_id.is_some() && context.caller.is_known() {
        context.audit(Action::OperationRefused, Some(&rule.name));
    }
}

/// `elsewhere`: the session is used in another country than where its owner proved who they are.
fn check_condition<O>(
    caller: &Caller,
    rule: &Rule<O>,
    elsewhere: bool,
    now: Timestamp,
) -> Result<(), Problem> {
    let staff =
        caller.staff.as_ref().filter(|staff| staff.roles.iter().any(|role| rule.access.allows(*role)));
    if let Some(staff) = staff {
        let stale = elsewhere || staff.proved_at <= now - sessions::FRESH;
        return if rule.condition == Condition::Fresh && stale {
            Err(Problem::proof_required())
        } else {
            Ok(())
        };
    }
    let scope = match rule.condition {
        Condition::Always | Condition::Fresh => return Ok(()),
        Condition::Account => None,
        Condition::Given(scope) => Some(scope),
    };
    let person = caller.person.as_ref().ok_or_else(Problem::sign_in_required)?;
    if !rule.access.allows(person.role()) {
        return Err(Problem::role_not_allowed());
    }
    match (&person.proxy, scope) {
        (Some(proxy), Some(scope)) if !proxy.scopes.contains(&scope) => Err(Problem::not_given()),
        _ => Ok(()),
    }
}
