//! How a card payment goes on: what the provider says moves it forward, never back, and what is due follows from where
//! it stands. Pure.
//!
//! The provider tells things twice, late and in any order, and what was fetched before something else may arrive after
//! it. So a state only grows, and what it means for the books is named after what happened: said again, it is nothing.

use jiff::{SignedDuration, Timestamp};
use kit::fhir::AppointmentStatus;

/// An authorisation lasts about seven days; whose visit is later has the card kept.
pub const AUTHORISED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// So long before the visit a card that is kept is authorised.
pub const CHARGE_BEFORE: SignedDuration = SignedDuration::from_hours(24);

/// Where a payment stands. Later ones are further on.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// The patient is at it.
    Open,
    /// The card is kept; nothing is authorised.
    Saved,
    /// The card that was kept is refused.
    Declined,
    /// The amount is authorised.
    Authorised,
    /// Nothing will be taken.
    Cancelled,
    /// Taken.
    Captured,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Open, Self::Saved, Self::Declined, Self::Authorised, Self::Cancelled, Self::Captured];

    /// As in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Saved => "saved",
            Self::Declined => "declined",
            Self::Authorised => "authorised",
            Self::Cancelled => "cancelled",
            Self::Captured => "captured",
        }
    }

    /// What the database says.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether the visit can be booked by it.
    pub const fn is_enough(self) -> bool {
        matches!(self, Self::Saved | Self::Authorised | Self::Captured)
    }
}

/// What the provider says of a payment at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Where it stands there.
    pub state: State,
    /// What was taken, in minor units.
    pub captured_minor: i64,
    /// What was given back.
    pub refunds: Vec<SeenRefund>,
    /// The card, by the provider's name, once there is one.
    pub method: Option<String>,
    /// Why the last attempt failed, in the provider's word.
    pub refusal: Option<String>,
    /// The bank wants the patient to confirm it.
    pub action_required: bool,
}

/// Money that went back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SeenRefund {
    /// The provider's name.
    pub id: String,
    /// How much, in minor units.
    pub minor: i64,
    /// Our key, if we asked for it.
    pub key: Option<String>,
}

/// What happened to money at the provider.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Happened {
    /// It was taken.
    Captured(i64),
    /// Some went back, by that name.
    Refunded(String, i64),
}

/// What the provider says brings a payment to, and what it means for the books.
pub fn merge(state: State, seen: &Seen) -> (State, Vec<Happened>) {
    let mut happened = Vec::new();
    if seen.captured_minor > 0 {
        happened.push(Happened::Captured(seen.captured_minor));
    }
    happened.extend(seen.refunds.iter().map(|refund| Happened::Refunded(refund.id.clone(), refund.minor)));
    (state.max(seen.state), happened)
}

/// All that decides what is due.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Of the payment.
    pub state: State,
    /// Of the visit; `None`: it is not booked.
    pub visit: Option<AppointmentStatus>,
    /// When the visit begins.
    pub start: Timestamp,
    /// When the hold expires that is paid for.
    pub hold_expires: Timestamp,
    /// What was authorised, or is to be.
    pub amount_minor: i64,
    /// What the invoice still says is owed.
    pub owed_minor: i64,
    /// What it comes to is not known yet: the call is still being metered.
    pub unmetered: bool,
    /// The time was lost to somebody else.
    pub lost: bool,
}

/// What the provider is to be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// Authorise the card that is kept.
    Charge,
    /// Take so much.
    Capture(i64),
    /// Let go.
    Cancel,
}

/// What is due at `now`.
pub fn due(standing: &Standing, now: Timestamp) -> Option<Due> {
    use AppointmentStatus::{Arrived, Booked, Cancelled, Fulfilled, NoShow};
    let Standing { state, visit, start, hold_expires, amount_minor, owed_minor, unmetered, lost } = *standing;
    if matches!(state, State::Cancelled | State::Captured) {
        return None;
    }
    if lost {
        return Some(Due::Cancel);
    }
    match visit {
        None if state == State::Open && hold_expires <= now => Some(Due::Cancel),
        None => None,
        Some(Cancelled) => Some(Due::Cancel),
        Some(Booked | Arrived) if state == State::Saved && start - CHARGE_BEFORE <= now => Some(Due::Charge),
        Some(Booked | Arrived) => None,
        Some(Fulfilled | NoShow) if unmetered => None,
        Some(Fulfilled | NoShow) if state == State::Authorised => Some(match owed_minor.min(amount_minor) {
            minor if minor > 0 => Due::Capture(minor),
            _ => Due::Cancel,
        }),
        // Ended before it was authorised: the card is there still.
        Some(Fulfilled | NoShow) if state == State::Saved && owed_minor > 0 => Some(Due::Charge),
        Some(Fulfilled | NoShow) => (state == State::Saved).then_some(Due::Cancel),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A number generator with a seed: xorshift64*.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap_or(0) % sides
        }
    }

    /// What a provider can truly say of one payment, the first first.
    fn life(dice: &mut Dice) -> Vec<Seen> {
        let seen = |state, captured_minor, refunds: &[SeenRefund]| Seen {
            state,
            captured_minor,
            refunds: refunds.to_vec(),
            method: None,
            refusal: None,
            action_required: false,
        };
        let mut life = vec![seen(State::Open, 0, &[])];
        if dice.roll(3) == 0 {
            life.push(seen(State::Saved, 0, &[]));
        }
        if dice.roll(8) == 0 {
            life.push(seen(State::Cancelled, 0, &[]));
            return life;
        }
        life.push(seen(State::Authorised, 0, &[]));
        if dice.roll(4) == 0 {
            life.push(seen(State::Cancelled, 0, &[]));
            return life;
        }
        let captured = 1 + i64::try_from(dice.roll(6_000)).unwrap();
        let (mut refunds, mut left) = (Vec::new(), captured);
        life.push(seen(State::Captured, captured, &refunds));
        while left > 0 && dice.roll(2) == 0 {
            let minor = 1 + i64::try_from(dice.roll(usize::try_from(left).unwrap())).unwrap();
            refunds.push(SeenRefund { id: format!("re_{}", refunds.len()), minor, key: None });
            left -= minor;
            life.push(seen(State::Captured, captured, &refunds));
        }
        life
    }

    /// The books as the database keeps them: an entry is written once under its name.
    fn books(told: &[&Seen]) -> (State, BTreeMap<String, i64>) {
        let (mut state, mut books) = (State::Open, BTreeMap::new());
        for seen in told {
            let (next, happened) = merge(state, seen);
            assert!(next >= state);
            state = next;
            for event in happened {
                let (name, minor) = match event {
                    Happened::Captured(minor) => ("captured".to_owned(), minor),
                    Happened::Refunded(id, minor) => (format!("refunded/{id}"), -minor),
                };
                books.entry(name).or_insert(minor);
            }
        }
        (state, books)
    }

    #[test]
    fn any_order_and_any_repetition_gives_the_same_books() {
        for seed in 1..=10_000_u64 {
            let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let life = life(&mut dice);
            let wanted = books(&life.iter().collect::<Vec<_>>());
            let last = life.last().unwrap();
            assert_eq!(
                wanted.1.values().sum::<i64>(),
                last.captured_minor - last.refunds.iter().map(|refund| refund.minor).sum::<i64>(),
                "seed {seed}"
            );
            // All of it in any order, some of it twice, the rest lost but for the last.
            let mut told: Vec<&Seen> = (0..dice.roll(12)).map(|_| &life[dice.roll(life.len())]).collect();
            told.push(last);
            for place in (1..told.len()).rev() {
                told.swap(place, dice.roll(place + 1));
            }
            assert_eq!(books(&told), wanted, "seed {seed}");
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn standing(state: State, visit: Option<AppointmentStatus>) -> Standing {
        Standing {
            state,
            visit,
            start: at("2026-03-02T08:00:00Z"),
            hold_expires: at("2026-03-01T07:10:00Z"),
            amount_minor: 6_000,
            owed_minor: 6_000,
            unmetered: false,
            lost: false,
        }
    }

    #[test]
    fn what_is_due_follows_from_payment_and_visit() {
        use AppointmentStatus::{Booked, Cancelled, Fulfilled, NoShow};
        let (early, late) = (at("2026-03-01T07:00:00Z"), at("2026-03-02T08:45:00Z"));
        for (state, visit, now, wanted) in [
            (State::Open, None, early, None),
            (State::Open, None, late, Some(Due::Cancel)),
            (State::Saved, Some(Booked), early, None),
            (State::Saved, Some(Booked), at("2026-03-01T08:00:00Z"), Some(Due::Charge)),
            (State::Declined, Some(Booked), late, None),
            (State::Authorised, Some(Booked), late, None),
            (State::Authorised, Some(Fulfilled), late, Some(Due::Capture(6_000))),
            (State::Authorised, Some(NoShow), late, Some(Due::Capture(6_000))),
            (State::Authorised, Some(Cancelled), early, Some(Due::Cancel)),
            (State::Captured, Some(Cancelled), late, None),
            (State::Cancelled, Some(Fulfilled), late, None),
        ] {
            assert_eq!(due(&standing(state, visit), now), wanted, "{state:?} {visit:?}");
        }
    }

    #[test]
    fn never_more_is_taken_than_is_owed_or_was_authorised() {
        let of = |owed_minor, unmetered| {
            let ended = standing(State::Authorised, Some(AppointmentStatus::Fulfilled));
            due(&Standing { owed_minor, unmetered, ..ended }, ended.start)
        };
        assert_eq!(of(3_000, false), Some(Due::Capture(3_000)));
        assert_eq!(of(9_000, false), Some(Due::Capture(6_000)));
        assert_eq!(of(0, false), Some(Due::Cancel));
        assert_eq!(of(6_000, true), None);
    }

    #[test]
    fn what_came_too_late_is_let_go() {
        let lost = Standing { lost: true, ..standing(State::Authorised, None) };
        assert_eq!(due(&lost, lost.start), Some(Due::Cancel));
    }
}
