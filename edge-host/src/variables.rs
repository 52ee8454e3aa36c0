//! Values behind `spin:variables`: from the operator's configuration, from the manifest's defaults, and those
//! the host supplies itself (some of them change while it runs).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Secret;
use crate::manifest::Application;

/// Reads the present value of a variable that the host supplies.
pub type Supplier = Arc<dyn Fn() -> String + Send + Sync>;

/// Every variable of the application, ready to be read.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, Source>);

#[derive(Clone)]
enum Source {
    Fixed(Secret),
    Supplied(Supplier),
}

/// The application and the configuration do not fit.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum VariableError {
    /// A value without a variable.
    #[error("variable `{0}` is not declared in the manifest")]
    Unknown(String),
    /// A value for what the host supplies.
    #[error("variable `{0}` is supplied by the host")]
    Supplied(String),
    /// A supplied variable this host knows nothing of.
    #[error("variable `{0}` is not one that this host supplies")]
    NotSupplied(String),
    /// No value.
    #[error("variable `{0}` is required and has no value")]
    Missing(String),
}

impl Variables {
    /// Joins the three sources and checks that nothing is missing or superfluous.
    pub fn new(
        application: &Application,
        configured: &BTreeMap<String, Secret>,
        suppliers: &BTreeMap<&'static str, Supplier>,
    ) -> Result<Self, VariableError> {
        for name in configured.keys() {
            if application.supplied.contains(name) {
                return Err(VariableError::Supplied(name.clone()));
            }
            if !application.variables.contains_key(name) {
                return Err(VariableError::Unknown(name.clone()));
            }
        }
        let mut sources = BTreeMap::new();
        for (name, declaration) in &application.variables {
            let source = if application.supplied.contains(name) {
                let supplier = suppliers.get(name.as_str());
                Source::Supplied(supplier.ok_or_else(|| VariableError::NotSupplied(name.clone()))?.clone())
            } else if let Some(value) = configured.get(name) {
                Source::Fixed(value.clone())
            } else if let Some(default) = declaration.default.as_ref().filter(|_| !declaration.required) {
                Source::Fixed(Secret::new(default.clone()))
            } else {
                return Err(VariableError::Missing(name.clone()));
            };
            sources.insert(name.clone(), source);
        }
        Ok(Self(sources))
    }

    /// The present value.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|source| match source {
            Source::Fixed(value) => value.expose().to_owned(),
            Source::Supplied(supplier) => supplier(),
        })
    }
}
