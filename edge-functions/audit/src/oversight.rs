//! What a clinic wants to be looked at, and whose records its clinicians may open.

use kit::audit::Action;
use kit::context::Context;
use kit::form;
use kit::oversight::Oversight;
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};

/// `GET /audit/oversight`.
pub async fn get_oversight(context: &Context<'_>) -> Result<Reply, Problem> {
    Query::of(context.request.uri()).finish()?;
    let oversight = context.oversight().await?;
    context.audit(Action::OversightRead, None);
    reply::ok(&oversight)
}

/// `PUT /audit/oversight`.
pub async fn put_oversight(context: &Context<'_>) -> Result<Reply, Problem> {
    let wanted: Oversight = form::read(&context.request)?;
    check(&wanted)?;
    let before = context.oversight().await?;
    let sql = "INSERT INTO oversight (clinic, record_access, emergency_minutes, day_begins, day_ends,
                                      mass_patients, sample_one_in, alert_email, changed_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT (clinic) DO UPDATE SET
                 record_access = ?2, emergency_minutes = ?3, day_begins = ?4, day_ends = ?5,
                 mass_patients = ?6, sample_one_in = ?7, alert_email = ?8, changed_at = ?9";
    let email = wanted.alert_email.as_ref().map(|email| email.as_str().to_owned());
    let values = params![
        &context.clinic,
        wanted.record_access.as_str(),
        u32::from(wanted.emergency_minutes),
        wanted.day_begins.to_string(),
        wanted.day_ends.to_string(),
        u32::from(wanted.mass_patients),
        u32::from(wanted.sample_one_in),
        email,
        context.now
    ];
    context.database().execute(sql, values).await?;
    let change = (Some(words(&before)), Some(words(&wanted)));
    context.audit_change(Action::OversightChanged, None, change);
    reply::ok(&wanted)
}

fn check(wanted: &Oversight) -> Result<(), Problem> {
    if !(5..=720).contains(&wanted.emergency_minutes) {
        return Err(Problem::invalid("/emergencyMinutes", "must be 5 to 720"));
    }
    if wanted.mass_patients == 0 {
        return Err(Problem::invalid("/massPatients", "must be 1 or more"));
    }
    if wanted.day_ends <= wanted.day_begins {
        return Err(Problem::invalid("/dayEnds", "must be later than the beginning"));
    }
    Ok(())
}

/// For the event: without the address.
fn words(oversight: &Oversight) -> String {
    format!(
        "{}.{}.{}.{}.{}.{}",
        oversight.record_access.as_str(),
        oversight.emergency_minutes,
        oversight.day_begins,
        oversight.day_ends,
        oversight.mass_patients,
        oversight.sample_one_in
    )
}
