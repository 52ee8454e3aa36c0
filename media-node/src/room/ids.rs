//! Names of rooms, participants and tracks: all random, none says who anybody is.

use std::fmt;
use std::sync::Arc;

/// Longest name a token may carry.
const MAX_NAME_BYTES: usize = 64;

/// One media connection of one join, known to this process only. A client of signalling v0 has two: the one
/// it joined with, on which it publishes, and another on which it receives.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(u64);

impl SessionId {
    /// The id after this one. `None` once spent, which 2⁶⁴ connections do not do.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The first id of a process.
    #[must_use]
    pub const fn first() -> Self {
        Self(1)
    }

    /// Any id, for tests.
    #[cfg(test)]
    #[must_use]
    pub const fn for_test(id: u64) -> Self {
        Self(id)
    }
}

macro_rules! opaque_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// `None` unless 1 to 64 letters, digits, `-`, `_` or `.`: what ids are made of and people's
            /// names are not.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
                let valid = (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(plain);
                valid.then(|| Self(text.into()))
            }

            /// As text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

opaque_name!(
    /// A room, as tokens name it: random, and fresh for each visit.
    RoomName
);
opaque_name!(
    /// A participant, as tokens name it (`sub`): random.
    Identity
);
opaque_name!(
    /// What meters a call, as tokens name it: only edge hosts know whose call it is.
    Sink
);
opaque_name!(
    /// One stay of a participant in a room (`PA_…`).
    ParticipantSid
);
opaque_name!(
    /// One published track (`TR_…`).
    TrackSid
);
opaque_name!(
    /// One life of a room (`RM_…`).
    RoomSid
);

/// Where new ids come from; a test may count.
pub struct Ids {
    source: Box<dyn FnMut() -> [u8; 8] + Send>,
    next_session: Option<SessionId>,
}

impl Ids {
    /// Ids from any source of eight bytes that do not repeat.
    pub fn new(source: impl FnMut() -> [u8; 8] + Send + 'static) -> Self {
        Self { source: Box::new(source), next_session: Some(SessionId::first()) }
    }

    /// A session. `None` once spent.
    pub fn session(&mut self) -> Option<SessionId> {
        let session = self.next_session?;
        self.next_session = session.next();
        Some(session)
    }

    /// A participant's stay.
    pub fn participant(&mut self) -> ParticipantSid {
        ParticipantSid(self.draw("PA_"))
    }

    /// A track.
    pub fn track(&mut self) -> TrackSid {
        TrackSid(self.draw("TR_"))
    }

    /// A room's life.
    pub fn room(&mut self) -> RoomSid {
        RoomSid(self.draw("RM_"))
    }

    fn draw(&mut self, prefix: &str) -> Arc<str> {
        format!("{prefix}{:016x}", u64::from_be_bytes((self.source)())).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_accepted_and_names_of_people_are_not() {
        for accepted in ["a", "0198c2f1-7a3e-7cc1-9d1e-2f2b6c1d0e4f", "PA_0a1B", &"x".repeat(64)] {
            assert!(Identity::parse(accepted).is_some(), "{accepted}");
        }
        for refused in ["", "Ana Meyer", "a@b", "müller", "a/b", "a\n", &"x".repeat(65)] {
            assert!(Identity::parse(refused).is_none(), "{refused}");
        }
    }
}
