//! Which session an address belongs to.
//!
//! An address is a [`Link`]: what a client sends from, and the socket of the node it sends to. It enters only behind a connectivity check that carries the session's password, so a stranger can
//! neither divert a session's media nor reach its DTLS. Every table is bounded by the number of sessions.

use std::collections::{HashMap, VecDeque};

use super::links::Link;
use super::stun::{BindingRequest, IntegrityKey};
use crate::room::SessionId;

/// Addresses one client may have at once; it gathers a handful, and a change of network leaves old ones
/// behind.
const MAX_ADDRESSES_PER_SESSION: usize = 8;

/// The session of each address, and the credentials that let an address in.
#[derive(Default)]
pub struct Addresses {
    by_ufrag: HashMap<String, Credential>,
    by_address: HashMap<Link, SessionId>,
    sessions: HashMap<SessionId, Entry>,
    /// Known no more, since they were last asked for.
    left: Vec<Link>,
}

struct Credential {
    session: SessionId,
    key: IntegrityKey,
}

#[derive(Default)]
struct Entry {
    /// Newest last; the one before stays valid while an ICE restart is under way.
    ufrags: VecDeque<String>,
    /// Oldest first.
    addresses: VecDeque<Link>,
    remote: Option<Link>,
}

/// A check that was accepted.
#[derive(Debug)]
pub struct Checked {
    /// Whose it is.
    pub session: SessionId,
    /// Answer for the sender.
    pub reply: Vec<u8>,
}

impl Addresses {
    /// Lets a session's client in with new credentials. Those before the last are forgotten.
    pub fn expect(&mut self, session: SessionId, ufrag: &str, password: &str) {
        let entry = self.sessions.entry(session).or_default();
        if entry.ufrags.back().is_some_and(|newest| newest == ufrag) {
            return;
        }
        entry.ufrags.push_back(ufrag.to_owned());
        if entry.ufrags.len() > 2
            && let Some(old) = entry.ufrags.pop_front()
        {
            self.by_ufrag.remove(&old);
        }
        self.by_ufrag.insert(ufrag.to_owned(), Credential { session, key: IntegrityKey::new(password) });
    }

    /// Judges a connectivity check. `None` when it is not for a session here, or not from its client.
    pub fn check(&mut self, from: Link, datagram: &[u8]) -> Option<Checked> {
        let request = BindingRequest::parse(datagram)?;
        let credential = self.by_ufrag.get(request.local_ufrag())?;
        if !request.is_authentic(&credential.key) {
            return None;
        }
        let reply = request.success(from.remote, &credential.key);
        let session = credential.session;
        self.admit(session, from);
        let entry = self.sessions.get_mut(&session)?;
        if request.nominates() || entry.remote.is_none() {
            entry.remote = Some(from);
        }
        Some(Checked { session, reply })
    }

    /// The session whose client was seen at the address.
    #[must_use]
    pub fn session(&self, from: Link) -> Option<SessionId> {
        self.by_address.get(&from).copied()
    }

    /// Where a session's packets go: its client's last nomination.
    #[must_use]
    pub fn remote(&self, session: SessionId) -> Option<Link> {
        self.sessions.get(&session)?.remote
    }

    /// An address that no session is known by any more.
    pub fn poll_left(&mut self) -> Option<Link> {
        self.left.pop()
    }

    /// Addresses of all sessions together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Whether no address is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    /// Forgets an address that leads nowhere any more. Its session then sends to where the next check comes from.
    pub fn lost(&mut self, link: Link) {
        let Some(session) = self.by_address.remove(&link) else { return };
        let Some(entry) = self.sessions.get_mut(&session) else { return };
        entry.addresses.retain(|address| *address != link);
        if entry.remote == Some(link) {
            entry.remote = None;
        }
    }

    /// Forgets a session.
    pub fn remove(&mut self, session: SessionId) {
        let Some(entry) = self.sessions.remove(&session) else { return };
        for ufrag in entry.ufrags {
            self.by_ufrag.remove(&ufrag);
        }
        for address in entry.addresses {
            self.by_address.remove(&address);
            self.left.push(address);
        }
    }

    fn admit(&mut self, session: SessionId, from: Link) {
        match self.by_address.insert(from, session) {
            Some(previous) if previous == session => return,
            // The same client came back with a new session before the old one was noticed to be gone.
            Some(previous) => {
                if let Some(entry) = self.sessions.get_mut(&previous) {
                    entry.addresses.retain(|address| *address != from);
                }
            }
            None => {}
        }
        let Some(entry) = self.sessions.get_mut(&session) else { return };
        entry.addresses.push_back(from);
        if entry.addresses.len() > MAX_ADDRESSES_PER_SESSION
            && let Some(oldest) = entry.addresses.pop_front()
        {
            self.by_address.remove(&oldest);
            self.left.push(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::links::Via;
    use super::super::stun;
    use super::*;

    const SESSION: SessionId = SessionId::for_test(1);

    fn address(port: u16) -> Link {
        Link { via: Via::Socket(0), remote: SocketAddr::from(([192, 0, 2, 1], port)) }
    }

    fn nomination(ufrag: &str, password: &str) -> Vec<u8> {
        stun::nomination([1; 12], &format!("{ufrag}:client"), &IntegrityKey::new(password))
    }

    fn expecting() -> Addresses {
        let mut addresses = Addresses::default();
        addresses.expect(SESSION, "ufrag", "password");
        addresses
    }

    #[test]
    fn an_unsigned_or_foreign_check_lets_nobody_in() {
        let mut addresses = expecting();
        for forged in [nomination("ufrag", "guess"), nomination("other", "password"), vec![0; 40]] {
            assert!(addresses.check(address(1), &forged).is_none());
        }
        assert_eq!(addresses.session(address(1)), None);
        assert_eq!(addresses.remote(SESSION), None);
    }

    #[test]
    fn the_last_nomination_is_followed_at_once() {
        let mut addresses = expecting();
        assert_eq!(addresses.check(address(1), &nomination("ufrag", "password")).unwrap().session, SESSION);
        addresses.check(address(2), &nomination("ufrag", "password")).unwrap();
        assert_eq!(addresses.remote(SESSION), Some(address(2)));
        assert_eq!(addresses.session(address(1)), Some(SESSION), "packets on their way still belong to it");
    }

    #[test]
    fn addresses_of_one_session_are_bounded() {
        let mut addresses = expecting();
        for port in 1..=100 {
            addresses.check(address(port), &nomination("ufrag", "password")).unwrap();
        }
        assert_eq!(addresses.by_address.len(), MAX_ADDRESSES_PER_SESSION);
        assert_eq!(addresses.session(address(1)), None);
        assert_eq!(addresses.session(address(100)), Some(SESSION));
    }

    #[test]
    fn a_restart_keeps_one_older_credential() {
        let mut addresses = expecting();
        addresses.expect(SESSION, "second", "p2");
        assert!(addresses.check(address(1), &nomination("ufrag", "password")).is_some());
        addresses.expect(SESSION, "third", "p3");
        assert!(addresses.check(address(1), &nomination("ufrag", "password")).is_none());
        assert!(addresses.check(address(1), &nomination("second", "p2")).is_some());
    }

    #[test]
    fn an_address_moves_to_the_session_that_proved_it_last() {
        let other = SessionId::for_test(2);
        let mut addresses = expecting();
        addresses.expect(other, "other", "password");
        addresses.check(address(1), &nomination("ufrag", "password")).unwrap();
        addresses.check(address(1), &nomination("other", "password")).unwrap();
        addresses.remove(SESSION);
        assert_eq!(addresses.session(address(1)), Some(other));
    }

    #[test]
    fn after_a_lost_address_the_next_check_is_followed() {
        let mut addresses = expecting();
        addresses.check(address(1), &nomination("ufrag", "password")).unwrap();
        addresses.lost(address(1));
        assert_eq!((addresses.remote(SESSION), addresses.session(address(1))), (None, None));
        addresses.check(address(2), &nomination("ufrag", "password")).unwrap();
        addresses.lost(address(1));
        assert_eq!(addresses.remote(SESSION), Some(address(2)));
    }

    #[test]
    fn what_leads_to_nobody_any_more_is_told_once() {
        let mut addresses = expecting();
        let ports = 1..=MAX_ADDRESSES_PER_SESSION as u16 + 1;
        for port in ports {
            addresses.check(address(port), &nomination("ufrag", "password")).unwrap();
        }
        assert_eq!((addresses.poll_left(), addresses.poll_left()), (Some(address(1)), None));
        addresses.remove(SESSION);
        let left: Vec<_> = std::iter::from_fn(|| addresses.poll_left()).collect();
        assert_eq!(left.len(), MAX_ADDRESSES_PER_SESSION);
    }

    #[test]
    fn nothing_is_left_of_a_removed_session() {
        let mut addresses = expecting();
        addresses.check(address(1), &nomination("ufrag", "password")).unwrap();
        addresses.remove(SESSION);
        assert!(
            addresses.by_ufrag.is_empty() && addresses.by_address.is_empty() && addresses.sessions.is_empty()
        );
    }
}
