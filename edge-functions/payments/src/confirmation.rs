//! The booking is made: appointment, invoice, encounter and invitation, all or none.

use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::{Date, date};
use kit::audit::Action;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::fhir::{AppointmentStatus, EncounterStatus, InvoiceStatus};
use kit::form::{self, Day, Email, Name, SecretText};
use kit::hold::{self, Held};
use kit::ids::{AppointmentId, EncounterId, HoldId, InvoiceId, PatientId};
use kit::invitation::{self, News};
use kit::money::Money;
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret;
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
            let held = hold::use_up(context, confirmation.hold, &confirmation.secret).await?;
            book(context, clinic, confirmation, &held).await
        })
        .await?;
    reply::json(StatusCode::CREATED, &confirmed)
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
    invitation::send(context, clinic, email, appointment, held.start, News::Booked).await?;
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
