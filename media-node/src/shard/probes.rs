//! Answers whoever looks, for the control plane, whether media gets through: a connectivity check under
//! credentials of their own, then the first flights of DTLS, made by the same code as every client's.
//!
//! Without those credentials nothing of this can be reached: a stranger's packet costs what it always did.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tracing::debug;

use super::session::Session;
use crate::transport::links::Link;
use crate::transport::sdp::Offer;
use crate::transport::stun::{BindingRequest, IntegrityKey};
use crate::transport::{Peer, Transport};

/// A probe has its answers within a second, or does not want them any more.
const LASTS: Duration = Duration::from_secs(2);
/// Probes at once: a few members, each with one a second.
const MOST: usize = 32;

/// What a client without tracks would offer. Nobody holds the certificate it names: the handshake ends where the
/// probe has seen enough.
const OFFER: &str = "v=0\r\n\
    o=- 1 1 IN IP4 192.0.2.1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=group:BUNDLE 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
    c=IN IP4 192.0.2.1\r\n\
    a=mid:0\r\n\
    a=ice-ufrag:probe\r\n\
    a=ice-pwd:nobodyhasthispassword00\r\n\
    a=fingerprint:sha-256 00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\r\n\
    a=setup:actpass\r\n\
    a=sctp-port:5000\r\n";

/// Who may probe, and who does.
pub(super) struct Probes<P> {
    credentials: Option<(String, IntegrityKey)>,
    open: HashMap<Link, Probe<P>>,
}

struct Probe<P> {
    peer: Session<P>,
    until: Instant,
}

impl<P> Default for Probes<P> {
    fn default() -> Self {
        Self { credentials: None, open: HashMap::new() }
    }
}

impl<P: Peer> Probes<P> {
    /// From now on, whoever has these is answered.
    pub(super) fn expect(&mut self, ufrag: String, password: &str) {
        self.credentials = Some((ufrag, IntegrityKey::new(password)));
    }

    /// The answer to a check, if it is one of ours. Its sender may then begin a handshake.
    pub(super) fn check<T>(
        &mut self,
        now: Instant,
        from: Link,
        datagram: &[u8],
        transport: &mut T,
    ) -> Option<Vec<u8>>
    where
        T: Transport<Peer = P>,
    {
        let (ufrag, key) = self.credentials.as_ref()?;
        let request = BindingRequest::parse(datagram)?;
        if request.local_ufrag() != ufrag || !request.is_authentic(key) {
            return None;
        }
        let answer = request.success(from.remote, key);
        if !self.open.contains_key(&from) && self.open.len() < MOST {
            let peer = begin(now, transport)?;
            self.open.insert(from, Probe { peer, until: now + LASTS });
        }
        Some(answer)
    }

    /// What a handshake's datagram is answered with, if its sender passed a check; `None`: it is nobody here.
    pub(super) fn handshake(&mut self, now: Instant, from: Link, datagram: &[u8]) -> Option<Vec<BytesMut>> {
        let probe = self.open.get_mut(&from)?;
        probe.peer.call(|peer| {
            peer.handle_datagram(now, datagram);
            // Nobody is interested, but a peer is to be drained.
            while peer.poll_event(now).is_some() {}
        });
        let next = || probe.peer.call(Peer::poll_datagram).flatten();
        Some(std::iter::from_fn(next).collect())
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// Forgets those that are over.
    pub(super) fn end_old(&mut self, now: Instant) {
        self.open.retain(|_, probe| probe.until > now && !probe.peer.broken);
    }
}

fn begin<T: Transport>(now: Instant, transport: &mut T) -> Option<Session<T::Peer>> {
    let offer = Offer::parse(OFFER).ok()?;
    let begun = transport.open(now).and_then(|mut peer| {
        peer.negotiate(now, &offer, &[])?;
        Ok(peer)
    });
    match begun {
        Ok(peer) => Some(Session::new(peer)),
        Err(error) => {
            debug!(error = &error as &dyn std::error::Error, "probe not answered");
            None
        }
    }
}

#[cfg(test)]
mod tests;
