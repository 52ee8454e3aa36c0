//! A clinic in a temporary database, for the tests of the functions.

mod libsql_database;
mod world;

pub use libsql_database::LibsqlDatabase;
pub use world::{Answer, PRICE_MINOR, Seeded, World};
