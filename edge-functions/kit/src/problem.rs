//! Errors as the API answers them: problem details (RFC 9457).

use std::error::Error;
use std::fmt;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use crate::database::DatabaseError;
use crate::reply::Reply;
use crate::secret::RandomError;
use crate::variables::VariableError;

/// What a `type` begins with; the slug follows.
const TYPE_PREFIX: &str = "urn:locum:problem:";

/// An answer that says what went wrong. Its text is ours and constant: never a value of the request or of a
/// row.
pub struct Problem(Box<Inner>);

struct Inner {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: Option<String>,
    members: Map<String, Json>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<Box<dyn Error>>,
}

/// One input that was refused.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct InputError {
    /// Where: a JSON pointer into the body (RFC 6901), or `?name` for a query parameter.
    pub pointer: String,
    /// What it should be.
    pub detail: String,
}

impl Problem {
    /// A problem of the kind `slug`.
    pub fn new(status: StatusCode, slug: &'static str, title: &'static str) -> Self {
        let (members, headers) = (Map::new(), Vec::new());
        Self(Box::new(Inner { status, slug, title, detail: None, members, headers, cause: None }))
    }

    /// Adds a sentence about this occurrence.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds an extension member.
    pub fn member(mut self, name: &str, value: Json) -> Self {
        self.0.members.insert(name.to_owned(), value);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Nothing here under that name, or another clinic's: the two are not told apart.
    pub fn not_found(what: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here").detail(what)
    }

    /// No function answers this path.
    pub fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no-route", "No function answers this path")
    }

    /// The path exists, but not for this method.
    pub fn method_not_allowed(allowed: &str) -> Self {
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Not with this method");
        match HeaderValue::from_str(allowed) {
            Ok(value) => problem.header(ALLOW, value),
            Err(_) => problem,
        }
    }

    /// Nobody is signed in, or no longer.
    pub fn sign_in_required() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "sign-in-required", "Sign in first")
    }

    /// Somebody is signed in, but in no role that may do this.
    pub fn role_not_allowed() -> Self {
        Self::new(StatusCode::FORBIDDEN, "role-not-allowed", "Your role may not do this")
    }

    /// Signed in, but the last proof of who it is is too old for this.
    pub fn proof_required() -> Self {
        let title = "Show once more who you are: your session is too old for this";
        Self::new(StatusCode::FORBIDDEN, "proof-required", title)
    }

    /// Somebody who acts for a patient was not given this.
    pub fn not_given() -> Self {
        Self::new(StatusCode::FORBIDDEN, "not-given", "You may not do this for the patient")
    }

    /// Wrong attempts in a row: nothing is taken for `seconds`, right or wrong.
    pub fn too_many_attempts(seconds: i64) -> Self {
        let title = "Too many attempts: wait before the next one";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", title)
            .header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// The visit has ended or was cancelled.
    pub fn visit_over() -> Self {
        Self::new(StatusCode::GONE, "visit-over", "The visit is over")
    }

    /// The patient is not in the waiting room.
    pub fn not_arrived() -> Self {
        Self::new(StatusCode::CONFLICT, "not-arrived", "The patient has not arrived yet")
    }

    /// The patient waits, but was not let in.
    pub fn not_admitted() -> Self {
        Self::new(StatusCode::CONFLICT, "not-admitted", "The patient has not been admitted yet")
    }

    /// A guest's link was taken back.
    pub fn link_withdrawn() -> Self {
        Self::new(StatusCode::GONE, "link-withdrawn", "The link was taken back")
    }

    /// One input is not what it should be.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let errors = [InputError { pointer: pointer.into(), detail: detail.into() }];
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-input", "The input is not valid")
            .member("errors", json!(errors))
    }

    /// The body did not arrive whole.
    pub fn unreadable_body() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unreadable-body", "The body did not arrive whole")
    }

    /// A failure of ours. What caused it goes to the host's log only.
    pub fn internal(cause: impl Error + 'static) -> Self {
        let mut problem =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something failed on our side");
        problem.0.cause = Some(Box::new(cause));
        problem
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Its kind: what follows `urn:locum:problem:`.
    pub fn slug(&self) -> &'static str {
        self.0.slug
    }

    /// Its text: what kind it is, and a sentence about this occurrence.
    pub fn text(&self) -> (&'static str, Option<&str>) {
        (self.0.title, self.0.detail.as_deref())
    }

    /// An extension member.
    pub fn get(&self, member: &str) -> Option<&Json> {
        self.0.members.get(member)
    }

    /// The answer with another body, for protocols that have errors of their own.
    pub fn into_reply_as(self, content_type: HeaderValue, body: Vec<u8>) -> Reply {
        let mut reply = self.into_reply();
        *reply.body_mut() = body;
        reply.headers_mut().insert(CONTENT_TYPE, content_type);
        reply
    }

    /// What caused a failure of ours.
    pub fn cause(&self) -> Option<&(dyn Error + 'static)> {
        self.0.cause.as_deref()
    }

    /// The answer.
    pub fn into_reply(self) -> Reply {
        let inner = *self.0;
        let mut body = Map::new();
        body.insert("type".to_owned(), json!(format!("{TYPE_PREFIX}{}", inner.slug)));
        body.insert("title".to_owned(), json!(inner.title));
        body.insert("status".to_owned(), json!(inner.status.as_u16()));
        if let Some(detail) = inner.detail {
            body.insert("detail".to_owned(), json!(detail));
        }
        body.extend(inner.members);
        let mut reply = Reply::new(Json::Object(body).to_string().into_bytes());
        *reply.status_mut() = inner.status;
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        reply.headers_mut().extend(inner.headers.into_iter().map(|(name, value)| (Some(name), value)));
        reply
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { status, slug, cause, .. } = &*self.0;
        f.debug_struct("Problem").field("status", status).field("slug", slug).field("cause", cause).finish()
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        Self::internal(error)
    }
}

impl From<RandomError> for Problem {
    fn from(error: RandomError) -> Self {
        Self::internal(error)
    }
}

impl From<VariableError> for Problem {
    fn from(error: VariableError) -> Self {
        Self::internal(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_headers_reach_the_answer() {
        let problem = Problem::method_not_allowed("GET, PUT").detail("why").member("hint", json!(1));
        let reply = problem.into_reply();
        assert_eq!(reply.status(), 405);
        assert_eq!(reply.headers()["allow"], "GET, PUT");
        assert_eq!(reply.headers()["content-type"], "application/problem+json");
        let body: Json = serde_json::from_slice(reply.body()).unwrap();
        assert_eq!(
            body,
            json!({"type": "urn:locum:problem:method-not-allowed", "title": "Not with this method",
                   "status": 405, "detail": "why", "hint": 1})
        );
    }

    #[test]
    fn a_cause_is_not_answered() {
        let reply = Problem::from(DatabaseError::Statement("secret place".into())).into_reply();
        assert_eq!(reply.status(), 500);
        assert!(!String::from_utf8_lossy(reply.body()).contains("secret place"));
    }
}
