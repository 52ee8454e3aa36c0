//! How a patient is written to: as they say themselves, or front desk for them.

use kit::audit::Action;
use kit::contact::{Contact, ContactView};
use kit::context::Context;
use kit::form::{self, Email, Phone};
use kit::ids::{AppointmentId, PatientId};
use kit::invitation::{self, News};
use kit::outbox::{self, Channel};
use kit::params;
use kit::phi::Phi;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use kit::texts::Language;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewContact {
    email: Phi<Email>,
    phone: Option<Phi<Phone>>,
    language: Option<Language>,
    channel: Channel,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    patient: String,
    email: String,
    #[serde(flatten)]
    contact: ContactView,
    /// What was refused for good, and is not written to until somebody has seen to it.
    undeliverable: Vec<Channel>,
    /// Where they want no more of what they can do without.
    opted_out: Vec<Channel>,
}

struct Patient {
    id: PatientId,
    name: String,
    email: String,
    /// The visit is still to come.
    waits: bool,
}

/// `GET /messages/appointments/{id}/contact`: of the patient of a visit.
pub async fn get_contact(context: &Context<'_>) -> Result<Reply, Problem> {
    let appointment = context.path_id(AppointmentId::parse)?;
    Query::of(context.request.uri()).finish()?;
    let patient = patient_of(context, appointment).await?;
    context.audit(Action::ContactRead, Some(&appointment));
    view(context, &patient).await
}

/// `PUT /messages/appointments/{id}/contact`: corrected with the patient. It is of all their visits; what was refused before
/// is tried again, and who has a visit gets its link where they are written to from now on.
pub async fn put_contact(context: &Context<'_>) -> Result<Reply, Problem> {
    let appointment = context.path_id(AppointmentId::parse)?;
    let old = patient_of(context, appointment).await?;
    let NewContact { email, phone, language, channel } = form::read(&context.request)?;
    let contact = Contact { phone, language, channel };
    contact.check("/phone")?;
    let email = email.open().as_str();
    let clinic = context.clinic().await?;
    context
        .transaction(async || {
            let failed = outbox::standing(context, &old.email).await?.failing;
            let is_new = !old.email.eq_ignore_ascii_case(email);
            for patient in same_person(context, old.id).await? {
                let sql = "UPDATE patient SET email = ?3 WHERE clinic = ?1 AND id = ?2";
                context.database().execute(sql, params![&context.clinic, patient, email]).await?;
                contact.keep(context, patient).await?;
            }
            let phone = contact.phone.as_ref().map(|phone| phone.open().as_str());
            for address in [Some(email), phone].into_iter().flatten() {
                outbox::note_corrected(context, address).await?;
            }
            context.audit(Action::ContactChanged, Some(&appointment));
            if old.waits && (is_new || failed) {
                let sql = "SELECT start_at FROM appointment WHERE clinic = ? AND id = ?";
                let rows = context.database().query(sql, params![&context.clinic, appointment]).await?;
                let row = rows.first().ok_or_else(|| Problem::not_found("No such visit"))?;
                invitation::send(context, &clinic, email, appointment, row.time(0)?, News::Booked).await?;
            }
            Ok(())
        })
        .await?;
    view(context, &patient_of(context, appointment).await?).await
}

/// `GET /messages/visit-contact`: of the patient who asks.
pub async fn get_visit_contact(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let appointment = context.visitor()?.appointment;
    let patient = patient_of(context, appointment).await?;
    context.audit(Action::ContactRead, Some(&appointment));
    reply::ok(&Contact::of(context, patient.id).await?.view())
}

/// `PUT /messages/visit-contact`. Only of this visit: who has its link may know no more of the patient than that.
pub async fn put_visit_contact(context: &Context<'_>) -> Result<Reply, Problem> {
    let appointment = context.visitor()?.appointment;
    let contact: Contact = form::read(&context.request)?;
    contact.check("/phone")?;
    let patient = patient_of(context, appointment).await?;
    contact.keep(context, patient.id).await?;
    context.audit(Action::ContactChanged, Some(&appointment));
    reply::ok(&contact.view())
}

async fn patient_of(context: &Context<'_>, appointment: AppointmentId) -> Result<Patient, Problem> {
    let sql = "SELECT p.id, p.name, p.email, a.status = 'booked' AND a.end_at > ?3 FROM appointment a
               JOIN patient p ON p.clinic = a.clinic AND p.id = a.patient WHERE a.clinic = ?1 AND a.id = ?2";
    let rows = context.database().query(sql, params![&context.clinic, appointment, context.now]).await?;
    let row = rows.first().ok_or_else(|| Problem::not_found("No such visit"))?;
    Ok(Patient {
        id: row.parsed(0, PatientId::parse)?,
        name: row.text(1)?,
        email: row.text(2)?,
        waits: row.integer(3)? == 1,
    })
}

/// Of all their visits: address, date of birth and name are the same.
async fn same_person(context: &Context<'_>, patient: PatientId) -> Result<Vec<PatientId>, Problem> {
    let sql =
        "SELECT q.id FROM patient p JOIN patient q ON q.clinic = p.clinic AND lower(q.email) = lower(p.email)
                 AND q.birth_date = p.birth_date AND lower(q.name) = lower(p.name)
               WHERE p.clinic = ? AND p.id = ? ORDER BY q.id DESC LIMIT 500";
    let rows = context.database().query(sql, params![&context.clinic, patient]).await?;
    Ok(rows.iter().map(|row| row.parsed(0, PatientId::parse)).collect::<Result<_, _>>()?)
}

async fn view(context: &Context<'_>, patient: &Patient) -> Result<Reply, Problem> {
    let contact = Contact::of(context, patient.id).await?;
    let phone = contact.phone.as_ref().map(|phone| phone.open().as_str().to_owned());
    let (mut undeliverable, mut opted_out) = (Vec::new(), Vec::new());
    for (channel, address) in [(Channel::Email, Some(patient.email.clone())), (Channel::Sms, phone)] {
        let Some(address) = address else { continue };
        let standing = outbox::standing(context, &address).await?;
        undeliverable.extend(standing.failing.then_some(channel));
        opted_out.extend(standing.opted_out.then_some(channel));
    }
    let (name, email) = (patient.name.clone(), patient.email.clone());
    reply::ok(&View { patient: name, email, contact: contact.view(), undeliverable, opted_out })
}
