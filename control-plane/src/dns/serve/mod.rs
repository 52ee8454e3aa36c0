//! Answers on the network: UDP on threads of their own, TCP as tasks.

mod batch;
pub(crate) mod engine;
pub(crate) mod limit;
mod tally;
pub(crate) mod tcp;
pub(crate) mod udp;
mod unusual;
