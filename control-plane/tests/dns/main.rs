//! The name server over the wire, asked by the tools that everybody asks with: `dig`, `delv`, `unbound`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod answers;
mod conformance;
mod dnssec;
mod flood;
mod malformed;
mod reload;
#[path = "../support/mod.rs"]
mod support;
mod zone;
