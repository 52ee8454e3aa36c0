//! Rooms whose people are at several nodes.
//!
//! ```text
//!  node list ─ meeting ─► directory      who has people in a room (leases)
//!                             │
//!  rooms here ──────────► core (Relay) ◄──── links ◄──► mesh: one stream and datagrams to each node
//!    people, packets,         │ sources       what others receive from here, and its last packets
//!    data, keyframes          │ other         what is received from them, and what of it was lost
//! ```
//!
//! Nodes that have people in a room find each other where the room's name leads on the node list, and then tell each
//! other who is there. Each asks the others for the tracks that its own people want, once for all of them; packets
//! come as datagrams, opaque. Only what is published at a node is sent by it, so a packet makes one step between nodes
//! and there are no loops. RTCP ends at each node; lost packets are sent again from the publisher's node.
//!
//! [`Relay`] decides and does no I/O; [`links`] does.

mod core;
pub mod datagram;
mod delivery;
pub mod directory;
pub mod links;
pub mod meeting;
pub mod messages;
mod other;
mod repair;
#[cfg(test)]
mod simulation;
mod sources;

pub use self::core::{Output, Relay, SILENT_FOR};
pub use self::meeting::{MediaNodes, NodeName};
