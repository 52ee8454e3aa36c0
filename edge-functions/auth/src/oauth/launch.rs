//! An app is opened for a patient (SMART App Launch, "EHR launch").

use http::StatusCode;
use jiff::SignedDuration;
use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::ids::{AppointmentId, ClientId, EncounterId, PatientId};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::{Deserialize, Serialize};

use super::Place;
use super::client::Client;

/// How long an app has to come with it.
const LIFE: SignedDuration = SignedDuration::from_mins(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLaunch {
    app: ClientId,
    /// Whose visit it is about.
    appointment: AppointmentId,
}

#[derive(Serialize)]
struct Launch {
    /// Where to open the app. It works once.
    url: String,
}

#[derive(Serialize)]
struct Apps {
    apps: Vec<App>,
}

#[derive(Serialize)]
struct App {
    id: ClientId,
    name: String,
}

/// For whom an app was opened.
pub(super) struct Launched {
    key: [u8; 32],
    pub(super) patient: PatientId,
    pub(super) encounter: Option<EncounterId>,
}

/// `GET /auth/oauth/launchable`.
pub(crate) async fn list(context: &Context<'_>) -> Result<Reply, Problem> {
    let sql = "SELECT id, name FROM app_client
               WHERE clinic = ? AND ended_at IS NULL AND launch_uri IS NOT NULL ORDER BY name, id LIMIT 100";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &kit::database::Row| Ok(App { id: row.parsed(0, ClientId::parse)?, name: row.text(1)? });
    reply::ok(&Apps { apps: rows.iter().map(read).collect::<Result<_, Problem>>()? })
}

/// `POST /auth/oauth/launches`.
pub(crate) async fn create(context: &Context<'_>) -> Result<Reply, Problem> {
    let new: NewLaunch = form::read(&context.request)?;
    let client = Client::find(context, new.app).await?;
    let client = client.and_then(|client| client.launch_uri.clone().map(|uri| (client.id, uri)));
    let (client, uri) = client.ok_or_else(|| Problem::not_found("No such app"))?;
    context.may_open_visit(new.appointment).await?;
    let sql = "SELECT a.patient, e.id FROM appointment a
               JOIN encounter e ON e.clinic = a.clinic AND e.appointment = a.id
               WHERE a.clinic = ? AND a.id = ?";
    let rows = context.database().query(sql, params![&context.clinic, new.appointment]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such appointment"))?;
    let (patient, encounter) = (row.parsed(0, PatientId::parse)?, row.parsed(1, EncounterId::parse)?);
    let secret = Secret::new::<32>()?;
    let user = context.staff()?.user;
    context
        .transaction(async || {
            let sql = "DELETE FROM app_launch WHERE clinic = ? AND created_at <= ?";
            context.database().execute(sql, params![&context.clinic, context.now - LIFE]).await?;
            let sql = "INSERT INTO app_launch
                         (clinic, secret_hash, client, user, patient, encounter, created_at)
                       VALUES (?, ?, ?, ?, ?, ?, ?)";
            let values =
                params![&context.clinic, secret.hash(), client, user, patient, encounter, context.now];
            context.database().execute(sql, values).await?;
            Ok(())
        })
        .await?;
    context.audit(Action::AppLaunched, Some(&client));
    let issuer = Place::of(context).await?.fhir();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("iss", &issuer).append_pair("launch", secret.reveal());
    let joint = if uri.contains('?') { '&' } else { '?' };
    reply::json(StatusCode::CREATED, &Launch { url: format!("{uri}{joint}{}", query.finish()) })
}

/// For whom the person who asks opened the app, a moment ago.
pub(super) async fn find(
    context: &Context<'_>,
    secret: &str,
    client: ClientId,
) -> Result<Option<Launched>, Problem> {
    let key = Secret::presented(secret).hash();
    let sql = "SELECT patient, encounter FROM app_launch
               WHERE clinic = ? AND secret_hash = ? AND client = ? AND user = ? AND used_at IS NULL
                 AND created_at > ?";
    let since = context.now - LIFE;
    let values = params![&context.clinic, key, client, context.staff()?.user, since];
    let rows = context.database().query(sql, values).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let encounter = row.text_or_null(1)?.is_some().then(|| row.parsed(1, EncounterId::parse)).transpose()?;
    Ok(Some(Launched { key, patient: row.parsed(0, PatientId::parse)?, encounter }))
}

/// It works once.
pub(super) async fn spend(context: &Context<'_>, launched: &Launched) -> Result<(), Problem> {
    let sql = "UPDATE app_launch SET used_at = ? WHERE clinic = ? AND secret_hash = ? AND used_at IS NULL";
    match context.database().execute(sql, params![context.now, &context.clinic, launched.key]).await? {
        0 => Err(Problem::new(
            StatusCode::CONFLICT,
            "launch-used",
            "The app was opened already: open it again",
        )),
        _ => Ok(()),
    }
}
