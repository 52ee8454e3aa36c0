//! What the manifest hands to a component as variables.

use crate::Pending;

/// The variables of the component that runs.
pub trait Variables {
    /// The value of `name` at this moment: `media_nodes` changes while the component lives.
    fn get<'a>(&'a self, name: &'a str) -> Pending<'a, Result<String, VariableError>>;
}

/// A variable could not be read. The value, possibly a secret, is never in the text.
#[derive(Debug, thiserror::Error)]
pub enum VariableError {
    /// `spin.toml` does not give it to this component, or the host has no value.
    #[error("variable `{0}` is not there")]
    Missing(String),
    /// It holds something that this function cannot use.
    #[error("variable `{name}` is not {wanted}")]
    Unusable {
        /// Its name.
        name: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
}
