//! What FHIR R4 says of resources, as pure code: whether one is as it must be ([`validate`]), and what it can be found
//! by ([`search`]). Structure, cardinalities, types, required codes and search parameters are a table made from HL7's own
//! definitions (`definitions/generate.mjs`); invariants are written by hand ([`invariants`]).

pub mod moment;
pub mod search;
pub mod validation;

mod invariants;
mod local;
mod narrative;
mod path;
mod primitive;
mod table;

pub use primitive::is_id;
pub use table::{is_resource, required};
pub use validation::{Issue, validate};

/// The version of FHIR that all this is of.
pub const VERSION: &str = "4.0.1";
