//! Values behind `spin:variables`: from the operator's configuration, from the manifest's defaults, and those
//! the host supplies itself (some of them change while it runs).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Secret;
use crate::manifest::{AllowedHosts, Application, ParseHostError};

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
    /// A value without those that belong to it.
    #[error("variable `{0}` needs a value: another one that belongs to it has one")]
    Apart(String),
    /// A host of pages that is none.
    #[error("variable `{0}` names no hosts")]
    Hosts(String, #[source] ParseHostError),
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
        let variables = Self(sources);
        for names in &application.together {
            let (given, missing): (Vec<&String>, _) = names.iter().partition(|name| variables.has(name));
            if let Some(name) = missing.first().filter(|_| !given.is_empty()) {
                return Err(VariableError::Apart((*name).clone()));
            }
        }
        variables.page_hosts(application)?;
        Ok(variables)
    }

    /// Origins that pages may load scripts and frames of, and ask, beside our own; several with blanks between them.
    pub fn page_hosts(&self, application: &Application) -> Result<String, VariableError> {
        let Some(hosts) = application.page_hosts.as_ref().filter(|hosts| self.has(&hosts.when)) else {
            return Ok(String::new());
        };
        let text = self.get(&hosts.hosts).unwrap_or_default();
        let entries: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        AllowedHosts::parse(&entries).map_err(|error| VariableError::Hosts(hosts.hosts.clone(), error))?;
        Ok(entries.join(" "))
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !value.is_empty())
    }

    /// The present value.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|source| match source {
            Source::Fixed(value) => value.expose().to_owned(),
            Source::Supplied(supplier) => supplier(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "test"
[application.tool.locum]
together = [["key", "word"]]
page_hosts = { when = "key", hosts = "hosts" }
[variables]
key = { default = "", secret = true }
word = { default = "" }
hosts = { default = "https://a.example https://b.example:8443" }
[trigger]
"#;

    fn variables(given: &[(&str, &str)]) -> Result<(Application, Variables), VariableError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spin.toml");
        std::fs::write(&path, MANIFEST).unwrap();
        let application = Application::read(&path).unwrap();
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
        let variables = Variables::new(&application, &given, &BTreeMap::new())?;
        Ok((application, variables))
    }

    #[test]
    fn what_belongs_together_comes_together() {
        assert!(variables(&[]).is_ok());
        assert!(variables(&[("key", "k"), ("word", "w")]).is_ok());
        for (given, missing) in [("key", "word"), ("word", "key")] {
            let refused = variables(&[(given, "x")]).err();
            assert_eq!(refused, Some(VariableError::Apart(missing.to_owned())));
        }
    }

    #[test]
    fn pages_load_of_others_only_what_is_configured() {
        let hosts = |given: &[(&str, &str)]| {
            let (application, variables) = variables(given)?;
            variables.page_hosts(&application)
        };
        assert_eq!(hosts(&[]).unwrap(), "");
        let keys = [("key", "k"), ("word", "w")];
        assert_eq!(hosts(&keys).unwrap(), "https://a.example https://b.example:8443");
        for bad in
            ["*", "https://*", "'unsafe-inline'", "http://a.example", "https://a.example; script-src *"]
        {
            assert!(hosts(&[keys[0], keys[1], ("hosts", bad)]).is_err(), "{bad}");
        }
    }
}
