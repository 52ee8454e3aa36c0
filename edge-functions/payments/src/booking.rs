//! A hold that was used up becomes a visit: appointment, invoice, encounter and invitation, all or none.

use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::Date;
use kit::audit::Action;
use kit::clinic::Clinic;
use kit::contact::Contact;
use kit::context::Context;
use kit::fhir::{AppointmentStatus, EncounterStatus, InvoiceStatus};
use kit::form::{self, Day, Email, Language, Name};
use kit::hold::Held;
use kit::ids::{AppointmentId, EncounterId, HoldId, InvoiceId, PatientId};
use kit::invitation::{self, News};
use kit::money::Money;
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::secret;
use serde::{Deserialize, Serialize};

/// Whom a visit is for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct NewPatient {
    name: Phi<Name>,
    birth_date: Phi<Day>,
    email: Phi<Email>,
    /// Into and out of which language somebody has to interpret.
    #[serde(default)]
    interpreter: Option<Phi<Language>>,
    #[serde(default)]
    contact: Contact,
}

#[derive(Serialize)]
pub(crate) struct Confirmed {
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

impl NewPatient {
    /// Whether they can have been born then.
    pub(crate) fn check(&self, clinic: &Clinic, now: Timestamp) -> Result<(), Problem> {
        self.contact.check("/patient/contact/phone")?;
        let earliest = jiff::civil::date(1900, 1, 1);
        if (earliest..=clinic.day_of(now)).contains(&self.birth_date.open().0) {
            return Ok(());
        }
        Err(Problem::invalid("/patient/birthDate", "must be between 1900-01-01 and today"))
    }

    /// Who has the account, as they were booked last.
    pub(crate) async fn known(context: &Context<'_>) -> Result<Self, Problem> {
        let sql = "SELECT p.name, p.birth_date, p.email, a.interpreter_language, p.id FROM patient_account c
                   JOIN patient p
                     ON p.clinic = c.clinic AND lower(p.email) = c.email AND p.birth_date = c.birth_date
                   LEFT JOIN appointment a ON a.clinic = p.clinic AND a.patient = p.id
                   WHERE c.clinic = ? AND c.id = ? ORDER BY p.created_at DESC, p.id LIMIT 1";
        let account = context.person()?.account;
        let rows = context.database().query(sql, params![&context.clinic, account]).await?;
        let row = rows.first().ok_or_else(|| Problem::not_found("No such patient"))?;
        let name = row.parsed(0, |text| Name::try_from(text.to_owned()).ok())?;
        let birth_date = row.parsed(1, |text| form::parse_day(text).map(Day))?;
        let email = row.parsed(2, |text| Email::try_from(text.to_owned()).ok())?;
        let interpreter = row.text_or_null(3)?.and_then(|text| Language::try_from(text).ok()).map(Phi::new);
        let contact = Contact::of(context, row.parsed(4, PatientId::parse)?).await?;
        let (name, birth_date, email) = (Phi::new(name), Phi::new(birth_date), Phi::new(email));
        Ok(Self { name, birth_date, email, interpreter, contact })
    }

    /// For the time until there is an appointment.
    pub(crate) fn to_json(&self) -> String {
        let (name, born, email) =
            (self.name.open().as_str(), self.birth_date.open().0, self.email.open().as_str());
        let contact = self.contact.view();
        let mut json = serde_json::json!({
            "name": name, "birthDate": born.to_string(), "email": email, "contact": contact
        });
        if let Some(language) = self.interpreter() {
            json["interpreter"] = language.into();
        }
        json.to_string()
    }

    fn interpreter(&self) -> Option<&str> {
        self.interpreter.as_ref().map(|language| language.open().as_str())
    }
}

/// Makes it.
pub(crate) async fn book(
    context: &Context<'_>,
    clinic: &Clinic,
    (hold, held): (HoldId, &Held),
    patient: &NewPatient,
) -> Result<AppointmentId, Problem> {
    let appointment = insert_appointment(context, hold, held, patient).await?;
    insert_invoice(context, appointment, held).await?;
    insert_encounter(context, appointment).await?;
    let email = patient.email.open().as_str();
    invitation::send(context, clinic, email, appointment, held.start, News::Booked).await?;
    context.audit(Action::AppointmentBooked, Some(&appointment));
    Ok(appointment)
}

impl Confirmed {
    /// What was booked.
    pub(crate) async fn of(context: &Context<'_>, appointment: AppointmentId) -> Result<Self, Problem> {
        let sql = "SELECT a.start_at, a.end_at, a.status, i.id, i.amount_minor, i.currency
                   FROM appointment a JOIN invoice i ON i.clinic = a.clinic AND i.appointment = a.id
                   WHERE a.clinic = ? AND a.id = ?";
        let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
        let row = rows.first().ok_or_else(|| Problem::not_found("No such appointment"))?;
        let status = row.parsed(2, AppointmentStatus::parse)?;
        let price = crate::invoice::money(row.integer(4)?, &row.text(5)?)?;
        Ok(Self {
            appointment: AppointmentView { id: appointment, start: row.time(0)?, end: row.time(1)?, status },
            invoice: InvoiceView {
                id: row.parsed(3, InvoiceId::parse)?,
                status: InvoiceStatus::Issued,
                price,
            },
        })
    }
}

async fn insert_appointment(
    context: &Context<'_>,
    hold: HoldId,
    held: &Held,
    patient: &NewPatient,
) -> Result<AppointmentId, Problem> {
    let (clinic, database, now) = (&context.clinic, context.database(), context.now);
    let (person, id) = (PatientId::new(now)?, AppointmentId::new(now)?);
    let NewPatient { name, birth_date, email, interpreter: _, contact } = patient;
    let born: Date = birth_date.open().0;
    let sql =
        "INSERT INTO patient (clinic, id, name, birth_date, email, created_at) VALUES (?, ?, ?, ?, ?, ?)";
    let (name, email) = (name.open().as_str(), email.open().as_str());
    database.execute(sql, params![clinic, person, name, born.to_string(), email, now]).await?;
    if !contact.is_empty() {
        contact.keep(context, person).await?;
    }
    let sql = "INSERT INTO appointment
                 (clinic, id, hold, patient, practitioner, service, start_at, end_at, status, created_at, place,
                  interpreter_language)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let Held { practitioner, service, start, end, price: _, place } = held;
    let booked = AppointmentStatus::Booked;
    let values = params![
        clinic,
        id,
        hold,
        person,
        *practitioner,
        *service,
        *start,
        *end,
        booked,
        now,
        *place,
        patient.interpreter()
    ];
    match database.execute(sql, values).await {
        // Whatever stands in front of it was wrong, or older than the places of a group.
        Err(error) if error.is_duplicate_of("appointment.clinic, appointment.practitioner") => {
            return Err(Problem::new(StatusCode::CONFLICT, "slot-taken", "Somebody else was faster"));
        }
        other => other?,
    };
    Ok(id)
}

/// What was agreed on. `method` says nothing any more: how it is paid stands in the books.
async fn insert_invoice(
    context: &Context<'_>,
    appointment: AppointmentId,
    held: &Held,
) -> Result<(), Problem> {
    let (clinic, database, id) = (&context.clinic, context.database(), InvoiceId::new(context.now)?);
    let sql =
        "INSERT INTO invoice (clinic, id, appointment, status, method, amount_minor, currency, issued_at)
               VALUES (?, ?, ?, ?, 'pay-at-clinic', ?, ?, ?)";
    let currency = held.price.currency().as_str();
    let status = InvoiceStatus::Issued;
    let values = params![clinic, id, appointment, status, held.price.minor(), currency, context.now];
    database.execute(sql, values).await?;
    let sql = "INSERT INTO invoice_line (clinic, invoice, place, kind, text, quantity, unit_minor)
               SELECT s.clinic, ?3, 1, iif(m.service IS NULL, 'visit', 'minutes'), s.name,
                 iif(m.service IS NULL, 1, ?4 / max(s.price_minor, 1)), s.price_minor
               FROM service s
               LEFT JOIN service_per_minute m ON m.clinic = s.clinic AND m.service = s.id
               WHERE s.clinic = ?1 AND s.id = ?2";
    database.execute(sql, params![clinic, held.service, id, held.price.minor()]).await?;
    Ok(())
}

async fn insert_encounter(context: &Context<'_>, appointment: AppointmentId) -> Result<(), Problem> {
    let sql = "INSERT INTO encounter (clinic, id, appointment, status, note_version) VALUES (?, ?, ?, ?, ?)";
    let (id, version) = (EncounterId::new(context.now)?, secret::random_name()?);
    let values = params![&context.clinic, id, appointment, EncounterStatus::Planned, version];
    context.database().execute(sql, values).await?;
    Ok(())
}
