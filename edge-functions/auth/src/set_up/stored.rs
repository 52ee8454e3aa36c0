//! A clinic as it is set up now.

use std::collections::BTreeMap;

use jiff::civil::Date;
use kit::context::Context;
use kit::database::{DatabaseError, Row};
use kit::form::{self, Day};
use kit::hours::{ClockTime, WeeklyRule};
use kit::ids::{PractitionerId, ServiceId, SiteId, UserId};
use kit::money::{Currency, Money};
use kit::params;
use kit::policy::Role;
use kit::problem::Problem;

use super::bundle::{
    About, Bundle, Consent, Exception, Hours, Key, Licence, LicenceCheck, Member, Officer, Questionnaire,
    Room, Service, Site,
};

/// What is there, and the ids behind its names.
pub(crate) struct Stored {
    pub(crate) bundle: Bundle,
    pub(crate) sites: BTreeMap<String, SiteId>,
    pub(crate) services: BTreeMap<String, ServiceId>,
    pub(crate) staff: BTreeMap<String, UserId>,
    pub(crate) practitioners: BTreeMap<String, PractitionerId>,
    /// Services from before there were keys, that the wanted bundle names.
    pub(crate) adopted: Vec<(String, ServiceId)>,
    pub(crate) is_open: bool,
}

/// A text that went in by the same type.
fn text<T: TryFrom<String>>(row: &Row, column: usize) -> Result<T, DatabaseError> {
    row.parsed(column, |text| T::try_from(text.to_owned()).ok())
}

fn text_or_null<T: TryFrom<String>>(row: &Row, column: usize) -> Result<Option<T>, DatabaseError> {
    if row.text_or_null(column)?.is_none() { Ok(None) } else { text(row, column).map(Some) }
}

fn small(row: &Row, column: usize) -> Result<u16, DatabaseError> {
    let shape = DatabaseError::Shape { column, wanted: "a small number" };
    u16::try_from(row.integer(column)?).map_err(|_| shape)
}

impl Stored {
    /// `None`: nobody has set it up. `wanted` tells services from before there were keys by their names.
    pub(crate) async fn read(
        context: &Context<'_>,
        wanted: Option<&Bundle>,
    ) -> Result<Option<Self>, Problem> {
        let sql = "SELECT name, time_zone, change_until_minutes, no_show_after_minutes, licence_check,
                          privacy_officer_name, privacy_officer_email, color, is_open
                   FROM clinic WHERE clinic = ?";
        let rows = context.database().query(sql, params![&context.clinic]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let clinic = about(row)?;
        let is_open = row.integer(8)? == 1;
        let bundle = Bundle {
            clinic,
            sites: Vec::new(),
            services: Vec::new(),
            staff: Vec::new(),
            exceptions: exceptions(context).await?,
            consents: consents(context).await?,
            questionnaires: questionnaires(context).await?,
        };
        let mut stored = Self {
            bundle,
            sites: BTreeMap::new(),
            services: BTreeMap::new(),
            staff: BTreeMap::new(),
            practitioners: BTreeMap::new(),
            adopted: Vec::new(),
            is_open,
        };
        stored.read_sites(context).await?;
        stored.read_services(context, wanted).await?;
        stored.read_staff(context).await?;
        stored.bundle = stored.bundle.sorted();
        Ok(Some(stored))
    }

    async fn read_sites(&mut self, context: &Context<'_>) -> Result<(), Problem> {
        let sql = "SELECT id, key, name, address, time_zone FROM site
                   WHERE clinic = ? AND removed_at IS NULL ORDER BY key";
        for row in context.database().query(sql, params![&context.clinic]).await? {
            self.sites.insert(row.text(1)?, row.parsed(0, SiteId::parse)?);
            let (key, name) = (text(&row, 1)?, text(&row, 2)?);
            let (address, time_zone) = (text(&row, 3)?, text(&row, 4)?);
            self.bundle.sites.push(Site { key, name, address, time_zone, rooms: Vec::new() });
        }
        let sql = "SELECT s.key, r.key, r.name FROM site_room r
                   JOIN site s ON s.clinic = r.clinic AND s.id = r.site
                   WHERE r.clinic = ? AND r.removed_at IS NULL AND s.removed_at IS NULL ORDER BY r.key";
        for row in context.database().query(sql, params![&context.clinic]).await? {
            let (site, room) = (row.text(0)?, Room { key: text(&row, 1)?, name: text(&row, 2)? });
            if let Some(site) = self.bundle.sites.iter_mut().find(|known| known.key.as_str() == site) {
                site.rooms.push(room);
            }
        }
        Ok(())
    }

    async fn read_services(&mut self, context: &Context<'_>, wanted: Option<&Bundle>) -> Result<(), Problem> {
        let sql = "SELECT id, key, name, duration_minutes, buffer_before_minutes, buffer_after_minutes,
                          price_minor, currency, capacity, needs_room
                   FROM service WHERE clinic = ? AND removed_at IS NULL ORDER BY coalesce(key, id)";
        for row in context.database().query(sql, params![&context.clinic]).await? {
            let id = row.parsed(0, ServiceId::parse)?;
            let name: form::Name = text(&row, 2)?;
            let key = match row.text_or_null(1)? {
                Some(key) => key,
                None => {
                    let mut named = wanted.iter().flat_map(|wanted| &wanted.services);
                    let same = named.find(|service| service.name == name);
                    let key = same.map_or_else(|| id.to_string(), |service| service.key.as_str().to_owned());
                    self.adopted.push((key.clone(), id));
                    key
                }
            };
            let shape = DatabaseError::Shape { column: 6, wanted: "an amount of money" };
            let price = Money::from_minor(row.integer(6)?, row.parsed(7, Currency::parse)?).ok_or(shape)?;
            self.bundle.services.push(Service {
                key: key
                    .clone()
                    .try_into()
                    .map_err(|_| DatabaseError::Shape { column: 1, wanted: "a key" })?,
                name,
                duration_minutes: small(&row, 3)?,
                buffer_before_minutes: small(&row, 4)?,
                buffer_after_minutes: small(&row, 5)?,
                capacity: small(&row, 8)?,
                needs_room: row.integer(9)? == 1,
                price,
            });
            self.services.insert(key, id);
        }
        Ok(())
    }

    async fn read_staff(&mut self, context: &Context<'_>) -> Result<(), Problem> {
        let (database, clinic) = (context.database(), &context.clinic);
        let sql = "SELECT u.id, u.username, u.name, p.id,
                          (SELECT group_concat(r.role, ' ') FROM staff_role r
                           WHERE r.clinic = u.clinic AND r.user = u.id)
                   FROM staff_user u LEFT JOIN practitioner p ON p.clinic = u.clinic AND p.user = u.id
                   WHERE u.clinic = ? AND u.left_at IS NULL ORDER BY u.username";
        for row in database.query(sql, params![clinic]).await? {
            let username = row.text(1)?;
            self.staff.insert(username.clone(), row.parsed(0, UserId::parse)?);
            if row.text_or_null(3)?.is_some() {
                self.practitioners.insert(username, row.parsed(3, PractitionerId::parse)?);
            }
            let roles = row.text_or_null(4)?.unwrap_or_default();
            self.bundle.staff.push(Member {
                username: text(&row, 1)?,
                name: text(&row, 2)?,
                roles: roles.split(' ').filter_map(Role::parse).collect(),
                hours: Vec::new(),
                licences: Vec::new(),
            });
        }
        let sql = "SELECT u.username, s.key, h.rrule, h.opens, h.closes FROM opening_hours h
                   JOIN practitioner p ON p.clinic = h.clinic AND p.id = h.practitioner
                   JOIN staff_user u ON u.clinic = p.clinic AND u.id = p.user
                   LEFT JOIN site s ON s.clinic = h.clinic AND s.id = h.site
                   WHERE h.clinic = ? AND u.left_at IS NULL";
        for row in database.query(sql, params![clinic]).await? {
            let hours = Hours {
                site: text_or_null(&row, 1)?,
                rrule: row.parsed(2, WeeklyRule::parse)?,
                start: row.parsed(3, ClockTime::parse)?,
                end: row.parsed(4, ClockTime::parse)?,
            };
            self.member(&row.text(0)?, |member| member.hours.push(hours));
        }
        let sql = "SELECT u.username, l.jurisdiction, l.number, l.valid_from, l.valid_until FROM licence l
                   JOIN staff_user u ON u.clinic = l.clinic AND u.id = l.user
                   WHERE l.clinic = ? AND l.removed_at IS NULL AND u.left_at IS NULL";
        for row in database.query(sql, params![clinic]).await? {
            let licence = Licence {
                jurisdiction: text(&row, 1)?,
                number: text(&row, 2)?,
                valid_from: Day(row.parsed(3, form::parse_day)?),
                valid_until: Day(row.parsed(4, form::parse_day)?),
            };
            self.member(&row.text(0)?, |member| member.licences.push(licence));
        }
        Ok(())
    }

    fn member(&mut self, username: &str, change: impl FnOnce(&mut Member)) {
        let found = self.bundle.staff.iter_mut().find(|member| member.username.as_str() == username);
        if let Some(member) = found {
            change(member);
        }
    }
}

fn about(row: &Row) -> Result<About, DatabaseError> {
    let officer = text_or_null(row, 5)?.zip(text_or_null(row, 6)?);
    Ok(About {
        name: text(row, 0)?,
        time_zone: text(row, 1)?,
        change_until_minutes: small(row, 2)?,
        no_show_after_minutes: small(row, 3)?,
        licence_check: row.parsed(4, LicenceCheck::parse)?,
        privacy_officer: officer.map(|(name, email)| Officer { name, email }),
        color: text_or_null(row, 7)?,
    })
}

async fn exceptions(context: &Context<'_>) -> Result<Vec<Exception>, Problem> {
    let sql = "SELECT e.name, e.from_day, e.until_day, s.key, u.username, e.opens, e.closes
               FROM hours_exception e
               LEFT JOIN site s ON s.clinic = e.clinic AND s.id = e.site
               LEFT JOIN practitioner p ON p.clinic = e.clinic AND p.id = e.practitioner
               LEFT JOIN staff_user u ON u.clinic = p.clinic AND u.id = p.user
               WHERE e.clinic = ? AND u.left_at IS NULL ORDER BY e.from_day, e.until_day, e.id";
    let day = |row: &Row, column| row.parsed(column, form::parse_day).map(|day: Date| Day(day));
    let read = |row: &Row| {
        Ok::<_, DatabaseError>(Exception {
            name: text(row, 0)?,
            from: day(row, 1)?,
            until: day(row, 2)?,
            site: text_or_null(row, 3)?,
            staff: text_or_null(row, 4)?,
            start: text_or_null(row, 5)?,
            end: text_or_null(row, 6)?,
        })
    };
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

async fn consents(context: &Context<'_>) -> Result<Vec<Consent>, Problem> {
    let sql = "SELECT key, jurisdiction, language, title, body FROM consent_text
               WHERE clinic = ? AND removed_at IS NULL ORDER BY key, jurisdiction, language";
    let read = |row: &Row| {
        let (key, jurisdiction, language) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        let (title, text) = (text(row, 3)?, text(row, 4)?);
        Ok::<_, DatabaseError>(Consent { key, jurisdiction, language, title, text })
    };
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

async fn questionnaires(context: &Context<'_>) -> Result<Vec<Questionnaire>, Problem> {
    let sql = "SELECT key, content, service, required FROM questionnaire
               WHERE clinic = ? AND removed_at IS NULL ORDER BY key";
    let read = |row: &Row| {
        let questionnaire = row.parsed(1, |text| serde_json::from_str(text).ok())?;
        let service = row.text_or_null(2)?.and_then(|key| Key::try_from(key).ok());
        let required = row.integer(3)? == 1;
        Ok::<_, DatabaseError>(Questionnaire { key: text(row, 0)?, service, required, questionnaire })
    };
    let rows = context.database().query(sql, params![&context.clinic]).await?;
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}
