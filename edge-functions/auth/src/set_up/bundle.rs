//! What a clinic is set up from: one document, complete, in which everything has a name of its own.

use std::collections::HashSet;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use kit::form::{Day, Email, Jurisdiction, LicenceNumber, Name, NoteText, Username};
use kit::hours::{ClockTime, WeeklyRule};
use kit::money::Money;
use kit::policy::Role;
use kit::problem::Problem;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;

use crate::account::check_roles;

const MAX_SITES: usize = 50;
const MAX_SERVICES: usize = 100;
/// In one site.
const MAX_ROOMS: usize = 50;
const MAX_STAFF: usize = 500;
const MAX_HOURS: usize = 60;
const MAX_LICENCES: usize = 60;
const MAX_EXCEPTIONS: usize = 500;
const MAX_CONSENTS: usize = 200;
const MAX_QUESTIONNAIRES: usize = 50;
/// As the tables say.
const MAX_BUFFER_MINUTES: u16 = 120;
/// The same. A call has 16 people at most: so many patients, and who treats and interprets.
const MAX_CAPACITY: u16 = 12;

/// The whole of it. What is not in it is not there, or is no more.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Bundle {
    pub(crate) clinic: About,
    #[serde(default)]
    pub(crate) sites: Vec<Site>,
    #[serde(default)]
    pub(crate) services: Vec<Service>,
    #[serde(default)]
    pub(crate) staff: Vec<Member>,
    #[serde(default)]
    pub(crate) exceptions: Vec<Exception>,
    #[serde(default)]
    pub(crate) consents: Vec<Consent>,
    #[serde(default)]
    pub(crate) questionnaires: Vec<Questionnaire>,
}

/// What holds for all of the clinic.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct About {
    pub(crate) name: Name,
    pub(crate) time_zone: ZoneName,
    /// Patients move and cancel by themselves until so many minutes before.
    #[serde(default = "two_hours")]
    pub(crate) change_until_minutes: u16,
    /// Who has not come so many minutes after the start may be marked so.
    #[serde(default = "quarter")]
    pub(crate) no_show_after_minutes: u16,
    #[serde(default)]
    pub(crate) licence_check: LicenceCheck,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) privacy_officer: Option<Officer>,
    /// Of its pages, `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) color: Option<Color>,
}

const fn two_hours() -> u16 {
    120
}

const fn quarter() -> u16 {
    15
}

/// Whether a practitioner needs a licence where the patient is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LicenceCheck {
    /// Once the clinic has registered any.
    #[default]
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

impl LicenceCheck {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Auto, Self::Always, Self::Never].into_iter().find(|known| known.as_str() == text)
    }
}

/// Whom patients ask about their data (45 CFR 164.530(a)(1); GDPR article 37).
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Officer {
    pub(crate) name: Name,
    pub(crate) email: Email,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Site {
    pub(crate) key: Key,
    pub(crate) name: Name,
    pub(crate) address: Name,
    pub(crate) time_zone: ZoneName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rooms: Vec<Room>,
}

/// A room of a site, for services that need one.
#[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Room {
    pub(crate) key: Key,
    pub(crate) name: Name,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Service {
    pub(crate) key: Key,
    pub(crate) name: Name,
    pub(crate) duration_minutes: u16,
    #[serde(default)]
    pub(crate) buffer_before_minutes: u16,
    #[serde(default)]
    pub(crate) buffer_after_minutes: u16,
    /// So many patients come to it at once.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(crate) capacity: u16,
    /// It takes place in a room of the site, which no other visit has meanwhile.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) needs_room: bool,
    pub(crate) price: Money,
}

const fn one() -> u16 {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_one(value: &u16) -> bool {
    *value == 1
}

/// Somebody who works here; with hours, somebody who can be booked.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Member {
    pub(crate) username: Username,
    pub(crate) name: Name,
    pub(crate) roles: Vec<Role>,
    #[serde(default)]
    pub(crate) hours: Vec<Hours>,
    #[serde(default)]
    pub(crate) licences: Vec<Licence>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hours {
    /// Left out: the clinic itself, in its time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<Key>,
    pub(crate) rrule: WeeklyRule,
    pub(crate) start: ClockTime,
    pub(crate) end: ClockTime,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Licence {
    pub(crate) jurisdiction: Jurisdiction,
    pub(crate) number: LicenceNumber,
    #[serde(serialize_with = "day")]
    pub(crate) valid_from: Day,
    #[serde(serialize_with = "day")]
    pub(crate) valid_until: Day,
}

/// Days that are not like others. Of a member of staff: hours in place of theirs. Else it limits everybody's.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Exception {
    pub(crate) name: Name,
    #[serde(serialize_with = "day")]
    pub(crate) from: Day,
    /// The last day.
    #[serde(serialize_with = "day")]
    pub(crate) until: Day,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) site: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) staff: Option<Username>,
    /// Left out with `end`: closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start: Option<ClockTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<ClockTime>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consent {
    pub(crate) key: Key,
    pub(crate) jurisdiction: Jurisdiction,
    pub(crate) language: Language,
    pub(crate) title: Name,
    pub(crate) text: NoteText,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Questionnaire {
    pub(crate) key: Key,
    /// Of which service; left out: of those that have none of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<Key>,
    /// Nobody enters the waiting room before it is answered.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) required: bool,
    /// FHIR R4.
    pub(crate) questionnaire: Json,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
const fn is_not(value: &bool) -> bool {
    !*value
}

macro_rules! checked_text {
    ($($(#[$doc:meta])+ $name:ident, $check:expr, $refusal:literal;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub(crate) struct $name(String);

        impl $name {
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                let check: fn(String) -> Option<String> = $check;
                check(text).map(Self).ok_or($refusal)
            }
        }
    )+};
}

checked_text! {
    /// A name in the bundle that stays when what people read changes.
    Key, |text| {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let fits = (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-');
        fits.then_some(text)
    }, "must be 1 to 63 of a-z, 0-9 and -";
    /// BCP 47, as far as pages have it: `en`, `es-MX`.
    Language, |text| {
        let (language, region) = text.split_once('-').map_or((text.as_str(), None), |(l, r)| (l, Some(r)));
        let fits = (2..=3).contains(&language.len()) && language.bytes().all(|c| c.is_ascii_lowercase());
        let region = region.is_none_or(|r| r.len() == 2 && r.bytes().all(|c| c.is_ascii_uppercase()));
        (fits && region).then_some(text)
    }, "must be a language such as en or es-MX";
    /// A color of sRGB.
    Color, |text| {
        let hex = text.strip_prefix('#')?;
        (hex.len() == 6 && hex.bytes().all(|c| c.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
    }, "must be a color such as #0a6e6e";
    /// A name of the IANA time zone database.
    ZoneName, |name| {
        let zone = TimeZone::get(&name).ok()?;
        Some(zone.iana_name().unwrap_or(&name).to_owned())
    }, "must be a time zone such as Europe/Berlin";
}

fn day<S: Serializer>(day: &Day, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&day.0)
}

impl Bundle {
    /// In one order, however it was written.
    pub(crate) fn sorted(mut self) -> Self {
        for site in &mut self.sites {
            site.rooms.sort_by(|a, b| a.key.as_str().cmp(b.key.as_str()));
        }
        for member in &mut self.staff {
            member.roles.sort_by_key(|role| role.as_str());
            member.hours.sort_by_key(|hours| {
                let site = hours.site.as_ref().map(|site| site.as_str().to_owned());
                (site, hours.rrule.to_string(), hours.start, hours.end)
            });
            member.licences.sort_by_key(|licence| {
                let Licence { jurisdiction, number, valid_from, valid_until } = licence;
                (jurisdiction.as_str().to_owned(), number.as_str().to_owned(), valid_from.0, valid_until.0)
            });
        }
        self
    }

    /// Refuses what cannot be, and says where.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        for (place, count, most) in [
            ("/sites", self.sites.len(), MAX_SITES),
            ("/services", self.services.len(), MAX_SERVICES),
            ("/staff", self.staff.len(), MAX_STAFF),
            ("/exceptions", self.exceptions.len(), MAX_EXCEPTIONS),
            ("/consents", self.consents.len(), MAX_CONSENTS),
            ("/questionnaires", self.questionnaires.len(), MAX_QUESTIONNAIRES),
        ] {
            if count > most {
                return Err(Problem::invalid(place, format!("must be {most} at most")));
            }
        }
        let keys = |list: &str, keys: Vec<String>| once(keys, |at| format!("/{list}/{at}/key"));
        keys("sites", self.sites.iter().map(|site| site.key.0.clone()).collect())?;
        keys("services", self.services.iter().map(|service| service.key.0.clone()).collect())?;
        keys("questionnaires", self.questionnaires.iter().map(|form| form.key.0.clone()).collect())?;
        keys("consents", self.consents.iter().map(Consent::id).collect())?;
        let usernames = self.staff.iter().map(|member| member.username.as_str().to_owned()).collect();
        once(usernames, |at| format!("/staff/{at}/username"))?;
        if self.clinic.no_show_after_minutes > 240 {
            return Err(Problem::invalid("/clinic/noShowAfterMinutes", "must be 0 to 240"));
        }
        for (at, site) in self.sites.iter().enumerate() {
            if site.rooms.len() > MAX_ROOMS {
                let text = format!("must be {MAX_ROOMS} at most");
                return Err(Problem::invalid(format!("/sites/{at}/rooms"), text));
            }
            let keys = site.rooms.iter().map(|room| room.key.0.clone()).collect();
            once(keys, |room| format!("/sites/{at}/rooms/{room}/key"))?;
        }
        for (at, service) in self.services.iter().enumerate() {
            check_service(service, &format!("/services/{at}"))?;
            if service.needs_room && self.sites.iter().all(|site| site.rooms.is_empty()) {
                let text = "needs a room, and no site has any";
                return Err(Problem::invalid(format!("/services/{at}/needsRoom"), text));
            }
        }
        for (at, member) in self.staff.iter().enumerate() {
            self.check_member(member, &format!("/staff/{at}"))?;
        }
        once(self.exceptions.iter().map(Exception::id).collect(), |at| format!("/exceptions/{at}"))?;
        for (at, exception) in self.exceptions.iter().enumerate() {
            self.check_exception(exception, &format!("/exceptions/{at}"))?;
        }
        for (at, form) in self.questionnaires.iter().enumerate() {
            kit::questionnaire::Questionnaire::parse(form.questionnaire.clone()).map_err(|error| {
                let place = format!("/questionnaires/{at}/questionnaire{}", error.pointer);
                Problem::invalid(place, error.detail)
            })?;
            let is_known = |key: &Key| self.services.iter().any(|service| service.key == *key);
            if !form.service.as_ref().is_none_or(is_known) {
                let place = format!("/questionnaires/{at}/service");
                return Err(Problem::invalid(place, "must be the key of a service"));
            }
            if self.questionnaires.iter().take(at).any(|other| other.service == form.service) {
                return Err(Problem::invalid(
                    format!("/questionnaires/{at}/service"),
                    "has another questionnaire",
                ));
            }
        }
        Ok(())
    }

    fn check_member(&self, member: &Member, place: &str) -> Result<(), Problem> {
        check_roles(&member.roles, place)?;
        if member.hours.len() > MAX_HOURS {
            return Err(Problem::invalid(format!("{place}/hours"), format!("must be {MAX_HOURS} at most")));
        }
        if member.licences.len() > MAX_LICENCES {
            let text = format!("must be {MAX_LICENCES} at most");
            return Err(Problem::invalid(format!("{place}/licences"), text));
        }
        for (at, hours) in member.hours.iter().enumerate() {
            let place = format!("{place}/hours/{at}");
            self.check_site(hours.site.as_ref(), &place)?;
            if hours.end <= hours.start {
                return Err(Problem::invalid(format!("{place}/end"), "must be later than the start"));
            }
        }
        let wrong = member.licences.iter().position(|licence| licence.valid_until.0 < licence.valid_from.0);
        wrong.map_or(Ok(()), |at| {
            let place = format!("{place}/licences/{at}/validUntil");
            Err(Problem::invalid(place, "must not be before the beginning"))
        })
    }

    fn check_exception(&self, exception: &Exception, place: &str) -> Result<(), Problem> {
        self.check_site(exception.site.as_ref(), place)?;
        let Exception { from, until, start, end, staff, .. } = exception;
        let longest: Date = from.0.checked_add(jiff::Span::new().years(2)).unwrap_or(Date::MAX);
        if !(from.0..=longest).contains(&until.0) {
            let text = "must be the first day or later, and two years later at most";
            return Err(Problem::invalid(format!("{place}/until"), text));
        }
        match (start, end) {
            (None, None) => {}
            (Some(start), Some(end)) if start < end => {}
            (Some(_), Some(_)) => {
                return Err(Problem::invalid(format!("{place}/end"), "must be later than the start"));
            }
            _ => return Err(Problem::invalid(format!("{place}/end"), "start and end come together")),
        }
        let Some(staff) = staff else { return Ok(()) };
        if !self.staff.iter().any(|member| member.username == *staff && !member.hours.is_empty()) {
            return Err(Problem::invalid(format!("{place}/staff"), "must be somebody with hours"));
        }
        Ok(())
    }

    fn check_site(&self, site: Option<&Key>, place: &str) -> Result<(), Problem> {
        if site.is_some_and(|key| !self.sites.iter().any(|known| known.key == *key)) {
            return Err(Problem::invalid(format!("{place}/site"), "must be the key of a site"));
        }
        Ok(())
    }
}

impl Exception {
    /// It has no name of its own: what it says is what it is.
    pub(crate) fn id(&self) -> String {
        let text = |clock: Option<ClockTime>| clock.map_or_else(String::new, |clock| clock.to_string());
        let site = self.site.as_ref().map_or("*", Key::as_str);
        let staff = self.staff.as_ref().map_or("*", Username::as_str);
        let (start, end) = (text(self.start), text(self.end));
        format!("{}..{} {site} {staff} {start}-{end}", self.from.0, self.until.0)
    }
}

impl Consent {
    pub(crate) fn id(&self) -> String {
        format!("{}/{}/{}", self.key.0, self.jurisdiction.as_str(), self.language.0)
    }
}

fn check_service(service: &Service, place: &str) -> Result<(), Problem> {
    if !(5..=480).contains(&service.duration_minutes) {
        return Err(Problem::invalid(format!("{place}/durationMinutes"), "must be 5 to 480"));
    }
    if !(1..=MAX_CAPACITY).contains(&service.capacity) {
        return Err(Problem::invalid(format!("{place}/capacity"), format!("must be 1 to {MAX_CAPACITY}")));
    }
    for (name, minutes) in [
        ("bufferBeforeMinutes", service.buffer_before_minutes),
        ("bufferAfterMinutes", service.buffer_after_minutes),
    ] {
        if minutes > MAX_BUFFER_MINUTES {
            return Err(Problem::invalid(format!("{place}/{name}"), "must be 0 to 120"));
        }
    }
    Ok(())
}

fn once(names: Vec<String>, place: impl Fn(usize) -> String) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    match names.into_iter().position(|name| !seen.insert(name)) {
        Some(at) => Err(Problem::invalid(place(at), "is used twice")),
        None => Ok(()),
    }
}
