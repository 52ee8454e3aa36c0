//! Parameters of an app's request: a form, or the query of an authorization request.

use http::Request;
use http::header::CONTENT_TYPE;

use super::refusal::Refusal;

/// Most parameters of a request.
const MOST: usize = 40;

/// Each at most once (RFC 6749 §3.1). An empty one counts as left out.
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The form in a body.
    pub(crate) fn of_form(request: &Request<Vec<u8>>) -> Result<Self, Refusal> {
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let text = "the body must be application/x-www-form-urlencoded";
            return Err(Refusal::new("invalid_request", text));
        }
        Self::parse(request.body())
    }

    /// The text behind a question mark.
    pub(crate) fn of_query(query: &str) -> Result<Self, Refusal> {
        Self::parse(query.as_bytes())
    }

    fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let given: Vec<(String, String)> = form_urlencoded::parse(text)
            .into_owned()
            .filter(|(_, value)| !value.is_empty())
            .take(MOST + 1)
            .collect();
        let repeated = |(place, (name, _)): (usize, &(String, String))| {
            given.iter().take(place).any(|(other, _)| other == name)
        };
        if given.len() > MOST || given.iter().enumerate().any(repeated) {
            return Err(Refusal::new(
                "invalid_request",
                "a parameter stands there twice, or there are too many",
            ));
        }
        Ok(Self(given))
    }

    /// The value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(given, value)| (given == name).then_some(value.as_str()))
    }

    /// The value of `name`, which must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or(Refusal::new("invalid_request", "a parameter is missing"))
    }
}
