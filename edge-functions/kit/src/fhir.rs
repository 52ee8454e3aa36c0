//! The words of FHIR R4 that the API and the database use.

use serde::Serialize;

macro_rules! codes {
    ($($(#[$doc:meta])+ $name:ident { $($(#[$variant_doc:meta])+ $variant:ident = $code:literal,)+ })+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
        pub enum $name { $($(#[$variant_doc])+ #[serde(rename = $code)] $variant,)+ }

        impl $name {
            /// The code.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The value of that code.
            pub fn parse(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }

        impl From<$name> for $crate::database::Value {
            fn from(code: $name) -> Self {
                Self::Text(code.as_str().to_owned())
            }
        }
    )+};
}

codes! {
    /// <http://hl7.org/fhir/R4/valueset-appointmentstatus.html>, as far as used.
    AppointmentStatus {
        /// Agreed, not begun.
        Booked = "booked",
        /// The patient is in the waiting room, or in the call.
        Arrived = "arrived",
        /// Took place.
        Fulfilled = "fulfilled",
        /// Called off.
        Cancelled = "cancelled",
        /// The patient did not come.
        NoShow = "noshow",
    }
    /// <http://hl7.org/fhir/R4/valueset-encounter-status.html>, as far as used.
    EncounterStatus {
        /// Not begun.
        Planned = "planned",
        /// The patient was let in.
        InProgress = "in-progress",
        /// Over.
        Finished = "finished",
    }
    /// <http://hl7.org/fhir/R4/valueset-invoice-status.html>, as far as used.
    InvoiceStatus {
        /// Due.
        Issued = "issued",
    }
}

impl AppointmentStatus {
    /// Whether nothing more happens to the visit: its link answers 410.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Fulfilled | Self::Cancelled | Self::NoShow)
    }
}
