//! What has to be there before patients can book.

use jiff::civil::Date;
use kit::policy::Role;
use serde::Serialize;

use super::bundle::{Bundle, LicenceCheck};

/// A line of the checklist.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Item {
    pub(crate) item: &'static str,
    pub(crate) done: bool,
}

/// The whole of it.
pub(crate) fn of(bundle: &Bundle, today: Date) -> Vec<Item> {
    let bookable = || bundle.staff.iter().filter(|member| !member.hours.is_empty());
    let licensed = bookable()
        .all(|member| member.licences.iter().any(|l| (l.valid_from.0..=l.valid_until.0).contains(&today)));
    let needs_licences = bundle.clinic.licence_check == LicenceCheck::Always;
    let administrator = bundle.staff.iter().any(|member| member.roles.contains(&Role::ClinicAdmin));
    [
        ("service", !bundle.services.is_empty()),
        ("practitioner", bookable().next().is_some()),
        ("administrator", administrator),
        ("privacy-officer", bundle.clinic.privacy_officer.is_some()),
        ("consent", !bundle.consents.is_empty()),
        ("licences", licensed || !needs_licences),
    ]
    .map(|(item, done)| Item { item, done })
    .to_vec()
}
