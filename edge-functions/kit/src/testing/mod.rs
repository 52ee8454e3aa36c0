//! A clinic in a temporary database, for the tests of the functions.

mod client;
mod events;
mod health;
mod libsql_database;
mod seed;
mod world;

pub use client::{Answer, Client};
pub use events::KeptEvents;
pub use health::health_routes;
pub use libsql_database::LibsqlDatabase;
pub use seed::{Booked, Seeded};
pub use world::World;
