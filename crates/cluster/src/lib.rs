//! The vocabulary of the control plane: nodes, their load and state, the signed node list, and what nodes and
//! members of the control plane say to each other. Pure: no clock, no I/O.

pub mod calls;
mod list;
mod load;
pub mod operate;
mod order;
pub mod probe;
pub mod protocol;
mod rank;
pub mod revocation;
mod several;
mod wish;

pub use list::{NodeList, NodeRecord, NodeState, SignedNodeList};
pub use load::{FULL_PERMILLE, Load};
pub use order::NodeOrder;
pub use rank::ranked_media;
pub use wish::{ParseSubjectError, Subject, Wish};
