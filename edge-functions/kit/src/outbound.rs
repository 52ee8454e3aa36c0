//! Requests that a function sends itself. The host lets them go to whom the manifest names, and not once the
//! request has written something.

use http::Method;

use crate::Pending;
use crate::context::Context;

/// Longest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 256 << 10;

/// A request to another server.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its method.
    pub method: Method,
    /// Its absolute URL.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Outgoing {
    /// Asks for JSON.
    pub fn get(url: &str) -> Self {
        let headers = vec![("accept", "application/json".to_owned())];
        Self { method: Method::GET, url: url.to_owned(), headers, body: Vec::new() }
    }
}

/// What another server answered. Redirects are not followed.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// There is no answer. The text says nothing of the request.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The host does not let requests go there, nobody is there, or the answer broke off.
    #[error("no answer from another server")]
    Unanswered,
    /// The URL is none.
    #[error("not an absolute URL")]
    Url,
    /// More than [`MAX_ANSWER`].
    #[error("the answer of another server is too long")]
    TooLong,
}

/// Sends requests.
pub trait Outbound {
    /// The answer to `request`.
    fn send(&self, request: Outgoing) -> Pending<'_, Result<Incoming, OutboundError>>;
}

impl Context<'_> {
    /// Sends a request to another server.
    pub async fn send(&self, request: Outgoing) -> Result<Incoming, OutboundError> {
        self.host.outbound.send(request).await
    }
}
