//! Free slots: computed from opening hours and what is taken, never stored.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use kit::clinic::Clinic;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form;
use kit::ids::{PractitionerId, ServiceId, SiteId, SiteRoomId};
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::catalogue::{self, Practitioner, Service, Site};
use crate::openings::{Busy, Hours, Room, Session, Slot, Taken, Timeline};

/// The longest stretch of an answer, in days.
const MAX_DAYS: i64 = 31;
/// How far ahead anybody can book.
pub const HORIZON: SignedDuration = SignedDuration::from_hours(366 * 24);
/// No service needs more than this before or after, as the tables say.
pub const MAX_BUFFER: SignedDuration = SignedDuration::from_mins(120);

/// A slot as the API shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SlotView {
    start: Timestamp,
    end: Timestamp,
    practitioner: Practitioner,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<SiteName>,
    /// Of a service for several at once: how many more can come.
    #[serde(skip_serializing_if = "Option::is_none")]
    places_left: Option<usize>,
}

/// A slot that can be had.
#[derive(Clone, Copy, Debug)]
pub struct Free {
    /// Which.
    pub slot: Slot,
    /// By so many more patients.
    pub places_left: usize,
}

/// A site where only its name matters.
#[derive(Clone, Debug, Serialize)]
pub struct SiteName {
    id: SiteId,
    name: String,
}

/// What narrows a search for slots.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// This practitioner only.
    pub practitioner: Option<PractitionerId>,
    /// At this site only.
    pub site: Option<SiteId>,
}

/// What slots are computed from, read once a request.
pub struct Plan {
    /// When the clinic is open.
    pub hours: Hours,
    /// Its sites.
    pub sites: Vec<Site>,
    /// Their rooms.
    pub rooms: Vec<Room>,
    /// Who can be booked.
    pub practitioners: Vec<Practitioner>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SlotsView {
    time_zone: String,
    slots: Vec<SlotView>,
}

/// `GET /scheduling/slots`.
pub async fn list_slots(context: &Context<'_>) -> Result<Reply, Problem> {
    let mut query = Query::of(context.request.uri());
    let service = query.required("service", "the id of a service", ServiceId::parse)?;
    let from = query.required("from", "a date such as 2026-01-31", form::parse_day)?;
    let days = |text: &str| text.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days));
    let days = query.optional("days", "1 to 31", days)?.unwrap_or(7);
    let practitioner = query.optional("practitioner", "the id of a practitioner", PractitionerId::parse)?;
    let site = query.optional("site", "the id of a site", SiteId::parse)?;
    query.finish()?;

    let clinic = context.clinic().await?;
    let service = catalogue::service(context, service).await?;
    let service = service.ok_or_else(|| Problem::not_found("No such service"))?;
    let plan = Plan::read(context, &clinic).await?;
    if practitioner.is_some_and(|id| !plan.practitioners.iter().any(|known| known.id == id)) {
        return Err(Problem::not_found("No such practitioner"));
    }
    if site.is_some_and(|id| !plan.sites.iter().any(|known| known.id == id)) {
        return Err(Problem::not_found("No such site"));
    }
    let filter = Filter { practitioner, site };
    let slots = free(context, &clinic, &plan, &service, (from, days), filter).await?;
    reply::ok(&SlotsView { time_zone: clinic.time_zone, slots: plan.views(&service, &slots) })
}

/// The free slots of so many days of the clinic, soonest first.
pub async fn free(
    context: &Context<'_>,
    clinic: &Clinic,
    plan: &Plan,
    service: &Service,
    (day, days): (Date, i64),
    filter: Filter,
) -> Result<Vec<Free>, Problem> {
    let end = day.checked_add(days.days()).unwrap_or(Date::MAX);
    let (Some(from), Some(until)) = (clinic.start_of(day), clinic.start_of(end)) else {
        return Ok(Vec::new());
    };
    let soonest = context.now + SignedDuration::from_millis(1);
    let latest = context.now + HORIZON + SignedDuration::from_millis(1);
    let mut slots = plan.hours.slots(service.shape, from.max(soonest), until.min(latest));
    slots.retain(|slot| filter.allows(slot));
    let (Some(first), Some(last)) =
        (slots.iter().map(|slot| slot.busy.from).min(), slots.iter().map(|slot| slot.busy.until).max())
    else {
        return Ok(Vec::new());
    };
    let (taken, wanted) = (Timeline::of(taken(context, first, last).await?), service.wanted(&plan.rooms));
    let free = slots.into_iter().map(|slot| Free {
        slot,
        places_left: slot.places_left(&wanted, taken.around(slot.busy.from, slot.busy.until)),
    });
    Ok(free.filter(|free| free.places_left > 0).collect())
}

impl Filter {
    /// Whether a slot is one of those looked for.
    pub fn allows(&self, slot: &Slot) -> bool {
        self.practitioner.is_none_or(|id| id == slot.practitioner())
            && self.site.is_none_or(|id| Some(id) == slot.site)
    }
}

/// What is booked or held between `from` and `until`.
pub(crate) async fn taken(
    context: &Context<'_>,
    from: Timestamp,
    until: Timestamp,
) -> Result<Vec<Taken>, Problem> {
    let rows = context
        .database()
        .query(
            "SELECT t.practitioner, t.start_at - 60000 * s.buffer_before_minutes,
                    t.end_at + 60000 * s.buffer_after_minutes, t.service, t.start_at, t.end_at, t.site, t.room
             FROM (
               SELECT a.clinic, a.practitioner, a.service, a.start_at, a.end_at, h.site, h.room FROM appointment a
               JOIN hold h ON h.clinic = a.clinic AND h.id = a.hold
               WHERE a.clinic = ?1 AND a.start_at < ?3 AND a.end_at > ?2
                 AND a.status IN ('booked', 'arrived', 'fulfilled')
               UNION ALL
               SELECT clinic, practitioner, service, start_at, end_at, site, room FROM hold
               WHERE clinic = ?1 AND start_at < ?3 AND end_at > ?2 AND used_at IS NULL AND expires_at > ?4
             ) t JOIN service s ON s.clinic = t.clinic AND s.id = t.service",
            params![&context.clinic, from - MAX_BUFFER, until + MAX_BUFFER, context.now],
        )
        .await?;
    let read = |row: &Row| {
        let practitioner = row.parsed(0, PractitionerId::parse)?;
        let site = catalogue::parsed_or_null(row, 6, SiteId::parse)?;
        let service = row.parsed(3, ServiceId::parse)?;
        Ok::<_, DatabaseError>(Taken {
            busy: Busy { practitioner, from: row.time(1)?, until: row.time(2)? },
            session: Session { service, start: row.time(4)?, end: row.time(5)?, site },
            room: catalogue::parsed_or_null(row, 7, SiteRoomId::parse)?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

impl Plan {
    /// As it is now.
    pub async fn read(context: &Context<'_>, clinic: &Clinic) -> Result<Self, Problem> {
        let sites = catalogue::sites(context).await?;
        let hours = catalogue::hours(context, clinic, &sites).await?;
        let (rooms, practitioners) =
            (catalogue::rooms(context).await?, catalogue::practitioners(context).await?);
        Ok(Self { hours, sites, rooms, practitioners })
    }

    /// `slots` with the names of their practitioners and sites.
    pub fn views(&self, service: &Service, slots: &[Free]) -> Vec<SlotView> {
        let view = |Free { slot, places_left }: &Free| {
            let known = self.practitioners.iter().find(|known| known.id == slot.practitioner())?;
            let (practitioner, site) = (known.clone(), self.site_name(slot.site));
            let places_left = (service.capacity > 1).then_some(*places_left);
            Some(SlotView { start: slot.start, end: slot.end, practitioner, site, places_left })
        };
        slots.iter().filter_map(view).collect()
    }

    /// The name of a site.
    pub fn site_name(&self, site: Option<SiteId>) -> Option<SiteName> {
        let known = self.sites.iter().find(|known| Some(known.id) == site)?;
        Some(SiteName { id: known.id, name: known.name.clone() })
    }
}
