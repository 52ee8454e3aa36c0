//! The members of the control plane itself: who has a seat, and under which number.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use locum_identity::{NodeId, NodeIdentity, RegionId, Role};
use serde::{Deserialize, Serialize};

use super::{Member, Membership, Now, Record, Refused};
use crate::quorum::MemberId;

/// Two of five may be lost; more members make agreement slower and no safer in practice.
pub(crate) const MOST_CONTROL: usize = 5;

/// Seats, and the numbers they had.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Control {
    /// Each member's number, by its name. A number is never given twice: it stands for one disk.
    pub(crate) seats: BTreeMap<NodeId, MemberId>,
    /// Numbers of members that were removed: nothing they say counts.
    pub(crate) gone: BTreeSet<MemberId>,
}

/// A member of the control plane, as it was last heard from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seat {
    pub(crate) id: MemberId,
    pub(crate) node: NodeId,
    pub(crate) region: RegionId,
    /// Where it answers, and how long ago it said so.
    pub(crate) heard: Option<(SocketAddr, Duration)>,
    /// A checksum of the record groups that it declares, once it has said so.
    pub(crate) groups: Option<u32>,
}

impl Control {
    /// Gives a seat to `node`.
    pub(super) fn take_in(&mut self, node: &NodeId) -> Result<(), Refused> {
        if self.seats.contains_key(node) {
            return Err(Refused::Seated);
        }
        if self.seats.len() >= MOST_CONTROL {
            return Err(Refused::ControlFull);
        }
        let newest = self.seats.values().chain(&self.gone).max().map_or(0, |id| id.0);
        self.seats.insert(node.clone(), MemberId(newest + 1));
        Ok(())
    }
}

impl Record {
    /// The record with its first member in it. `None`: it has one.
    pub(crate) fn founded_by(&self, identity: &NodeIdentity, id: MemberId) -> Option<Self> {
        if !self.control.seats.is_empty() {
            return None;
        }
        let mut next = self.clone();
        next.control.seats.insert(identity.node.clone(), id);
        let member = Member { role: Role::Control, region: identity.region.clone() };
        next.members.insert(identity.node.clone(), member);
        Some(next)
    }
}

impl Membership {
    /// The members of the control plane.
    pub(crate) fn seats(&self, now: Now) -> Vec<Seat> {
        let seat = |(node, id): (&NodeId, &MemberId)| {
            let member = self.record.members.get(node)?;
            let heard = self.heard.get(node);
            let groups = heard.and_then(|heard| heard.heartbeat.groups);
            let heard = heard.and_then(|heard| {
                Some((*heard.heartbeat.mesh.first()?, now.elapsed.saturating_sub(heard.at)))
            });
            Some(Seat { id: *id, node: node.clone(), region: member.region.clone(), heard, groups })
        };
        self.record.control.seats.iter().filter_map(seat).collect()
    }

    /// The record without a member of the control plane.
    pub(crate) fn without(&self, node: &NodeId, id: MemberId) -> Result<Record, Refused> {
        if self.record.control.seats.get(node) != Some(&id) {
            return Err(Refused::NoSuchMember);
        }
        if self.record.control.seats.len() == 1 {
            return Err(Refused::LastMember);
        }
        let mut next = self.record.clone();
        next.control.seats.remove(node);
        next.control.gone.insert(id);
        next.members.remove(node);
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    #[test]
    fn a_number_is_never_given_twice() {
        let mut control = Control::default();
        for name in ["a", "b", "c", "d", "e"] {
            control.take_in(&node(name)).unwrap();
        }
        assert_eq!(control.take_in(&node("f")), Err(Refused::ControlFull));
        assert_eq!(control.seats.remove(&node("e")), Some(MemberId(5)));
        control.gone.insert(MemberId(5));
        assert_eq!(control.take_in(&node("a")), Err(Refused::Seated));
        control.take_in(&node("e")).unwrap();
        assert_eq!(control.seats[&node("e")], MemberId(6), "the same name with another disk");
    }

    #[test]
    fn the_first_member_has_a_seat_and_the_last_one_keeps_it() {
        let identity: NodeIdentity = "spiffe://locum.localhost/west/control/a".parse().unwrap();
        let record = Record::default().founded_by(&identity, MemberId(1)).unwrap();
        assert_eq!(record.founded_by(&identity, MemberId(1)), None);
        let now = Now { elapsed: Duration::ZERO, unix_ms: 0 };
        let membership = Membership::new(record, now);
        assert_eq!(membership.seats(now).len(), 1);
        assert_eq!(membership.without(&node("a"), MemberId(1)), Err(Refused::LastMember));
        assert_eq!(membership.without(&node("a"), MemberId(2)), Err(Refused::NoSuchMember));
    }
}
