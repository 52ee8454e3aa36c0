//! Headers that every answer carries.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CACHE_CONTROL,
    CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    TRANSFER_ENCODING, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response};
use uuid::Uuid;

use crate::network::Origins;

/// Ties an answer to the host's log.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// Camera and microphone for our own pages; nothing else that a page could ask for.
const PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self), autoplay=(self), \
    fullscreen=(self), speaker-selection=(self), screen-wake-lock=(self), geolocation=(), payment=(), usb=()";

/// Whose pages may read an answer.
pub(super) enum Reader {
    /// None.
    Nobody,
    /// Ours, from this origin.
    Pages(HeaderValue),
    /// Everybody's: what is in it came without cookies.
    Anybody,
}

/// Header values that depend on the host's configuration, made once.
pub(super) struct AnswerHeaders {
    pages_policy: HeaderValue,
    https: bool,
}

impl AnswerHeaders {
    /// `others`: hosts that pages may load scripts and frames of, and ask, beside our own.
    pub(super) fn new(origins: &Origins, others: &str) -> Self {
        let (web, socket) = if origins.scheme == "https" { ("https", "wss") } else { ("http", "ws") };
        let zone = &origins.zone;
        let others = if others.is_empty() { String::new() } else { format!(" {others}") };
        let frames = if others.is_empty() { String::new() } else { format!("frame-src{others}; ") };
        let policy = format!(
            "default-src 'self'; script-src 'self'{others}; {frames}style-src 'self'; img-src 'self' data: blob:; \
             media-src 'self' blob: mediastream:; worker-src 'self' blob:; font-src 'self'; \
             connect-src 'self' {web}://*.{zone}:* {socket}://*.{zone}:*{others}; \
             object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        );
        let value = |text: &str| {
            HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
        };
        Self { pages_policy: value(&policy), https: origins.scheme == "https" }
    }

    /// On everything.
    pub(super) fn common(&self, response: &mut Response<Bytes>, id: Uuid) {
        let headers = response.headers_mut();
        // Of the connection, not of the answer; a function has no say in them.
        for name in [CONNECTION, TRANSFER_ENCODING, CONTENT_LENGTH, KEEP_ALIVE] {
            headers.remove(name);
        }
        if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
            headers.insert(REQUEST_ID, id);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        if self.https {
            let two_years = HeaderValue::from_static("max-age=63072000; includeSubDomains");
            headers.insert(STRICT_TRANSPORT_SECURITY, two_years);
        }
    }

    /// On pages and their files.
    pub(super) fn page(&self, response: &mut Response<Bytes>) {
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, self.pages_policy.clone());
        headers.insert(PERMISSIONS_POLICY, HeaderValue::from_static(PERMISSIONS));
        headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    }

    /// On answers of functions and of the host's own API.
    pub(super) fn api(&self, response: &mut Response<Bytes>, reader: Reader) {
        let headers = response.headers_mut();
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(CONTENT_SECURITY_POLICY, nothing);
        headers.append(VARY, HeaderValue::from_static("origin"));
        // The host alone decides who may read an answer.
        for name in
            [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS]
        {
            headers.remove(name);
        }
        let (origin, with_cookies) = match reader {
            Reader::Nobody => (None, false),
            Reader::Pages(origin) => (Some(origin), true),
            Reader::Anybody => (Some(HeaderValue::from_static("*")), false),
        };
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            if with_cookies {
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
            let exposed = "etag, link, location, retry-after, idempotency-replayed, x-request-id, \
                           locum-single-copy, www-authenticate";
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
        }
    }

    /// On the answer to a preflight from our pages.
    pub(super) fn preflight(&self, response: &mut Response<Bytes>) {
        let headers = response.headers_mut();
        let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        let allowed = "authorization, content-type, idempotency-key, if-match, if-none-exist, if-none-match, prefer, \
             x-locum-background";
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}
