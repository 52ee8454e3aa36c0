//! Errors as OAuth has them (RFC 6749 §5.2).

use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use kit::audit::Action;
use kit::context::Context;
use kit::database::DatabaseError;
use kit::ids::ClientId;
use kit::problem::Problem;
use kit::reply::{self, Reply};
use kit::secret::RandomError;
use serde::Serialize;

/// Why an app gets nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    /// OAuth's code.
    pub(crate) error: &'static str,
    /// For whoever writes the app. Constant: never a value of the request.
    pub(crate) description: &'static str,
}

/// What ends an app's request early.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The app's doing.
    Refused(Refusal),
    /// Ours.
    Problem(Problem),
}

impl Refusal {
    pub(crate) const fn new(error: &'static str, description: &'static str) -> Self {
        Self { error, description }
    }

    fn reply(self) -> Result<Reply, Problem> {
        #[derive(Serialize)]
        struct Body {
            error: &'static str,
            error_description: &'static str,
        }
        let unknown = self.error == "invalid_client";
        let status = if unknown { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        let body = Body { error: self.error, error_description: self.description };
        let mut reply = reply::json(status, &body)?;
        if unknown {
            let basic = HeaderValue::from_static(r#"Basic realm="apps""#);
            reply.headers_mut().insert(WWW_AUTHENTICATE, basic);
        }
        Ok(reply)
    }
}

impl Failed {
    /// The app's answer; a refusal is recorded, with the app if it is known.
    pub(crate) fn answer(self, context: &Context<'_>, client: Option<ClientId>) -> Result<Reply, Problem> {
        match self {
            Self::Refused(refusal) => {
                context.audit(Action::AppRefused, client.as_ref().map(|id| id as _));
                refusal.reply()
            }
            Self::Problem(problem) => Err(problem),
        }
    }
}

/// Shorthand for `Err`.
pub(crate) fn refused<T>(error: &'static str, description: &'static str) -> Result<T, Failed> {
    Err(Failed::Refused(Refusal::new(error, description)))
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<DatabaseError> for Failed {
    fn from(error: DatabaseError) -> Self {
        Self::Problem(error.into())
    }
}

impl From<RandomError> for Failed {
    fn from(error: RandomError) -> Self {
        Self::Problem(error.into())
    }
}
