//! The host's own errors, as `application/problem+json` (RFC 9457).

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

/// An error of the host. Its text is constant: nothing of a request is ever repeated in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Problem {
    slug: &'static str,
    title: &'static str,
    status: StatusCode,
    retry_after_s: Option<u32>,
}

macro_rules! problems {
    (@after) => { None };
    (@after $after:literal) => { Some($after) };
    ($(
        $(#[$doc:meta])*
        $name:ident = $status:ident $slug:literal $title:literal $(retry $after:literal)?;
    )*) => {
        impl Problem {
            $($(#[$doc])* pub const $name: Self = Self {
                slug: $slug,
                title: $title,
                status: StatusCode::$status,
                retry_after_s: problems!(@after $($after)?),
            };)*

            /// Every problem, for the documentation and its test.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

problems! {
    /// No clinic of that name.
    UNKNOWN_CLINIC = NOT_FOUND "unknown-clinic" "There is no clinic of that name here";
    /// No route.
    NOT_FOUND = NOT_FOUND "not-found" "There is nothing at this address";
    /// The web application's files are missing.
    PAGES_NOT_BUILT = NOT_FOUND "pages-not-built" "The pages are not built on this host";
    /// Not a method of this API.
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED "method-not-allowed" "This method is not allowed here";
    /// The head makes no sense.
    BAD_REQUEST = BAD_REQUEST "bad-request" "The request cannot be understood";
    /// `Idempotency-Key` is empty, too long or not printable.
    BAD_IDEMPOTENCY_KEY = BAD_REQUEST "idempotency-key-invalid"
        "An Idempotency-Key is 1 to 255 printable ASCII characters";
    /// Another page sent the browser here.
    FOREIGN_ORIGIN = FORBIDDEN "foreign-origin" "Requests from this web origin are not accepted";
    /// The body came too slowly.
    REQUEST_TIMEOUT = REQUEST_TIMEOUT "request-timeout" "The request's body did not arrive in time";
    /// The body is over its bound.
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE "body-too-large" "The request's body is too large";
    /// The same key came with another request.
    IDEMPOTENCY_KEY_REUSED = UNPROCESSABLE_ENTITY "idempotency-key-reused"
        "This Idempotency-Key was used for another request";
    /// A `GET` or `HEAD` tried to write.
    READ_ONLY_REQUEST = INTERNAL_SERVER_ERROR "read-only-request"
        "The function tried to write during a request that only reads";
    /// It trapped.
    FUNCTION_FAILED = INTERNAL_SERVER_ERROR "function-failed" "The function failed; nothing was changed";
    /// It wanted more memory than it may have.
    FUNCTION_MEMORY = INTERNAL_SERVER_ERROR "function-memory-limit"
        "The function needed too much memory; nothing was changed";
    /// Its answer is over its bound.
    ANSWER_TOO_LARGE = INTERNAL_SERVER_ERROR "answer-too-large"
        "The function's answer was too large; nothing was changed";
    /// The record store did not commit.
    STORE_FAILED = INTERNAL_SERVER_ERROR "store-failed" "The record store failed; nothing was changed";
    /// Every place is taken.
    BUSY = SERVICE_UNAVAILABLE "busy" "Too many requests at once; nothing was changed" retry 1;
    /// The record group's writer is taken.
    STORE_BUSY = SERVICE_UNAVAILABLE "store-busy" "The record store is busy; nothing was changed" retry 1;
    /// The transaction was held too long.
    TRANSACTION_TIMEOUT = SERVICE_UNAVAILABLE "transaction-timeout"
        "The transaction took too long and was rolled back" retry 1;
    /// Nobody writes the record group, or nobody is reached who does.
    NO_PRIMARY = SERVICE_UNAVAILABLE "no-primary"
        "These records cannot be changed for the moment; nothing was changed" retry 2;
    /// Written, but not in a second region in time.
    NOT_DURABLE_YET = SERVICE_UNAVAILABLE "not-durable-yet"
        "It is not known whether this will last: send it again with the same Idempotency-Key" retry 2;
    /// What was read could still be taken back by a failover, or this host has no copy yet.
    NOT_SETTLED = SERVICE_UNAVAILABLE "not-settled"
        "The newest records are not safe to show yet" retry 1;
    /// What this host's functions need is not in its copy of the records yet, and nobody else can answer.
    UPGRADING = SERVICE_UNAVAILABLE "upgrading"
        "This host waits for a change to the records' schema; nothing was changed" retry 1;
    /// A person accepted the loss of what this browser had seen.
    HISTORY_LOST = CONFLICT "history-lost"
        "Something you saw before was lost with a region: look again before you go on";
    /// The writer was asked and gave no answer.
    OUTCOME_UNKNOWN = SERVICE_UNAVAILABLE "outcome-unknown"
        "It is not known whether this was done: send it again with the same Idempotency-Key" retry 2;
    /// The answer shows health data, and its function did not say whose, or not in the form agreed.
    AUDIT_MISSING = INTERNAL_SERVER_ERROR "audit-missing"
        "The function did not say what it showed or did; nothing was changed";
    /// The event of reading is nowhere on a disk.
    AUDIT_FAILED = SERVICE_UNAVAILABLE "audit-failed"
        "Who read this could not be recorded, so it is not shown" retry 2;
    /// There is no room for it, here or elsewhere.
    AUDIT_FULL = SERVICE_UNAVAILABLE "audit-full"
        "There is no room to record who read this, so it is not shown" retry 30;
    /// It ran too long.
    DEADLINE = GATEWAY_TIMEOUT "deadline" "The function took too long; nothing was changed";
}

impl Problem {
    /// The answer.
    pub fn response(self) -> Response<Bytes> {
        let body = serde_json::json!({
            "type": format!("urn:locum:problem:{}", self.slug),
            "title": self.title,
            "status": self.status.as_u16(),
        });
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// Its stable name.
    pub fn slug(self) -> &'static str {
        self.slug
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_that_says_to_come_back_is_documented() {
        let document = include_str!("../../docs/openapi.yaml");
        for problem in Problem::ALL.iter().filter(|problem| problem.retry_after_s.is_some()) {
            let slug = problem.slug();
            assert!(document.contains(&format!("- urn:locum:problem:{slug}\n")), "{slug}");
        }
        assert!(document.contains(&format!("const: urn:locum:problem:{}\n", Problem::HISTORY_LOST.slug())));
    }

    #[test]
    fn every_overload_says_when_to_come_back() {
        for problem in Problem::ALL {
            let response = problem.response();
            let overload = response.status() == StatusCode::SERVICE_UNAVAILABLE;
            assert_eq!(response.headers().contains_key(RETRY_AFTER), overload, "{}", problem.slug());
        }
    }
}
