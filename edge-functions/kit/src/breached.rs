//! Passwords known from breaches, as the host's operator has a list of them.

use crate::Pending;

/// A list that says whether a password is known. It never sees one: only its SHA-1, and nothing of it leaves the host.
pub trait Breached {
    /// Whether the password with this SHA-1 (40 capital hexadecimal digits) is on the list; `None`: there is none.
    fn contains<'a>(&'a self, sha1: &'a str) -> Pending<'a, Result<Option<bool>, BreachedError>>;
}

/// The list is there and cannot be read.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the list of breached passwords cannot be read")]
pub struct BreachedError;
