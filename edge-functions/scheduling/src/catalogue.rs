//! What can be booked, with whom, and when they are open.

use kit::clinic::Clinic;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::hours::{ClockTime, WeeklyRule};
use kit::ids::{ClinicId, PractitionerId, ServiceId};
use kit::money::{Currency, Money};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClinicView<'a> {
    id: &'a ClinicId,
    name: String,
    time_zone: String,
    services: Vec<Service>,
    practitioners: Vec<Practitioner>,
}

/// Something that can be booked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// Its name.
    pub name: String,
    /// How long it takes.
    pub duration_minutes: i64,
    /// What it costs.
    pub price: Money,
}

/// A service where its length and price do not matter.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceName {
    /// Its id.
    pub id: ServiceId,
    /// Its name.
    pub name: String,
}

/// Somebody who can be booked.
#[derive(Clone, Debug, Serialize)]
pub struct Practitioner {
    /// Their id.
    pub id: PractitionerId,
    /// Their name.
    pub name: String,
}

/// When a practitioner is open, in the clinic's local time.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// Who.
    pub practitioner: PractitionerId,
    /// On which days.
    pub rule: WeeklyRule,
    /// From.
    pub opens: ClockTime,
    /// Until.
    pub closes: ClockTime,
}

/// `GET /scheduling/clinic`.
pub async fn get_clinic(context: &Context<'_>) -> Result<Reply, Problem> {
    let Clinic { name, time_zone, .. } = context.clinic().await?;
    let services = services(context).await?;
    let practitioners = practitioners(context).await?;
    reply::ok(&ClinicView { id: &context.clinic, name, time_zone, services, practitioners })
}

/// Every service of the clinic.
async fn services(context: &Context<'_>) -> Result<Vec<Service>, Problem> {
    let sql = "SELECT id, name, duration_minutes, price_minor, currency FROM service
               WHERE clinic = ? ORDER BY name, id";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    Ok(rows.iter().map(read_service).collect::<Result<_, _>>()?)
}

/// The service `id`, if the clinic has it.
pub async fn service(context: &Context<'_>, id: ServiceId) -> Result<Option<Service>, Problem> {
    let sql = "SELECT id, name, duration_minutes, price_minor, currency FROM service
               WHERE clinic = ? AND id = ?";
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    Ok(rows.first().map(read_service).transpose()?)
}

/// Every practitioner of the clinic.
pub async fn practitioners(context: &Context<'_>) -> Result<Vec<Practitioner>, Problem> {
    let sql = "SELECT id, name FROM practitioner WHERE clinic = ? ORDER BY name, id";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &Row| {
        Ok::<_, DatabaseError>(Practitioner { id: row.parsed(0, PractitionerId::parse)?, name: row.text(1)? })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// When the practitioners of the clinic are open.
pub async fn openings(context: &Context<'_>) -> Result<Vec<Opening>, Problem> {
    let sql = "SELECT practitioner, rrule, opens, closes FROM opening_hours WHERE clinic = ?";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &Row| {
        Ok::<_, DatabaseError>(Opening {
            practitioner: row.parsed(0, PractitionerId::parse)?,
            rule: row.parsed(1, WeeklyRule::parse)?,
            opens: row.parsed(2, ClockTime::parse)?,
            closes: row.parsed(3, ClockTime::parse)?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

fn read_service(row: &Row) -> Result<Service, DatabaseError> {
    let shape = DatabaseError::Shape { column: 3, wanted: "an amount of money" };
    let price = Money::from_minor(row.integer(3)?, row.parsed(4, Currency::parse)?).ok_or(shape)?;
    Ok(Service {
        id: row.parsed(0, ServiceId::parse)?,
        name: row.text(1)?,
        duration_minutes: row.integer(2)?,
        price,
    })
}
