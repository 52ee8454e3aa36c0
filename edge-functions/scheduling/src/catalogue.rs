//! What can be booked, with whom, and when they are open.

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use kit::clinic::Clinic;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form;
use kit::hours::{ClockTime, WeeklyRule};
use kit::ids::{ClinicId, PractitionerId, ServiceId, SiteId, SiteRoomId};
use kit::money::{Currency, Money};
use kit::params;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::licence;
use crate::openings::{Exception, Hours, Opening, Place, Room, Shape, Wanted};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClinicView<'a> {
    id: &'a ClinicId,
    name: String,
    time_zone: String,
    services: Vec<Service>,
    practitioners: Vec<Practitioner>,
    sites: Vec<Site>,
    /// Whether patients can book.
    open: bool,
    /// Where practitioners are licensed; left out where patients need not say where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    licensed_in: Option<Vec<String>>,
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
    /// So many patients come to it at once.
    #[serde(skip_serializing_if = "is_one")]
    pub capacity: u32,
    /// It takes place in a room of the site.
    #[serde(skip)]
    pub needs_room: bool,
    /// What the practitioner needs before and after it.
    #[serde(skip)]
    pub shape: Shape,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_one(capacity: &u32) -> bool {
    *capacity == 1
}

impl Service {
    /// What it wants of a time.
    pub fn wanted<'w>(&self, rooms: &'w [Room]) -> Wanted<'w> {
        let capacity = usize::try_from(self.capacity).unwrap_or(1);
        Wanted { service: self.id, capacity, rooms: self.needs_room.then_some(rooms) }
    }
}

/// Where practitioners are booked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// The IANA name of its time zone.
    pub time_zone: String,
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

/// `GET /scheduling/clinic`.
pub async fn get_clinic(context: &Context<'_>) -> Result<Reply, Problem> {
    let Clinic { name, time_zone, is_open: open, .. } = context.clinic().await?;
    let services = services(context).await?;
    let practitioners = practitioners(context).await?;
    let sites = sites(context).await?;
    let (id, licensed_in) = (&context.clinic, licence::asked(context).await?);
    reply::ok(&ClinicView { id, name, time_zone, services, practitioners, sites, open, licensed_in })
}

/// What `read_service` reads.
macro_rules! select_services {
    ($condition:literal) => {
        concat!(
            "SELECT id, name, duration_minutes, price_minor, currency, buffer_before_minutes,
                    buffer_after_minutes, capacity, needs_room
             FROM service WHERE clinic = ? AND removed_at IS NULL ",
            $condition
        )
    };
}

/// Every service of the clinic.
async fn services(context: &Context<'_>) -> Result<Vec<Service>, Problem> {
    let sql = select_services!("ORDER BY name, id");
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    Ok(rows.iter().map(read_service).collect::<Result<_, _>>()?)
}

/// The service `id`, if the clinic offers it.
pub async fn service(context: &Context<'_>, id: ServiceId) -> Result<Option<Service>, Problem> {
    let sql = select_services!("AND id = ?");
    let rows = context.database().query(sql, params![&context.clinic, id]).await?;
    Ok(rows.first().map(read_service).transpose()?)
}

/// Every practitioner of the clinic who works there.
pub async fn practitioners(context: &Context<'_>) -> Result<Vec<Practitioner>, Problem> {
    let sql = "SELECT p.id, p.name FROM practitioner p
               JOIN staff_user u ON u.clinic = p.clinic AND u.id = p.user
               WHERE p.clinic = ? AND u.left_at IS NULL ORDER BY p.name, p.id";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &Row| {
        Ok::<_, DatabaseError>(Practitioner { id: row.parsed(0, PractitionerId::parse)?, name: row.text(1)? })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// Every site of the clinic.
pub async fn sites(context: &Context<'_>) -> Result<Vec<Site>, Problem> {
    let sql = "SELECT id, name, address, time_zone FROM site
               WHERE clinic = ? AND removed_at IS NULL ORDER BY name, id";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &Row| {
        let (id, name) = (row.parsed(0, SiteId::parse)?, row.text(1)?);
        Ok::<_, DatabaseError>(Site { id, name, address: row.text(2)?, time_zone: row.text(3)? })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// Every room of the clinic's sites.
pub async fn rooms(context: &Context<'_>) -> Result<Vec<Room>, Problem> {
    let sql = "SELECT id, site, name FROM site_room WHERE clinic = ? AND removed_at IS NULL ORDER BY key, id";
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    let read = |row: &Row| {
        let (id, site) = (row.parsed(0, SiteRoomId::parse)?, row.parsed(1, SiteId::parse)?);
        Ok::<_, DatabaseError>(Room { id, site, name: row.text(2)? })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

/// When the practitioners of the clinic are open.
pub async fn hours(context: &Context<'_>, clinic: &Clinic, sites: &[Site]) -> Result<Hours, Problem> {
    let place = |site: &Site| {
        Ok::<_, Problem>(Place {
            site: site.id,
            zone: TimeZone::get(&site.time_zone).map_err(Problem::internal)?,
        })
    };
    let places = sites.iter().map(place).collect::<Result<_, _>>()?;
    let database = context.database();
    let sql = "SELECT h.practitioner, h.rrule, h.opens, h.closes, h.site FROM opening_hours h
               JOIN practitioner p ON p.clinic = h.clinic AND p.id = h.practitioner
               JOIN staff_user u ON u.clinic = p.clinic AND u.id = p.user
               WHERE h.clinic = ? AND u.left_at IS NULL";
    let rows = database.query(sql, params![&context.clinic]).await?;
    let openings = rows.iter().map(read_opening).collect::<Result<_, _>>()?;
    let sql = "SELECT practitioner, site, from_day, until_day, opens, closes FROM hours_exception
               WHERE clinic = ?";
    let rows = database.query(sql, params![&context.clinic]).await?;
    let exceptions = rows.iter().map(read_exception).collect::<Result<_, _>>()?;
    Ok(Hours { zone: clinic.zone.clone(), places, openings, exceptions })
}

fn read_opening(row: &Row) -> Result<Opening, DatabaseError> {
    Ok(Opening {
        practitioner: row.parsed(0, PractitionerId::parse)?,
        site: parsed_or_null(row, 4, SiteId::parse)?,
        rule: row.parsed(1, WeeklyRule::parse)?,
        opens: row.parsed(2, ClockTime::parse)?,
        closes: row.parsed(3, ClockTime::parse)?,
    })
}

fn read_exception(row: &Row) -> Result<Exception, DatabaseError> {
    let opens = parsed_or_null(row, 4, ClockTime::parse)?;
    Ok(Exception {
        practitioner: parsed_or_null(row, 0, PractitionerId::parse)?,
        site: parsed_or_null(row, 1, SiteId::parse)?,
        from: row.parsed(2, form::parse_day)?,
        until: row.parsed(3, form::parse_day)?,
        hours: opens.zip(parsed_or_null(row, 5, ClockTime::parse)?),
    })
}

pub(crate) fn parsed_or_null<T>(
    row: &Row,
    column: usize,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, DatabaseError> {
    match row.text_or_null(column)? {
        Some(_) => row.parsed(column, parse).map(Some),
        None => Ok(None),
    }
}

fn read_service(row: &Row) -> Result<Service, DatabaseError> {
    let shape = DatabaseError::Shape { column: 3, wanted: "an amount of money" };
    let price = Money::from_minor(row.integer(3)?, row.parsed(4, Currency::parse)?).ok_or(shape)?;
    let duration_minutes = row.integer(2)?;
    let minutes = SignedDuration::from_mins;
    Ok(Service {
        id: row.parsed(0, ServiceId::parse)?,
        name: row.text(1)?,
        duration_minutes,
        price,
        capacity: u32::try_from(row.integer(7)?).unwrap_or(1),
        needs_room: row.integer(8)? == 1,
        shape: Shape {
            before: minutes(row.integer(5)?),
            length: minutes(duration_minutes),
            after: minutes(row.integer(6)?),
        },
    })
}
