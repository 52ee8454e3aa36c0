//! Scopes of apps: SMART App Launch 2.2 §"Scopes for requesting FHIR Resources", and those of OpenID Connect.
//!
//! What somebody asks for may hold `*`. What is granted never does: it is what was asked for, as far as the app is
//! registered for it and the policy table lets its person, or the clinic, give it.

use std::fmt;

use crate::policy::{self, Role};

/// Longest list of scopes that is read.
const MAX_TEXT: usize = 2_000;

/// Whose data a scope is about.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Of the one patient the app was opened for.
    Patient,
    /// Of everybody whose data its person may see.
    User,
    /// Of everybody, without a person.
    System,
}

impl Level {
    const ALL: [Self; 3] = [Self::Patient, Self::User, Self::System];

    /// What stands before the slash.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::User => "user",
            Self::System => "system",
        }
    }
}

/// What is done with a resource: create, read, update, delete, search; a set of these.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Permissions(u8);

const LETTERS: [char; 5] = ['c', 'r', 'u', 'd', 's'];

impl Permissions {
    /// None.
    pub const NONE: Self = Self(0);
    /// `c`.
    pub const CREATE: Self = Self(1);
    /// `r`.
    pub const READ: Self = Self(2);
    /// `u`.
    pub const UPDATE: Self = Self(4);
    /// `d`.
    pub const DELETE: Self = Self(8);
    /// `s`.
    pub const SEARCH: Self = Self(16);

    /// Letters of `cruds` in that order, at least one.
    pub fn parse(text: &str) -> Option<Self> {
        let (mut set, mut letters) = (0, LETTERS.iter().enumerate());
        for given in text.chars() {
            let (place, _) = letters.find(|(_, letter)| **letter == given)?;
            set |= 1 << place;
        }
        (set != 0).then_some(Self(set))
    }

    /// What both hold.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What either holds.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub const fn holds(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What a request on a FHIR resource does: on one by its id, or on the type
    /// (<http://hl7.org/fhir/R4/http.html>). `None` for what no app may.
    pub fn of_fhir(method: &http::Method, one: bool) -> Option<Self> {
        match (method.as_str(), one) {
            ("GET" | "HEAD", true) => Some(Self::READ),
            ("GET" | "HEAD", false) => Some(Self::SEARCH),
            ("POST", false) => Some(Self::CREATE),
            ("PUT" | "PATCH", true) => Some(Self::UPDATE),
            ("DELETE", true) => Some(Self::DELETE),
            _ => None,
        }
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = LETTERS.iter().enumerate().filter(|(place, _)| self.0 & (1 << place) != 0);
        letters.map(|(_, letter)| *letter).collect::<String>().fmt(f)
    }
}

/// What an app may do with the resources of a type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResourceScope {
    /// Whose.
    pub level: Level,
    /// A type of the policy table; `*` for each of them, only where somebody asks.
    pub resource: &'static str,
    /// What.
    pub permissions: Permissions,
}

impl ResourceScope {
    /// `patient/Observation.rs`. A scope with a search (`?category=…`) is none that we could hold an app to.
    fn parse(text: &str) -> Option<Self> {
        let (level, rest) = text.split_once('/')?;
        let (resource, permissions) = rest.split_once('.')?;
        let level = Level::ALL.into_iter().find(|known| known.as_str() == level)?;
        let resource = match resource {
            "*" => "*",
            name => policy::resource(name)?.resource,
        };
        Some(Self { level, resource, permissions: Permissions::parse(permissions)? })
    }
}

impl fmt::Display for ResourceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.level.as_str(), self.resource, self.permissions)
    }
}

/// A list of scopes, without those that mean nothing here.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Scopes {
    named: Vec<&'static str>,
    resources: Vec<ResourceScope>,
}

/// Scopes that are not about resources.
const NAMED: [&str; 6] = ["openid", "profile", "fhirUser", "offline_access", "launch", "launch/patient"];

impl Scopes {
    /// Words between blanks (RFC 6749 §3.3). Words that mean nothing here are left out, as §3.3 lets us.
    pub fn parse(text: &str) -> Self {
        let mut scopes = Self::default();
        for word in text.get(..MAX_TEXT).unwrap_or(text).split(' ') {
            if let Some(named) = NAMED.into_iter().find(|named| *named == word) {
                if !scopes.has(named) {
                    scopes.named.push(named);
                }
            } else if let Some(resource) = ResourceScope::parse(word) {
                scopes.add(resource);
            }
        }
        scopes
    }

    fn add(&mut self, scope: ResourceScope) {
        let same = |own: &&mut ResourceScope| own.level == scope.level && own.resource == scope.resource;
        match self.resources.iter_mut().find(same) {
            Some(own) => own.permissions = own.permissions.or(scope.permissions),
            None => self.resources.push(scope),
        }
    }

    /// Whether the scope without a resource is among them.
    pub fn has(&self, named: &str) -> bool {
        self.named.contains(&named)
    }

    /// Those about resources.
    pub fn resources(&self) -> &[ResourceScope] {
        &self.resources
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.resources.is_empty()
    }

    /// Whether an app needs a patient for them.
    pub fn need_patient(&self) -> bool {
        self.has("launch/patient") || self.resources.iter().any(|scope| scope.level == Level::Patient)
    }

    /// What they allow with a type of resource at a level.
    pub fn permissions(&self, level: Level, resource: &str) -> Permissions {
        let fits = |scope: &&ResourceScope| {
            scope.level == level && (scope.resource == resource || scope.resource == "*")
        };
        let all = self.resources.iter().filter(fits);
        all.fold(Permissions::NONE, |sum, scope| sum.or(scope.permissions))
    }

    /// What is granted of these to an app that is `registered` for those, by somebody who acts in `roles`.
    pub fn for_person(&self, registered: &Self, roles: &[Role]) -> Self {
        self.narrowed(registered, |level, rule| match level {
            Level::Patient | Level::User => rule.of_roles(roles),
            Level::System => Permissions::NONE,
        })
    }

    /// What is granted of these to an app by itself.
    pub fn for_system(&self, registered: &Self) -> Self {
        let granted = self.narrowed(registered, |level, rule| match level {
            Level::System => rule.of_system(),
            Level::Patient | Level::User => Permissions::NONE,
        });
        Self { named: Vec::new(), ..granted }
    }

    /// Those of `self` that `granted` holds: what a refresh may ask for (RFC 6749 §6). `None` if it asks for more.
    pub fn within(&self, granted: &Self) -> Option<Self> {
        let named = self.named.iter().all(|named| granted.has(named));
        let fits = |scope: &ResourceScope| {
            scope.resource != "*" && granted.permissions(scope.level, scope.resource).holds(scope.permissions)
        };
        (named && self.resources.iter().all(fits)).then(|| self.clone())
    }

    fn narrowed(
        &self,
        registered: &Self,
        allowed: impl Fn(Level, &policy::ResourceRule) -> Permissions,
    ) -> Self {
        let named = self.named.iter().copied().filter(|named| registered.has(named)).collect();
        let mut scopes = Self { named, resources: Vec::new() };
        for level in Level::ALL {
            for rule in policy::RESOURCES {
                let asked = self.permissions(level, rule.resource);
                let permissions =
                    asked.and(registered.permissions(level, rule.resource)).and(allowed(level, rule));
                if !permissions.is_empty() {
                    scopes.resources.push(ResourceScope { level, resource: rule.resource, permissions });
                }
            }
        }
        scopes
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named.iter().map(|named| (*named).to_owned());
        let words: Vec<String> = named.chain(self.resources.iter().map(ToString::to_string)).collect();
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Scopes {
        Scopes::parse(text)
    }

    #[test]
    fn what_means_nothing_here_is_left_out() {
        let text = "openid patient/Encounter.rs user/*.cruds system/Patient.s launch/patient";
        assert_eq!(
            scopes(text).to_string(),
            "openid launch/patient patient/Encounter.rs user/*.cruds system/Patient.s"
        );
        for nothing in [
            "patient/Encounter.sr",
            "patient/Encounter.",
            "patient/Encounter.rr",
            "patient/Encounter.read",
            "patient/Encounter.rs?category=x",
            "patient/Starship.rs",
            "everybody/Patient.rs",
            "Patient.rs",
            "OPENID",
            "",
        ] {
            assert!(scopes(nothing).is_empty(), "{nothing}");
        }
        assert_eq!(
            scopes("user/Patient.r user/Patient.s openid openid").to_string(),
            "openid user/Patient.rs"
        );
    }

    #[test]
    fn a_grant_is_what_was_asked_for_registered_and_allowed() {
        let registered = scopes("openid user/*.rs patient/Encounter.r");
        let asked = scopes("openid fhirUser user/Encounter.cruds user/Appointment.u patient/*.rs");
        let doctor = asked.for_person(&registered, &[Role::Doctor]);
        assert_eq!(doctor.to_string(), "openid patient/Encounter.r user/Encounter.rs");
        assert_eq!(asked.for_person(&registered, &[Role::FrontDesk]).to_string(), "openid");
        assert!(asked.for_system(&registered).is_empty());
        let system = scopes("system/*.cruds openid");
        assert_eq!(
            system.for_system(&scopes("system/Encounter.cruds openid")).to_string(),
            "system/Encounter.rs"
        );
        assert!(system.for_person(&system, &Role::ALL).resources().is_empty());
    }

    #[test]
    fn a_grant_never_holds_a_star() {
        let everything = scopes("patient/*.cruds user/*.cruds system/*.cruds");
        let granted = everything.for_person(&everything, &Role::ALL);
        assert!(granted.resources().len() > 5);
        assert!(
            !granted.to_string().contains('*')
                && !everything.for_system(&everything).to_string().contains('*')
        );
    }

    #[test]
    fn a_refresh_asks_for_no_more_than_was_granted() {
        let granted = scopes("openid user/Encounter.rs");
        assert_eq!(scopes("user/Encounter.r").within(&granted).unwrap().to_string(), "user/Encounter.r");
        for more in
            ["user/Encounter.ru", "user/*.r", "patient/Encounter.r", "user/Patient.r", "openid profile"]
        {
            assert!(scopes(more).within(&granted).is_none(), "{more}");
        }
    }
}
