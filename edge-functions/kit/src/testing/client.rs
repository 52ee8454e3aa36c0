//! A browser, without the network between it and the function.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;

use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, Request};
use serde_json::Value as Json;

use super::World;
use super::health::shows_health_data;
use crate::audit;
use crate::serve::{Function, serve};

/// A browser with its cookies, at one clinic.
pub struct Client<'w> {
    pub(super) world: &'w World,
    pub(super) clinic: String,
    cookies: RefCell<BTreeMap<String, String>>,
    /// What its host says of it.
    told: RefCell<BTreeMap<&'static str, String>>,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its JSON, or `null`.
    pub body: Json,
    /// Its body as it came.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The slug of the problem that it is, or nothing.
    pub fn problem(&self) -> &str {
        // FHIR says it in an outcome's details.
        let outcome = self.body.pointer("/issue/0/details/coding/0/code").and_then(Json::as_str);
        if let Some(slug) = outcome.filter(|_| self.status >= 400) {
            return slug;
        }
        let kind = self.body["type"].as_str().unwrap_or_default();
        kind.strip_prefix("urn:locum:problem:").unwrap_or_default()
    }

    /// Status and problem at once.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.problem())
    }

    /// A text of the body.
    pub fn text(&self, pointer: &str) -> String {
        let found = self.body.pointer(pointer).and_then(Json::as_str);
        found.unwrap_or_else(|| panic!("no text at {pointer}: {}", self.body)).to_owned()
    }
}

impl<'w> Client<'w> {
    pub(super) fn new(world: &'w World, clinic: &str) -> Self {
        Self { world, clinic: clinic.to_owned(), cookies: RefCell::default(), told: RefCell::default() }
    }

    /// The value of a cookie that this browser has.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.borrow().get(name).cloned()
    }

    /// Gives this browser a cookie.
    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// From here on its requests come from this address.
    pub fn at(&self, address: &str) {
        self.told.borrow_mut().insert("spin-client-addr", address.to_owned());
    }

    /// From here on its requests come from this country.
    pub fn go_to(&self, country: &str) {
        self.told.borrow_mut().insert("locum-client-country", country.to_owned());
    }

    /// Asks `F` for something.
    pub async fn get<F: Function>(&self, path: &str) -> Answer {
        self.send::<F>(Method::GET, path, None, &[]).await
    }

    /// Posts JSON to `F`.
    pub async fn post<F: Function>(&self, path: &str, body: Json) -> Answer {
        self.send::<F>(Method::POST, path, Some(body), &[]).await
    }

    /// Any request to `F`, with `path` below the clinic.
    pub async fn send<F: Function>(
        &self,
        method: Method,
        path: &str,
        body: Option<Json>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        self.exchange::<F>(method, path, body, headers).await
    }

    /// Posts a form to `F`, as apps do.
    pub async fn form<F: Function>(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Answer {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let body = Some(("application/x-www-form-urlencoded", text.into_bytes()));
        self.exchange::<F>(Method::POST, path, body, headers).await
    }

    /// Posts something else to `F`.
    pub async fn raw<F: Function>(
        &self,
        path: &str,
        body: (&str, Vec<u8>),
        headers: &[(&str, &str)],
    ) -> Answer {
        self.exchange::<F>(Method::POST, path, Some(body), headers).await
    }

    async fn exchange<F: Function>(
        &self,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/c/{}{path}", self.clinic));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in self.told.borrow().iter() {
            request = request.header(*name, value);
        }
        let pair = |(name, value): (&String, &String)| format!("{name}={value}");
        let cookies = self.cookies.borrow().iter().map(pair).collect::<Vec<_>>().join("; ");
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        if let Some((kind, _)) = &body {
            request = request.header(CONTENT_TYPE, *kind);
        }
        let request = request.header("locum-request-id", "test");
        let request = request.body(body.map(|(_, body)| body).unwrap_or_default()).unwrap();
        let mut reply = serve::<F>(self.world.host(&self.clinic), request, |problem| {
            let mut cause: Option<&dyn Error> = problem.cause();
            while let Some(error) = cause {
                println!("caused by: {error}");
                cause = error.source();
            }
        })
        .await;
        // The host keeps events of what it does not undo, and takes them off.
        let events = reply.headers().get_all(audit::HEADER).iter();
        let events =
            events.map(|event| serde_json::from_slice(event.as_bytes()).unwrap()).collect::<Vec<_>>();
        let shows = reply.status().is_success() && shows_health_data(path);
        assert!(!shows || !events.is_empty(), "{path} shows health data and names no event");
        if !reply.status().is_server_error() {
            for event in &events {
                self.world.kept.keep(&self.clinic, self.world.now(), reply.status().as_u16(), event);
            }
            self.world.trail.borrow_mut().extend(events);
        }
        reply.headers_mut().remove(audit::HEADER);
        for cookie in reply.headers().get_all(SET_COOKIE) {
            self.keep(cookie.to_str().unwrap());
        }
        let (parts, body) = reply.into_parts();
        let json = serde_json::from_slice(&body).unwrap_or_default();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: json, bytes: body }
    }

    fn keep(&self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        assert!(attributes.contains("HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        if attributes.contains("Max-Age=0") {
            self.cookies.borrow_mut().remove(name);
        } else {
            self.set_cookie(name, value);
        }
    }
}
