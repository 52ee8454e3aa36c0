//! Typed identifiers.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::database::Value;
use crate::secret::{self, RandomError};

/// A clinic's name in URLs: 1 to 63 of `a-z`, `0-9`, `-`, as in a DNS label.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ClinicId(String);

impl ClinicId {
    /// `None` unless `text` is a well-formed clinic name.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let edges = !text.starts_with('-') && !text.ends_with('-');
        let fits = (1..=63).contains(&text.len()) && text.bytes().all(allowed) && edges;
        fits.then(|| Self(text.to_owned()))
    }

    /// The name as it stands in the URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClinicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&ClinicId> for Value {
    fn from(id: &ClinicId) -> Self {
        Self::Text(id.0.clone())
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// A new id (UUID version 7, RFC 9562 §5.7): ordered by its time, unguessable in its other 74
            /// bits.
            pub fn new(now: Timestamp) -> Result<Self, RandomError> {
                let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
                let id = uuid::Builder::from_unix_timestamp_millis(millis, &secret::random::<10>()?);
                Ok(Self(id.into_uuid()))
            }

            /// `None` unless `text` is a UUID in its usual form: 36 characters, lower case.
            pub fn parse(text: &str) -> Option<Self> {
                let id = Uuid::try_parse(text).ok()?;
                (id.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text).then_some(Self(id))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text).ok_or("must be an id: a UUID in lower case")
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl From<$name> for Value {
            fn from(id: $name) -> Self {
                Self::Text(id.to_string())
            }
        }
    )+};
}

ids! {
    /// A member of staff who can sign in.
    UserId;
    /// A session of a member of staff, as its owner sees it.
    SessionId;
    /// A sign-in that waits to be let through from another device.
    ApprovalId;
    /// A passkey.
    PasskeyId;
    /// A record that was opened in an emergency.
    EmergencyAccessId;
    /// A round in which the roles of all staff are looked through.
    RecertificationId;
    /// Where somebody may practise.
    LicenceId;
    /// Somebody who can be booked.
    PractitionerId;
    /// Something that can be booked (FHIR HealthcareService).
    ServiceId;
    /// A rule of a practitioner's opening hours.
    HoursId;
    /// Where practitioners are booked (FHIR Location).
    SiteId;
    /// A room of a site.
    SiteRoomId;
    /// Days that are not like others.
    ExceptionId;
    /// A text that patients agree to.
    ConsentTextId;
    /// What patients are asked.
    QuestionnaireId;
    /// A slot kept for somebody who is about to confirm.
    HoldId;
    /// A patient.
    PatientId;
    /// A patient as they are known by address and date of birth, over all their visits.
    AccountId;
    /// Somebody who acts for a patient (FHIR RelatedPerson).
    ProxyId;
    /// A booked visit.
    AppointmentId;
    /// Somebody whom a clinician invited to a visit.
    GuestId;
    /// The clinical side of a visit.
    EncounterId;
    /// What a visit costs.
    InvoiceId;
    /// A wish to give money back.
    RefundId;
    /// A message in the outbox.
    MessageId;
    /// That a patient is to be seen again.
    RecallId;
    /// For which service whoever was seen is to be seen again.
    RecallRuleId;
    /// An app that a clinic knows.
    ClientId;
    /// That an app was let in: what its tokens hang on.
    GrantId;
    /// Whoever else vouches for a clinic's staff.
    ProviderId;
    /// What a patient was asked before a visit, and answered.
    ResponseId;
    /// That a patient agreed to a text.
    ConsentId;
    /// That a visit began without it.
    OverrideId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_carries_its_time_and_reads_back() {
        let now = Timestamp::from_millisecond(1_767_225_600_123).unwrap();
        let id = UserId::new(now).unwrap();
        assert_eq!(UserId::parse(&id.to_string()), Some(id));
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.0.get_timestamp().unwrap().to_unix(), (1_767_225_600, 123_000_000));
        assert_ne!(UserId::new(now).unwrap(), id);
    }

    #[test]
    fn other_spellings_of_an_id_are_refused() {
        let id = "0198c7f2-9f2b-7c4e-8a55-2b6f0d7f1c11";
        assert!(UserId::parse(id).is_some());
        for other in ["", &id.to_uppercase(), &id.replace('-', ""), &format!("{{{id}}}"), "x"] {
            assert!(UserId::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn clinic_names_are_dns_labels() {
        for good in ["demo", "st-mary-2", "a"] {
            assert!(ClinicId::parse(good).is_some(), "{good}");
        }
        for bad in ["", "-a", "a-", "Demo", "a.b", "a%2f", &"a".repeat(64)] {
            assert!(ClinicId::parse(bad).is_none(), "{bad}");
        }
    }
}
