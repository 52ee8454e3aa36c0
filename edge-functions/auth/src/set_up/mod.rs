//! The set-up of a clinic from a bundle: what there is, what would have to be done, and that it is done whole.

mod apply;
mod bundle;
mod checklist;
mod difference;
mod stored;

use http::StatusCode;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::ids::ServiceId;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use kit::secret::Secret;
use serde::Serialize;

use self::apply::Work;
use self::bundle::{About, Bundle, Officer};
use self::checklist::Item;
use self::difference::{Change, Part, Step};
use self::stored::Stored;
use crate::password;

/// As it is.
#[derive(Serialize)]
struct SetUpView<'s> {
    bundle: &'s Bundle,
    /// Of this bundle: whoever changes it says which one they saw.
    version: String,
    checklist: Vec<Item>,
    /// Whether patients can book.
    open: bool,
}

/// What would be done, or was.
#[derive(Serialize)]
struct Outcome {
    applied: bool,
    changes: Vec<Change>,
    /// Of what is there afterwards.
    version: String,
    checklist: Vec<Item>,
    open: bool,
    invitations: Vec<Invitation>,
}

/// Somebody new who has to choose a password: the token is for the fragment of their link, and shown this once.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invitation {
    username: String,
    token: String,
    expires_at: Timestamp,
}

/// `GET /auth/set-up`.
pub(crate) async fn get_set_up(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let stored = Stored::read(context, None).await?.ok_or_else(unknown_clinic)?;
    context.audit(Action::SettingsRead, None);
    let checklist = checklist(context, &stored.bundle)?;
    let version = version(&stored.bundle)?;
    reply::ok(&SetUpView { bundle: &stored.bundle, version, checklist, open: stored.is_open })
}

/// `PUT /auth/set-up`. With `plan=true` nothing is done. The same bundle again changes nothing.
pub(crate) async fn put_set_up(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let plan = query.optional("plan", "true or false", |text| text.parse::<bool>().ok())?;
    let seen = query.optional("version", "a version of the bundle", |text| Some(text.to_owned()))?;
    query.finish()?;
    let wanted: Bundle = form::read(&context.request)?;
    wanted.check()?;
    let wanted = wanted.sorted();
    let stored = read(context, &wanted, seen.as_deref()).await?;
    let changes = difference::between(stored.as_ref().map(|stored| &stored.bundle), &wanted);
    let checklist = checklist(context, &wanted)?;
    let is_complete = checklist.iter().all(|item| item.done);
    let open = is_complete || stored.as_ref().is_some_and(|stored| stored.is_open);
    let version = version(&wanted)?;
    let keeps = changes.iter().all(|change| change.step == Step::Keep);
    let pending = stored.as_ref().is_some_and(|stored| stored.is_open != open || !stored.adopted.is_empty());
    let invitations = match (plan.unwrap_or(false), keeps && !pending) {
        (false, false) => apply(context, &wanted, seen.as_deref(), is_complete).await?,
        _ => Vec::new(),
    };
    let applied = !plan.unwrap_or(false);
    reply::ok(&Outcome { applied, changes, version, checklist, open, invitations })
}

/// What is there, if it is what whoever asks has seen.
async fn read(context: &Context<'_>, wanted: &Bundle, seen: Option<&str>) -> Result<Option<Stored>, Problem> {
    let stored = Stored::read(context, Some(wanted)).await?;
    if stored.is_none() && !context.caller.operator {
        return Err(unknown_clinic());
    }
    // Keys that the wanted bundle would give are not what they saw.
    let current = Stored::read(context, None).await?;
    let current = current.map(|current| version(&current.bundle)).transpose()?;
    if seen.is_some_and(|seen| current.as_deref() != Some(seen)) {
        let title = "The set-up was changed meanwhile";
        return Err(Problem::new(StatusCode::CONFLICT, "set-up-changed", title));
    }
    if let Some(stored) = &stored {
        no_group_by_the_minute(context, wanted, stored).await?;
    }
    Ok(stored)
}

/// A call that several patients are in is metered for none of them alone.
async fn no_group_by_the_minute(
    context: &Context<'_>,
    wanted: &Bundle,
    stored: &Stored,
) -> Result<(), Problem> {
    let sql = "SELECT service FROM service_per_minute WHERE clinic = ?";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let metered = rows.iter().map(|row| row.parsed(0, ServiceId::parse)).collect::<Result<Vec<_>, _>>()?;
    let is_metered = |key: &str| stored.services.get(key).is_some_and(|id: &ServiceId| metered.contains(id));
    let mut services = wanted.services.iter();
    match services.position(|service| service.capacity > 1 && is_metered(service.key.as_str())) {
        Some(at) => {
            let place = format!("/services/{at}/capacity");
            Err(Problem::invalid(place, "must be 1 while its price is by the minute"))
        }
        None => Ok(()),
    }
}

async fn apply(
    context: &Context<'_>,
    wanted: &Bundle,
    seen: Option<&str>,
    is_complete: bool,
) -> Result<Vec<Invitation>, Problem> {
    // Slow on purpose, so it is made before anything is locked.
    let nobodys = password::hash(Secret::new::<32>()?.reveal())?;
    context
        .transaction(async || {
            let stored = read(context, wanted, seen).await?;
            let changes = difference::between(stored.as_ref().map(|stored| &stored.bundle), wanted);
            match stored {
                None => create_clinic(context, &wanted.clinic, &nobodys, is_complete).await?,
                Some(_) => change_clinic(context, &wanted.clinic, is_complete).await?,
            }
            let stored = match stored {
                Some(stored) => Some(stored),
                None => Stored::read(context, None).await?,
            };
            let mut stored = stored.ok_or_else(unknown_clinic)?;
            let nobodys = nobodys.as_str();
            let mut work = Work { context, wanted, stored: &mut stored, changes: &changes, nobodys };
            let newcomers = work.apply().await?;
            context.audit(Action::ClinicSetUp, None);
            if changes.iter().any(|change| change.part == Part::Clinic && change.step == Step::Change) {
                context.audit(Action::SettingsChanged, None);
            }
            let invitation = |new: apply::Newcomer| {
                let (token, expires_at) = (new.invited.token, new.invited.expires_at);
                Invitation { username: new.username, token, expires_at }
            };
            Ok(newcomers.into_iter().map(invitation).collect())
        })
        .await
}

async fn create_clinic(
    context: &Context<'_>,
    about: &About,
    nobodys: &str,
    is_complete: bool,
) -> Result<(), Problem> {
    // No document of the other way to set up is this one.
    let sql = "INSERT INTO clinic (clinic, name, time_zone, document_hash, created_at, is_open)
               VALUES (?, ?, ?, ?, ?, 0)";
    let (name, zone) = (about.name.as_str(), about.time_zone.as_str());
    let values = params![&context.clinic, name, zone, nobodys, context.now];
    match context.database().execute(sql, values).await {
        Err(error) if error.is_duplicate_of("clinic.clinic") => {
            let title = "The set-up was changed meanwhile";
            return Err(Problem::new(StatusCode::CONFLICT, "set-up-changed", title));
        }
        other => other?,
    };
    change_clinic(context, about, is_complete).await
}

/// Whoever is open stays open: what is missing then stands on the checklist.
async fn change_clinic(context: &Context<'_>, about: &About, is_complete: bool) -> Result<(), Problem> {
    let sql =
        "UPDATE clinic SET name = ?, time_zone = ?, change_until_minutes = ?, no_show_after_minutes = ?,
                 licence_check = ?, privacy_officer_name = ?, privacy_officer_email = ?, color = ?,
                 is_open = max(is_open, ?)
               WHERE clinic = ?";
    let officer = about.privacy_officer.as_ref();
    let values = params![
        about.name.as_str(),
        about.time_zone.as_str(),
        u32::from(about.change_until_minutes),
        u32::from(about.no_show_after_minutes),
        about.licence_check.as_str(),
        officer.map(|Officer { name, .. }| name.as_str()),
        officer.map(|Officer { email, .. }| email.as_str()),
        about.color.as_ref().map(|color| color.as_str()),
        u32::from(is_complete),
        &context.clinic
    ];
    context.database().execute(sql, values).await?;
    Ok(())
}

fn checklist(context: &Context<'_>, bundle: &Bundle) -> Result<Vec<Item>, Problem> {
    let zone = TimeZone::get(bundle.clinic.time_zone.as_str()).map_err(Problem::internal)?;
    Ok(checklist::of(bundle, zone.to_datetime(context.now).date()))
}

/// Of the bundle in one order.
fn version(bundle: &Bundle) -> Result<String, Problem> {
    let mut json = serde_json::to_value(bundle).map_err(Problem::internal)?;
    for list in json.as_object_mut().into_iter().flat_map(|parts| parts.values_mut()) {
        if let Some(items) = list.as_array_mut() {
            items.sort_by_key(ToString::to_string);
        }
    }
    let hash = Secret::presented(&json.to_string()).hash();
    Ok(hash[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}

fn unknown_clinic() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown-clinic", "There is no such clinic")
}
