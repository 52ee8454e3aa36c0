//! Passes: what a device gets for proving itself, and what opens the WebSocket.
//!
//! A WebSocket's address holds its secret, and addresses end up in places. So this one opens once, within a minute; after
//! that only the same stay can be resumed with it, until a newer pass is in use.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::room::{Identity, RoomName};
use crate::token::{Admission, ProofId, Refusal, Revoked};

/// How a pass begins, which no token does.
pub(super) const PREFIX: &str = "pass.";

/// For the first use.
const UNUSED_LASTS: Duration = Duration::from_secs(60);

/// How long a proof is remembered: longer than it may be shown.
const PROOFS_LAST: Duration = Duration::from_secs(3 * crate::token::PROOF_LASTS_SECONDS);

/// All passes of a node; the oldest goes.
const MAX_PASSES: usize = 8_192;

/// Of one participant: that in use, that for the next connection, and a few attempts to connect.
const MAX_OF_ONE: usize = 4;

/// All proofs that are remembered. Beyond that nobody can prove anything for a moment.
const MAX_PROOFS: usize = 8_192;

/// The name of a pass: 192 random bits. Without randomness nothing here is safe, so there is nothing to go on with.
pub(super) fn secret() -> String {
    let mut bytes = [0; 24];
    #[expect(
        clippy::expect_used,
        reason = "the kernel's generator is seeded since boot and does not fail then"
    )]
    getrandom::fill(&mut bytes).expect("the kernel gives randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What somebody wants with a pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    /// To know whether it is good.
    Look,
    /// A new stay.
    Enter,
    /// The same stay, on a new socket.
    Resume,
}

struct Pass {
    admission: Admission,
    issued: Instant,
    used: bool,
    number: u64,
}

/// Whom a pass is for.
type Person = (RoomName, Identity);

/// The passes of a node.
#[derive(Default)]
pub(super) struct Passes {
    by_name: HashMap<String, Pass>,
    /// By number, the oldest first.
    by_age: BTreeMap<u64, String>,
    /// A handful each.
    by_person: HashMap<Person, Vec<String>>,
    issued: u64,
    proofs: HashMap<ProofId, Instant>,
}

impl Passes {
    /// Takes note of a proof: it counts once.
    pub(super) fn accept(&mut self, proof: ProofId, now: Instant) -> Result<(), Refusal> {
        if self.proofs.len() >= MAX_PROOFS {
            self.proofs.retain(|_, at| now.saturating_duration_since(*at) < PROOFS_LAST);
        }
        if self.proofs.len() >= MAX_PROOFS {
            return Err(Refusal::Replayed);
        }
        match self.proofs.insert(proof, now) {
            Some(at) if now.saturating_duration_since(at) < PROOFS_LAST => Err(Refusal::Replayed),
            _ => Ok(()),
        }
    }

    /// A pass called `secret`, which nobody else knows.
    pub(super) fn issue(&mut self, secret: &str, admission: Admission, now: Instant) -> String {
        let name = format!("{PREFIX}{secret}");
        let theirs = self.by_person.get(&person(&admission)).cloned().unwrap_or_default();
        // What is in use goes last: without it the stay could not be resumed.
        let (used, unused): (Vec<_>, Vec<_>) = theirs.iter().partition(|name| self.is_used(name));
        for old in unused.into_iter().chain(used).take((theirs.len() + 1).saturating_sub(MAX_OF_ONE)) {
            self.forget(old);
        }
        while self.by_name.len() >= MAX_PASSES {
            let Some(oldest) = self.by_age.values().next().cloned() else { break };
            self.forget(&oldest);
        }
        self.issued += 1;
        self.by_age.insert(self.issued, name.clone());
        self.by_person.entry(person(&admission)).or_default().push(name.clone());
        let pass = Pass { admission, issued: now, used: false, number: self.issued };
        self.by_name.insert(name.clone(), pass);
        name
    }

    /// What a pass admits to.
    pub(super) fn open(
        &mut self,
        name: &str,
        purpose: Purpose,
        revoked: &Revoked,
        now: Instant,
    ) -> Result<Admission, Refusal> {
        let pass = self.by_name.get_mut(name).ok_or(Refusal::Pass)?;
        let fresh = !pass.used && now.saturating_duration_since(pass.issued) <= UNUSED_LASTS;
        let good = match purpose {
            Purpose::Look => fresh || pass.used,
            Purpose::Enter => fresh,
            Purpose::Resume => fresh || pass.used,
        };
        if !good {
            return Err(Refusal::Pass);
        }
        let admission = revoked.unless_covered(pass.admission.clone())?;
        if purpose != Purpose::Look && !pass.used {
            pass.used = true;
            let theirs = self.by_person.get(&person(&admission)).cloned().unwrap_or_default();
            for older in theirs.iter().filter(|other| *other != name) {
                if self.is_used(older) {
                    self.forget(older);
                }
            }
        }
        Ok(admission)
    }

    fn is_used(&self, name: &str) -> bool {
        self.by_name.get(name).is_some_and(|pass| pass.used)
    }

    fn forget(&mut self, name: &str) {
        let Some(pass) = self.by_name.remove(name) else { return };
        self.by_age.remove(&pass.number);
        let person = person(&pass.admission);
        if let Some(names) = self.by_person.get_mut(&person) {
            names.retain(|other| other != name);
            if names.is_empty() {
                self.by_person.remove(&person);
            }
        }
    }
}

fn person(admission: &Admission) -> Person {
    (admission.room.clone(), admission.identity.clone())
}

#[cfg(test)]
mod tests {
    use locum_cluster::revocation::Revocation;

    use super::*;
    use crate::token::Grants;

    fn nobody() -> Revoked {
        Revoked::default()
    }

    fn admission(identity: &str) -> Admission {
        let (identity, room) = (Identity::parse(identity).unwrap(), RoomName::parse("room").unwrap());
        Admission { identity, room, grants: Grants::default(), running: false, sink: None }
    }

    #[test]
    fn a_pass_opens_once_and_within_a_minute() {
        let (start, mut passes) = (Instant::now(), Passes::default());
        let pass = passes.issue("a", admission("p"), start);
        assert_eq!(passes.open("pass.b", Purpose::Enter, &nobody(), start), Err(Refusal::Pass));
        assert!(passes.open(&pass, Purpose::Look, &nobody(), start).is_ok());
        assert_eq!(passes.open(&pass, Purpose::Enter, &nobody(), start).unwrap(), admission("p"));
        assert_eq!(passes.open(&pass, Purpose::Enter, &nobody(), start), Err(Refusal::Pass), "a copy");
        assert!(passes.open(&pass, Purpose::Resume, &nobody(), start + 10 * UNUSED_LASTS).is_ok());

        let late = passes.issue("c", admission("p"), start);
        assert!(passes.open(&late, Purpose::Look, &nobody(), start + UNUSED_LASTS).is_ok());
        let over = start + UNUSED_LASTS + Duration::from_millis(1);
        for purpose in [Purpose::Look, Purpose::Enter, Purpose::Resume] {
            assert_eq!(passes.open(&late, purpose, &nobody(), over), Err(Refusal::Pass), "{purpose:?}");
        }
    }

    #[test]
    fn a_newer_pass_in_use_ends_the_older_ones_of_the_same_person() {
        let (now, mut passes) = (Instant::now(), Passes::default());
        let (old, new) = (passes.issue("a", admission("p"), now), passes.issue("b", admission("p"), now));
        let other = passes.issue("c", admission("q"), now);
        passes.open(&old, Purpose::Enter, &nobody(), now).unwrap();
        passes.open(&other, Purpose::Enter, &nobody(), now).unwrap();
        assert!(passes.open(&old, Purpose::Resume, &nobody(), now).is_ok());
        passes.open(&new, Purpose::Resume, &nobody(), now).unwrap();
        assert_eq!(passes.open(&old, Purpose::Resume, &nobody(), now), Err(Refusal::Pass));
        assert!(passes.open(&other, Purpose::Resume, &nobody(), now).is_ok());
    }

    #[test]
    fn a_pass_is_of_one_room() {
        let (now, mut passes) = (Instant::now(), Passes::default());
        let elsewhere = Admission { room: RoomName::parse("other").unwrap(), ..admission("p") };
        let (here, there) = (passes.issue("a", admission("p"), now), passes.issue("b", elsewhere, now));
        passes.open(&here, Purpose::Enter, &nobody(), now).unwrap();
        passes.open(&there, Purpose::Enter, &nobody(), now).unwrap();
        assert!(passes.open(&here, Purpose::Resume, &nobody(), now).is_ok(), "ended by one for another room");
    }

    #[test]
    fn who_was_removed_opens_nothing_with_any_pass() {
        let (now, mut passes) = (Instant::now(), Passes::default());
        let (used, fresh) = (passes.issue("a", admission("p"), now), passes.issue("b", admission("p"), now));
        passes.open(&used, Purpose::Enter, &nobody(), now).unwrap();
        let removal = Revocation { room: "room".into(), participant: Some("p".into()), until_ms: i64::MAX };
        let removed = Revoked::of(std::iter::once(&removal), 0);
        for pass in [&used, &fresh] {
            for purpose in [Purpose::Look, Purpose::Resume] {
                assert_eq!(passes.open(pass, purpose, &removed, now), Err(Refusal::Revoked), "{purpose:?}");
            }
        }
        assert_eq!(passes.open(&fresh, Purpose::Enter, &removed, now), Err(Refusal::Revoked));
    }

    #[test]
    fn passes_are_bounded_and_that_in_use_goes_last() {
        let (now, mut passes) = (Instant::now(), Passes::default());
        let used = passes.issue("used", admission("p"), now);
        passes.open(&used, Purpose::Enter, &nobody(), now).unwrap();
        for n in 0..100 {
            passes.issue(&n.to_string(), admission("p"), now);
        }
        assert_eq!(passes.by_name.len(), MAX_OF_ONE);
        assert!(passes.open(&used, Purpose::Resume, &nobody(), now).is_ok());
        for n in 0..MAX_PASSES + 10 {
            passes.issue(&format!("x{n}"), admission(&format!("p{n}")), now);
        }
        let (names, ages) = (passes.by_name.len(), passes.by_age.len());
        let theirs: usize = passes.by_person.values().map(Vec::len).sum();
        assert_eq!((names, ages, theirs), (MAX_PASSES, MAX_PASSES, MAX_PASSES));
    }

    #[test]
    fn a_proof_counts_once() {
        let (start, mut passes) = (Instant::now(), Passes::default());
        assert_eq!(passes.accept([1; 32], start), Ok(()));
        assert_eq!(passes.accept([1; 32], start), Err(Refusal::Replayed));
        assert_eq!(passes.accept([2; 32], start), Ok(()));
        for n in 0..u32::try_from(MAX_PROOFS).unwrap() {
            let mut id = [9; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            let _ = passes.accept(id, start);
        }
        assert_eq!(passes.proofs.len(), MAX_PROOFS);
        assert_eq!(passes.accept([3; 32], start), Err(Refusal::Replayed), "no room to remember it");
        assert_eq!(passes.accept([3; 32], start + PROOFS_LAST), Ok(()));
    }
}
