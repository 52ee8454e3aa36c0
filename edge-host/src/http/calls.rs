//! What a media node tells of a call, as a request to the function that keeps it: the same way as anybody's, with the
//! node named by the host.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request};
use locum_cluster::calls::CallEvent;
use locum_identity::NodeId;
use serde::Serialize;
use uuid::Uuid;

use super::service::{Edge, Target};
use crate::manifest::CallEventsTool;
use crate::store::{Access, Caller, Value};

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
        let Some(request) = self.told(&path, events) else { return CallOutcome::NotNow };
        let Target::Function { to, found } = self.target(&path) else { return CallOutcome::Unknown };
        let client = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        let visit = self.visit(to, found, (&Method::POST, &path), client, Uuid::now_v7());
        let Ok(visit) = visit else { return CallOutcome::Unknown };
        let answer = visit.told_by(node.clone()).answer(request).await;
        if answer.status().is_success() { CallOutcome::Kept } else { CallOutcome::NotNow }
    }

    fn told(&self, path: &str, events: &[CallEvent]) -> Option<Request<http_body_util::Full<Bytes>>> {
        let body = serde_json::to_vec(&Told { events }).ok()?;
        let authority = self.network.origins.api.split_once("://")?.1;
        let request = Request::post(path).header(HOST, authority).header(CONTENT_TYPE, "application/json");
        request.body(http_body_util::Full::new(Bytes::from(body))).ok()
    }

    /// The clinic that the call is of, if its group is here.
    async fn clinic_of(&self, tool: &CallEventsTool, sink: &str) -> Result<Option<String>, NotNow> {
        for group in self.store.groups() {
            if !self.store.holders(&group).is_empty() {
                continue;
            }
            let deadline = Instant::now() + LOOK_WITHIN;
            let session = self.store.session(&group, Access::Read, deadline).map_err(|_| NotNow)?;
            session.allow_older(None);
            let found = session.execute(tool.clinic.clone(), vec![Value::from(sink)], Caller::Function).await;
            let found = found.map_err(|_| NotNow)?;
            session.commit().await.map_err(|_| NotNow)?;
            if let Some(Value::Text(clinic)) = found.rows.into_iter().flatten().next() {
                return Ok(Some(clinic));
            }
        }
        Ok(None)
    }
}

/// Records cannot be read here at the moment.
struct NotNow;
