//! The edge host from outside: a real process, real HTTP, a function that does what its caller says.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by failing")]

mod harness;

mod backup;
mod bounds;
mod browsers;
mod configuration;
mod idempotency;
mod records;
mod requests;
mod secrecy;
mod tls;
