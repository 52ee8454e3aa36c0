//! Answers.

use http::header::{CONTENT_TYPE, ETAG, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::problem::Problem;

/// An answer with its whole body.
pub type Reply = Response<Vec<u8>>;

/// `value` as JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Reply, Problem> {
    let mut reply = Reply::new(serde_json::to_vec(value).map_err(Problem::internal)?);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(reply)
}

/// `value` as JSON with status 200.
pub fn ok(value: &impl Serialize) -> Result<Reply, Problem> {
    json(StatusCode::OK, value)
}

/// Nothing to say.
pub fn no_content() -> Reply {
    let mut reply = Reply::new(Vec::new());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}

/// Gives `reply` the strong entity tag of `version`, which is base64url and so needs no escaping.
pub fn with_etag(mut reply: Reply, version: &str) -> Result<Reply, Problem> {
    let tag = HeaderValue::from_str(&format!("\"{version}\"")).map_err(Problem::internal)?;
    reply.headers_mut().insert(ETAG, tag);
    Ok(reply)
}
