//! The set-up of a clinic from one document.

use std::collections::HashSet;

use http::StatusCode;
use jiff::tz::TimeZone;
use kit::audit::Action;
use kit::consent::{self, ConsentText};
use kit::context::Context;
use kit::form::{self, Key, Name, NewPassword, Username};
use kit::hours::{ClockTime, WeeklyRule};
use kit::ids::{HoursId, PractitionerId, ServiceId, UserId};
use kit::money::Money;
use kit::params;
use kit::policy::Role;
use kit::problem::Problem;
use kit::questionnaire::{self, Questionnaire};
use kit::reply::{self, Reply};
use serde::{Deserialize, Serialize};

use crate::account::check_roles;
use crate::password;

/// Each costs an Argon2 hash, and a function has ten seconds.
const MAX_USERS: usize = 40;
const MAX_SERVICES: usize = 50;
const MAX_HOURS: usize = 20;

/// What a clinic is set up from.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    name: Name,
    time_zone: ZoneName,
    practitioners: Vec<Practitioner>,
    #[serde(default)]
    staff: Vec<Member>,
    services: Vec<Service>,
    /// Whether clients that name no device key get a token. Left out where it is so, which keeps the text of documents
    /// from before there was a choice.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    unbound_tokens: bool,
    /// Patients move and cancel by themselves until so many minutes before. Left out where it is two hours.
    #[serde(default = "two_hours", skip_serializing_if = "is_two_hours")]
    change_until_minutes: u16,
    /// Left out where it is everyone, for the same reason.
    #[serde(default, skip_serializing_if = "WhoNeedsFactor::is_everyone")]
    second_factor: WhoNeedsFactor,
    /// What patients agree to before a visit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    consent_texts: Vec<ConsentText>,
    /// What they are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    questionnaires: Vec<Asked>,
}

/// A questionnaire, asked before every visit.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    key: Key,
    /// Whether nobody enters the waiting room before it is answered.
    #[serde(default)]
    required: bool,
    questionnaire: Questionnaire,
}

/// Who signs in with more than a password.
#[derive(Clone, Copy, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WhoNeedsFactor {
    #[default]
    Everyone,
    /// Administrators and doctors: they cannot be excused.
    Privileged,
}

impl WhoNeedsFactor {
    fn is_everyone(&self) -> bool {
        *self == Self::Everyone
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Privileged => "privileged",
        }
    }
}

const fn two_hours() -> u16 {
    120
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_two_hours(minutes: &u16) -> bool {
    *minutes == two_hours()
}

const fn yes() -> bool {
    true
}

/// Somebody who can be booked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Practitioner {
    name: Name,
    username: Username,
    password: NewPassword,
    roles: Vec<Role>,
    hours: Vec<Hours>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hours {
    rrule: WeeklyRule,
    start: ClockTime,
    end: ClockTime,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    name: Name,
    username: Username,
    password: NewPassword,
    roles: Vec<Role>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Service {
    name: Name,
    duration_minutes: u16,
    price: Money,
}

/// A name of the IANA time zone database.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "String")]
struct ZoneName(String);

impl TryFrom<String> for ZoneName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let zone = TimeZone::get(&name).map_err(|_| "must be a time zone such as Europe/Berlin")?;
        Ok(Self(zone.iana_name().unwrap_or(&name).to_owned()))
    }
}

/// Somebody who can sign in, whichever list they stand in.
struct NewUser<'d> {
    id: UserId,
    name: &'d Name,
    username: &'d Username,
    password_hash: String,
    roles: &'d [Role],
    hours: Option<&'d [Hours]>,
}

/// `PUT /auth/clinic`. The same document again changes nothing; another one is refused.
pub async fn put_clinic(context: &Context<'_>) -> Result<Reply, Problem> {
    let document: Document = form::read(&context.request)?;
    check(&document)?;
    let text = serde_json::to_string(&document).map_err(Problem::internal)?;
    if let Some(stored) = stored_hash(context).await? {
        return compare(&text, &stored, &document);
    }
    let users = users(context, &document)?;
    let document_hash = password::hash(&text)?;
    let outcome = context
        .transaction(async || {
            insert_clinic(context, &document, &document_hash).await?;
            for user in &users {
                insert_user(context, user).await?;
            }
            for service in &document.services {
                insert_service(context, service).await?;
            }
            insert_texts(context, &document).await?;
            context.audit(Action::ClinicSetUp, None);
            Ok(())
        })
        .await;
    match (outcome, stored_hash(context).await?) {
        (Ok(()), _) => reply::json(StatusCode::CREATED, &view(&document)),
        // Somebody else was faster.
        (Err(problem), Some(stored)) if problem.slug() == "clinic-exists" => {
            compare(&text, &stored, &document)
        }
        (Err(problem), _) => Err(problem),
    }
}

fn check(document: &Document) -> Result<(), Problem> {
    let too_many = |count: usize, max: usize| count > max;
    let people = document.practitioners.len() + document.staff.len();
    if document.practitioners.is_empty() || too_many(people, MAX_USERS) {
        let text = format!("there must be 1 practitioner or more, and {MAX_USERS} people at most");
        return Err(Problem::invalid("/practitioners", text));
    }
    if document.services.is_empty() || too_many(document.services.len(), MAX_SERVICES) {
        return Err(Problem::invalid("/services", format!("must be 1 to {MAX_SERVICES}")));
    }
    let mut names = HashSet::new();
    let practitioners = document.practitioners.iter().map(|p| (&p.username, &p.roles));
    let staff = document.staff.iter().map(|m| (&m.username, &m.roles));
    let places = (0..document.practitioners.len())
        .map(|index| format!("/practitioners/{index}"))
        .chain((0..document.staff.len()).map(|index| format!("/staff/{index}")));
    for ((username, roles), place) in practitioners.chain(staff).zip(places) {
        if !names.insert(username.as_str()) {
            return Err(Problem::invalid(format!("{place}/username"), "is used twice"));
        }
        check_roles(roles, &place)?;
    }
    for (index, practitioner) in document.practitioners.iter().enumerate() {
        check_hours(&practitioner.hours, &format!("/practitioners/{index}/hours"))?;
    }
    check_texts(document)?;
    for (index, service) in document.services.iter().enumerate() {
        if !(5..=480).contains(&service.duration_minutes) {
            let place = format!("/services/{index}/durationMinutes");
            return Err(Problem::invalid(place, "must be 5 to 480"));
        }
    }
    Ok(())
}

fn check_texts(document: &Document) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    for (index, text) in document.consent_texts.iter().enumerate() {
        if !seen.insert((text.key.as_str(), text.jurisdiction.as_str(), text.language.as_str())) {
            return Err(Problem::invalid(format!("/consentTexts/{index}/key"), "is used twice"));
        }
    }
    if document.questionnaires.len() > 1 {
        return Err(Problem::invalid("/questionnaires", "must be 1 at most"));
    }
    Ok(())
}

async fn insert_texts(context: &Context<'_>, document: &Document) -> Result<(), Problem> {
    for text in &document.consent_texts {
        let place = (text.key.as_str(), text.jurisdiction.as_str(), text.language.as_str());
        consent::create(context, place, (text.title.as_str(), text.text.as_str())).await?;
    }
    for asked in &document.questionnaires {
        questionnaire::create(context, asked.key.as_str(), (None, asked.required), asked.questionnaire.raw())
            .await?;
    }
    Ok(())
}

fn check_hours(hours: &[Hours], place: &str) -> Result<(), Problem> {
    if hours.len() > MAX_HOURS {
        return Err(Problem::invalid(place, format!("must be {MAX_HOURS} at most")));
    }
    match hours.iter().position(|rule| rule.end <= rule.start) {
        Some(index) => Err(Problem::invalid(format!("{place}/{index}/end"), "must be later than the start")),
        None => Ok(()),
    }
}

fn users<'d>(context: &Context<'_>, document: &'d Document) -> Result<Vec<NewUser<'d>>, Problem> {
    let practitioners =
        document.practitioners.iter().map(|p| (&p.name, &p.username, &p.password, &p.roles, Some(&p.hours)));
    let staff = document.staff.iter().map(|m| (&m.name, &m.username, &m.password, &m.roles, None));
    practitioners
        .chain(staff)
        .map(|(name, username, password, roles, hours)| {
            let password_hash = password::hash(password.as_str())?;
            let id = UserId::new(context.now)?;
            let hours = hours.map(Vec::as_slice);
            Ok(NewUser { id, name, username, password_hash, roles, hours })
        })
        .collect()
}

async fn stored_hash(context: &Context<'_>) -> Result<Option<String>, Problem> {
    let sql = "SELECT document_hash FROM clinic WHERE clinic = ?";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    Ok(rows.first().map(|row| row.text(0)).transpose()?)
}

fn compare(text: &str, stored: &str, document: &Document) -> Result<Reply, Problem> {
    if password::verify(text, Some(stored))? { reply::ok(&view(document)) } else { Err(exists()) }
}

fn exists() -> Problem {
    let title = "The clinic was set up with another document";
    Problem::new(StatusCode::CONFLICT, "clinic-exists", title)
}

fn view(document: &Document) -> serde_json::Value {
    serde_json::json!({"name": document.name, "timeZone": document.time_zone})
}

async fn insert_clinic(
    context: &Context<'_>,
    document: &Document,
    document_hash: &str,
) -> Result<(), Problem> {
    let sql = "INSERT INTO clinic (clinic, name, time_zone, document_hash, created_at, unbound_tokens,
                                   second_factor, change_until_minutes)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let (name, zone) = (document.name.as_str(), document.time_zone.0.as_str());
    let unbound = u32::from(document.unbound_tokens);
    let second_factor = document.second_factor.as_str();
    let until = u32::from(document.change_until_minutes);
    let values =
        params![&context.clinic, name, zone, document_hash, context.now, unbound, second_factor, until];
    match context.database().execute(sql, values).await {
        Err(error) if error.is_duplicate_of("clinic.clinic") => Err(exists()),
        other => Ok(other.map(drop)?),
    }
}

async fn insert_user(context: &Context<'_>, user: &NewUser<'_>) -> Result<(), Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let sql = "INSERT INTO staff_user (clinic, id, username, name, password_hash, created_at)
               VALUES (?, ?, ?, ?, ?, ?)";
    let (username, hash) = (user.username.as_str(), user.password_hash.as_str());
    database.execute(sql, params![clinic, user.id, username, user.name.as_str(), hash, context.now]).await?;
    for role in user.roles {
        let sql = "INSERT INTO staff_role (clinic, user, role) VALUES (?, ?, ?)";
        database.execute(sql, params![clinic, user.id, role.as_str()]).await?;
    }
    let Some(hours) = user.hours else { return Ok(()) };
    let practitioner = PractitionerId::new(context.now)?;
    let sql = "INSERT INTO practitioner (clinic, id, user, name) VALUES (?, ?, ?, ?)";
    database.execute(sql, params![clinic, practitioner, user.id, user.name.as_str()]).await?;
    for rule in hours {
        let sql = "INSERT INTO opening_hours (clinic, id, practitioner, rrule, opens, closes)
                   VALUES (?, ?, ?, ?, ?, ?)";
        let id = HoursId::new(context.now)?;
        let (rrule, opens, closes) = (rule.rrule.to_string(), rule.start.to_string(), rule.end.to_string());
        database.execute(sql, params![clinic, id, practitioner, rrule, opens, closes]).await?;
    }
    Ok(())
}

async fn insert_service(context: &Context<'_>, service: &Service) -> Result<(), Problem> {
    let sql = "INSERT INTO service (clinic, id, name, duration_minutes, price_minor, currency)
               VALUES (?, ?, ?, ?, ?, ?)";
    let id = ServiceId::new(context.now)?;
    let (minutes, price) = (u32::from(service.duration_minutes), &service.price);
    let values = params![
        &context.clinic,
        id,
        service.name.as_str(),
        minutes,
        price.minor(),
        price.currency().as_str()
    ];
    context.database().execute(sql, values).await?;
    Ok(())
}
