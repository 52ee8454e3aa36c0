//! Functions: compiled once, a fresh instance for every request, bounded in time, memory and reach.

mod audit_log;
mod cache;
mod engine;
mod memory;
mod outbound;
mod output;
mod spin;
mod wasi;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use locum_breached::Breached;

pub use cache::CacheError;
pub use engine::{FunctionEngine, Ticker};
pub use outbound::OutboundClient;
pub use wasi::{Call, CallError, Function};

use crate::manifest::{AllowedHosts, Template};
use crate::variables::Variables;

/// What one component may see and use; shared by all its calls.
pub struct Environment {
    /// Its id in the manifest; a metric label.
    pub component: String,
    /// `wasi:cli/environment`.
    pub environment: BTreeMap<String, String>,
    /// Its own variables, as templates over the application's.
    pub templates: BTreeMap<String, Template>,
    /// The application's variables.
    pub variables: Variables,
    /// `spin:sqlite` labels.
    pub sqlite_databases: Vec<String>,
    /// `spin:key-value` labels.
    pub key_value_stores: Vec<String>,
    /// Passwords known from breaches, where there is a list and the component may ask it.
    pub breached: Option<Arc<Breached>>,
    /// Where it may send requests.
    pub outbound: AllowedHosts,
    /// What sends them.
    pub client: OutboundClient,
    /// Longest run of a call.
    pub deadline: Duration,
    /// Linear memory of a call.
    pub memory_bytes: usize,
    /// Largest answer body.
    pub answer_bytes: usize,
}

/// A component could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file of the manifest's `source`.
    #[error("read component `{component}` from {path} (is it built?)")]
    Read {
        /// Its id.
        component: String,
        /// Its source.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not a component that this host can run.
    #[error("compile component `{component}`")]
    Compile {
        /// Its id.
        component: String,
        /// Why.
        #[source]
        source: CacheError,
    },
    /// It wants imports this host does not have, or exports no `wasi:http/handler`.
    #[error("link component `{component}`")]
    Link {
        /// Its id.
        component: String,
        /// Why.
        #[source]
        source: wasmtime::Error,
    },
}

impl FunctionEngine {
    /// Reads, compiles (or finds compiled) and links a component.
    pub fn load(&self, source: &PathBuf, environment: Arc<Environment>) -> Result<Function, LoadError> {
        let component = environment.component.clone();
        let compiled = self.read(&component, source)?;
        Function::link(self, &compiled, environment).map_err(|source| LoadError::Link { component, source })
    }

    /// Only makes sure that the next [`Self::load`] need not compile.
    pub fn precompile(&self, component: &str, source: &PathBuf) -> Result<(), LoadError> {
        self.read(component, source).map(drop)
    }

    fn read(&self, component: &str, path: &PathBuf) -> Result<wasmtime::component::Component, LoadError> {
        let bytes = std::fs::read(path).map_err(|source| LoadError::Read {
            component: component.to_owned(),
            path: path.clone(),
            source,
        })?;
        self.compile(&bytes).map_err(|source| LoadError::Compile { component: component.to_owned(), source })
    }
}
