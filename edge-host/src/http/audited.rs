//! What a request's function did, as it is recorded: with the request's own writes, or, for what was only
//! read, on a disk before the answer leaves.

use bytes::Bytes;
use http::Response;

use super::visit::Visit;
use crate::audit::{self, Circumstances, Event};
use crate::clock::unix_ms;
use crate::problem::Problem;
use crate::store::GroupId;

impl Visit<'_> {
    /// The events that the function names. An answer that shows health data names at least one.
    pub(super) fn events(&self, response: &Response<Bytes>) -> Result<Vec<Event>, Problem> {
        let said = audit::said(response.headers()).map_err(|_| Problem::AUDIT_MISSING)?;
        let shows = self.shows_health_data && response.status().is_success();
        if said.is_empty() && !shows {
            return Ok(Vec::new());
        }
        // Without a clinic there is no group that could keep it.
        let (clinic, _) = self.clinic.filter(|_| !said.is_empty()).ok_or(Problem::AUDIT_MISSING)?;
        let circumstances = Circumstances {
            recorded_at_ms: unix_ms(),
            clinic: clinic.to_string(),
            request: self.id.to_string(),
            region: self.edge.network.region().to_string(),
            node: self.edge.network.node_id().to_owned(),
            status: response.status().as_u16(),
        };
        Ok(said.into_iter().map(|said| said.at(&circumstances)).collect())
    }

    /// Returns once it is recorded that this was read.
    pub(super) async fn record_reading(&self, group: &GroupId, events: Vec<Event>) -> Result<(), Problem> {
        if events.is_empty() {
            return Ok(());
        }
        self.edge.audit.keep(group, events, self.edge.peers.as_ref()).await.map_err(|error| {
            tracing::error!(request = %self.id, error = error.text(), "a reading could not be recorded");
            if error.is_full() { Problem::AUDIT_FULL } else { Problem::AUDIT_FAILED }
        })
    }

    /// An answer that is given again shows again what it showed.
    pub(super) async fn record_again(
        &self,
        group: &GroupId,
        response: &Response<Bytes>,
    ) -> Result<(), Problem> {
        let mut events = self.events(response)?;
        for event in &mut events {
            event.action = audit::Action::R;
        }
        self.record_reading(group, events).await
    }
}

/// What was for the host alone.
pub(super) fn strip(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().remove(audit::HEADER);
    response
}
