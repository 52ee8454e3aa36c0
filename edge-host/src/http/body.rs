//! Reading a request's body: whole, bounded in size and time.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::problem::Problem;

/// Reads it or says what is wrong with it.
pub(super) async fn read<B>(
    request: Request<B>,
    most_bytes: usize,
    within: Duration,
) -> Result<Request<Bytes>, Problem>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    if announced(&parts.headers).is_some_and(|bytes| bytes > most_bytes as u64) {
        return Err(Problem::BODY_TOO_LARGE);
    }
    let body = std::pin::pin!(Limited::new(body, most_bytes));
    match tokio::time::timeout(within, body.collect()).await {
        Ok(Ok(body)) => Ok(Request::from_parts(parts, body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::BODY_TOO_LARGE),
        Ok(Err(_)) => Err(Problem::BAD_REQUEST),
        Err(_) => Err(Problem::REQUEST_TIMEOUT),
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
