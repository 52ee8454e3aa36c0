//! Somebody comes back from elsewhere (OpenID Connect Core §3.1.3).
//!
//! They are asked before anything is written: a host lets no request out of a transaction.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::SET_COOKIE;
use http::{Method, StatusCode};
use jiff::SignedDuration;
use jsonwebtoken::Algorithm;
use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::ids::UserId;
use kit::outbound::Outgoing;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use super::provider::Provider;
use super::question::{self, Question};
use crate::account::Account;
use crate::oauth::jwt::{self, Audience, Seconds, Times};
use crate::oauth::{Parameters, Place, client_keys};
use crate::sign_in;

/// What they may sign with. Nothing with a secret in it: that would be ours too.
const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::RS256, Algorithm::ES256, Algorithm::PS256, Algorithm::ES384, Algorithm::RS384];
const LONGEST: SignedDuration = SignedDuration::from_hours(24);
const MAX_QUERY: usize = 8_000;
const MAX_SUBJECT: usize = 255;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    query: String,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

#[derive(Deserialize)]
struct IdToken {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: Seconds,
    nbf: Option<Seconds>,
    iat: Option<Seconds>,
    nonce: Option<String>,
    acr: Option<String>,
    #[serde(default)]
    amr: Vec<String>,
}

#[derive(Serialize)]
struct Linked {
    linked: bool,
}

/// Why nobody comes in.
enum Refused {
    /// What came back does not hold.
    Answer,
    /// They do not answer.
    Unreachable,
}

/// `POST /auth/external-sign-ins/answer`.
pub(crate) async fn complete(context: &Context<'_>) -> Result<Reply, Problem> {
    let Answer { query } = form::read(&context.request)?;
    let Some(question) = Question::of(context).await? else { return Err(refused(context, None)) };
    let provider = Provider::find(context, question.provider).await?;
    let vouched = match provider {
        Some(provider) => vouch(context, &question, &provider, &query).await.map(|said| (provider, said)),
        None => Err(Refused::Answer),
    };
    let (provider, said) = match vouched {
        Ok(vouched) => vouched,
        Err(Refused::Answer) => {
            question.spend(context).await?;
            return Err(refused(context, question.user.as_ref().map(|user| user as _)));
        }
        Err(Refused::Unreachable) => {
            let title = "They do not answer";
            return Err(Problem::new(StatusCode::BAD_GATEWAY, "external-unreachable", title));
        }
    };
    if !question.spend(context).await? {
        return Err(refused(context, None));
    }
    let mut reply = match question.user {
        Some(user) => link(context, &provider, &said, user).await?,
        None => enter(context, &provider, &said).await?,
    };
    reply.headers_mut().append(SET_COOKIE, question::forget(context).await?);
    Ok(reply)
}

fn refused(context: &Context<'_>, user: Option<&dyn Display>) -> Problem {
    context.audit(Action::SignInFailed, user);
    let title = "This is no answer to what this browser asked, or it does not hold";
    Problem::new(StatusCode::UNAUTHORIZED, "external-refused", title)
}

/// What they say, if everything about it holds.
async fn vouch(
    context: &Context<'_>,
    question: &Question,
    provider: &Provider,
    query: &str,
) -> Result<IdToken, Refused> {
    let given =
        Parameters::of_query(query).ok().filter(|_| query.len() <= MAX_QUERY).ok_or(Refused::Answer)?;
    let answers = given.get("state").is_some_and(|state| question.is_answered_by(state));
    // RFC 9207: an answer of somebody else is not sent to them.
    let theirs = given.get("iss").is_none_or(|issuer| issuer == provider.issuer);
    let code = given.get("code").filter(|_| answers && theirs).ok_or(Refused::Answer)?;
    let token = tokens(context, question, provider, code).await?.id_token;
    let keys = client_keys::fetch(context, &provider.jwks_uri).await.ok_or(Refused::Unreachable)?;
    let said: IdToken = jwt::verify(&token, &keys, &ALGORITHMS).map_err(|_| Refused::Answer)?;
    let times = Times { exp: said.exp, nbf: said.nbf, iat: said.iat };
    let for_us = said.aud.holds(&provider.client_id)
        && (said.aud.is_alone() || said.azp.is_some())
        && said.azp.as_ref().is_none_or(|azp| *azp == provider.client_id);
    let asked = said.nonce.as_deref() == Some(question.nonce.as_str());
    let named = (1..=MAX_SUBJECT).contains(&said.sub.len());
    let in_time = times.check(context.now, LONGEST).is_ok();
    let holds = said.iss == provider.issuer && for_us && asked && named && in_time;
    if holds { Ok(said) } else { Err(Refused::Answer) }
}

async fn tokens(
    context: &Context<'_>,
    question: &Question,
    provider: &Provider,
    code: &str,
) -> Result<Tokens, Refused> {
    let back = Place::of(context).await.map_err(|_| Refused::Unreachable)?.page("external");
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", back.as_str()),
        ("code_verifier", question.verifier.as_str()),
    ]);
    let mut headers = vec![
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("accept", "application/json".to_owned()),
    ];
    if provider.basic {
        // RFC 6749 §2.3.1: form-encoded first.
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(&provider.client_id), encoded(&provider.client_secret));
        headers.push(("authorization", format!("Basic {}", STANDARD.encode(pair))));
    } else {
        form.append_pair("client_id", &provider.client_id)
            .append_pair("client_secret", &provider.client_secret);
    }
    let (url, body) = (provider.token_endpoint.clone(), form.finish().into_bytes());
    let answer = context.send(Outgoing { method: Method::POST, url, headers, body }).await;
    let answer = answer.map_err(|_| Refused::Unreachable)?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body).map_err(|_| Refused::Answer),
        400..=499 => Err(Refused::Answer),
        _ => Err(Refused::Unreachable),
    }
}

/// The account that is tied to theirs: its session begins, or what is still owed.
async fn enter(context: &Context<'_>, provider: &Provider, said: &IdToken) -> Result<Reply, Problem> {
    let sql = "SELECT i.user FROM staff_identity i JOIN staff_user u ON u.clinic = i.clinic AND u.id = i.user
               WHERE i.clinic = ? AND i.provider = ? AND i.subject = ? AND u.left_at IS NULL";
    let values = params![&context.clinic, provider.id, said.sub.as_str()];
    let rows = context.database().query(sql, values).await?;
    let Some(row) = rows.first() else {
        context.audit(Action::SignInFailed, None);
        let title = "Nobody here is tied to that account: sign in with your password, and tie it in your security settings";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "external-unknown", title));
    };
    let account = Account::with_id(context, row.parsed(0, UserId::parse)?).await?;
    let proved = said.acr.iter().chain(&said.amr).any(|value| provider.second_factor.contains(value));
    context.audit(Action::SignInVouched, Some(&provider.id));
    let begun = context.transaction(async || sign_in::go_on(context, &account, proved).await).await?;
    sign_in::step(&account, begun)
}

async fn link(
    context: &Context<'_>,
    provider: &Provider,
    said: &IdToken,
    user: UserId,
) -> Result<Reply, Problem> {
    let account = Account::with_id(context, user).await?;
    let sql =
        "INSERT INTO staff_identity (clinic, provider, subject, user, created_at) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (clinic, provider, user) DO UPDATE SET subject = ?3, created_at = ?5";
    let values = params![&context.clinic, provider.id, said.sub.as_str(), account.user.id, context.now];
    match context.database().execute(sql, values).await {
        Err(error) if error.is_duplicate_of("staff_identity.clinic") => {
            let title = "Somebody's account is tied to that one already";
            return Err(Problem::new(StatusCode::CONFLICT, "external-taken", title));
        }
        other => other?,
    };
    context.audit(Action::IdentityLinked, Some(&user));
    reply::ok(&Linked { linked: true })
}
