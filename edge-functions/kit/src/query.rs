//! Query parameters, read as strictly as bodies.

use http::Uri;

use crate::problem::Problem;

/// The parameters of a request that were not asked for yet.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters of `uri`.
    pub fn of(uri: &Uri) -> Self {
        let text = uri.query().unwrap_or_default();
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// Takes the parameter `name`, if it is there, through `parse`; `wanted` says what `parse` takes.
    pub fn optional<T>(
        &mut self,
        name: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(place) = self.0.iter().position(|(given, _)| given == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.swap_remove(place);
        let refusal = || Problem::invalid(format!("?{name}"), format!("must be {wanted}"));
        parse(&value).map(Some).ok_or_else(refusal)
    }

    /// Takes the parameter `name`, which must be there.
    pub fn required<T>(
        &mut self,
        name: &str,
        wanted: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, Problem> {
        let refusal = || Problem::invalid(format!("?{name}"), format!("is missing: {wanted}"));
        self.optional(name, wanted, parse)?.ok_or_else(refusal)
    }

    /// Refuses what nobody asked for, a second value of a parameter included.
    pub fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            Some(_) => Err(Problem::invalid("?", "has a parameter that is unknown or repeated")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &'static str) -> Query {
        Query::of(&Uri::from_static(text))
    }

    #[test]
    fn reads_what_is_asked_for_and_refuses_the_rest() {
        let mut given = query("/x?a=1&b=%C3%A9");
        assert_eq!(given.required("a", "a number", |text| text.parse().ok()).ok(), Some(1_u8));
        assert_eq!(given.optional("b", "text", |text| Some(text.to_owned())).unwrap().unwrap(), "é");
        assert!(given.optional("c", "text", |_| Some(())).unwrap().is_none());
        assert!(given.finish().is_ok());

        assert_eq!(query("/x?a=1").finish().unwrap_err().status(), 422);
        let mut twice = query("/x?a=1&a=2");
        assert!(twice.required("a", "a number", |text| text.parse::<u8>().ok()).is_ok());
        assert!(twice.finish().is_err());
        assert!(query("/x?a=z").required("a", "a number", |text| text.parse::<u8>().ok()).is_err());
        assert!(query("/x").required("a", "a number", |text| text.parse::<u8>().ok()).is_err());
    }
}
