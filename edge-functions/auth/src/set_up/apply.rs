//! The difference, carried out. All of it stands in one transaction of its caller.

use kit::audit::Action;
use kit::context::Context;
use kit::form::Username;
use kit::hours::ClockTime;
use kit::ids::{ExceptionId, HoursId, LicenceId, PractitionerId, ServiceId, SiteId, SiteRoomId, UserId};
use kit::params;
use kit::policy::Role;
use kit::problem::Problem;
use kit::{consent, questionnaire};

use super::bundle::{Bundle, Consent, Hours, Key, Licence, Member, Questionnaire, Room, Service, Site};
use super::difference::{Change, Part, Step};
use super::stored::Stored;
use crate::account::Account;
use crate::staff::{self, Invited};

/// Whoever is new, and has to choose a password.
pub(crate) struct Newcomer {
    pub(crate) username: String,
    pub(crate) invited: Invited,
}

pub(crate) struct Work<'w, 'c> {
    pub(crate) context: &'w Context<'c>,
    pub(crate) wanted: &'w Bundle,
    pub(crate) stored: &'w mut Stored,
    pub(crate) changes: &'w [Change],
    /// A password hash that nobody knows the password of.
    pub(crate) nobodys: &'w str,
}

impl Work<'_, '_> {
    /// Everything but the clinic's own row.
    pub(crate) async fn apply(&mut self) -> Result<Vec<Newcomer>, Problem> {
        self.adopt().await?;
        for site in &self.wanted.sites {
            match self.step(Part::Site, site.key.as_str()) {
                Step::Create => self.create_site(site).await?,
                Step::Change => self.change_site(site).await?,
                Step::Keep | Step::Remove => {}
            }
        }
        for service in &self.wanted.services {
            match self.step(Part::Service, service.key.as_str()) {
                Step::Create => self.create_service(service).await?,
                Step::Change => self.change_service(service).await?,
                Step::Keep | Step::Remove => {}
            }
        }
        let newcomers = self.staff().await?;
        self.exceptions().await?;
        for consent in &self.wanted.consents {
            let step = self.step(Part::Consent, &consent.id());
            if step == Step::Change {
                self.retire_consent(&consent.id()).await?;
            }
            if matches!(step, Step::Create | Step::Change) {
                self.create_consent(consent).await?;
            }
        }
        for form in &self.wanted.questionnaires {
            let step = self.step(Part::Questionnaire, form.key.as_str());
            if step == Step::Change {
                self.retire("questionnaire", form.key.as_str()).await?;
            }
            if matches!(step, Step::Create | Step::Change) {
                self.create_questionnaire(form).await?;
            }
        }
        self.remove().await?;
        Ok(newcomers)
    }

    fn step(&self, part: Part, key: &str) -> Step {
        let found = self.changes.iter().find(|change| change.part == part && change.key == key);
        found.map_or(Step::Keep, |change| change.step)
    }

    fn changed<'k>(&'k self, key: &'k str, field: &str) -> bool {
        let found = self.changes.iter().find(|change| change.part == Part::Staff && change.key == key);
        found.is_some_and(|change| change.fields.iter().any(|name| name == field))
    }

    /// Services from before there were keys get theirs.
    async fn adopt(&self) -> Result<(), Problem> {
        for (key, id) in &self.stored.adopted {
            let sql = "UPDATE service SET key = ? WHERE clinic = ? AND id = ? AND key IS NULL";
            let values = params![key.as_str(), &self.context.clinic, *id];
            self.context.database().execute(sql, values).await?;
        }
        Ok(())
    }

    async fn create_site(&mut self, site: &Site) -> Result<(), Problem> {
        let (context, id) = (self.context, SiteId::new(self.context.now)?);
        let sql = "INSERT INTO site (clinic, id, key, name, address, time_zone, created_at)
                   VALUES (?, ?, ?, ?, ?, ?, ?)";
        let (key, name, address) = (site.key.as_str(), site.name.as_str(), site.address.as_str());
        let values = params![&context.clinic, id, key, name, address, site.time_zone.as_str(), context.now];
        context.database().execute(sql, values).await?;
        self.stored.sites.insert(key.to_owned(), id);
        self.rooms(site).await
    }

    async fn change_site(&self, site: &Site) -> Result<(), Problem> {
        let sql = "UPDATE site SET name = ?, address = ?, time_zone = ?
                   WHERE clinic = ? AND key = ? AND removed_at IS NULL";
        let (name, address, zone) = (site.name.as_str(), site.address.as_str(), site.time_zone.as_str());
        let values = params![name, address, zone, &self.context.clinic, site.key.as_str()];
        self.context.database().execute(sql, values).await?;
        self.rooms(site).await
    }

    /// What has a room keeps it, also when it is no more.
    async fn rooms(&self, site: &Site) -> Result<(), Problem> {
        let (context, database) = (self.context, self.context.database());
        let Some(id) = self.site(Some(&site.key)) else { return Ok(()) };
        let old = self.stored.bundle.sites.iter().find(|other| other.key == site.key);
        let old = old.map(|site| site.rooms.as_slice()).unwrap_or_default();
        let has = |rooms: &[Room], key: &Key| rooms.iter().any(|room| room.key == *key);
        for room in old.iter().filter(|room| !has(&site.rooms, &room.key)) {
            let sql = "UPDATE site_room SET removed_at = ?
                       WHERE clinic = ? AND site = ? AND key = ? AND removed_at IS NULL";
            database.execute(sql, params![context.now, &context.clinic, id, room.key.as_str()]).await?;
        }
        for room in site.rooms.iter().filter(|room| !old.contains(room)) {
            let (key, name) = (room.key.as_str(), room.name.as_str());
            if has(old, &room.key) {
                let sql = "UPDATE site_room SET name = ?
                           WHERE clinic = ? AND site = ? AND key = ? AND removed_at IS NULL";
                database.execute(sql, params![name, &context.clinic, id, key]).await?;
                continue;
            }
            let sql = "INSERT INTO site_room (clinic, id, site, key, name, created_at)
                       VALUES (?, ?, ?, ?, ?, ?)";
            let room = SiteRoomId::new(context.now)?;
            database.execute(sql, params![&context.clinic, room, id, key, name, context.now]).await?;
        }
        Ok(())
    }

    async fn create_service(&self, service: &Service) -> Result<(), Problem> {
        let sql = "INSERT INTO service (clinic, id, key, name, duration_minutes, buffer_before_minutes,
                                        buffer_after_minutes, price_minor, currency, capacity, needs_room)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let id = ServiceId::new(self.context.now)?;
        let price = &service.price;
        let values = params![
            &self.context.clinic,
            id,
            service.key.as_str(),
            service.name.as_str(),
            u32::from(service.duration_minutes),
            u32::from(service.buffer_before_minutes),
            u32::from(service.buffer_after_minutes),
            price.minor(),
            price.currency().as_str(),
            u32::from(service.capacity),
            u32::from(service.needs_room)
        ];
        self.context.database().execute(sql, values).await?;
        Ok(())
    }

    async fn change_service(&self, service: &Service) -> Result<(), Problem> {
        let Some(id) = self.stored.services.get(service.key.as_str()) else { return Ok(()) };
        let sql = "UPDATE service SET name = ?, duration_minutes = ?, buffer_before_minutes = ?,
                     buffer_after_minutes = ?, price_minor = ?, currency = ?, capacity = ?, needs_room = ?
                   WHERE clinic = ? AND id = ?";
        let price = &service.price;
        let values = params![
            service.name.as_str(),
            u32::from(service.duration_minutes),
            u32::from(service.buffer_before_minutes),
            u32::from(service.buffer_after_minutes),
            price.minor(),
            price.currency().as_str(),
            u32::from(service.capacity),
            u32::from(service.needs_room),
            &self.context.clinic,
            *id
        ];
        self.context.database().execute(sql, values).await?;
        Ok(())
    }

    /// Administrators first: there is one at every moment.
    async fn staff(&mut self) -> Result<Vec<Newcomer>, Problem> {
        let mut newcomers = Vec::new();
        let wanted = self.wanted;
        let is_admin = |member: &&Member| member.roles.contains(&Role::ClinicAdmin);
        let (first, rest): (Vec<_>, Vec<_>) = wanted.staff.iter().partition(is_admin);
        for member in first.into_iter().chain(rest) {
            let username = member.username.as_str();
            let step = self.step(Part::Staff, username);
            if step == Step::Create {
                let new = staff::NewMember {
                    name: member.name.clone(),
                    username: member.username.clone(),
                    roles: member.roles.clone(),
                };
                let id = UserId::new(self.context.now)?;
                let invited = staff::insert(self.context, &new, id, self.nobodys).await?;
                self.stored.staff.insert(username.to_owned(), id);
                newcomers.push(Newcomer { username: username.to_owned(), invited });
            }
            let Some(user) = self.stored.staff.get(username).copied() else { continue };
            if self.changed(username, "name") {
                self.rename(user, member).await?;
            }
            if self.changed(username, "roles") {
                let account = Account::with_id(self.context, user).await?;
                staff::change_roles(self.context, &account, &member.roles).await?;
            }
            let is_new = step == Step::Create;
            if self.changed(username, "hours") || is_new {
                self.hours(user, member).await?;
            }
            if self.changed(username, "licences") || is_new {
                self.licences(user, member).await?;
            }
        }
        Ok(newcomers)
    }

    async fn rename(&self, user: UserId, member: &Member) -> Result<(), Problem> {
        for sql in [
            "UPDATE staff_user SET name = ? WHERE clinic = ? AND id = ?",
            "UPDATE practitioner SET name = ? WHERE clinic = ? AND user = ?",
        ] {
            let values = params![member.name.as_str(), &self.context.clinic, user];
            self.context.database().execute(sql, values).await?;
        }
        Ok(())
    }

    async fn hours(&mut self, user: UserId, member: &Member) -> Result<(), Problem> {
        let (context, database) = (self.context, self.context.database());
        let username = member.username.as_str();
        let practitioner = match self.stored.practitioners.get(username) {
            Some(id) => *id,
            None if member.hours.is_empty() => return Ok(()),
            None => {
                let id = PractitionerId::new(context.now)?;
                let sql = "INSERT INTO practitioner (clinic, id, user, name) VALUES (?, ?, ?, ?)";
                database.execute(sql, params![&context.clinic, id, user, member.name.as_str()]).await?;
                self.stored.practitioners.insert(username.to_owned(), id);
                id
            }
        };
        let sql = "DELETE FROM opening_hours WHERE clinic = ? AND practitioner = ?";
        database.execute(sql, params![&context.clinic, practitioner]).await?;
        for Hours { site, rrule, start, end } in &member.hours {
            let sql = "INSERT INTO opening_hours (clinic, id, practitioner, rrule, opens, closes, site)
                       VALUES (?, ?, ?, ?, ?, ?, ?)";
            let (id, site) = (HoursId::new(context.now)?, self.site(site.as_ref()));
            let (rrule, opens, closes) = (rrule.to_string(), start.to_string(), end.to_string());
            let values = params![&context.clinic, id, practitioner, rrule, opens, closes, site];
            database.execute(sql, values).await?;
        }
        Ok(())
    }

    fn site(&self, key: Option<&Key>) -> Option<SiteId> {
        key.and_then(|key| self.stored.sites.get(key.as_str()).copied())
    }

    async fn licences(&self, user: UserId, member: &Member) -> Result<(), Problem> {
        let (context, database) = (self.context, self.context.database());
        let same = |a: &Licence, b: &Licence| {
            let dates = (a.valid_from.0, a.valid_until.0) == (b.valid_from.0, b.valid_until.0);
            a.jurisdiction == b.jurisdiction && a.number == b.number && dates
        };
        let old = self.stored.bundle.staff.iter().find(|other| other.username == member.username);
        let old = old.map(|other| other.licences.as_slice()).unwrap_or_default();
        let name = |licence: &Licence| format!("{}.{}", licence.jurisdiction.as_str(), licence.valid_until.0);
        for licence in old.iter().filter(|licence| !member.licences.iter().any(|new| same(licence, new))) {
            let sql = "UPDATE licence SET removed_at = ?
                       WHERE clinic = ? AND user = ? AND jurisdiction = ? AND number = ? AND valid_from = ?
                         AND valid_until = ? AND removed_at IS NULL";
            let (jurisdiction, number) = (licence.jurisdiction.as_str(), licence.number.as_str());
            let (from, until) = (licence.valid_from.0.to_string(), licence.valid_until.0.to_string());
            let clinic = &context.clinic;
            let values = params![context.now, clinic, user, jurisdiction, number, from, until];
            database.execute(sql, values).await?;
            context.audit_change(Action::LicenceRemoved, Some(&user), (Some(name(licence)), None));
        }
        for licence in member.licences.iter().filter(|licence| !old.iter().any(|old| same(licence, old))) {
            let sql = "INSERT INTO licence
                         (clinic, id, user, jurisdiction, number, valid_from, valid_until, created_at)
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
            let (id, jurisdiction) = (LicenceId::new(context.now)?, licence.jurisdiction.as_str());
            let (from, until) = (licence.valid_from.0.to_string(), licence.valid_until.0.to_string());
            let number = licence.number.as_str();
            let values = params![&context.clinic, id, user, jurisdiction, number, from, until, context.now];
            database.execute(sql, values).await?;
            context.audit_change(Action::LicenceAdded, Some(&user), (None, Some(name(licence))));
        }
        Ok(())
    }

    /// They have no names of their own: all of them anew, if anything changed.
    async fn exceptions(&self) -> Result<(), Problem> {
        let (context, database) = (self.context, self.context.database());
        let mine = self.changes.iter().filter(|change| change.part == Part::Exception);
        if mine.clone().all(|change| change.step == Step::Keep) {
            return Ok(());
        }
        let sql = "DELETE FROM hours_exception WHERE clinic = ?";
        database.execute(sql, params![&context.clinic]).await?;
        for exception in &self.wanted.exceptions {
            let sql = "INSERT INTO hours_exception
                         (clinic, id, site, practitioner, name, from_day, until_day, opens, closes)
                       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
            let id = ExceptionId::new(context.now)?;
            let practitioner = exception.staff.as_ref().map(Username::as_str);
            let practitioner = practitioner.and_then(|name| self.stored.practitioners.get(name).copied());
            let clock = |time: Option<ClockTime>| time.map(|time| time.to_string());
            let values = params![
                &context.clinic,
                id,
                self.site(exception.site.as_ref()),
                practitioner,
                exception.name.as_str(),
                exception.from.0.to_string(),
                exception.until.0.to_string(),
                clock(exception.start),
                clock(exception.end)
            ];
            database.execute(sql, values).await?;
        }
        Ok(())
    }

    async fn create_consent(&self, consent: &Consent) -> Result<(), Problem> {
        let Consent { key, jurisdiction, language, title, text } = consent;
        let place = (key.as_str(), jurisdiction.as_str(), language.as_str());
        consent::create(self.context, place, (title.as_str(), text.as_str())).await
    }

    async fn retire_consent(&self, id: &str) -> Result<(), Problem> {
        let sql = "UPDATE consent_text SET removed_at = ?
                   WHERE clinic = ? AND key || '/' || jurisdiction || '/' || language = ?
                     AND removed_at IS NULL";
        let values = params![self.context.now, &self.context.clinic, id];
        self.context.database().execute(sql, values).await?;
        Ok(())
    }

    async fn create_questionnaire(&self, form: &Questionnaire) -> Result<(), Problem> {
        let service = form.service.as_ref().map(Key::as_str);
        let when = (service, form.required);
        questionnaire::create(self.context, form.key.as_str(), when, &form.questionnaire).await
    }

    /// What visits and answers refer to stays in the tables.
    async fn remove(&self) -> Result<(), Problem> {
        for change in self.changes.iter().filter(|change| change.step == Step::Remove) {
            match change.part {
                Part::Site => self.retire("site", &change.key).await?,
                Part::Service => self.retire("service", &change.key).await?,
                Part::Questionnaire => self.retire("questionnaire", &change.key).await?,
                Part::Consent => self.retire_consent(&change.key).await?,
                Part::Staff => {
                    if let Some(user) = self.stored.staff.get(&change.key) {
                        staff::end(self.context, *user).await?;
                    }
                }
                Part::Clinic | Part::Exception => {}
            }
        }
        Ok(())
    }

    async fn retire(&self, table: &str, key: &str) -> Result<(), Problem> {
        let sql =
            format!("UPDATE {table} SET removed_at = ? WHERE clinic = ? AND key = ? AND removed_at IS NULL");
        let values = params![self.context.now, &self.context.clinic, key];
        self.context.database().execute(&sql, values).await?;
        Ok(())
    }
}
