//! What people want, in the middle of it all.

use locum_cluster::{Subject, Wish};

use super::truth::Violation;
use super::world::{Event, World};
use crate::plan::Action;

impl World {
    /// Somebody drains, takes back or pins; an answer is given only once it is in the record.
    pub(super) fn people(&mut self) -> Result<(), Violation> {
        if !self.is_trouble() {
            return Ok(());
        }
        let after = self.random.between(1_000, 8_000);
        self.push(after, Event::People);
        let reachable = self.leader.is_some_and(|leader| self.is_fit(leader));

        let wish = self.some_wish();
        let Some(step) = self.operations.wish(wish.clone()).filter(|_| reachable) else { return Ok(()) };
        debug_assert!(matches!(step.action, Action::Wish(_)));
        self.truth.wish(&wish);
        self.take(&step)?;
        self.counts.drains += u64::from(matches!(wish, Wish::Drain(_)));
        if self.random.permille(100) {
            let after = self.random.between(200, 8_000);
            self.push(after, Event::Again { step: Box::new(step) });
        }
        Ok(())
    }

    fn some_wish(&mut self) -> Wish {
        let node = self.random.index(self.nodes.len());
        let place = &self.nodes[node].place;
        let subject = match node % 2 {
            0 => Subject::Node(place.node.clone()),
            _ => Subject::Region(place.region.clone()),
        };
        let (group, region) = ("main".parse().unwrap(), place.region.clone());
        match self.random.index(8) {
            0..=3 => Wish::Drain(subject),
            4 | 5 => Wish::Undrain(subject),
            6 => Wish::Pin { group, region },
            _ => Wish::Unpin { group },
        }
    }
}
