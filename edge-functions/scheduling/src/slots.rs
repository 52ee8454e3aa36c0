//! Free slots: computed from opening hours and what is taken, never stored.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use kit::clinic::Clinic;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form;
use kit::ids::{PractitionerId, ServiceId, SiteId};
use kit::params;
use kit::problem::Problem;
use kit::query::Query;
use kit::reply::{self, Reply};
use serde::Serialize;

use crate::catalogue::{self, Practitioner, Service, Site};
use crate::openings::{Busy, Hours, Slot};

/// The longest stretch of an answer, in days.
const MAX_DAYS: i64 = 31;
/// How far ahead anybody can book.
pub const HORIZON: SignedDuration = SignedDuration::from_hours(366 * 24);
/// No service needs more than this before or after, as the tables say.
pub const MAX_BUFFER: SignedDuration = SignedDuration::from_mins(120);

/// A slot as the API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct SlotView {
    start: Timestamp,
    end: Timestamp,
    practitioner: Practitioner,
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<SiteName>,
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
    reply::ok(&SlotsView { time_zone: clinic.time_zone, slots: plan.views(&slots) })
}

/// The free slots of so many days of the clinic, soonest first.
pub async fn free(
    context: &Context<'_>,
    clinic: &Clinic,
    plan: &Plan,
    service: &Service,
    (day, days): (Date, i64),
    filter: Filter,
) -> Result<Vec<Slot>, Problem> {
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
        return Ok(slots);
    };
    let taken = taken(context, first, last).await?;
    slots.retain(|slot| !taken.iter().any(|busy| slot.collides_with(busy)));
    Ok(slots)
}

impl Filter {
    /// Whether a slot is one of those looked for.
    pub fn allows(&self, slot: &Slot) -> bool {
        self.practitioner.is_none_or(|id| id == slot.practitioner())
            && self.site.is_none_or(|id| Some(id) == slot.site)
    }
}

/// What is booked or held between `from` and `until`.
async fn taken(context: &Context<'_>, from: Timestamp, until: Timestamp) -> Result<Vec<Busy>, Problem> {
    let rows = context
        .database()
        .query(
            "SELECT t.practitioner, t.start_at - 60000 * s.buffer_before_minutes,
                    t.end_at + 60000 * s.buffer_after_minutes
             FROM (
               SELECT clinic, practitioner, service, start_at, end_at FROM appointment
               WHERE clinic = ?1 AND start_at < ?3 AND end_at > ?2
                 AND status IN ('booked', 'arrived', 'fulfilled')
               UNION ALL
               SELECT clinic, practitioner, service, start_at, end_at FROM hold
               WHERE clinic = ?1 AND start_at < ?3 AND end_at > ?2 AND used_at IS NULL AND expires_at > ?4
             ) t JOIN service s ON s.clinic = t.clinic AND s.id = t.service",
            params![&context.clinic, from - MAX_BUFFER, until + MAX_BUFFER, context.now],
        )
        .await?;
    let read = |row: &Row| {
        Ok::<_, DatabaseError>(Busy {
            practitioner: row.parsed(0, PractitionerId::parse)?,
            from: row.time(1)?,
            until: row.time(2)?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

impl Plan {
    /// As it is now.
    pub async fn read(context: &Context<'_>, clinic: &Clinic) -> Result<Self, Problem> {
        let sites = catalogue::sites(context).await?;
        let hours = catalogue::hours(context, clinic, &sites).await?;
        Ok(Self { hours, sites, practitioners: catalogue::practitioners(context).await? })
    }

    /// `slots` with the names of their practitioners and sites.
    pub fn views(&self, slots: &[Slot]) -> Vec<SlotView> {
        let view = |slot: &Slot| {
            let known = self.practitioners.iter().find(|known| known.id == slot.practitioner())?;
            let practitioner = known.clone();
            Some(SlotView { start: slot.start, end: slot.end, practitioner, site: self.site_name(slot.site) })
        };
        slots.iter().filter_map(view).collect()
    }

    /// The name of a site.
    pub fn site_name(&self, site: Option<SiteId>) -> Option<SiteName> {
        let known = self.sites.iter().find(|known| Some(known.id) == site)?;
        Some(SiteName { id: known.id, name: known.name.clone() })
    }
}
