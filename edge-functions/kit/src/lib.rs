//! What the edge functions share: request context, policy, errors, database.
//!
//! A function is plain library code that answers a [`context::Context`]. What surrounds it, clock,
//! randomness, variables and database, is handed in by a [`context::Host`]: Spin's interfaces inside a
//! component (`spin`), a temporary database in the tests (`testing`).

pub mod audit;
pub mod audit_log;
pub mod bearer;
pub mod breached;
pub mod call;
pub mod clinic;
pub mod clock;
pub mod consent;
pub mod contact;
pub mod context;
pub mod cookies;
pub mod database;
pub mod fhir;
pub mod form;
pub mod hold;
pub mod hours;
pub mod ids;
pub mod invitation;
pub mod meter;
pub mod money;
pub mod outbound;
pub mod outbox;
pub mod oversight;
pub mod person_sessions;
pub mod phi;
pub mod policy;
pub mod problem;
pub mod query;
pub mod questionnaire;
pub mod reply;
pub mod resources;
pub mod scopes;
pub mod secret;
pub mod serve;
pub mod sessions;
pub mod short;
pub mod texts;
pub mod variables;

#[cfg(target_family = "wasm")]
pub mod spin;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
#[allow(clippy::print_stdout, clippy::unwrap_used, reason = "part of the tests, though cargo does not know")]
pub mod testing;

/// A future of this crate's object-safe traits. Components run on one thread, so it need not be `Send`.
pub type Pending<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;
