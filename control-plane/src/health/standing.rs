//! What the record keeps of a node's health: coarse, and the same for every member that may lead.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// More than this is not counted: the wait has reached its bound.
const MAX_STRIKES: u8 = 6;
/// What a node has to wait that fails for the first time: as long as five good answers take, also when somebody who had
/// them all along is the only one left to be asked.
const FIRST_HOLD: Duration = Duration::from_secs(3);
/// What a node that failed once before has to wait; doubled with each time more.
const HOLD: Duration = Duration::from_secs(10);
/// Without a failure for so long, earlier ones are forgotten.
pub(super) const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Whether a node is there.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Condition {
    /// It is.
    #[default]
    Up,
    /// It said that it would go, and went.
    Left,
    /// It was given up.
    Lost,
}

/// How a node stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Standing {
    /// Whether it is there.
    pub(crate) condition: Condition,
    /// How often it was lost lately.
    pub(crate) strikes: u8,
}

impl Standing {
    /// Given up once more.
    pub(crate) fn lost(self) -> Self {
        Self { condition: Condition::Lost, strikes: (self.strikes + 1).min(MAX_STRIKES) }
    }

    /// Gone as announced.
    pub(crate) fn left(self) -> Self {
        Self { condition: Condition::Left, ..self }
    }

    /// There again.
    pub(crate) fn back(self) -> Self {
        Self { condition: Condition::Up, ..self }
    }

    /// What was is forgotten.
    pub(crate) fn forgiven(self) -> Self {
        Self { strikes: 0, ..self }
    }

    /// How long it must at least stay away: longer each time, so that a node that comes and goes moves people ever more
    /// rarely.
    pub(crate) fn hold(self) -> Duration {
        match (self.condition, self.strikes) {
            (Condition::Lost, strikes @ 2..) => HOLD * (1 << (strikes.min(MAX_STRIKES) - 2)),
            (Condition::Lost, _) => FIRST_HOLD,
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_makes_the_next_return_slower_up_to_a_bound() {
        let mut standing = Standing::default();
        let holds: Vec<u64> = (0..8)
            .map(|_| {
                standing = standing.back().lost();
                standing.hold().as_secs()
            })
            .collect();
        assert_eq!(holds, [3, 10, 20, 40, 80, 160, 160, 160]);
        assert_eq!(standing.left().hold(), Duration::ZERO, "who goes as announced comes back at once");
        assert_eq!(standing.back().forgiven(), Standing::default());
    }
}
