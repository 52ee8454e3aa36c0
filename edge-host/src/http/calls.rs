//! What nodes ask functions for: a media node tells of a call, this host has messages to send and jobs to see to. The same way as
//! anybody's request, with the node named by the host.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use locum_cluster::calls::CallEvent;
use locum_identity::NodeId;
use serde::Serialize;
use uuid::Uuid;

use super::service::{Edge, Target};
use crate::clinic::ClinicId;
use crate::idempotency;
use crate::manifest::CallEventsTool;
use crate::store::{Access, Caller, GroupId, Value};

/// For finding out whose call it is.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// What became of the events of one call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CallOutcome {
    /// They are in the record.
    Kept,
    /// No clinic of this host has such a call.
    Unknown,
    /// Not now.
    NotNow,
}

#[derive(Serialize)]
struct Told<'a> {
    events: &'a [CallEvent],
}

impl Edge {
    /// Keeps events of one call, which all have the same sink.
    pub(crate) async fn keep_call_events(&self, node: &NodeId, events: &[CallEvent]) -> CallOutcome {
        let Some((tool, sink)) = self.call_events.as_ref().zip(events.first().map(|event| &event.sink))
        else {
            return CallOutcome::Unknown;
        };
        let clinic = match self.clinic_of(tool, sink).await {
            Ok(Some(clinic)) => clinic,
            Ok(None) => return CallOutcome::Unknown,
            Err(NotNow) => return CallOutcome::NotNow,
        };
        let path = format!("/c/{clinic}{}", tool.path);
        let Ok(body) = serde_json::to_vec(&Told { events }) else { return CallOutcome::NotNow };
        match self.post(node.clone(), &path, body, None).await {
            Some((status, _)) if status.is_success() => CallOutcome::Kept,
            Some(_) => CallOutcome::NotNow,
            None => CallOutcome::Unknown,
        }
    }

    /// Asks a clinic's function for something in this host's own name, with the key that makes it happen once.
    pub(crate) async fn ask(
        &self,
        clinic: &ClinicId,
        path: &str,
        body: Vec<u8>,
        key: Option<&str>,
    ) -> Option<(StatusCode, Bytes)> {
        // A host that runs alone has no name.
        let node = self.network.node().cloned().or_else(|| "edge-host".parse().ok())?;
        self.post(node, &format!("/c/{clinic}{path}"), body, key).await
    }

    /// `None`: no function takes it.
    async fn post(
        &self,
        node: NodeId,
        path: &str,
        body: Vec<u8>,
        key: Option<&str>,
    ) -> Option<(StatusCode, Bytes)> {
        let authority = self.network.origins.api.split_once("://")?.1;
        let mut request =
            Request::post(path).header(HOST, authority).header(CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header(idempotency::HEADER, key);
        }
        let request = request.body(http_body_util::Full::new(Bytes::from(body))).ok()?;
        let Target::Function { to, found } = self.target(path) else { return None };
        let client = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        let visit = self.visit(to, found, (&Method::POST, path), client, Uuid::now_v7()).ok()?;
        let answer = visit.told_by(node).answer(request).await;
        Some((answer.status(), answer.into_body()))
    }

    /// Clinics of a group that have a message to be sent, or one whose sender was not heard of again.
    pub(crate) async fn clinics_with_messages(&self, group: &GroupId) -> Vec<ClinicId> {
        let Some(tool) = &self.deliveries else { return Vec::new() };
        let due = self.texts(group, &tool.due, Value::from(crate::clock::unix_ms())).await;
        let found = due.unwrap_or_default();
        found.iter().filter_map(|name| self.clinics.find(name)).map(|(clinic, _)| clinic.clone()).collect()
    }

    /// The first column of what `sql` finds on this host's copy.
    async fn texts(&self, group: &GroupId, sql: &str, value: Value) -> Result<Vec<String>, NotNow> {
        let deadline = Instant::now() + LOOK_WITHIN;
        let session = self.store.session(group, Access::Read, deadline).map_err(|_| NotNow)?;
        session.allow_older(None);
        let found = session.execute(sql.to_owned(), vec![value], Caller::Function).await;
        let found = found.map_err(|_| NotNow)?;
        session.commit().await.map_err(|_| NotNow)?;
        let first = |row: Vec<Value>| row.into_iter().next();
        let texts = found.rows.into_iter().filter_map(first);
        Ok(texts.filter_map(|value| if let Value::Text(text) = value { Some(text) } else { None }).collect())
    }

    /// The clinic that the call is of, if its group is here.
    async fn clinic_of(&self, tool: &CallEventsTool, sink: &str) -> Result<Option<String>, NotNow> {
        for group in self.store.groups() {
            if !self.store.holders(&group).is_empty() {
                continue;
            }
            let found = self.texts(&group, &tool.clinic, Value::from(sink)).await?;
            if let Some(clinic) = found.into_iter().next() {
                return Ok(Some(clinic));
            }
        }
        Ok(None)
    }
}

/// Records cannot be read here at the moment.
struct NotNow;
