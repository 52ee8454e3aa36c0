//! The members of the control plane, as a node knows them: it asks the one that answered last, and the next one when
//! that fails.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use locum_cluster::NodeList;
use locum_identity::Role;
use locum_mesh::{Client, Peer, PeerName, RefusalCode, RequestError};
use metrics::counter;
use serde::de::{self, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// As configured: one address or several, the one that is preferred first.
#[derive(Clone, Debug)]
pub struct Addresses(Vec<SocketAddr>);

impl Addresses {
    /// All of them, at least one.
    pub fn all(&self) -> Vec<SocketAddr> {
        self.0.clone()
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrSeveral)
    }
}

struct OneOrSeveral;

impl<'de> Visitor<'de> for OneOrSeveral {
    type Value = Addresses;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an address such as \"10.0.1.5:4443\", or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let address = text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))?;
        Ok(Addresses(vec![address]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut addresses = Vec::new();
        while let Some(address) = list.next_element()? {
            addresses.push(address);
        }
        if addresses.is_empty() {
            return Err(de::Error::invalid_length(0, &self));
        }
        Ok(Addresses(addresses))
    }
}

/// A member that did not answer in time is not waited for again for so long, if there are others.
const REST: Duration = Duration::from_secs(3);

/// Whom to ask.
#[derive(Debug)]
pub(crate) struct Control {
    configured: Vec<SocketAddr>,
    /// Whom to ask first, then the others in turn. Never empty.
    order: Mutex<Vec<SocketAddr>>,
    /// Who did not answer, and when.
    silent: Mutex<HashMap<SocketAddr, Instant>>,
}

impl Control {
    /// With what is configured, at least one.
    pub(crate) fn new(configured: Vec<SocketAddr>) -> Self {
        let order = Mutex::new(configured.clone());
        Self { configured, order, silent: Mutex::default() }
    }

    /// A list that was verified: members that it knows of may be asked, and those that are gone need not be.
    pub(crate) fn learn(&self, list: &NodeList) {
        let members = list.nodes.iter().filter(|node| node.role == Role::Control);
        let listed: Vec<SocketAddr> = members.flat_map(|node| node.mesh.iter().copied()).collect();
        let mut order = self.order();
        let known: Vec<SocketAddr> = order.iter().chain(&self.configured).chain(&listed).copied().collect();
        // Of a list without members nothing can be learnt.
        let counts = |address: &SocketAddr| {
            listed.is_empty() || listed.contains(address) || self.configured.contains(address)
        };
        let mut next = Vec::with_capacity(known.len());
        for address in known.into_iter().filter(counts) {
            if !next.contains(&address) {
                next.push(address);
            }
        }
        if !next.is_empty() {
            *order = next;
        }
    }

    /// Asks one member after the other, each for `deadline`, until one answers. What a member says no to is not asked
    /// elsewhere.
    ///
    /// # Errors
    /// The last one's.
    pub(crate) async fn ask(
        &self,
        client: &Client,
        question: &[u8],
        deadline: Duration,
    ) -> Result<Vec<u8>, RequestError> {
        let mut rest = self.worth_asking(Instant::now()).into_iter();
        let mut address = rest.next().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        loop {
            let peer = Peer { address, name: PeerName::Role(Role::Control) };
            let answer = client.request(&peer, question, deadline).await;
            let Err(error) = &answer else {
                self.put_first(address);
                return answer;
            };
            if !another_may_answer(error) {
                return answer;
            }
            if !matches!(error, RequestError::Refused { .. }) {
                self.silent().insert(address, Instant::now());
            }
            counter!("locum_control_members_skipped_total").increment(1);
            self.put_last(address);
            match rest.next() {
                Some(next) => address = next,
                None => return answer,
            }
        }
    }

    /// In order; without those that were silent just now, unless all were.
    fn worth_asking(&self, now: Instant) -> Vec<SocketAddr> {
        let order = self.order().clone();
        let mut silent = self.silent();
        silent.retain(|_, since| now.duration_since(*since) < REST);
        let answering: Vec<SocketAddr> =
            order.iter().filter(|address| !silent.contains_key(address)).copied().collect();
        if answering.is_empty() { order } else { answering }
    }

    fn silent(&self) -> MutexGuard<'_, HashMap<SocketAddr, Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Also before those that were passed over because they were silent: their rest ends, and nobody waits for them then.
    fn put_first(&self, address: SocketAddr) {
        let mut order = self.order();
        if let Some(place) = order.iter().position(|known| *known == address) {
            order[..=place].rotate_right(1);
        }
    }

    fn put_last(&self, address: SocketAddr) {
        let mut order = self.order();
        if let Some(place) = order.iter().position(|known| *known == address) {
            let failed = order.remove(place);
            order.push(failed);
        }
    }

    fn order(&self) -> MutexGuard<'_, Vec<SocketAddr>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this is about the member that was asked, and not about the question.
fn another_may_answer(error: &RequestError) -> bool {
    match error {
        RequestError::Connect { .. } | RequestError::Deadline { .. } | RequestError::Lost { .. } => true,
        RequestError::Refused { refusal, .. } => passes(refusal.code),
        RequestError::Nowhere | RequestError::TooLarge { .. } => false,
    }
}

/// Whether asking again, or somebody else, may help.
pub(crate) fn passes(code: RefusalCode) -> bool {
    match code {
        RefusalCode::Busy | RefusalCode::Deadline | RefusalCode::Internal => true,
        RefusalCode::Invalid | RefusalCode::Denied | RefusalCode::TooLarge => false,
    }
}

#[cfg(test)]
mod tests {
    use locum_cluster::{Load, NodeRecord, NodeState};

    use super::*;

    fn at(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn list(members: &[u16]) -> NodeList {
        let member = |port: &u16| NodeRecord {
            id: format!("control-{port}").parse().unwrap(),
            role: Role::Control,
            region: "west".parse().unwrap(),
            addresses: Vec::new(),
            jwks: None,
            mesh: vec![at(*port)],
            public: Vec::new(),
            load: Load::default(),
            state: NodeState::Up,
        };
        NodeList { version: 1, issued_at_ms: 0, nodes: members.iter().map(member).collect() }
    }

    #[test]
    fn members_come_with_the_list_and_go_with_it() {
        let control = Control::new(vec![at(1)]);
        control.learn(&list(&[1, 2, 3]));
        assert_eq!(*control.order(), [at(1), at(2), at(3)]);
        control.put_last(at(1));
        control.learn(&list(&[1, 3, 4]));
        assert_eq!(*control.order(), [at(3), at(1), at(4)], "whoever answered last stays first");
        control.learn(&list(&[]));
        assert_eq!(*control.order(), [at(3), at(1), at(4)]);
        control.learn(&list(&[9]));
        assert_eq!(*control.order(), [at(1), at(9)], "what is configured stays");
    }

    #[test]
    fn whoever_was_silent_is_left_in_peace_while_others_answer() {
        let control = Control::new(vec![at(1), at(2)]);
        let now = Instant::now();
        control.silent().insert(at(1), now);
        assert_eq!(control.worth_asking(now), [at(2)]);
        control.silent().insert(at(2), now);
        assert_eq!(control.worth_asking(now), [at(1), at(2)], "nobody else is left");
        assert_eq!(control.worth_asking(now + REST), [at(1), at(2)]);
    }

    #[test]
    fn whoever_answers_is_asked_first_from_then_on() {
        let control = Control::new(vec![at(1), at(2), at(3)]);
        // All three fail once, the first of them silently; then the second answers.
        control.silent().insert(at(1), Instant::now());
        for port in [1, 2, 3] {
            control.put_last(at(port));
        }
        control.put_first(at(2));
        assert_eq!(control.worth_asking(Instant::now() + REST), [at(2), at(1), at(3)]);
    }

    #[test]
    fn one_address_is_as_good_as_a_list_of_one() {
        let one: Addresses = serde_json::from_str("\"127.0.0.1:1\"").unwrap();
        let several: Addresses = serde_json::from_str("[\"127.0.0.1:1\", \"127.0.0.1:2\"]").unwrap();
        assert_eq!((one.all(), several.all()), (vec![at(1)], vec![at(1), at(2)]));
    }
}
