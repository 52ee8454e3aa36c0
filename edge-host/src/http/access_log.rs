//! One line and two metrics a request. Never a path, a query, a header or a clinic: only what the manifest
//! names.

use std::time::Instant;

use http::{Method, StatusCode};
use uuid::Uuid;

/// What may be said about a request.
pub(super) struct AccessLog<'a> {
    pub(super) id: Uuid,
    pub(super) method: Method,
    /// The matched route as the manifest has it, or the name of a part of the host.
    pub(super) route: &'a str,
    /// Metric label: a component of the manifest or a part of the host.
    pub(super) component: &'a str,
    pub(super) started: Instant,
    /// Somebody looks whether this host is there, again and again.
    pub(super) is_probe: bool,
}

impl AccessLog<'_> {
    pub(super) fn write(&self, status: StatusCode) {
        let elapsed = self.started.elapsed();
        let component = self.component.to_owned();
        let class = class(status);
        metrics::counter!("locum_edge_requests_total", "component" => component.clone(), "status" => class)
            .increment(1);
        metrics::histogram!("locum_edge_request_seconds", "component" => component)
            .record(elapsed.as_secs_f64());
        let (method, status, ms) =
            (method_name(&self.method), status.as_u16(), elapsed.as_secs_f64() * 1_000.0);
        if self.is_probe {
            tracing::debug!(method, route = self.route, status, ms, request = %self.id, "request");
        } else {
            tracing::info!(method, route = self.route, status, ms, request = %self.id, "request");
        }
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}

/// A method of one's own invention could carry anything.
fn method_name(method: &Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "other",
    }
}
