//! The public side: connections, origins, pages, and the way of a request to its function and back.

mod access_log;
mod answer;
mod audited;
mod body;
mod calls;
mod connection;
mod function_request;
mod origin;
mod pages;
mod replay;
mod seen;
mod service;
mod visit;

pub(crate) use calls::CallOutcome;
pub(crate) use connection::Server;
pub(crate) use pages::Pages;
pub(crate) use seen::SEEN_COOKIES;
pub(crate) use service::{Edge, FunctionRoute, Functions, Kept};
