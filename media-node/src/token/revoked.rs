//! Whose tokens are refused although they have not expired.

use std::collections::{HashMap, HashSet};

use locum_cluster::revocation::Revocation;

use super::{Admission, Refusal};
use crate::room::{Identity, RoomName};

/// Entries of all edge hosts together. Beyond it the first ones count.
const MAX_ENTRIES: usize = 200_000;

/// Whose.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Revoked(HashMap<String, InRoom>);

#[derive(Debug, Default, Eq, PartialEq)]
struct InRoom {
    everybody: bool,
    participants: HashSet<String>,
}

impl Revoked {
    /// What edge hosts say, as far as it still matters.
    pub fn of<'a>(said: impl Iterator<Item = &'a Revocation>, now_unix_ms: i64) -> Self {
        let mut rooms: HashMap<String, InRoom> = HashMap::new();
        for revocation in said.filter(|said| said.until_ms > now_unix_ms).take(MAX_ENTRIES) {
            let room = rooms.entry(revocation.room.clone()).or_default();
            match &revocation.participant {
                Some(participant) => drop(room.participants.insert(participant.clone())),
                None => room.everybody = true,
            }
        }
        Self(rooms)
    }

    /// Whether somebody may not be in a room any more.
    #[must_use]
    pub fn covers(&self, room: &RoomName, identity: &Identity) -> bool {
        let room = self.0.get(room.as_str());
        room.is_some_and(|room| room.everybody || room.participants.contains(identity.as_str()))
    }

    /// Lets pass whoever may be there.
    ///
    /// # Errors
    /// [`Refusal::Revoked`].
    pub fn unless_covered(&self, admission: Admission) -> Result<Admission, Refusal> {
        if self.covers(&admission.room, &admission.identity) { Err(Refusal::Revoked) } else { Ok(admission) }
    }

    /// Rooms that somebody may not be in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn revocation(room: &str, participant: Option<&str>, until_ms: i64) -> Revocation {
        Revocation { room: room.to_owned(), participant: participant.map(str::to_owned), until_ms }
    }

    #[test]
    fn a_person_or_a_whole_room_is_refused_until_the_tokens_have_expired() {
        let said = [
            revocation("r1", Some("p1"), NOW_MS + 1),
            revocation("r1", Some("p2"), NOW_MS + 1),
            revocation("r2", None, NOW_MS + 1),
            revocation("r2", Some("p1"), NOW_MS + 1),
            revocation("r3", None, NOW_MS),
        ];
        let revoked = Revoked::of(said.iter(), NOW_MS);
        let covers = |room: &str, identity: &str| {
            revoked.covers(&RoomName::parse(room).unwrap(), &Identity::parse(identity).unwrap())
        };
        assert!(covers("r1", "p1") && covers("r1", "p2") && !covers("r1", "p3"));
        assert!(covers("r2", "p1") && covers("r2", "p3"));
        assert!(!covers("r3", "p1") && !covers("r4", "p1"));
        assert_eq!(revoked.len(), 2);
    }
}
