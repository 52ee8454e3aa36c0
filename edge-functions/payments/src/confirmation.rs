//! The booking is made: appointment, invoice, encounter and invitation, all or none.

use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::{Date, date};
use kit::audit::Action;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::database::DatabaseError;
use kit::fhir::{AppointmentStatus, EncounterStatus, InvoiceStatus};
use kit::form::{self, Day, Email, Name, SecretText};
use kit::ids::{AppointmentId, EncounterId, HoldId, InvoiceId, PatientId, PractitionerId, ServiceId};
use kit::invitation;
use kit::money::{Currency, Money};
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::{self, Secret};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    hold: HoldId,
    secret: SecretText,
    method: Method,
    patient: NewPatient,
}

/// The same for a patient who is known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnConfirmation {
    hold: HoldId,
    secret: SecretText,
    method: Method,
}

/// How it is paid.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    PayAtClinic,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NewPatient {
    name: Phi<Name>,
    birth_date: Phi<Day>,
    email: Phi<Email>,
}

/// The hold that is used up, with what it was for.
struct Held {
    practitioner: PractitionerId,
    service: ServiceId,
    start: Timestamp,
    end: Timestamp,
    price: Money,
}

#[derive(Serialize)]
struct Confirmed {
    appointment: AppointmentView,
    invoice: InvoiceView,
}

#[derive(Serialize)]
struct AppointmentView {
    id: AppointmentId,
    start: Timestamp,
    end: Timestamp,
    status: AppointmentStatus,
}

#[derive(Serialize)]
struct InvoiceView {
    id: InvoiceId,
    status: InvoiceStatus,
    #[serde(flatten)]
    price: Money,
}

/// `POST /payments/confirmations`.
pub async fn create_confirmation(context: &Context<'_>) -> Result<Reply, Problem> {
    let confirmation: Confirmation = form::read(&context.request)?;
    let born = confirmation.patient.birth_date.open().0;
    let clinic = context.clinic().await?;
    if !(date(1900, 1, 1)..=clinic.day_of(context.now)).contains(&born) {
        return Err(Problem::invalid("/patient/birthDate", "must be between 1900-01-01 and today"));
    }
    confirm(context, &clinic, &confirmation).await
}

/// `POST /payments/own-confirmations`: who is coming is who has the account, as they were booked last.
pub async fn create_own_confirmation(context: &Context<'_>) -> Result<Reply, Problem> {
    let OwnConfirmation { hold, secret, method } = form::read(&context.request)?;
    let patient = known(context).await?;
    let confirmation = Confirmation { hold, secret, method, patient };
    confirm(context, &context.clinic().await?, &confirmation).await
}

async fn known(context: &Context<'_>) -> Result<NewPatient, Problem> {
    let sql = "SELECT p.name, p.birth_date, p.email FROM patient_account c
               JOIN patient p ON p.clinic = c.clinic AND lower(p.email) = c.email AND p.birth_date = c.birth_date
               WHERE c.clinic = ? AND c.id = ? ORDER BY p.created_at DESC, p.id LIMIT 1";
    let account = context.person()?.account;
    let rows = context.database().query(sql, params![&context.clinic, account]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such patient"))?;
    let name = row.parsed(0, |text| Name::try_from(text.to_owned()).ok())?;
    let birth_date = row.parsed(1, |text| form::parse_day(text).map(Day))?;
    let email = row.parsed(2, |text| Email::try_from(text.to_owned()).ok())?;
    Ok(NewPatient { name: Phi::new(name), birth_date: Phi::new(birth_date), email: Phi::new(email) })
}

async fn confirm(
    context: &Context<'_>,
    clinic: &Clinic,
    confirmation: &Confirmation,
) -> Result<Reply, Problem> {
    let confirmed = context
        .transaction(async || {
            let held = use_hold(context, confirmation).await?;
            book(context, clinic, confirmation, &held).await
        })
        .await?;
    reply::json(StatusCode::CREATED, &confirmed)
}

/// Uses the hold up, in one conditional statement: of two confirmations exactly one gets past it.
async fn use_hold(context: &Context<'_>, confirmation: &Confirmation) -> Result<Held, Problem> {
    let (clinic, database) = (&context.clinic, context.database());
    let hash = Secret::presented(confirmation.secret.as_str()).hash();
    let sql = "UPDATE hold SET used_at = ?1
               WHERE clinic = ?2 AND id = ?3 AND secret_hash = ?4 AND used_at IS NULL AND expires_at > ?1";
    let used = database.execute(sql, params![context.now, clinic, confirmation.hold, hash]).await?;
    let sql = "SELECT h.practitioner, h.service, h.start_at, h.end_at, s.price_minor, s.currency, h.used_at
               FROM hold h JOIN service s ON s.clinic = h.clinic AND s.id = h.service
               WHERE h.clinic = ? AND h.id = ? AND h.secret_hash = ?";
    let rows = database.query(sql, params![clinic, confirmation.hold, hash]).await?;
    // A wrong secret and an unknown hold are not told apart.
    let row = rows.first().ok_or_else(|| Problem::not_found("No such hold"))?;
    if used == 0 {
        return Err(match row.time_or_null(6)? {
            Some(_) => Problem::new(StatusCode::CONFLICT, "hold-used", "This hold was used already"),
            None => Problem::new(StatusCode::GONE, "hold-expired", "This hold has expired"),
        });
    }
    let shape = DatabaseError::Shape { column: 4, wanted: "an amount of money" };
    let price = Money::from_minor(row.integer(4)?, row.parsed(5, Currency::parse)?).ok_or(shape)?;
    Ok(Held {
        practitioner: row.parsed(0, PractitionerId::parse)?,
        service: row.parsed(1, ServiceId::parse)?,
        start: row.time(2)?,
        end: row.time(3)?,
        price,
    })
}

async fn book(
    context: &Context<'_>,
    clinic: &Clinic,
    confirmation: &Confirmation,
    held: &Held,
) -> Result<Confirmed, Problem> {
    let appointment = insert_appointment(context, confirmation, held).await?;
    let invoice = insert_invoice(context, appointment, confirmation.method, &held.price).await?;
    insert_encounter(context, appointment).await?;
    let email = confirmation.patient.email.open().as_str();
    invitation::send(context, clinic, email, appointment, held.start).await?;
    context.audit(Action::AppointmentBooked, Some(&appointment));
    let status = AppointmentStatus::Booked;
    Ok(Confirmed {
        appointment: AppointmentView { id: appointment, start: held.start, end: held.end, status },
        invoice: InvoiceView { id: invoice, status: InvoiceStatus::Issued, price: held.price.clone() },
    })
}

async fn insert_appointment(
    context: &Context<'_>,
    confirmation: &Confirmation,
    held: &Held,
) -> Result<AppointmentId, Problem> {
    let (clinic, database, now) = (&context.clinic, context.database(), context.now);
    let (patient, id) = (PatientId::new(now)?, AppointmentId::new(now)?);
    let NewPatient { name, birth_date, email } = &confirmation.patient;
    let born: Date = birth_date.open().0;
    let sql =
        "INSERT INTO patient (clinic, id, name, birth_date, email, created_at) VALUES (?, ?, ?, ?, ?, ?)";
    let (name, email) = (name.open().as_str(), email.open().as_str());
    database.execute(sql, params![clinic, patient, name, born.to_string(), email, now]).await?;
    let sql = "INSERT INTO appointment
                 (clinic, id, hold, patient, practitioner, service, start_at, end_at, status, created_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let values = params![
        clinic,
        id,
        confirmation.hold,
        patient,
        held.practitioner,
        held.service,
        held.start,
        held.end,
        AppointmentStatus::Booked,
        now
    ];
    database.execute(sql, values).await?;
    Ok(id)
}

async fn insert_invoice(
    context: &Context<'_>,
    appointment: AppointmentId,
    method: Method,
    price: &Money,
) -> Result<InvoiceId, Problem> {
    let id = InvoiceId::new(context.now)?;
    let method = match method {
        Method::PayAtClinic => "pay-at-clinic",
    };
    let sql =
        "INSERT INTO invoice (clinic, id, appointment, status, method, amount_minor, currency, issued_at)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let currency = price.currency().as_str();
    let (clinic, status) = (&context.clinic, InvoiceStatus::Issued);
    let values = params![clinic, id, appointment, status, method, price.minor(), currency, context.now];
    context.database().execute(sql, values).await?;
    Ok(id)
}

async fn insert_encounter(context: &Context<'_>, appointment: AppointmentId) -> Result<(), Problem> {
    let sql = "INSERT INTO encounter (clinic, id, appointment, status, note_version) VALUES (?, ?, ?, ?, ?)";
    let (id, version) = (EncounterId::new(context.now)?, secret::random_name()?);
    let values = params![&context.clinic, id, appointment, EncounterStatus::Planned, version];
    context.database().execute(sql, values).await?;
    Ok(())
}
