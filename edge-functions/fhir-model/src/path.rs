//! Where in a resource something is: a chain on the stack, written out only where something is wrong.

use std::fmt;

#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'a str,
    index: Option<usize>,
    /// Of a choice: which.
    of_type: Option<&'static str>,
}

impl<'a> Path<'a> {
    pub(crate) const fn root(name: &'a str) -> Self {
        Self { parent: None, name, index: None, of_type: None }
    }

    pub(crate) const fn child(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), name, index: None, of_type: None }
    }

    pub(crate) const fn of_type(self, name: &'static str) -> Self {
        Self { of_type: Some(name), ..self }
    }

    pub(crate) const fn at(self, index: usize) -> Self {
        Self { index: Some(index), ..self }
    }
}

/// As FHIRPath: `Observation.component[0].value.ofType(Quantity).unit`.
impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        // A name that is none of FHIR's came from outside and is not repeated.
        let known = !self.name.is_empty() && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        f.write_str(if known { self.name } else { "%unknown" })?;
        if let Some(name) = self.of_type {
            write!(f, ".ofType({name})")?;
        }
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        Ok(())
    }
}
