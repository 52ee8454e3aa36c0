//! The vocabulary of the control plane: nodes, their load and state, the signed node list, and what nodes and
//! members of the control plane say to each other. Pure: no clock, no I/O.

mod list;
mod load;
pub mod protocol;
mod rank;

pub use list::{NodeList, NodeRecord, NodeState, SignedNodeList};
pub use load::{FULL_PERMILLE, Load};
pub use rank::ranked_media;
