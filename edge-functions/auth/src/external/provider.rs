//! Who vouches for staff.

use http::StatusCode;
use jiff::Timestamp;
use kit::audit::Action;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form::{self, Name};
use kit::ids::ProviderId;
use kit::outbound::Outgoing;
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::oauth::Place;
use crate::oauth::registration::WebAddress;

const MOST: i64 = 10;
const MOST_VALUES: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewProvider {
    name: Name,
    issuer: WebAddress,
    client_id: Word,
    client_secret: Word,
    #[serde(default)]
    second_factor: Vec<Word>,
}

/// Printable, without blanks at its ends.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Word(String);

impl TryFrom<String> for Word {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = (1..=1_000).contains(&text.len()) && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if fits && text.trim() == text {
            Ok(Self(text))
        } else {
            Err("must be 1 to 1000 printable characters")
        }
    }
}

/// What we need of OpenID Connect Discovery.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    authorization_endpoint: WebAddress,
    token_endpoint: WebAddress,
    jwks_uri: WebAddress,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    id: ProviderId,
    redirect_uri: String,
}

#[derive(Serialize)]
struct Providers {
    providers: Vec<ProviderView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProviderView {
    id: ProviderId,
    name: String,
    issuer: String,
    client_id: String,
    second_factor: Vec<String>,
    created_at: Timestamp,
}

#[derive(Serialize)]
struct Options {
    providers: Vec<OptionView>,
}

#[derive(Serialize)]
struct OptionView {
    id: ProviderId,
    name: String,
}

/// One of them, with all that it takes to ask.
pub(super) struct Provider {
    pub(super) id: ProviderId,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) basic: bool,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    pub(super) jwks_uri: String,
    pub(super) second_factor: Vec<String>,
}

impl Provider {
    pub(super) async fn find(context: &Context<'_>, id: ProviderId) -> Result<Option<Self>, Problem> {
        let sql = "SELECT id, issuer, client_id, client_secret, client_auth, authorization_endpoint, token_endpoint,
                          jwks_uri, second_factor
                   FROM identity_provider WHERE clinic = ? AND id = ?";
        let rows = context.database().query(sql, params![&context.clinic, id]).await?;
        Ok(rows.first().map(Self::read).transpose()?)
    }

    fn read(row: &Row) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.parsed(0, ProviderId::parse)?,
            issuer: row.text(1)?,
            client_id: row.text(2)?,
            client_secret: row.text(3)?,
            basic: row.text(4)? == "basic",
            authorization_endpoint: row.text(5)?,
            token_endpoint: row.text(6)?,
            jwks_uri: row.text(7)?,
            second_factor: row.text(8)?.lines().map(str::to_owned).collect(),
        })
    }
}

/// `GET /auth/sign-in-options`.
pub(crate) async fn options(context: &Context<'_>) -> Result<Reply, Problem> {
    let sql = "SELECT id, name FROM identity_provider WHERE clinic = ? ORDER BY name, id";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &Row| Ok(OptionView { id: row.parsed(0, ProviderId::parse)?, name: row.text(1)? });
    reply::ok(&Options { providers: rows.iter().map(read).collect::<Result<_, Problem>>()? })
}

/// `GET /auth/identity-providers`.
pub(crate) async fn list(context: &Context<'_>) -> Result<Reply, Problem> {
    let sql = "SELECT id, name, issuer, client_id, second_factor, created_at
               FROM identity_provider WHERE clinic = ? ORDER BY name, id";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &Row| {
        Ok(ProviderView {
            id: row.parsed(0, ProviderId::parse)?,
            name: row.text(1)?,
            issuer: row.text(2)?,
            client_id: row.text(3)?,
            second_factor: row.text(4)?.lines().map(str::to_owned).collect(),
            created_at: row.time(5)?,
        })
    };
    reply::ok(&Providers { providers: rows.iter().map(read).collect::<Result<_, Problem>>()? })
}

/// `POST /auth/identity-providers`. What they say of themselves is asked for once, here.
pub(crate) async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let new: NewProvider = form::read(&context.request)?;
    if new.second_factor.len() > MOST_VALUES {
        return Err(Problem::invalid("/secondFactor", "must be 20 at most"));
    }
    let found = discover(context, &new.issuer.0).await?;
    let methods = found.token_endpoint_auth_methods_supported.unwrap_or_default();
    let basic = methods.is_empty() || methods.iter().any(|method| method == "client_secret_basic");
    let id = ProviderId::new(context.now)?;
    let values: Vec<&str> = new.second_factor.iter().map(|value| value.0.as_str()).collect();
    let sql = "INSERT INTO identity_provider
                 (clinic, id, name, issuer, client_id, client_secret, client_auth, authorization_endpoint,
                  token_endpoint, jwks_uri, second_factor, created_at)
               SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12
               WHERE (SELECT count(*) FROM identity_provider WHERE clinic = ?1) < ?13";
    let values = params![
        &context.clinic,
        id,
        new.name.as_str(),
        found.issuer,
        new.client_id.0,
        new.client_secret.0,
        if basic { "basic" } else { "post" },
        found.authorization_endpoint.0,
        found.token_endpoint.0,
        found.jwks_uri.0,
        values.join("\n"),
        context.now,
        MOST
    ];
    match context.database().execute(sql, values).await {
        Err(error) if error.is_duplicate_of("identity_provider.clinic, identity_provider.issuer") => {
            let title = "They vouch for staff under this client id already";
            return Err(Problem::new(StatusCode::CONFLICT, "provider-exists", title));
        }
        Ok(0) => {
            let title = "A clinic has 10 at most";
            return Err(Problem::new(StatusCode::CONFLICT, "too-many-providers", title));
        }
        other => other?,
    };
    context.audit(Action::ProviderAdded, Some(&id));
    let redirect_uri = Place::of(context).await?.page("external");
    reply::json(StatusCode::CREATED, &Made { id, redirect_uri })
}

async fn discover(context: &Context<'_>, issuer: &str) -> Result<Discovered, Problem> {
    let unusable = |detail: &str| Problem::invalid("/issuer", detail);
    let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let answer = context.send(Outgoing::get(&place)).await.ok().filter(|answer| answer.status == 200);
    let answer =
        answer.ok_or_else(|| unusable("has no answer: the operator must let the network ask there"))?;
    let found: Discovered =
        serde_json::from_slice(&answer.body).map_err(|_| unusable("says nothing of OpenID Connect"))?;
    // OpenID Connect Discovery §4.3: or somebody else could answer for them.
    if found.issuer == issuer { Ok(found) } else { Err(unusable("calls itself by another name")) }
}

/// `DELETE /auth/identity-providers/{id}`. Sessions that began by them go on.
pub(crate) async fn delete(context: &Context<'_>) -> Result<Reply, Problem> {
    let id = context.path_id(ProviderId::parse)?;
    context
        .transaction(async || {
            for table in ["external_sign_in", "staff_identity"] {
                let sql = format!("DELETE FROM {table} WHERE clinic = ? AND provider = ?");
                context.database().execute(&sql, params![&context.clinic, id]).await?;
            }
            let sql = "DELETE FROM identity_provider WHERE clinic = ? AND id = ?";
            if context.database().execute(sql, params![&context.clinic, id]).await? == 0 {
                return Err(Problem::not_found("No such provider"));
            }
            context.audit(Action::ProviderRemoved, Some(&id));
            Ok(reply::no_content())
        })
        .await
}
