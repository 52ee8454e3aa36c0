//! The other half of the policy: what may be done with types of FHIR resources, whichever operation does it. It bounds the
//! scopes that apps are granted, and a FHIR route needs its resource's name only.

use crate::policy::Role;
use crate::policy::Role::{Billing, ClinicAdmin, Doctor, FrontDesk, Nurse};
use crate::scopes::Permissions;

/// What may be done with a type.
#[derive(Debug)]
pub struct ResourceRule {
    /// The type.
    pub resource: &'static str,
    /// Who may do what (`cruds`).
    pub people: &'static [(&'static str, &'static [Role])],
    /// What an app may do without a person.
    pub system: &'static str,
}

impl ResourceRule {
    /// What somebody who acts in `roles` may do.
    pub fn of_roles(&self, roles: &[Role]) -> Permissions {
        let own = self.people.iter().filter(|(_, may)| roles.iter().any(|role| may.contains(role)));
        own.filter_map(|(what, _)| Permissions::parse(what)).fold(Permissions::NONE, Permissions::or)
    }

    /// What an app may do without a person.
    pub fn of_system(&self) -> Permissions {
        Permissions::parse(self.system).unwrap_or_default()
    }
}

/// The rule of a type; nothing may be done with others.
pub fn resource(name: &str) -> Option<&'static ResourceRule> {
    RESOURCES.iter().find(|rule| rule.resource == name)
}

const CLINICAL: ResourceRule =
    ResourceRule { resource: "", people: &[("rs", &[Nurse, Doctor])], system: "rs" };

/// What doctors write, and nurses read.
const WRITTEN: ResourceRule =
    ResourceRule { resource: "", people: &[("rs", &[Nurse, Doctor]), ("cud", &[Doctor])], system: "rs" };
/// How the clinic is set up.
const SET_UP: ResourceRule = ResourceRule {
    resource: "",
    people: &[("rs", &[FrontDesk, Nurse, Doctor, Billing, ClinicAdmin])],
    system: "rs",
};

/// Types that are kept as they come; others are what the application keeps, as FHIR shows it.
pub const STORED: [&str; 8] = [
    "AllergyIntolerance",
    "Condition",
    "DocumentReference",
    "MedicationRequest",
    "Observation",
    "Provenance",
    "ServiceRequest",
    "Task",
];

/// Whether resources of that type are kept as they come.
pub fn is_stored(name: &str) -> bool {
    STORED.contains(&name)
}

/// The table.
pub const RESOURCES: &[ResourceRule] = &[
    ResourceRule { resource: "Patient", people: &[("rs", &[FrontDesk, Nurse, Doctor])], system: "rs" },
    ResourceRule {
        resource: "Appointment",
        people: &[("rs", &[FrontDesk, Nurse, Doctor, ClinicAdmin]), ("u", &[FrontDesk, Nurse, Doctor])],
        system: "rs",
    },
    ResourceRule {
        resource: "Encounter",
        people: &[("rs", &[Nurse, Doctor]), ("u", &[Doctor])],
        system: "rs",
    },
    ResourceRule {
        resource: "DocumentReference",
        people: &[("rs", &[Nurse, Doctor]), ("cud", &[Doctor])],
        system: "rs",
    },
    ResourceRule { resource: "Practitioner", ..SET_UP },
    ResourceRule { resource: "Organization", ..SET_UP },
    ResourceRule { resource: "Location", ..SET_UP },
    ResourceRule { resource: "HealthcareService", ..SET_UP },
    ResourceRule { resource: "Questionnaire", ..SET_UP },
    ResourceRule { resource: "QuestionnaireResponse", ..CLINICAL },
    ResourceRule { resource: "AllergyIntolerance", ..WRITTEN },
    ResourceRule { resource: "Condition", ..WRITTEN },
    ResourceRule { resource: "MedicationRequest", ..WRITTEN },
    ResourceRule {
        resource: "Observation",
        people: &[("rs", &[Nurse, Doctor]), ("cu", &[Nurse, Doctor]), ("d", &[Doctor])],
        system: "rs",
    },
    ResourceRule { resource: "Provenance", ..WRITTEN },
    ResourceRule { resource: "ServiceRequest", ..WRITTEN },
    ResourceRule { resource: "Task", ..WRITTEN },
];
