//! A request as its function sees it: absolute URI, Spin's headers, nothing forged.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use locum_identity::NodeId;
use uuid::Uuid;

use crate::config::Secret;
use crate::idempotency;
use crate::problem::Problem;
use crate::routes::{Route, RouteMatch};

/// Where a request met the application.
pub(super) struct Meeting<'a> {
    pub(super) route: &'a Route,
    pub(super) found: &'a RouteMatch<'a>,
    pub(super) client: SocketAddr,
    /// Where the client is, if that is known.
    pub(super) country: Option<String>,
    /// The node that tells something, and what proves to the function that the host says so.
    pub(super) node: Option<(&'a NodeId, &'a Secret)>,
    pub(super) id: Uuid,
    pub(super) scheme: &'static str,
}

/// Rewrites a request for its function.
pub(super) fn prepare(request: Request<Bytes>, meeting: &Meeting<'_>) -> Result<Request<Bytes>, Problem> {
    let (mut parts, body) = request.into_parts();
    parts.uri = absolute(&parts.uri, &parts.headers, meeting.scheme)?;
    strip(&mut parts.headers);
    let full_url = parts.uri.to_string();
    let mut set = |name: &str, value: &str| -> Result<(), Problem> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Problem::BAD_REQUEST)?;
        let value = HeaderValue::from_str(value).map_err(|_| Problem::BAD_REQUEST)?;
        parts.headers.insert(name, value);
        Ok(())
    };
    set("spin-path-info", meeting.found.path_info)?;
    set("spin-full-url", &full_url)?;
    set("spin-matched-route", meeting.route.raw())?;
    set("spin-raw-component-route", meeting.route.raw())?;
    set("spin-component-route", meeting.route.without_wildcard())?;
    set("spin-base-path", "/")?;
    set("spin-client-addr", &meeting.client.to_string())?;
    for (name, value) in &meeting.found.named {
        set(&format!("spin-path-match-{name}"), value)?;
    }
    set("locum-request-id", &meeting.id.to_string())?;
    if let Some(country) = &meeting.country {
        set("locum-client-country", country)?;
    }
    if let Some((node, key)) = meeting.node {
        set("locum-node", node.as_str())?;
        set("locum-host-key", key.expose())?;
    }
    Ok(Request::from_parts(parts, body))
}

/// wasi:http wants scheme and authority, which an origin-form HTTP/1 request lacks.
fn absolute(uri: &Uri, headers: &HeaderMap, scheme: &str) -> Result<Uri, Problem> {
    let authority = match uri.authority() {
        Some(authority) => authority.clone(),
        None => {
            let host = headers.get(HOST).and_then(|host| host.to_str().ok()).ok_or(Problem::BAD_REQUEST)?;
            host.parse::<Authority>().map_err(|_| Problem::BAD_REQUEST)?
        }
    };
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(if scheme == "https" { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(authority);
    Uri::from_parts(parts).map_err(|_| Problem::BAD_REQUEST)
}

/// Names that only the host may set, and what concerns the connection or the host alone.
fn strip(headers: &mut HeaderMap) {
    const OF_THE_CONNECTION: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    ];
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            name.starts_with("spin-")
                || name.starts_with("locum-")
                || OF_THE_CONNECTION.contains(&name)
                || name == idempotency::HEADER.as_str()
        })
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(request: Request<Bytes>) -> Result<Request<Bytes>, Problem> {
        let route = Route::parse("/c/:clinic/auth/...").unwrap();
        let path = request.uri().path().to_owned();
        let found = route.matches(&path).unwrap();
        let client = "192.0.2.1:5".parse().unwrap();
        prepare(
            request,
            &Meeting {
                route: &route,
                found: &found,
                client,
                country: None,
                node: None,
                id: Uuid::nil(),
                scheme: "http",
            },
        )
    }

    #[test]
    fn a_function_sees_the_hosts_headers_and_no_forged_ones() {
        let request = Request::get("/c/demo/auth/session?x=1")
            .header("host", "eu.locum.localhost:8080")
            .header("spin-client-addr", "forged")
            .header("spin-anything", "forged")
            .header("locum-request-id", "forged")
            .header("locum-node", "forged")
            .header("locum-client-country", "NO")
            .header("locum-host-key", "forged")
            .header("idempotency-key", "k")
            .header("cookie", "a=1")
            .body(Bytes::new())
            .unwrap();
        let request = prepared(request).unwrap();
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("spin-client-addr"), Some("192.0.2.1:5"));
        assert_eq!(header("spin-path-match-clinic"), Some("demo"));
        assert_eq!(header("spin-path-info"), Some("/session"));
        assert_eq!(header("spin-matched-route"), Some("/c/:clinic/auth/..."));
        assert_eq!(header("spin-component-route"), Some("/c/:clinic/auth"));
        assert_eq!(header("spin-full-url"), Some("http://eu.locum.localhost:8080/c/demo/auth/session?x=1"));
        assert_eq!(header("locum-request-id"), Some(Uuid::nil().to_string().as_str()));
        assert_eq!(header("cookie"), Some("a=1"));
        for gone in
            ["spin-anything", "idempotency-key", "locum-node", "locum-host-key", "locum-client-country"]
        {
            assert_eq!(header(gone), None, "{gone}");
        }
    }

    #[test]
    fn a_request_without_a_host_is_refused() {
        assert_eq!(
            prepared(Request::get("/c/demo/auth").body(Bytes::new()).unwrap()).unwrap_err(),
            Problem::BAD_REQUEST
        );
    }
}
