//! Where each epoch began: what became part of a group's history, and what did not.

use locum_identity::NodeId;
use serde::{Deserialize, Serialize};

use crate::{Epoch, FrameNo, Position};

/// More than a year of weekly changes; a position older than all of them cannot be judged and counts as lost.
const MAX_EPOCHS: usize = 256;

/// One epoch and what it grew out of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: Epoch,
    /// Who led it.
    pub primary: NodeId,
    /// The position it began from. `None`: it began with an empty database.
    pub start: Option<Position>,
    /// A person let it begin without the promises that rule out losing acknowledged writes.
    #[serde(default)]
    pub accepted_loss: bool,
}

/// What a copy holds that did not become history, and that nobody acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tail {
    /// The last position that the copy and the history share. It may be of an older epoch than the copy.
    /// `None`: they share nothing that is known.
    pub after: Option<Position>,
}

/// The epochs of a group, oldest first; bounded.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct History(Vec<EpochStart>);

impl History {
    /// The newest epoch, 0 if there is none.
    pub fn newest(&self) -> Epoch {
        self.0.last().map_or(Epoch::ZERO, |last| last.epoch)
    }

    /// Adds an epoch, unless it is not newer than the newest.
    pub fn push(&mut self, start: EpochStart) {
        if start.epoch <= self.newest() {
            return;
        }
        if self.0.len() >= MAX_EPOCHS {
            self.0.remove(0);
        }
        self.0.push(start);
    }

    /// The epochs after `known`, oldest first.
    pub fn since(&self, known: Epoch) -> &[EpochStart] {
        let from = self.0.partition_point(|start| start.epoch <= known);
        self.0.get(from..).unwrap_or_default()
    }

    /// Whether what stood at `position` is part of the newest epoch. A session whose token is not gets
    /// `history-lost`; but one of an epoch after [`History::newest`] cannot be judged here yet.
    pub fn holds(&self, position: Position) -> bool {
        matches!(self.kept_of(position.epoch), Kept::Whole)
            || matches!(self.kept_of(position.epoch), Kept::UpTo(last) if position.frame <= last)
    }

    /// The position that `epoch` began from, if it is known and was not empty.
    pub fn start_of(&self, epoch: Epoch) -> Option<Position> {
        self.entry(epoch)?.start
    }

    /// What `copy` holds beyond the history of the newest epoch, if anything.
    pub fn tail_of(&self, copy: Position) -> Option<Tail> {
        let mut at = copy;
        loop {
            match self.kept_of(at.epoch) {
                Kept::Whole => return None,
                Kept::UpTo(last) if at.frame > last => {
                    return Some(Tail { after: Some(Position::new(at.epoch, last)) });
                }
                Kept::UpTo(_) => return (at != copy).then_some(Tail { after: Some(at) }),
                // Nothing grew out of that epoch; but what it grew out of itself may be common ground.
                Kept::Nothing => match self.entry(at.epoch).and_then(|entry| entry.start) {
                    Some(start) => at = start,
                    None => return Some(Tail { after: None }),
                },
            }
        }
    }

    fn entry(&self, epoch: Epoch) -> Option<&EpochStart> {
        let index = self.0.binary_search_by_key(&epoch, |entry| entry.epoch).ok()?;
        self.0.get(index)
    }

    /// What of `epoch` became part of the newest epoch: walks back from start to start.
    fn kept_of(&self, epoch: Epoch) -> Kept {
        let mut at = self.newest();
        if at == epoch {
            return Kept::Whole;
        }
        while let Some(start) = self.entry(at).and_then(|entry| entry.start) {
            if start.epoch == epoch {
                return Kept::UpTo(start.frame);
            }
            if start.epoch < epoch {
                break;
            }
            at = start.epoch;
        }
        Kept::Nothing
    }
}

enum Kept {
    Whole,
    UpTo(FrameNo),
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: u64, frame: u64) -> Position {
        Position::new(Epoch(epoch), FrameNo(frame))
    }

    /// Epoch 3 grew out of 1, because nobody else had anything of 2 when its primary died.
    fn forked() -> History {
        let mut history = History::default();
        for (epoch, start) in [(1, None), (2, Some(at(1, 10))), (3, Some(at(1, 12))), (5, Some(at(3, 4)))] {
            let primary = "edge-1".parse().unwrap();
            history.push(EpochStart { epoch: Epoch(epoch), primary, start, accepted_loss: false });
        }
        history
    }

    #[test]
    fn what_nothing_grew_out_of_is_lost() {
        let history = forked();
        for held in [at(5, 1_000), at(3, 4), at(1, 12), at(1, 1)] {
            assert!(history.holds(held), "{held}");
            assert_eq!(history.tail_of(held), None, "{held}");
        }
        let shared = [
            (at(3, 5), Some(at(3, 4))),
            (at(1, 13), Some(at(1, 12))),
            (at(2, 1), Some(at(1, 10))),
            (at(4, 1), None),
            (at(6, 1), None),
        ];
        for (lost, after) in shared {
            assert!(!history.holds(lost), "{lost}");
            assert_eq!(history.tail_of(lost), Some(Tail { after }), "{lost}");
        }
    }

    #[test]
    fn a_tail_may_reach_back_over_epochs() {
        let mut history = History::default();
        // Epoch 2 began from 1.12 and died with its primary; epoch 3 began from 1.10, elsewhere.
        for (epoch, start) in [(1, None), (2, Some(at(1, 12))), (3, Some(at(1, 10)))] {
            let primary = "edge-1".parse().unwrap();
            history.push(EpochStart { epoch: Epoch(epoch), primary, start, accepted_loss: false });
        }
        assert_eq!(history.tail_of(at(2, 3)), Some(Tail { after: Some(at(1, 10)) }));
    }

    #[test]
    fn epochs_only_grow_and_are_bounded() {
        let mut history = forked();
        let old = EpochStart {
            epoch: Epoch(5),
            primary: "edge-2".parse().unwrap(),
            start: None,
            accepted_loss: false,
        };
        history.push(old.clone());
        assert_eq!(history.since(Epoch(3)).len(), 1);
        assert_eq!(history.since(Epoch(3))[0].primary.as_str(), "edge-1");
        for epoch in 6..1_000 {
            history.push(EpochStart { epoch: Epoch(epoch), start: Some(at(epoch - 1, 1)), ..old.clone() });
        }
        assert_eq!(history.since(Epoch::ZERO).len(), MAX_EPOCHS);
        assert!(history.holds(at(998, 1)));
        assert!(!history.holds(at(5, 1)), "too old to be judged is not taken for kept");
    }
}
