//! Somebody is asked whether an app may come in (RFC 6749 §4.1, RFC 7636, SMART App Launch "App Launch").
//!
//! The authorization endpoint is a page of ours. It hands us the query it was opened with, twice: to say what the app
//! asks for, and with the person's answer. Nothing is kept between the two, so both look at everything.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::ids::{ClientId, PatientId};
use kit::params;
use kit::policy;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::scopes::{Permissions, Scopes};
use serde::{Deserialize, Serialize};

use super::Place;
use super::client::Client;
use super::grant::{self, Binding, NewGrant};
use super::launch;
use super::pkce;
use super::refusal::Refusal;
use super::request::Parameters;

const MAX_QUERY: usize = 8_000;
const MAX_VALUE: usize = 512;
/// `prompt=login`: a sign-in as young as this is the one that was asked for.
const FRESH: SignedDuration = SignedDuration::from_mins(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    query: String,
    allow: bool,
    /// Whom the person chose, where the app needs a patient.
    patient: Option<PatientId>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    /// Where to send the browser at once: there is nothing to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<RequestView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestView {
    name: String,
    /// Where the answer goes.
    host: String,
    /// Whether the app learns who the person is.
    identity: bool,
    /// Whether it can come back without them.
    offline: bool,
    scopes: Vec<ScopeView>,
    /// Whether the person has to choose a patient.
    needs_patient: bool,
    /// Whether it is about the patient whom it was opened for.
    launched: bool,
    /// Whether the app wants to be sure that the person is still there.
    sign_in_again: bool,
}

#[derive(Serialize)]
struct ScopeView {
    level: &'static str,
    resource: &'static str,
    permissions: String,
}

#[derive(Serialize)]
struct Redirect {
    redirect: String,
}

/// A request that can be granted, as far as it can.
struct Request<'q> {
    client: Client,
    redirect_uri: &'q str,
    state: Option<&'q str>,
    nonce: Option<&'q str>,
    challenge: [u8; 32],
    scopes: Scopes,
    launched: Option<launch::Launched>,
    auth_at: Timestamp,
    /// How old the sign-in may be.
    most: Option<SignedDuration>,
}

impl Request<'_> {
    fn needs_patient(&self) -> bool {
        self.launched.is_none() && self.scopes.need_patient()
    }

    fn is_stale(&self, now: Timestamp) -> bool {
        self.most.is_some_and(|most| self.auth_at + most < now)
    }
}

/// What ends a request early.
enum Stop {
    /// The person is told: it is not known where the answer should go.
    Here(Problem, Option<ClientId>),
    /// The app is told, by the browser.
    There(String, ClientId),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Here(problem, None)
    }
}

/// `POST /auth/oauth/authorization-requests`.
pub(crate) async fn review(context: &Context<'_>) -> Result<Reply, Problem> {
    let Asked { query } = form::read(&context.request)?;
    let given = parse(&query)?;
    let request = match check(context, &given).await {
        Ok(request) => request,
        Err(stop) => return stopped(context, stop),
    };
    let view = RequestView {
        name: request.client.name.clone(),
        host: host_of(request.redirect_uri).to_owned(),
        identity: request.scopes.has("openid"),
        offline: request.scopes.has("offline_access"),
        scopes: request
            .scopes
            .resources()
            .iter()
            .map(|scope| ScopeView {
                level: scope.level.as_str(),
                resource: scope.resource,
                permissions: scope.permissions.to_string(),
            })
            .collect(),
        needs_patient: request.needs_patient(),
        launched: request.launched.is_some(),
        sign_in_again: request.is_stale(context.now),
    };
    reply::ok(&Review { request: Some(view), redirect: None })
}

/// `POST /auth/oauth/authorizations`.
pub(crate) async fn decide(context: &Context<'_>) -> Result<Reply, Problem> {
    let Decision { query, allow, patient } = form::read(&context.request)?;
    let given = parse(&query)?;
    let request = match check(context, &given).await {
        Ok(request) => request,
        Err(stop) => return stopped(context, stop),
    };
    if !allow {
        context.audit(Action::AppDenied, Some(&request.client.id));
        let refusal = Refusal::new("access_denied", "the person does not want that");
        let redirect = back(context, request.redirect_uri, &error(refusal, request.state)).await?;
        return reply::json(StatusCode::CREATED, &Redirect { redirect });
    }
    if request.is_stale(context.now) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "sign-in-again", "The app wants a new sign-in"));
    }
    let patient = match (&request.launched, request.needs_patient()) {
        (Some(launched), _) => Some(launched.patient),
        (None, false) => None,
        (None, true) => {
            let chosen =
                patient.ok_or_else(|| Problem::invalid("/patient", "must be a patient of the clinic"))?;
            Some(existing(context, chosen).await?)
        }
    };
    let redirect = context.transaction(async || grant_to(context, &request, patient).await).await?;
    reply::json(StatusCode::CREATED, &Redirect { redirect })
}

async fn grant_to(
    context: &Context<'_>,
    request: &Request<'_>,
    patient: Option<PatientId>,
) -> Result<String, Problem> {
    if let Some(launched) = &request.launched {
        launch::spend(context, launched).await?;
    }
    let new = NewGrant {
        client: request.client.id,
        user: Some(context.staff()?.user),
        scopes: request.scopes.clone(),
        patient,
        encounter: request.launched.as_ref().and_then(|launched| launched.encounter),
        auth_at: Some(request.auth_at),
    };
    let id = grant::create(context, &new).await?;
    let (redirect_uri, challenge, nonce) = (request.redirect_uri, request.challenge, request.nonce);
    let code = grant::code(context, id, &Binding { redirect_uri, challenge, nonce }).await?;
    let mut answer = vec![("code", code.reveal())];
    answer.extend(request.state.map(|state| ("state", state)));
    back(context, redirect_uri, &answer).await
}

fn parse(query: &str) -> Result<Parameters, Problem> {
    let refusal = || Problem::invalid("/query", "is no authorization request");
    if query.len() > MAX_QUERY {
        return Err(refusal());
    }
    Parameters::of_query(query).map_err(|_| refusal())
}

async fn check<'q>(context: &Context<'_>, given: &'q Parameters) -> Result<Request<'q>, Stop> {
    let (client, redirect_uri) = addressed(context, given).await?;
    let state = given.get("state");
    match grantable(context, given, &client).await {
        Ok((scopes, challenge, launched)) => {
            let (auth_at, most) = (signed_in_at(context).await?, most_age(given));
            let nonce = given.get("nonce");
            Ok(Request { client, redirect_uri, state, nonce, challenge, scopes, launched, auth_at, most })
        }
        Err(Unfit::Problem(problem)) => Err(problem.into()),
        Err(Unfit::Refusal(refusal)) => {
            // A value that is too long is not carried back either.
            let state = state.filter(|state| state.len() <= MAX_VALUE);
            let redirect = back(context, redirect_uri, &error(refusal, state)).await?;
            Err(Stop::There(redirect, client.id))
        }
    }
}

/// The app, and where its answer goes: nothing is sent anywhere else.
async fn addressed<'q>(context: &Context<'_>, given: &'q Parameters) -> Result<(Client, &'q str), Stop> {
    let id = given.get("client_id").and_then(ClientId::parse);
    let refusal = |slug, title| Stop::Here(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, slug, title), id);
    let client = match id {
        Some(id) => Client::find(context, id).await?,
        None => None,
    };
    let client = client.ok_or_else(|| refusal("unknown-app", "The clinic does not know this app"))?;
    let uri = given.get("redirect_uri").filter(|uri| client.redirect_uris.iter().any(|known| known == uri));
    let title = "The app did not say where its answer goes, or not as it is registered";
    Ok((client, uri.ok_or_else(|| refusal("redirect-not-registered", title))?))
}

enum Unfit {
    Problem(Problem),
    Refusal(Refusal),
}

impl From<Problem> for Unfit {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

fn unfit<T>(error: &'static str, description: &'static str) -> Result<T, Unfit> {
    Err(Unfit::Refusal(Refusal::new(error, description)))
}

type Grantable = (Scopes, [u8; 32], Option<launch::Launched>);

async fn grantable(context: &Context<'_>, given: &Parameters, client: &Client) -> Result<Grantable, Unfit> {
    for (name, error) in [
        ("request", "request_not_supported"),
        ("request_uri", "request_uri_not_supported"),
        ("registration", "registration_not_supported"),
    ] {
        if given.get(name).is_some() {
            return unfit(error, "say it in the query");
        }
    }
    if ["state", "nonce", "launch"]
        .iter()
        .any(|name| given.get(name).is_some_and(|text| text.len() > MAX_VALUE))
    {
        return unfit("invalid_request", "a value is too long");
    }
    if given.get("response_type") != Some("code") {
        return unfit("unsupported_response_type", "use code");
    }
    if given.get("response_mode").is_some_and(|mode| mode != "query") {
        return unfit("invalid_request", "response_mode is query");
    }
    let challenge = given.get("code_challenge").and_then(pkce::challenge);
    let Some(challenge) = challenge.filter(|_| given.get("code_challenge_method") == Some("S256")) else {
        return unfit("invalid_request", "a code_challenge with the method S256 is needed");
    };
    if given.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == "none")) {
        return unfit("interaction_required", "a person is asked each time");
    }
    let roles = &context.staff()?.roles;
    let asked = Scopes::parse(given.get("scope").unwrap_or_default());
    let scopes = asked.for_person(&client.scopes, roles);
    if scopes.is_empty() {
        return unfit("invalid_scope", "nothing of that is granted to this app by this person");
    }
    let fhir = Place::of(context).await?.fhir();
    let about_records = !scopes.resources().is_empty() || scopes.has("launch") || scopes.need_patient();
    match given.get("aud").map(|aud| aud.trim_end_matches('/')) {
        Some(aud) if aud.strip_suffix("/R4").unwrap_or(aud) == fhir => {}
        None if !about_records => {}
        _ => return unfit("invalid_request", "aud is not the FHIR server of this clinic"),
    }
    let launched = match given.get("launch").filter(|_| scopes.has("launch")) {
        Some(secret) => match launch::find(context, secret, client.id).await? {
            Some(launched) => Some(launched),
            None => return unfit("invalid_request", "this launch is not known, was used, or is too old"),
        },
        None if scopes.has("launch") => return unfit("invalid_request", "the scope launch needs a launch"),
        None => None,
    };
    let sees_patients =
        policy::resource("Patient").is_some_and(|rule| rule.of_roles(roles).holds(Permissions::SEARCH));
    if launched.is_none() && scopes.need_patient() && !sees_patients {
        return unfit("access_denied", "this person may not choose a patient");
    }
    Ok((scopes, challenge, launched))
}

fn most_age(given: &Parameters) -> Option<SignedDuration> {
    let most = given.get("max_age").and_then(|text| text.parse::<u32>().ok());
    let login = given.get("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == "login"));
    let most = most.map(|seconds| SignedDuration::from_secs(i64::from(seconds)));
    [most, login.then_some(FRESH)].into_iter().flatten().min()
}

async fn signed_in_at(context: &Context<'_>) -> Result<Timestamp, Problem> {
    let sql = "SELECT created_at FROM session WHERE clinic = ? AND secret_hash = ?";
    let rows = context.database().query(sql, params![&context.clinic, context.staff()?.session]).await?;
    Ok(rows.first().ok_or_else(Problem::sign_in_required)?.time(0)?)
}

async fn existing(context: &Context<'_>, patient: PatientId) -> Result<PatientId, Problem> {
    let sql = "SELECT 1 FROM patient WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, patient]).await?;
    let found = rows.first().map(|_| patient);
    found.ok_or_else(|| Problem::invalid("/patient", "must be a patient of the clinic"))
}

fn stopped(context: &Context<'_>, stop: Stop) -> Result<Reply, Problem> {
    match stop {
        Stop::Here(problem, client) => {
            if problem.status() == StatusCode::UNPROCESSABLE_ENTITY {
                context.audit(Action::AppRefused, client.as_ref().map(|id| id as _));
            }
            Err(problem)
        }
        Stop::There(redirect, client) => {
            context.audit(Action::AppRefused, Some(&client));
            reply::ok(&Review { redirect: Some(redirect), request: None })
        }
    }
}

fn error<'v>(refusal: Refusal, state: Option<&'v str>) -> Vec<(&'static str, &'v str)> {
    let mut answer: Vec<(&'static str, &'v str)> =
        vec![("error", refusal.error), ("error_description", refusal.description)];
    answer.extend(state.map(|state| ("state", state)));
    answer
}

/// The app's address with an answer, which names its issuer (RFC 9207).
async fn back(context: &Context<'_>, uri: &str, answer: &[(&str, &str)]) -> Result<String, Problem> {
    let issuer = Place::of(context).await?.issuer();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(answer).append_pair("iss", &issuer);
    let joint = if uri.contains('?') { '&' } else { '?' };
    Ok(format!("{uri}{joint}{}", query.finish()))
}

fn host_of(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}
