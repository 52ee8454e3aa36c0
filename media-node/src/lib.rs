//! The media node: LiveKit signalling, and a forwarding unit for calls that stay encrypted end to end.
//!
//! ```text
//!  HTTP, WebSocket ── signal ──┐ commands            ┌── transport ── UDP, TCP
//!                    token     └─► shard ── room ────┘  (rtc, stun, links, addresses)
//!                      ▲           one thread: rooms decide, the event loop does;
//!                   control         for each receiver: downlink (bandwidth, forward)
//!                                   events: who joined and left, for the record
//!                                     │
//!                                   relay ── mesh: other media nodes
//! ```
//!
//! The node knows random ids and opaque packets: no names, no health data, no keys of a call.

pub mod bandwidth;
pub mod config;
pub mod control;
pub mod downlink;
pub mod events;
pub mod forward;
#[cfg(test)]
mod fuzz;
pub mod listen;
pub mod node;
pub mod relay;
pub mod revocations;
pub mod room;
pub mod sandbox;
pub mod shard;
pub mod signal;
pub mod token;
pub mod transport;
